"""A run held against known events: how well does each scorer tell them from the rest?

Beside the scorers stand chance ("random") and, where the run kept it, loudness: a score that does
not beat them has found nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from raravis.errors import DataError
from raravis.metrics import (
    auroc,
    average_precision,
    bootstrap_interval,
    detection_delay,
    event_recall,
    event_scores,
    labelled_runs,
    recall_at_false_alarms,
    vus_pr,
)
from raravis.sources import RowSource
from raravis.store import Store
from raravis.windows import BoolArray, FloatArray, Recording, Windows

Row = dict[str, Any]


@dataclass(frozen=True)
class Known:
    """Known events of a run's recordings.

    events  where they are; `recording` counts the run's recordings.
    rare    (E,) which are the rare ones; None where the file does not tell common from rare.
    """

    events: Windows
    rare: BoolArray | None


def read_events(path: Path, recordings: Sequence[Recording]) -> Known:
    """Known events from a CSV with columns start_s, end_s[, recording][, rare].

    `recording` is a name in the run, or its file name with or without suffix; it may be missing
    where the run has one recording. Raises DataError where a column or a recording is missing.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the events in {path}: {error}") from error
    missing = {"start_s", "end_s"} - set(table.columns)
    if missing or table.empty:
        raise DataError(
            f"{path} must have columns start_s and end_s and at least one event, "
            f"got columns {', '.join(map(str, table.columns))} and {len(table)} events"
        )
    if "recording" in table.columns:
        index = np.array([_find(str(name), recordings, path) for name in table["recording"]])
    elif len(recordings) == 1:
        index = np.zeros(len(table), dtype=int)
    else:
        raise DataError(
            f"{path} has no column `recording`, and the run has {len(recordings)} recordings"
        )
    times = [pd.to_numeric(table[name], errors="coerce").to_numpy(float) for name in
             ("start_s", "end_s")]  # fmt: skip
    wrong = ~(times[1] > times[0])
    if wrong.any():
        raise DataError(f"{path}: end_s must be above start_s, not so in line {wrong.argmax() + 2}")
    rare = table["rare"].to_numpy() == 1 if "rare" in table.columns else None
    return Known(Windows(index.astype(np.int32), *times), rare)


def rare_frames(path: Path, store: Store) -> BoolArray:
    """Which pictures (N,) of a run are rare, from a CSV with a column frame[, recording][, rare].

    Pictures that it does not name, or with rare = 0, are ordinary. Raises DataError where a column
    or a picture is missing.
    """
    try:
        table = pd.read_csv(path, dtype={"frame": str, "recording": str})
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the pictures in {path}: {error}") from error
    if "frame" not in table.columns:
        raise DataError(
            f"{path} must name the rare pictures in a column `frame`, as {store.folder} calls "
            f"them; got columns {', '.join(map(str, table.columns))}"
        )
    recordings = [recording.name for recording, _ in store.recordings()]
    of = [recordings[number] for number in store.windows("windows").recording]
    own = pd.DataFrame({"recording": of, "frame": store.names("windows")})
    keys = [name for name in ("recording", "frame") if name in table.columns]
    known = pd.MultiIndex.from_frame(own[keys])
    named = pd.MultiIndex.from_frame(table[keys])
    if len(strangers := table.loc[~named.isin(known), "frame"]):
        raise DataError(
            f"{path} names {len(strangers)} pictures that are not in the run, such as "
            f"{strangers.iloc[0]!r}: the run calls them like {own.frame.iloc[0]!r}"
        )
    rare = named if "rare" not in table.columns else named[table["rare"].to_numpy() == 1]
    return np.asarray(known.isin(rare))


def evaluate_frames(store: Store, rare: BoolArray, seed: int = 0) -> list[Row]:
    """One row for each scorer of pictures, brightness among them, and one for chance."""
    scores = {name: store.scores("windows", name)[0] for name in store.scorers("windows")}
    scores["random"] = np.random.default_rng(seed).random(len(rare))
    told = f"{int(rare.sum())} rare / {int((~rare).sum())} other pictures"
    return [{"scorer": n, "told apart": told, **ranked(rare, s)} for n, s in scores.items()]


def ranked(labels: BoolArray, scores: FloatArray, rounds: int = 200) -> Row:
    """AUROC and average precision with 95 % intervals; None where all or none are rare."""
    row: Row = {"auroc": None, "ap": None}
    if 0 < labels.sum() < len(labels):
        for key, metric in (("auroc", auroc), ("ap", average_precision)):
            low, high = bootstrap_interval(metric, labels, scores, rounds=rounds)
            row |= {key: metric(labels, scores), f"{key}_95": f"{low:.2f}–{high:.2f}"}
    return row


