"""How well scores find what is known: numbers for benchmarks, comparisons and evaluations.

Conventions: labels (N,) are true for what should be found, scores (N,) are higher for what is
thought stranger, alarms (N,) are true where something was said. An infinite score is allowed, NaN
is refused: rows that could not be scored are left out, and counted, by the caller. Ties count as
ties: the order in which equal scores stand changes nothing. Every function checks its arrays first
and raises ParameterError.

    ranking  scores, at every level: AUROC, average precision, best F1, curves
    alarms   alarms against labels, row by row: confusion, accuracies, rates
    rows     events as runs of labelled rows: recall, delay
    volume   VUS-PR
    events   windows of recordings against events: recall at so many false alarms an hour
    representation  what embeddings tell, and how much of their space they use (imported by name)

`metrics.retrieval` asks another thing, of embeddings: at which place a true partner comes.
"""

from raravis.metrics.alarms import (
    Confusion,
    accuracy,
    balanced_accuracy,
    confusion,
    f1,
    false_alarm_rate,
    miss_rate,
    precision,
    recall,
)
from raravis.metrics.events import ALARM_S, TOUCH_S, event_scores, recall_at_false_alarms
from raravis.metrics.ranking import (
    Metric,
    auroc,
    average_precision,
    best_f1,
    bootstrap_interval,
    precision_recall,
    roc,
)
from raravis.metrics.rows import (
    delays,
    detection_delay,
    event_recall,
    labelled_runs,
    point_adjusted_f1_beside_random,
)
from raravis.metrics.volume import vus_pr

__all__ = [
    "ALARM_S",
    "TOUCH_S",
    "Confusion",
    "Metric",
    "accuracy",
    "auroc",
    "average_precision",
    "balanced_accuracy",
    "best_f1",
    "bootstrap_interval",
    "confusion",
    "delays",
    "detection_delay",
    "event_recall",
    "event_scores",
    "f1",
    "false_alarm_rate",
    "labelled_runs",
    "miss_rate",
    "point_adjusted_f1_beside_random",
    "precision",
    "precision_recall",
    "recall",
    "recall_at_false_alarms",
    "roc",
    "vus_pr",
]
