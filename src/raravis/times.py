"""When a recording began, from its name or its header; and which part of the day to keep.

Every time given out is aware of its zone. A time that is written without a zone is taken as local
time of the zone the caller names. What cannot be read with certainty is None, never a guess: a
date alone, a month 13, eight digits that are no date.

A new way of naming files is one function in `_NAME_READERS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from pathlib import PurePath
from zoneinfo import ZoneInfo

from raravis.errors import ParameterError

DAY_S = 86400

_OFFSET = re.compile(r"([+-])(\d{1,2}):?(\d{2})?")
_CALENDAR = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<dash>[-_.]?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
    r"(?P<between>[T_ $-]?)"
    r"(?P<hour>\d\d)(?P<colon>[-_:.]?)(?P<minute>\d\d)(?P=colon)(?P<second>\d\d)"
    r"(?P<fraction>[.,]\d{1,6})?(?!\d)"
    r"(?P<zone>Z|[+-]\d\d:?\d\d(?!\d))?"
)
_NANOSECONDS = re.compile(r"(?<!\d)(1\d{18})(?!\d)")
_AUDIOMOTH_HEX = re.compile(r"[0-9A-F]{8}")
_AUDIOMOTH_COMMENT = re.compile(
    r"Recorded at (\d\d):(\d\d):(\d\d)(\.\d{1,6})? (\d\d)/(\d\d)/(\d{4})(?: \(UTC([^)]*)\))?"
)
_EARLIEST_AUDIOMOTH = datetime(2017, 1, 1, tzinfo=UTC).timestamp()
_LATEST_AUDIOMOTH = 2**31 - 1
_CLOCK = re.compile(r"\s*(\d{1,2}):(\d\d)(?::(\d\d))?\s*")


def time_zone(name: str) -> tzinfo:
    """The zone called `name`: "UTC", "Europe/Berlin", or an offset such as "+02:00" or "-0330".

    Raises ParameterError where there is no such zone.
    """
    offset = _zone_of_offset(name)
    if offset is not None:
        return offset
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ParameterError(
            f'timezone {name!r} is unknown: give a name such as "Europe/Berlin" or an offset '
            'such as "+02:00"'
        ) from None


def start_time(name: str, zone: tzinfo = UTC) -> datetime | None:
    """When the recording of this file name began, or None where the name does not tell.

    Known: `20190522_040000` with anything before or after (AudioMoth, Song Meter), ISO 8601 with or
    without a zone, nanoseconds since 1970 (Waggle), AudioMoth's old names of eight hexadecimal
    digits. Folders in `name` are not looked at.

    zone  taken for times that are written without one; the result is given in it.
    """
    for reader in _NAME_READERS:
        found = reader(PurePath(name), zone)
        if found is not None:
            return found.astimezone(zone)
    return None


def header_time(comment: str, zone: tzinfo = UTC) -> datetime | None:
    """When the recording began, from the comment in its header, or None where that does not tell.

    Known: AudioMoth's "Recorded at 04:00:00 22/05/2019 (UTC+2) by AudioMoth ...".
    """
    found = _AUDIOMOTH_COMMENT.search(comment)
    if not found:
        return None
    offset = found[8]
    written = zone if offset is None else _zone_of_offset(offset or "+0") or zone
    day = (found[7], found[6], found[5])
    moment = _moment(day, (found[1], found[2], found[3]), found[4], written)
    return None if moment is None else moment.astimezone(zone)


@dataclass(frozen=True)
class Between:
    """A part of every day by the clock on the wall, perhaps across midnight.

    start_s  seconds after midnight at which it opens, in [0, 86400).
    end_s    seconds after midnight at which it closes, in (0, 86400]; below start_s where the part
             runs across midnight.
    """

    start_s: int
    end_s: int

    def stretches(self, began: datetime, duration_s: float) -> list[tuple[float, float]]:
        """What of a recording lies inside: (from, to) in seconds from its start, in order.

        Days are those of the zone of `began`; where clocks change, a day has 23 or 25 hours.
        """
        found = []
        last = (began + timedelta(seconds=duration_s)).date()
        day = began.date() - timedelta(days=1)
        while day <= last:
            closes_on = day + timedelta(days=int(self.end_s <= self.start_s))
            opens = _on_wall(day, self.start_s, began.tzinfo)
            closes = _on_wall(closes_on, self.end_s, began.tzinfo)
            from_s = max(0.0, _elapsed_s(began, opens))
            to_s = min(duration_s, _elapsed_s(began, closes))
            if from_s < to_s:
                found.append((from_s, to_s))
            day += timedelta(days=1)
        return found


def parse_between(text: str) -> Between:
    """Reads "04:00-09:00", or "22:00-02:00" for a night. Raises ParameterError."""
    opens, dash, closes = text.replace("–", "-").partition("-")
    start_s, end_s = _clock_s(opens), _clock_s(closes)
    if not dash or start_s is None or end_s is None:
        raise ParameterError(
            f'between must be two times of day such as "04:00-09:00", got {text!r}'
        )
    if start_s == end_s:
        raise ParameterError(f"between {text!r} is empty: it ends when it begins")
    return Between(start_s % DAY_S, end_s or DAY_S)


def _clock_s(text: str) -> int | None:
    """Seconds after midnight of "4:00" or "04:00:30", or None where that is no time of day."""
    found = _CLOCK.fullmatch(text)
    if not found:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    after_midnight = hours * 3600 + minutes * 60 + seconds
    return after_midnight if max(minutes, seconds) < 60 and after_midnight <= DAY_S else None


def _from_calendar(name: PurePath, zone: tzinfo) -> datetime | None:
    """The first date with a time of day that can be."""
    moments = (_calendar_moment(found, zone) for found in _CALENDAR.finditer(name.name))
    return next((moment for moment in moments if moment is not None), None)


def _calendar_moment(found: re.Match[str], zone: tzinfo) -> datetime | None:
    written = found["zone"]
    if written == "Z":
        zone = UTC
    elif written and found["between"] == "T":  # elsewhere "-0001" may be a counter
        offset = _zone_of_offset(written)
        if offset is None:
            return None
        zone = offset
    day = (found["year"], found["month"], found["day"])
    return _moment(day, (found["hour"], found["minute"], found["second"]), found["fraction"], zone)


def _from_nanoseconds(name: PurePath, zone: tzinfo) -> datetime | None:
    found = _NANOSECONDS.search(name.name)
    if not found:
        return None
    seconds, nanoseconds = divmod(int(found[1]), 10**9)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)


def _from_audiomoth_hex(name: PurePath, zone: tzinfo) -> datetime | None:
    if not _AUDIOMOTH_HEX.fullmatch(name.stem):
        return None
    seconds = int(name.stem, 16)
    if not _EARLIEST_AUDIOMOTH <= seconds <= _LATEST_AUDIOMOTH:
        return None
    return datetime.fromtimestamp(seconds, UTC)


_NAME_READERS: tuple[Callable[[PurePath, tzinfo], datetime | None], ...] = (
    _from_nanoseconds,
    _from_calendar,
    _from_audiomoth_hex,
)


def _moment(
    day: tuple[str, str, str], clock: tuple[str, str, str], fraction: str | None, zone: tzinfo
) -> datetime | None:
    """The moment these digits name, or None where there is none such (month 13, hour 25)."""
    microsecond = int((fraction or ".")[1:].ljust(6, "0"))
    try:
        hour, minute, second = map(int, clock)
        return datetime.combine(date(*map(int, day)), time(hour, minute, second, microsecond, zone))
    except ValueError:
        return None


def _zone_of_offset(text: str) -> timezone | None:
    """The zone "+2", "+02:00" or "-0330" from UTC, or None where there can be none such."""
    found = _OFFSET.fullmatch(text)
    if not found:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    if offset > timedelta(hours=14) or int(found[3] or 0) > 59:
        return None
    return timezone(-offset if found[1] == "-" else offset)


def _on_wall(day: date, seconds: int, zone: tzinfo | None) -> datetime:
    """The moment at which a clock on the wall shows `seconds` after midnight of `day`."""
    return datetime.combine(day, time(), zone) + timedelta(seconds=seconds)


def _elapsed_s(start: datetime, moment: datetime) -> float:
    """Seconds that really pass; the difference of two local times ignores a change of clocks."""
    return (moment.astimezone(UTC) - start.astimezone(UTC)).total_seconds()
