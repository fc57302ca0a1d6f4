"""Rows of channels over time: the one form in which every model of series sees them.

A row is one moment, a column one channel. Values are float64 and NaN where nothing was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np

from raravis.errors import ParameterError
from raravis.learned import Learned
from raravis.windows import BoolArray, FloatArray

CLIP = 10.0  # deviations; a wild value is strange enough there, and no longer rules everything


@dataclass(frozen=True)
class Series:
    """Rows that follow each other in one recording.

    values      (n, C) float64; NaN where a value is missing.
    time_s      (n,) seconds from the start of the recording, never falling.
    channels    (C,) names.
    labels      (n,) which rows are known to be anomalous, or None; no model ever sees them.
    start_time  wall-clock time of second 0 of the recording, or None.
    """

    values: FloatArray
    time_s: FloatArray
    channels: tuple[str, ...]
    labels: BoolArray | None = None
    start_time: datetime | None = None

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.time_s), len(self.channels)):
            raise ParameterError(
                f"values must be ({len(self.time_s)}, {len(self.channels)}), one row for each "
                f"time and one column for each channel, got {self.values.shape}"
            )
        if self.labels is not None and len(self.labels) != len(self.time_s):
            raise ParameterError(f"expected {len(self.time_s)} labels, got {len(self.labels)}")

    def __len__(self) -> int:
        return len(self.time_s)

    def __getitem__(self, rows: slice) -> Series:
        labels = None if self.labels is None else self.labels[rows]
        return Series(self.values[rows], self.time_s[rows], self.channels, labels, self.start_time)


class Scaling(Learned):
    """Brings every channel to mean 0 and deviation 1, as measured where it was fitted.

        scaled = clip((x - mean) / deviation, -10, 10)

    A deviation below a tenth of the channels' median one is raised to that: a channel that hardly
    moved while learning would else shout at its first step. Of a channel that did not move at all
    nothing is known: its steps are measured by the whole range that the median channel travelled,
    or count as they are where no channel moved. Missing values stay NaN.
    """

    def fit(self, stretches: Sequence[FloatArray]) -> Scaling:
        """Learns from stretches (n, C); a channel without any value gets mean 0."""
        values = np.concatenate(stretches)
        known = ~np.isnan(values)
        count = np.maximum(known.sum(axis=0), 1)
        self.mean_ = np.where(known, values, 0.0).sum(axis=0) / count  # (C,)
        apart = np.where(known, values - self.mean_, 0.0)
        deviation = np.sqrt(np.square(apart).sum(axis=0) / count)
        moving = deviation > 1e-6
        if not moving.any():
            self.deviation_ = np.ones_like(deviation)
            return self
        highest = np.where(known, values, -np.inf).max(axis=0)
        lowest = np.where(known, values, np.inf).min(axis=0)
        floor = 0.1 * np.median(deviation[moving])
        still = np.median(highest[moving] - lowest[moving])
        self.deviation_ = np.where(moving, np.maximum(deviation, floor), still)
        return self

    def apply(self, values: FloatArray) -> FloatArray:
        """Values (n, C) in deviations from the mean, within +-10."""
        scaled: FloatArray = ((values - self.mean_) / self.deviation_).clip(-CLIP, CLIP)
        return scaled

    def invert(self, scaled: FloatArray) -> FloatArray:
        """Scaled values (n, C) in the channels' own units."""
        return np.asarray(scaled * self.deviation_ + self.mean_)


def filled(values: FloatArray, most: int = 16) -> FloatArray:
    """Values (n, C) with each missing one replaced by the last known of its channel, if that is at
    most `most` rows old, else by 0, the mean of scaled values. Looks only back."""
    known = ~np.isnan(values)
    if known.all():
        return values
    row = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(known, row, -1), axis=0)  # (n, C)
    fresh = (last >= 0) & (row - last <= most)
    return np.where(fresh, np.take_along_axis(values, np.maximum(last, 0), axis=0), 0.0)


def unbroken(time_s: FloatArray, break_s: float) -> list[slice]:
    """The rows (n,) in stretches within which none follows another more than `break_s` later."""
    cuts = np.flatnonzero(np.diff(time_s) > break_s) + 1
    bounds = [0, *cuts.tolist(), len(time_s)]
    return [slice(first, stop) for first, stop in pairwise(bounds) if stop > first]


def strided(rows: FloatArray, window: int) -> FloatArray:
    """All windows of `window` rows in rows (n, C): a view (n - window + 1, C, window), no copy."""
    if len(rows) < window:
        return np.empty((0, rows.shape[1], window))
    return np.lib.stride_tricks.sliding_window_view(rows, window, axis=0)
