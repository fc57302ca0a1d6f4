"""The volume under the precision-recall surface: for events whose borders nobody knows exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raravis.errors import ParameterError
from raravis.metrics.checks import labels_and_scores
from raravis.metrics.rows import labelled_runs
from raravis.windows import BoolArray, FloatArray, IntArray


def vus_pr(
    labels: npt.ArrayLike, scores: npt.ArrayLike, most: int = 100, levels: int = 250, step: int = 1
) -> float:
    """VUS-PR: area under precision over recall, averaged over how far labels may be off.

    For each tolerance w = 0, step, ... most rows, every event gets flanks: d rows from it, d <=
    w // 2, count sqrt(1 - d / w) of a labelled row (at most 1 in all). At a level with A alarms

        found     = weight of the alarmed rows, flanks included
        precision = found / A
        recall    = min(1, found / (labelled rows + flanks found / 2))
                    x share of the events, widened by w // 2 and joined where they meet, that alarm
        area      = sum over levels, from the highest down, of (rise of recall) x precision

    most    >= 0: the largest tolerance, rows; 100 is what published tables take where no period is
            known.
    levels  >= 2: how many are tried; they stand at evenly spaced ranks of the scores.
    step    >= 1: between tolerances; 1 is exact, 5 differs in the third decimal.

    Unlike the other metrics of rows it sees one recording: flanks would reach over borders.

    Source: Paparrizos et al. 2022, PVLDB 15(11), doi:10.14778/3551793.3551830; counted as the
    "opt" version of Liu & Paparrizos 2024, TSB-AD, does.
    """
    wanted, score = labels_and_scores(labels, scores)
    if most < 0 or levels < 2 or step < 1:
        raise ParameterError(
            "most must be >= 0, levels >= 2 and step >= 1, "
            f"got most={most}, levels={levels}, step={step}"
        )
    order = np.sort(score)[::-1]
    tried = order[np.linspace(0, len(score) - 1, levels).astype(int)]  # falling
    reached = np.searchsorted(-tried, -score)  # (N,) the first level at which each row alarms
    alarmed = _so_far(reached, levels)
    inside = _so_far(reached[wanted], levels)
    events = labelled_runs(wanted)
    rows, distance = _flanks(wanted, events, most // 2)
    areas = []
    for tolerance in range(0, most + 1, step):
        near = distance <= tolerance // 2
        weight = np.bincount(
            rows[near], np.sqrt(1 - distance[near] / max(tolerance, 1)), minlength=len(score)
        )
        flank = np.flatnonzero(weight)
        beside = _so_far(reached[flank], levels, np.minimum(weight[flank], 1))
        found = inside + beside
        recall = np.minimum(found / (wanted.sum() + beside / 2), 1)
        recall *= _share_of_events(events, tolerance // 2, reached, levels)
        areas.append(float((np.diff(recall, prepend=0) * found / alarmed).sum()))
    return float(np.mean(areas))


def _so_far(reached: IntArray, levels: int, weight: FloatArray | None = None) -> FloatArray:
    """Rows, or their weight, that alarm at each level or one before it, (levels,)."""
    return np.cumsum(np.bincount(reached, weight, minlength=levels), dtype=np.float64)


def _flanks(labels: BoolArray, events: IntArray, reach: int) -> tuple[IntArray, IntArray]:
    """Rows beside events, not labelled themselves, and how far from the event, (F,) each. A row
    comes once for every event that it is near."""
    distance = np.arange(1, reach + 1)
    before, after = events[:, :1] - distance, events[:, 1:] - 1 + distance  # (E, reach)
    rows = np.concatenate([before, after]).ravel()
    far = np.tile(distance, 2 * len(events))
    exists = (rows >= 0) & (rows < len(labels))
    exists[exists] = ~labels[rows[exists]]
    return rows[exists], far[exists]


def _share_of_events(events: IntArray, reach: int, reached: IntArray, levels: int) -> FloatArray:
    """Share (levels,) of the events, widened by `reach` rows and joined where they share a row, in
    which a row alarms."""
    first = np.maximum(events[:, 0] - reach, 0)
    stop = np.minimum(events[:, 1] + reach, len(reached))
    apart = first[1:] >= stop[:-1]
    first, stop = first[np.append(True, apart)], stop[np.append(apart, True)]
    bounds = np.column_stack([first, stop]).ravel()
    earliest = np.minimum.reduceat(np.append(reached, levels), bounds)[::2]  # of each event
    return _so_far(earliest, levels) / len(first)
