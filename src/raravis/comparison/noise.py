"""How sure a figure is: intervals over seeds, and over the rows that happened to be tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

from raravis.errors import ParameterError
from raravis.metrics import labelled_runs
from raravis.windows import BoolArray, FloatArray, IntArray

Interval = tuple[float, float]
CONFIDENCE = 0.95
SHORTEST = 50  # rows of a block


def t_interval(values: Sequence[float]) -> Interval | None:
    """Interval in which the mean over all seeds lies with 95 %, from the values of some.

        mean +- t s / sqrt(n)        t: the .975 quantile of Student's t with n - 1 degrees

    None where there are fewer than two values.

    Source: Student 1908, Biometrika 6(1).
    """
    if len(values) < 2:
        return None
    if len(set(values)) == 1:  # without a rounding error that would look like noise
        return float(values[0]), float(values[0])
    mean, error = np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))
    reach = student.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * error
    return float(mean - reach), float(mean + reach)


def block_interval(
    metric: Callable[[BoolArray, Any], float],
    labels: BoolArray,
    first: Sequence[FloatArray | BoolArray],
    second: Sequence[FloatArray | BoolArray],
    rounds: int = 200,
    seed: int = 0,
) -> Interval | None:
    """Interval of metric(first) - metric(second), were other stretches of time tested: 95 %.

    Rows next to each other are alike, so blocks of consecutive rows are drawn with replacement
    instead of rows; the same for both. A block is twice as long as the median event, at least 50
    rows and at most a tenth of all.

    first, second  what two models say of the rows (N,), scores or alarms, one array for each seed;
                   every round takes another seed's.

    None where fewer than half of the rounds draw both kinds of rows.

    Source: Kunsch 1989, doi:10.1214/aos/1176347265 (moving blocks).
    """
    if rounds < 1:
        raise ParameterError(f"rounds must be >= 1, got {rounds}")
    random = np.random.default_rng(seed)
    length = _block_length(labels)
    differences = []
    for number in range(rounds):
        rows = _blocks(len(labels), length, random)
        drawn = labels[rows]
        if drawn.any() and not drawn.all():
            one, other = first[number % len(first)], second[number % len(second)]
            differences.append(metric(drawn, one[rows]) - metric(drawn, other[rows]))
    if 2 * len(differences) < rounds:
        return None
    low, high = np.quantile(differences, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _block_length(labels: BoolArray) -> int:
    events = labelled_runs(labels)
    usual = float(np.median(events[:, 1] - events[:, 0])) if len(events) else 0.0
    return int(max(1, min(max(2 * usual, SHORTEST), len(labels) / 10)))


def _blocks(rows: int, length: int, random: np.random.Generator) -> IntArray:
    """As many rows as there are, in blocks of `length` consecutive ones drawn with replacement."""
    starts = random.integers(0, rows - length + 1, -(-rows // length))
    return (starts[:, None] + np.arange(length)).ravel()[:rows]
