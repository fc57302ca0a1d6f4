"""Recordings on disk -> windows. A new kind of recording is one file in this folder.

A source finds the recordings, knows when each began, and reads any stretch of any of them, in
bounded memory. What it cannot read it lists in `skipped`; it does not stop for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from raravis.errors import RecordingError
from raravis.registry import Registry
from raravis.series.rows import Series
from raravis.windows import FloatArray, Recording, Skipped, Windows


@dataclass(frozen=True)
class Block:
    """A stretch of a recording that is processed at once, with margins around it.

    recording     index into `Source.recordings`.
    start_s       the block answers for [start_s, end_s), whole seconds except at a recording's end.
    end_s
    samples       (S,) float32 at `rate_hz`, from `first_sample` on: the block and its margins.
    first_sample  index in the recording, at `rate_hz`, of samples[0].
    rate_hz       the collection's common rate.
    """

    recording: int
    start_s: float
    end_s: float
    samples: FloatArray
    first_sample: int
    rate_hz: int


@dataclass(frozen=True)
class RowBlock:
    """A stretch of rows of one recording that is processed at once, with the rows before it.

    recording  index into `Source.recordings`.
    first_row  row of the recording that the block answers for first.
    context    how many rows before it stand at the beginning of `series`: as many as were asked
               for, fewer at the recording's start.
    series     the rows before the block, and the block.
    end_s      where the block ends: the time of the row after it, or the recording's end.
    """

    recording: int
    first_row: int
    context: int
    series: Series
    end_s: float


@dataclass(frozen=True)
class FrameBlock:
    """Frames of one recording that are processed at once; what could not be read is not among them.

    names     of the frames, unique in the recording.
    pictures  (C, H, W) float32 each, of any size: in [0, 1], or degrees Celsius.
    windows   (n,) when each frame was taken, and until when it stands for what was there.
    end_s     where the block ends: the time of the frame after it, or the recording's end.
    """

    names: list[str]
    pictures: list[FloatArray]
    windows: Windows
    end_s: float


class Source(ABC):
    """Recordings of one kind.

    recordings  what was found and can be opened, in order of time, then name.
    skipped     what could not be used, and why; grows while reading.
    remarks     what was read, but not as it stood, and how: "plant.csv: 12 rows were out of order".
    windows     the fixed windows of all recordings, in order.
    """

    recordings: list[Recording]
    skipped: list[Skipped]
    remarks: list[str]

    @property
    @abstractmethod
    def windows(self) -> Windows:
        """All fixed windows: as far as they fit."""

    def __len__(self) -> int:
        return len(self.windows)

    @abstractmethod
    def __getitem__(self, index: int) -> FloatArray:
        """Fixed window `index`, float32, read from disk now."""

    @abstractmethod
    def part(self, numbers: Sequence[int]) -> Self:
        """A source of only these of its recordings, numbered anew, cut as they are cut here.

        Nothing is opened for it and nothing is skipped in it yet; it may be sent to another
        process.
        """

    def skip(self, error: RecordingError) -> None:
        """Notes that a recording broke while it was read."""
        self.skipped.append(Skipped(error.path, error.reason))


class SoundSource(Source):
    """Recordings of sound: samples at one common rate.

    rate_hz  the common rate at which samples are given out.
    """

    rate_hz: int

    @abstractmethod
    def read(self, recording: int, start_s: float, end_s: float) -> FloatArray:
        """Any stretch of one recording, (S,) float32 at the common rate.

        Raises RecordingError where the file cannot be read there.
        """

    @abstractmethod
    def blocks(
        self, recording: int, from_s: float = 0.0, length_s: float = 300.0, margin_s: float = 10.0
    ) -> Iterator[Block]:
        """The recording in blocks of `length_s` from `from_s` on; each is read on its own.

        Block borders lie on a fixed grid of multiples of `length_s`, so that work cut off and
        taken up again at a border gives the same numbers. Raises RecordingError where the file
        ends too early or breaks.
        """

    @abstractmethod
    def spans(
        self, recording: int, from_s: float = 0.0, length_s: float = 300.0
    ) -> Iterator[tuple[float, float]]:
        """(start_s, end_s) of each of those blocks; nothing is read."""


class RowSource(Source):
    """Recordings that are series: the same channels in every recording, one row a moment.

    channels     (C,) names, in the order in which all recordings give them out.
    interval_s   usual time from row to row, seconds.
    rows         rows of each recording.
    learn_until  for each recording, the rows at its start that its format sets apart for
                 learning; None where it says nothing.
    """

    channels: tuple[str, ...]
    interval_s: float
    rows: list[int]
    learn_until: list[int | None]

    @abstractmethod
    def read(self, recording: int, first_row: int, stop_row: int) -> Series:
        """Rows first_row .. stop_row - 1 of one recording, as far as they exist.

        Raises RecordingError where the file cannot be read there.
        """

    @abstractmethod
    def blocks(
        self, recording: int, from_s: float = 0.0, length: int = 65_536, context: int = 0
    ) -> Iterator[RowBlock]:
        """The recording in blocks of `length` rows, each with `context` rows before it, from the
        first row at or after `from_s` on. Memory does not grow with the recording."""


class FrameSource(Source):
    """Recordings that are rows of pictures: a folder of them, an archive, what a camera left.

    Window i of a recording is its frame i. A recording whose frames all tell when they were taken
    has a `start_time`, and its windows are true to the clock; any other is counted through, a
    second a frame, in natural order of the names.

    cameras     what each camera took, "colour", "grey" or "celsius": one of them, or the two of a
                pair, whose pictures are laid on each other, channel upon channel.
    frames      for each recording the names of its frames.
    interval_s  usual time from frame to frame, seconds.
    size        (H, W) of most pictures.
    """

    cameras: tuple[str, ...]
    frames: list[list[str]]
    interval_s: float
    size: tuple[int, int]

    @property
    def channels(self) -> int:
        """C of every picture."""
        return sum(CHANNELS[camera] for camera in self.cameras)

    @property
    def split(self) -> int:
        """How many of the channels are the first camera's."""
        return CHANNELS[self.cameras[0]]

    @abstractmethod
    def read(self, recording: int, first: int, stop: int) -> FrameBlock:
        """Frames first .. stop - 1 of one recording, as far as they exist and can be read; those
        that cannot be are noted in `skipped`."""

    def consistency(self) -> list[str]:
        """How well the pictures go together, in lines: how they are stored or joined."""
        return []

    @abstractmethod
    def blocks(self, recording: int, from_s: float = 0.0, length: int = 64) -> Iterator[FrameBlock]:
        """The recording in blocks of `length` frames from the first at or after `from_s` on."""


CHANNELS = {"colour": 3, "grey": 1, "celsius": 1}  # of a camera's pictures


_registry: Registry[Source] = Registry("source", __name__)
register, names, get, create = (
    _registry.register,
    _registry.names,
    _registry.get,
    _registry.create,
)
