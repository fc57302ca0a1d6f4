"""Rarities known to be in series: stretches of the user's own rows, changed in their place.

To add a change, write a function `(rows, channel, rng) -> None` that changes one channel of rows
(n, C) in place, and name it in `CHANGES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np

from raravis.errors import DataError, RecordingError
from raravis.scanning.material import Part, write_index
from raravis.series.rows import Series
from raravis.series.synthesis import write_csv
from raravis.sources import RowSource
from raravis.windows import BoolArray, FloatArray, Windows

MOST_ROWS = 12_000
"""Rows that are tried on, in all; the first of each recording."""

FOLDS = 3
"""Each recording is cut into so many stretches; each is judged once, by what the others taught."""

EVERY = 150
"""Rows in which one stretch is changed, on average."""

SHORTEST, LONGEST = 4, 40
"""Rows of a change."""

FEWEST_ROWS = 300
"""With fewer there is too little to learn from and to change."""

PAUSE = 100.0
"""Usual intervals between one recording and the next, so that nobody takes them for one."""

Change = Callable[[FloatArray, int, np.random.Generator], None]


def spike(rows: FloatArray, channel: int, rng: np.random.Generator) -> None:
    """A few values jump by two to four deviations."""
    some = rng.choice(len(rows), max(1, len(rows) // 8), replace=False)
    rows[some, channel] += rng.choice([-1, 1]) * rng.uniform(2, 4)


def shift(rows: FloatArray, channel: int, rng: np.random.Generator) -> None:
    """The level is off by one to two deviations."""
    rows[:, channel] += rng.choice([-1, 1]) * rng.uniform(1, 2)


def stuck(rows: FloatArray, channel: int, rng: np.random.Generator) -> None:
    """The channel goes on showing one value."""
    rows[:, channel] = rows[0, channel]


def turned(rows: FloatArray, channel: int, rng: np.random.Generator) -> None:
    """What happened runs backwards, in this channel only."""
    rows[:, channel] = rows[::-1, channel].copy()


def hurried(rows: FloatArray, channel: int, rng: np.random.Generator) -> None:
    """What happened runs twice, at twice the speed."""
    rows[:, channel] = np.resize(rows[::2, channel], len(rows))


def swapped(rows: FloatArray, channel: int, rng: np.random.Generator) -> None:
    """The channel shows what another one should, in its own deviations."""
    other = (channel + 1 + rng.integers(max(1, rows.shape[1] - 1))) % rows.shape[1]
    rows[:, channel] = rows[:, other] if other != channel else -rows[:, channel]


def restless(rows: FloatArray, channel: int, rng: np.random.Generator) -> None:
    """Noise of three quarters of a deviation comes on top."""
    rows[:, channel] += rng.normal(0, 0.75, len(rows))


CHANGES: dict[str, Change] = {
    "spike": spike,
    "shift": shift,
    "stuck": stuck,
    "turned": turned,
    "hurried": hurried,
    "swapped": swapped,
    "restless": restless,
}


def changed(values: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, BoolArray]:
    """Rows (n, C) with about n / 150 stretches changed, each in one channel, and which rows (n,)
    that are. Two stretches never touch; missing values stay missing."""
    centre, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    scaled = (values - centre) / scale
    rare = np.zeros(len(values), dtype=bool)
    names = list(CHANGES)
    slots = max(1, len(values) // EVERY)
    for number, slot in enumerate(np.array_split(np.arange(len(values)), slots)):
        length = int(np.exp(rng.uniform(np.log(SHORTEST), np.log(min(LONGEST, len(slot) // 2)))))
        start = int(slot[0] + 1 + rng.integers(len(slot) - length - 1))
        stretch = slice(start, start + length)
        channel = int(rng.integers(values.shape[1]))
        before = scaled[stretch].copy()
        CHANGES[names[number % len(names)]](scaled[stretch], channel, rng)
        scaled[stretch][~np.isfinite(before)] = np.nan
        rare[stretch] = ~np.isclose(scaled[stretch], before, equal_nan=True).all(axis=1)
    return scaled * scale + centre, rare


def make(source: RowSource, folder: Path, seed: int) -> list[Part]:
    """Writes the parts: each third of the rows, changed, to be judged by who knows the others.

    Raises DataError where there are too few rows.
    """
    whole = _rows(source)
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for fold in range(FOLDS):
        learn, judge = folder / f"learn-{fold}.csv", folder / f"judge-{fold}.csv"
        cuts = np.linspace(0, len(whole), FOLDS + 1).astype(int)
        here = np.zeros(len(whole), dtype=bool)
        here[cuts[fold] : cuts[fold + 1]] = True
        values, rare = changed(whole.values[here], np.random.default_rng([seed, fold]))
        write_csv(learn, _chosen(whole, ~here, whole.values[~here]))
        write_csv(judge, _chosen(whole, here, values, rare))
        start_s = whole.time_s[here] - whole.time_s[here][0]
        events = Windows.of(0, start_s, start_s + source.interval_s)
        parts.append(Part(learn, judge, events, rare, f"changed rows of part {fold + 1}"))
    write_index(folder, parts)
    return parts


def _rows(source: RowSource) -> Series:
    """The first rows of each recording, one after another with a pause between them."""
    each = max(1, math.ceil(MOST_ROWS / len(source.rows)))
    values: list[FloatArray] = [np.empty((0, len(source.channels)))]
    time_s: list[FloatArray] = [np.empty(0)]
    until_s = 0.0
    for recording, rows in enumerate(source.rows):
        try:
            series = source.read(recording, 0, min(rows, each))
        except RecordingError as error:
            source.skip(error)
            continue
        values.append(series.values)
        time_s.append(series.time_s + until_s)
        until_s = float(time_s[-1][-1]) + PAUSE * source.interval_s
    whole = np.concatenate(values)
    if len(whole) < FEWEST_ROWS:
        raise DataError(
            f"a scan needs at least {FEWEST_ROWS} rows to learn from and to change, got "
            f"{len(whole)}: give longer series"
        )
    start = source.recordings[0].start_time
    return Series(whole, np.concatenate(time_s), source.channels, None, start)


def _chosen(
    whole: Series, rows: BoolArray, values: FloatArray, labels: BoolArray | None = None
) -> Series:
    """Some of the rows, with these values, as a recording of their own."""
    time_s = whole.time_s[rows]
    start = whole.start_time
    if start is not None:
        start += timedelta(seconds=float(time_s[0]))
    return Series(values, time_s - time_s[0], whole.channels, labels, start)
