"""What everything else is about: recordings, the windows cut from them, and events.

Times are seconds from the start of the recording, float64; a recording may also know the wall-clock
time at which it began. All tables are columns of equal length, row i is window i.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from raravis.errors import ParameterError

FloatArray: TypeAlias = npt.NDArray[np.floating]
IntArray: TypeAlias = npt.NDArray[np.integer]
BoolArray: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Recording:
    """One recording as the rest of the house sees it, whatever file it came from.

    name        unique in the collection: its path relative to the folder the user named.
    path        where it lies now.
    duration_s  in seconds, exact: samples / rate.
    rate_hz     the rate at which the *file* was sampled.
    start_time  wall-clock time of the first sample, or None where nothing tells it.
    """

    name: str
    path: str
    duration_s: float
    rate_hz: float
    channels: int = 1
    start_time: datetime | None = None

    def time_at(self, seconds: float) -> datetime | None:
        """Wall-clock time `seconds` into the recording, or None where its start is unknown."""
        return None if self.start_time is None else self.start_time + timedelta(seconds=seconds)


@dataclass(frozen=True)
class Skipped:
    """A recording, or a part of one, that could not be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Windows:
    """Stretches of time: which recording (N,) int32, from (N,) and to (N,) in seconds."""

    recording: IntArray
    start_s: FloatArray
    end_s: FloatArray

    def __post_init__(self) -> None:
        if not len(self.recording) == len(self.start_s) == len(self.end_s):
            raise ParameterError(
                "columns of Windows must be of one length, got "
                f"{len(self.recording)}, {len(self.start_s)}, {len(self.end_s)}"
            )

    @classmethod
    def of(cls, recording: int, start_s: Iterable[float], end_s: Iterable[float]) -> Windows:
        """Windows of one recording."""
        start = np.asarray(list(start_s), dtype=np.float64)
        end = np.asarray(list(end_s), dtype=np.float64)
        return cls(np.full(len(start), recording, dtype=np.int32), start, end)

    @classmethod
    def concatenate(cls, parts: Sequence[Windows]) -> Windows:
        """All rows of `parts`, in order."""
        if not parts:
            return cls.of(0, [], [])
        return cls(
            np.concatenate([p.recording for p in parts]),
            np.concatenate([p.start_s for p in parts]),
            np.concatenate([p.end_s for p in parts]),
        )

    def __len__(self) -> int:
        return len(self.recording)

    def __getitem__(self, rows: slice | IntArray | BoolArray) -> Windows:
        return Windows(self.recording[rows], self.start_s[rows], self.end_s[rows])


@dataclass(frozen=True)
class Event:
    """Something rare: a stretch of one recording with its strangest moment.

    peak_s   middle of the strangest window, seconds from the start of the recording.
    score    of that window; higher is stranger.
    p_value  share of ordinary windows that would score at least as high.
    frame    name of the strangest picture, where windows are pictures.
    """

    recording: str
    start_s: float
    end_s: float
    peak_s: float
    score: float
    p_value: float
    start_time: datetime | None = field(default=None, compare=False)
    frame: str = ""
