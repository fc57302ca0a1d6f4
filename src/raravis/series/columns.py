"""Columns with names -> rows of a series: which column is the time, which are labels and channels.

A label never becomes a channel. What is read otherwise than it stands is told in remarks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np
import pandas as pd

from raravis.errors import RecordingError
from raravis.series.clocks import MOSTLY, NO_TIME, Clock, find_clock
from raravis.series.rows import Series
from raravis.series.sheets import HeldSheet, counted, listed
from raravis.series.tables import numbers
from raravis.windows import BoolArray, FloatArray, IntArray

_TIME_NAMES = re.compile(
    r"(timestamps?|date[ _]?times?|date|time|ts|epoch|elapsed|seconds?|zeit(punkt|stempel)?|datum)"
    r"([ _]?(utc|local|stamp|s|sec|seconds|ms|us|ns))?(\s*[\[(].*)?",
    re.IGNORECASE,
)
RULER = 50  # equal steps, after which a column is no measurement
_LABEL_NAMES = re.compile(
    r"(is[ _]?)?(labels?|anomal(y|ies|ous)|outliers?|attack|normal/attack|ground[ _]?truth|"
    r"change[ _]?points?)",
    re.IGNORECASE,
)
_CHANGE_POINT = re.compile(r"(is[ _]?)?change[ _]?points?", re.IGNORECASE)
_ORDINARY_WORDS = {"normal", "no", "false", "ok", "none", "0", "benign", "regular", "n", "f"}


@dataclass(frozen=True)
class Reading:
    """How tables are to be read.

    time       name of the column of times; None finds it.
    labels     names of the columns of labels; None finds them.
    zone       of times written without one.
    separator  between cells of text tables; None finds it.
    decimal    "." or ","; None finds it.
    """

    time: str | None = None
    labels: tuple[str, ...] | None = None
    zone: tzinfo = UTC
    separator: str | None = None
    decimal: str | None = None


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are.

    time     of times: none, one, or a date and a time of day.
    labels   of labels.
    channels what was measured.
    clock    how its times are read; None where it has none.
    flipped  labels in which -1 is the anomaly and 1 is ordinary.
    """

    time: tuple[str, ...]
    labels: tuple[str, ...]
    channels: tuple[str, ...]
    clock: Clock | None
    flipped: frozenset[str] = frozenset()


def sheet_of(frame: pd.DataFrame, reading: Reading, path: str, remarks: list[str]) -> HeldSheet:
    """A table as a recording: its rows in order of time. Raises RecordingError."""
    roles = find_roles(frame, reading, path, remarks)
    values, text = values_of(frame, roles)
    labels = labels_of(frame, roles)
    for name, count in zip(roles.channels, text.tolist(), strict=True):
        if count:
            remarks.append(f"{name!r} holds text in {counted(count, 'cell')}, taken as missing")
    if roles.clock is None:
        remarks.append("has no times: its rows are taken as 1 s apart")
        time_s: FloatArray = np.arange(len(frame), dtype=np.float64)
        start = None
    else:
        kept, nanoseconds = _ordered(roles.clock.read(time_cells(frame, roles)), path, remarks)
        values, labels = values[kept], None if labels is None else labels[kept]
        time_s, start = seconds_of(nanoseconds, roles.clock, reading.zone)
    return HeldSheet(Series(values, time_s, roles.channels, labels, start), None, remarks)


def find_roles(frame: pd.DataFrame, reading: Reading, path: str, remarks: list[str]) -> Roles:
    """What the columns of a table are, by their names and what they hold."""
    names = [str(name) for name in frame.columns]
    labels = _label_columns(names, reading, remarks)
    time, clock = _find_time(frame.drop(columns=list(labels)), reading, path, remarks)
    channels = _channels(frame.drop(columns=[*labels, *time]), remarks)
    if not channels:
        raise RecordingError(path, f"has no column of numbers: it has {listed(names) or 'none'}")
    flipped = frozenset(name for name in labels if is_flipped(set(frame[name].dropna().unique())))
    return Roles(time, labels, channels, clock, flipped)


def values_of(frame: pd.DataFrame, roles: Roles) -> tuple[FloatArray, IntArray]:
    """What was measured, (n, C) float64, NaN where it is missing or no finite number; and how many
    cells of each channel are text, (C,)."""
    columns = [numbers(frame[name]) for name in roles.channels]
    values = [column for column, _ in columns]
    text = np.array([count for _, count in columns], dtype=np.int64)
    return np.column_stack([np.empty((len(frame), 0)), *values]), text


def labels_of(frame: pd.DataFrame, roles: Roles) -> BoolArray | None:
    """Which rows are known to be anomalous; points of change count where nothing else does."""
    real = [name for name in roles.labels if not _CHANGE_POINT.fullmatch(name)]
    columns = [_flags(frame[name], name in roles.flipped) for name in real or roles.labels]
    return np.asarray(np.logical_or.reduce(columns)) if columns else None


def is_flipped(values: set[object]) -> bool:
    """Whether labels are -1 for the anomaly and 1 for the ordinary, as scikit-learn has them."""
    return values == {-1, 1}


def _flags(column: pd.Series, flipped: bool) -> BoolArray:
    """Any number but 0, or the -1 where they are flipped; any word but those for ordinary."""
    values, text = numbers(column)
    if text:
        words = column.astype(object).where(column.notna(), "normal").astype(str)
        return np.asarray(~words.str.strip().str.lower().isin(_ORDINARY_WORDS))
    return np.asarray(values == -1 if flipped else np.nan_to_num(values) != 0)


def time_cells(frame: pd.DataFrame, roles: Roles) -> pd.Series:
    """The times as they are written; a date and a time of day are put together."""
    if len(roles.time) == 1:
        return frame[roles.time[0]]
    return _joined(frame, roles.time)


