"""One channel, row by row, on the Numenta Anomaly Benchmark (NAB), and on series beside it.

corpus     All 58 files, one fixed configuration, each row judged from the rows before it alone.
           Beside it the published leaderboard, whose best entries know each file's smallest and
           largest value in advance. The threshold is chosen by the labels, as NAB does.
held out   NAB has no training part. So for each of the seven groups of files the configuration,
           out of a declared few, and the threshold are chosen on the other six. The chain itself
           was shaped on all seven, which this does not undo.
elsewhere  The same chain, unchanged, on series of another kind, beside simple detectors whose
           scores go through the same refractory.

`score` gives the final scores of anyone's results row by row.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raravis.errors import DataError, ParameterError
from raravis.metrics import auroc
from raravis.novelty import JudgedRows, NoveltyChain
from raravis.novelty.speaking import Refractory
from raravis.novelty.tails import ExcessTail
from raravis.progress import Progress, silent
from raravis.series import nab
from raravis.sources.series import SeriesSource
from raravis.windows import BoolArray, FloatArray

Table = list[dict[str, Any]]

PARTS = ("corpus", "held out", "elsewhere")
DETECTOR = "raravis"
CALLED = {
    "standard": "standard",
    "low FP": "reward_low_FP_rate",
    "low FN": "reward_low_FN_rate",
}
WEIGHTS = (
    (1.0, 1.0, 1.0, 0.5, 0.5),
    (1.0, 1.0, 1.0, 1.0, 1.0),
    (1.0, 1.0, 1.0, 0.5, 0.0),
    (1.0, 0.0, 1.0, 0.5, 0.5),
    (1.0, 1.0, 0.5, 0.5, 0.5),
)
SHARES = (0.03, 0.05, 0.08)
"""The declared configurations: weights of the families, and shares of the refractory."""

FALSE_ALARMS = 1e-3  # share of ordinary rows that may alarm where recall is measured
NEAR = 100  # rows beside the labelled ones in which the strangest row still is a hit


@dataclass(frozen=True)
class File:
    """One file of the corpus."""

    name: str
    times: pd.Series
    values: FloatArray
    labels: BoolArray


def run(
    data: Path,
    out: Path | None = None,
    parts: Sequence[str] = (),
    progress: Progress = silent,
) -> Table:
    """The rows to print. `out` is where results row by row are written, in NAB's own layout.

    Raises DataError where `data` does not hold nab/ as it is published, ParameterError for an
    unknown part.
    """
    for part in parts:
        if part not in PARTS:
            raise ParameterError(f"unknown part {part!r}: choose of {', '.join(PARTS)}")
    chosen = parts or ("corpus", "held out")
    rows: Table = []
    if set(chosen) & {"corpus", "held out"}:
        rows += _corpus(data, out, chosen, progress)
    if "elsewhere" in chosen:
        rows += elsewhere(data, progress)
    return rows


def score(folder: Path, data: Path | None = None) -> Table:
    """Final scores of the results row by row in a folder, with the best thresholds.

    data  with nab/ in it: gives the scores at the published thresholds too, where there are some.
    """
    rows = []
    thresholds = _json(data / "nab" / "config" / "thresholds.json") if data else {}
    for detector, corpus in nab.read_results(folder).items():
        found = nab.final_scores(corpus)
        rows.append({"detector": detector, "threshold": "best", "files": len(corpus)})
        for profile, (best, threshold) in found.items():
            rows[-1] |= {profile: round(best, 2), f"{profile} threshold": threshold}
        if detector in thresholds:
            rows.append({"detector": detector, "threshold": "published", "files": len(corpus)})
            rows[-1] |= _at_published(corpus, thresholds[detector])
    return rows


# --- the corpus ----------------------------------------------------------------------------------


def read_corpus(folder: Path) -> Iterator[File]:
    """The files of NAB's data with their windows. Raises DataError where they are not there."""
    for name, windows in _json(folder / "labels" / "combined_windows.json").items():
        path = folder / "data" / name
        try:
            table = pd.read_csv(path)
        except OSError as error:
            raise DataError(f"NAB's {name} is not in {folder / 'data'}: {error}") from error
        labels = nab.in_windows(pd.to_datetime(table["timestamp"]), windows)
        values = table["value"].to_numpy(dtype=np.float64)
        yield File(name.removesuffix(".csv"), table["timestamp"], values, labels)


