"""Several models on the same rows, each with several seeds, beside what needs no model at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from raravis import thresholds
from raravis.comparison.measures import OF_ALARMS, OF_SCORES, measure, reaches_target
from raravis.comparison.noise import Interval, block_interval, t_interval
from raravis.comparison.parts import TEST, Divided, divide
from raravis.comparison.trials import Lesson, Trial, teach, together
from raravis.configuration import Table
from raravis.errors import ParameterError
from raravis.progress import Progress, silent
from raravis.row_ensemble import default_members
from raravis.row_networks import complete_member, make_member, row_models
from raravis.senses import named, options_of
from raravis.sources import RowSource
from raravis.windows import BoolArray

DEFAULT = "default"  # the ensemble that a detector uses where no model is named
USUAL = ("dense-ae", "conv1d-ae", "lstm-ae", "vae", "pca", DEFAULT)
HEADLINES = ("balanced_accuracy", "auroc", "auprc")
"""Measures whose differences are held against noise."""


@dataclass(frozen=True)
class Contest:
    """What is compared, and how.

    models     names of registered models of rows or networks; "default" is the usual ensemble.
    seeds      how many seeds each is taught with, >= 1.
    split      shares of train, validation and test, by time.
    window     rows that are looked at together, in all single models that have such a setting; None
               leaves each its own.
    threshold  a name, or a table with options.
    training   options of `Training` for networks, such as {"epochs": 20}.
    options    options of single models: {"lstm-ae": {"window": 32}}.
    rounds     of the bootstrap over stretches of the test part.
    each       every recording gets models of its own, taught by it alone, instead of one for all.
    """

    models: Sequence[str] = USUAL
    seeds: int = 5
    split: Sequence[float] = (70, 15, 15)
    window: int | None = None
    threshold: str | Table = "tail"
    training: Table = field(default_factory=dict)
    options: Table = field(default_factory=dict)
    rounds: int = 200
    each: bool = False

    def __post_init__(self) -> None:
        known = [*row_models(), DEFAULT]
        for name in self.models:
            if name not in known:
                raise ParameterError(f"unknown model {name!r}: choose among {', '.join(known)}")
        if not self.models or len(set(self.models)) < len(self.models):
            raise ParameterError(
                f"expected models to compare, each once, got {', '.join(self.models) or 'none'}"
            )
        for name in self.options:
            if name not in self.models or name == DEFAULT:
                raise ParameterError(
                    f"there are settings for {name!r}, which is neither threshold nor training nor "
                    f"a single model among those compared: {', '.join(self.models)}"
                )
        if self.seeds < 1:
            raise ParameterError(f"seeds must be >= 1, got {self.seeds}")
        threshold = named(self.threshold)
        thresholds.create(threshold["name"], **options_of(threshold))  # refuses what it cannot be

    def lesson(self, name: str, channels: int) -> Lesson:
        """How one of the models is made for rows of so many channels."""
        if name == DEFAULT:
            return Lesson(name, default_members(channels), named(self.threshold), self.training)
        table = {"name": name, **self.options.get(name, {})}
        if self.window is not None and "window" in complete_member(table, 0):
            table = {"window": self.window, **table}
        return Lesson(name, [table], named(self.threshold), self.training)


@dataclass(frozen=True)
class Line:
    """One model, or one of the baselines, in the table.

    trials    one for each seed.
    found     one table of measures for each trial.
    baseline  whether it looks at no row at all.
    """

    name: str
    trials: list[Trial]
    found: list[dict[str, float]]
    baseline: bool = False

    @property
    def means(self) -> dict[str, float]:
        """Measure -> mean over seeds. One that some seed could not give (a delay where nothing was
        found) is the mean of the others."""
        names = dict.fromkeys(name for one in self.found for name in one)
        return {name: float(np.mean(self.values(name))) for name in names}

    def values(self, measure: str) -> list[float]:
        """A measure with each seed that gave it."""
        return [one[measure] for one in self.found if measure in one]

    def interval(self, measure: str) -> Interval | None:
        """Where the mean over all seeds lies with 95 %; None for one seed."""
        return t_interval(self.values(measure))

    @property
    def kept(self) -> Trial:
        """The trial whose network is kept: the least loss on validation, which saw no label."""
        return min(self.trials, key=lambda trial: trial.loss.get("validation", np.inf))

    @property
    def reaches_target(self) -> bool | None:
        """Whether the mean trial is as accurate as is asked for; None where that is unknown."""
        return reaches_target(self.means)


@dataclass(frozen=True)
class Difference:
    """How far a model lies behind the best one, and whether that could be chance.

    by         best - model, mean over seeds.
    of_seeds   95 % interval of it over pairs of seeds; None where all seeds agree, or for one seed.
    of_rows    95 % interval over stretches of the test part; None where events are too few.
    """

    measure: str
    best: str
    model: str
    by: float
    of_seeds: Interval | None
    of_rows: Interval | None

    @property
    def is_noise(self) -> bool:
        """Whether an interval holds 0, or nothing could be said."""
        intervals = [one for one in (self.of_seeds, self.of_rows) if one is not None]
        return not intervals or any(low <= 0 <= high for low, high in intervals)


@dataclass(frozen=True)
class Comparison:
    """What came of a contest.

    lines        models in the order asked for, then baselines.
    differences  of each model from the best one, for each of HEADLINES.
    agreement    rank correlation of scores on the test part, models by models.
    judged       (N,) rows that every model could score.
    """

    contest: Contest
    data: Divided
    lines: list[Line]
    differences: list[Difference]
    agreement: pd.DataFrame
    judged: BoolArray
    remarks: list[str]

    @property
    def models(self) -> list[Line]:
        """The lines that are no baselines."""
        return [line for line in self.lines if not line.baseline]

    def best(self, measure: str) -> Line | None:
        """The model whose mean is highest; None where nothing tells."""
        able = [line for line in self.models if line.values(measure)]
        return max(able, key=lambda line: line.means[measure], default=None)

    def table(self) -> pd.DataFrame:
        """One row for each line: every measure's mean, and the ends of its 95 % interval."""
        rows = []
        for line in self.lines:
            row: dict[str, Any] = {
                "model": line.name,
                "baseline": line.baseline,
                "seeds": len(line.trials),
                "reaches_target": line.reaches_target,
            }
            for name, mean in line.means.items():
                low, high = line.interval(name) or (np.nan, np.nan)
                row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
            rows.append(row)
        return pd.DataFrame(rows)


