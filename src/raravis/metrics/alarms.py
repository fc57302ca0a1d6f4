"""How well alarms, row by row, agree with labels: counts, rates, accuracies.

A rate of which nothing was asked (the misses of no labelled row) is refused; the precision of a
detector that never alarms is 0, as in scikit-learn.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy.typing as npt

from raravis.metrics.checks import both_kinds, labels_and_alarms


class Confusion(NamedTuple):
    """Counts of rows: what they are and what was said of them."""

    found: int
    missed: int
    false_alarms: int
    quiet: int


def confusion(labels: npt.ArrayLike, alarms: npt.ArrayLike) -> Confusion:
    """How many labelled rows were found and missed, how many others alarmed and stayed quiet."""
    wanted, alarm = labels_and_alarms(labels, alarms)
    found, alarmed, true = int((wanted & alarm).sum()), int(alarm.sum()), int(wanted.sum())
    return Confusion(found, true - found, alarmed - found, len(wanted) - true - alarmed + found)


def accuracy(labels: npt.ArrayLike, alarms: npt.ArrayLike) -> float:
    """Share of rows of which the truth was said. Where few rows are labelled, silence has most of
    it: never to be read without the majority's share beside it."""
    found, missed, false_alarms, quiet = confusion(labels, alarms)
    return (found + quiet) / (found + missed + false_alarms + quiet)


def balanced_accuracy(labels: npt.ArrayLike, alarms: npt.ArrayLike) -> float:
    """Mean of the shares of both kinds that were told right: 1/2 for whoever says always the same.

    Source: Brodersen et al. 2010, doi:10.1109/ICPR.2010.764.
    """
    return 1 - (miss_rate(labels, alarms) + false_alarm_rate(labels, alarms)) / 2


def precision(labels: npt.ArrayLike, alarms: npt.ArrayLike) -> float:
    """Share of the alarmed rows that are labelled; 0 where nothing alarmed."""
    found, _, false_alarms, _ = _of_both_kinds(labels, alarms)
    return found / max(found + false_alarms, 1)


def recall(labels: npt.ArrayLike, alarms: npt.ArrayLike) -> float:
    """Share of the labelled rows that alarmed."""
    found, missed, _, _ = _of_both_kinds(labels, alarms)
    return found / (found + missed)


def f1(labels: npt.ArrayLike, alarms: npt.ArrayLike) -> float:
    """2 P R / (P + R), the harmonic mean of precision and recall; 0 where nothing was found."""
    found, missed, false_alarms, _ = _of_both_kinds(labels, alarms)
    return 2 * found / (2 * found + missed + false_alarms)


def false_alarm_rate(labels: npt.ArrayLike, alarms: npt.ArrayLike) -> float:
    """Share of the rows without a label that alarmed."""
    _, _, false_alarms, quiet = _of_both_kinds(labels, alarms)
    return false_alarms / (false_alarms + quiet)


def miss_rate(labels: npt.ArrayLike, alarms: npt.ArrayLike) -> float:
    """Share of the labelled rows that did not alarm: 1 - recall."""
    return 1 - recall(labels, alarms)


def _of_both_kinds(labels: npt.ArrayLike, alarms: npt.ArrayLike) -> Confusion:
    both_kinds(labels_and_alarms(labels, alarms)[0])
    return confusion(labels, alarms)
