"""All terms over time in one picture: windows on the left, batches on the right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from raravis.inspection.figures import LINE, MUTED, RARE, WIDTH, drawn, shortened, styled
from raravis.monitoring.terms import AFTER, BEFORE, Watched

COLOUR = {BEFORE: LINE, AFTER: RARE}
MOST = 4000  # points drawn of a side
HEIGHT = 1.15  # inches of a term


def picture(watched: Watched, kind: str = "png") -> bytes:
    """A row for each quantity, over the clock where it is known and the switch goes forward in it,
    else over the number of the window; the switch is a line. "png" or "svg"."""
    names = list(dict.fromkeys([*watched.of_batches, *watched.of_windows]))
    with styled():
        figure = Figure(figsize=(WIDTH, HEIGHT * len(names) + 0.8), layout="constrained")
        axes = figure.subplots(len(names), 2, sharex=True, squeeze=False)
        clock = by_clock(watched)
        for row, name in zip(axes, names, strict=True):
            _draw(row[0], watched.windows, name, clock, ".", 1.5)
            _draw(row[1], watched.batches, name, clock, ".-", 5)
            row[0].set_title(f"{shortened(name, 40)}, of windows", pad=2)
            row[1].set_title(f"{shortened(name, 40)}, of batches of {watched.batch}", pad=2)
            for axis in row:
                _mark(axis, watched, clock)
        for axis in axes[-1]:
            axis.set_xlabel("" if clock else "window")
        return drawn(figure, kind)


def by_clock(watched: Watched) -> bool:
    """Whether every window knows its time, and none after the switch lies before it."""
    times, after = watched.windows["time"], watched.windows["side"] == AFTER
    if (times == "").any():
        return False
    stamps = pd.to_datetime(times, utc=True)
    return not after.any() or bool(stamps[after].min() >= stamps[~after].max())


def _draw(axis: Axes, table: pd.DataFrame, name: str, clock: bool, form: str, size: float) -> None:
    if name not in table or table.empty:
        axis.text(0.5, 0.5, "none", transform=axis.transAxes, ha="center", color=MUTED)
        return
    for side, rows in table.groupby("side", sort=False):
        some = rows.iloc[:: max(1, -(-len(rows) // MOST))]
        axis.plot(_x(some, clock), some[name], form, color=COLOUR[str(side)], markersize=size,
                  linewidth=0.7)  # fmt: skip


def _mark(axis: Axes, watched: Watched, clock: bool) -> None:
    if watched.switch is None:
        return
    first = watched.windows.iloc[[watched.switch]]
    axis.axvline(_x(first, clock)[0], color=RARE, linewidth=1, linestyle="--")


def _x(table: pd.DataFrame, clock: bool) -> Any:
    if not clock:
        return table["number"].to_numpy()
    return np.asarray(pd.to_datetime(table["time"], utc=True).dt.tz_localize(None))
