"""When each picture of a recording was taken, and for how long it stands.

The names are asked first, since a camera's clock is often set wrong and its server's is not; then
the EXIF. A recording tells the time only where all its pictures do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np

from raravis.times import start_time
from raravis.windows import FloatArray

ENOUGH = 10  # times between frames that tell what is usual

_EXIF = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)(\.\d+)?([+-]\d\d:\d\d)?")
_EIGHT = re.compile(r"[0-9A-F]{8}\.[a-z]+", re.IGNORECASE)  # a number, no time of an AudioMoth
_DIGITS = re.compile(r"(\d+)")


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sorts names as people do: frame 9 before frame 10."""
    parts = [(int(p), "") if p.isdecimal() else (-1, p.lower()) for p in _DIGITS.split(name) if p]
    return parts, name


def exif_time(taken: str, zone: tzinfo) -> datetime | None:
    """The moment that an EXIF text names, in `zone`, which is taken where it names no offset."""
    found = _EXIF.fullmatch(taken)
    if not found:
        return None
    year, month, day, clock, part, offset = found.groups()
    text = f"{year}-{month}-{day}T{clock}{(part or '.0')[:7].ljust(7, '0')}{offset or ''}"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(zone)


def frame_times(names: Sequence[str], taken: Sequence[str], zone: tzinfo) -> list[datetime] | None:
    """When each frame was taken; None where one of them does not tell.

    names  of the files; taken: what their EXIF says, "" where nothing.
    """
    short = [name.rpartition("/")[2] for name in names]
    by_name = [None if _EIGHT.fullmatch(name) else start_time(name, zone) for name in short]
    if None not in by_name:
        return [moment for moment in by_name if moment is not None]
    by_exif = [exif_time(text, zone) for text in taken]
    if None not in by_exif:
        return [moment for moment in by_exif if moment is not None]
    either = [a or b for a, b in zip(by_name, by_exif, strict=True)]
    return None if None in either else [moment for moment in either if moment is not None]


def spread_out(times: Sequence[datetime]) -> tuple[FloatArray, int]:
    """Seconds (n,) of sorted times after the first, each later than the one before it; and how
    many shared their time with another: those are laid out evenly over a second, or less where
    the next comes sooner."""
    first = times[0].astimezone(UTC)
    seconds = np.array([(time.astimezone(UTC) - first) / timedelta(seconds=1) for time in times])
    distinct, index, count = np.unique(seconds, return_inverse=True, return_counts=True)
    room = np.minimum(np.diff(distinct, append=np.inf), 1.0) / count
    rank = np.arange(len(seconds)) - np.concatenate([[0], np.cumsum(count)[:-1]])[index]
    return distinct[index] + rank * room[index], int(count[count > 1].sum())


def usual_interval(recordings: Sequence[FloatArray], number: int | None = None) -> float:
    """Median of the times between frames of one recording, where it has enough of them; else of
    all recordings together; 1 s where there are none."""
    gaps = [np.diff(start_s) for start_s in recordings]
    own = gaps[number] if number is not None else np.array([])
    chosen = own if len(own) >= ENOUGH else np.concatenate(gaps) if gaps else own
    return float(np.median(chosen)) if len(chosen) else 1.0
