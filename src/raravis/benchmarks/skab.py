"""A pump with planted faults: the Skoltech Anomaly Benchmark (SKAB), by two rules.

Each experiment is a recording of 8 sensors; its first 400 rows are ordinary and learned from, the
rest is judged.

causal       Every row after the first 400 is judged when it comes, and none is left out. The
             alarm level comes from rows alone: the last 80 to 120 of the first 400, drawn anew
             with each seed, are held out, and `thresholds.Margin` is fitted on their scores.
leaderboard  The published notebooks' rule for windows of 60 rows, all of the rest at once: a
             window alarms where its statistic exceeds 4/3 of the .999 quantile of the learned
             ones, and row i is anomalous where the windows i - 59 .. i - 1 all alarm. So the first
             59 rows and the last 118 are never flagged, and that alone is worth more than any
             published entry: the line "position only" says how much. Ours takes the mean score of
             the rows in a window as its statistic.

F1, false-alarm and miss rates are of the rows of all experiments together; AUROC is the mean over
experiments.

Source: Katser & Kozitsin 2020, doi:10.34740/KAGGLE/DSV/1693952.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from raravis import metrics
from raravis.errors import DataError, ParameterError
from raravis.models import row_scores
from raravis.progress import Progress, silent
from raravis.row_ensemble import closed_form, default_members
from raravis.series.residuals import mean_of_last
from raravis.series.rows import Scaling, Series, filled, strided
from raravis.sources.series import SeriesSource
from raravis.thresholds import Margin
from raravis.windows import BoolArray, FloatArray

Row = dict[str, Any]
Tables = list[dict[str, Any]]

LEARNED = 400  # rows of each experiment
STEPS = 60  # rows of a window of the leaderboard
CHANNELS = 8
HELD_OUT = (80, 121)
GROUPS = ("valve1", "valve2", "other")

PUBLISHED = (
    ("Conv-AE", 0.78, 13.55, 28.02),
    ("MSET", 0.78, 39.73, 14.13),
    ("T2 + Q (PCA)", 0.76, 26.62, 24.92),
    ("LSTM-AE", 0.74, 29.96, 25.92),
    ("T2", 0.66, 19.21, 42.6),
    ("LSTM-VAE", 0.56, 9.13, 55.03),
    ("vanilla LSTM", 0.54, 12.54, 59.53),
    ("vanilla AE", 0.39, 2.59, 75.15),
    ("MSCRED", 0.36, 49.94, 69.88),
    ("isolation forest", 0.29, 2.56, 82.89),
)
"""Leaderboard for outliers, all 35 experiments: entry, F1, false-alarm and miss rate in percent."""


@dataclass(frozen=True)
class Experiment:
    """One recording of the pump; `rest` is what stands after the rows that are learned from."""

    name: str
    series: Series

    @property
    def learned(self) -> FloatArray:
        """The ordinary rows, (400, C)."""
        return filled(self.series.values[:LEARNED])

    @property
    def rest(self) -> FloatArray:
        """The rows that are judged, (n, C)."""
        return filled(self.series.values)[LEARNED:]

    @property
    def labels(self) -> BoolArray:
        """Which of the judged rows are anomalous, (n,)."""
        if self.series.labels is None:
            raise DataError(f"{self.name}: expected a column that says which rows are anomalous")
        return self.series.labels[LEARNED:]


def experiments(data: Path) -> list[Experiment]:
    """All experiments with a fault under `data`, in the order of their names.

    Raises DataError where there are none.
    """
    paths = [path for group in GROUPS for path in sorted((data / group).glob("*.csv*"))]
    if not paths:
        raise DataError(
            f"expected the experiments of SKAB in {data}/valve1, valve2 and other, found none: "
            "give the folder that holds them by --data"
        )
    found = []
    for path in paths:
        source = SeriesSource(path)
        name = f"{path.parent.name}/{path.name.split('.')[0]}"
        found.append(Experiment(name, source.read(0, 0, source.rows[0])))
    return found


def run(
    data: Path,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    parts: Sequence[str] = (),
    out: Path | None = None,
    progress: Progress = silent,
) -> list[Row]:
    """Rows of figures by both rules, with baselines and the published entries.

    data   folder with valve1, valve2 and other in it.
    seeds  of how much is held out for the alarm level, and of the random line.
    parts  "causal", "leaderboard"; none are both.
    out    folder for one CSV file for each experiment, in the layout of the data, with score, alarm
           and the leaderboard's prediction of the first seed.

    Raises DataError where the experiments are not there, ParameterError for an unknown part.
    """
    if unknown := sorted(set(parts) - {"causal", "leaderboard"}):
        raise ParameterError(f"parts must be of causal, leaderboard, got {', '.join(unknown)}")
    found = experiments(data)
    rows: list[Row] = []
    if not parts or "causal" in parts:
        rows += causal(found, seeds, progress)
    if not parts or "leaderboard" in parts:
        rows += leaderboard(found, progress)
    if out is not None:
        write(found, out, seeds[0])
    return rows


# ----------------------------------------------------------------- causal


def causal(found: Sequence[Experiment], seeds: Sequence[int], progress: Progress) -> list[Row]:
    """Figures of every row judged when it comes, means over seeds with their deviation."""
    rows = []
    for number, (name, tables) in enumerate(_detectors().items()):
        progress("causal", number, len(_detectors()))
        rows.append(_over_seeds(name, [_figures(found, tables, seed) for seed in seeds]))
    labels = np.concatenate([experiment.labels for experiment in found])
    random = [np.random.default_rng(seed).random(len(labels)) for seed in seeds]
    lines = {
        "random": [_alarmed(labels, scores > 0.5) for scores in random],
        "always anomalous": [_alarmed(labels, np.ones_like(labels))],
        "always normal": [_alarmed(labels, np.zeros_like(labels))],
    }
    for name, figures in lines.items():
        rows.append(_over_seeds(name, [{**figure, "AUROC": 0.5} for figure in figures]))
    return [{"rule": "causal", **row, "experiments": len(found)} for row in rows]


def _detectors() -> dict[str, Tables]:
    default = default_members(CHANNELS)
    return {
        "raravis without knn": [table for table in default if table["name"] != "knn"],
        "raravis": default,
        "window PCA": [{"name": "window-pca"}],
        "autoregression": [{"name": "autoregression"}],
        "knn": [{"name": "knn"}],
        "Mahalanobis": [{"name": "mahalanobis"}],
        "PCA, T2 + Q": [{"name": "pca"}],
    }


def judge(experiment: Experiment, tables: Tables, seed: int) -> tuple[FloatArray, BoolArray]:
    """Scores and alarms of the judged rows, (n,) each; learned and set from ordinary rows alone."""
    held = int(np.random.default_rng(seed).integers(*HELD_OUT))
    scaling = Scaling().fit([experiment.learned[:-held]])
    learned, rest = scaling.apply(experiment.learned), scaling.apply(experiment.rest)
    model = closed_form(tables).fit([learned[:-held]])
    rows = np.vstack([learned[len(learned) - held - model.context :], rest])
    scores = row_scores(model.contributions(rows))
    threshold = Margin().fit(scores[:held], hours=held / 3600)
    return scores[held:], threshold.alarms(scores[held:])


def _figures(found: Sequence[Experiment], tables: Tables, seed: int) -> dict[str, float]:
    judged = [judge(experiment, tables, seed) for experiment in found]
    labels = [experiment.labels for experiment in found]
    areas = [metrics.auroc(y, scores) for y, (scores, _) in zip(labels, judged, strict=True)]
    alarms = np.concatenate([alarm for _, alarm in judged])
    return {**_alarmed(np.concatenate(labels), alarms), "AUROC": float(np.mean(areas))}


def _alarmed(labels: BoolArray, alarms: BoolArray) -> dict[str, float]:
    return {
        "balanced accuracy": metrics.balanced_accuracy(labels, alarms),
        "F1": metrics.f1(labels, alarms),
        "FAR %": 100 * metrics.false_alarm_rate(labels, alarms),
        "MAR %": 100 * metrics.miss_rate(labels, alarms),
    }


def _over_seeds(name: str, figures: Sequence[dict[str, float]]) -> Row:
    means = {key: float(np.mean([one[key] for one in figures])) for key in figures[0]}
    spread = float(np.std([one["balanced accuracy"] for one in figures]))
    return {"detector": name, **means, "+- over seeds": spread}


# ----------------------------------------------------------------- leaderboard


def leaderboard(found: Sequence[Experiment], progress: Progress) -> list[Row]:
    """Figures by the notebooks' rule, ours and theirs, with what position alone is worth."""
    entries: dict[str, Callable[[Experiment], BoolArray]] = {
        "raravis": predicted,
        "position only": lambda experiment: _windowed(np.ones(len(experiment.rest) - STEPS + 1)),
        "always anomalous": lambda experiment: np.ones_like(experiment.labels),
        "T2 + Q, run here": lambda experiment: t2_and_q(experiment)[1],
        "T2, run here": lambda experiment: t2_and_q(experiment)[0],
    }
    labels = np.concatenate([experiment.labels for experiment in found])
    rows: list[Row] = []
    for number, (name, entry) in enumerate(entries.items()):
        progress("leaderboard", number, len(entries))
        alarms = np.concatenate([entry(experiment) for experiment in found])
        rows.append({"detector": name, **_alarmed(labels, alarms)})
    published = [
        {"rule": "published", "detector": name, "F1": f1, "FAR %": false_alarms, "MAR %": missed}
        for name, f1, false_alarms, missed in PUBLISHED
    ]
    return [
        *({"rule": "leaderboard", **row, "experiments": len(found)} for row in rows),
        *published,
    ]


