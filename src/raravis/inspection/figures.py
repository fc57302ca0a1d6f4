"""How figures look: one paper, one ink, one warm colour for what is labelled."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from raravis.errors import ParameterError
from raravis.windows import BoolArray

LINE, SOFT, RARE, MUTED = "#3f7a72", "#a9c6c0", "#c0452b", "#69726c"
STYLE = {
    "figure.facecolor": "#fffefb",
    "axes.facecolor": "#fffefb",
    "axes.edgecolor": "#cbc6b9",
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titlecolor": "#232b27",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ebe7de",
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "font.size": 8.5,
    "legend.frameon": False,
    "date.converter": "concise",
}
WIDTH = 11.0  # inches
COLUMNS = 4


@contextmanager
def styled() -> Iterator[None]:
    """Inside, figures are made in this style, and need no screen."""
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        yield


def stacked(names: Sequence[str], height: float = 0.95) -> tuple[Figure, list[Axes]]:
    """One wide plot for each name, one below the other, with a common x axis."""
    figure = Figure(figsize=(WIDTH, max(1.6, height * len(names) + 0.5)), layout="constrained")
    axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0].tolist()
    for axis, name in zip(axes, names, strict=True):
        axis.set_title(shortened(name, 60), pad=2)
        axis.margins(x=0.005)
    return figure, axes


def tiled(names: Sequence[str], height: float = 1.7) -> tuple[Figure, list[Axes]]:
    """A small plot for each name, side by side."""
    columns = min(COLUMNS, max(1, len(names)))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(WIDTH, height * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes, names, strict=False):
        axis.set_title(shortened(name, 28), pad=3)
    return figure, axes[: len(names)]


def shade(axis: Axes, x: Any, marked: BoolArray, step: Any) -> int:
    """Shades the stretches of x (B,) that are marked; the last point of one is `step` wide.
    Returns how many stretches there are."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(int)))
    for first, stop in edges.reshape(-1, 2):
        axis.axvspan(x[first], x[stop - 1] + step, color=RARE, alpha=0.16, linewidth=0.8)
    return len(edges) // 2


def shortened(name: str, most: int) -> str:
    """A name as far as there is room."""
    return name if len(name) <= most else name[: most - 1] + "…"


def drawn(figure: Figure, kind: str = "png") -> bytes:
    """The figure as "png" or "svg". Raises ParameterError for what matplotlib does not write."""
    if kind not in figure.canvas.get_supported_filetypes():
        raise ParameterError(f"pictures are written as .png or .svg, got {kind!r}")
    held = io.BytesIO()
    figure.savefig(held, format=kind, dpi=120)
    return held.getvalue()
