"""From "how far" to "how rare": tails learned online, from what came before alone."""

from __future__ import annotations

import math
from bisect import bisect_left

from raravis.novelty.memory import Memory, Part

FEWEST = 20  # values that must be known before one more can stand out of them
FEWEST_SPOKEN = 10  # scores from which on their tail is known
LARGEST = 100.0  # a tail score beyond this says no more


class ExcessTail(Part):
    """How far a value lies beyond the ordinary ones, in units of their own mean excess.

        level = quantile q of the values before
        T     = min(largest, (r - level) / (mean excess over level + 1e-9 |r|))   if r > level
        T     = 0                                                                 otherwise

    Where the values are exponentially distributed beyond the level, T is so too, with mean 1,
    whatever their unit: so the scores of different sensors can be held against one threshold.

    first_row   row from which on values are remembered.
    speaks_row  row from which on there is a score, once more than 20 values are remembered.
    most        values remembered.

    Source: exponential tail beyond a high level, as in peaks over threshold; Coles 2001, An
    Introduction to Statistical Modeling of Extreme Values, chapter 4, with shape 0.
    """

    def __init__(
        self,
        first_row: int,
        speaks_row: int,
        most: int,
        q: float = 0.95,
        largest: float = LARGEST,
    ) -> None:
        self.first_row = first_row
        self.speaks_row = speaks_row
        self.q = q
        self.largest = largest
        self.memory_ = Memory(most)

    def __call__(self, row: int, value: float) -> float:
        """The score of the value of this row, >= 0; then it is remembered."""
        ordered = self.memory_.ordered_
        score = 0.0
        if row >= self.speaks_row and len(ordered) > FEWEST:
            start = int(self.q * len(ordered))
            level = ordered[start]
            if value > level:
                excess = sum(ordered[start:]) / (len(ordered) - start) - level
                score = min(self.largest, (value - level) / (excess + 1e-9 * abs(value)))
        if row >= self.first_row:
            self.memory_.add(value)
        return score


class SpokenTail(Part):
    """The probability that a score as high comes by itself, learned from the scores before.

        p(s) = share of rows that spoke x share of the scores that spoke that are >= s
        p(s) = p(level) exp(-(s - level) / mean excess over level)           beyond the level
        p(0) = 1

    The level is the median of the scores that spoke. Both shares count the score itself, so that
    p is never 0 and the first score that speaks is no surprise.

    most  scores remembered; silence is only counted.
    """

    def __init__(self, most: int) -> None:
        self.rows_ = 0
        self.spoken_ = 0
        self.memory_ = Memory(most)

    def __call__(self, score: float) -> float:
        """The p-value of a score >= 0, in [0, 1]; then it is counted."""
        self.rows_ += 1
        if not score > 0:
            return 1.0
        ordered = self.memory_.ordered_
        count, start = len(ordered), len(ordered) // 2
        beyond = 1.0
        if count >= FEWEST_SPOKEN and score > ordered[start]:
            level, at_least = ordered[start], count - start
            excess = sum(ordered[start:]) / at_least - level
            beyond = math.exp(-(score - level) / (excess + 1e-9 * score))
        else:
            at_least = count - bisect_left(ordered, score)
        p_value = (1 + self.spoken_) / self.rows_ * (1 + at_least) / (1 + count) * beyond
        self.spoken_ += 1
        self.memory_.add(score)
        return p_value
