"""How far each term moved at the switch from recordings to others, in numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu

from raravis.metrics import auroc, bootstrap_interval
from raravis.monitoring.terms import AFTER, BEFORE, Watched
from raravis.windows import FloatArray

ROUNDS = 300  # of the bootstrap
CHANCE = 0.05  # that any of the terms is said to tell the sides apart where none does
WINDOWS, BATCHES = "window", "batch"


@dataclass(frozen=True)
class Move:
    """How one quantity moved.

    term         its name.
    per          "window" or "batch".
    before       its mean before the switch, and after: its mean then.
    deviations   by how many of its standard deviations before the switch the mean moved; None where
                 it never varied.
    auroc        how often one after the switch is higher than one before; below 1/2 it fell.
    low, high    interval of 95 % around that, by drawing windows or batches anew; too narrow where
                 there are few, and of no width where the sides do not overlap.
    p_value      chance of an AUROC so far from 1/2 or farther, were both sides of one kind (Mann &
                 Whitney's test, exact where rows are few).
    rows_before  windows or batches before, and rows_after: after.
    """

    term: str
    per: str
    before: float
    after: float
    deviations: float | None
    auroc: float
    low: float
    high: float
    p_value: float
    rows_before: int
    rows_after: int


def moves(watched: Watched, seed: int = 0) -> list[Move]:
    """How every quantity moved, of windows and of batches, the farthest first; none where there was
    no switch, or fewer than two on a side."""
    tables = (
        (WINDOWS, watched.windows, watched.of_windows),
        (BATCHES, watched.batches, watched.of_batches),
    )
    found = []
    for per, table, names in tables:
        own = [move for name in names if (move := _move(table, name, per, seed)) is not None]
        found += sorted(own, key=lambda move: -abs(move.deviations or 0))
    return found


def _move(table: pd.DataFrame, name: str, per: str, seed: int) -> Move | None:
    before, after = (_known(table[name][table["side"] == side]) for side in (BEFORE, AFTER))
    if len(before) < 2 or len(after) < 2:
        return None
    is_after = np.repeat([False, True], [len(before), len(after)])
    values = np.concatenate([before, after])
    low, high = bootstrap_interval(auroc, is_after, values, rounds=ROUNDS, seed=seed)
    spread, step = before.std(ddof=1), after.mean() - before.mean()
    return Move(
        name,
        per,
        float(before.mean()),
        float(after.mean()),
        float(step / spread) if spread > 0 else None,
        auroc(is_after, values),
        low,
        high,
        float(mannwhitneyu(after, before).pvalue),
        len(before),
        len(after),
    )


def _known(values: pd.Series) -> FloatArray:
    numbers: FloatArray = values.to_numpy(float)
    return np.asarray(numbers[np.isfinite(numbers)])


def said(found: Sequence[Move]) -> list[str]:
    """What moved, in words: a sentence for windows and one for batches, and what to beware of.

    A term tells the sides apart where its p-value is below 5 % over the number of terms that were
    asked (Bonferroni), so that asking many finds nothing by itself.
    """
    if not found:
        return ["no switch to other recordings, or fewer than two batches: nothing to compare"]
    sentences = []
    for per in (WINDOWS, BATCHES):
        own = [move for move in found if move.per == per]
        if not own:
            sentences.append(
                f"too few windows for two {per}es on each side: give a smaller --batch"
            )
            continue
        told = [move for move in own if move.p_value < CHANCE / len(own)]
        if not told:
            sentences.append(f"per {per}, no term tells the two sides apart: all could be chance")
        else:
            sentences.append(_sentence(told[0]))
            silent = [move.term for move in own if move not in told]
            if silent:
                sentences.append(f"per {per}, could be chance: {', '.join(silent)}")
    sentences.append(
        "what was learned from lies low by itself: only recordings that were held back are a fair "
        "before"
    )
    return sentences


def _sentence(move: Move) -> str:
    way = "rose" if move.after > move.before else "fell"
    by = "" if move.deviations is None else f", by {abs(move.deviations):.1f} deviations"
    return (
        f"per {move.per}, {move.term} moved most: it {way} from {move.before:.3g} to "
        f"{move.after:.3g}{by}; AUROC {move.auroc:.2f} ({move.low:.2f} to {move.high:.2f}) of "
        f"{move.rows_after} after against {move.rows_before} before"
    )
