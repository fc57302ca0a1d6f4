"""Figures of series: over time, how values are distributed, what goes together, what recurs."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from raravis.inspection.figures import (
    COLUMNS,
    LINE,
    MUTED,
    RARE,
    SOFT,
    WIDTH,
    shade,
    shortened,
    stacked,
    tiled,
)
from raravis.inspection.series import SeriesView
from raravis.windows import FloatArray

UNITS = {1.0: "Hz", 60.0: "per minute", 3600.0: "per hour", 86_400.0: "per day"}
MOST_NAMED = 40  # channels whose names fit beside a matrix
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def over_time(view: SeriesView) -> Figure:
    """Every shown channel over time; labelled stretches are shaded, the range of values between
    two points is a band."""
    x, label, step = _axis(view)
    envelope, mean = view.envelope, view.envelope.mean
    figure, axes = stacked([view.channels[i].name for i in view.shown])
    for axis, i in zip(axes, view.shown, strict=True):
        if view.moments.rows > len(x):
            axis.fill_between(x, envelope.low[:, i], envelope.high[:, i], color=SOFT, linewidth=0)
        axis.plot(x, mean[:, i], color=LINE, linewidth=0.8)
        shade(axis, x, envelope.labelled, step)
        if len(view.source.recordings) > 1:
            for start in view.starts[1:-1]:
                axis.axvline(start, color=MUTED, linewidth=0.5, alpha=0.5, linestyle=":")
        if label.startswith("row"):
            axis.xaxis.set_major_formatter("{x:,.0f}")
    axes[-1].set_xlabel(label)
    return figure


def _axis(view: SeriesView) -> tuple[Any, str, Any]:
    """x of the bins, its label, and the width of a row: time of one recording, else rows."""
    if len(view.source.recordings) > 1:
        return view.envelope.first_row, "row, recordings one after the other", 1.0
    recording, seconds = view.source.recordings[0], view.envelope.time_s
    if recording.start_time is None:
        unit, name = _longest_unit(recording.duration_s)
        return seconds / unit, f"time, {name}", view.source.interval_s / unit
    start = np.datetime64(recording.start_time.replace(tzinfo=None), "us")
    x = start + (np.nan_to_num(seconds) * 1e6).astype("timedelta64[us]")
    return x, "", np.timedelta64(int(view.source.interval_s * 1e6), "us")


def _longest_unit(seconds: float) -> tuple[float, str]:
    units = ((86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes"))
    return next((u for u in units if seconds > 3 * u[0]), (1.0, "seconds"))


def missing(view: SeriesView) -> Figure:
    """Where values are missing: channels below each other, rows from left to right."""
    count = len(view.channels)
    figure = Figure(figsize=(WIDTH, min(6.0, 1.0 + 0.16 * count)), layout="constrained")
    axis = figure.subplots()
    share = _at_most(view.envelope.missing, 400).T
    image = axis.imshow(
        share, aspect="auto", cmap="YlOrBr", interpolation="nearest",
        norm=PowerNorm(0.4, 0, 1),  # a few missing rows are to be seen as well
        extent=(0, view.moments.rows, count - 0.5, -0.5),
    )  # fmt: skip
    _name_rows(axis, view)
    axis.grid(False)
    axis.set_xlabel("row")
    axis.xaxis.set_major_formatter("{x:,.0f}")
    figure.colorbar(image, label="share missing", pad=0.01)
    return figure


def _at_most(table: FloatArray, rows: int) -> FloatArray:
    """Means of neighbouring rows, so that about so many are left."""
    step = -(-len(table) // rows)
    starts = np.arange(0, len(table), step)
    sizes = np.diff([*starts, len(table)])
    means: FloatArray = np.add.reduceat(table, starts) / sizes[:, None]
    return means


def _name_rows(axis: Any, view: SeriesView) -> None:
    names = [shortened(c.name, 24) for c in view.channels]
    if len(names) <= MOST_NAMED:
        axis.set_yticks(range(len(names)), names)
    else:
        axis.set_ylabel("channel, in order")


def intervals(view: SeriesView) -> Figure:
    """How often rows follow each other at which distance."""
    figure = Figure(figsize=(WIDTH, 2.2), layout="constrained")
    axis = figure.subplots()
    watched = view.intervals
    (used,) = np.nonzero(watched.counts)
    window = slice(used[0], used[-1] + 2)
    axis.stairs(
        watched.counts[used[0] : used[-1] + 1], watched.edges_s[window], fill=True, color=LINE
    )
    axis.set(xscale="log", yscale="log", xlabel="time to the next row, s", ylabel="rows")
    for ticks in (axis.xaxis, axis.yaxis):
        ticks.set_major_formatter("{x:,g}")
        ticks.set_minor_formatter(NullFormatter())
    axis.axvline(view.source.interval_s, color=RARE, linewidth=1, linestyle="--")
    return figure


def distributions(view: SeriesView) -> Figure:
    """Histograms; those of labelled rows in front, each with area 1."""
    values, labels = view.sample.values, view.sample.labels
    figure, axes = tiled([view.channels[i].name for i in view.shown])
    for axis, i in zip(axes, view.shown, strict=True):
        known = ~np.isnan(values[:, i])
        if not known.any():
            continue
        edges = np.histogram_bin_edges(_inner(values[known, i]), bins=60)
        for rows, colour in ((known & ~labels, LINE), (known & labels, RARE)):
            if rows.any():
                inside = values[rows, i]
                weights = np.full(len(inside), 1 / (len(inside) * (edges[1] - edges[0])))
                axis.hist(inside, edges.tolist(), weights=weights, color=colour, alpha=0.6)
        axis.set_yticks([])
    return figure


def _inner(values: FloatArray) -> FloatArray:
    """Values without the outermost thousandth on either side, so that one does not squeeze all."""
    low, high = np.quantile(values, (0.001, 0.999))
    inside: FloatArray = values[(values >= low) & (values <= high)]
    return inside


def correlation(view: SeriesView) -> Figure:
    """Correlation of every pair of channels."""
    table = view.correlation().to_numpy()
    side = float(np.clip(1.8 + 0.24 * len(table), 3.2, 8.5))
    figure = Figure(figsize=(side + 1.8, side), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(table, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    axis.set_facecolor("#e4e0d6")  # where a channel is constant
    _name_rows(axis, view)
    if len(table) <= MOST_NAMED:
        names = [shortened(c.name, 24) for c in view.channels]
        axis.set_xticks(range(len(table)), names, rotation=90)
    if len(table) <= 12:
        for (row, column), r in np.ndenumerate(table):
            if not np.isnan(r):
                colour = "white" if abs(r) > 0.6 else "#232b27"
                axis.text(column, row, f"{r:.2f}", ha="center", va="center", color=colour, size=7)
    axis.grid(False)
    figure.colorbar(image, shrink=0.7, pad=0.02)
    return figure


def spectra(view: SeriesView) -> Figure | None:
    """Power over frequency of each shown channel; None where recordings are too short."""
    spectrum = view.spectrum
    shown = [i for i in view.shown if not view.channels[i].is_constant]
    if spectrum is None or not shown:
        return None
    middle = np.sqrt(spectrum.hz[0] * spectrum.hz[-1])
    unit = min(UNITS, key=lambda seconds: abs(np.log10(middle * seconds)))
    figure, axes = tiled([view.channels[i].name for i in shown])
    for axis, i in zip(axes, shown, strict=True):
        axis.loglog(spectrum.hz * unit, spectrum.power[:, i] / unit, color=LINE, linewidth=0.9)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.yaxis.set_minor_formatter(NullFormatter())
    for axis in axes[-COLUMNS:]:
        axis.set_xlabel(UNITS[unit])
    return figure


def day(view: SeriesView) -> Figure:
    """Mean of each shown channel over the day, and a deviation to either side."""
    figure = _profile(view, *view.clock.day(view.centre), np.arange(48) / 2 + 0.25)
    for axis in figure.axes:
        axis.set_xticks(range(0, 25, 6), [f"{hour:02d}:00" for hour in range(0, 25, 6)])
    return figure


def week(view: SeriesView) -> Figure:
    """Mean of each shown channel over the week, and a deviation to either side."""
    figure = _profile(view, *view.clock.week(view.centre), (np.arange(168) + 0.5) / 24)
    for axis in figure.axes:
        axis.set_xticks(np.arange(7) + 0.5, WEEKDAYS)
        axis.grid(False, axis="x")
        for midnight in range(1, 7):
            axis.axvline(midnight, color="#ebe7de", linewidth=0.7)
    return figure


def _profile(view: SeriesView, mean: FloatArray, deviation: FloatArray, x: FloatArray) -> Figure:
    figure, axes = tiled([view.channels[i].name for i in view.shown])
    for axis, i in zip(axes, view.shown, strict=True):
        low, high = mean[:, i] - deviation[:, i], mean[:, i] + deviation[:, i]
        axis.fill_between(x, low, high, color=SOFT, linewidth=0, alpha=0.7)
        axis.plot(x, mean[:, i], color=LINE, linewidth=1.2)
    return figure
