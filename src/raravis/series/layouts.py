"""The shapes in which series are handed around: tables, numpy archives, public benchmarks.

`open_sheet` reads one file as one recording, knowing each by its name or its content. To add a
shape, write a function `(path, reading) -> Sheet` and call it there.

    NAB, SKAB, Yahoo S5    text tables whose columns say what they are
    SMD, ASD, SMAP, MSL    npz of train and test, or text files in train/, test/ and test_label/
    UCR                    one value a line; the name ends in _trainEnd_start_end.txt
    ECG and any other npz  one array, or arrays named values, time, labels, channels
"""

from __future__ import annotations

import ast
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from raravis.errors import RecordingError
from raravis.series.columns import Reading, sheet_of
from raravis.series.parquet import ParquetSheet
from raravis.series.rows import Series
from raravis.series.sheets import HeldSheet, Sheet
from raravis.series.tables import holds_numbers, read_table
from raravis.windows import BoolArray, FloatArray

SMAP_LABELS = "labeled_anomalies.csv"
"""The file beside SMAP's and MSL's recordings that says where something is wrong in them."""

_UCR_NAME = re.compile(r"_(\d+)_(\d+)_(\d+)\.txt$")
_VALUES = ("values", "value", "data", "x", "X")
_LABELS = ("labels", "label", "test_label", "test_labels", "y")
_TIMES = ("time", "time_s", "times", "timestamp", "timestamps")
_NO_TIMES = "has no times: its rows are taken as 1 s apart"
_YAHOO_PARTS = ("changepoint", "trend", "noise", "seasonality1", "seasonality2", "seasonality3")


def open_sheet(path: Path, reading: Reading) -> Sheet:
    """One file as one recording. Raises RecordingError where it cannot be one."""
    if path.suffix.lower() == ".parquet":
        return ParquetSheet(path, reading)
    if path.suffix.lower() == ".npz":
        return _open_npz(path, reading)
    if _UCR_NAME.search(path.name):
        return _open_ucr(path)
    if is_smd_test(path):
        return _open_smd(path, reading)
    return _open_table(path, reading)


def is_series(path: Path, named: Sequence[Path]) -> bool:
    """Whether a file is a recording of its own.

    Files of labels, and those that another file is read with, are none; nor are text files without
    numbers, such as a licence, unless the user named them.
    """
    if path.name == SMAP_LABELS or path.parent.name == "interpretation_label":
        return False
    if path.parent.name in ("train", "test_label"):
        test = path.parent.parent / "test" / path.name
        return path in named or not is_smd_test(test)
    return path.suffix.lower() != ".txt" or path in named or holds_numbers(path)


# --- text --------------------------------------------------------------------------------------


def _open_table(path: Path, reading: Reading) -> HeldSheet:
    frame, remarks = read_table(path, reading.separator, reading.decimal)
    if set(_YAHOO_PARTS[:3]) <= set(frame.columns):  # what its values were made of, not measured
        frame = frame.drop(columns=[name for name in _YAHOO_PARTS if name in frame])
        remarks.append("its trend, noise and seasons are left out: its values are made of them")
    return sheet_of(frame, reading, str(path), remarks)


def _open_ucr(path: Path) -> HeldSheet:
    """A series of the UCR Anomaly Archive: one anomaly, from start to end, both included.

    Source: Wu & Keogh 2021, arXiv:2009.13807.
    """
    found = _UCR_NAME.search(path.name)
    learn_until, start, end = (int(number) for number in found.groups()) if found else (0, 0, 0)
    try:
        values = np.array(path.read_bytes().split(), dtype=np.float64)
    except (OSError, ValueError) as error:
        raise RecordingError(str(path), f"expected one number a line ({error})") from error
    if not learn_until < start <= end < len(values):
        raise RecordingError(
            str(path),
            f"its name says that it learns until row {learn_until} and is wrong from {start} to "
            f"{end}, but it has {len(values)} rows",
        )
    labels = np.zeros(len(values), dtype=bool)
    labels[start : end + 1] = True
    return _sheet(values[:, None], ("value",), labels, learn_until)


def is_smd_test(path: Path) -> bool:
    """Whether a file lies in test/, and files of its name in train/ and test_label/ beside it."""
    beside = path.parent.parent
    return path.parent.name == "test" and all(
        (beside / folder / path.name).is_file() for folder in ("train", "test_label")
    )


def _open_smd(path: Path, reading: Reading) -> HeldSheet:
    """A machine of the Server Machine Dataset as its authors give it: three text files."""
    beside = path.parent.parent
    train, test, label = (
        _open_table(beside / folder / path.name, Reading(zone=reading.zone)).series.values
        for folder in ("train", "test", "test_label")
    )
    return _train_then_test(path, train, test, label[:, 0] != 0)


