"""Frames to learn from: which ones, and how they are at hand without being held all at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias, overload

import numpy as np

from raravis.errors import NothingToRead
from raravis.listening import spread_evenly
from raravis.progress import Progress, silent
from raravis.sources import FrameSource
from raravis.windows import FloatArray, Windows

Place: TypeAlias = tuple[int, int]
HELD_BYTES = 256 << 20  # of pictures kept in memory; the others are read again when asked for


class Pictures(Sequence[FloatArray]):
    """Frames of a source as a sequence of pictures (C, H, W), read from disk when asked for.

    places   (recording, frame) of each; all of them could be read once.
    held     pictures that are kept in memory, by their places.
    """

    def __init__(
        self, source: FrameSource, places: Sequence[Place], held: Mapping[Place, FloatArray]
    ) -> None:
        self.places = places
        self._source, self._held = source, held

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> FloatArray: ...

    @overload
    def __getitem__(self, index: slice) -> list[FloatArray]: ...

    def __getitem__(self, index: int | slice) -> FloatArray | list[FloatArray]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        place = recording, frame = self.places[index]
        if place in self._held:
            return self._held[place]
        return self._source.read(recording, frame, frame + 1).pictures[0]

    def some(self, most: int) -> Pictures:
        """At most so many of them, evenly spread."""
        chosen = spread_evenly(len(self), most)
        return Pictures(self._source, [self.places[number] for number in chosen], self._held)


def take_pictures(
    source: FrameSource, frames: int, first: float, progress: Progress = silent
) -> tuple[Pictures, Windows]:
    """At most `frames` frames, evenly spread over the share `first` of every recording from its
    beginning, and where they lie. Raises NothingToRead where none of them can be read."""
    possible = [
        (recording, frame)
        for recording, names in enumerate(source.frames)
        for frame in range(math.ceil(first * len(names)))
    ]
    chosen = spread_evenly(len(possible), frames)
    places: list[Place] = []
    windows: list[Windows] = []
    held: dict[Place, FloatArray] = {}
    free = HELD_BYTES
    for done, (recording, frame) in enumerate((possible[number] for number in chosen), 1):
        block = source.read(recording, frame, frame + 1)
        for picture in block.pictures:
            places.append((recording, frame))
            windows.append(block.windows)
            if picture.nbytes <= free:
                held[recording, frame] = picture
                free -= picture.nbytes
        progress("looking", done, len(chosen))
    if not places:
        reasons = "; ".join(f"{s.path}: {s.reason}" for s in source.skipped[:3])
        raise NothingToRead(f"none of {len(chosen)} pictures could be read: {reasons}")
    return Pictures(source, places, held), Windows.concatenate(windows)


def brightness(pictures: Sequence[FloatArray]) -> FloatArray:
    """Mean value of each picture, (N,): the simplest thing that may be strange about one."""
    return np.array([picture.mean(dtype=np.float64) for picture in pictures])


def portions(pictures: Sequence[FloatArray], size: int = 64) -> Iterator[Sequence[FloatArray]]:
    """So many pictures at a time."""
    return (pictures[start : start + size] for start in range(0, len(pictures), size))
