"""How a scan went, and which settings mattered, as PNG files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raravis.durable import write_atomically
from raravis.scanning.study import Trial

STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#cbc6b9",
    "axes.labelcolor": "#69726c",
    "xtick.color": "#69726c",
    "ytick.color": "#69726c",
    "legend.frameon": False,
    "savefig.dpi": 120,
}
FOUND, BEST, DEFAULT, PRUNED = "#4d837c", "#c0452b", "#232b27", "#b9b4a6"


def history(trials: Sequence[Trial], name: str) -> bytes:
    """Every trial's figure, the best so far, and the level of the detector as it was set."""
    with rc_context(STYLE):
        figure = Figure(figsize=(7, 3.4), layout="constrained")
        axes = figure.subplots()
        for state, colour in (("finished", FOUND), ("pruned", PRUNED)):
            some = [t for t in trials if t.state == state and not t.is_default and t.parts]
            if not some:
                continue
            axes.plot([t.number for t in some], [np.mean(t.parts) for t in some], "o",
                      color=colour, markersize=4, label=state)  # fmt: skip
        done = [t for t in trials if t.state == "finished"]
        if done:
            best = np.maximum.accumulate([t.figure or 0.0 for t in done])
            numbers = [t.number for t in done]
            axes.step(numbers, best, where="post", color=BEST, linewidth=1.2, label="best so far")
        for default in (t for t in done if t.is_default):
            axes.axhline(default.figure or 0.0, color=DEFAULT, linewidth=0.8, linestyle="--",
                         label="as it was set")  # fmt: skip
        axes.set_xlabel("trial")
        axes.set_ylabel(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axes.get_legend_handles_labels()[0]:
            figure.legend(fontsize=8, loc="outside lower center", ncols=4)
        return _png(figure)


def importance(shares: Mapping[str, float]) -> bytes:
    """How much of what differs among trials each setting explains."""
    with rc_context(STYLE):
        names = sorted(shares, key=lambda name: shares[name])
        figure = Figure(figsize=(7, 0.9 + 0.3 * max(1, len(names))), layout="constrained")
        axes = figure.subplots()
        axes.barh(names, [shares[name] for name in names], color=FOUND)
        for name in names:
            axes.annotate(f" {shares[name]:.0%}", (shares[name], name), va="center", fontsize=8)
        if not names:
            axes.text(0.5, 0.5, "too few trials were finished to say", ha="center",
                      transform=axes.transAxes)  # fmt: skip
            axes.set_axis_off()
        axes.set_xlabel("share of what differs among trials")
        axes.margins(x=0.12)
        return _png(figure)


def write(folder: Path, trials: Sequence[Trial], name: str, shares: Mapping[str, float]) -> None:
    """FOLDER/history.png and FOLDER/importance.png."""
    write_atomically(folder / "history.png", history(trials, name))
    write_atomically(folder / "importance.png", importance(shares))


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
