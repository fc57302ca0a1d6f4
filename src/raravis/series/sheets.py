"""One recording of rows, wherever they lie; and what is seen when it is looked through once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from raravis.errors import RecordingError
from raravis.series.rows import Series
from raravis.windows import BoolArray, FloatArray, IntArray

_GAP = 1.5  # usual intervals: a longer step is a gap
_UNEVEN = 0.1  # of the usual interval: a step further from it than this is uneven
_SHOWN = 4


class Sheet(ABC):
    """The rows of one recording, in order of time.

    channels     names of its columns.
    learn_until  rows at its start that its format sets apart for learning, or None.
    remarks      what was read, but not as it stood.
    """

    channels: tuple[str, ...]
    learn_until: int | None = None
    remarks: list[str]

    @abstractmethod
    def read(self, first_row: int, stop_row: int, channels: Sequence[str]) -> Series:
        """A stretch of rows with the channels asked for."""

    @abstractmethod
    def row_at(self, time_s: float) -> int:
        """The first row at or after a time; as many as there are rows where none is."""

    @abstractmethod
    def times_s(self) -> FloatArray:
        """When each row was, (n,) seconds from the first."""

    @abstractmethod
    def parts(self) -> Iterator[Series]:
        """All rows with all channels, in stretches that fit into memory."""

    def close(self) -> None:
        """Lets go of what is open. Reading again opens it again."""
        return


@dataclass
class HeldSheet(Sheet):
    """The rows of one recording, all in memory."""

    series: Series
    learn_until: int | None = None
    remarks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.channels = self.series.channels

    def read(self, first_row: int, stop_row: int, channels: Sequence[str]) -> Series:
        rows = self.series[first_row:stop_row]
        columns = [self.channels.index(name) for name in channels]
        values = rows.values[:, columns]
        return Series(values, rows.time_s, tuple(channels), rows.labels, rows.start_time)

    def row_at(self, time_s: float) -> int:
        return int(np.searchsorted(self.series.time_s, time_s))

    def times_s(self) -> FloatArray:
        return self.series.time_s

    def parts(self) -> Iterator[Series]:
        yield self.series


@dataclass(frozen=True)
class Survey:
    """What is seen in a recording when it is looked through once.

    open         opens it again.
    interval_s   usual time from row to row: the median step.
    duration_s   from the first row to one interval after the last.
    known        (C,) how many values each channel has.
    constant     (C,) whether a channel with values never changes.
    learn_until  rows at its start that its format sets apart for learning, or None.
    remarks      what was read, but not as it stood.
    """

    name: str
    path: Path
    open: Callable[[], Sheet]
    channels: tuple[str, ...]
    rows: int
    interval_s: float
    duration_s: float
    start_time: datetime | None
    known: IntArray
    constant: BoolArray
    learn_until: int | None
    remarks: list[str]

    def remarks_on(self, channels: Sequence[str]) -> list[str]:
        """All remarks, with those on what is missing or constant in some of its channels."""
        at = [self.channels.index(name) for name in channels]
        missing = [
            f"{self.rows - self.known[i]} in {self.channels[i]!r}"
            for i in at
            if 0 < self.known[i] < self.rows
        ]
        empty = [self.channels[i] for i in at if not self.known[i]]
        constant = [self.channels[i] for i in at if self.constant[i]]
        remarks = list(self.remarks)
        if missing:
            more = f" and more in {len(missing) - _SHOWN} others" if len(missing) > _SHOWN else ""
            remarks.append(f"values are missing: {', '.join(missing[:_SHOWN])}{more}")
        if empty:
            remarks.append(f"holds no value: {listed(empty)}")
        if constant:
            remarks.append(f"never changes: {listed(constant)}")
        return remarks


class _Steps:
    """Times from row to row, taken in part by part."""

    def __init__(self) -> None:
        self.medians_s: list[float] = []
        self.gaps = self.twice = self.uneven = self.rows = 0
        self.longest_s = 0.0
        self._last_s: float | None = None

    def add(self, time_s: FloatArray) -> None:
        before = [] if self._last_s is None else [self._last_s]
        steps_s = np.diff(np.concatenate([before, time_s]))
        self._last_s = float(time_s[-1])
        self.rows += len(time_s)
        forward_s = steps_s[steps_s > 0]
        self.twice += len(steps_s) - len(forward_s)
        if not len(forward_s):
            return
        usual_s = float(np.median(forward_s))
        gaps = forward_s > _GAP * usual_s
        self.medians_s.append(usual_s)
        self.gaps += int(gaps.sum())
        self.longest_s = max(self.longest_s, float(forward_s.max()))
        self.uneven += int((np.abs(forward_s[~gaps] - usual_s) > _UNEVEN * usual_s).sum())

    def remarks(self, interval_s: float) -> list[str]:
        found = []
        if self.twice:
            found.append(f"{counted(self.twice, 'row')} with the same time as the row before")
        if self.gaps:
            of = f"the longest of {self.longest_s:g} s where rows usually come every {interval_s:g}"
            found.append(f"{counted(self.gaps, 'gap')} in time, {of}")
        if self.uneven > 0.05 * self.rows:
            share = self.uneven / self.rows
            found.append(f"{share:.0%} of its steps are further than a tenth from {interval_s:g} s")
        return found


def survey(name: str, path: Path, opener: Callable[[], Sheet]) -> Survey:
    """Looks through a recording once. Raises RecordingError where it cannot be used."""
    sheet = opener()
    steps = _Steps()
    known = np.zeros(len(sheet.channels), dtype=np.int64)
    low, high = np.full(len(known), np.inf), np.full(len(known), -np.inf)
    start, last_s = None, 0.0
    for part in sheet.parts():
        if not len(part):
            continue
        steps.add(part.time_s)
        there = ~np.isnan(part.values)
        known += there.sum(axis=0)
        low = np.minimum(low, np.where(there, part.values, np.inf).min(axis=0))
        high = np.maximum(high, np.where(there, part.values, -np.inf).max(axis=0))
        start, last_s = start or part.start_time, float(part.time_s[-1])
    _check(path, steps, known)
    interval_s = float(np.median(steps.medians_s))
    return Survey(
        name, path, opener, sheet.channels, steps.rows, interval_s, last_s + interval_s, start,
        known, (known > 0) & (low == high), sheet.learn_until,
        [*sheet.remarks, *steps.remarks(interval_s)],
    )  # fmt: skip


def _check(path: Path, steps: _Steps, known: IntArray) -> None:
    if steps.rows < 2:
        raise RecordingError(
            str(path), f"has {counted(steps.rows, 'row')} of data: at least 2 are needed"
        )
    if not steps.medians_s:
        raise RecordingError(str(path), "has the same time in all its rows")
    if not known.any():
        raise RecordingError(str(path), "has no value in any of its channels")


def counted(count: int, what: str) -> str:
    """ "1 cell", "12 cells"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