def _corpus(data: Path, out: Path | None, parts: Sequence[str], progress: Progress) -> Table:
    files = list(read_corpus(data / "nab"))
    judged = []
    start = time.process_time()
    for number, file in enumerate(files):
        progress("judging", number, len(files))
        times = pd.to_datetime(file.times).to_numpy()
        judged.append(NoveltyChain().judge(file.values, times))
    seconds = time.process_time() - start
    if out is not None:
        for file, rows in zip(files, judged, strict=True):
            group, name = file.name.split("/")
            path = out / DETECTOR / group / f"{DETECTOR}_{name}.csv"
            nab.write_results(path, file.times, file.values, rows.score, file.labels)
    table: Table = []
    if "corpus" in parts:
        count = sum(len(file.values) for file in files)
        table += _leaderboard(data, _together(files, [rows.score for rows in judged]))
        table[0] |= {"CPU s": round(seconds, 1), "rows per CPU s": round(count / seconds)}
    if "held out" in parts:
        table += held_out(files, judged)
    return table


def _leaderboard(data: Path, corpus: dict[str, nab.Rows]) -> Table:
    """Ours and what was published, best first."""
    random = np.random.default_rng(0)
    drawn = {n: nab.Rows(random.random(len(r.labels)), r.labels) for n, r in corpus.items()}
    rows = [
        {"detector": name, "from": "this run"}
        | {profile: round(value, 2) for profile, (value, _) in nab.final_scores(own).items()}
        for name, own in ((DETECTOR, corpus), ("random", drawn))
    ]
    published = [
        {"detector": name, "from": "published"}
        | {profile: round(theirs[called], 2) for profile, called in CALLED.items()}
        for name, theirs in _json(data / "nab" / "results" / "final_results.json").items()
    ]
    return rows[:1] + sorted(rows[1:] + published, key=lambda row: -row["standard"])


def held_out(files: Sequence[File], judged: Sequence[JudgedRows]) -> Table:
    """Scores where each group was judged by what was chosen on the others.

    configuration  out of the declared ones, by the same profile; "default" is never changed.
    """
    declared = [
        _together(files, [spoken(rows, weights, share) for rows in judged])
        for weights in WEIGHTS
        for share in SHARES
    ]
    default = [_together(files, [rows.score for rows in judged])]
    table = []
    for name, several in (("configuration and threshold", declared), ("threshold", default)):
        row: dict[str, Any] = {"detector": DETECTOR, "from": f"{name} chosen on the other groups"}
        for profile, costs in nab.PROFILES.items():
            row[profile] = round(_held_out(several, costs), 2)
        table.append(row)
    return table


def _held_out(declared: Sequence[dict[str, nab.Rows]], profile: nab.Profile) -> float:
    total = 0.0
    for group in sorted({name.split("/")[0] for name in declared[0]}):
        choices = []
        for corpus in declared:
            others = [rows for name, rows in corpus.items() if name.split("/")[0] != group]
            threshold, best = nab.best_threshold(others, profile)
            own = [rows for name, rows in corpus.items() if name.split("/")[0] == group]
            choices.append((best, nab.raw_score(own, profile, threshold)))
        total += max(choices, key=lambda choice: choice[0])[1]
    windows = sum(rows.windows for rows in declared[0].values())
    return nab.normalised(total, windows, profile)


def spoken(judged: JudgedRows, weights: Sequence[float], share: float) -> FloatArray:
    """Scores (n,) as a chain with these weights and this refractory would have given them."""
    combined = np.zeros(len(judged.score))
    for weight, novelty in zip(weights, judged.families.T, strict=True):
        combined += weight * np.nan_to_num(novelty)
    found = let_speak(combined, share)
    return np.asarray(np.where(np.isnan(judged.score), np.nan, found / (1.0 + found)))


def let_speak(scores: FloatArray, share: float = 0.05) -> FloatArray:
    """Scores (n,) after the chain's refractory."""
    speak = Refractory(share, 300, 1.2)
    return np.array([speak(row, score) for row, score in enumerate(scores.tolist())])


def _together(files: Sequence[File], scores: Sequence[FloatArray]) -> dict[str, nab.Rows]:
    return {f.name: nab.Rows(s, f.labels) for f, s in zip(files, scores, strict=True)}


def _at_published(corpus: dict[str, nab.Rows], thresholds: Any) -> dict[str, float]:
    windows = sum(rows.windows for rows in corpus.values())
    found = {}
    for profile, costs in nab.PROFILES.items():
        threshold = thresholds[CALLED[profile]]["threshold"]
        raw = nab.raw_score(corpus.values(), costs, threshold)
        found[profile] = round(nab.normalised(raw, windows, costs), 2)
        found[f"{profile} threshold"] = threshold
    return found


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {path}: give the folder that holds nab/ as it is published, with "
            f"config, data, labels and results in it ({error})"
        ) from error


