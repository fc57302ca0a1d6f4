"""Tables of channels over time, and folders of them, as one collection in bounded memory."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Self

import numpy as np

from raravis.errors import NothingToRead, ParameterError, RecordingError
from raravis.folders import Found, find_files
from raravis.series.columns import Reading
from raravis.series.drives import is_snapshot, read_drives
from raravis.series.layouts import is_series, open_sheet
from raravis.series.rows import Series
from raravis.series.sheets import Sheet, Survey, listed, survey
from raravis.sources import RowBlock, RowSource, register
from raravis.times import start_time, time_zone
from raravis.windows import FloatArray, IntArray, Recording, Skipped, Windows

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".txt", ".parquet", ".npz")

_SHOWN = 3
"""How many of the skipped files a message names."""


@register("series")
class SeriesSource(RowSource):
    """Recordings that are series: CSV (.gz too), TSV, text, Parquet and npz files, or folders.

    paths      a file or folder, or several. Folders are searched through; hidden files, and text
               files that hold no numbers, are not looked at.
    time       name of the column of times; None finds it. Without one, rows are 1 s apart.
    labels     names of the columns that say what is anomalous; None finds them. They never become
               channels.
    channels   which to take, and in which order; None takes all that most recordings share.
    timezone   of times written without one: "Europe/Berlin", "+02:00".
    separator  between the cells of text tables; None finds it.
    decimal    "." or ","; None finds it.
    strict     raise RecordingError at the first file that cannot be used, where otherwise it is
               listed in `skipped`.

    Rows stand in order of time. A missing, unreadable or infinite value is NaN. Fixed window i is
    row i: it lasts from its own time for one usual interval.

    Raises DataError where a path does not exist, NothingToRead where no recording is left.
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        time: str | None = None,
        labels: Sequence[str] | str | None = None,
        channels: Sequence[str] | None = None,
        timezone: str = "UTC",
        separator: str | None = None,
        decimal: str | None = None,
        strict: bool = False,
    ) -> None:
        _check(channels, separator, decimal)
        labels = (labels,) if isinstance(labels, str) else labels
        self.timezone, self.strict = time_zone(timezone), strict
        self.reading = Reading(
            time, None if labels is None else tuple(labels), self.timezone, separator, decimal
        )
        self.skipped: list[Skipped] = []
        self.remarks: list[str] = []
        self._opened: tuple[int, Sheet] | None = None
        roots = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
        files, closed_folders = find_files(roots, SUFFIXES)
        for folder in closed_folders:
            self._skip(folder.path, folder.reason)
        surveys = self._look_through([file for file in files if is_series(file.path, roots)])
        asked = channels is not None
        usual = tuple(channels) if channels is not None else _most_common(surveys)
        surveys = [s for s in surveys if self._has_the_channels(s, usual, asked)]
        self.channels = usual if asked else self._not_empty(usual, surveys)
        self._keep(surveys, roots)

    # ----------------------------------------------------------------- what there is

    @cached_property
    def windows(self) -> Windows:
        """One window a row: from its time for one usual interval."""
        parts = []
        for number, found in enumerate(self._surveys):
            start_s = self._sheet(number).times_s()
            recording = np.full(len(start_s), number, dtype=np.int32)
            parts.append(Windows(recording, start_s, start_s + found.interval_s))
        return Windows.concatenate(parts)

    def __len__(self) -> int:
        return sum(self.rows)

    def __getitem__(self, index: int) -> FloatArray:
        """Row `index` of all rows, (C,) float32, NaN where a value is missing."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        index %= len(self)
        ends: IntArray = np.cumsum(self.rows)
        recording = int(np.searchsorted(ends, index, side="right"))
        row = index - (int(ends[recording]) - self.rows[recording])
        return np.asarray(self.read(recording, row, row + 1).values[0], dtype=np.float32)

    # ----------------------------------------------------------------- reading

    def read(self, recording: int, first_row: int, stop_row: int) -> Series:
        """Rows first_row .. stop_row - 1 of one recording, as far as they exist.

        Raises RecordingError where the file cannot be read there.
        """
        first_row, stop_row = max(0, first_row), min(stop_row, self.rows[recording])
        rows = self._sheet(recording).read(first_row, max(first_row, stop_row), self.channels)
        began = self.recordings[recording].start_time
        return Series(rows.values, rows.time_s, rows.channels, rows.labels, began)

    def blocks(
        self, recording: int, from_s: float = 0.0, length: int = 65_536, context: int = 0
    ) -> Iterator[RowBlock]:
        """The recording in blocks of `length` rows, each with `context` rows before it, from the
        first row at or after `from_s` on. Memory does not grow with a Parquet file; of the other
        files one at a time is held whole."""
        total, duration_s = self.rows[recording], self.recordings[recording].duration_s
        start = self._sheet(recording).row_at(from_s)
        for first in range(start, total, length):
            before, stop = min(context, first), min(first + length, total)
            rows = self.read(recording, first - before, stop + 1)  # the row after it ends it
            end_s = float(rows.time_s[-1]) if stop < total else duration_s
            yield RowBlock(recording, first, before, rows[: stop - first + before], end_s)

    def part(self, numbers: Sequence[int]) -> Self:
        """A source of only these of its recordings; see `Source.part`."""
        some = copy.copy(self)
        some.__dict__.pop("windows", None)
        some.skipped, some.remarks, some._opened = [], [], None
        for name in ("recordings", "_surveys", "rows", "learn_until"):
            setattr(some, name, [getattr(self, name)[number] for number in numbers])
        return some

    def _sheet(self, recording: int) -> Sheet:
        """The recording's file; the one used last stays open."""
        if self._opened is None or self._opened[0] != recording:
            if self._opened is not None:
                self._opened[1].close()
            self._opened = None  # so that never two are in memory
            self._opened = recording, self._surveys[recording].open()
        return self._opened[1]

    # ----------------------------------------------------------------- finding

    def _look_through(self, files: Sequence[Found]) -> list[Survey]:
        """Every recording read once; what cannot be used is skipped."""
        found = []
        for name, path, opener in self._openers(files):
            try:
                found.append(survey(name, path, opener))
            except RecordingError as error:
                self._skip(error.path, error.reason)
        return found

    def _openers(self, files: Sequence[Found]) -> Iterator[tuple[str, Path, Callable[[], Sheet]]]:
        """Name, path and way to open of each recording: a file, or a drive in daily tables."""
        days = [file.path for file in files if is_snapshot(file.path)]
        drives, skipped = read_drives(days)
        for broken in skipped:
            self._skip(broken.path, broken.reason)
        for serial, sheet in drives.items():
            yield serial, days[0].parent, partial(_same, sheet)
        for file in files:
            if file.path not in days:
                yield file.name, file.path, partial(open_sheet, file.path, self.reading)

    def _has_the_channels(self, found: Survey, usual: tuple[str, ...], asked: bool) -> bool:
        missing = [name for name in usual if name not in found.channels]
        extra = [] if asked else [name for name in found.channels if name not in usual]
        if not missing and not extra:
            return True
        reasons = [f"lacks {listed(missing)}"] if missing else []
        reasons += [f"has {listed(extra)} besides"] if extra else []
        whose = "asked for" if asked else "that most recordings have"
        self._skip(str(found.path), f"of the channels {whose} it {' and '.join(reasons)}")
        return False

    def _not_empty(self, usual: tuple[str, ...], surveys: list[Survey]) -> tuple[str, ...]:
        """Without the channels that hold no value in any recording."""
        empty = [c for c in usual if not any(s.known[s.channels.index(c)] for s in surveys)]
        if empty and surveys:
            self.remarks.append(f"{listed(empty)}: no value in any recording, left out")
        return tuple(name for name in usual if name not in empty)

    def _keep(self, surveys: list[Survey], roots: list[Path]) -> None:
        """Sorts the recordings by time, and tells what was remarkable in them."""
        if not surveys:
            raise NothingToRead(self._why_nothing(roots))
        began = {s.name: s.start_time or start_time(s.name, self.timezone) for s in surveys}
        self._surveys = sorted(surveys, key=lambda s: _by_time(began[s.name], s.name))
        self.recordings = [
            Recording(
                s.name, str(s.path), s.duration_s, 1 / s.interval_s, len(self.channels),
                began[s.name],
            )
            for s in self._surveys
        ]  # fmt: skip
        self.rows = [s.rows for s in self._surveys]
        self.learn_until = [s.learn_until for s in self._surveys]
        self.interval_s = float(np.median([s.interval_s for s in self._surveys]))
        for found in self._surveys:
            self.remarks += [f"{found.name}: {text}" for text in found.remarks_on(self.channels)]
        others = [s.name for s in self._surveys if not _is_near(s.interval_s, self.interval_s)]
        if others:
            usual = f"rows usually come every {self.interval_s:g} s"
            self.remarks.append(f"{usual}, but not in {listed(others)}")

    def _skip(self, path: str, reason: str) -> None:
        if self.strict:
            raise RecordingError(path, reason)
        self.skipped.append(Skipped(path, reason))

    def _why_nothing(self, roots: list[Path]) -> str:
        where = ", ".join(str(root) for root in roots) or "no path at all"
        shown = "; ".join(f"{Path(s.path).name}: {s.reason}" for s in self.skipped[:_SHOWN])
        more = f" and {len(self.skipped) - _SHOWN} more" if len(self.skipped) > _SHOWN else ""
        because = f" Skipped: {shown}{more}." if shown else ""
        return f"no series to read in {where}: looked for {', '.join(SUFFIXES)}.{because}"


