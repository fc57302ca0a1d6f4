"""Pictures of a comparison, each an SVG that needs nothing beside it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raravis.comparison.contest import Comparison, Line
from raravis.comparison.measures import NAMES, TARGET
from raravis.comparison.parts import TEST
from raravis.metrics import labelled_runs, precision_recall, roc
from raravis.windows import FloatArray, IntArray

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "raravis",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#cbc6b9",
    "axes.labelcolor": "#69726c",
    "axes.titlesize": 10,
    "xtick.color": "#69726c",
    "ytick.color": "#69726c",
    "legend.frameon": False,
}
OF_PARTS = {"train": "#69726c", "validation": "#4d837c", "test": "#c0452b"}
COLOURS = (
    "#4d837c", "#c0452b", "#dfa04e", "#3b5b92", "#8a5a83", "#7a8f3c", "#232b27", "#b98b6b",
    "#5fa8c4", "#a03560",
)  # fmt: skip
SHADE = "#f3d9cf"  # of labelled rows
HIGHEST = 5.0  # levels; scores are cut there
POINTS = 1500  # across a picture


def standing(comparison: Comparison) -> str | None:
    """Every seed as a dot and the 95 % interval of the mean, measure by measure."""
    names = ("balanced_accuracy", "auroc", "auprc", "vus_pr")
    known = [name for name in names if any(line.values(name) for line in comparison.models)]
    if not known:
        return None
    with rc_context(STYLE):
        lines = comparison.models[::-1]
        figure = Figure(figsize=(11, 0.7 + 0.34 * len(lines)), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(known), squeeze=False)[0], known, strict=True):
            for y, line in enumerate(lines):
                _dots(axes, y, line, name)
            if name == "balanced_accuracy":
                axes.axvline(TARGET, color="#c0452b", linewidth=0.8, linestyle="--")
            axes.set_title(NAMES[name], loc="left")
            axes.set_yticks(range(len(lines)), [line.name for line in lines])
            axes.tick_params(axis="y", length=0, labelleft=name == known[0])
            axes.set_ylim(-0.6, len(lines) - 0.4)
            axes.grid(axis="x", color="#ebe7de")
        return _svg(figure)


def learning(comparison: Comparison) -> str | None:
    """Loss and accuracy of each part over the epochs of the networks, first seed."""
    networks = [line for line in comparison.models if line.trials[0].curve.epoch]
    if not networks:
        return None
    kinds = ("loss", "accuracy") if comparison.data.is_labelled else ("loss",)
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 2.3 * len(kinds)), layout="constrained")
        grid = figure.subplots(len(kinds), len(networks), squeeze=False, sharey="row", sharex="col")
        for row, kind in zip(grid, kinds, strict=True):
            for axes, line in zip(row, networks, strict=True):
                curve = line.trials[0].curve
                for part, values in getattr(curve, kind).items():
                    axes.plot(curve.epoch, values, color=OF_PARTS[part], label=part, linewidth=1.4)
                axes.grid(color="#ebe7de")
                if kind == "loss":
                    axes.set_yscale("log")
                    axes.set_title(line.name, loc="left")
            row[0].set_ylabel(kind)
        for axes in grid[-1]:
            axes.set_xlabel("epochs")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside right upper")
        return _svg(figure)


def curves(comparison: Comparison) -> str | None:
    """ROC and precision over recall of the test part, one line for each model that was kept."""
    test = comparison.judged & (comparison.data.part == TEST)
    labels = comparison.data.labels[test]
    if labels.all() or not labels.any():
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for colour, line in zip(_colours(comparison), comparison.models, strict=True):
            scores = line.kept.scores[test]
            false_alarms, found = roc(labels, scores)
            left.plot(*_thinned(false_alarms, found), color=colour, linewidth=1.4)
            precision, recall = precision_recall(labels, scores)
            right.plot(*_thinned(recall, precision), color=colour, linewidth=1.4, label=line.name)
        left.plot([0, 1], [0, 1], color="#cbc6b9", linestyle="--")
        right.axhline(labels.mean(), color="#cbc6b9", linestyle="--", label="random")
        left.set(xlabel="false-alarm rate", ylabel="recall", xlim=(0, 1), ylim=(0, 1.01))
        right.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
        left.set_title("ROC", loc="left")
        right.set_title("Precision and recall", loc="left")
        figure.legend(loc="outside right center")
        return _svg(figure)


def scores(comparison: Comparison) -> str:
    """What each model said of the test part, row by row, with its level; labelled rows shaded."""
    test = np.flatnonzero(comparison.judged & (comparison.data.part == TEST))
    labels = comparison.data.labels[test]
    recording = comparison.data.recording[test]
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 0.5 + 1.0 * len(comparison.models)), layout="constrained")
        panels = figure.subplots(len(comparison.models), 1, squeeze=False, sharex=True)[:, 0]
        for axes, colour, line in zip(panels, _colours(comparison), comparison.models, strict=True):
            for first, stop in labelled_runs(labels, recording):
                axes.axvspan(first, stop, color=SHADE, linewidth=0)
            for border in np.flatnonzero(np.diff(recording)) + 1:
                axes.axvline(border, color="#ebe7de", linewidth=0.6)
            said = line.kept.relative[test]
            rows, highest = _highest(said)
            axes.plot(rows, np.minimum(highest, HIGHEST), color=colour, linewidth=0.7)
            axes.axhline(1, color="#232b27", linewidth=0.7, linestyle="--")
            axes.set_ylim(0, min(max(1.5, 1.1 * float(highest.max())), HIGHEST))
            axes.set_title(line.name, loc="left", pad=2)
        panels[-1].set_xlim(0, len(test))
        panels[-1].set_xlabel("rows of the test part")
        return _svg(figure)


def _dots(axes: Any, y: int, line: Line, name: str) -> None:
    values = line.values(name)
    interval = line.interval(name)
    if interval is not None:
        axes.plot(interval, [y, y], color="#4d837c", linewidth=5, alpha=0.3, solid_capstyle="butt")
    axes.plot(values, np.full(len(values), y), "o", color="#4d837c", markersize=3, alpha=0.7)
    if values:
        axes.plot(line.means[name], y, "|", color="#232b27", markersize=11)


def _colours(comparison: Comparison) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(len(comparison.models))]


def _thinned(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """At most about POINTS points of a curve, the first and the last among them."""
    kept = np.unique(np.linspace(0, len(x) - 1, POINTS).astype(int))
    return x[kept], y[kept]


def _highest(values: FloatArray) -> tuple[IntArray, FloatArray]:
    """The highest of some neighbours each, so that no peak is lost: at most about POINTS."""
    step = -(-len(values) // POINTS)
    starts = np.arange(0, len(values), step)
    return starts, np.maximum.reduceat(values, starts)


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
