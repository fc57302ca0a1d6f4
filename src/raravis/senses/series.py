"""Reading instruments: every row of a series is judged by what the rows before it let expect."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raravis import thresholds
from raravis.configuration import complete
from raravis.errors import ParameterError, RecordingError, RunError
from raravis.journal import SILENT, Journal
from raravis.learned import State
from raravis.left_out import LeftOut, rows_of
from raravis.listening import spread_evenly
from raravis.novelty import NoveltyChain
from raravis.row_ensemble import default_members, member_names
from raravis.row_layer import RowLayer, RowStream, Verdict
from raravis.row_networks import complete_member, complete_training
from raravis.row_novelty import NoveltyStream, dates_of
from raravis.senses import (
    Options,
    Paths,
    Sense,
    completed,
    named,
    options_of,
    prefixed,
    register,
    under,
)
from raravis.series.rows import Series
from raravis.sources import RowBlock, RowSource
from raravis.sources.series import SUFFIXES, SeriesSource
from raravis.store import Rows
from raravis.windows import FloatArray, Windows

NOVELTY = "novelty"
DEFAULT = {"name": "default"}  # becomes a list of members once the channels are known
CLOCK_S = 60.0
CLOCK_ROWS = 1000
STRETCH = 4096  # rows that are learned from in one piece, where not all are
BLOCK = 65_536  # rows that are judged at once


@register("series")
class SeriesSense(Sense):
    """Series: channels over time, one score for each row.

    model       "default" (what was measured to find most: an ensemble, or "novelty" for one channel
                that lives by the clock), or one model of rows, such as "window-pca" or "lstm-ae",
                or several, "window-pca,lstm-ae", whose mean counts. A name, a table {"name":
                "lstm-ae", "window": 32}, or a list of those. "novelty" learns nothing beforehand:
                a chain judges each channel by what it showed before.
    threshold   "tail" (p=1e-3), "rate", "quantile" or "margin"; a name, or a table. A table with
                per_hour alone is a rate.
    source, training
                options of `SeriesSource` and, for networks, of `Training`.
    learn       how much is learned from: of each recording the share `first` from its beginning,
                and at most so many `rows` in all, spread evenly over them. What a recording's
                format sets apart for learning goes first.
    merge_rows  alarms at most so many rows apart are one event.
    seed        of everything random; the same seed gives the same numbers.
    """

    suffixes = SUFFIXES

    def __init__(
        self,
        model: str | Options | Sequence[str | Options] = "default",
        threshold: str | Options = "tail",
        source: Options | None = None,
        training: Options | None = None,
        learn: Options | None = None,
        merge_rows: int = 16,
        seed: int = 0,
    ) -> None:
        usual = "rate" if isinstance(threshold, dict) and "per_hour" in threshold else "tail"
        self.config = {
            "model": _members(model, seed),
            "threshold": completed(thresholds, named(threshold, usual), "threshold", seed),
            "source": _listed(complete(SeriesSource, source or {}, "source")),
            "training": complete_training(training or {}, seed),
            "learn": complete(_learn, learn or {}, "learn"),
            "merge_rows": merge_rows,
            "seed": seed,
        }
        self.layers = {}
        self.left_out = LeftOut()
        self._interval_s = 1.0
        self._stream: RowStream | NoveltyStream | None = None

    @property
    def scorer(self) -> str:
        """Name of the scorer that makes the score."""
        return NOVELTY if self._novelty is not None else "ensemble"

    @property
    def _novelty(self) -> Options | None:
        """Options of the chain, where it is the model."""
        table = self.config["model"][0]
        return options_of(table) if table["name"] == NOVELTY else None

    @property
    def level(self) -> float:
        """The score above which a row raises an alarm."""
        if self._novelty is not None:
            return -math.log10(self._novelty["alarm_rate"])
        return self.layer.level

    @property
    def merge_s(self) -> float:
        """Alarms closer than this are one event."""
        return float(self.config["merge_rows"] * self._interval_s)

    @property
    def layer(self) -> RowLayer:
        """What learned. Raises RunError where nothing has."""
        if "windows" not in self.layers:
            raise RunError("the detector has learned nothing yet: call fit first, or load a run")
        layer: RowLayer = self.layers["windows"]
        return layer

    def p_values(self, scores: FloatArray) -> FloatArray:
        """Share of ordinary rows that would score at least as high, (n,)."""
        if self._novelty is not None:
            return np.asarray(10.0**-scores)
        return self.layer.thresholds["ensemble"].p_values(scores)

    def open(self, paths: Paths) -> SeriesSource:
        """The series under `paths` (files or folders), their channels as this detector knows."""
        several = [paths] if isinstance(paths, str | Path) else list(paths)
        return SeriesSource(several, **self.config["source"])

    # --- learning ----------------------------------------------------------------------------

    def learn(self, source: RowSource, journal: Journal = SILENT) -> None:
        """Learns from a bounded, even sample of the rows that may be learned from."""
        self._interval_s = source.interval_s
        if journal.cache is not None:
            journal.remark("series are held in memory as they are: the cache is not used")
        if self.config["model"] == [DEFAULT] and lives_by_the_clock(source):
            chain = {"name": NOVELTY, "alarm_rate": self._alarm_rate()}
            self.config["model"] = _members(chain, self.config["seed"])
        self._know(source.channels)
        if self._novelty is None:
            stretches, places = self._lesson(source)
            self._build()
            self.layer.learn(stretches, source.interval_s, journal)
            self.left_out = self._left_out(places, source)
        elif self.config["training"]["prune"] != "none":
            journal.remark(
                "nothing is pruned: novelty learns nothing beforehand, each row is judged by those "
                "before it; choose another --model, such as window-pca, to learn with pruning"
            )

    def _alarm_rate(self) -> float:
        """Share of ordinary rows that may alarm, as the threshold has it."""
        threshold = self.config["threshold"]
        rates = {
            "tail": threshold.get("p"),
            "quantile": 1 - threshold.get("q", 0.999),
            "rate": threshold.get("per_hour", 0.0) * self._interval_s / 3600,
        }
        return float(min(rates.get(threshold["name"]) or 1e-3, 0.5))

    def _left_out(self, places: list[Windows], source: RowSource) -> LeftOut:
        """What was left out of stretches that lie there."""
        starts = np.cumsum([0, *map(len, places)])
        rows = Windows.concatenate(places)
        parts = []
        for dropped in self.layer.dropped:
            stretch, first, stop = dropped.where.T
            windows = rows_of(rows, starts[stretch] + first, starts[stretch] + stop)
            rule = self.config["training"]["prune"]
            parts.append(LeftOut.by(dropped.model, rule, dropped.looks, windows, dropped.columns,
                                    source.recordings))  # fmt: skip
        return LeftOut.together(parts)

    def _lesson(self, source: RowSource) -> tuple[list[FloatArray], list[Windows]]:
        """Stretches (n, C) of the recordings' beginnings, and where the rows of each lie."""
        settings = self.config["learn"]
        pieces = []
        for recording, rows in enumerate(source.rows):
            until = source.learn_until[recording] or math.ceil(settings["first"] * rows)
            pieces += [(recording, at, min(at + STRETCH, until)) for at in range(0, until, STRETCH)]
        chosen = spread_evenly(len(pieces), max(1, settings["rows"] // STRETCH))
        stretches: dict[tuple[int, int], list[Series]] = {}  # those that touch, together
        start, reached = 0, (-1, 0)
        for recording, first, stop in (pieces[i] for i in chosen):
            try:
                series = source.read(recording, first, stop)
            except RecordingError as error:
                source.skip(error)
                continue
            start = start if reached == (recording, first) else first
            stretches.setdefault((recording, start), []).append(series)
            reached = (recording, stop)
        times = {key: np.concatenate([s.time_s for s in parts]) for key, parts in stretches.items()}
        return [np.concatenate([s.values for s in parts]) for parts in stretches.values()], [
            Windows.of(recording, time_s, time_s + source.interval_s)
            for (recording, _), time_s in times.items()
        ]

    def _know(self, channels: tuple[str, ...]) -> None:
        """Settles which channels there are, and with them the default members."""
        self.config["source"]["channels"] = list(channels)
        if self.config["model"] == [DEFAULT]:
            self.config["model"] = _members(default_members(len(channels)), self.config["seed"])
        self._stream = None

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, in order, once they are known."""
        return tuple(self.config["source"].get("channels", ()))

    def _build(self) -> None:
        """Makes what learns and judges."""
        tables = self.config["model"]
        self.layers["windows"] = RowLayer(
            dict(zip(member_names(tables), tables, strict=True)),
            self.config["threshold"],
            len(self.channels),
            self.config["training"],
            self.config["seed"],
        )

    # --- judging -----------------------------------------------------------------------------

    def judged(
        self, source: RowSource, recording: int, from_s: float
    ) -> Iterator[tuple[float, dict[str, Rows]]]:
        """(scored until, rows by layer) for each block of one recording from `from_s` on."""
        if self._novelty is None:
            for block in source.blocks(recording, from_s, BLOCK, self.layer.lookback):
                yield self._rows(block, self.layer.judge(block.series, block.context))
            return
        stream = NoveltyStream(self.channels, self._novelty)
        for block in source.blocks(recording, 0.0, BLOCK):  # what it knows comes from all before
            verdict = stream.update(block.series.values, dates_of(block.series))
            if block.end_s > from_s:
                yield self._rows(block, verdict)

    def _rows(self, block: RowBlock, verdict: Verdict) -> tuple[float, dict[str, Rows]]:
        start_s = block.series.time_s[block.context :]
        windows = Windows.of(block.recording, start_s, start_s + self._interval_s)
        scores = {self.scorer: (verdict.score, verdict.p_value)}
        if len(verdict.members) > 1:
            for name, values in verdict.members.items():
                known = self._novelty is None
                p = self.layer.thresholds[name].p_values(values) if known else np.nan * values
                scores[name] = values, p
        contributions = np.nan_to_num(verdict.contributions)
        return block.end_s, {"windows": Rows(windows, scores, contributions)}

    def begin(self, channels: tuple[str, ...]) -> None:
        """Makes ready for rows of these channels as they come."""
        if not self.channels:
            self._know(channels)
        if channels != self.channels:
            raise ParameterError(
                f"expected rows of {', '.join(self.channels)}, got {', '.join(channels)}"
            )

    def update(self, rows: FloatArray, times: Any = None) -> Verdict:
        """Judges rows as they come; see `Detector.update`."""
        values = np.atleast_2d(np.asarray(rows, dtype=np.float64))
        if self._stream is None:
            self._stream = self._begun(values.shape[1])
        if isinstance(self._stream, NoveltyStream):
            return self._stream.update(values, times)
        return self._stream.update(values, None if times is None else seconds(times))

    def _begun(self, columns: int) -> RowStream | NoveltyStream:
        """A stream in which nothing has come yet; its channels are numbered where none is named."""
        if self._novelty is None:
            return RowStream(self.layer, self.channels)
        if not self.channels:
            self._know(tuple(f"channel {number}" for number in range(1, columns + 1)))
        return NoveltyStream(self.channels, self._novelty)

    # --- saving ------------------------------------------------------------------------------

    def state(self) -> State:
        """Everything learned, and where a stream stands."""
        state: State = {"interval_s": np.array(self._interval_s)}
        if self._novelty is None:
            state |= prefixed("windows", self.layer.state())
        return state | (prefixed("stream", self._stream.state()) if self._stream else {})

    def restore(self, state: State) -> None:
        """The inverse of `state`."""
        self._interval_s = float(state["interval_s"])
        if self._novelty is None:
            self._build()
            self.layer.restore(under("windows", state))
        if stream := under("stream", state):
            self._stream = self._begun(len(self.channels))
            self._stream.restore(stream)


def lives_by_the_clock(source: RowSource) -> bool:
    """Whether it is one channel, a row a minute or less often, long enough, with times of day:
    loads, temperatures, counts of people. There what came before tells more than what was learned.
    """
    return (
        len(source.channels) == 1
        and source.interval_s >= CLOCK_S
        and min(source.rows) >= CLOCK_ROWS
        and all(recording.start_time is not None for recording in source.recordings)
    )


def seconds(times: Any) -> FloatArray:
    """Times (n,), given in seconds or as dates, in seconds (n,)."""
    if isinstance(times[0], int | float | np.number):
        return np.asarray(times, dtype=np.float64)
    moments = pd.to_datetime(times, utc=True).to_numpy(dtype="datetime64[ns]")
    return np.asarray(moments.astype(np.int64) / 1e9)


def _learn(rows: int = 100_000, first: float = 1.0) -> None:
    """The settings of [learn]: their names and defaults."""


def _listed(source: Options) -> Options:
    """The options of a source with "a,b,c" as a list of columns."""
    columns = {key: source[key] for key in ("channels", "labels") if key in source}
    return source | {
        key: [name.strip() for name in value.split(",")] if isinstance(value, str) else value
        for key, value in columns.items()
    }


def _members(model: str | Options | Sequence[str | Options], seed: int) -> list[Options]:
    """The models that were asked for, each with all its settings; the default as it stands."""
    several = [model] if isinstance(model, str | dict) else list(model)
    tables: list[Options] = []
    for one in several:
        table = named(one, "default")
        tables += [{**table, "name": name.strip()} for name in table["name"].split(",")]
    names = [table["name"] for table in tables]
    if names == ["default"]:
        return [DEFAULT]
    if names == [NOVELTY]:
        chain = complete(NoveltyChain, options_of(tables[0]), f"model {NOVELTY!r}")
        return [{"name": NOVELTY, **chain}]
    if NOVELTY in names:
        raise ParameterError(f"{NOVELTY!r} judges alone: leave out the other models, or it")
    return [complete_member(table, seed) for table in tables]
