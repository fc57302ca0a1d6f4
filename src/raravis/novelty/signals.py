"""Signals derived from the values as they come: slow means, delays, residuals against the clock."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Any, Self

import numpy as np

from raravis.learned import State
from raravis.novelty.memory import Part
from raravis.windows import IntArray

MINUTES_OF_DAY = 1440
MINUTES_OF_WEEK = 7 * MINUTES_OF_DAY
NO_TIME = -1  # the minute of a row without a clock time


class Mean(Part):
    """Mean of the last `width` values, or of all as long as there are fewer."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.last_: deque[float] = deque()
        self.sum_ = 0.0
        self.since_ = 0

    def __call__(self, value: float) -> float:
        """The mean up to this value."""
        last = self.last_
        last.append(value)
        self.sum_ += value
        if len(last) > self.width:
            self.sum_ -= last.popleft()
            self.since_ += 1
            if self.since_ == self.width:  # else what was rounded off one wild value stayed forever
                self.since_ = 0
                self.sum_ = sum(last)
        return self.sum_ / len(last)


class Delay(Part):
    """The value `rows` rows ago; the first one as long as there are fewer."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.last_: deque[float] = deque()

    def __call__(self, value: float) -> float:
        """Takes a value and gives the delayed one."""
        last = self.last_
        last.append(value)
        return last.popleft() if len(last) > self.rows else last[0]


class SlotResidual(Part):
    """A value minus the median of the last ones in the same slot of the day, or of the week.

    What is ordinary at noon may be strange at night. The residual is 0 until a slot was seen
    `fewest` times.

    minutes  of one slot; of slots as many as fill `cycle` minutes, a day or a week.
    most     values remembered of each slot.
    """

    def __init__(self, minutes: int, cycle: int, most: int, fewest: int) -> None:
        self.minutes = minutes
        self.cycle = cycle
        self.most = most
        self.fewest = fewest
        self._slots = [deque[float](maxlen=most) for _ in range(cycle // minutes)]

    def __call__(self, minute: int, value: float) -> float:
        """The residual of a value that came at this minute of the week."""
        slot = self._slots[minute % self.cycle // self.minutes]
        residual = 0.0
        count = len(slot)
        if count >= self.fewest:
            ordered = sorted(slot)
            middle = count // 2
            if count % 2:
                residual = value - ordered[middle]
            else:
                residual = value - 0.5 * (ordered[middle - 1] + ordered[middle])
        slot.append(value)
        return residual

    def state(self) -> State:
        """The values of each slot, (slots, most), NaN where there are fewer."""
        values = np.full((len(self._slots), self.most), np.nan)
        for row, slot in zip(values, self._slots, strict=True):
            row[: len(slot)] = slot
        return {"slots_": values}

    def restore(self, state: State) -> Self:
        """The inverse of `state`."""
        for slot, row in zip(self._slots, np.asarray(state["slots_"], np.float64), strict=True):
            slot.clear()
            slot.extend(row[~np.isnan(row)].tolist())
        return self


def minute_of_week(time: datetime | None) -> int:
    """Minutes since Monday 0:00 on the clock that the time was read from; -1 without a time."""
    if time is None:
        return NO_TIME
    return time.weekday() * MINUTES_OF_DAY + time.hour * 60 + time.minute


def minutes_of_week(times: Any, rows: int) -> IntArray:
    """`minute_of_week` of many times (rows,): datetimes or datetime64, or None for all of them."""
    if times is None:
        return np.full(rows, NO_TIME)
    clock = np.asarray(times)
    if clock.dtype.kind != "M":
        return np.array([minute_of_week(time) for time in times], dtype=np.int64)
    minute = clock.astype("datetime64[m]")
    monday = np.datetime64("1970-01-05", "m")
    return np.where(np.isnat(minute), NO_TIME, (minute - monday).astype(np.int64) % MINUTES_OF_WEEK)