def predicted(experiment: Experiment) -> BoolArray:
    """Our default by the leaderboard's rule: which of the judged rows are anomalous, (n,)."""
    scaling = Scaling().fit([experiment.learned])
    learned, rest = scaling.apply(experiment.learned), scaling.apply(experiment.rest)
    model = closed_form(default_members(CHANNELS)).fit([learned])
    scores = row_scores(model.contributions(np.vstack([learned, rest])))[:, None]
    seen = len(learned) - model.context
    ordinary, windows = (mean_of_last(part, STEPS)[:, 0] for part in (scores[:seen], scores[seen:]))
    return _windowed(windows > np.quantile(ordinary, 0.999) * 4 / 3)


def _windowed(alarms: FloatArray | BoolArray) -> BoolArray:
    """Rows (n,) that the alarms of windows (n - 59,) make anomalous.

    Row i where windows i - 59 .. i - 1 all alarm; of the rows that the notebooks look at.
    """
    flags = np.zeros(len(alarms) + STEPS - 1, dtype=bool)
    all_of_them = strided(np.asarray(alarms, dtype=np.float64)[:, None], STEPS - 1).min(axis=2)
    looked_at = all_of_them[: len(alarms) - 2 * STEPS + 2, 0] > 0
    flags[STEPS - 1 : STEPS - 1 + len(looked_at)] = looked_at
    return flags


