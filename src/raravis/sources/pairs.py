"""Two cameras that look at the same: their pictures joined, and laid on each other."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeAlias, cast

import numpy as np

from raravis.errors import DataError, ParameterError, RecordingError
from raravis.images.cropping import crop_of, cut, cut_size
from raravis.images.decoding import resized
from raravis.images.frame_times import usual_interval
from raravis.images.joining import Pairs, Shot, all_dated, by_name, by_position, by_time, position
from raravis.sources import FrameBlock, FrameSource, create, register
from raravis.windows import FloatArray, IntArray, Skipped, Windows

Place: TypeAlias = tuple[int, int]  # recording of a camera, frame in it
JOINS = ("auto", "position", "time", "name")
NEAR_S = 60.0  # the widest tolerance that is taken where none is asked for
SAMPLE = 8  # pairs that the consistency report reads

_SHOWN = 3
"""How many frames without a partner a remark names."""


@register("pairs")
class PairSource(FrameSource):
    """Pictures of two cameras, or of one camera now and later, that belong together.

    Each frame of the first with its partner of the second is one window: both are cut to their
    common field of view, brought to the size of the smaller, and laid on each other, channel upon
    channel. What has no partner is told in `remarks`.

    paths        two folders, archives or files; or one, of frames side by side (layout), or to be
                 joined with itself (offset_s); or the `path` of a recording that was found so,
                 which names both.
    join         "time": the nearest within the tolerance; "position": the same `_position5` in the
                 names, nearest in time; "name": the same but for words such as thermal or rgb;
                 "auto": the first of position, time and name that both sides know.
    tolerance_s  between the times of a pair, seconds; None is half the shorter usual interval, 60
                 at most.
    offset_s     how much later the second was taken, seconds. With the same path twice it makes
                 pairs of now and later.
    crop_1, crop_2
                 field of view that both share, as left,top,right,bottom in shares of the picture:
                 "0.1,0,0.9,1".
    only_1, only_2
                 patterns that the names of the files must match: "*_celsius.csv.gz".
    colour_1, colour_2, longest, timezone, layout, share, array, strict
                 as of `ImageSource`; layout is "single" or "side-by-side".

    Raises DataError where nothing at all can be joined.
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        join: str = "auto",
        tolerance_s: float | None = None,
        offset_s: float = 0.0,
        crop_1: str = "0,0,1,1",
        crop_2: str = "0,0,1,1",
        only_1: str = "*",
        only_2: str = "*",
        colour_1: str = "auto",
        colour_2: str = "auto",
        longest: int = 512,
        timezone: str = "UTC",
        layout: str = "single",
        share: float = 0.5,
        array: str | None = None,
        strict: bool = False,
    ) -> None:
        _check(join, tolerance_s, offset_s, layout)
        self._crops = crop_of(crop_1, "crop_1"), crop_of(crop_2, "crop_2")
        self.join, self.offset_s = join, offset_s
        roots = _parted([paths] if isinstance(paths, str | Path) else paths)
        roots = _two(roots, offset_s, layout, (only_1, colour_1) != (only_2, colour_2))
        beside = layout == "side-by-side"
        common = {"longest": longest, "timezone": timezone, "share": share, "array": array,
                  "strict": strict}  # fmt: skip
        each = [
            {"paths": roots[0], "only": only_1, "colour": colour_1,
             "layout": "left" if beside else "single"},
            {"paths": roots[1], "only": only_2, "colour": colour_2,
             "layout": "right" if beside else "single"},
        ]  # fmt: skip
        first = _open({**common, **each[0]})
        self._sources = first, first if each[0] == each[1] else _open({**common, **each[1]})
        self.skipped: list[Skipped] = []
        self.remarks: list[str] = []
        self._share_lists(collecting=True)
        self.cameras = tuple(source.cameras[0] for source in self._sources)
        self.tolerance_s = self._tolerance(tolerance_s)
        self._shots = [_shots(source) for source in self._sources]
        self._starts = [
            np.cumsum([0, *map(len, source.frames)], dtype=np.int64) for source in self._sources
        ]
        self.joined_by, pairs = self._joined(roots)
        self._tell_of_the_rest(pairs, roots)
        self._lay_out(pairs, os.pathsep.join(str(root.absolute()) for root in roots))

    # ----------------------------------------------------------------- what there is

    @cached_property
    def windows(self) -> Windows:
        """One window a pair: that of its first frame."""
        return Windows.concatenate(
            [Windows.of(i, *self._spans(i, range(len(n)))) for i, n in enumerate(self.frames)]
        )

    def __len__(self) -> int:
        return sum(len(names) for names in self.frames)

    def __getitem__(self, index: int) -> FloatArray:
        """Pair `index` of all pairs, (C, H, W). Raises RecordingError where one is broken."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        recording, number = self._number(index % len(self))
        if (picture := self._picture(recording, number)) is None:
            raise RecordingError(self.frames[recording][number], "it or its partner is broken")
        return picture

    def _number(self, index: int) -> tuple[int, int]:
        """Recording of pair `index`, and its number in it."""
        ends: IntArray = np.cumsum([len(names) for names in self.frames])
        recording = int(np.searchsorted(ends, index, side="right"))
        return recording, index - int(ends[recording]) + len(self.frames[recording])

    def consistency(self) -> list[str]:
        """How well the two go together, in lines: pairs, times, sizes, and values of a sample."""
        lines = [f"{len(self)} pairs, joined by {self.joined_by}"]
        if all_dated(*self._shots):
            apart = np.abs(self._apart_s)
            lines.append(f"times apart: median {np.median(apart):.3g} s, most {apart.max():.3g} s")
        chosen = np.linspace(0, len(self) - 1, min(SAMPLE, len(self))).astype(int)
        pictures = [self._picture(*self._number(index)) for index in chosen.tolist()]
        sample = [picture for picture in pictures if picture is not None]
        if not sample:
            return [*lines, f"none of {len(chosen)} pairs can be read"]
        for side, channels in enumerate((slice(0, self.split), slice(self.split, None))):
            (height, width), camera = self._sources[side].size, self.cameras[side]
            low = min(float(picture[channels].min()) for picture in sample)
            high = max(float(picture[channels].max()) for picture in sample)
            lines.append(
                f"camera {side + 1}: {camera}, {width} x {height}, {low:.4g} to {high:.4g} in "
                f"{len(sample)} pairs"
            )
        return lines

    # ----------------------------------------------------------------- reading

    def read(self, recording: int, first: int, stop: int) -> FrameBlock:
        """Pairs first .. stop - 1 of one recording; what breaks is noted in `skipped`."""
        names = self.frames[recording]
        first, stop = max(0, first), min(stop, len(names))
        read = {number: self._picture(recording, number) for number in range(first, stop)}
        good = {number: picture for number, picture in read.items() if picture is not None}
        windows = Windows.of(recording, *self._spans(recording, good))
        if stop < len(names):
            end_s = float(self._spans(recording, [stop])[0][0])
        else:
            end_s = self.recordings[recording].duration_s
        return FrameBlock([names[n] for n in good], list(good.values()), windows, end_s)

    def blocks(self, recording: int, from_s: float = 0.0, length: int = 64) -> Iterator[FrameBlock]:
        """The recording in blocks of `length` pairs from the first at or after `from_s` on."""
        start_s, _ = self._spans(recording, range(len(self.frames[recording])))
        for first in range(int(np.searchsorted(start_s, from_s)), len(start_s), length):
            yield self.read(recording, first, first + length)

    def part(self, numbers: Sequence[int]) -> Self:
        """A source of only these of its recordings; see `Source.part`."""
        some = copy.copy(self)
        some.__dict__.pop("windows", None)
        first, second = self._sources
        one = first.part(range(len(first.recordings)))
        other = one if second is first else second.part(range(len(second.recordings)))
        some._sources, some.skipped, some.remarks = (one, other), [], []
        some._share_lists()
        for name in ("recordings", "frames", "_pairs"):
            setattr(some, name, [getattr(self, name)[number] for number in numbers])
        return some

    def _picture(self, recording: int, number: int) -> FloatArray | None:
        """One pair, (C, H, W); None where one of the two cannot be read, which is noted."""
        both = []
        for source, (place, frame), crop in zip(
            self._sources, self._pairs[recording][number], self._crops, strict=True
        ):
            pictures = source.read(place, frame, frame + 1).pictures
            if not pictures:
                return None
            both.append(cut(pictures[0], crop))
        smaller = min(both, key=lambda picture: picture.shape[1] * picture.shape[2])
        height, width = smaller.shape[1:]
        return np.concatenate([resized(picture, height, width) for picture in both])

    def _spans(self, recording: int, numbers: Iterable[int]) -> tuple[FloatArray, FloatArray]:
        """From when to when the pairs of these numbers stand, (n,) each: as their first frames."""
        places = [self._pairs[recording][number][0] for number in numbers]
        rows = [int(self._starts[0][place]) + frame for place, frame in places]
        windows = self._sources[0].windows[np.array(rows, dtype=np.int64)]
        return windows.start_s, windows.end_s

    # ----------------------------------------------------------------- joining

    def _share_lists(self, collecting: bool = False) -> None:
        """What the two cameras skip and remark is skipped and remarked here."""
        for source in dict.fromkeys(self._sources):
            if collecting:
                self.skipped += source.skipped
                self.remarks += source.remarks
            source.skipped, source.remarks = self.skipped, self.remarks

    def _tolerance(self, asked: float | None) -> float:
        if asked is not None:
            return asked
        return min(NEAR_S, *(source.interval_s / 2 for source in self._sources))

    def _joined(self, roots: Sequence[Path]) -> tuple[str, Pairs]:
        """How the frames were joined, and the numbers of those that belong together."""
        tried = []
        for way in self._ways():
            if pairs := self._by(way):
                return way, pairs
            tried.append(way if way == "name" else f"{way} within {self.tolerance_s:g} s")
        first, second = self._shots
        raise DataError(
            f"no frame of one camera has a partner of the other ({len(first)} in {roots[0]} and "
            f"{len(second)} in {roots[1]}): tried to join by {', '.join(tried)}. The first are "
            f"{first[0].name!r} and {second[0].name!r}: name them alike, or set source.join, "
            "source.tolerance_s or source.offset_s"
        )

    def _ways(self) -> Sequence[str]:
        """The ways to join that are to be tried, in order."""
        if self.join != "auto":
            return (self.join,)
        placed = all(any(position(s.name) is not None for s in side) for side in self._shots)
        ways = ("position",) * placed
        if self.offset_s or all_dated(*self._shots):
            ways += ("time",)
        return ways if self.offset_s else (*ways, "name")

    def _by(self, way: str) -> Pairs:
        """Pairs made in one way."""
        first, second = self._shots
        if way == "name":
            return by_name(first, second)
        earlier = [replace(shot, time_s=shot.time_s - self.offset_s) for shot in second]
        if way == "position":
            return by_position(first, earlier, self.tolerance_s)
        if not all_dated(first, second) and not self.offset_s:
            return []
        return by_time(first, earlier, self.tolerance_s)

    def _tell_of_the_rest(self, pairs: Pairs, roots: Sequence[Path]) -> None:
        """Counts and names what has no partner."""
        for side, root, used in zip(self._shots, roots, zip(*pairs, strict=True), strict=True):
            taken = set(used)
            lonely = [shot.name for i, shot in enumerate(side) if i not in taken]
            if lonely:
                more = f" and {len(lonely) - _SHOWN} more" if len(lonely) > _SHOWN else ""
                self.remarks.append(
                    f"{len(lonely)} of {len(side)} frames in {root.name} have no partner: "
                    f"{', '.join(lonely[:_SHOWN])}{more}"
                )

    def _lay_out(self, pairs: Pairs, path: str) -> None:
        """The recordings of the first camera, with those of their frames that have a partner; all
        have the path by which they are opened again."""
        one, other = self._sources
        by_recording: dict[int, list[tuple[Place, Place]]] = {}
        for a, b in pairs:
            ours, theirs = self._place(0, a), self._place(1, b)
            by_recording.setdefault(ours[0], []).append((ours, theirs))
        self._pairs = list(by_recording.values())
        self.frames = [[one.frames[r][k] for (r, k), _ in found] for found in self._pairs]
        self.recordings = [
            replace(one.recordings[r], path=path, channels=self.channels) for r in by_recording
        ]
        starts = [self._spans(i, range(len(names)))[0] for i, names in enumerate(self.frames)]
        self.interval_s = max(one.interval_s, usual_interval(starts))
        first, second = self._shots
        self._apart_s = np.array(
            [second[j].time_s - first[i].time_s - self.offset_s for i, j in pairs]
        )
        sizes = [cut_size(s.size, crop) for s, crop in zip((one, other), self._crops, strict=True)]
        self.size = min(sizes, key=lambda size: size[0] * size[1])

    def _place(self, side: int, number: int) -> Place:
        """Recording of a camera, and frame in it, of its frame `number`."""
        recording = int(np.searchsorted(self._starts[side], number, side="right")) - 1
        return recording, number - int(self._starts[side][recording])


def _open(options: dict[str, Any]) -> FrameSource:
    return cast(FrameSource, create("images", **options))


def _shots(source: FrameSource) -> list[Shot]:
    """All frames of a camera, in the order of its windows."""
    began = [recording.start_time for recording in source.recordings]
    from_s = [0.0 if start is None else start.timestamp() for start in began]
    names = [name for frames in source.frames for name in frames]
    recordings, starts_s = source.windows.recording.tolist(), source.windows.start_s.tolist()
    return [
        Shot(source.recordings[r].name, name, from_s[r] + start_s, began[r] is not None)
        for name, r, start_s in zip(names, recordings, starts_s, strict=True)
    ]


def _parted(paths: Sequence[str | Path]) -> list[Path]:
    """Paths, where one that names both cameras' counts as two."""
    several = [[str(p)] if Path(p).exists() else str(p).split(os.pathsep) for p in paths]
    return [Path(part) for parts in several for part in parts]


