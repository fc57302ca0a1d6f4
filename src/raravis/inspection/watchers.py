"""What is kept of rows that pass by once: each watcher sees every block, and stays small.

All take the number of a block's first row in the whole collection, and its rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from raravis.series.rows import Series
from raravis.windows import BoolArray, FloatArray, IntArray, Recording

MOST_POINTS = 5000  # rows drawn one by one; where there are more, bins of rows are drawn
BINS = 1600
MOST_VALUES = 5_000_000  # of all channels together, from which quantiles are taken
GAP = 1.5  # usual intervals; a longer one is a gap
LONGEST = 50  # gaps that are remembered
HALF_HOURS, HOURS = 48, 168


@dataclass(frozen=True)
class Gap:
    """An interval between two rows that is longer than usual.

    recording  its name.
    after_s    time of the row before the gap, from the start of the recording.
    gap_s      how long it is.
    at         wall-clock time of the row before, or None.
    """

    recording: str
    after_s: float
    gap_s: float
    at: datetime | None


class Moments:
    """Count, mean, deviation, least and greatest of each channel, without what is missing.

    Blocks are joined exactly; Chan et al. 1983, doi:10.1080/00031305.1983.10483115.
    """

    def __init__(self, channels: int) -> None:
        self.rows = 0
        self.count = np.zeros(channels, dtype=np.int64)
        self.mean = np.zeros(channels)
        self.squares = np.zeros(channels)  # summed squared distances from the mean
        self.least = np.full(channels, np.nan)
        self.greatest = np.full(channels, np.nan)

    def add(self, values: FloatArray) -> None:
        """Rows (n, C)."""
        known = ~np.isnan(values)
        count = known.sum(axis=0)
        mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1)
        squares = np.square(np.where(known, values - mean, 0.0)).sum(axis=0)
        both = np.maximum(self.count + count, 1)
        apart = mean - self.mean
        self.squares += squares + np.square(apart) * self.count * count / both
        self.mean += apart * count / both
        self.count += count
        self.rows += len(values)
        self.least = np.fmin(self.least, np.fmin.reduce(values, axis=0))
        self.greatest = np.fmax(self.greatest, np.fmax.reduce(values, axis=0))

    @property
    def deviation(self) -> FloatArray:
        """Of the sample (n - 1), NaN below two values."""
        more = np.where(self.count > 1, self.count - 1, np.nan)
        deviation: FloatArray = np.sqrt(self.squares / more)
        return deviation


class Envelope:
    """Least, greatest and mean value of each bin of rows, for drawing any number of rows.

    low, high, mean  (B, C), NaN where a bin holds no value.
    missing          (B, C) share of the bin's rows.
    labelled         (B,) whether any of its rows is labelled.
    first_row        (B,) in the whole collection; time_s (B,), of that row in its recording.
    """

    def __init__(self, rows: int, channels: int) -> None:
        self._rows = max(1, rows)
        bins = rows if rows <= MOST_POINTS else BINS
        self.low = np.full((bins, channels), np.nan)
        self.high = np.full((bins, channels), np.nan)
        self._sum, self._known = np.zeros((bins, channels)), np.zeros((bins, channels))
        self._size = np.zeros(bins)
        self.labelled = np.zeros(bins, dtype=bool)
        self.time_s = np.full(bins, np.nan)

    def add(self, first_row: int, series: Series) -> None:
        """A block of rows."""
        bins = (first_row + np.arange(len(series))) * len(self.low) // self._rows
        here, starts = np.unique(bins, return_index=True)
        known = ~np.isnan(series.values)
        self.low[here] = np.fmin(self.low[here], np.fmin.reduceat(series.values, starts))
        self.high[here] = np.fmax(self.high[here], np.fmax.reduceat(series.values, starts))
        self._sum[here] += np.add.reduceat(np.where(known, series.values, 0.0), starts)
        self._known[here] += np.add.reduceat(known.astype(np.int64), starts)
        self._size[here] += np.diff([*starts, len(series)])
        self.time_s[here] = np.fmin(self.time_s[here], series.time_s[starts])
        if series.labels is not None:
            self.labelled[here] |= np.logical_or.reduceat(series.labels, starts)

    @property
    def mean(self) -> FloatArray:
        """(B, C)"""
        return np.where(self._known > 0, self._sum / np.maximum(self._known, 1), np.nan)

    @property
    def missing(self) -> FloatArray:
        """(B, C)"""
        share: FloatArray = 1 - self._known / np.maximum(self._size, 1)[:, None]
        return share

    @property
    def first_row(self) -> IntArray:
        """(B,)"""
        return -(-np.arange(len(self.low)) * self._rows // len(self.low))


class Sample:
    """Every so-many-th row, kept: all of them where there are few.

    step  how many rows stand for one.
    """

    def __init__(self, rows: int, channels: int) -> None:
        self.step = max(1, math.ceil(rows * channels / MOST_VALUES))
        self._values: list[FloatArray] = []
        self._labels: list[BoolArray] = []

    def add(self, first_row: int, series: Series) -> None:
        """A block of rows."""
        rows = slice(-first_row % self.step, None, self.step)
        labels = series.labels if series.labels is not None else np.zeros(len(series), dtype=bool)
        self._values.append(series.values[rows].copy())
        self._labels.append(labels[rows].copy())

    @property
    def values(self) -> FloatArray:
        """(n, C)"""
        return np.concatenate(self._values)

    @property
    def labels(self) -> BoolArray:
        """(n,)"""
        return np.concatenate(self._labels)


class Intervals:
    """Times between rows: how often each length comes, and where rows are missing.

    counts   (K,) intervals between edges_s[k] and edges_s[k + 1], twenty to a decade.
    gaps     the longest of them, longest first; gap_count, how many there are.
    """

    def __init__(self) -> None:
        self.edges_s = np.logspace(-7, 9, 321)
        self.counts = np.zeros(320, dtype=np.int64)
        self.gaps: list[Gap] = []
        self.gap_count = 0
        self.shortest_s, self.longest_s = math.inf, 0.0
        self._last: tuple[str, float] = ("", 0.0)

    def add(self, recording: Recording, time_s: FloatArray) -> None:
        """Times (n,) of a block of one recording."""
        if self._last[0] == recording.name:
            time_s = np.concatenate([[self._last[1]], time_s])
        self._last = (recording.name, float(time_s[-1]))
        intervals = np.diff(time_s)
        if not len(intervals):
            return
        self.counts += np.histogram(intervals, self.edges_s)[0]
        self.shortest_s = min(self.shortest_s, float(intervals.min()))
        self.longest_s = max(self.longest_s, float(intervals.max()))
        (where,) = np.nonzero(intervals > GAP / recording.rate_hz)
        self.gap_count += len(where)
        for at in where[np.argsort(-intervals[where], kind="stable")[:LONGEST]]:
            after_s = float(time_s[at])
            gap = Gap(recording.name, after_s, float(intervals[at]), recording.time_at(after_s))
            self.gaps.append(gap)
        self.gaps = sorted(self.gaps, key=lambda gap: -gap.gap_s)[:LONGEST]


class Known:
    """How many rows are labelled, and in how many stretches; None where nothing has labels."""

    def __init__(self) -> None:
        self.rows: int | None = None
        self.stretches = 0
        self._last: tuple[str, bool] = ("", False)

    def add(self, recording: str, labels: BoolArray | None) -> None:
        """Labels (n,) of a block of one recording."""
        if labels is None:
            return
        self.rows = (self.rows or 0) + int(labels.sum())
        before = self._last[1] if self._last[0] == recording else False
        self.stretches += int((labels & ~np.concatenate([[before], labels[:-1]])).sum())
        self._last = (recording, bool(labels[-1]))


class Clock:
    """Mean and deviation of each channel in every half hour of the day, and hour of the week.

    A week begins on Monday. Only recordings that know their time count.
    """

    def __init__(self, channels: int) -> None:
        self._day = np.zeros((3, HALF_HOURS, channels))  # count, sum, sum of squares
        self._week = np.zeros((3, HOURS, channels))
        self.days = 0.0  # from the first to the last row
        self._first: datetime | None = None

    def add(self, series: Series, centre: FloatArray) -> None:
        """A block of rows; centre (C,) is any value near the mean, against rounding."""
        if series.start_time is None:
            return
        start = series.start_time
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        seconds = (start - midnight).total_seconds() + series.time_s
        into_week = seconds + 86_400 * start.weekday()
        apart = series.values - centre
        for sums, bins, count in (
            (self._day, seconds // 1800 % HALF_HOURS, HALF_HOURS),
            (self._week, into_week // 3600 % HOURS, HOURS),
        ):
            place = bins.astype(np.int64)
            for channel, values in enumerate(apart.T):
                known = ~np.isnan(values)
                for power in range(3):
                    sums[power, :, channel] += np.bincount(
                        place[known], values[known] ** power, minlength=count
                    )
        begins = start + timedelta(seconds=float(series.time_s[0]))
        self._first = begins if self._first is None else min(self._first, begins)
        ends = start + timedelta(seconds=float(series.time_s[-1]))
        self.days = max(self.days, (ends - self._first).total_seconds() / 86_400)

    def day(self, centre: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and deviation (48, C), NaN where there is no value."""
        return _profile(self._day, centre)

    def week(self, centre: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and deviation (168, C), NaN where there is no value."""
        return _profile(self._week, centre)


def _profile(sums: FloatArray, centre: FloatArray) -> tuple[FloatArray, FloatArray]:
    count = np.where(sums[0] > 0, sums[0], np.nan)
    mean = sums[1] / count
    return mean + centre, np.sqrt(np.maximum(sums[2] / count - mean**2, 0.0))
