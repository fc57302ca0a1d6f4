"""The series of a run, read again where they lie."""

from __future__ import annotations

from collections.abc import Sequence

from raravis.errors import DataError, RecordingError
from raravis.senses.series import SeriesSense
from raravis.series.rows import Series
from raravis.sources import RowSource
from raravis.windows import Recording


class Archive:
    """Gives rows of a run's recordings; none of one that is no longer there, or has changed.

    recordings  those of the run, in its order; rows, how many each of them had.

    One file is open at a time: ask for those of one recording after each other.
    """

    def __init__(
        self, sense: SeriesSense, recordings: Sequence[Recording], rows: Sequence[int]
    ) -> None:
        self._sense = sense
        self._recordings = recordings
        self._rows = rows
        self._path = ""
        self._source: RowSource | None = None

    def read(self, recording: int, first_row: int, stop_row: int) -> Series | None:
        """Rows first_row .. stop_row - 1 of a recording."""
        source, name = (
            self._open(self._recordings[recording].path),
            self._recordings[recording].name,
        )
        if source is None:
            return None
        there = [one.name for one in source.recordings]  # of a file opened alone, without folders
        place = there.index(name) if name in there else 0 if len(there) == 1 else None
        if place is None or source.rows[place] < self._rows[recording]:
            return None
        try:
            return source.read(place, first_row, stop_row)
        except RecordingError:
            return None  # the report shows the event without its chart

    def _open(self, path: str) -> RowSource | None:
        if path != self._path:
            self._path, self._source = path, None
            try:
                self._source = self._sense.open(path)
            except DataError:
                return None  # the report shows what the run knows
        return self._source
