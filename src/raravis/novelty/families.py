"""The five ways in which a chain of novelty looks at one channel; each says how new it finds a row.

A family derives one or several signals from the values. Each signal goes through a `Stream`: how
far is it from everything it ever was, and how rare is that. To add a family, write it here and
name it in `NoveltyChain`.
"""

from __future__ import annotations

import math
from collections import deque

from raravis.novelty.memory import Part, Parts
from raravis.novelty.nearest import Nearest
from raravis.novelty.signals import (
    MINUTES_OF_DAY,
    MINUTES_OF_WEEK,
    NO_TIME,
    Delay,
    Mean,
    SlotResidual,
)
from raravis.novelty.tails import ExcessTail

HISTORY_ROW = 120  # rows from which on distances are ordinary enough to be remembered
SPEAKS_ROW = 160  # rows from which on anything is said
SETTLES = 40  # rows that are remembered before a stream that begins later speaks
SLOW = (24, 72, 288)  # rows of the means that are looked at as they are
SHIFTS = ((12, 48), (48, 288))  # mean of the last rows against that of the rows before them


class Stream(Part):
    """How new a derived signal is: its distance to the nearest past value, as a tail score.

        novelty = sqrt(ExcessTail(Nearest(signal)))

    The root lets many streams that find something outweigh one that finds much.

    gap        rows that a past value must be old: for a mean of w rows, w.
    first_row  row from which on the signal means something.
    most       values remembered in each list.
    """

    def __init__(self, gap: int, first_row: int, most: int) -> None:
        self.nearest_ = Nearest(gap, first_row, most)
        self.tail_ = ExcessTail(
            max(HISTORY_ROW, first_row), max(SPEAKS_ROW, first_row + SETTLES), most
        )

    def __call__(self, row: int, signal: float) -> float:
        """Novelty of the signal at this row, >= 0."""
        return math.sqrt(self.tail_(row, self.nearest_(row, signal)))


class Squeezed(Part):
    """The values on a scale that is linear in the middle and logarithmic far out.

        y = asinh((x - median) / IQR), both of the first 120 rows

    It hears small things between great ones: where spikes are usual, distances of the plain values
    are all about spikes. Where the IQR is 0 the standard deviation stands for it, or else 1.
    """

    def __init__(self, most: int) -> None:
        self.stream_ = Stream(2, 20, most)
        self.first_: deque[float] = deque()
        self.middle_ = 0.0
        self.spread_ = 1.0

    def __call__(self, row: int, value: float) -> float:
        """Novelty of this row, >= 0."""
        if row >= HISTORY_ROW:
            return self.stream_(row, math.asinh((value - self.middle_) / self.spread_))
        self.first_.append(value)
        if row == HISTORY_ROW - 1:
            self._learn()
        return 0.0

    def _learn(self) -> None:
        """Fixes the scale, and lets the stream see the first rows on it."""
        first = sorted(self.first_)
        self.middle_ = quantile(first, 0.5)
        self.spread_ = quantile(first, 0.75) - quantile(first, 0.25) or deviation(first) or 1.0
        for row, value in enumerate(self.first_):
            self.stream_(row, math.asinh((value - self.middle_) / self.spread_))
        self.first_.clear()


class Calendar(Part):
    """What is unusual for this time of the day, and for this time of the week.

    Means over 12 and 48 rows of the value minus what its slot of 15 minutes of the day, or of 30
    minutes of the week, is used to. Rows without a clock time change nothing here.
    """

    def __init__(self, most: int) -> None:
        self.rows_ = 0
        self.day_ = SlotResidual(15, MINUTES_OF_DAY, most=21, fewest=3)
        self.week_ = SlotResidual(30, MINUTES_OF_WEEK, most=30, fewest=2)
        widths = (12, 48, 12, 48)
        self.means_ = Parts(*(Mean(width) for width in widths))
        self.streams_ = Parts(*(Stream(width, 2 * width + 60, most) for width in widths))

    def __call__(self, minute: int, value: float) -> float:
        """Novelty of a row at this minute of the week, >= 0."""
        if minute == NO_TIME:
            return 0.0
        row = self.rows_
        self.rows_ = row + 1
        day, week = self.day_(minute, value), self.week_(minute, value)
        novelty = 0.0
        signals = (day, day, week, week)
        for mean, stream, signal in zip(self.means_.each, self.streams_.each, signals, strict=True):
            novelty += stream(row, mean(signal))
        return novelty / len(signals)


class Level(Part):
    """Where the series stands, and how it has moved: slow means, and shifts between them."""

    def __init__(self, most: int) -> None:
        self.slow_ = Parts(*(Mean(width) for width in SLOW))
        self.slow_streams_ = Parts(*(Stream(width, 2 * width, most) for width in SLOW))
        self.after_ = Parts(*(Mean(short) for short, _ in SHIFTS))
        self.before_ = Parts(*(Mean(long) for _, long in SHIFTS))
        self.delays_ = Parts(*(Delay(short) for short, _ in SHIFTS))
        self.shift_streams_ = Parts(*(Stream(short, short + long, most) for short, long in SHIFTS))
        self._slow = tuple(zip(self.slow_.each, self.slow_streams_.each, strict=True))
        self._shifts = tuple(
            zip(
                self.after_.each,
                self.before_.each,
                self.delays_.each,
                self.shift_streams_.each,
                strict=True,
            )
        )

    def __call__(self, row: int, value: float) -> float:
        """Novelty of this row, >= 0."""
        novelty = 0.0
        for mean, stream in self._slow:
            novelty += stream(row, mean(value))
        for after, before, delay, stream in self._shifts:
            novelty += stream(row, after(value) - delay(before(value)))
        return novelty / (len(SLOW) + len(SHIFTS))


class Activity(Part):
    """How often the series jumped of late: the share of the last 72 rows with a rare step.

    It hears what no single value tells: that the spikes come faster.
    """

    def __init__(self, most: int) -> None:
        self.previous_ = math.nan
        self.jump_ = ExcessTail(20, 60, most, largest=math.inf)
        self.share_ = Mean(72)
        self.tail_ = ExcessTail(HISTORY_ROW, SPEAKS_ROW, most)

    def __call__(self, row: int, value: float) -> float:
        """Novelty of this row, >= 0."""
        step = abs(value - self.previous_) if row else 0.0
        self.previous_ = value
        jumped = 1.0 if self.jump_(row, step) > 0 else 0.0
        return math.sqrt(self.tail_(row, self.share_(jumped)))


def quantile(ordered: list[float], share: float) -> float:
    """Quantile of sorted values, linear between two of them."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = ordered[min(below + 1, len(ordered) - 1)]
    return ordered[below] + (place - below) * (above - ordered[below])


def deviation(values: list[float]) -> float:
    """Standard deviation of values."""
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
