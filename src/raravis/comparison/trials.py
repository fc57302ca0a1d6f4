"""One model taught once: what it says of every row, what it cost, and how it came to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from raravis import thresholds
from raravis.comparison.parts import PARTS, TRAIN, VALIDATION, Divided
from raravis.configuration import Table
from raravis.learned import State
from raravis.metrics import accuracy
from raravis.models import RowModel, known_scores
from raravis.row_ensemble import member_names
from raravis.row_networks import RowNetwork, make_members
from raravis.senses import options_of, prefixed
from raravis.series.residuals import FLOOR, ResidualScale
from raravis.series.rows import Scaling, filled
from raravis.thresholds import Threshold
from raravis.windows import BoolArray, FloatArray

SMALLEST = 1e-12  # a level that counts as more than 0
DENSER = 1.2  # epochs looked at lie so much further from the first than those before


@dataclass(frozen=True)
class Lesson:
    """How a model is made and taught.

    name       under which it appears.
    members    tables of the models of rows that it consists of; mostly one.
    threshold  name and options.
    training   options of `Training` for networks that differ from the usual.
    """

    name: str
    members: list[Table]
    threshold: Table
    training: Table


@dataclass
class Curve:
    """A network while it learned, at some of its epochs.

    epoch     1, 2, ...: how many epochs had ended.
    loss      part -> mean squared residual of its ordinary rows.
    accuracy  part -> share of its rows of which the truth was said; empty without labels.
    """

    epoch: list[int] = field(default_factory=list)
    loss: dict[str, list[float]] = field(default_factory=dict)
    accuracy: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """What a model taught with one seed says.

    scores   (N,) of all rows; NaN where a row cannot be scored.
    alarms   (N,) rows above `level`, which ordinary rows of validation set.
    loss     part -> mean of the squared residuals of its ordinary rows, in squared deviations; of
             a model that rebuilds nothing, of its squared scores.
    fit_s    seconds that learning took.
    numbers  how many were learned.
    learned  what was learned, as `RowLayer` saves it; one for each recording where each was taught
             a model of its own, none of a baseline.
    """

    name: str
    seed: int
    scores: FloatArray
    alarms: BoolArray
    level: float
    loss: dict[str, float] = field(default_factory=dict)
    fit_s: float = 0.0
    numbers: int = 0
    curve: Curve = field(default_factory=Curve)
    learned: list[State] = field(default_factory=list)

    @property
    def relative(self) -> FloatArray:
        """Scores (N,) in units of the level: a row alarms above 1."""
        return self.scores / max(self.level, SMALLEST)


def together(trials: Sequence[Trial]) -> Trial:
    """The trials of models that were each taught one recording, as one: scores count in units of
    each model's level, losses are means, costs are sums."""
    if len(trials) == 1:
        return trials[0]
    return Trial(
        name=trials[0].name,
        seed=trials[0].seed,
        scores=np.concatenate([trial.relative for trial in trials]),
        alarms=np.concatenate([trial.alarms for trial in trials]),
        level=1.0,
        loss={
            part: float(np.mean([one.loss[part] for one in trials if part in one.loss]))
            for part in dict.fromkeys(part for one in trials for part in one.loss)
        },
        fit_s=sum(trial.fit_s for trial in trials),
        numbers=sum(trial.numbers for trial in trials),
        curve=trials[0].curve,
        learned=[state for trial in trials for state in trial.learned],
    )


def teach(data: Divided, lesson: Lesson, seed: int, watched: bool = False) -> Trial:
    """Teaches a model on the ordinary rows of train, and sets its level on those of validation.

    watched  also look at a network while it learns, which takes about as long again.
    """
    tables = dict(zip(member_names(lesson.members), lesson.members, strict=True))
    model = make_members(tables, len(data.channels), lesson.training, seed)
    members = model.models
    view = View(data, model.context, lesson.threshold)
    only = next(iter(members.values())) if len(members) == 1 else None
    network = only if isinstance(only, RowNetwork) else None
    curve = Curve()
    if network and watched:
        network.after_epoch = _looking(view, network, curve)
    began = time.perf_counter()
    model.fit(view.lesson())
    took_s = sum(network.history.seconds) if network else time.perf_counter() - began
    contributions = view.contributions(model)
    scores = known_scores(contributions)
    level = view.level(scores)
    state = model.state()
    unit = 1.0 if only is None else _unit(only) * _ordinary(state, next(iter(members)))
    return Trial(
        name=lesson.name,
        seed=seed,
        scores=scores,
        alarms=level.alarms(scores),
        level=float(level.level_),
        loss=view.losses(contributions * unit),
        fit_s=took_s,
        numbers=sum(array.size for array in state.values()),
        curve=curve,
        learned=[_learned(view, members, state, level)],
    )


