"""Series: what each channel holds, how rows follow each other, what belongs together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import welch

from raravis.errors import RecordingError
from raravis.inspection.watchers import Clock, Envelope, Intervals, Known, Moments, Sample
from raravis.progress import Progress, silent
from raravis.sources import RowSource
from raravis.windows import FloatArray, IntArray

MOST_CHANNELS = 12  # drawn
BLOCK = 65_536  # rows that are read at once
SPECTRUM_ROWS = 2**18
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Channel:
    """The numbers of one channel; NaN where it holds too few values.

    count, missing  values that are there, and that are not.
    deviation       standard deviation of the sample, with n - 1.
    low ... high    quantiles .05, .25, .5, .75 and .95; of every so-many-th row in large data.
    distinct        different values, among those rows.
    """

    name: str
    count: int
    missing: int
    mean: float
    deviation: float
    minimum: float
    low: float
    quarter: float
    median: float
    three_quarters: float
    high: float
    maximum: float
    distinct: int

    @property
    def is_constant(self) -> bool:
        """Whether there is one value only, or none."""
        return not self.minimum < self.maximum


@dataclass(frozen=True)
class Spectrum:
    """Power of each channel, scaled to deviation 1, at each frequency.

    hz, power  (F,), and (F, C), NaN for constant channels.
    recording  of which; its first `rows` rows.
    """

    hz: FloatArray
    power: FloatArray
    recording: str
    rows: int


class SeriesView:
    """All that was seen in one pass through the rows of a collection."""

    def __init__(self, source: RowSource) -> None:
        self.source = source
        self.starts: IntArray = np.concatenate([[0], np.cumsum(source.rows)])  # of recordings
        rows, channels = int(self.starts[-1]), len(source.channels)
        self.moments = Moments(channels)
        self.envelope = Envelope(rows, channels)
        self.sample = Sample(rows, channels)
        self.intervals = Intervals()
        self.known = Known()
        self.clock = Clock(channels)
        self.centre: FloatArray = np.zeros(channels)
        self.spectrum: Spectrum | None = None
        self.channels: list[Channel] = []

    def read(self, progress: Progress) -> None:
        """Goes through all rows."""
        rows = int(self.starts[-1])
        for index, recording in enumerate(self.source.recordings):
            try:
                for block in self.source.blocks(index, 0.0, BLOCK):
                    first = int(self.starts[index]) + block.first_row
                    self.moments.add(block.series.values)
                    if self.moments.rows == len(block.series):
                        self.centre = self.moments.mean.copy()  # of the first block
                    self.envelope.add(first, block.series)
                    self.sample.add(first, block.series)
                    self.intervals.add(recording, block.series.time_s)
                    self.known.add(recording.name, block.series.labels)
                    self.clock.add(block.series, self.centre)
                    progress("looking through rows", first + len(block.series), rows)
            except RecordingError as error:
                self.source.skip(error)
        self.channels = self._channels()
        self.spectrum = self._spectrum()

    def _channels(self) -> list[Channel]:
        moments, values = self.moments, self.sample.values
        found = []
        for i, name in enumerate(self.source.channels):
            known = values[:, i][~np.isnan(values[:, i])]
            quantiles = np.quantile(known, QUANTILES) if len(known) else np.full(5, np.nan)
            low, quarter, median, three_quarters, high = quantiles.tolist()
            found.append(
                Channel(
                    name=name,
                    count=int(moments.count[i]),
                    missing=int(moments.rows - moments.count[i]),
                    mean=float(moments.mean[i]) if moments.count[i] else float("nan"),
                    deviation=float(moments.deviation[i]),
                    minimum=float(moments.least[i]),
                    low=low,
                    quarter=quarter,
                    median=median,
                    three_quarters=three_quarters,
                    high=high,
                    maximum=float(moments.greatest[i]),
                    distinct=len(np.unique(known)),
                )
            )
        return found

    def _spectrum(self) -> Spectrum | None:
        """Welch's estimate on the longest recording; None where it is too short."""
        longest = int(np.argmax(self.source.rows))
        recording = self.source.recordings[longest]
        try:
            values = self.source.read(longest, 0, SPECTRUM_ROWS).values
        except RecordingError as error:
            self.source.skip(error)
            return None
        if len(values) < 64:
            return None
        whole = pd.DataFrame(values).interpolate(limit_direction="both").to_numpy()
        deviation = whole.std(axis=0)
        scaled = (whole - whole.mean(axis=0)) / np.where(deviation > 0, deviation, np.nan)
        segment = min(4096, len(values) // 4)
        hz, power = welch(scaled, recording.rate_hz, nperseg=segment, axis=0)
        return Spectrum(hz[1:], power[1:], recording.name, len(values))

    # --- what is told ------------------------------------------------------------------------

    @property
    def shown(self) -> list[int]:
        """Channels that are drawn: all, or those with most different values, in their order; of
        those with about as many, the first."""
        if len(self.channels) <= MOST_CHANNELS:
            return list(range(len(self.channels)))
        about = [-round(math.log2(max(1, c.distinct))) for c in self.channels]
        order = np.argsort(about, kind="stable")
        return sorted(order[:MOST_CHANNELS].tolist())

    def correlation(self) -> pd.DataFrame:
        """Pearson correlation of each pair of channels, over rows in which both are known."""
        values = pd.DataFrame(self.sample.values, columns=list(self.source.channels))
        with np.errstate(invalid="ignore", divide="ignore"):
            return values.corr()

    def overview(self) -> dict[str, Any]:
        """Counts, times, gaps and labels of the collection, for print or JSON."""
        source, intervals = self.source, self.intervals
        starts = sorted(r.start_time for r in source.recordings if r.start_time is not None)
        return {
            "recordings": len(source.recordings),
            "channels": len(source.channels),
            "rows": int(self.starts[-1]),
            "hours": round(sum(r.duration_s for r in source.recordings) / 3600, 4),
            "interval_s": source.interval_s,
            "first_start": starts[0].isoformat() if starts else None,
            "last_start": starts[-1].isoformat() if starts else None,
            "missing": int(sum(c.missing for c in self.channels)),
            "constant": [c.name for c in self.channels if c.is_constant],
            "gaps": intervals.gap_count,
            "longest_interval_s": intervals.longest_s,
            "labelled_rows": self.known.rows,
            "labelled_stretches": None if self.known.rows is None else self.known.stretches,
            "remarks": list(source.remarks),
            "skipped": [{"path": s.path, "reason": s.reason} for s in source.skipped],
        }

    def details(self) -> dict[str, Any]:
        """Every channel's numbers, the longest gaps, and the strongest correlations."""
        gaps = [
            {**vars(gap), "at": gap.at.isoformat() if gap.at else None}
            for gap in self.intervals.gaps
        ]
        pairs = strongest_pairs(self.correlation())
        return {
            "statistics": [_json(vars(channel)) for channel in self.channels],
            "longest_gaps": gaps,
            "strongest_correlations": [{"channels": [a, b], "r": r} for a, b, r in pairs],
        }

    def table(self) -> tuple[str, list[str], list[list[Any]]]:
        """Title, columns and rows: the most important numbers of each channel."""
        columns = ["channel", "missing", "mean", "deviation", "least", "median", "greatest"]
        rows: list[list[Any]] = [
            [c.name, c.missing, c.mean, c.deviation, c.minimum, c.median, c.maximum]
            for c in self.channels
        ]
        return "Channels", columns, rows


def _json(numbers: dict[str, Any]) -> dict[str, Any]:
    """Numbers as JSON has them: what is not known is null."""
    return {k: None if v != v else v for k, v in numbers.items()}


def look_at(source: RowSource, progress: Progress = silent) -> SeriesView:
    """Goes once through all rows of a collection, in memory that does not grow with them."""
    view = SeriesView(source)
    view.read(progress)
    return view


def strongest_pairs(correlation: pd.DataFrame, most: int = 5) -> list[tuple[str, str, float]]:
    """The pairs of channels that go together most, in either direction."""
    names: Sequence[str] = list(correlation.columns)
    table = correlation.to_numpy()
    first, second = np.triu_indices(len(names), 1)
    together = table[first, second]
    order = np.argsort(-np.abs(np.nan_to_num(together)), kind="stable")[:most]
    return [
        (names[first[i]], names[second[i]], float(together[i]))
        for i in order
        if not np.isnan(together[i])
    ]
