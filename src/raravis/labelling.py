"""Labels of windows, read from a table that somebody made, and which of them are learned from when
an embedding is measured. Nothing else in raravis looks at labels of windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from raravis.errors import DataError
from raravis.windows import BoolArray, IntArray

Key: TypeAlias = tuple[str, ...]
COLUMNS = ("frame", "recording", "label", "split")
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Labelled:
    """Labels of windows.

    labels      (N,) words; empty where a window has none.
    is_learned  (N,) labelled windows that a probe learns from.
    is_tested   (N,) labelled windows that it is tested on; no window is both.
    how         how those two were told apart, in words.
    """

    labels: npt.NDArray[np.str_]
    is_learned: BoolArray
    is_tested: BoolArray
    how: str


def read_labels(path: Path, index: pd.DataFrame, seed: int = 0) -> Labelled:
    """Labels for the windows of an index (columns recording and frame).

    path  CSV with a column label, and frame or recording or both; a name may lack its folders or
          its ending where that leaves no doubt. A column split says "train" or "test"; without one,
          half of every label is tested: whole recordings where every label has two, else windows at
          random.

    Raises DataError for a table without these columns, or one that names none of the windows.
    """
    table = _read(path)
    place = _places(path, table, index)  # line of the table for each window, -1 for none
    known = place >= 0
    if not known.any():
        column = "frame" if "frame" in table else "recording"
        raise DataError(
            f"{path} labels none of the {len(index)} windows: its first {column} is "
            f"{table[column].iloc[0]!r}, the first window's is {index[column].iloc[0]!r}"
        )
    labels = np.where(known, table["label"].to_numpy(str)[place], "")
    if "split" in table:
        split = np.where(known, table["split"].to_numpy(str)[place], "")
        learned, tested, how = split == "train", split == "test", "as the column split says"
    else:
        learned, tested, how = _halves(labels, index["recording"].to_numpy(str), seed)
    for what, rows in (("learned from", learned), ("tested", tested)):
        if not rows.any():
            raise DataError(f"{path} leaves no labelled window to be {what} ({how})")
    return Labelled(labels, learned, tested, how)


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the labels in {path}: {error}") from error
    table = table[[column for column in COLUMNS if column in table]]
    if "label" not in table or not {"frame", "recording"} & set(table) or table.empty:
        raise DataError(
            f"{path} must have a column label, and frame or recording, and at least one line, "
            f"got columns {', '.join(table) or 'of other names'} and {len(table)} lines"
        )
    table = table[table["label"] != ""].reset_index(drop=True)
    if "split" in table and (wrong := sorted(set(table["split"]) - set(SPLITS))):
        raise DataError(f"{path}: split must be train or test, got {wrong[0]!r}")
    return table


def _places(path: Path, table: pd.DataFrame, index: pd.DataFrame) -> IntArray:
    """The line that labels each window, -1 where none does."""
    by = [column for column in ("recording", "frame") if column in table]
    whole = index["recording"] + ("/" + index["frame"] if "frame" in by else "")
    for shortened in (str, _without_folders, _without_ending):
        line_of = _lines(path, table, _keys(table, by, shortened))
        windows = _keys(index, by, shortened)
        place = np.array([line_of.get(key, -1) for key in windows])
        if (place >= 0).any():
            _no_doubt(path, windows, whole, place)
            return place
    return np.full(len(index), -1)


def _lines(path: Path, table: pd.DataFrame, keys: list[Key]) -> dict[Key, int]:
    """The first line of each key. Raises DataError where others of it say something else."""
    line_of: dict[Key, int] = {}
    for line, key in enumerate(keys):
        first = line_of.setdefault(key, line)
        if table["label"][first] != table["label"][line]:
            raise DataError(
                f"{path}: {'/'.join(key)} is called both {table['label'][first]!r} and "
                f"{table['label'][line]!r}"
            )
    return line_of


def _no_doubt(path: Path, keys: list[Key], whole: Iterable[str], place: IntArray) -> None:
    """Raises DataError where one line of the table might mean either of two things."""
    meant: dict[Key, str] = {}
    for key, name, line in zip(keys, whole, place, strict=True):
        if line >= 0 and meant.setdefault(key, name) != name:
            raise DataError(
                f"{path}: {'/'.join(key)} may be {meant[key]} or {name}: give whole names, with a "
                "column recording beside frame"
            )


def _keys(table: pd.DataFrame, by: list[str], shortened: Callable[[str], str]) -> list[Key]:
    columns: list[Iterable[str]] = [map(shortened, table[column]) for column in by]
    return list(zip(*columns, strict=True))


def _without_folders(name: str) -> str:
    return PurePath(name).name


def _without_ending(name: str) -> str:
    return PurePath(name).stem


def _halves(
    labels: npt.NDArray[np.str_], recordings: npt.NDArray[np.str_], seed: int
) -> tuple[BoolArray, BoolArray, str]:
    """Half of every label to learn from, half to test."""
    random = np.random.default_rng(seed)
    learned = np.zeros(len(labels), dtype=bool)
    groups = {
        label: np.unique(recordings[labels == label]) for label in np.unique(labels[labels != ""])
    }
    mixed = len(np.unique(np.concatenate(list(groups.values())))) < sum(map(len, groups.values()))
    whole = not mixed and min(map(len, groups.values())) >= 2
    for label, own in groups.items():
        rows = np.flatnonzero(labels == label)
        if whole:
            chosen = random.permutation(own)[: (len(own) + 1) // 2]
            learned[rows[np.isin(recordings[rows], chosen)]] = True
        else:
            learned[random.permutation(rows)[: (len(rows) + 1) // 2]] = True
    how = "half of each label's recordings" if whole else "half of each label's windows, at random"
    return learned, (labels != "") & ~learned, how
