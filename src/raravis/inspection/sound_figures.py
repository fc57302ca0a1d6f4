"""Figures of sound: levels over time, over the day, and over frequency."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from raravis.inspection.figures import LINE, MUTED, RARE, SOFT, WIDTH
from raravis.inspection.sound import SoundView


def levels(view: SoundView) -> Figure:
    """Level of each recording over time (or in order), and how long each is."""
    shown = [r for r in view.source.recordings if r.name in view.levels]
    found = [view.levels[r.name] for r in shown]
    timed = all(r.start_time is not None for r in shown)
    x: list[Any] = [r.start_time if timed else i for i, r in enumerate(shown)]
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    level, length = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    level.plot(x, [one.peak_db for one in found], ".", color=SOFT, label="peak")
    level.plot(x, [one.mean_db for one in found], ".", color=LINE, label="mean")
    clipped = [(at, one.peak_db) for at, one in zip(x, found, strict=True) if one.clipped > 0]
    if clipped:
        level.plot(*zip(*clipped, strict=True), "x", color=RARE, label="clipped")
    level.set_ylabel("dB re full scale")
    level.legend(loc="upper right", ncols=3)
    length.plot(x, [r.duration_s for r in shown], ".", color=MUTED)
    length.set_ylabel("length, s")
    length.set_xlabel("" if timed else "recording")
    return figure


def spectrum(view: SoundView) -> Figure:
    """Median of the recordings' mean spectra, and the band in which four fifths of them lie."""
    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    axis = figure.subplots()
    low, middle, high = np.quantile(view.spectra, (0.1, 0.5, 0.9), axis=0)
    axis.fill_between(view.hz[1:], low[1:], high[1:], color=SOFT, linewidth=0, alpha=0.7)
    axis.plot(view.hz[1:], middle[1:], color=LINE, linewidth=1.2)
    axis.set(xlabel="Hz", ylabel="dB re full scale, per Hz", xlim=(0, view.hz[-1]))
    return figure


def day(view: SoundView) -> Figure | None:
    """Level over the day: every piece a dot, the median of each hour a line; None where no
    recording knows its time."""
    timed = [(p.at, p.level_db) for p in view.pieces if p.at is not None]
    if not timed:
        return None
    hours = np.array([at.hour + at.minute / 60 + at.second / 3600 for at, _ in timed])
    level = np.array([db for _, db in timed])
    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    axis = figure.subplots()
    axis.plot(hours, level, ".", color=SOFT, markersize=4)
    known = [hour for hour in range(24) if (hours.astype(int) == hour).any()]
    medians = [float(np.median(level[hours.astype(int) == hour])) for hour in known]
    axis.plot(np.array(known) + 0.5, medians, "-o", color=LINE, linewidth=1.4, markersize=4)
    axis.set_xticks(range(0, 25, 3), [f"{hour:02d}:00" for hour in range(0, 25, 3)])
    axis.set(xlim=(0, 24), ylabel="dB re full scale")
    return figure
