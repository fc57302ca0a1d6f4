"""What those who follow a training are told, and what they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from raravis.windows import FloatArray, IntArray, Recording, Windows

Row = Mapping[str, float]
Settings = Mapping[str, Any]
Columns = dict[str, Sequence[Any]]


@dataclass(frozen=True)
class Atlas:
    """Windows as points: where the network puts them, what they are, how they look.

    embedding  (N, D).
    columns    name -> (N,), such as the number of the window and its loss.
    pictures   (N, h, w) uint8, small.
    """

    embedding: FloatArray
    columns: Columns
    pictures: IntArray


class Tracker(Protocol):
    """Who is told. `epoch` counts from 1, as in training.csv.

    failures  what its package raises where it fails.
    """

    failures: tuple[type[Exception], ...]

    def row(self, row: Row) -> None:
        """One epoch is over."""

    def picture(self, epoch: int, picture: IntArray) -> None:
        """A few windows and below them what the network makes of them, (H, W, 3) uint8."""

    def atlas(self, epoch: int, atlas: Atlas) -> None:
        """Training is over; told once, also if it is gone on with after that."""

    def flush(self) -> None:
        """Whatever was told so far outlives a kill from now on, as far as the package can."""

    def close(self) -> None:
        """Nothing more will come; `flush` and let go."""


def places(windows: Windows, recordings: Sequence[Recording]) -> Callable[[IntArray], Columns]:
    """What tells recording, start and, where it is known, the time of windows by their numbers."""

    def of(rows: IntArray) -> Columns:
        chosen = windows[rows]
        held = [recordings[i] for i in chosen.recording]
        times = [r.time_at(float(s)) for r, s in zip(held, chosen.start_s, strict=True)]
        return {
            "recording": [recording.name for recording in held],
            "start_s": [f"{start:.3f}" for start in chosen.start_s],
            "time": [time.isoformat(timespec="seconds") if time else "" for time in times],
        }

    return of