def t2_and_q(experiment: Experiment) -> tuple[BoolArray, BoolArray]:
    """The published control charts on the judged rows: T2 of all channels; T2 or Q of a PCA.

    Medians of 5 rows against limits for 1 in 1000. As in the notebooks, T2 of all channels has to
    exceed twice its limit, and the limit of Q counts what the components leave over as one
    direction, which makes it (1 - 2/9 + z sqrt(2) / 3)^3 of the mean.

    Source: Jackson & Mudholkar 1979, Technometrics 21(3), equation 3.4, with theta_i = theta_1^i.
    """
    mean, deviation = experiment.learned.mean(axis=0), experiment.learned.std(axis=0)
    deviation[deviation == 0] = 1
    learned = (experiment.learned - mean) / deviation
    rest = (experiment.rest - mean) / deviation
    variance, directions = np.linalg.eigh(np.cov(learned.T))  # rising
    count = int((np.cumsum(variance[::-1]) / variance.sum() < 0.85).sum()) + 1
    along = np.square(rest @ directions) / variance  # (n, C)
    left = variance[:-count].sum()
    q = np.square(rest @ directions[:, :-count]).sum(axis=1)
    q_limit = left * (1 - 2 / 9 + stats.norm.ppf(0.999) * np.sqrt(2) / 3) ** 3
    t2 = _rolling_median(along.sum(axis=1)) > 2 * _t2_limit(len(learned), len(variance))
    main = _rolling_median(along[:, -count:].sum(axis=1)) > _t2_limit(len(learned), count)
    return t2, main | (_rolling_median(q) > q_limit)


def _t2_limit(n: int, channels: int) -> float:
    quantile = stats.f.ppf(0.999, channels, n - channels)
    return float(channels * (n - 1) * (n + 1) / (n * (n - channels)) * quantile)


def _rolling_median(values: FloatArray, count: int = 5) -> FloatArray:
    medians = np.full(len(values), -np.inf)  # rows without enough before them are never flagged
    medians[count - 1 :] = np.median(strided(values[:, None], count)[:, 0], axis=1)
    return medians


# ----------------------------------------------------------------- row by row


def write(found: Sequence[Experiment], out: Path, seed: int) -> None:
    """One CSV file for each experiment: datetime; score; alarm; leaderboard; anomaly."""
    for experiment in found:
        path = out / f"{experiment.name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(_lines(experiment, seed)) + "\n")


def _lines(experiment: Experiment, seed: int) -> Iterator[str]:
    yield "datetime;score;alarm;leaderboard;anomaly"
    scores, alarms = judge(experiment, _detectors()["raravis without knn"], seed)
    series, flags = experiment.series, predicted(experiment)
    for row, label in enumerate(experiment.labels):
        time = series.time_s[LEARNED + row]
        when = time if series.start_time is None else series.start_time + timedelta(seconds=time)
        stamp = str(when).removesuffix("+00:00")
        yield f"{stamp};{scores[row]:.6g};{alarms[row]:d};{flags[row]:d};{label:d}"
