"""How far a value lies from everything that was seen before."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

from raravis.novelty.memory import Memory, Part


class Nearest(Part):
    """Distance from a value to the nearest one seen at least `gap` rows ago.

        d(t) = min over s <= t - gap of |x(t) - x(s)|

    A value that was never seen is new wherever it lies: beyond the others, or in a hole between
    them. What has just been seen does not count, for neighbours in time are alike.

    gap        >= 1: rows that a value must be old.
    first_row  row from which on there is a distance; 0 before it.
    most       values remembered.
    """

    def __init__(self, gap: int, first_row: int, most: int) -> None:
        self.gap = gap
        self.first_row = first_row
        self.waiting_: deque[float] = deque()  # too young to be compared with
        self.memory_ = Memory(most)

    def __call__(self, row: int, value: float) -> float:
        """The distance of the value of this row, in its own unit."""
        waiting = self.waiting_
        waiting.append(value)
        if len(waiting) > self.gap:
            self.memory_.add(waiting.popleft())
        seen = self.memory_.ordered_
        if row < self.first_row or not seen:
            return 0.0
        above = bisect_left(seen, value)
        if above == len(seen):
            return value - seen[-1]
        if above == 0:
            return seen[0] - value
        return min(seen[above] - value, value - seen[above - 1])
