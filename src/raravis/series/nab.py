"""The scoring of the Numenta Anomaly Benchmark, for anyone's results row by row.

A detection inside a labelled window is worth more the earlier it comes, and only the first one
counts; one outside costs the more the farther it lies behind a window; a missed window costs too.
One threshold holds for the whole corpus and is the best there is, chosen by the labels.

Results lie on disk as NAB writes them: <detector>/<group>/<detector>_<file>.csv with the columns
timestamp, value, anomaly_score, label.

Source: Lavin & Ahmad 2015, arXiv:1510.03336, and the scoring code of NAB 1.1 where they differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from raravis.errors import DataError
from raravis.windows import BoolArray, FloatArray, IntArray

PROBATION = 0.15  # share of a series that is not scored, but of 5000 rows at most
PROBATION_ROWS = 750
REACH = 3.0  # widths of a window behind which a false alarm costs in full


@dataclass(frozen=True)
class Profile:
    """What a hit is worth, and what a missed window and a false alarm cost."""

    hit: float
    miss: float
    false_alarm: float


PROFILES = {
    "standard": Profile(1.0, 1.0, 0.11),
    "low FP": Profile(1.0, 1.0, 0.22),
    "low FN": Profile(1.0, 2.0, 0.11),
}


@dataclass(frozen=True)
class Rows:
    """One series as it was judged: scores (n,), NaN counting as silent; labels (n,) true in the
    windows."""

    scores: FloatArray
    labels: BoolArray

    @property
    def windows(self) -> int:
        """How many windows there are."""
        return int(np.count_nonzero(np.diff(self.labels.astype(int), prepend=0) == 1))


def sigmoid(position: FloatArray) -> FloatArray:
    """From 1 far before 0 to -1 far behind it: 2 / (1 + exp(5 x)) - 1, and -1 beyond 3."""
    inside = np.minimum(position, REACH)
    return np.asarray(np.where(position > REACH, -1.0, 2.0 / (1.0 + np.exp(5.0 * inside)) - 1.0))


def worth(labels: BoolArray) -> FloatArray:
    """What a detection at each row is worth, (n,), before weights.

    In a window of w rows that ends at row e: sigmoid(-(e - i + 1) / w) / sigmoid(-1), from 1 at
    its first row down. Behind it: sigmoid((i - e) / (w - 1)), from 0 down to -1. Before the first
    window: -1.
    """
    row = np.arange(len(labels))
    found = np.full(len(labels), -1.0)
    starts, ends = _windows(labels)
    nexts = np.append(starts, len(labels))[1:]
    for start, end, after in zip(starts, ends, nexts, strict=True):
        width = end - start + 1
        inside = row[start : end + 1]
        found[inside] = sigmoid(-(end - inside + 1) / width) / sigmoid(np.array(-1.0))
        behind = row[end + 1 : after]
        found[behind] = sigmoid((behind - end) / (width - 1)) if width > 1 else -1.0
    return found


def gains(rows: Rows, profile: Profile) -> tuple[FloatArray, FloatArray]:
    """What is gained when the threshold falls to each of the levels: levels and gains, (k,).

    A series scores -miss x windows where nothing is detected, plus the gains of all levels from
    the threshold on.
    """
    values = worth(rows.labels)
    counts = ~np.isnan(rows.scores)
    counts[: probation(len(values))] = False
    outside = np.flatnonzero(counts & ~rows.labels)
    levels = [rows.scores[outside]]
    gained = [profile.false_alarm * values[outside]]
    for start, end in zip(*_windows(rows.labels), strict=True):
        inside = np.arange(start, end + 1)[counts[start : end + 1]]
        falling = inside[np.argsort(-rows.scores[inside], kind="stable")]
        best = np.maximum.accumulate(profile.hit * values[falling])
        levels.append(rows.scores[falling])
        gained.append(np.diff(best, prepend=-profile.miss))
    return np.concatenate(levels), np.concatenate(gained)


def raw_score(corpus: Iterable[Rows], profile: Profile, threshold: float) -> float:
    """The score before normalising, where every row that scores >= threshold is a detection."""
    total = 0.0
    for rows in corpus:
        levels, gained = gains(rows, profile)
        total += float(gained[levels >= threshold].sum()) - profile.miss * rows.windows
    return total


def best_threshold(corpus: Iterable[Rows], profile: Profile) -> tuple[float, float]:
    """The threshold with the highest raw score, and that score.

    Every score of the corpus is tried, and infinity, which detects nothing.
    """
    several = list(corpus)
    parts = [gains(rows, profile) for rows in several]
    levels, gained = (np.concatenate(column) for column in zip(*parts, strict=True))
    falling = np.argsort(-levels, kind="stable")
    levels = np.append(np.inf, levels[falling])
    nothing = -profile.miss * sum(rows.windows for rows in several)
    totals = nothing + np.cumsum(np.append(0.0, gained[falling]))
    complete = np.append(levels[1:] != levels[:-1], True)  # all rows of one score, or none
    best = int(np.argmax(totals[complete]))
    return float(levels[complete][best]), float(totals[complete][best])


def normalised(raw: float, windows: int, profile: Profile) -> float:
    """100 for every window found at its first row and no false alarm, 0 for silence."""
    silence, perfect = -profile.miss * windows, profile.hit * windows
    return 100 * (raw - silence) / (perfect - silence)


def final_scores(corpus: Mapping[str, Rows]) -> dict[str, tuple[float, float]]:
    """Normalised score and threshold by profile. Raises DataError where no window is labelled."""
    windows = sum(rows.windows for rows in corpus.values())
    if not windows:
        raise DataError("the results have no labelled window: expected 1 in their column label")
    found = {}
    for name, profile in PROFILES.items():
        threshold, raw = best_threshold(corpus.values(), profile)
        found[name] = normalised(raw, windows, profile), threshold
    return found


def probation(rows: int) -> int:
    """How many rows at the beginning are not scored."""
    return min(int(PROBATION * rows), PROBATION_ROWS)


def in_windows(times: npt.ArrayLike, windows: Iterable[Sequence[str]]) -> BoolArray:
    """Which of the rows (n,) lie in windows, both ends included.

    times    (n,) datetime64, by the clock of the file, in any order.
    windows  first and last time of each, as labels/combined_windows.json has them.
    """
    clock = np.asarray(times, dtype="datetime64[us]")
    inside = np.zeros(len(clock), dtype=bool)
    for first, last in windows:
        inside |= (clock >= np.datetime64(first)) & (clock <= np.datetime64(last))
    return inside


# --- results on disk -----------------------------------------------------------------------------


def read_results(folder: Path) -> dict[str, dict[str, Rows]]:
    """Results row by row: detector -> group/file -> rows.

    folder  a detector's, with <group>/<detector>_<file>.csv (or .csv.gz) in it, or one with
            several such folders.

    Raises DataError where there are none, or one of them lacks a column.
    """
    found = {}
    for one in (folder, *sorted(path for path in folder.glob("*") if path.is_dir())):
        paths = sorted(p for p in one.glob("*/*") if p.name.endswith((".csv", ".csv.gz")))
        own = [path for path in paths if path.name.startswith(f"{one.resolve().name}_")]
        if own:
            found[one.resolve().name] = {_name(path): _read(path) for path in own}
    if not found:
        raise DataError(
            f"no results row by row in {folder}: expected <group>/<detector>_<file>.csv in a "
            "folder that is called as the detector"
        )
    return found


def write_results(
    path: Path, times: pd.Series, values: FloatArray, scores: FloatArray, labels: BoolArray
) -> None:
    """Writes one series' results as NAB does; rows that could not be scored get 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = {
        "timestamp": times,
        "value": values,
        "anomaly_score": np.nan_to_num(scores),
        "label": labels.astype(int),
    }
    pd.DataFrame(table).to_csv(path, index=False)


def _name(path: Path) -> str:
    """group/file of a result, without the detector's name and what the file is called by."""
    detector = path.parent.parent.resolve().name
    return f"{path.parent.name}/{path.name.removeprefix(f'{detector}_').partition('.csv')[0]}"


def _read(path: Path) -> Rows:
    try:
        table = pd.read_csv(path, dtype=str)  # numbers are read below, exactly as written
        columns = [table[name].astype("float64").to_numpy() for name in ("anomaly_score", "label")]
    except KeyError as error:
        raise DataError(
            f"{path} has no column {error}: expected timestamp, value, anomaly_score, label, got "
            f"{', '.join(table)}"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    return Rows(columns[0], columns[1] == 1)


def _windows(labels: BoolArray) -> tuple[IntArray, IntArray]:
    """First and last row of each window."""
    rises = np.diff(labels.astype(int), prepend=0, append=0)
    return np.flatnonzero(rises == 1), np.flatnonzero(rises == -1) - 1
