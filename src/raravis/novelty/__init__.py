"""A chain that judges one channel row by row, from what came before alone, without any learning.

It needs neither the length nor the range of the series, remembers a bounded number of values, and
goes on from `state` as if nothing had been. Files: `memory` (what it remembers), `nearest`,
`tails`, `signals`, `speaking` (its links) and `families` (how it looks at a channel).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from raravis.errors import ParameterError
from raravis.novelty.families import (
    SPEAKS_ROW,
    Activity,
    Calendar,
    Level,
    Squeezed,
    Stream,
)
from raravis.novelty.memory import Part
from raravis.novelty.signals import minute_of_week, minutes_of_week
from raravis.novelty.speaking import RangeRule, Refractory
from raravis.novelty.tails import FEWEST, SpokenTail
from raravis.windows import BoolArray, FloatArray

FAMILIES = ("value", "squeezed", "calendar", "level", "activity")
LARGEST_VALUE = 1e100  # beyond it, sums of values would overflow


class Judged(NamedTuple):
    """What is said of one row.

    score     in [0, 1): 0 is ordinary or silent; NaN where nothing can be said.
    p_value   in [0, 1]: how often a score as high comes by itself, as learned so far; NaN alike.
    alarm     whether the p-value is below the alarm rate.
    families  how new each of `FAMILIES` found the row, each >= 0, before weights and silence.
    """

    score: float
    p_value: float
    alarm: bool
    families: tuple[float, ...]


class JudgedRows(NamedTuple):
    """What is said of n rows: as `Judged`, in columns (n,), and families (n, 5)."""

    score: FloatArray
    p_value: FloatArray
    alarm: BoolArray
    families: FloatArray


SILENT = Judged(np.nan, np.nan, False, (np.nan,) * len(FAMILIES))


class NoveltyChain(Part):
    """Says of each row of one channel how new it is, strictly from the rows before it.

        s     = sum over families of weight x mean novelty of the family's streams
        score = s / (1 + s) where s beats 1.2 x everything in the last rows (see `Refractory`)
        score = 0 elsewhere

    The families: the value itself; the value squeezed to a logarithmic scale; its residual against
    the time of day and of the week; slow means and shifts between them; how often it jumps of
    late. Agreement counts: a sum finds more than a maximum, which multiplies false alarms.

    A missing value (NaN, infinite, or beyond 1e100) gives NaN and changes nothing. The first 160
    values give NaN: too little is known yet. Without clock times the calendar is silent.

    remember     >= 100: values remembered in each of its 24 lists; 200 bytes for each, in all.
    alarm_rate   in (0, 1): share of ordinary rows that may alarm.
    weights      of `FAMILIES`, each >= 0.
    refractory   in [0, 1): of the rows seen so far, over which a score must stand out (at most
                 300); 0 lets every score speak.
    range_bonus  >= 0: what a value 5 % outside the range seen so far adds to s.

    Its links and weights were chosen on the Numenta Anomaly Benchmark, so its figures there flatter
    it; `raravis bench nab --part elsewhere` shows it where nothing was chosen.

    Source: our own; the task is that of Lavin & Ahmad 2015, arXiv:1510.03336.
    """

    def __init__(
        self,
        remember: int = 10_000,
        alarm_rate: float = 1e-3,
        weights: tuple[float, ...] = (1.0, 1.0, 1.0, 0.5, 0.5),
        refractory: float = 0.05,
        range_bonus: float = 0.0,
    ) -> None:
        _check(remember, alarm_rate, weights, refractory, range_bonus)
        self.remember = remember
        self.alarm_rate = alarm_rate
        self.weights = weights
        self.range_bonus = range_bonus
        self.rows_ = 0
        self.value_ = Stream(2, 20, remember)
        self.squeezed_ = Squeezed(remember)
        self.calendar_ = Calendar(remember)
        self.level_ = Level(remember)
        self.activity_ = Activity(remember)
        self.range_ = RangeRule(0.05, SPEAKS_ROW)
        self.refractory_ = Refractory(refractory, 300, 1.2)
        self.tail_ = SpokenTail(remember)

    def update(self, value: float, time: datetime | None = None) -> Judged:
        """Judges the next row; `time` is what a clock on the wall showed, if known."""
        return self._judge(float(value), minute_of_week(time))

    def judge(self, values: npt.ArrayLike, times: Any = None) -> JudgedRows:
        """Judges the next n rows, bitwise as `update` would one after the other.

        values  (n,) numbers, NaN where one is missing.
        times   (n,) datetimes or datetime64, or None.
        """
        column = np.asarray(values, dtype=np.float64)
        if column.ndim != 1 or (times is not None and len(times) != len(column)):
            raise ParameterError(
                "values must be (n,), the rows of one channel, with as many times or none, got "
                f"values of shape {column.shape} and {0 if times is None else len(times)} times"
            )
        minutes = minutes_of_week(times, len(column))
        rows = map(self._judge, column.tolist(), minutes.tolist())
        score, p_value, alarm, families = zip(*rows, strict=True) if len(column) else ((),) * 4
        return JudgedRows(
            np.array(score, dtype=np.float64),
            np.array(p_value, dtype=np.float64),
            np.array(alarm, dtype=bool),
            np.array(families, dtype=np.float64).reshape(-1, len(FAMILIES)),
        )

    def scores(self, values: npt.ArrayLike, times: Any = None) -> FloatArray:
        """The scores (n,) of the next n rows; see `judge`."""
        return self.judge(values, times).score

    def _judge(self, value: float, minute: int) -> Judged:
        if not abs(value) <= LARGEST_VALUE:
            return SILENT
        row = self.rows_
        self.rows_ = row + 1
        families = (
            self.value_(row, value),
            self.squeezed_(row, value),
            self.calendar_(minute, value),
            self.level_(row, value),
            self.activity_(row, value),
        )
        combined = 0.0
        for weight, novelty in zip(self.weights, families, strict=True):
            combined += weight * novelty
        if self.range_bonus and self.range_(row, value):
            combined += self.range_bonus
        spoken = self.refractory_(row, combined)
        if row < SPEAKS_ROW:
            return SILENT
        p_value = self.tail_(spoken)
        return Judged(spoken / (1.0 + spoken), p_value, p_value < self.alarm_rate, families)


def _check(
    remember: int,
    alarm_rate: float,
    weights: tuple[float, ...],
    refractory: float,
    range_bonus: float,
) -> None:
    if remember < 5 * FEWEST:
        raise ParameterError(f"remember must be >= {5 * FEWEST} values, got {remember}")
    if not 0 < alarm_rate < 1:
        raise ParameterError(f"alarm_rate must be in (0, 1), got {alarm_rate}")
    if len(weights) != len(FAMILIES) or not all(weight >= 0 for weight in weights):
        raise ParameterError(
            f"weights must be {len(FAMILIES)} numbers >= 0, for {', '.join(FAMILIES)}, "
            f"got {weights}"
        )
    if not 0 <= refractory < 1:
        raise ParameterError(f"refractory must be in [0, 1), got {refractory}")
    if not range_bonus >= 0:
        raise ParameterError(f"range_bonus must be >= 0, got {range_bonus}")
