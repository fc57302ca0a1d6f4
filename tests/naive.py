"""Slow and obvious twins of fast algorithms: loops over plain numbers, as the formula reads."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def auroc(labels: Sequence[bool], scores: Sequence[float]) -> float:
    """Share of pairs (true one, other) in the right order; a tie is half right."""
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for wanted, a in zip(labels, scores, strict=True)
        if wanted
        for other, b in zip(labels, scores, strict=True)
        if not other
    ]
    return sum(pairs) / len(pairs)


def curve(labels: Sequence[bool], scores: Sequence[float]) -> list[tuple[float, float]]:
    """(precision, recall) at each distinct score, from the highest down."""
    points = []
    for level in sorted(set(scores), reverse=True):
        chosen = [wanted for wanted, score in zip(labels, scores, strict=True) if score >= level]
        points.append((sum(chosen) / len(chosen), sum(chosen) / sum(labels)))
    return points


def average_precision(labels: Sequence[bool], scores: Sequence[float]) -> float:
    total, before = 0.0, 0.0
    for precision, recall in curve(labels, scores):
        total += precision * (recall - before)
        before = recall
    return total


def best_f1(labels: Sequence[bool], scores: Sequence[float]) -> float:
    return max(2 * p * r / (p + r) if p + r else 0.0 for p, r in curve(labels, scores))


Stretch = tuple[int, float, float]  # recording, start_s, end_s


def overlap(a: Stretch, b: Stretch) -> bool:
    return a[0] == b[0] and a[1] < b[2] and b[1] < a[2]


def event_scores(
    windows: Sequence[Stretch], scores: Sequence[float], events: Sequence[Stretch]
) -> list[float]:
    return [
        max(
            [s for w, s in zip(windows, scores, strict=True) if overlap(w, event)],
            default=-math.inf,
        )
        for event in events
    ]


def runs(windows: Sequence[Stretch], merge_s: float = 0.0) -> list[list[Stretch]]:
    """Groups of windows that overlap, touch or lie at most merge_s apart, joined until none do."""
    groups = [[window] for window in windows]

    def near(a: list[Stretch], b: list[Stretch]) -> bool:
        return any(
            v[0] == w[0] and max(v[1], w[1]) - min(v[2], w[2]) <= merge_s + 1e-6
            for v in a
            for w in b
        )

    joined = True
    while joined:
        joined = False
        for i in range(len(groups)):
            for j in range(i + 1, len(groups)):
                if near(groups[i], groups[j]):
                    groups[i] += groups.pop(j)
                    joined = True
                    break
            if joined:
                break
    return groups


def recall_at_false_alarms(
    windows: Sequence[Stretch],
    scores: Sequence[float],
    events: Sequence[Stretch],
    hours: float,
    per_hour: float,
) -> float:
    """The best recall of any level whose runs of windows outside all events are few enough."""
    found = event_scores(windows, scores, events)
    best = 0.0
    for level in sorted(set(scores)):
        false = [
            window
            for window, score in zip(windows, scores, strict=True)
            if score >= level and not any(overlap(window, event) for event in events)
        ]
        alarms = 0
        for run in runs(false):
            length_s = max(end for *_, end in run) - min(start for _, start, _ in run)
            while length_s > 1e-6:
                alarms, length_s = alarms + 1, length_s - 10
        if alarms / hours <= per_hour:
            best = max(best, sum(score >= level for score in found) / len(events))
    return best


def p_value(ordinary: Sequence[float], score: float) -> float:
    """Share of ordinary scores at least as high, the score itself counted as one of them."""
    return (1 + sum(other >= score for other in ordinary)) / (len(ordinary) + 1)


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def knn(bank: Sequence[Sequence[float]], z: Sequence[float], k: int, rescale: bool) -> float:
    """Mean distance to the k nearest others, over the mean of their own such distances.

    z itself is nobody's neighbour, even where it is in the bank.
    """
    others = [list(m) for m in bank if list(m) != list(z)]

    def nearest(point: Sequence[float]) -> list[list[float]]:
        return sorted((m for m in others if m != list(point)), key=lambda m: distance(m, point))[:k]

    def spacing(point: Sequence[float]) -> float:
        return sum(distance(m, point) for m in nearest(point)) / k

    return spacing(z) / (sum(spacing(m) for m in nearest(z)) / k if rescale else 1)


def solve(matrix: list[list[float]], right: list[list[float]]) -> list[list[float]]:
    """X with matrix X = right, by Gaussian elimination with pivots."""
    rows = [list(a) + list(b) for a, b in zip(matrix, right, strict=True)]
    size = len(rows)
    for i in range(size):
        pivot = max(range(i, size), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for r in range(size):
            if r != i:
                rows[r] = [a - rows[r][i] * b for a, b in zip(rows[r], rows[i], strict=True)]
    return [row[size:] for row in rows]


def autoregression(
    seen: Sequence[Sequence[float]],
    new: Sequence[Sequence[float]],
    lags: int,
    window: int,
    ridge: float,
) -> list[list[float]]:
    """Root mean square errors of the last rows, over those of ordinary rows plus .02."""

    def features(rows: Sequence[Sequence[float]], t: int) -> list[float]:
        return [v for before in rows[t - lags : t] for v in before] + [1.0]

    channels, n = len(seen[0]), len(seen) - lags
    examples = [(features(seen, t), seen[t]) for t in range(lags, len(seen))]
    size = channels * lags + 1
    square = [
        [sum(f[i] * f[j] for f, _ in examples) + ridge * n * (i == j) for j in range(size)]
        for i in range(size)
    ]
    cross = [[sum(f[i] * x[c] for f, x in examples) for c in range(channels)] for i in range(size)]
    weights = solve(square, cross)

    def errors(rows: Sequence[Sequence[float]]) -> list[list[float]]:
        single = [
            [
                rows[t][c] - sum(f * w[c] for f, w in zip(features(rows, t), weights, strict=True))
                for c in range(channels)
            ]
            for t in range(lags, len(rows))
        ]
        return [
            [
                math.sqrt(sum(e[c] ** 2 for e in single[t - window + 1 : t + 1]) / window)
                for c in range(channels)
            ]
            for t in range(window - 1, len(single))
        ]

    learned = errors(seen)
    ordinary = [math.sqrt(sum(e[c] ** 2 for e in learned) / len(learned)) for c in range(channels)]
    return [[e[c] / (ordinary[c] + 0.02) for c in range(channels)] for e in errors(new)]


def row_events(labels: Sequence[bool]) -> list[list[int]]:
    """The rows of each run of labelled rows."""
    events: list[list[int]] = []
    for row, wanted in enumerate(labels):
        if wanted:
            if row == 0 or not labels[row - 1]:
                events.append([])
            events[-1].append(row)
    return events


def delays(labels: Sequence[bool], alarms: Sequence[bool]) -> list[float]:
    """Rows from the start of each event to its first alarm."""
    return [
        min((row - event[0] for row in event if alarms[row]), default=math.nan)
        for event in row_events(labels)
    ]


def point_adjusted_f1(labels: Sequence[bool], scores: Sequence[float]) -> float:
    best = 0.0
    for level in set(scores):
        alarms = [score >= level for score in scores]
        for event in row_events(labels):
            if any(alarms[row] for row in event):
                for row in event:
                    alarms[row] = True
        found = sum(alarm and wanted for alarm, wanted in zip(alarms, labels, strict=True))
        best = max(best, 2 * found / (sum(alarms) + sum(labels)))
    return best


def vus_pr(labels: Sequence[bool], scores: Sequence[float], most: int, levels: int) -> float:
    """Labels are softened and events widened anew for every tolerance and every level."""
    n, events = len(labels), row_events(labels)
    falling = sorted(scores, reverse=True)
    areas = []
    for w in range(most + 1):
        soft = [float(wanted) for wanted in labels]
        for event in events:
            for row in range(n):
                distance = max(event[0] - row, row - event[-1])
                if 0 < distance <= w // 2:
                    soft[row] = min(1.0, soft[row] + math.sqrt(1 - distance / w))
        widened: list[set[int]] = []
        for event in events:
            wide = set(range(max(0, event[0] - w // 2), min(n, event[-1] + w // 2 + 1)))
            if widened and widened[-1] & wide:
                widened[-1] |= wide
            else:
                widened.append(wide)
        area, before = 0.0, 0.0
        for k in range(levels):
            level = falling[int(k * ((n - 1) / (levels - 1))) if k < levels - 1 else n - 1]
            alarmed = {row for row in range(n) if scores[row] >= level}
            found = sum(soft[row] for row in alarmed)
            flanks = sum(soft[row] for row in alarmed if not labels[row])
            weight = (sum(labels) + sum(labels) + flanks) / 2
            recall = min(found / weight, 1.0)
            recall *= sum(bool(wide & alarmed) for wide in widened) / len(widened)
            area += (recall - before) * found / len(alarmed)
            before = recall
        areas.append(area)
    return sum(areas) / len(areas)


def distance_to_past(values: Sequence[float], gap: int, first_row: int) -> list[float]:
    """Each value's distance to the nearest of those at least `gap` rows before it."""
    found = []
    for t, value in enumerate(values):
        past = values[: max(0, t - gap + 1)]
        found.append(min((abs(value - p) for p in past), default=0) if t >= first_row else 0.0)
    return found


