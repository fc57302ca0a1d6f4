"""When to speak: once for each event, not as long as it lasts."""

from __future__ import annotations

from collections import deque

from raravis.novelty.memory import Part


class Refractory(Part):
    """Lets a score through only where it beats everything that came shortly before.

        out(t) = s(t) if s(t) > factor x max of the last R(t) scores, else 0
        R(t)   = min(most, share x t) rows

    So an event speaks when it begins and when it grows, and no longer.

    share   in [0, 1): of the rows seen so far; 0 lets everything through.
    most    rows at most.
    factor  >= 1: how much higher a score must be.
    """

    def __init__(self, share: float, most: int, factor: float) -> None:
        self.share = share
        self.most = most
        self.factor = factor
        # of the scores within reach those that no later one has beaten: the first is the largest
        self.row_: deque[int] = deque()
        self.score_: deque[float] = deque()

    def __call__(self, row: int, score: float) -> float:
        """The score if it may speak, else 0; then it is remembered."""
        rows, scores = self.row_, self.score_
        reach = min(self.most, int(self.share * row))
        while rows and rows[0] < row - reach:
            rows.popleft()
            scores.popleft()
        speaks = score > self.factor * scores[0] if scores else score > 0
        if score > 0:
            while scores and scores[-1] <= score:
                rows.pop()
                scores.pop()
            rows.append(row)
            scores.append(score)
        return score if speaks else 0.0


class RangeRule(Part):
    """Whether a value lies well outside everything seen before.

        outside(t) = x(t) > high + margin (high - low)  or  x(t) < low - margin (high - low)

    margin     >= 0: share of the range seen so far.
    first_row  row from which on it speaks.
    """

    def __init__(self, margin: float, first_row: int) -> None:
        self.margin = margin
        self.first_row = first_row
        self.low_ = float("inf")
        self.high_ = float("-inf")

    def __call__(self, row: int, value: float) -> bool:
        """Whether the value of this row is outside; then it belongs to the range."""
        beyond = self.margin * (self.high_ - self.low_)
        outside = value > self.high_ + beyond or value < self.low_ - beyond
        self.low_ = min(self.low_, value)
        self.high_ = max(self.high_, value)
        return outside and row >= self.first_row
