"""Pictures: folders of them, zip archives, npz arrays and thermal frames, read one at a time."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from raravis.errors import NothingToRead, ParameterError, RecordingError
from raravis.images import decoding, thermal
from raravis.images.albums import SUFFIXES, Album, Frame, find_albums, is_thermal
from raravis.images.frame_times import frame_times, natural, spread_out, usual_interval
from raravis.images.places import Places
from raravis.sources import FrameBlock, FrameSource, register
from raravis.times import time_zone
from raravis.windows import FloatArray, IntArray, Recording, Skipped, Windows

CAMERAS = ("auto", "colour", "grey", "celsius")
LAYOUTS = ("single", "side-by-side", "left", "right")

_SHOWN = 3
"""How many of the skipped files, or of frames in a remark, a message names."""


@dataclass(frozen=True)
class _Reel:
    """The frames of one recording in order, and from when to when each stands, in seconds."""

    album: Album
    began: datetime | None
    start_s: FloatArray
    end_s: FloatArray
    interval_s: float


@register("images")
class ImageSource(FrameSource):
    """Recordings that are rows of pictures: JPEG, PNG and TIFF of 8 or 16 bits, thermal frames in
    CSV, npz arrays; in folders or in zip archives.

    paths     a file or folder, or several. Each folder that holds pictures is a recording, named
              by its path relative to the folder given; so is each folder in a zip, and each npz.
    longest   side in pixels, at least 8; larger pictures are reduced by averaging areas.
    colour    "colour", "grey", "celsius" for thermal frames, or "auto": what most pictures are.
    timezone  of times written without one: "Europe/Berlin", "+02:00".
    layout    "single"; "side-by-side" where one file holds the picture of an optical camera on the
              left and that of a thermal one on the right, which are laid on each other; "left" or
              "right" takes one of them.
    share     of the width that is the left one's, in (0, 1).
    array     name of the array in npz files; None takes the largest that holds pictures.
    only      pattern that the names of picture files must match: "*.jpg".
    strict    raise RecordingError at the first picture that cannot be used, where otherwise it is
              listed in `skipped`.

    All headers are read when the source is made, about 0.2 ms a picture, and nothing is decoded.
    Raises DataError where a path does not exist, NothingToRead where no picture is left.
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        longest: int = 512,
        colour: str = "auto",
        timezone: str = "UTC",
        layout: str = "single",
        share: float = 0.5,
        array: str | None = None,
        only: str = "*",
        strict: bool = False,
    ) -> None:
        _check(longest, colour, layout, share)
        self.longest, self.layout, self.share, self.strict = longest, layout, share, strict
        self.skipped: list[Skipped] = []
        self.remarks: list[str] = []
        self._zone, self._places, self._noted = time_zone(timezone), Places(), set[str]()
        roots = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
        albums, skipped = find_albums(roots, array, only, tables=colour == "celsius")
        for broken in skipped:
            self._skip(broken.path, broken.reason)
        self._camera = _usual_camera(albums, colour)
        albums = [kept for album in albums if (kept := self._fitting(album)).frames]
        if not albums:
            raise NothingToRead(self._why_nothing(roots))
        self.cameras = ("colour", "grey") if layout == "side-by-side" else (self._own_camera,)
        self._keep(albums)

    # ----------------------------------------------------------------- what there is

    @property
    def _own_camera(self) -> str:
        return "grey" if self.layout == "right" else self._camera

    @cached_property
    def windows(self) -> Windows:
        """One window a frame: from when it was taken until the next, or for a usual interval."""
        return Windows.concatenate(
            [Windows.of(i, reel.start_s, reel.end_s) for i, reel in enumerate(self._reels)]
        )

    def __len__(self) -> int:
        return sum(len(names) for names in self.frames)

    def __getitem__(self, index: int) -> FloatArray:
        """Frame `index` of all frames, (C, H, W). Raises RecordingError where it is broken."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        index %= len(self)
        ends: IntArray = np.cumsum([len(names) for names in self.frames])
        recording = int(np.searchsorted(ends, index, side="right"))
        frame = index - int(ends[recording]) + len(self.frames[recording])
        return self._picture(self._reels[recording].album.frames[frame])

    def consistency(self) -> list[str]:
        """How the pictures are stored: modes and sizes, the most common first."""
        heads = [frame.head for reel in self._reels for frame in reel.album.frames]
        modes = Counter(head.mode for head in heads).most_common()
        sizes = Counter(f"{head.width} x {head.height or '?'}" for head in heads).most_common()
        return [
            ", ".join(f"{count} {what}" for what, count in found[:_SHOWN])
            + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
            for found in (modes, sizes)
        ]

    # ----------------------------------------------------------------- reading

    def read(self, recording: int, first: int, stop: int) -> FrameBlock:
        """Frames first .. stop - 1 of one recording; those that break are noted in `skipped`."""
        reel = self._reels[recording]
        first, stop = max(0, first), min(stop, len(reel.album.frames))
        good, pictures = [], []
        for number in range(first, stop):
            try:
                pictures.append(self._picture(reel.album.frames[number]))
                good.append(number)
            except RecordingError as error:
                self._skip(error.path, error.reason)
        names = [reel.album.frames[number].name for number in good]
        windows = Windows.of(recording, reel.start_s[good], reel.end_s[good])
        later = stop < len(reel.start_s)
        end_s = float(reel.start_s[stop] if later else reel.end_s[-1])
        return FrameBlock(names, pictures, windows, end_s)

    def blocks(self, recording: int, from_s: float = 0.0, length: int = 64) -> Iterator[FrameBlock]:
        """The recording in blocks of `length` frames from the first at or after `from_s` on."""
        start_s = self._reels[recording].start_s
        for first in range(int(np.searchsorted(start_s, from_s)), len(start_s), length):
            yield self.read(recording, first, first + length)

    def part(self, numbers: Sequence[int]) -> Self:
        """A source of only these of its recordings; see `Source.part`."""
        some = copy.copy(self)
        some.__dict__.pop("windows", None)
        some.skipped, some.remarks, some._places, some._noted = [], [], Places(), set()
        for name in ("recordings", "frames", "_reels"):
            setattr(some, name, [getattr(self, name)[number] for number in numbers])
        return some

    def _picture(self, frame: Frame) -> FloatArray:
        """One picture as it is given out, (C, H, W). Raises RecordingError."""
        place, camera, name = frame.place, self._camera, str(frame.place)
        longest = self.longest if self.layout == "single" else self._longest_of_both(frame)
        if place.row >= 0:
            values = np.asarray(self._places.array(place), dtype=np.float32)
            values = decoding.in_unit(values, frame.head.mode, camera, name)
            picture = decoding.in_channels(values, camera)
        elif is_thermal(place.member or place.path.name):
            picture = thermal.read(self._places.source(place), name)
        else:
            picture = decoding.decode(self._places.source(place), name, camera, longest)
        width, height = decoding.reduced((picture.shape[2], picture.shape[1]), longest)
        picture = decoding.resized(picture, height, width)
        if camera == "celsius" and (text := thermal.remark(picture)) and name not in self._noted:
            self._noted.add(name)
            self.remarks.append(f"{name}: {text}")
        return picture if self.layout == "single" else self._of_both(picture)

    def _longest_of_both(self, frame: Frame) -> int:
        """Longest side of a file with two cameras, whose parts have then `longest` at most."""
        part = max(self.share, 1 - self.share) * frame.head.width
        share = min(1.0, self.longest / max(part, frame.head.height))
        return max(1, round(max(frame.head.width, frame.head.height) * share))

    def _of_both(self, picture: FloatArray) -> FloatArray:
        """The left and the right camera of one picture, or one of them."""
        edge = min(max(1, round(picture.shape[2] * self.share)), picture.shape[2] - 1)
        left, right = picture[:, :, :edge], decoding.in_channels(picture[:, :, edge:], "grey")
        if self.layout != "side-by-side":
            return np.ascontiguousarray(left if self.layout == "left" else right)
        height, width = picture.shape[1], min(left.shape[2], right.shape[2])
        return np.concatenate([decoding.resized(one, height, width) for one in (left, right)])

    # ----------------------------------------------------------------- finding

    def _fitting(self, album: Album) -> Album:
        """The album without what another kind of camera took: of thermal frames and pictures in
        one folder, the fewer."""
        thermal_wanted = self._camera == "celsius"
        floats = ("F", "float32")
        frames = [
            frame
            for frame in album.frames
            if (frame.head.camera == "celsius") == thermal_wanted
            or (thermal_wanted and frame.head.mode in floats)
        ]
        if left_out := len(album.frames) - len(frames):
            what = "pictures" if thermal_wanted else "thermal frames"
            other = "colour" if thermal_wanted else "celsius"
            self.remarks.append(
                f"{album.name}: {left_out} {what} left out; for them, set colour = {other!r}"
            )
        return Album(album.name, album.path, frames)

    def _keep(self, albums: list[Album]) -> None:
        """Puts frames and recordings in order, and tells what was remarkable in them."""
        ordered = [self._in_order(album) for album in albums]
        timed = [start_s for _, began, start_s in ordered if began is not None]
        reels = []
        for album, began, start_s in ordered:
            number = next((i for i, one in enumerate(timed) if one is start_s), None)
            interval_s = 1.0 if number is None else usual_interval(timed, number)
            gaps: FloatArray = np.append(np.diff(start_s), np.inf)
            end_s = start_s + np.minimum(gaps, interval_s)
            reels.append(_Reel(album, began, start_s, end_s, interval_s))
        self._reels = sorted(reels, key=_by_time)
        self.frames = [[frame.name for frame in reel.album.frames] for reel in self._reels]
        self.interval_s = usual_interval([reel.start_s for reel in self._reels])
        self.size = self._usual_size()
        self.recordings = [
            Recording(
                reel.album.name, str(reel.album.path), float(reel.end_s[-1]), 1 / reel.interval_s,
                self.channels, reel.began,
            )
            for reel in self._reels
        ]  # fmt: skip
        paged = [f.name for a in albums for f in a.frames if f.head.pages > 1]
        if paged:
            self.remarks.append(f"of {_listed(paged)} only the first page is read")

    def _in_order(self, album: Album) -> tuple[Album, datetime | None, FloatArray]:
        """The album in order of time or else of names, when it began, seconds of each frame."""
        frames = sorted(album.frames, key=lambda frame: natural(frame.name))
        times = frame_times([f.name for f in frames], [f.head.taken for f in frames], self._zone)
        if times is None:
            seconds: FloatArray = np.arange(len(frames), dtype=np.float64)
            return Album(album.name, album.path, frames), None, seconds
        by_time = sorted(zip(times, range(len(frames)), strict=True))
        start_s, shared = spread_out([time for time, _ in by_time])
        if shared:
            self.remarks.append(
                f"{album.name}: {shared} frames have the same time as another, and were laid out "
                "one after the other"
            )
        in_order = [frames[number] for _, number in by_time]
        return Album(album.name, album.path, in_order), by_time[0][0], start_s

    def _usual_size(self) -> tuple[int, int]:
        """(H, W) of most pictures as they are given out, from their headers; the first that can be
        read is read where headers do not tell."""
        heads = Counter(
            (f.head.height, f.head.width) for reel in self._reels for f in reel.album.frames
        )
        (height, width), _ = heads.most_common(1)[0]
        if height and self.layout == "single":
            width, height = decoding.reduced((width, height), self.longest)
            return height, width
        for reel in self._reels:
            for frame in reel.album.frames:
                if (frame.head.height, frame.head.width) == (height, width):
                    try:
                        picture = self._picture(frame)
                    except RecordingError:
                        continue  # it is listed when its turn comes
                    return picture.shape[1], picture.shape[2]
        raise NothingToRead("none of the pictures can be read: the first of each size was tried")

    def _skip(self, path: str, reason: str) -> None:
        if self.strict:
            raise RecordingError(path, reason)
        if path not in self._noted:
            self._noted.add(path)
            self.skipped.append(Skipped(path, reason))

    def _why_nothing(self, roots: list[Path]) -> str:
        where = ", ".join(str(root) for root in roots) or "no path at all"
        shown = "; ".join(f"{Path(s.path).name}: {s.reason}" for s in self.skipped[:_SHOWN])
        more = f" and {len(self.skipped) - _SHOWN} more" if len(self.skipped) > _SHOWN else ""
        because = f" Skipped: {shown}{more}." if shown else ""
        left = f" {'; '.join(self.remarks)}." if self.remarks else ""
        return f"no pictures to read in {where}: looked for {', '.join(SUFFIXES)}.{because}{left}"


def _check(longest: int, colour: str, layout: str, share: float) -> None:
    if longest < 8:
        raise ParameterError(f"longest must be at least 8 pixels, got {longest}")
    if colour not in CAMERAS:
        raise ParameterError(f"colour must be one of {', '.join(CAMERAS)}, got {colour!r}")
    if layout not in LAYOUTS:
        raise ParameterError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    if not 0 < share < 1 or not math.isfinite(share):
        raise ParameterError(f"share must be in (0, 1), got {share}")


def _usual_camera(albums: list[Album], colour: str) -> str:
    """What was asked for, or what most pictures are; of two, the one with more to it."""
    if colour != "auto":
        return colour
    count = Counter(frame.head.camera for album in albums for frame in album.frames)
    pictures = count["colour"] + count["grey"]
    if count["celsius"] > pictures:
        return "celsius"
    return "colour" if count["colour"] >= count["grey"] else "grey"


def _by_time(reel: _Reel) -> tuple[bool, datetime, tuple[list[tuple[int, str]], str]]:
    """Sorts by start, those without one last, then by name."""
    began = reel.began
    return began is None, began or datetime.min.replace(tzinfo=UTC), natural(reel.album.name)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