def excess_tail(past: Sequence[float], value: float, q: float, largest: float) -> float:
    """How far a value lies beyond quantile q of those before, over the mean excess there."""
    ordered = sorted(past)
    start = int(q * len(ordered))
    if len(ordered) <= 20 or value <= ordered[start]:
        return 0.0
    excess = [v - ordered[start] for v in ordered[start:]]
    mean = sum(excess) / len(excess) + 1e-9 * abs(value)
    return min(largest, (value - ordered[start]) / mean)


def slot_residual(
    minutes: Sequence[int], values: Sequence[float], slot: int, cycle: int, most: int, fewest: int
) -> list[float]:
    """Each value minus the median of the last `most` before it in the same slot of the cycle."""
    slots = [minute % cycle // slot for minute in minutes]
    found = []
    for t, value in enumerate(values):
        same = [values[s] for s in range(t) if slots[s] == slots[t]][-most:]
        found.append(value - statistics.median(same) if len(same) >= fewest else 0.0)
    return found


def refractory(scores: Sequence[float], share: float, most: int, factor: float) -> list[float]:
    """Scores that beat all of the last rows by a factor; 0 for the others."""
    found = []
    for t, score in enumerate(scores):
        reach = min(most, int(share * t))
        before = max(scores[max(0, t - reach) : t], default=0.0)
        found.append(score if score > factor * before else 0.0)
    return found


def nab_raw_score(
    corpus: Sequence[tuple[Sequence[float], Sequence[bool]]],
    hit: float,
    miss: float,
    false_alarm: float,
    threshold: float,
) -> float:
    """NAB's score before normalising, row by row."""

    def sigmoid(x: float) -> float:
        return -1.0 if x > 3 else 2 / (1 + math.exp(5 * x)) - 1

    total = 0.0
    for scores, labels in corpus:
        found: dict[int, float] = {}  # window -> what its first detection is worth
        start = end = None
        for i, (score, inside) in enumerate(zip(scores, labels, strict=True)):
            if inside and (i == 0 or not labels[i - 1]):
                start = end = i
                while end + 1 < len(labels) and labels[end + 1]:
                    end += 1
                found[start] = -miss
            if i < min(math.floor(0.15 * len(scores)), 750) or score < threshold:
                continue
            if inside:
                value = sigmoid(-(end - i + 1) / (end - start + 1)) / sigmoid(-1)
                found[start] = max(found[start], hit * value)
            elif end is None or end == start:
                total -= false_alarm
            else:
                total += false_alarm * sigmoid((i - end) / (end - start))
        total += sum(found.values())
    return total
