"""Which rows are learned from, which set the level of alarms, and which are judged.

The parts follow each other in time within every recording: what is judged comes after what was
learned from. Rows labelled anomalous are never learned from and never set a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raravis.errors import DataError, NothingToRead, ParameterError, RecordingError
from raravis.row_layer import BREAK
from raravis.series.rows import Series, unbroken
from raravis.sources import RowSource
from raravis.windows import BoolArray, FloatArray, IntArray

PARTS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
FEWEST = 20  # rows of a part, over all recordings


@dataclass(frozen=True)
class Divided:
    """Recordings whose rows are divided into parts; all rows stand one recording after another.

    series      the recordings.
    names       of the recordings.
    interval_s  usual time from row to row.
    part        (N,) which of PARTS each row belongs to.
    remarks     what the reader should know of this division.
    """

    series: list[Series]
    names: list[str]
    interval_s: float
    part: IntArray
    remarks: list[str]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels."""
        return self.series[0].channels

    @property
    def is_labelled(self) -> bool:
        """Whether anything is known of what is anomalous."""
        return any(one.labels is not None for one in self.series)

    @cached_property
    def labels(self) -> BoolArray:
        """Which rows (N,) are known to be anomalous; none in a recording without labels."""
        return np.concatenate([_labels(one) for one in self.series])

    @cached_property
    def recording(self) -> IntArray:
        """Number of the recording of each row, (N,)."""
        return np.repeat(np.arange(len(self.series)), [len(one) for one in self.series])

    @cached_property
    def time_s(self) -> FloatArray:
        """Seconds from the start of each row's own recording, (N,)."""
        return np.concatenate([one.time_s for one in self.series])

    @cached_property
    def pieces(self) -> list[slice]:
        """Rows without a break, each piece in one recording; together all rows, in order."""
        found, before = [], 0
        for one in self.series:
            inside = unbroken(one.time_s, BREAK * self.interval_s)
            found += [slice(before + rows.start, before + rows.stop) for rows in inside]
            before += len(one)
        return found

    @cached_property
    def values(self) -> FloatArray:
        """All rows, (N, C)."""
        return np.concatenate([one.values for one in self.series])

    def apart(self) -> list[Divided]:
        """Each recording by itself. Raises DataError where one is too short for that."""
        alone = [
            Divided([one], [name], self.interval_s, self.part[self.recording == number], [])
            for number, (one, name) in enumerate(zip(self.series, self.names, strict=True))
        ]
        for data in alone:
            _check(data)
        return alone

    def ordinary(self, part: int) -> list[FloatArray]:
        """Stretches (n, C) of one part without a break and without a labelled row."""
        wanted = (self.part == part) & ~self.labels
        stretches = []
        for piece in self.pieces:
            edges = np.flatnonzero(np.diff(wanted[piece], prepend=False, append=False))
            inside = self.values[piece]
            stretches += [inside[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
        return stretches

    def untouched(self, context: int) -> BoolArray:
        """Rows (N,) that are not labelled, nor any of the `context` rows before them."""
        touched = self.labels.copy()
        for piece in self.pieces:
            before = np.cumsum(np.concatenate([np.zeros(context + 1), self.labels[piece]]))
            touched[piece] = before[context + 1 :] > before[: -context - 1]
        return ~touched


def divide(source: RowSource, shares: Sequence[float] = (70, 15, 15)) -> Divided:
    """Reads all recordings of a source and divides each by time.

    shares  of train, validation and test, each > 0. Where the format of a recording sets rows apart
            for learning, those are train and validation, and the rest is test.

    Raises NothingToRead where no recording can be read, DataError where a part gets too few rows.
    """
    if len(shares) != 3 or min(shares) <= 0:
        raise ParameterError(
            f"a split has three shares above 0, such as 70:15:15, got {_colons(shares)}"
        )
    series, names, parts, apart = [], [], [], 0
    for number, recording in enumerate(source.recordings):
        try:
            one = source.read(number, 0, source.rows[number])
        except RecordingError as error:
            source.skip(error)
            continue
        until = source.learn_until[number]
        apart += until is not None
        series.append(one)
        names.append(recording.name)
        parts.append(_parts(len(one), until, shares))
    if not series:
        raise NothingToRead("none of the recordings could be read to the end")
    data = Divided(series, names, source.interval_s, np.concatenate(parts), [])
    _check(data)
    data.remarks.extend(_remarks(data, apart))
    return data


def _parts(rows: int, until: int | None, shares: Sequence[float]) -> IntArray:
    train, validation, test = np.asarray(shares, dtype=np.float64)
    learned = rows * (train + validation) / (train + validation + test) if until is None else until
    bounds = np.round([learned * train / (train + validation), learned])
    return np.searchsorted(bounds, np.arange(rows), side="right")


def _check(data: Divided) -> None:
    rows = np.bincount(data.part, minlength=len(PARTS))
    ordinary = np.bincount(data.part[~data.labels], minlength=len(PARTS))
    for number, name in enumerate(PARTS):
        least = rows if number == TEST else ordinary
        if least[number] < FEWEST:
            raise DataError(
                f"of the {rows.sum()} rows of {_named(data.names)} {least[number]} "
                f"{'' if number == TEST else 'ordinary '}ones are left for {name}, where at least "
                f"{FEWEST} are needed: give longer series or another --split"
            )


def _remarks(data: Divided, apart: int) -> list[str]:
    remarks = []
    if apart:
        remarks.append(
            f"{apart} of {len(data.series)} recordings set rows apart for learning: those became "
            "train and validation, all others test"
        )
    if not data.is_labelled:
        remarks.append(
            "nothing is labelled: only losses, alarms, sizes, times and agreement can be told"
        )
        return remarks
    without = [n for n, one in zip(data.names, data.series, strict=True) if one.labels is None]
    if without:
        remarks.append(f"without labels, so all their rows count as ordinary: {', '.join(without)}")
    test = data.labels[data.part == TEST]
    if test.all() or not test.any():
        remarks.append(
            f"the test part holds {int(test.sum())} labelled rows of {len(test)}: what needs both "
            "kinds of rows cannot be told; another --split may help"
        )
    left_out = int(data.labels[data.part != TEST].sum())
    if left_out:
        remarks.append(f"{left_out} labelled rows of train and validation were left out")
    return remarks


def _named(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} recordings"


def _labels(series: Series) -> BoolArray:
    return np.zeros(len(series), dtype=bool) if series.labels is None else series.labels


def _colons(shares: Sequence[float]) -> str:
    return ":".join(f"{share:g}" for share in shares)
