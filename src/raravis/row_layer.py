"""Rows of series, learned from and judged: scale, members, thresholds; in files and as they come.

A batch of rows and rows that come one by one take the same way, so that they get the same scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from raravis import thresholds
from raravis.configuration import Table
from raravis.errors import DataError, ParameterError
from raravis.journal import SILENT, Journal
from raravis.learned import State
from raravis.left_out import too_short
from raravis.models import known_scores, row_scores
from raravis.row_ensemble import RowEnsemble
from raravis.row_networks import RowNetwork, complete_training, is_network, make_members
from raravis.row_pruning import Dropped, Kept, cut, everything, leave_out
from raravis.series.rows import Scaling, Series, filled, unbroken
from raravis.training import Training
from raravis.windows import BoolArray, FloatArray

PIECES = 20  # into which what is learned from is cut, to hold some of them out
HELD = 5  # every fifth piece is held out while the level of alarms is learned
BREAK = 10.0  # a pause longer than so many usual intervals breaks a series


@dataclass(frozen=True)
class Verdict:
    """What is said of n rows.

    score          (n,) higher is stranger; NaN where a row cannot be scored: at a start, where too
                   few rows stand before it, or where most of its channels are missing.
    p_value        (n,) share of ordinary rows that would score at least as high.
    alarm          (n,) whether the score is above the level.
    contributions  (n, C) each channel's part; the score is the root of their mean square.
    members        name -> (n,) scores of the members of an ensemble.
    """

    score: FloatArray
    p_value: FloatArray
    alarm: BoolArray
    contributions: FloatArray
    members: dict[str, FloatArray]

    def __len__(self) -> int:
        return len(self.score)


class RowLayer:
    """Learns what is ordinary in rows, and judges rows.

    members     name -> name and options of a model of rows; several make an ensemble.
    threshold   name and options.
    channels    how many; interval_s, the usual time from row to row.
    training    options of `Training`, for networks. Its rule for pruning also holds for models in
                closed form: these leave rows out, together; see `raravis.row_pruning`.

    dropped     what each of them left out of the stretches that were learned from.
    """

    name = "windows"

    def __init__(
        self,
        members: dict[str, Table],
        threshold: Table,
        channels: int,
        training: Table,
        seed: int,
    ) -> None:
        self.scaling = Scaling()
        self.interval_s = 1.0
        self._members, self._channels = members, channels
        self._training, self._seed = training, seed
        self.dropped: list[Dropped] = []
        self.model = self._fresh(members)
        options = {k: v for k, v in threshold.items() if k != "name"}
        self.thresholds = {
            name: thresholds.create(threshold["name"], **options) for name in ("ensemble", *members)
        }

    def _fresh(self, members: dict[str, Table]) -> RowEnsemble:
        return make_members(members, self._channels, self._training, self._seed)

    @property
    def lookback(self) -> int:
        """Rows before a row that its score may depend on."""
        return 2 * self.model.context  # as many again, from which missing values are filled

    # --- learning ----------------------------------------------------------------------------

    def learn(
        self, stretches: Sequence[FloatArray], interval_s: float, journal: Journal = SILENT
    ) -> None:
        """Learns from stretches (n, C) in the channels' own units, NaN where a value is missing.

        The level of alarms is learned from pieces that the model had not seen, spread evenly over
        the time, whatever it would have left out; then the model learns from everything.
        """
        self.interval_s = float(interval_s)
        context = self.model.context
        scaled, numbers = self._scaled(stretches)
        journal.progress("learning", 0, 2)
        seen, held = held_out(scaled, 4 * context)
        self._fit(seen, journal.within("held-out"))
        judged = [self.model.judge(rows) for rows in held]
        journal.progress("learning", 1, 2)
        for name, threshold in self.thresholds.items():
            ordinary = np.concatenate(
                [
                    row_scores(contributions) if name == "ensemble" else scores[name]
                    for contributions, scores in judged
                ]
            )
            threshold.fit(ordinary, max(1, len(ordinary)) * self.interval_s / 3600)
        self.model = self._fresh(self._members)
        self._note_dropped(self._fit(scaled, journal), numbers, journal.remark)
        journal.progress("learning", 2, 2)

    def _fit(self, stretches: Sequence[FloatArray], journal: Journal) -> Kept:
        """Teaches the model with what is kept of the stretches."""
        self._hand_on(journal)
        kept = self._kept(stretches)
        self.model.fit(cut(stretches, kept.pieces))
        return kept

    def _kept(self, stretches: Sequence[FloatArray]) -> Kept:
        """What the members in closed form leave, by the rule for pruning, if there is one."""
        pruning = Training(**complete_training(self._training, self._seed)).pruning()
        closed = {k: table for k, table in self._members.items() if not is_network(table)}
        if pruning is None or not closed:
            return everything(stretches)
        return leave_out(lambda: self._fresh(closed), stretches, pruning, self.model.context)

    def _note_dropped(
        self, kept: Kept, numbers: Sequence[int], remark: Callable[[str], None]
    ) -> None:
        """Gathers what was left out; `numbers` are those of the stretches learned from."""
        pieces = np.array([(numbers[p.stretch], p.first) for p in kept.pieces])
        self.dropped = []
        if kept.dropped is not None:
            where = kept.dropped.where.copy()
            where[:, 0] = np.array(numbers)[where[:, 0]]
            self.dropped.append(replace(kept.dropped, where=where))
        for name, model in self.model.models.items():
            if not isinstance(model, RowNetwork) or model.training.prune == "none":
                continue
            if not model.history.looks:
                remark(too_short(name, len(model.history), model.training.prune_first))
            else:
                stretch, first = pieces[model.left_out[:, 0]].T
                where = np.column_stack([stretch, *(first + model.left_out[:, 1:].T)])
                columns = model.history.left_out
                self.dropped.append(Dropped(name, model.history.looks, where, columns))

    def _hand_on(self, journal: Journal) -> None:
        """Gives each network in the model the journal of its own training."""
        for name, model in self.model.models.items():
            if isinstance(model, RowNetwork):
                model.journal = journal.within(name)

    def _scaled(self, stretches: Sequence[FloatArray]) -> tuple[list[FloatArray], list[int]]:
        """The stretches long enough to learn from, scaled and filled, and their numbers."""
        context = self.model.context
        numbers = [number for number, rows in enumerate(stretches) if len(rows) > context]
        if not numbers:
            longest = max((len(rows) for rows in stretches), default=0)
            raise DataError(
                f"needs more than {context} rows without a break to learn from, got at most "
                f"{longest}: give longer series, or choose a model with a shorter window"
            )
        self.scaling.fit([stretches[number] for number in numbers])
        return [
            filled(self.scaling.apply(stretches[number]), max(1, context)) for number in numbers
        ], numbers

    # --- judging -----------------------------------------------------------------------------

    def judge(self, series: Series, before: int = 0) -> Verdict:
        """Judges rows of a series from row `before` on; those before it are only looked at."""
        whole = [self._unbroken(series.values[rows]) for rows in
                 unbroken(series.time_s, BREAK * self.interval_s)]  # fmt: skip
        contributions = np.concatenate([part for part, _ in whole])[before:]
        members = {
            name: np.concatenate([scores[name] for _, scores in whole])[before:]
            for name in self._members
        }
        score = known_scores(contributions)
        for scores in members.values():
            scores[np.isnan(score)] = np.nan
        threshold = self.thresholds["ensemble"]
        return Verdict(
            score, threshold.p_values(score), threshold.alarms(score), contributions, members
        )

    def _unbroken(self, values: FloatArray) -> tuple[FloatArray, dict[str, FloatArray]]:
        """Contributions (n, C) and members' scores (n,) of rows without a break, NaN where there
        are none."""
        context = self.model.context
        contributions = np.full(values.shape, np.nan)
        members = {name: np.full(len(values), np.nan) for name in self._members}
        if len(values) > context:
            rows = filled(self.scaling.apply(values), max(1, context))
            contributions[context:], seen = self.model.judge(rows)
            for name, scores in seen.items():
                members[name][context:] = scores
        contributions[np.isnan(values)] = np.nan
        return contributions, members

    @property
    def level(self) -> float:
        """The score from which on a row raises an alarm."""
        return float(self.thresholds["ensemble"].level_)

    # --- saving ------------------------------------------------------------------------------

    def state(self) -> State:
        """Everything learned, as arrays."""
        state: State = {"interval_s": np.array(self.interval_s)}
        parts = {"scaling": self.scaling, "model": self.model}
        parts |= {f"threshold.{name}": one for name, one in self.thresholds.items()}
        for prefix, part in parts.items():
            state |= {f"{prefix}.{name}": array for name, array in part.state().items()}
        return state

    def restore(self, state: State) -> None:
        """The inverse of `state`."""
        self.interval_s = float(state["interval_s"])
        parts = {"scaling": self.scaling, "model": self.model}
        parts |= {f"threshold.{name}": one for name, one in self.thresholds.items()}
        for prefix, part in parts.items():
            own = f"{prefix}."
            part.restore({k.removeprefix(own): v for k, v in state.items() if k.startswith(own)})


def held_out(
    stretches: Sequence[FloatArray], least: int
) -> tuple[list[FloatArray], list[FloatArray]]:
    """Stretches (n, C) cut into pieces: those to learn from, and every fifth, held out.

    least  rows of a piece. Where the stretches are too short for that, the same rows serve twice.
    """
    length = max(least, sum(map(len, stretches)) // PIECES, 1)
    seen: list[FloatArray] = []
    held: list[FloatArray] = []
    pieces = 0
    for rows in stretches:
        cuts = [*range(0, max(1, len(rows) - length // 2), length), len(rows)]
        for first, stop in pairwise(cuts):
            pieces += 1
            (held if pieces % HELD == 0 else seen).append(rows[first:stop])
    if not held or not seen:
        return list(stretches), list(stretches)
    return seen, held


class RowStream:
    """Rows that come one by one, or some at a time: remembers just enough of those before.

    What it remembers goes out by `state` and comes back by `restore`, so that a stream goes on
    after a restart as if nothing had been.
    """

    def __init__(self, layer: RowLayer, channels: tuple[str, ...]) -> None:
        self.layer = layer
        self.channels = channels
        self._values: FloatArray = np.empty((0, len(channels)))
        self._time_s: FloatArray = np.empty(0)

    def update(self, rows: FloatArray, time_s: FloatArray | None = None) -> Verdict:
        """Judges rows (n, C) in the channels' own units, at seconds (n,) that never fall."""
        if rows.shape[1] != len(self.channels):
            raise ParameterError(
                f"a row must have {len(self.channels)} values, for {', '.join(self.channels)}, "
                f"got {rows.shape[1]}"
            )
        if time_s is None:
            last = self._time_s[-1] if len(self._time_s) else -self.layer.interval_s
            time_s = last + self.layer.interval_s * np.arange(1, len(rows) + 1)
        before = len(self._values)
        values = np.concatenate([self._values, rows])
        times = np.concatenate([self._time_s, time_s])
        if (np.diff(times[max(0, before - 1) :]) < 0).any():
            raise DataError("rows of a stream must come in order of time: one is before the last")
        verdict = self.layer.judge(Series(values, times, self.channels), before)
        keep = max(0, len(values) - self.layer.lookback)
        self._values, self._time_s = values[keep:], times[keep:]
        return verdict

    def state(self) -> State:
        """The rows it remembers."""
        return {"values": self._values, "time_s": self._time_s}

    def restore(self, state: State) -> None:
        """The inverse of `state`."""
        self._values = np.asarray(state["values"], dtype=np.float64)
        self._time_s = np.asarray(state["time_s"], dtype=np.float64)