# --- numpy -------------------------------------------------------------------------------------


def _open_npz(path: Path, reading: Reading) -> HeldSheet:
    arrays = _arrays(path)
    if "train" in arrays and "test" in arrays:
        labels = _first(arrays, _LABELS)
        return _train_then_test(
            path, _columns(path, arrays["train"]), _columns(path, arrays["test"]),
            _smap_labels(path, len(arrays["test"])) if labels is None else labels.ravel() != 0,
        )  # fmt: skip
    values = _first(arrays, _VALUES)
    if values is None and len(arrays) == 1:
        values = next(iter(arrays.values()))
    if values is None:
        raise RecordingError(
            str(path),
            f"has arrays {', '.join(sorted(arrays)) or 'none'}: expected train and test, or values "
            "(with time, labels and channels where known)",
        )
    return _of_arrays(path, _columns(path, values), arrays, reading)


def _of_arrays(
    path: Path, values: FloatArray, arrays: Mapping[str, npt.NDArray[np.generic]], reading: Reading
) -> HeldSheet:
    """Values with what stands beside them, put into order as any table is."""
    names = arrays.get("channels")
    channels = _names(values.shape[1]) if names is None else tuple(str(name) for name in names)
    if len(channels) != values.shape[1]:
        raise RecordingError(
            str(path), f"has {values.shape[1]} columns of values, but {len(channels)} channels"
        )
    labels = _first(arrays, _LABELS)
    flags = None if labels is None else labels.ravel() != 0
    times = _first(arrays, _TIMES)
    for name, column in (("labels", flags), ("times", times)):
        if column is not None and len(column) != len(values):
            raise RecordingError(str(path), f"has {len(values)} rows, but {len(column)} {name}")
    if times is None:
        return _sheet(values, channels, flags)
    frame = pd.DataFrame(values, columns=list(channels))
    table = frame.assign(**{"\0time": times})
    if flags is not None:
        table["\0label"] = flags
    own = Reading("\0time", () if flags is None else ("\0label",), reading.zone)
    return sheet_of(table, own, str(path), [])


def _train_then_test(
    path: Path, train: FloatArray, test: FloatArray, test_labels: BoolArray | None
) -> HeldSheet:
    """What is set apart for learning, and after it what is to be judged."""
    if train.shape[1] != test.shape[1]:
        raise RecordingError(
            str(path), f"has {train.shape[1]} channels in train, but {test.shape[1]} in test"
        )
    if test_labels is not None and len(test_labels) != len(test):
        raise RecordingError(
            str(path), f"has {len(test)} rows of test, but {len(test_labels)} labels"
        )
    labels = None
    if test_labels is not None:
        labels = np.concatenate([np.zeros(len(train), dtype=bool), test_labels])
    return _sheet(np.vstack([train, test]), _names(train.shape[1]), labels, len(train))


def _smap_labels(path: Path, rows: int) -> BoolArray | None:
    """Labels of a channel of SMAP or MSL, from the table beside it; None where it has no row.

    Source: Hundman et al. 2018, arXiv:1802.04431.
    """
    table = path.parent / SMAP_LABELS
    if not table.is_file():
        return None
    frame = pd.read_csv(table, dtype=str)
    mine = frame[frame["chan_id"] == path.stem]
    if mine.empty:
        return None
    labels = np.zeros(rows, dtype=bool)
    for first, last in (
        pair for cell in mine["anomaly_sequences"] for pair in ast.literal_eval(cell)
    ):
        labels[first : last + 1] = True
    return labels


def _arrays(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, EOFError, ValueError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise RecordingError(str(path), f"cannot be read as npz ({error})") from error


def _first(
    arrays: Mapping[str, npt.NDArray[np.generic]], names: tuple[str, ...]
) -> npt.NDArray[np.generic] | None:
    return next((arrays[name] for name in names if name in arrays), None)


def _columns(path: Path, values: npt.NDArray[np.generic]) -> FloatArray:
    """Values as (n, C) float64; one channel may come as (n,)."""
    if values.ndim not in (1, 2) or values.dtype.kind not in "biuf":
        raise RecordingError(
            str(path), f"expected numbers (rows, channels), got {values.dtype} {values.shape}"
        )
    table = values.astype(np.float64)
    table[~np.isfinite(table)] = np.nan
    return table if table.ndim == 2 else table[:, None]


def _names(channels: int) -> tuple[str, ...]:
    return ("value",) if channels == 1 else tuple(f"channel {i + 1}" for i in range(channels))


def _sheet(
    values: FloatArray,
    channels: tuple[str, ...],
    labels: BoolArray | None,
    learn_until: int | None = None,
) -> HeldSheet:
    time_s = np.arange(len(values), dtype=np.float64)
    return HeldSheet(Series(values, time_s, channels, labels), learn_until, [_NO_TIMES])
