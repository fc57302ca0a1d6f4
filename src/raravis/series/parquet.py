"""Parquet files that may be larger than memory: rows in order of time, read batch by batch.

Reading Parquet needs pyarrow, which is asked for only where a Parquet file is.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from raravis.errors import RecordingError
from raravis.series.clocks import NO_TIME
from raravis.series.columns import (
    Reading,
    find_roles,
    is_flipped,
    labels_of,
    seconds_of,
    time_cells,
    values_of,
)
from raravis.series.rows import Series
from raravis.series.sheets import Sheet
from raravis.windows import FloatArray, IntArray

BATCH = 65_536  # rows
READ_AHEAD = 2**20  # bytes of each column


class ParquetSheet(Sheet):
    """The rows of one Parquet file, of which a few batches are in memory at a time.

    What its columns are is found from its first batch. Its rows must stand in order of time, as
    sorting them would need all of them at once. Reading on from where one stopped costs nothing;
    going back starts again at the row group.

    Raises RecordingError where pyarrow is missing, or the file cannot be read or is not in order.
    """

    def __init__(self, path: Path, reading: Reading, batch: int = BATCH) -> None:
        self.path, self._batch, self._zone = path, batch, reading.zone
        self._arrow = _pyarrow(path)
        self._file = self._opened()
        sizes = [self._file.metadata.row_group(i).num_rows for i in range(self._groups)]
        self._starts: IntArray = np.cumsum([0, *sizes])  # (groups + 1,) first row of each
        self.remarks = []
        first = self._first_batch()
        roles = find_roles(first, reading, str(path), self.remarks)
        self._roles = replace(roles, flipped=self._flipped(roles.labels))
        self.channels = roles.channels
        if roles.clock is None:
            self.remarks.append("has no times: its rows are taken as 1 s apart")
        self._origin_ns, self._start = 0, None
        if roles.clock is not None and len(first):
            nanoseconds = self._checked(roles.clock.read(time_cells(first, roles)), 0)
            self._origin_ns = int(nanoseconds[0])
            self._start = seconds_of(nanoseconds, roles.clock, self._zone)[1]
        self._cursor: _Cursor | None = None

    def read(self, first_row: int, stop_row: int, channels: Sequence[str]) -> Series:
        if self._cursor is None or not self._cursor.leads_to(first_row, tuple(channels)):
            self._cursor = _Cursor(self, first_row, tuple(channels))
        return self._cursor.read(first_row, stop_row)

    def close(self) -> None:
        self._cursor = None  # it and its stream refer back here

    def row_at(self, time_s: float) -> int:
        row = 0
        for part in self.stream(0, ()):
            within = int(np.searchsorted(part.time_s, time_s))
            row += within
            if within < len(part):
                break
        return row

    def times_s(self) -> FloatArray:
        return np.concatenate([np.empty(0), *(part.time_s for part in self.stream(0, ()))])

    def parts(self) -> Iterator[Series]:
        return self.stream(0, self.channels)

    def group_of(self, row: int) -> int:
        """The row group that a row lies in."""
        return max(0, int(np.searchsorted(self._starts[:-1], row, side="right")) - 1)

    def stream(self, group: int, channels: tuple[str, ...]) -> Iterator[Series]:
        """The rows from the start of a row group on, batch by batch."""
        row, last_ns = int(self._starts[group]), NO_TIME
        for frame in self._frames(group, [*self._roles.time, *self._roles.labels, *channels]):
            roles = replace(self._roles, channels=channels)
            nanoseconds: IntArray = (row + np.arange(len(frame), dtype=np.int64)) * 10**9
            if roles.clock is not None:
                cells = time_cells(frame, roles)
                nanoseconds = self._checked(roles.clock.read(cells), row, last_ns)
            last_ns = int(nanoseconds[-1])
            time_s = (nanoseconds - self._origin_ns) / 1e9
            values, _ = values_of(frame, roles)
            yield Series(values, time_s, channels, labels_of(frame, roles), self._start)
            row += len(frame)

    def start_of(self, group: int) -> int:
        """The first row of a row group."""
        return int(self._starts[group])

    # ----------------------------------------------------------------- the file

    @property
    def _groups(self) -> int:
        return int(self._file.metadata.num_row_groups)

    def _opened(self) -> Any:
        try:
            # unless told otherwise, pyarrow keeps all that it has read ahead
            return self._arrow.parquet.ParquetFile(
                self.path, pre_buffer=False, buffer_size=READ_AHEAD
            )
        except (self._arrow.ArrowException, OSError) as error:
            raise RecordingError(str(self.path), f"cannot be read as Parquet ({error})") from error

    def _frames(self, group: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        groups = range(group, self._groups)
        if not columns:  # no time and no channel: batches still tell how many rows there are
            yield from (pd.DataFrame(index=range(n)) for n in np.diff(self._starts)[group:])
            return
        try:
            for batch in self._file.iter_batches(self._batch, groups, list(columns)):
                if batch.num_rows:
                    yield batch.to_pandas(ignore_metadata=True)
        except (self._arrow.ArrowException, OSError) as error:
            raise RecordingError(str(self.path), f"breaks while it is read ({error})") from error

    def _first_batch(self) -> pd.DataFrame:
        """The first rows of all columns but those that hold lists or tables themselves."""
        schema = self._file.schema_arrow
        nested = self._arrow.types.is_nested
        columns = [field.name for field in schema if not nested(field.type)]
        empty = schema.empty_table().select(columns).to_pandas(ignore_metadata=True)
        frame: pd.DataFrame = next(self._frames(0, columns), empty) if columns else empty
        return frame

    def _flipped(self, labels: Sequence[str]) -> frozenset[str]:
        """Columns of labels in which -1 is the anomaly: that takes a look at all of them."""
        seen: dict[str, set[object]] = {name: set() for name in labels}
        for frame in self._frames(0, labels) if labels else ():
            for name in labels:
                seen[name].update(frame[name].dropna().unique())
        return frozenset(name for name, values in seen.items() if is_flipped(values))

    def _checked(self, nanoseconds: IntArray, row: int, before: int = NO_TIME) -> IntArray:
        """Times that are all there and never fall; `row` is that of the first."""
        column = " ".join(self._roles.time)
        missing = np.flatnonzero(nanoseconds == NO_TIME)
        if len(missing):
            where = row + int(missing[0])
            raise RecordingError(str(self.path), f"row {where} has no readable time in {column!r}")
        first = before if before > NO_TIME else nanoseconds[0]
        falls = np.flatnonzero(np.diff(nanoseconds, prepend=first) < 0)
        if len(falls):
            raise RecordingError(
                str(self.path),
                f"its times fall back at row {row + int(falls[0])}, and a Parquet file is not "
                f"sorted here as it may be larger than memory: sort its rows by {column!r}",
            )
        return nanoseconds


class _Cursor:
    """A place in a Parquet file, with the batches in memory around it."""

    def __init__(self, sheet: ParquetSheet, row: int, channels: tuple[str, ...]) -> None:
        group = sheet.group_of(row)
        self.sheet, self.channels = sheet, channels
        self._parts = sheet.stream(group, channels)
        self._held: list[Series] = []
        self._first = self._end = sheet.start_of(group)

    def leads_to(self, row: int, channels: tuple[str, ...]) -> bool:
        """Whether reading on reaches a row sooner than starting again."""
        ahead = self.sheet.start_of(self.sheet.group_of(row)) <= self._end
        return channels == self.channels and self._first <= row and ahead

    def read(self, first_row: int, stop_row: int) -> Series:
        """A stretch of rows; batches before it are forgotten."""
        while self._end < stop_row:
            part = next(self._parts, None)
            if part is None:
                break
            self._held.append(part)
            self._end += len(part)
            self._forget(first_row)
        self._forget(first_row)
        return _joined(self._held, self.channels)[first_row - self._first : stop_row - self._first]

    def _forget(self, row: int) -> None:
        while self._held and self._first + len(self._held[0]) <= row:
            self._first += len(self._held.pop(0))


def _joined(parts: Sequence[Series], channels: tuple[str, ...]) -> Series:
    if not parts:
        return Series(np.empty((0, len(channels))), np.empty(0), channels)
    labels = [part.labels for part in parts if part.labels is not None]
    return Series(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.time_s for part in parts]),
        channels,
        np.concatenate(labels) if labels else None,
        parts[0].start_time,
    )


def _pyarrow(path: Path) -> ModuleType:
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError:
        raise RecordingError(
            str(path), "reading Parquet needs pyarrow, which is missing: pip install pyarrow"
        ) from None