def _two(roots: list[Path], offset_s: float, layout: str, two_cameras: bool) -> list[Path]:
    """Where the first and the second camera's pictures lie."""
    if len(roots) == 1 and (offset_s or layout == "side-by-side"):
        return roots * 2
    if (
        len(roots) == 2
        and roots[0] == roots[1]
        and not (offset_s or two_cameras or layout != "single")
    ):
        raise DataError(
            f"both cameras are {roots[0]}: name another folder, or set source.offset_s, or "
            "source.only_1 and source.only_2"
        )
    if len(roots) != 2 or (layout == "side-by-side" and roots[0] != roots[1]):
        raise DataError(
            "pairs are made of two folders or archives, one for each camera (or of one, with "
            f"source.layout = side-by-side or source.offset_s), got {len(roots)}"
        )
    return roots


def _check(join: str, tolerance_s: float | None, offset_s: float, layout: str) -> None:
    if join not in JOINS:
        raise ParameterError(f"join must be one of {', '.join(JOINS)}, got {join!r}")
    if tolerance_s is not None and not 0 <= tolerance_s < math.inf:
        raise ParameterError(f"tolerance_s must be 0 or more, got {tolerance_s}")
    if not math.isfinite(offset_s):
        raise ParameterError(f"offset_s must be a number of seconds, got {offset_s}")
    if layout not in ("single", "side-by-side"):
        raise ParameterError(f'layout must be "single" or "side-by-side", got {layout!r}')
