"""Trials of settings, one after another or in several processes at once, in a folder that goes on.

    FOLDER/study.sqlite   every trial: settings, figures, why it failed
    FOLDER/material/      recordings in which it is known what is rare, without labels
    FOLDER/trials.csv     one row for each trial
    FOLDER/best.toml      the settings that find most, for --config

Trial 0 is the detector as it was set, with nothing tried, so that the rest stands beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

from raravis.configuration import Table
from raravis.detector import Detector
from raravis.durable import explained, write_atomically
from raravis.errors import ParameterError, RaravisError, RunError
from raravis.progress import Progress, silent
from raravis.scanning.objective import Objective
from raravis.scanning.ranges import ByChance, Range, value_at, with_values

FILES = ("study.sqlite", "trials.csv", "best.toml", "history.png", "importance.png", "lock.sqlite")
BEFORE_PRUNING = 8  # trials that are finished whole, whatever they begin like
FEWEST_TO_SAY = 8  # finished trials, before it is said what mattered
LEAST_LEAD = 2.0  # standard errors over the parts
DRAWN = 64  # settings that are drawn to see whether the ranges are any
WAIT_S = 3600.0  # for another process that prepares the same study

# What a setting may bring about in the numerical libraries, without being any bug of theirs.
BROKEN = (RaravisError, ArithmeticError, MemoryError, RuntimeError, ValueError)


@dataclass(frozen=True)
class Trial:
    """What came of some settings.

    state    "finished", "pruned" (it began worse than most), "failed" or "running".
    figure   of the objective, None where it failed; of the parts that were tried, where pruned.
    parts    the figure of each part.
    values   setting -> value; empty for the detector as it was set.
    why      it failed.
    """

    number: int
    state: str
    figure: float | None
    parts: list[float] = field(default_factory=list)
    values: Table = field(default_factory=dict)
    why: str = ""
    seconds: float = 0.0

    @property
    def is_default(self) -> bool:
        """Whether nothing was tried: the detector as it was set."""
        return not self.values


def optuna() -> ModuleType:
    """The package that chooses what is tried. Raises RunError where it is missing."""
    try:
        import optuna as package
    except ImportError as error:
        raise RunError(
            "a scan needs the package optuna: pip install 'raravis[search]', or pip install optuna"
        ) from error
    package.logging.set_verbosity(package.logging.ERROR)
    return package


def check(ranges: Sequence[Range], config: Table) -> None:
    """Raises ParameterError where the ranges name no settings of this detector, or the same one
    twice; the constructors say what they know."""
    names = [one.setting for one in ranges]
    twice = {name for name in names if names.count(name) > 1}
    if twice or not names:
        raise ParameterError(
            f"expected every setting once, got {', '.join(sorted(twice)) or 'none'}"
        )
    seen: set[str] = set()
    refusal: ParameterError | None = None
    draws = ByChance(np.random.default_rng(0))
    for _ in range(DRAWN):
        values = {one.setting: one.suggest(draws) for one in ranges}
        try:
            made = Detector.from_config(with_values(config, values)).config
        except ParameterError as error:
            refusal = error
            continue
        seen |= {name for name, value in values.items() if _same(value_at(made, name), value)}
    if refusal is not None and not seen:
        raise refusal
    for name in names:
        if name not in seen:
            raise ParameterError(
                f"{name} changes nothing in this detector: name the model that it is a setting "
                "of, as by --model conv-ae, or leave the range out"
            )


def _same(found: Any, value: Any) -> bool:
    return bool(found == value)


class Scan:
    """A study of settings in a folder.

    folder  where it lies; what is there is gone on with.
    config  the detector as it was set, nested tables with its "kind".
    ranges  what is tried.
    seed    of what is tried: trial n is the same, whoever runs it, if the trials before it are.

    Raises RunError where the folder holds another study, or optuna is missing.
    """

    def __init__(
        self, folder: Path, config: Table, ranges: Sequence[Range], about: Table, seed: int = 0
    ) -> None:
        self.folder, self.config, self.ranges, self.seed = folder, config, ranges, seed
        self._optuna = optuna()
        about = {**about, "config": config, "ranges": list(map(str, ranges)), "seed": seed}
        with exclusively(folder):
            self._study = self._optuna.create_study(
                study_name="scan",
                storage=f"sqlite:///{folder / 'study.sqlite'}",
                load_if_exists=True,
                direction="maximize",
                pruner=self._optuna.pruners.MedianPruner(n_startup_trials=BEFORE_PRUNING),
            )
            self._check_same(json.dumps(about, sort_keys=True, default=str))
            self._sweep()

    def _check_same(self, about: str) -> None:
        there = self._study.user_attrs.get("about")
        if there is None:
            self._study.set_user_attr("about", about)
        elif there != about:
            was, now = json.loads(there), json.loads(about)
            names = [name for name in now if was.get(name) != now[name]]
            raise RunError(
                f"{self.folder} holds a scan with other {' and '.join(names)}: give the same to go "
                "on with it, start anew with --overwrite, or choose another --out"
            )

    def _sweep(self) -> None:
        """Trials of processes that are no more on this machine count as failed."""
        running = self._optuna.trial.TrialState.RUNNING
        for trial in self._study.get_trials(deepcopy=False, states=(running,)):
            host, pid = trial.user_attrs.get("by", ("", 0))
            if not host or (host == socket.gethostname() and not _lives(pid)):
                self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)

    # --- trying --------------------------------------------------------------------------------

    def run(self, objective: Objective, trials: int, progress: Progress = silent) -> list[Trial]:
        """Tries settings until the study has so many trials besides the default, by whomever."""
        while (trial := self._next(trials)) is not None:
            progress("trying settings", trial.number, trials + 1)
            self._try(trial, objective)
            self.write()
        self.write()
        progress("trying settings", trials + 1, trials + 1)
        return self.trials()

    def _next(self, trials: int) -> Any:
        """A new trial, or None where there are enough."""
        with exclusively(self.folder):
            there = [trial for trial in self.trials() if trial.why != ENDED]
            if len(there) > trials:
                return None
            trial = self._study.ask()
            trial.set_user_attr("by", (socket.gethostname(), os.getpid()))
            if there:
                # a sampler for each trial: what it draws follows the trials before it alone
                number = self.seed * 100_003 + trial.number
                self._study.sampler = self._optuna.samplers.TPESampler(
                    seed=number, multivariate=False
                )
                for one in self.ranges:
                    one.suggest(trial)
            return trial

    def _try(self, trial: Any, objective: Objective) -> None:
        states = self._optuna.trial.TrialState
        began, figures, values = time.monotonic(), [], trial.params
        state = states.COMPLETE
        try:
            for step, figure in enumerate(objective.figures(with_values(self.config, values))):
                figures.append(figure)
                trial.report(float(np.mean(figures)), step)
                last = step == objective.steps - 1
                if values and not last and trial.should_prune():
                    state = states.PRUNED
                    break
        except BROKEN as error:
            state = states.FAIL
            known = isinstance(error, RaravisError)
            trial.set_user_attr("why", str(error) if known else f"{type(error).__name__}: {error}")
        trial.set_user_attr("parts", figures)
        trial.set_user_attr("seconds", round(time.monotonic() - began, 2))
        finished = state == states.COMPLETE
        self._study.tell(trial, float(np.mean(figures)) if finished else None, state)

    # --- what came of it -------------------------------------------------------------------------

    def trials(self) -> list[Trial]:
        """All trials, in order."""
        return [_trial(one) for one in self._study.get_trials(deepcopy=False)]

    def best(self) -> Trial | None:
        """The trial whose settings are taken; None where none was finished."""
        return chosen(self.trials())

    def as_set(self) -> Table:
        """Setting -> its value in the detector as it was set, for those that are tried."""
        config = Detector.from_config(self.config).config
        return {one.setting: value_at(config, one.setting) for one in self.ranges}

    def settings(self, trial: Trial) -> Table:
        """The settings of a trial, for `Detector.from_config`."""
        return with_values(self.config, trial.values)

    def write(self) -> None:
        """trials.csv and best.toml, as things stand."""
        trials = self.trials()
        rows = [
            {"trial": t.number, "state": t.state, "figure": t.figure}
            | {f"part {number + 1}": figure for number, figure in enumerate(t.parts)}
            | {one.setting: t.values.get(one.setting) for one in self.ranges}
            | {"seconds": t.seconds, "why": t.why}
            for t in trials
        ]
        write_atomically(self.folder / "trials.csv", pd.DataFrame(rows).to_csv(index=False))
        best = chosen(trials)
        if best is not None:
            head = f"# trial {best.number} of a scan: {best.figure:.4f}\n"
            write_atomically(self.folder / "best.toml", head + tomli_w.dumps(self.settings(best)))

    def importances(self) -> dict[str, float]:
        """How much of what differs among trials each setting explains, summing to 1; empty where
        too few were finished to say."""
        done = [
            trial
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state == self._optuna.trial.TrialState.COMPLETE and trial.params
        ]
        if (
            len(done) < max(FEWEST_TO_SAY, 2 * len(self.ranges))
            or len({trial.value for trial in done}) < 2
        ):
            return {}
        alone = self._optuna.create_study(direction="maximize")
        alone.add_trials(done)
        evaluator = self._optuna.importance.FanovaImportanceEvaluator(seed=self.seed)
        found = self._optuna.importance.get_param_importances(alone, evaluator=evaluator)
        return {name: float(share) for name, share in found.items()}


ENDED = "its process ended"
STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}


def _trial(frozen: Any) -> Trial:
    state = STATES.get(frozen.state.name, "running")
    notes: Mapping[str, Any] = frozen.user_attrs
    why = notes.get("why", ENDED) if state == "failed" else ""
    return Trial(
        frozen.number, state, frozen.value, notes.get("parts", []), dict(frozen.params), why,
        notes.get("seconds", 0.0),
    )  # fmt: skip


def chosen(trials: Sequence[Trial]) -> Trial | None:
    """The finished trial with the highest figure, or the detector as it was set, where the other
    does not lead by more than two standard errors over the parts: among many trials one always
    looks better by chance.

    Source: after the one-standard-error rule of Breiman et al. 1984, Classification and Regression
    Trees, section 3.4.3; ours is of differences in pairs, and twice as strict.
    """
    finished = [trial for trial in trials if trial.state == "finished"]
    best = max(finished, key=lambda trial: trial.figure or 0.0, default=None)
    default = next((trial for trial in finished if trial.is_default), None)
    if best is None or default is None or len(best.parts) < 2:
        return best
    leads = np.subtract(best.parts, default.parts)
    error = leads.std(ddof=1) / np.sqrt(len(leads))
    return best if leads.mean() > LEAST_LEAD * error else default


def make_room(folder: Path, overwrite: bool) -> None:
    """Makes the folder, and clears what a scan left in it where that is to be replaced.

    Raises RunError where it cannot be written.
    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if overwrite:
            shutil.rmtree(folder / "material", ignore_errors=True)
            for name in FILES:
                (folder / name).unlink(missing_ok=True)


@contextmanager
def exclusively(folder: Path) -> Iterator[None]:
    """What only one process at a time may do in this folder; a kill sets it free."""
    lock = sqlite3.connect(folder / "lock.sqlite", timeout=WAIT_S, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        lock.close()


def _lives(pid: int) -> bool:
    """Whether another process of this number runs on this machine."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