# --- elsewhere -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Channel:
    """One channel of a series; what comes before row `judged_from` is not counted."""

    values: FloatArray
    labels: BoolArray
    judged_from: int


def _ours(values: FloatArray, seed: int) -> FloatArray:
    families = NoveltyChain().judge(values).families
    return np.asarray(np.nan_to_num(families) @ np.array(WEIGHTS[0]))


def _random(values: FloatArray, seed: int) -> FloatArray:
    """Drawn with a heavy tail, so that the refractory lets some of them speak."""
    return 1.0 / (1.0 - np.random.default_rng(seed).random(len(values)))


def _steps(values: FloatArray, seed: int) -> FloatArray:
    """The exponential tail of |x(t) - x(t - 1)|."""
    tail = ExcessTail(120, 160, 10_000)
    steps = np.abs(np.diff(values, prepend=values[:1])).tolist()
    return np.array([tail(row, step) for row, step in enumerate(steps)])


def _gaussian(values: FloatArray, seed: int) -> FloatArray:
    """Deviations from the mean of the 1000 rows before."""
    before = pd.Series(values).rolling(1000, min_periods=120)
    mean, deviation = before.mean().shift(), before.std().shift()
    return np.asarray(np.nan_to_num(np.abs(values - mean) / (deviation + 1e-9)))


DETECTORS: dict[str, Callable[[FloatArray, int], FloatArray]] = {
    DETECTOR: _ours,
    "|dx| tail": _steps,
    "windowed Gaussian": _gaussian,
    "random": _random,
}


def elsewhere(data: Path, progress: Progress = silent) -> Table:
    """How each detector finds the events of series that the chain was not made for."""
    sets = {
        "UCR": partial(_channels, data / "ucr_anomaly"),
        "ECG": partial(_channels, data / "ecg_mba"),
        "SKAB, single channels": partial(_channels, data / "skab" / "valve1", learned=400),
        "SMD, every fifth channel": partial(_channels, data / "smd", every=5),
    }
    table: Table = []
    for number, (name, read) in enumerate(sets.items()):
        channels = list(read())
        for at, (detector, find) in enumerate(DETECTORS.items()):
            progress("elsewhere", number * len(DETECTORS) + at, len(sets) * len(DETECTORS))
            row = {"set": name, "detector": detector, "channels": len(channels)}
            table.append(row | _measured(find, channels))
    return table


def _channels(folder: Path, every: int = 1, learned: int = 160) -> Iterator[Channel]:
    """Every so many channels of labelled series, if they move. Raises DataError without any.

    learned  rows at the beginning that are ordinary by the set's own rule and do not count, where
             its files do not say so themselves.
    """
    source = SeriesSource(folder)
    for recording, rows in enumerate(source.rows):
        series = source.read(recording, 0, rows)
        judged_from = source.learn_until[recording] or learned
        for column in series.values.T[::every]:
            if series.labels is not None and np.ptp(column) > 0:
                yield Channel(np.nan_to_num(column), series.labels, judged_from)


def _measured(
    find: Callable[[FloatArray, int], FloatArray], channels: Sequence[Channel]
) -> dict[str, float]:
    """Means over channels: AUROC of all scores, recall and hits of those that may speak."""
    found = []
    for seed, channel in enumerate(channels):
        scores = find(channel.values, seed)
        speaking, labels = let_speak(scores)[channel.judged_from :], channel.labels
        labels = labels[channel.judged_from :]
        found.append(
            (
                auroc(labels, scores[channel.judged_from :]),
                event_recall(labels, speaking, FALSE_ALARMS),
                is_hit(labels, speaking, NEAR),
            )
        )
    means = np.mean(found, axis=0)
    keys = ("AUROC", "event recall at 1 false alarm in 1000 rows", "strangest row within 100")
    return {key: round(float(mean), 3) for key, mean in zip(keys, means, strict=True)}


def event_recall(labels: BoolArray, scores: FloatArray, rate: float) -> float:
    """Share of labelled runs with a score above all but `rate` of the scores of other rows."""
    ordinary = np.sort(scores[~labels])[::-1]
    level = ordinary[min(math.floor(rate * len(ordinary)), len(ordinary) - 1)]
    edges = np.flatnonzero(np.diff(labels.astype(int), prepend=0, append=0))
    best = np.maximum.reduceat(np.append(scores, -np.inf), edges)[::2]
    return float((best > level).mean())


def is_hit(labels: BoolArray, scores: FloatArray, near: int) -> bool:
    """Whether the highest score stands at most `near` rows from a labelled one."""
    return bool(np.abs(np.flatnonzero(labels) - int(np.argmax(scores))).min() <= near)