def _learned(view: View, members: dict[str, RowModel], state: State, level: Threshold) -> State:
    """Everything learned as `RowLayer` restores it: members that are several have own levels."""
    parts = {"scaling": view.scaling.state(), "model": state, "threshold.ensemble": level.state()}
    if len(members) > 1:
        for name, member in members.items():
            own = known_scores(view.contributions(member)) / _ordinary(state, name)
            parts[f"threshold.{name}"] = view.level(own).state()
    learned: State = {"interval_s": np.array(view.data.interval_s)}
    for prefix, part in parts.items():
        learned |= prefixed(prefix, part)
    return learned


def _ordinary(state: State, name: str) -> float:
    """What the score of a member of an ensemble ordinarily is: 1 of the ensemble's."""
    return float(state[f"{name}_.ordinary_"])


class View:
    """Divided rows as models see them: scaled as train was, missing values filled.

    context  rows before a row that a model looks at.
    """

    def __init__(self, data: Divided, context: int, threshold: Table) -> None:
        self.data = data
        self.scaling = Scaling().fit(data.ordinary(TRAIN))
        self._context, self._threshold = context, threshold
        self._rows = [self._seen(data.values[piece]) for piece in data.pieces]
        self._ordinary = data.untouched(context)

    def lesson(self) -> list[FloatArray]:
        """What models learn from: the ordinary stretches (n, C) of train."""
        return [self._seen(rows) for rows in self.data.ordinary(TRAIN)]

    def contributions(self, model: RowModel) -> FloatArray:
        """Of all rows, each channel's, (N, C); NaN where there is none."""
        values = self.data.values
        found = np.full(values.shape, np.nan)
        for piece, rows in zip(self.data.pieces, self._rows, strict=True):
            if len(rows) > model.context:
                found[piece][model.context :] = model.contributions(rows)
        found[np.isnan(values)] = np.nan
        return found

    def level(self, scores: FloatArray) -> Threshold:
        """The threshold that the scores (N,) of ordinary rows of validation set."""
        ordinary = scores[(self.data.part == VALIDATION) & self._ordinary]
        made = thresholds.create(self._threshold["name"], **options_of(self._threshold))
        return made.fit(ordinary, max(1, len(ordinary)) * self.data.interval_s / 3600)

    def losses(self, residuals: FloatArray) -> dict[str, float]:
        """Part -> mean square of the residuals (N, C) of its ordinary rows."""
        squares = np.square(known_scores(residuals))
        usable = self._ordinary & np.isfinite(squares)
        return {
            name: float(squares[usable & (self.data.part == number)].mean())
            for number, name in enumerate(PARTS)
            if (usable & (self.data.part == number)).any()
        }

    def accuracies(self, scores: FloatArray) -> dict[str, float]:
        """Part -> accuracy on its rows; nothing where nothing is labelled."""
        if not self.data.is_labelled:
            return {}
        alarms, known = self.level(scores).alarms(scores), np.isfinite(scores)
        rows = [known & (self.data.part == number) for number in range(len(PARTS))]
        return {
            name: accuracy(self.data.labels[inside], alarms[inside])
            for name, inside in zip(PARTS, rows, strict=True)
            if inside.any()
        }

    def _seen(self, values: FloatArray) -> FloatArray:
        return filled(self.scaling.apply(values), max(1, self._context))


def _looking(view: View, network: RowNetwork, curve: Curve) -> Callable[[int], None]:
    """Notes loss and accuracy after an epoch; ever more rarely, for each look costs."""

    def look(epoch: int) -> None:
        if curve.epoch and epoch + 1 < DENSER * curve.epoch[-1]:
            return
        contributions = view.contributions(network)
        curve.epoch.append(epoch + 1)
        for name, value in view.losses(contributions * _unit(network)).items():
            curve.loss.setdefault(name, []).append(value)
        for name, value in view.accuracies(known_scores(contributions)).items():
            curve.accuracy.setdefault(name, []).append(value)

    return look


def _unit(model: RowModel) -> FloatArray | float:
    """What a contribution of 1 is in deviations, (C,), where a model rebuilds rows; otherwise 1."""
    scale = getattr(model, "scale_", None)
    return scale.ordinary_ + FLOOR if isinstance(scale, ResidualScale) else 1.0