def seconds_of(
    nanoseconds: IntArray, clock: Clock, zone: tzinfo
) -> tuple[FloatArray, datetime | None]:
    """Seconds from the first row, and when that was, where the clock tells it."""
    start = None
    if clock.wall:
        since = timedelta(microseconds=int(nanoseconds[0]) // 1000)
        start = (datetime(1970, 1, 1, tzinfo=UTC) + since).astimezone(zone)
    return (nanoseconds - nanoseconds[0]) / 1e9, start


# --- which is which ----------------------------------------------------------------------------


def _label_columns(names: list[str], reading: Reading, remarks: list[str]) -> tuple[str, ...]:
    wanted = reading.labels or ()
    missing = [name for name in wanted if name not in names]
    if missing:
        remarks.append(f"has no column of labels called {listed(missing)}")
    there = tuple(name for name in wanted if name in names)
    # labels must never be learned from, so a name that is mistyped does not make them a channel
    return there or tuple(name for name in names if _LABEL_NAMES.fullmatch(name.strip()))


def _find_time(
    frame: pd.DataFrame, reading: Reading, path: str, remarks: list[str]
) -> tuple[tuple[str, ...], Clock | None]:
    """The column of times and its clock: the one named, one called so, the first that reads as
    times, or a first column of numbers that rises like a clock."""
    names = [str(name) for name in frame.columns]
    if not len(frame):
        return (), None
    if reading.time is not None:
        if reading.time not in names:
            known = listed(names)
            raise RecordingError(path, f"has no column {reading.time!r} of times: it has {known}")
        return (reading.time,), find_clock(frame[reading.time], reading.zone, path)
    called = [name for name in names if _TIME_NAMES.fullmatch(name.strip())]
    pair = _date_and_time(frame, called)
    if pair:
        return pair, find_clock(_joined(frame, pair), reading.zone, path)
    if called:
        return (called[0],), find_clock(frame[called[0]], reading.zone, path)
    for name in names:
        if not pd.api.types.is_numeric_dtype(frame[name]) and _reads_as_time(frame[name]):
            return (name,), find_clock(frame[name], reading.zone, path)
    first = numbers(frame[names[0]])[0] if len(names) > 1 else np.empty(0)
    if _is_ruler(first) and not _counts_rows(names[0], first):
        remarks.append(f"{names[0]!r} rises by the same step throughout, and is taken as time")
        return (names[0],), find_clock(frame[names[0]], reading.zone, path)
    return (), None


def _is_ruler(values: FloatArray) -> bool:
    """Whether a column rises by one step that is always the same, long enough to mean it."""
    steps = np.diff(values)
    return len(steps) >= RULER and bool(
        steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-6, atol=0)
    )


def _reads_as_time(column: pd.Series) -> bool:
    if pd.api.types.is_datetime64_any_dtype(column):
        return True
    known = column.dropna().astype(str).head(50)
    return len(known) > 0 and known.str.contains(r"^\d+[-/.:]\d+[-/.:\d]|^\d{1,2}:\d\d").all()


def _date_and_time(frame: pd.DataFrame, called: list[str]) -> tuple[str, str] | None:
    """A column of dates and one of times of day, where a table keeps them apart."""
    dates = [name for name in called if name.strip().lower() in ("date", "datum")]
    times = [name for name in called if name.strip().lower() in ("time", "zeit", "uhrzeit")]
    if not dates or not times:
        return None
    cells = frame[times[0]].dropna().astype(str)
    of_day = cells.str.match(r"^\s*\d{1,2}[:.]\d\d").mean() >= MOSTLY if len(cells) else False
    return (dates[0], times[0]) if of_day else None


def _joined(frame: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    whole = frame[list(names)].dropna().astype(str).agg(" ".join, axis=1)
    whole = whole.str.replace(r" (\d{1,2})\.(\d\d)\.(\d\d)$", r" \1:\2:\3", regex=True)
    return whole.reindex(frame.index).rename(" ".join(names))


def _channels(frame: pd.DataFrame, remarks: list[str]) -> tuple[str, ...]:
    """Columns of numbers; row numbers and columns that are mostly text are left out."""
    kept = []
    for name in frame.columns:
        values, text = numbers(frame[name])
        known = int((~np.isnan(values)).sum())
        if pd.api.types.is_datetime64_any_dtype(frame[name]) or text > known:
            remarks.append(f"column {name!r} is mostly text, and left out")
        elif _counts_rows(str(name), values):
            remarks.append(f"column {name!r} counts the rows, and is left out")
        else:
            kept.append(str(name))
    return tuple(kept)


def _counts_rows(name: str, values: FloatArray) -> bool:
    """Whether a column without a name, or called index, holds 0, 1, 2, ... ."""
    nameless = re.fullmatch(r"column 1|unnamed: 0|index|row|__index_level_0__", name.lower())
    return nameless is not None and len(values) > 1 and bool((np.diff(values) == 1).all())


def _ordered(nanoseconds: IntArray, path: str, remarks: list[str]) -> tuple[IntArray, IntArray]:
    """Rows that have a time, in its order, and their times."""
    known = np.flatnonzero(nanoseconds != NO_TIME)
    if len(known) < len(nanoseconds):
        missing = len(nanoseconds) - len(known)
        remarks.append(f"{counted(missing, 'row')} without a readable time left out")
    if not len(known):
        raise RecordingError(path, "has no row with a readable time")
    order = np.argsort(nanoseconds[known], kind="stable")
    late = int((np.diff(nanoseconds[known]) < 0).sum())
    if late:
        remarks.append(f"its times fall back at {counted(late, 'row')}: its rows were sorted")
    kept = known[order]
    return kept, nanoseconds[kept]
