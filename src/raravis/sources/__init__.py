"""Recordings on disk -> windows. A new kind of recording is one file in this folder.

A source finds the recordings, knows when each began, and reads any stretch of any of them, in
bounded memory. What it cannot read it lists in `skipped`; it does not stop for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from raravis.registry import Registry
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


class Source(ABC):
    """Recordings of one kind.

    recordings  what was found and can be opened, in order of time, then name.
    skipped     what could not be used, and why; grows while reading.
    windows     the fixed windows of all recordings, in order.
    rate_hz     the common rate at which samples are given out.
    """

    recordings: list[Recording]
    skipped: list[Skipped]
    rate_hz: int

    @property
    @abstractmethod
    def windows(self) -> Windows:
        """All fixed windows: `window_s` long, every `hop_s`, as far as they fit."""

    def __len__(self) -> int:
        return len(self.windows)

    @abstractmethod
    def __getitem__(self, index: int) -> FloatArray:
        """Samples of fixed window `index`, (S,) float32, read from disk now."""

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


_registry: Registry[Source] = Registry("source", __name__)
register, names, get, create = (
    _registry.register,
    _registry.names,
    _registry.get,
    _registry.create,
)
