"""Rows of text that come one by one, such as another program writes them: read and judged at once.

The first line may be a header. A first column that holds times is not a channel; a line that
cannot be read is listed and passed over.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from raravis.errors import DataError, ParameterError
from raravis.windows import FloatArray, Skipped

TIMES = ("time", "timestamp", "datetime", "date")
MISSING = ("", "nan", "na", "null", "none", "-")

Judge = Callable[[FloatArray, Any], Any]
"""(rows (1, C), times (1,) or None) -> `raravis.row_layer.Verdict`."""


@dataclass(frozen=True)
class Judged:
    """One row, judged.

    row      its number, from 0, among those that could be read.
    time     as it was written, or "".
    channel  which contributed most to the score, or "" where there is none.
    """

    row: int
    time: str
    score: float
    p_value: float
    alarm: bool
    channel: str


class Watch:
    """Reads lines and judges them.

    judge     what judges a row.
    channels  the channels that it knows, in its order; None takes those of the stream.
    skipped   lines that could not be read, and why; grows while watching.
    """

    def __init__(
        self, judge: Callable[[tuple[str, ...]], Judge], channels: Sequence[str] | None = None
    ) -> None:
        self._judge = judge
        self._wanted = None if channels is None else tuple(channels)
        self.skipped: list[Skipped] = []

    def lines(self, lines: Iterable[str]) -> Iterator[Judged]:
        """Each row as soon as its line has come. Raises DataError where the first lines do not
        fit the channels."""
        cells = (line for line in csv.reader(lines) if line)
        first = next(cells, None)
        if first is None:
            return
        layout = Layout.of(first, self._wanted)
        judge = self._judge(layout.channels)
        number = 0
        for at, line in enumerate(self._data(first, layout, cells), 1 + layout.has_header):
            try:
                values, time = layout.read(line)
                verdict = judge(values[None], None if time is None else np.array([time]))
            except (ValueError, DataError) as error:
                self.skipped.append(Skipped(f"line {at}", str(error)))
                continue
            yield _judged(number, line[0] if layout.has_time else "", verdict, layout.channels)
            number += 1

    @staticmethod
    def _data(first: list[str], layout: Layout, rest: Iterator[list[str]]) -> Iterator[list[str]]:
        if not layout.has_header:
            yield first
        yield from rest


def _judged(number: int, time: str, verdict: Any, channels: Sequence[str]) -> Judged:
    parts = verdict.contributions[0]
    most = channels[int(np.nanargmax(parts))] if np.isfinite(verdict.score[0]) else ""
    return Judged(
        number,
        time,
        float(verdict.score[0]),
        float(verdict.p_value[0]),
        bool(verdict.alarm[0]),
        most,
    )


@dataclass(frozen=True)
class Layout:
    """Where in a line the channels stand.

    channels  their names; columns, (C,) the cells in which they stand.
    """

    channels: tuple[str, ...]
    columns: tuple[int, ...]
    width: int
    has_time: bool
    has_header: bool

    @classmethod
    def of(cls, first: Sequence[str], wanted: tuple[str, ...] | None) -> Layout:
        """What the first line tells. Raises DataError where wanted channels are missing."""
        names = [cell.strip() for cell in first]
        has_header = not any(_is_number(name) for name in names[1:] or names)
        if has_header:
            has_time = names[0].lower() in TIMES
        else:
            has_time = len(names) == len(wanted) + 1 if wanted else not _is_number(names[0])
        start = int(has_time)
        own = names if has_header else [f"channel {i}" for i in range(len(names))]
        channels = tuple(own[start:]) if wanted is None else wanted
        if wanted is None or not has_header:
            columns = tuple(range(start, start + len(channels)))
            fits = len(names) == start + len(channels) and len(channels) > 0
        else:
            fits = set(wanted) <= set(own)
            columns = tuple(own.index(name) for name in wanted) if fits else ()
        if not fits:
            raise DataError(
                f"expected lines with a value for each of {', '.join(channels)}, and before them "
                f"a time if there is one, got {','.join(first)!r}"
            )
        return cls(channels, columns, len(names), has_time, has_header)

    def read(self, line: Sequence[str]) -> tuple[FloatArray, Any]:
        """Values (C,), NaN where none stands, and time in seconds or as a date of a line's cells.

        Raises ValueError where there are more or fewer cells, or text among them.
        """
        if len(line) != self.width:
            raise ParameterError(f"expected {self.width} cells, got {len(line)}")
        values = np.array([_number(line[column]) for column in self.columns])
        return values, _time(line[0].strip()) if self.has_time else None


def _time(cell: str) -> datetime | float:
    if _is_number(cell):
        return float(cell)
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        raise ValueError(
            f"expected a time in seconds or such as 2026-05-01 04:30:00, got {cell!r}"
        ) from None


def _number(cell: str) -> float:
    cell = cell.strip()
    if cell.lower() in MISSING:
        return np.nan
    value = float(cell)
    return value if np.isfinite(value) else np.nan


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.lower() in MISSING
    return True
