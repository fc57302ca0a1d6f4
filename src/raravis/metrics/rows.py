"""Whether alarms and scores, row by row, find the events that rows are labelled with.

An event is a run of labelled rows. `recording` (N,) says to which recording each row belongs, where
rows of several stand one after another: no event reaches over a border.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raravis.errors import ParameterError
from raravis.metrics.checks import labels_and_alarms, labels_and_scores, of_recordings
from raravis.metrics.ranking import best_f1
from raravis.windows import FloatArray, IntArray


def labelled_runs(labels: npt.ArrayLike, recording: npt.ArrayLike | None = None) -> IntArray:
    """First row of each event and the row after its last, (E, 2), in order."""
    wanted, _ = labels_and_alarms(labels, labels)
    number = of_recordings(recording, len(wanted))
    border = np.append(True, number[1:] != number[:-1])
    first = wanted & (border | np.append(True, ~wanted[:-1]))
    last = wanted & np.append(border[1:] | ~wanted[1:], True)
    return np.column_stack([np.flatnonzero(first), np.flatnonzero(last) + 1])


def event_recall(
    labels: npt.ArrayLike, alarms: npt.ArrayLike, recording: npt.ArrayLike | None = None
) -> float:
    """Share of the events in which at least one row alarmed."""
    return float(np.isfinite(delays(labels, alarms, recording=recording)).mean())


def detection_delay(
    labels: npt.ArrayLike,
    alarms: npt.ArrayLike,
    time_s: npt.ArrayLike | None = None,
    recording: npt.ArrayLike | None = None,
) -> float:
    """Median over the found events of `delays`; NaN where none was found."""
    late = delays(labels, alarms, time_s, recording)
    found = late[np.isfinite(late)]
    return float(np.median(found)) if len(found) else float("nan")


def delays(
    labels: npt.ArrayLike,
    alarms: npt.ArrayLike,
    time_s: npt.ArrayLike | None = None,
    recording: npt.ArrayLike | None = None,
) -> FloatArray:
    """From the start of each event to its first alarm, (E,): rows, or seconds where `time_s` (N,)
    is given. NaN where the event was missed; an alarm just before an event does not count."""
    wanted, alarm = labels_and_alarms(labels, alarms)
    clock = np.arange(len(wanted)) if time_s is None else np.asarray(time_s, dtype=np.float64)
    if clock.shape != wanted.shape:
        raise ParameterError(f"time_s must be {wanted.shape}, one for each row, got {clock.shape}")
    events = labelled_runs(wanted, recording)
    if not len(events):
        raise ParameterError(f"no event to be found: none of {len(wanted)} rows is labelled")
    rang = np.flatnonzero(alarm)
    rang = np.append(rang, len(alarm))  # past the end: found by no event
    first = rang[np.searchsorted(rang, events[:, 0])]  # alarm at or after each event's start
    late = np.append(clock, np.nan)[first] - clock[events[:, 0]]
    return np.where(first < events[:, 1], late, np.nan)


def point_adjusted_f1_beside_random(
    labels: npt.ArrayLike, scores: npt.ArrayLike, seed: int = 0
) -> tuple[float, float]:
    """The best point-adjusted F1 of these scores, and that of numbers drawn at random.

    Point-adjusted: one alarmed row in an event counts as if all its rows had alarmed. Random
    numbers reach .9 and more where events are long, so the first figure means nothing without the
    second, and is given out only beside it.

    Sources: Xu et al. 2018, arXiv:1802.03903, for the rule; Kim et al. 2022, arXiv:2109.05257,
    for what is wrong with it.
    """
    wanted, score = labels_and_scores(labels, scores)
    chance = np.random.default_rng(seed).random(len(score))
    return _point_adjusted(wanted, score), _point_adjusted(wanted, chance)


def _point_adjusted(labels: npt.NDArray[np.bool_], scores: FloatArray) -> float:
    """Every row of an event scores as the highest one, at every level alike."""
    adjusted = scores.copy()
    for first, stop in labelled_runs(labels):
        adjusted[first:stop] = scores[first:stop].max()
    return best_f1(labels, adjusted)
