"""How the times of a column are written, and what they mean in nanoseconds.

Known: ISO 8601 with or without a zone; 09.03.2020 10:14; 3/9/2020 10:14 PM where some date tells
the day from the month; month names; times of day; seconds to nanoseconds since 1970; numbers like
20200309101433; and plain numbers that count from somewhere. A new way of writing is one function
in `_TEXT_READERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial

import numpy as np
import pandas as pd

from raravis.errors import RecordingError
from raravis.windows import FloatArray, IntArray

NO_TIME = np.iinfo(np.int64).min  # what pandas makes of "not a time", in nanoseconds
MOSTLY = 0.95  # this share of the cells must be readable as times

_FIRST_EPOCH_S, _LAST_EPOCH_S = 6e8, 4.2e9  # 1989 to 2103
_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_ZONE = r"(?:Z|[+-]\d\d:?\d\d)$"
_CALENDAR = (
    r"^(\d{1,2})([./-])(\d{1,2})[./-](\d{4}|\d{2})"
    r"(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?\s*([AaPp][Mm])?)?$"
)
_TIME_OF_DAY = r"^(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?$"
_DAY_NS = 86_400 * 10**9
_MOST_NS = 9e18  # 285 years: as many as 64 bits hold


@dataclass(frozen=True)
class Clock:
    """How the times of one column are to be read.

    read  column -> (n,) int64 nanoseconds; NO_TIME where a cell is none.
    wall  they count from 1970 in UTC; else from wherever the recording began.
    """

    read: Callable[[pd.Series], IntArray]
    wall: bool


def find_clock(column: pd.Series, zone: tzinfo, path: str) -> Clock:
    """The clock by which a column can be read.

    zone  taken for times that are written without one.

    Raises RecordingError, naming a value, where no known clock reads nearly all of them.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        return Clock(partial(_nanoseconds, zone=zone), wall=True)
    known = column.dropna()
    if known.empty:
        raise RecordingError(path, f"has no time at all in column {column.name!r}")
    numbers = _finite(known)
    if numbers.notna().mean() >= MOSTLY:
        return _numeric_clock(numbers.dropna(), zone, path)
    written = _tidy(known)
    for reader, wall in _TEXT_READERS:
        moments = reader(written, zone, path, None)
        if (moments != NO_TIME).mean() >= MOSTLY:
            read = partial(_read_text, reader=reader, zone=zone, path=path, sample=written)
            return Clock(read, wall)
    raise RecordingError(
        path,
        f"times of column {column.name!r} are written in no known way: {written.iloc[0]!r}. "
        "Write them like 2020-03-09 10:14:33, or as seconds",
    )


# --- numbers -----------------------------------------------------------------------------------


def _numeric_clock(numbers: pd.Series, zone: tzinfo, path: str) -> Clock:
    usual = float(np.median(np.abs(numbers.to_numpy(dtype=np.float64))))
    form = _compact_form(numbers)
    if form is not None:
        return Clock(partial(_read_compact, form=form, zone=zone), wall=True)
    for factor in _NS.values():
        if _FIRST_EPOCH_S <= usual * factor / 1e9 < _LAST_EPOCH_S:
            return Clock(partial(_read_numbers, factor=factor), wall=True)
    factor = _unit_of_name(str(numbers.name))
    if usual * factor > _MOST_NS:
        raise RecordingError(
            path,
            f"times of column {numbers.name!r} are too large for seconds, and no time since 1970: "
            f"{numbers.iloc[0]}",
        )
    return Clock(partial(_read_numbers, factor=factor), wall=False)


def _finite(column: pd.Series) -> pd.Series:
    """Numbers as they are, anything else as missing."""
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers.where(numbers.abs() < np.inf)


def _read_numbers(column: pd.Series, factor: int) -> IntArray:
    numbers = _finite(column)
    known = (numbers.abs() < _MOST_NS / factor).to_numpy(dtype=bool, na_value=False)
    if pd.api.types.is_integer_dtype(numbers.dtype) and known.all():
        return np.asarray(numbers.to_numpy(dtype=np.int64) * factor)
    seconds = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    found = np.full(len(seconds), NO_TIME)
    found[known] = np.rint(seconds[known] * factor).astype(np.int64)
    return found


def _unit_of_name(name: str) -> int:
    """Nanoseconds in the unit that a name ends in: "time_ms", "time [us]"; else in a second."""
    words = name.lower().replace("[", "_").replace("(", "_").replace(" ", "_").strip("])")
    return _NS.get(words.rpartition("_")[2], _NS["s"])


def _compact_form(numbers: pd.Series) -> str | None:
    """The form of dates written as one number, such as 20200309, or None."""
    whole = numbers.to_numpy(dtype=np.float64)
    if not (whole == np.rint(whole)).all():
        return None
    digits = numbers.astype(np.int64).astype(str)
    form = _COMPACT.get(len(digits.iloc[0]))
    if form is None or not digits.str.match(r"^(?:19|20)\d\d(?:0[1-9]|1[0-2])[0-3]\d").all():
        return None
    return form if pd.to_datetime(digits, format=form, errors="coerce").notna().all() else None


