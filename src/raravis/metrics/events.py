"""Whether windows find events, and how many false alarms that costs: for recordings in hours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from raravis.errors import ParameterError
from raravis.windows import BoolArray, FloatArray, Windows

TOUCH_S = 1e-6  # windows closer than this touch: 0.1 * 3 is not 0.3
ALARM_S = 10.0  # a false alarm that lasts longer counts again: else one that never ends were one


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


def _of_windows(windows: Windows, scores: npt.ArrayLike) -> FloatArray:
    score = np.asarray(scores, dtype=np.float64)
    if score.shape != (len(windows),):
        raise ParameterError(f"scores must be ({len(windows)},), got {score.shape}")
    if np.isnan(score).any():
        raise ParameterError(f"{int(np.isnan(score).sum())} of {len(score)} scores are NaN")
    return score
