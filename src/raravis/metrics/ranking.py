"""How well scores rank what is known, whatever level an alarm is set at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from raravis.errors import ParameterError
from raravis.metrics.checks import labels_and_scores
from raravis.windows import BoolArray, FloatArray, IntArray

Metric = Callable[[BoolArray, FloatArray], float]


def auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the ROC curve: how often a true one scores above another, ties counted half.

    Source: Hanley & McNeil 1982, Radiology 143(1); from mean ranks, as Mann & Whitney's U.
    """
    wanted, score = labels_and_scores(labels, scores)
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]  # the mean rank of those that tie
    n, m = int(wanted.sum()), int((~wanted).sum())
    return float((rank[wanted].sum() - n * (n + 1) / 2) / (n * m))


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Mean precision over the true ones, going down the ranking: sum of (R_i - R_i-1) P_i.

    One step per distinct score, no interpolation, as in scikit-learn.
    """
    precision, recall = precision_recall(labels, scores)
    return float((precision * np.diff(recall, prepend=0)).sum())


def best_f1(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """The largest F1 = 2 P R / (P + R) that any level reaches.

    It is chosen with the labels at hand: an upper bound of what a level set in advance can do.
    """
    precision, recall = precision_recall(labels, scores)
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-300)).max())


def precision_recall(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Precision and recall at each distinct score, from the highest down."""
    hits, others = _passed(labels, scores)
    return hits / (hits + others), hits / hits[-1]


def roc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """False-alarm rate and recall, from (0, 0) and then at each distinct score, highest first."""
    hits, others = _passed(labels, scores)
    return np.append(0, others / others[-1]), np.append(0, hits / hits[-1])


def bootstrap_interval(
    metric: Metric,
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    confidence: float = 0.95,
    rounds: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval in which `metric` lies with this confidence, were other samples drawn: (low, high).

    Draws true ones and others with replacement, each as many as there are, `rounds` times.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentiles).
    """
    wanted, score = labels_and_scores(labels, scores)
    if not 0 < confidence < 1 or rounds < 1:
        raise ParameterError(
            f"confidence must be in (0, 1) and rounds >= 1, got {confidence} and {rounds}"
        )
    random = np.random.default_rng(seed)
    groups = [np.flatnonzero(wanted), np.flatnonzero(~wanted)]
    values = []
    for _ in range(rounds):
        rows = np.concatenate([random.choice(group, len(group)) for group in groups])
        values.append(metric(wanted[rows], score[rows]))
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _passed(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    """True ones and others that score at least as high as each distinct score, highest first."""
    wanted, score = labels_and_scores(labels, scores)
    order = np.argsort(-score, kind="stable")
    falls = score[order][1:] != score[order][:-1]
    last = np.append(np.flatnonzero(falls), len(score) - 1)  # of each group of equal scores
    hits = np.cumsum(wanted[order])[last]
    return hits, last + 1 - hits