def _read_compact(column: pd.Series, form: str, zone: tzinfo) -> IntArray:
    digits = _finite(column).astype("Int64").astype("string")
    return _nanoseconds(pd.to_datetime(digits.astype(object), format=form, errors="coerce"), zone)


# --- text --------------------------------------------------------------------------------------


def _tidy(column: pd.Series) -> pd.Series:
    """Cells as text; a decimal comma before parts of a second becomes a point."""
    written = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    return written.str.replace(r",(\d+)$", r".\1", regex=True)


def _read_text(
    column: pd.Series, reader: _TextReader, zone: tzinfo, path: str, sample: pd.Series
) -> IntArray:
    return reader(_tidy(column), zone, path, sample)


def _iso(written: pd.Series, zone: tzinfo, path: str, sample: pd.Series | None) -> IntArray:
    zoned = bool((written if sample is None else sample).str.contains(_ZONE).any())
    moments = pd.to_datetime(written, format="ISO8601", errors="coerce", utc=zoned)
    return _nanoseconds(moments, zone)


def _calendar(written: pd.Series, zone: tzinfo, path: str, sample: pd.Series | None) -> IntArray:
    """Day, month and year in European or American order, with or without a time of day."""
    parts = written.str.extract(_CALENDAR)
    told = parts if sample is None else sample.str.extract(_CALENDAR)
    if told[0].isna().all():
        return np.full(len(written), NO_TIME)
    first, second = (1, 3) if _is_day_first(told, written.iloc[0], path) else (3, 1)
    first, second = first - 1, second - 1
    day, month = parts[first], parts[second]
    year = pd.to_numeric(parts[3])
    hour = pd.to_numeric(parts[4]).fillna(0)
    half = parts[7].str.lower()
    hour = hour.where(half.isna(), hour % 12) + 12 * (half == "pm")
    date = pd.DataFrame(
        {
            "year": year.where(year >= 100, year + np.where(year < 70, 2000, 1900)),
            "month": pd.to_numeric(month),
            "day": pd.to_numeric(day),
            "hour": hour,
            "minute": pd.to_numeric(parts[5]).fillna(0),
        }
    )
    seconds = pd.to_timedelta(pd.to_numeric(parts[6]).fillna(0), unit="s")
    return _nanoseconds(pd.to_datetime(date, errors="coerce") + seconds, zone)


def _is_day_first(parts: pd.DataFrame, example: str, path: str) -> bool:
    """Whether the day stands before the month; dots say so, else a number above 12 must."""
    first, second = pd.to_numeric(parts[0]), pd.to_numeric(parts[2])
    if bool((first > 12).any()) or bool((parts[1] == ".").any()):
        return True
    if bool((second > 12).any()):
        return False
    raise RecordingError(
        path,
        f"whether day or month comes first in {example!r} cannot be told from any of its dates: "
        "write them like 2020-03-09",
    )


def _month_names(written: pd.Series, zone: tzinfo, path: str, sample: pd.Series | None) -> IntArray:
    named = written.where(written.str.contains(r"\d.*[A-Za-z]{3}|[A-Za-z]{3}.*\d.*\d"), "")
    moments = pd.to_datetime(named, format="mixed", dayfirst=True, errors="coerce", utc=False)
    if not pd.api.types.is_datetime64_any_dtype(moments):
        return np.full(len(written), NO_TIME)
    return _nanoseconds(moments, zone)


def _time_of_day(written: pd.Series, zone: tzinfo, path: str, sample: pd.Series | None) -> IntArray:
    """Hours and minutes without a date; where they fall by half a day, midnight has passed."""
    parts = written.str.extract(_TIME_OF_DAY).astype(np.float64)
    seconds: FloatArray = (parts[0] * 3600 + parts[1] * 60 + parts[2].fillna(0)).to_numpy(
        dtype=np.float64
    )
    known = np.isfinite(seconds)
    nanoseconds = np.rint(seconds[known] * 1e9).astype(np.int64)
    midnights = np.cumsum(np.diff(nanoseconds, prepend=nanoseconds[:1]) < -_DAY_NS // 2)
    found = np.full(len(written), NO_TIME)
    found[known] = nanoseconds + midnights * _DAY_NS
    return found


_TextReader = Callable[[pd.Series, tzinfo, str, pd.Series | None], IntArray]
_TEXT_READERS: tuple[tuple[_TextReader, bool], ...] = (
    (_iso, True),
    (_calendar, True),
    (_month_names, True),
    (_time_of_day, False),
)


def _nanoseconds(moments: pd.Series, zone: tzinfo) -> IntArray:
    """Nanoseconds since 1970 in UTC; NO_TIME where there is none.

    An hour that the clocks went through twice is told apart by the order of the rows where that
    tells it, and is taken as summer time where not; one that they jumped over moves to its end.
    """
    if moments.dt.tz is None:
        try:
            moments = moments.dt.tz_localize(zone, ambiguous="infer", nonexistent="shift_forward")
        except ValueError:
            summer = np.ones(len(moments), dtype=bool)
            moments = moments.dt.tz_localize(zone, ambiguous=summer, nonexistent="shift_forward")
    in_utc = moments.dt.tz_convert("UTC").dt.tz_localize(None)
    return np.asarray(in_utc.to_numpy(dtype="datetime64[ns]").astype(np.int64))
