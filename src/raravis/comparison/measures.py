"""What is measured of a trial, and what each measure is called.

To add a measure of the test part, add a line to OF_ALARMS or OF_SCORES and one to NAMES.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from raravis import metrics
from raravis.comparison.parts import PARTS, TEST, Divided
from raravis.comparison.trials import Trial
from raravis.windows import BoolArray

NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy_test": "accuracy, test",
    "majority": "majority rate, test",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "false_alarm_rate": "false-alarm rate",
    "miss_rate": "miss rate",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "vus_pr": "VUS-PR",
    "event_recall": "event recall",
    "delay_s": "delay, s",
    "alarms_test": "rows alarmed, test",
    "accuracy_train": "accuracy, train",
    "accuracy_validation": "accuracy, validation",
    "loss_train": "loss, train",
    "loss_validation": "loss, validation",
    "loss_test": "loss, test",
    "fit_s": "fit time, s",
    "numbers": "numbers learned",
}
"""Measure -> how it is called where people read it, in their order."""

Metric = Callable[[BoolArray, Any], float]

OF_ALARMS: dict[str, Metric] = {
    "balanced_accuracy": metrics.balanced_accuracy,
    "precision": metrics.precision,
    "recall": metrics.recall,
    "f1": metrics.f1,
    "false_alarm_rate": metrics.false_alarm_rate,
    "miss_rate": metrics.miss_rate,
}
OF_SCORES: dict[str, Metric] = {
    "auroc": metrics.auroc,
    "auprc": metrics.average_precision,
}
TARGET = 0.8
"""Balanced accuracy that is asked for, while plain accuracy must be above the majority rate."""


def measure(data: Divided, trial: Trial, judged: BoolArray) -> dict[str, float]:
    """Measures of one trial by name, as many as these data allow.

    judged  (N,) rows that every model could score; only those count.
    """
    found = {f"loss_{part}": loss for part, loss in trial.loss.items()}
    if trial.learned:
        found |= {"fit_s": trial.fit_s, "numbers": trial.numbers}
    test = judged & (data.part == TEST)
    found["alarms_test"] = float(trial.alarms[test].mean())
    if data.is_labelled:
        for number, name in enumerate(PARTS):
            rows = judged & (data.part == number)
            if rows.any():
                found[f"accuracy_{name}"] = metrics.accuracy(data.labels[rows], trial.alarms[rows])
        share = float(data.labels[test].mean())
        found["majority"] = max(share, 1 - share)
        if 0 < share < 1:
            found |= _of_both_kinds(data, trial, test)
    return {name: float(found[name]) for name in NAMES if name in found}


def reaches_target(means: dict[str, float]) -> bool | None:
    """Whether balanced accuracy is at least .80 and accuracy above the majority rate; None where
    it cannot be told."""
    if "balanced_accuracy" not in means:
        return None
    return means["balanced_accuracy"] >= TARGET and means["accuracy_test"] > means["majority"]


def _of_both_kinds(data: Divided, trial: Trial, test: BoolArray) -> dict[str, float]:
    """What is measured where the test part holds both kinds of rows. VUS-PR is the mean over the
    recordings that hold both."""
    labels, scores, alarms = data.labels[test], trial.scores[test], trial.alarms[test]
    recording, time_s = data.recording[test], data.time_s[test]
    late = metrics.detection_delay(labels, alarms, time_s, recording)
    volumes = [
        metrics.vus_pr(labels[rows], scores[rows])
        for rows in (recording == one for one in np.unique(recording))
        if 0 < labels[rows].mean() < 1
    ]
    return {
        **{name: metric(labels, alarms) for name, metric in OF_ALARMS.items()},
        **{name: metric(labels, scores) for name, metric in OF_SCORES.items()},
        **({"vus_pr": float(np.mean(volumes))} if volumes else {}),
        "event_recall": metrics.event_recall(labels, alarms, recording),
        **({} if np.isnan(late) else {"delay_s": late}),
    }