def compare(
    source: RowSource, contest: Contest | None = None, progress: Progress = silent
) -> Comparison:
    """Teaches every model with every seed on the earlier rows, and judges them on the later ones.

    Raises ParameterError for unknown names and settings, DataError where rows are too few.
    """
    contest = contest or Contest()
    data = divide(source, contest.split)
    taught = data.apart() if contest.each else [data]
    lessons = {name: contest.lesson(name, len(data.channels)) for name in contest.models}
    for table in (table for lesson in lessons.values() for table in lesson.members):
        make_member(table, len(data.channels), contest.training, 0)  # refuses before hours pass
    trials: dict[str, list[Trial]] = {name: [] for name in contest.models}
    rounds = list(product(contest.models, range(contest.seeds)))
    for done, (name, seed) in enumerate(rounds):
        progress("comparing", done, len(rounds))
        several = [teach(one, lessons[name], seed, watched=seed == 0) for one in taught]
        trials[name].append(together(several))
    progress("comparing", len(rounds), len(rounds))
    judged = np.logical_and.reduce(
        [np.isfinite(trial.scores) for several in trials.values() for trial in several]
    )
    remarks = [f"{remark[0].upper()}{remark[1:]}" for remark in data.remarks]
    if missing := int((~judged & (data.part == TEST)).sum()):
        remarks.append(f"{missing} rows of test could not be scored by all models: left out")
    remarks += source.remarks
    everything = {**trials, **_baselines(data, contest.seeds)}
    lines = [
        Line(name, several, [measure(data, trial, judged) for trial in several], name not in trials)
        for name, several in everything.items()
    ]
    models = lines[: len(trials)]
    differences = [
        difference
        for name in HEADLINES
        for difference in _differences(data, judged, models, name, contest.rounds)
    ]
    return Comparison(
        contest, data, lines, differences, _agreement(data, judged, models), judged, remarks
    )


def _baselines(data: Divided, seeds: int) -> dict[str, list[Trial]]:
    """What is said without looking: nothing that does no better is worth its name."""
    if not data.is_labelled:
        return {}
    rows = len(data.part)
    always, never = np.ones(rows, dtype=bool), np.zeros(rows, dtype=bool)
    constant = np.zeros(rows)
    mostly = always if data.labels[data.part == TEST].mean() > 0.5 else never
    coins = [np.random.default_rng(seed).random(rows) for seed in range(seeds)]
    return {
        "random": [Trial("random", i, coin, coin > 0.5, 0.5) for i, coin in enumerate(coins)],
        "always normal": [Trial("always normal", 0, constant, never, np.inf)],
        "always anomalous": [Trial("always anomalous", 0, constant, always, -np.inf)],
        "majority": [Trial("majority", 0, constant, mostly, np.inf)],
    }


def _differences(
    data: Divided, judged: BoolArray, models: list[Line], measure: str, rounds: int
) -> list[Difference]:
    """Of every model from the one with the highest mean."""
    able = [line for line in models if line.values(measure)]
    if len(able) < 2:
        return []
    best = max(able, key=lambda line: line.means[measure])
    test = judged & (data.part == TEST)
    metric = {**OF_ALARMS, **OF_SCORES}[measure]

    def said(line: Line) -> list[Any]:
        of = [one.alarms if measure in OF_ALARMS else one.scores for one in line.trials]
        return [values[test] for values in of]

    differences = []
    for line in able:
        if line is best:
            continue
        pairs = zip(best.values(measure), line.values(measure), strict=True)
        apart = [one - other for one, other in pairs]
        differences.append(
            Difference(
                measure,
                best.name,
                line.name,
                float(np.mean(apart)),
                t_interval(apart) if len(set(apart)) > 1 else None,
                block_interval(metric, data.labels[test], said(best), said(line), rounds),
            )
        )
    return differences


def _agreement(data: Divided, judged: BoolArray, models: list[Line]) -> pd.DataFrame:
    test = judged & (data.part == TEST)
    scores = pd.DataFrame({line.name: line.kept.scores[test] for line in models})
    return scores.corr(method="spearman")
