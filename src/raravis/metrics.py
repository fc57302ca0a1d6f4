"""How well scores find what is known: numbers for benchmarks and `raravis evaluate`.

Conventions: labels (N,) are true for what should be found, scores (N,) are higher for what is
thought stranger. An infinite score is allowed, NaN is refused. Ties count as ties: the order in
which equal scores stand changes nothing. Every function checks its arrays first and raises
ParameterError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from raravis.errors import ParameterError
from raravis.windows import BoolArray, FloatArray, Windows

TOUCH_S = 1e-6  # windows closer than this touch: 0.1 * 3 is not 0.3
ALARM_S = 10.0  # a false alarm that lasts longer counts again: else one that never ends were one

Metric = Callable[[BoolArray, FloatArray], float]


def auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the ROC curve: how often a true one scores above another, ties counted half.

    Source: Hanley & McNeil 1982, Radiology 143(1); from mean ranks, as Mann & Whitney's U.
    """
    wanted, score = _checked(labels, scores)
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]  # the mean rank of those that tie
    n, m = int(wanted.sum()), int((~wanted).sum())
    return float((rank[wanted].sum() - n * (n + 1) / 2) / (n * m))


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Mean precision over the true ones, going down the ranking: sum of (R_i - R_i-1) P_i.

    One step per distinct score, no interpolation, as in scikit-learn.
    """
    precision, recall = _curve(*_checked(labels, scores))
    return float((precision * np.diff(recall, prepend=0)).sum())


def best_f1(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """The largest F1 = 2 P R / (P + R) that any level reaches.

    It is chosen with the labels at hand: an upper bound of what a level set in advance can do.
    """
    precision, recall = _curve(*_checked(labels, scores))
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-300)).max())


def event_scores(windows: Windows, scores: npt.ArrayLike, events: Windows) -> FloatArray:
    """Score of each event, (E,): the highest of the windows of its recording that overlap it.

    -inf where no window overlaps the event: it was not looked at and cannot be found.
    """
    score = _of_windows(windows, scores)
    best = np.full(len(events), -np.inf)
    for number, overlap in enumerate(_overlaps(windows, events)):
        best[number] = score[overlap].max(initial=-np.inf)
    return best


def recall_at_false_alarms(
    windows: Windows,
    scores: npt.ArrayLike,
    events: Windows,
    hours: float,
    per_hour: npt.ArrayLike,
) -> FloatArray:
    """Share of events found where so many false alarms per hour are borne; shape of `per_hour`.

    A level finds an event where a window that overlaps it scores at least as high. A false alarm
    is a run of such windows, overlapping or touching, among those that overlap no event; it counts
    once for every 10 s that it has begun. Recall changes only at the scores of events, so these
    are all the levels that are tried.
    """
    if not hours > 0 or not len(events):
        raise ParameterError(f"needs events and hours > 0, got {len(events)} events, {hours} hours")
    score = _of_windows(windows, scores)
    found = event_scores(windows, score, events)
    outside = np.ones(len(windows), dtype=bool)
    for overlap in _overlaps(windows, events):
        outside[overlap] = False
    levels = np.unique(found[found > -np.inf])
    start_s, end_s, score = _on_one_line(windows[outside], score[outside])
    rate = [_count_alarms(start_s[score >= lv], end_s[score >= lv]) / hours for lv in levels]
    recall = np.array([(found >= level).mean() for level in levels])
    borne = np.asarray(rate) <= np.asarray(per_hour, dtype=np.float64)[..., None]
    return np.asarray(np.where(borne, recall, 0.0).max(axis=-1, initial=0.0))


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
    wanted, score = _checked(labels, scores)
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


def _curve(labels: BoolArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Precision and recall at each distinct score, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    falls = scores[order][1:] != scores[order][:-1]
    last = np.append(np.flatnonzero(falls), len(scores) - 1)  # of each group of equal scores
    hits = np.cumsum(labels[order])[last]
    return hits / (last + 1), hits / hits[-1]


def _overlaps(windows: Windows, events: Windows) -> Iterator[BoolArray]:
    """For each event in turn, which windows (N,) of its recording overlap it."""
    for recording, start_s, end_s in zip(
        events.recording, events.start_s, events.end_s, strict=True
    ):
        same = windows.recording == recording
        yield np.asarray(same & (windows.start_s < end_s) & (windows.end_s > start_s))


def _on_one_line(windows: Windows, scores: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Start, end and score (N,), by start, the recordings laid one after another with gaps."""
    shift_s = windows.recording * (windows.end_s.max(initial=0.0) + 1.0)
    start_s, end_s = windows.start_s + shift_s, windows.end_s + shift_s
    order = np.argsort(start_s, kind="stable")
    return start_s[order], end_s[order], scores[order]


def _count_alarms(start_s: FloatArray, end_s: FloatArray) -> float:
    """How many alarms the runs of overlapping or touching windows are; in order of their start."""
    if not len(start_s):
        return 0.0
    until_s = np.maximum.accumulate(end_s)
    first = np.append(True, start_s[1:] > until_s[:-1] + TOUCH_S)  # of each run
    length_s = until_s[np.append(np.flatnonzero(first)[1:] - 1, -1)] - start_s[first]
    return float(np.ceil((length_s - TOUCH_S) / ALARM_S).sum())


def _checked(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[BoolArray, FloatArray]:
    """Labels (N,) as bool and scores (N,) as float64, of both kinds, none NaN."""
    wanted = np.asarray(labels)
    score = np.asarray(scores, dtype=np.float64)
    if wanted.ndim != 1 or wanted.shape != score.shape:
        raise ParameterError(
            f"labels and scores must be (N,) of one length, got {wanted.shape} and {score.shape}"
        )
    if np.isnan(score).any():
        raise ParameterError(f"{int(np.isnan(score).sum())} of {len(score)} scores are NaN")
    if not np.isin(wanted, (0, 1)).all():
        raise ParameterError("labels must be 0 or 1")
    wanted = wanted.astype(bool)
    if wanted.all() or not wanted.any():
        raise ParameterError(
            f"labels must hold both kinds, got {int(wanted.sum())} true of {len(wanted)}"
        )
    return wanted, score


def _of_windows(windows: Windows, scores: npt.ArrayLike) -> FloatArray:
    score = np.asarray(scores, dtype=np.float64)
    if score.shape != (len(windows),):
        raise ParameterError(f"scores must be ({len(windows)},), got {score.shape}")
    if np.isnan(score).any():
        raise ParameterError(f"{int(np.isnan(score).sum())} of {len(score)} scores are NaN")
    return score
