"""The frames of a run, read again where they lie, and made small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from raravis import report
from raravis.errors import DataError
from raravis.images.decoding import resized
from raravis.pictures import COLOURS
from raravis.senses.images import ImageSense
from raravis.sources import CHANNELS, FrameSource
from raravis.windows import FloatArray, IntArray, Recording

THERMAL = "magma"  # colours of thermal thumbnails


class Gallery:
    """Gives the picture of a window of a run; none of one that is no longer there.

    recordings  those of the run, in its order.
    numbers     (N,) which of them each window is of.
    names       (N,) what the frame of each window is called.

    One recording is open at a time: ask for the pictures of one after each other.
    """

    def __init__(
        self,
        sense: ImageSense,
        recordings: Sequence[Recording],
        numbers: IntArray,
        names: Sequence[str],
    ) -> None:
        self._sense, self._recordings = sense, recordings
        self._numbers, self._names = numbers, names
        self._opened = ""
        self._source: FrameSource | None = None
        self._places: dict[str, dict[str, int]] = {}

    def picture(self, row: int) -> FloatArray | None:
        """The picture (C, H, W) of window `row`."""
        recording = self._recordings[int(self._numbers[row])]
        source = self._open(recording.path)
        if source is None:
            return None
        number = _called(recording, source)
        if number is None or (frame := self._frames(source, number).get(self._names[row])) is None:
            return None
        pictures = source.read(number, frame, frame + 1).pictures
        return pictures[0] if pictures else None

    def _open(self, path: str) -> FrameSource | None:
        if path != self._opened:
            self._opened, self._source, self._places = path, None, {}
            try:
                self._source = self._sense.open(path)
            except DataError:
                return None  # the report shows what the run knows
        return self._source

    def _frames(self, source: FrameSource, number: int) -> dict[str, int]:
        """Number of each frame of a recording of the open source, by its name."""
        name = source.recordings[number].name
        if name not in self._places:
            self._places[name] = {frame: k for k, frame in enumerate(source.frames[number])}
        return self._places[name]


def _called(recording: Recording, source: FrameSource) -> int | None:
    """The recording as `source` numbers it, which may have been opened further down: the one at the
    same path whose name ends the same."""
    there = [k for k, one in enumerate(source.recordings) if one.path == recording.path]
    same = [k for k in there if recording.name.endswith(source.recordings[k].name)]
    return same[0] if same else there[0] if len(there) == 1 else None


# --- what cameras see ------------------------------------------------------------------------


def parts(picture: FloatArray, cameras: Sequence[str]) -> list[FloatArray]:
    """What each of one or two cameras saw, (C, H, W) each."""
    return [picture] if len(cameras) < 2 else np.split(picture, [CHANNELS[cameras[0]]])


def views(
    picture: FloatArray,
    cameras: Sequence[str],
    expected: FloatArray | None = None,
    heats: Sequence[FloatArray] = (),
    usual: Sequence[float] = (),
) -> list[report.View]:
    """A picture (C, H, W) as what each camera saw of it; `heats` and `usual` have one for each
    camera, or none."""
    instead = [None] * len(cameras) if expected is None else parts(expected, cameras)
    seen = [
        report.View(*one) for one in zip(cameras, parts(picture, cameras), instead, strict=True)
    ]
    if not heats:
        return seen
    veiled = zip(seen, heats, usual, strict=True)
    return [replace(view, heat=heat, usual=level) for view, heat, level in veiled]


def thumbnail_size(size: Sequence[int], cameras: int, longest: int = 48) -> tuple[int, int]:
    """(h, w) of the thumbnail of one camera's picture of this (H, W); of pairs they are smaller."""
    longest = longest if cameras == 1 else longest * 3 // 4
    share = min(1.0, longest / max(size))
    height, width = (max(4, round(share * length)) for length in size)
    return height, width


def thumbnail(picture: FloatArray, height: int, width: int) -> FloatArray:
    """A picture (C, H, W) as (C, height, width): its middle, where it is of another form."""
    tall, wide = picture.shape[1:]
    if wide * height > tall * width:
        kept = max(1, round(tall * width / height))
        picture = picture[:, :, (wide - kept) // 2 :][:, :, :kept]
    else:
        kept = max(1, round(wide * height / width))
        picture = picture[:, (tall - kept) // 2 :][:, :kept]
    return resized(np.ascontiguousarray(picture), height, width)


def coloured(small: FloatArray, cameras: Sequence[str]) -> IntArray:
    """Thumbnails (K, C, h, w) as (K, h, w, 3) uint8, those of two cameras side by side; all
    temperatures on one scale."""
    channels = [CHANNELS[camera] for camera in cameras]
    sides = np.split(small, np.cumsum(channels)[:-1], axis=1)
    both = [_in_colour(side, camera) for side, camera in zip(sides, cameras, strict=True)]
    return np.concatenate(both, axis=2)


def _in_colour(pictures: FloatArray, camera: str) -> IntArray:
    """Pictures (K, C, h, w) of one camera as (K, h, w, 3) uint8."""
    if camera != "celsius":
        levels: IntArray = np.rint(255 * np.clip(pictures, 0, 1)).astype(np.uint8)
        return np.moveaxis(np.broadcast_to(levels, (len(levels), 3, *levels.shape[2:])), 1, 3)
    degrees = pictures[:, 0]
    low, high = np.nanpercentile(degrees, [0.5, 99.5]) if degrees.size else (0.0, 1.0)
    place = np.clip((np.nan_to_num(degrees, nan=low) - low) / max(high - low, 0.1), 0, 1)
    stops = [[int(stop[k : k + 2], 16) for k in (1, 3, 5)] for stop in COLOURS[THERMAL]]
    table = np.array(stops, dtype=np.float64)  # (stops, 3)
    at = np.arange(len(table))
    rgb = [np.interp(place * at[-1], at, table[:, channel]) for channel in range(3)]
    levels = np.rint(np.stack(rgb, axis=-1)).astype(np.uint8)
    return levels
