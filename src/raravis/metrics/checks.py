"""What every metric asks of its arrays before it counts. A new metric calls one of these first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raravis.errors import ParameterError
from raravis.windows import BoolArray, FloatArray, IntArray


def labels_and_scores(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[BoolArray, FloatArray]:
    """Labels (N,) as bool and scores (N,) as float64, of both kinds, none NaN."""
    wanted = np.asarray(labels)
    score = np.asarray(scores, dtype=np.float64)
    if wanted.ndim != 1 or wanted.shape != score.shape:
        raise ParameterError(
            f"labels and scores must be (N,) of one length, got {wanted.shape} and {score.shape}"
        )
    if np.isnan(score).any():
        raise ParameterError(f"{int(np.isnan(score).sum())} of {len(score)} scores are NaN")
    return both_kinds(_truths(wanted, "labels")), score


def labels_and_alarms(labels: npt.ArrayLike, alarms: npt.ArrayLike) -> tuple[BoolArray, BoolArray]:
    """Labels (N,) and alarms (N,) as bool; of the labels, one kind may be all there is."""
    wanted, alarm = np.asarray(labels), np.asarray(alarms)
    if wanted.ndim != 1 or wanted.shape != alarm.shape or not len(wanted):
        raise ParameterError(
            "labels and alarms must be (N,) of one length, at least 1, "
            f"got {wanted.shape} and {alarm.shape}"
        )
    return _truths(wanted, "labels"), _truths(alarm, "alarms")


def both_kinds(labels: BoolArray) -> BoolArray:
    """The labels (N,), some of which are true and some are not."""
    if labels.all() or not labels.any():
        raise ParameterError(
            f"labels must hold both kinds, got {int(labels.sum())} true of {len(labels)}"
        )
    return labels


def of_recordings(recording: npt.ArrayLike | None, rows: int) -> IntArray:
    """Number of the recording of each row (N,); None stands for one recording."""
    if recording is None:
        return np.zeros(rows, dtype=np.int64)
    number = np.asarray(recording)
    if number.shape != (rows,):
        raise ParameterError(f"recording must be ({rows},), one for each row, got {number.shape}")
    return number


def _truths(values: npt.NDArray[np.generic], name: str) -> BoolArray:
    if not np.isin(values, (0, 1)).all():
        raise ParameterError(f"{name} must be 0 or 1")
    return values.astype(bool)
