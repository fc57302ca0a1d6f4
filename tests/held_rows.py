"""Series made from nothing and held in memory, for the tests of comparisons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raravis.errors import RecordingError
from raravis.series.rows import Series
from raravis.sources import RowBlock, RowSource
from raravis.windows import Recording, Windows

CHANNELS = ("temperature", "pressure", "flow")
FAULTS = (430, 470), (520, 560)  # rows; 600 in all


class Held(RowSource):
    """Series held in memory, as a source."""

    windows = Windows.of(0, [], [])
    part = None  # what is held is not shared out

    def __init__(self, *series: Series, learn_until: int | None = None, broken: int = -1):
        self.series, self.broken = series, broken
        self.channels, self.interval_s = series[0].channels, 1.0
        self.rows = [len(one) for one in series]
        self.learn_until = [learn_until] * len(series)
        self.recordings = [
            Recording(f"{i}.csv", f"{i}.csv", len(one), 1.0) for i, one in enumerate(series)
        ]
        self.skipped, self.remarks = [], []

    def __getitem__(self, index: int) -> np.ndarray:
        return self.series[0].values[index]

    def read(self, recording: int, first_row: int, stop_row: int) -> Series:
        if recording == self.broken:
            raise RecordingError(f"{recording}.csv", "it ends too early")
        return self.series[recording][first_row:stop_row]

    def blocks(self, recording, from_s=0.0, length=1, context=0):
        yield RowBlock(recording, 0, 0, self.series[recording], float(self.rows[recording]))


def rows(count: int = 600, seed: int = 0, labelled: bool = True) -> Series:
    """Three channels that follow one slow wave; in a fault the flow no longer does."""
    random = np.random.default_rng(seed)
    wave = np.sin(np.arange(count) / 9)
    values = wave[:, None] * [1.0, -2.0, 0.5] + 0.1 * random.standard_normal((count, 3))
    labels = np.zeros(count, dtype=bool)
    for first, stop in FAULTS:
        labels[first:stop] = True
        values[first:stop, 2] = -1.5 * values[first:stop, 2]
    return Series(values, np.arange(count, dtype=float), CHANNELS, labels if labelled else None)


def spiked(seed: int = 0, at: slice = slice(300, 306)) -> Series:
    """Rows with their faults, and besides a few in which the flow leaps."""
    series = rows(600, seed, labelled=False)
    series.values[at, 2] += 20.0
    return series


def ordinary(seed: int = 0) -> Series:
    """Rows without a fault."""
    series = rows(600, seed, labelled=False)
    values = series.values.copy()
    values[:, 2] = 0.5 * np.sin(np.arange(600) / 9)  # without the faults of `rows`
    return replace(series, values=values)
