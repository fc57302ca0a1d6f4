"""Rows left out of what models in closed form learn from.

A network drops what it finds strange while it learns. What is fitted at once is fitted a few times
instead, each time without the rows that stood out before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raravis.configuration import Table
from raravis.models import row_scores
from raravis.pruning import Pruning
from raravis.row_ensemble import RowEnsemble
from raravis.windows import BoolArray, FloatArray, IntArray

ROUNDS = 3  # after which hardly a row comes or goes


@dataclass(frozen=True)
class Piece:
    """Rows `first` to `stop` of a stretch."""

    stretch: int
    first: int
    stop: int


@dataclass(frozen=True)
class Dropped:
    """What one model left out of stretches of rows.

    model    its name.
    looks    what each look brought, as in `raravis.left_out`.
    where    (N, 3) stretch, first row and the row after the last.
    columns  epoch, loss and level, (N,) each.
    """

    model: str
    looks: Sequence[Table]
    where: IntArray
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class Kept:
    """What is learned from, and what is not.

    pieces    between the rows that were left out; those too short to learn from are not there.
    dropped   what was left out, and when; None where no model in closed form learns.
    """

    pieces: list[Piece]
    dropped: Dropped | None = None


def cut(stretches: Sequence[FloatArray], pieces: Sequence[Piece]) -> list[FloatArray]:
    """These pieces of stretches (n, C)."""
    return [stretches[piece.stretch][piece.first : piece.stop] for piece in pieces]


def everything(stretches: Sequence[FloatArray]) -> Kept:
    """All rows, where nothing is left out."""
    return Kept([Piece(number, 0, len(rows)) for number, rows in enumerate(stretches)])


def leave_out(
    fresh: Callable[[], RowEnsemble],
    stretches: Sequence[FloatArray],
    pruning: Pruning,
    context: int = 0,
) -> Kept:
    """Which rows of stretches (n, C) are learned from: in each of `ROUNDS` rounds a fresh ensemble
    learns from those kept until then, and every row is judged anew by its score.

    context  rows before a row that whoever learns from the pieces needs, where it is more than
             the ensemble does.

    Rows at the start of a stretch, which have no score, stay. Where too little would stay in
    pieces long enough to learn from, only the strangest are left out.
    """
    ensemble = fresh()
    layout = _Layout(list(map(len, stretches)), max(context, ensemble.context))
    scored = np.concatenate([np.arange(len(rows)) >= ensemble.context for rows in stretches])
    kept = np.ones(len(scored), dtype=bool)
    when = np.zeros(len(scored), dtype=int)
    scores, looks, level = np.zeros(len(scored)), [], math.inf
    for number in range(1, ROUNDS + 1):
        ensemble = fresh().fit(cut(stretches, layout.pieces(kept)))
        scores[scored] = np.concatenate(
            [
                row_scores(ensemble.contributions(rows))
                for rows in stretches
                if len(rows) > ensemble.context
            ]
        )
        before = kept.copy()
        decision = pruning.decide(scores[scored], kept[scored])
        kept[scored] = decision.kept
        level = layout.take_back(kept, scores, decision.level, pruning.least)
        out, back = before & ~kept, kept & ~before
        when[out], when[back] = number, 0
        counts = {"windows": len(kept), "left_out": int(out.sum()), "readmitted": int(back.sum())}
        looks.append({"epoch": number, "step": "round", "unit": "rows", "level": level, **counts})
    name = ensemble.names[0] if len(ensemble.names) == 1 else "ensemble"
    rows = np.flatnonzero(~kept)
    columns = {"epoch": when[rows], "loss": scores[rows], "level": np.full(len(rows), level)}
    return Kept(layout.pieces(kept), Dropped(name, looks, layout.where(rows), columns))


@dataclass(frozen=True)
class _Layout:
    """Stretches of these lengths, one after the other, and how long a piece must be at least."""

    lengths: list[int]
    context: int

    def pieces(self, kept: BoolArray) -> list[Piece]:
        """Runs of kept rows longer than the context, none of which reaches over two stretches."""
        found, start = [], 0
        for stretch, length in enumerate(self.lengths):
            inside = np.concatenate([[False], kept[start : start + length], [False]])
            edges = np.flatnonzero(inside[1:] != inside[:-1]).reshape(-1, 2).tolist()
            found += [
                Piece(stretch, first, stop) for first, stop in edges if stop - first > self.context
            ]
            start += length
        return found

    def where(self, rows: IntArray) -> IntArray:
        """(N, 3) stretch, row in it and the row after that, of rows (N,)."""
        starts = np.cumsum([0, *self.lengths])
        stretch = np.searchsorted(starts, rows, side="right") - 1
        first = rows - starts[stretch]
        return np.column_stack([stretch, first, first + 1])

    def take_back(self, kept: BoolArray, scores: FloatArray, level: float, least: float) -> float:
        """Takes back, in place, the less strange half of what is left out until pieces with the
        share `least` of all rows are there; returns the level that holds then."""
        while not kept.all():
            if sum(p.stop - p.first for p in self.pieces(kept)) >= least * len(kept):
                return level
            out = np.flatnonzero(~kept)
            order = np.argsort(scores[out], kind="stable")
            kept[out[order[: (len(out) + 1) // 2]]] = True
            level = float(scores[kept].max())
        return level
