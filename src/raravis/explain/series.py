"""Events of series: which channels made them, what these did, and why it is thought rare."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from raravis import report
from raravis.configuration import read_toml
from raravis.explain.archive import Archive
from raravis.explain.learning import pruned
from raravis.explain.points import points
from raravis.explain.reasons import (
    SPREAD,
    Companion,
    Course,
    goes_with,
    labels_said,
    models_said,
    news_said,
    shares_said,
    what_it_did,
)
from raravis.explain.words import counted, names_of
from raravis.metrics import labelled_runs
from raravis.progress import Progress
from raravis.report.page import duration_words
from raravis.row_layer import BREAK, RowLayer
from raravis.senses.series import SeriesSense
from raravis.series.rows import Series, unbroken
from raravis.store import Store
from raravis.windows import Event, FloatArray, IntArray

MOST_POINTS = 20_000
LONGEST_ROWS = 20_000  # shown of one event
LEAST_AROUND = 60  # rows shown before and after an event
LATE = 16  # rows that an alarm may come after what raised it: models look at windows of rows
HISTORY = 10_000  # rows before an event that it is compared with
MOST_LINES = 4  # channels shown of one event
SMALLEST_SHARE = 0.05  # of the score, below which a channel is not shown
ALIKE = 0.9  # from which on two events came through the same channels; 1 is equal


class Explainer:
    """Looks events up in a run: which channels made them, what these did, which are alike."""

    def __init__(self, folder: Path, sense: SeriesSense, store: Store) -> None:
        self.folder = folder
        self.sense = sense
        self.store = store
        self.recordings = [recording for recording, _ in store.recordings()]
        self.index = {r.name: i for i, r in enumerate(self.recordings)}
        self.channels = sense.channels
        self.layer: RowLayer | None = sense.layers.get("windows")  # a chain has learned nothing
        self.windows = store.windows("windows")
        self.scores = {name: store.scores("windows", name)[0] for name in store.scorers("windows")}
        self.score = self.scores[sense.scorer]
        self.contributions = store.embeddings("windows")  # (N, C)
        numbers = range(len(self.recordings))
        self.rows = [np.flatnonzero(self.windows.recording == number) for number in numbers]
        self.archive = Archive(sense, self.recordings, [len(rows) for rows in self.rows])
        self.interval_s = float(np.median((self.windows.end_s - self.windows.start_s)[:1000]))
        both = np.repeat([[-2.0], [2.0]], len(self.channels), axis=1)
        usual = self.layer.scaling.invert(both) if self.layer else np.full(both.shape, np.nan)
        self.low, self.high = usual  # (C,) ordinary range

    def everything(self, most_events: int, neighbours: int, progress: Progress) -> report.Report:
        """The whole report, with at most so many events, each naming so many that are alike."""
        events = self.store.events()
        summary = self.folder / "run.toml"
        return report.Report(
            title="What is rare in " + names_of(self.recordings),
            created=datetime.now().astimezone().isoformat(" ", "minutes"),
            summary=self._summary(len(events)),
            threshold=report.Threshold(
                self.sense.level, float(self.sense.p_values(np.array([self.sense.level]))[0])
            ),
            recordings=self._shown_recordings(),
            events=self._events(events[:most_events], neighbours, progress),
            points=self._points(),
            members={
                name: report.Member(self._timelines(name), self._level_of(name))
                for name in self._members()
            },
            skipped=[(s.path, s.reason) for s in self.store.skipped()],
            settings={"kind": "series", **self.sense.config},
            scorer=self.sense.scorer,
            pruned=pruned(self.sense.left_out, self.index),
            kind="series",
            read=self._read(),
            remarks=read_toml(summary).get("remarks", []) if summary.is_file() else [],
        )

    # --- the events --------------------------------------------------------------------------

    def _events(
        self, events: Sequence[Event], neighbours: int, progress: Progress
    ) -> list[report.ReportEvent]:
        """All of them; those of one recording are looked at together, so that it is opened once."""
        profiles = np.array([self._shares(event) for event in events])  # (E, C)
        order = sorted(range(len(events)), key=lambda place: self.index[events[place].recording])
        shown = {}
        for done, place in enumerate(order):
            progress("explaining", done, len(events))
            shown[place] = self._event(place, events[place], profiles, neighbours)
        progress("explaining", len(shown), max(1, len(shown)))
        return [shown[place] for place in range(len(events))]

    def _event(
        self, place: int, event: Event, profiles: FloatArray, neighbours: int
    ) -> report.ReportEvent:
        """The event in this place of the ranking; `profiles` (E, C) are the shares of all."""
        recording, (first, stop) = self.index[event.recording], self._span(event)
        telling = _telling(profiles[place])
        from_, to = self._around(event)
        begin = min(from_, max(0, first - HISTORY))
        series = self.archive.read(recording, begin, to)
        reasons = []
        if len(self.channels) > 1:
            reasons.append(shares_said(profiles[place], self.channels, telling))
        chart = None
        if series is not None:
            onset = max(begin, first - (min(LATE, self.layer.model.context) if self.layer else 0))
            reasons += self._doings(series[: stop - begin], onset - begin, telling)
            if series.labels is not None:
                reasons.append(labels_said(series.labels[first - begin : stop - begin]))
            shown = self.rows[recording][from_:to]
            chart = self._chart(series[from_ - begin :], shown, profiles[place], telling)
        reasons += self._verdicts(self.rows[recording][first:stop])
        if profiles[place].max() > max(SPREAD, 1.5 / len(self.channels)):
            reasons += _alike_said(profiles, place, neighbours)
        seen = self.windows[self.rows[recording][from_:to]]
        return report.ReportEvent(
            rank=place + 1,
            recording=recording,
            start_s=event.start_s,
            end_s=event.end_s,
            peak_s=event.peak_s,
            start_time=event.start_time.isoformat() if event.start_time else None,
            score=event.score,
            p_value=event.p_value,
            original=report.Clip(
                recording, float(seen.start_s[0]), float(seen.end_s[-1]), event.score, chart=chart
            ),
            reasons=reasons,
            rows=(first + 1, stop),
        )

    def _span(self, event: Event) -> tuple[int, int]:
        """First row of an event, and the row after its last, counted in its recording."""
        start_s = self.windows.start_s[self.rows[self.index[event.recording]]]
        first = int(np.searchsorted(start_s, event.start_s))
        stop = int(np.searchsorted(start_s, event.end_s - self.interval_s / 2))
        return first, max(stop, first + 1)

    def _around(self, event: Event) -> tuple[int, int]:
        """What is shown of an event: it with twice its length on both sides, at most so much."""
        rows = self.rows[self.index[event.recording]]
        first, stop = self._span(event)
        around = max(2 * (stop - first), LEAST_AROUND)
        from_, to = first - around, stop + around
        if to - from_ > LONGEST_ROWS:
            peak = int(np.searchsorted(self.windows.start_s[rows], event.peak_s))
            from_, to = peak - LONGEST_ROWS // 2, peak + LONGEST_ROWS // 2
        return max(0, from_), min(len(rows), to)

    def _shares(self, event: Event) -> FloatArray:
        """Each channel's part of the squared score of an event, (C,), together 1."""
        first, stop = self._span(event)
        rows = self.rows[self.index[event.recording]][first:stop]
        squares = np.square(np.asarray(self.contributions[rows], dtype=np.float64)).sum(axis=0)
        return np.asarray(squares / max(1e-12, squares.sum()))

    def _chart(
        self, series: Series, rows: IntArray, shares: FloatArray, telling: Sequence[int]
    ) -> report.Chart:
        """The telling channels over the stretch `series`, whose rows in the store are `rows`."""
        several = len(self.channels) > 1
        lines = [
            report.Line(
                self.channels[c],
                series.values[:, c],
                float(self.low[c]) if self.layer else None,
                float(self.high[c]) if self.layer else None,
                float(shares[c]) if several else None,
            )
            for c in telling
        ]
        known = _stretches(series, self.interval_s)
        return report.Chart(series.time_s, lines, self.score[rows], known)

    def _doings(self, series: Series, first: int, telling: Sequence[int]) -> list[str]:
        """What the most telling channels did from row `first` of `series` on."""
        before, during = series.values[:first], series.values[first:]
        before_s = float(series.time_s[first] - series.time_s[0])
        said = []
        for c in telling[:3]:
            near, companion = goes_with(before, c), None
            if near is not None:
                companion = Companion(self.channels[near], during[:, near], before[:, near])
            low, high = float(self.low[c]), float(self.high[c])
            name = self.channels[c]
            said.append(
                what_it_did(
                    Course(name, during[:, c], before[:, c], before_s, low, high, companion)
                )
            )
        return said

    def _verdicts(self, rows: IntArray) -> list[str]:
        """What the members say of rows of the store: models each alone, a chain what is new."""
        if self.layer is None:
            peak = rows[np.nanargmax(self.score[rows])]
            return [news_said({name: float(self.scores[name][peak]) for name in self._members()})]
        alarmed = {
            name: bool((self.scores[name][rows] >= self.layer.thresholds[name].level_).any())
            for name in self._members()
        }
        return [models_said(alarmed)] if alarmed else []

    # --- the whole run -----------------------------------------------------------------------

    def _members(self) -> list[str]:
        return [name for name in self.scores if name != self.sense.scorer]

    def _level_of(self, member: str) -> float | None:
        """The score from which on a member alarms alone; a chain's ways of looking never do."""
        return float(self.layer.thresholds[member].level_) if self.layer else None

    def _shown_recordings(self) -> list[report.ReportRecording]:
        timelines = self._timelines(self.sense.scorer)
        return [
            report.ReportRecording(
                one.name,
                one.start_time.isoformat() if one.start_time else None,
                one.duration_s,
                None,
                timeline,
            )
            for one, timeline in zip(self.recordings, timelines, strict=True)
        ]

    def _timelines(self, scorer: str) -> list[report.Timeline]:
        """Of every recording the rows that have a score."""
        judged = [rows[np.isfinite(self.score[rows])] for rows in self.rows]
        windows, scores = self.windows, self.scores[scorer]
        return [report.Timeline(windows.start_s[r], windows.end_s[r], scores[r]) for r in judged]

    def _points(self) -> report.Points | None:
        """An even choice of the rows, and the strangest, by what each channel contributed."""
        rows = np.flatnonzero(np.isfinite(self.score))
        if len(rows) < 4 or len(self.channels) < 3:
            return None
        even = rows[np.unique(np.linspace(0, len(rows) - 1, MOST_POINTS).astype(int))]
        strangest = rows[np.argsort(self.score[rows])[-MOST_POINTS // 20 :]]
        rows = np.union1d(even, strangest)
        contributions = np.asarray(self.contributions[rows], dtype=np.float32)
        seen = points(np.log1p(contributions), self.windows[rows], self.score[rows])
        groups = [
            self._through(np.square(contributions[seen.cluster == group]).sum(axis=0))
            for group in range(int(seen.cluster.max()) + 1)
        ]
        return dataclasses.replace(seen, groups=groups)

    def _through(self, squares: FloatArray) -> str:
        """The channels that made most of some scores, from their squared contributions (C,)."""
        shares = squares / max(1e-12, float(squares.sum()))
        first, second = (int(c) for c in np.argsort(-shares)[:2])
        if shares[first] < 1.5 / len(shares):
            return "all channels alike"
        both = shares[second] > 0.5 * shares[first]
        return " and ".join(self.channels[c] for c in ((first, second) if both else (first,)))

    def _read(self) -> str:
        """How much was gone through."""
        rows = f"{counted(len(self.score), 'row')} of {counted(len(self.channels), 'channel')}"
        several = len(self.recordings) > 1
        return rows + (f" in {counted(len(self.recordings), 'recording')}" if several else "")

    def _summary(self, events: int) -> list[tuple[str, str]]:
        judged = np.isfinite(self.score)
        level, p_value = self.sense.level, self.sense.p_values(np.array([self.sense.level]))[0]
        often = f", as 1 in {1 / p_value:,.0f} ordinary rows" if p_value > 0 else ""
        summary = [
            ("Read", self._read()),
            ("Time", self._time()),
            ("A row every", duration_words(self.interval_s)),
            ("Rare events", f"{events:,}"),
            ("Rows without a score", self._unjudged()),
            ("Alarm from score", f"{level:.3g} ({self.sense.scorer}){often}"),
        ]
        if judged.any():
            row = int(np.nanargmax(self.score))
            summary.insert(4, ("Highest score", f"{self.score[row]:.3g} ({self._moment(row)})"))
        skipped = len(self.store.skipped())
        return [*summary, ("Could not be read", str(skipped) if skipped else "nothing")]

    def _time(self) -> str:
        """How long the recordings last, and from when to when."""
        lasts = duration_words(sum(recording.duration_s for recording in self.recordings))
        began = [r.start_time for r in self.recordings if r.start_time]
        ended = [time for r in self.recordings if (time := r.time_at(r.duration_s))]
        if not began:
            return lasts
        return f"{lasts}, from {min(began):%Y-%m-%d %H:%M} to {max(ended):%Y-%m-%d %H:%M}"

    def _unjudged(self) -> str:
        """How many rows have no score, and why."""
        context = self.layer.model.context if self.layer else 0
        early = 0
        for rows in self.rows:
            whole = unbroken(self.windows.start_s[rows], BREAK * self.interval_s)
            early += sum(min(context, part.stop - part.start) for part in whole if len(rows))
        missing = int(np.isnan(self.score).sum()) - early
        if not self.layer:
            return f"{missing:,} at the start, where too little was known" if missing else "none"
        reasons = [f"{early:,} with fewer than {context} rows before them"] if early else []
        if missing > 0:
            reasons.append(f"{missing:,} with most channels missing")
        return "; ".join(reasons) or "none"

    def _moment(self, row: int) -> str:
        number = int(self.windows.recording[row])
        recording = self.recordings[number]
        clock = recording.time_at(float(self.windows.start_s[row]))
        place = int(np.searchsorted(self.rows[number], row)) + 1
        when = f"{clock:%Y-%m-%d %H:%M:%S}" if clock else f"row {place:,}"
        return f"{recording.name}, {when}" if len(self.recordings) > 1 else when


def _telling(shares: FloatArray) -> list[int]:
    """The channels that made most of a score, the first always among them."""
    order = [int(c) for c in np.argsort(-shares, kind="stable")[:MOST_LINES]]
    return order[:1] + [c for c in order[1:] if shares[c] >= SMALLEST_SHARE]


def _alike_said(profiles: FloatArray, place: int, most: int) -> list[str]:
    """Which events came through the same channels, the most alike first.

    Two profiles of shares p and q are as alike as sum over channels of sqrt(p q) is near to 1.
    """
    alike = np.sqrt(profiles * profiles[place]).sum(axis=1)
    alike[place] = 0.0
    others = [int(k) for k in np.argsort(-alike, kind="stable")[:most] if alike[k] >= ALIKE]
    if not others:
        return []
    names = ", ".join(str(k + 1) for k in others)
    return [f"Most like it, by the channels: event{'s' if len(others) > 1 else ''} {names}."]


def _stretches(series: Series, interval_s: float) -> list[tuple[float, float]]:
    """From when to when the labels of a series call it anomalous."""
    labels = np.zeros(len(series)) if series.labels is None else series.labels
    return [
        (float(series.time_s[first]), float(series.time_s[stop - 1]) + interval_s)
        for first, stop in labelled_runs(labels)
    ]