def _check(channels: Sequence[str] | None, separator: str | None, decimal: str | None) -> None:
    if separator is not None and len(separator) != 1:
        raise ParameterError(f"separator must be one character, got {separator!r}")
    if decimal not in (None, ".", ","):
        raise ParameterError(f'decimal must be "." or ",", got {decimal!r}')
    if separator is not None and separator == decimal:
        raise ParameterError(f"separator and decimal are both {separator!r}")
    if channels is not None and not channels:
        raise ParameterError("channels must name at least one, or be None for all")
    if channels is not None and len(set(channels)) < len(channels):
        raise ParameterError(f"channels must name each one once, got {listed(channels)}")


def _same(sheet: Sheet) -> Sheet:
    return sheet


def _most_common(surveys: list[Survey]) -> tuple[str, ...]:
    """The channels of most recordings, in their most common order; of two equally common sets the
    one with more rows."""
    count = Counter(frozenset(s.channels) for s in surveys)
    rows: Counter[frozenset[str]] = Counter()
    for s in surveys:
        rows[frozenset(s.channels)] += s.rows
    usual = max(count, key=lambda names: (count[names], rows[names]), default=frozenset())
    orders = Counter(s.channels for s in surveys if set(s.channels) == usual)
    return orders.most_common(1)[0][0] if orders else ()


def _by_time(began: datetime | None, name: str) -> tuple[bool, datetime, str]:
    """Sorts by start, those without one last, then by name."""
    return began is None, began or datetime.min.replace(tzinfo=UTC), name


def _is_near(interval_s: float, usual_s: float) -> bool:
    return abs(interval_s - usual_s) <= 0.01 * usual_s
