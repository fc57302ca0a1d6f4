"""What is judged at once, by whom, and what comes back; the same for every way of working."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from raravis.detector import Detector
from raravis.errors import RecordingError
from raravis.sources import Source
from raravis.store import Rows
from raravis.windows import Skipped


@dataclass(frozen=True)
class Piece:
    """A stretch of one recording that is judged by itself.

    recording  index into the recordings of the source that is being scored.
    """

    recording: int
    from_s: float
    to_s: float


@dataclass(frozen=True)
class Answer:
    """What judging a piece brought.

    blocks   (scored until, rows by layer) of each block, in order.
    skipped  what could not be read as it stood.
    broken   why the recording could not be read on after those blocks; None where all is well.
    """

    blocks: Sequence[tuple[float, dict[str, Rows]]] = ()
    skipped: Sequence[Skipped] = ()
    broken: Skipped | None = None


class Judge:
    """What every worker does: judges one piece after the other."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    def judge(self, source: Source, from_s: float, to_s: float) -> Answer:
        """Judges a stretch of the only recording of `source`."""
        blocks: list[tuple[float, dict[str, Rows]]] = []
        broken = None
        try:
            for until_s, rows in self.detector.sense.judged(source, 0, from_s):
                blocks.append((until_s, rows))
                if until_s >= to_s:
                    break
        except RecordingError as error:
            broken = Skipped(error.path, error.reason)
        return Answer(blocks, source.skipped, broken)


@dataclass(frozen=True)
class News:
    """What became of a worker: it is ready, it has answered, or it has died.

    piece, answer  what was answered; None where the worker is ready, or dead.
    """

    worker: int
    piece: Piece | None = None
    answer: Answer | None = None
    died: str = field(default="")


class Workers(ABC):
    """Several who judge, each known by a number, and each given one piece after the other.

    most  how many there may be at once.

    News comes of each: first that it is ready, then answers in the order of its pieces; or that
    it has died, after which nothing comes of it any more.
    """

    most: int

    @abstractmethod
    def hire(self) -> int:
        """One more worker; returns its number."""

    @abstractmethod
    def give(self, worker: int, source: Source, piece: Piece) -> None:
        """Gives a piece to a worker; `source` holds its recording alone."""

    @abstractmethod
    def news(self, wait: bool) -> list[News]:
        """What happened since; with `wait`, once at least one thing has."""

    @abstractmethod
    def close(self) -> None:
        """Sends all workers home, whatever they are doing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