def labelled_events(source: RowSource, recordings: Sequence[Recording]) -> Known:
    """Known events of series whose own files say which rows are anomalous.

    Raises DataError where no file does.
    """
    index = {recording.name: number for number, recording in enumerate(recordings)}
    parts = []
    for number, recording in enumerate(source.recordings):
        series = source.read(number, 0, source.rows[number])
        if series.labels is not None and recording.name in index:
            first, stop = labelled_runs(series.labels).T
            ends_s = series.time_s[stop - 1] + source.interval_s
            parts.append(Windows.of(index[recording.name], series.time_s[first], ends_s))
    known = Windows.concatenate(parts)
    if not len(known):
        raise DataError(
            "no recording says which of its rows are anomalous: give the known events as "
            "EVENTS.csv with columns start_s, end_s[, recording]"
        )
    return Known(known, None)


def _find(name: str, recordings: Sequence[Recording], path: Path) -> int:
    for index, recording in enumerate(recordings):
        pure = PurePath(recording.name)
        if name in (recording.name, pure.name, pure.stem):
            return index
    raise DataError(
        f"{path} names the recording {name!r}, which is not in the run: it has "
        + ", ".join(r.name for r in recordings[:5])
        + (" ..." if len(recordings) > 5 else "")
    )


def evaluate(store: Store, known: Known, per_hour: Sequence[float], seed: int = 0) -> list[Row]:
    """One row for each scorer of the fixed windows, and one for chance."""
    windows = store.windows("windows")
    hours = sum(recording.duration_s for recording, _ in store.recordings()) / 3600
    rows = []
    for name in store.scorers("windows"):
        rows.append(judge(name, windows, store.scores("windows", name)[0], known, hours, per_hour))
    chance = np.random.default_rng(seed).random(len(windows))
    return [*rows, judge("random", windows, chance, known, hours, per_hour)]


def evaluate_rows(store: Store, known: Known, shares: Sequence[float], seed: int = 0) -> list[Row]:
    """One row for each scorer of the rows of series, and one for chance.

    shares  of the ordinary rows that may alarm falsely; at each, how many events are found, and
            after how long.
    """
    windows = store.windows("windows")
    scores = {name: store.scores("windows", name)[0] for name in store.scorers("windows")}
    scores["random"] = np.random.default_rng(seed).random(len(windows))
    labels = inside(windows, known.events)
    return [judge_rows(name, windows, one, labels, shares) for name, one in scores.items()]


def judge_rows(
    name: str,
    windows: Windows,
    scores: FloatArray,
    labels: BoolArray,
    shares: Sequence[float],
) -> Row:
    """AUROC and average precision with 95 % intervals, VUS-PR, and events found and how late."""
    scored = np.isfinite(scores)
    windows, scores, labels = windows[scored], scores[scored], labels[scored]
    row: Row = {"scorer": name, "rows": f"{labels.sum():,} of {len(labels):,}"}
    if not 0 < labels.sum() < len(labels):
        return row
    row |= ranked(labels, scores, rounds=100)
    row["vus_pr"] = vus_pr(labels, scores)
    for share in shares:
        alarms = scores > np.quantile(scores[~labels], 1 - share, method="higher")
        found = event_recall(labels, alarms, windows.recording)
        late_s = detection_delay(labels, alarms, windows.start_s, windows.recording)
        row[f"events at {share:g}"] = found
        row[f"delay_s at {share:g}"] = None if np.isnan(late_s) else late_s
    return row


def judge(
    name: str,
    windows: Windows,
    scores: FloatArray,
    known: Known,
    hours: float,
    per_hour: Sequence[float],
) -> Row:
    """AUROC and average precision with 95 % intervals, and recall at so many false alarms.

    Where it is known which events are rare, these are told from the common ones by their highest
    window; otherwise windows that overlap an event from those that do not.
    """
    scored = np.isfinite(scores)
    windows, scores = windows[scored], scores[scored]
    wanted = known.events if known.rare is None else known.events[known.rare]
    if known.rare is not None and 0 < known.rare.sum() < len(known.rare):
        labels, values = known.rare, event_scores(windows, scores, known.events)
        against = f"{int(labels.sum())} rare / {int((~labels).sum())} common events"
    else:
        labels, values = inside(windows, wanted), scores
        against = f"{int(labels.sum())} / {int((~labels).sum())} windows"
    row: Row = {"scorer": name, "told apart": against, **ranked(labels, values)}
    found = recall_at_false_alarms(windows, scores, wanted, hours, np.asarray(per_hour, float))
    return row | {
        f"recall at {rate:g}/h": float(share) for rate, share in zip(per_hour, found, strict=True)
    }


def inside(windows: Windows, events: Windows) -> BoolArray:
    """Which windows (N,) overlap an event by at least half of the shorter of the two."""
    found = np.zeros(len(windows), dtype=bool)
    for recording, start_s, end_s in zip(
        events.recording, events.start_s, events.end_s, strict=True
    ):
        overlap_s = np.minimum(windows.end_s, end_s) - np.maximum(windows.start_s, start_s)
        shorter_s = np.minimum(windows.end_s - windows.start_s, end_s - start_s)
        found |= (windows.recording == recording) & (overlap_s >= 0.5 * shorter_s)
    return found
