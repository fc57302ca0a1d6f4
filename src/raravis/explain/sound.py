"""Events of sound: what each looks and sounds like, and why it is thought rare."""

from __future__ import annotations

import os
import urllib.parse
from datetime import datetime
from pathlib import Path

import numpy as np

from raravis import report
from raravis.explain.learning import pruned
from raravis.explain.points import points
from raravis.explain.words import counted, names_of
from raravis.progress import Progress
from raravis.senses.sound import SoundSense
from raravis.showroom import Showroom
from raravis.store import Store
from raravis.windows import BoolArray, Event, Windows

MOST_POINTS = 200_000
AROUND_S = 0.5  # shown before and after an event
LONGEST_S = 12.0  # shown of one event


class Explainer:
    """Looks events up in a run: where, what they look like, what lies near, what was expected."""

    def __init__(self, folder: Path, sense: SoundSense, store: Store) -> None:
        self.folder = folder
        self.sense = sense
        self.store = store
        self.recordings = [recording for recording, _ in store.recordings()]
        self.index = {r.name: i for i, r in enumerate(self.recordings)}
        self.showroom = Showroom(sense, self.recordings)
        self.windows = store.windows(sense.main_layer)
        self.scores = store.scores(sense.main_layer, sense.scorer)[0]
        self.embedding = np.asarray(store.embeddings(sense.main_layer), dtype=np.float32)
        self.grid = store.windows("windows")
        self.grid_scores = {s: store.scores("windows", s)[0] for s in store.scorers("windows")}

    def everything(self, most_events: int, neighbours: int, progress: Progress) -> report.Report:
        """The whole report, with at most so many events and neighbours of each."""
        events = self.store.events()
        shown = []
        for rank, event in enumerate(events[:most_events], 1):
            progress("explaining", rank - 1, min(len(events), most_events))
            shown.append(self._event(rank, event, neighbours))
        progress("explaining", len(shown), max(1, len(shown)))
        return report.Report(
            title="What is rare in " + names_of(self.recordings),
            created=datetime.now().astimezone().isoformat(" ", "minutes"),
            summary=self._summary(len(events)),
            threshold=report.Threshold(
                self.sense.level, float(self.sense.p_values(np.array([self.sense.level]))[0])
            ),
            recordings=[self._recording(i) for i in range(len(self.recordings))],
            events=shown,
            points=self._points(),
            members=self._members(),
            skipped=[(s.path, s.reason) for s in self.store.skipped()],
            settings={"kind": "sound", **self.sense.config},
            scorer=self.sense.scorer,
            pruned=pruned(self.sense.left_out, self.index),
        )

    # --- one event ---------------------------------------------------------------------------

    def _event(self, rank: int, event: Event, neighbours: int) -> report.ReportEvent:
        recording = self.index[event.recording]
        from_s, to_s = self._span(recording, event)
        original = self.showroom.clip(recording, from_s, to_s, event.score)
        expected = self.showroom.expected(original)
        near = self._nearest_ordinary(recording, event, neighbours)
        return report.ReportEvent(
            rank=rank,
            recording=recording,
            start_s=event.start_s,
            end_s=event.end_s,
            peak_s=event.peak_s,
            start_time=event.start_time.isoformat() if event.start_time else None,
            score=event.score,
            p_value=event.p_value,
            original=original,
            reconstructed=expected[0] if expected else None,
            error=expected[1] if expected else None,
            neighbours=[self._clip_of(row) for row, _ in near],
            reasons=self._reasons(event, original, near),
        )

    def _span(self, recording: int, event: Event) -> tuple[float, float]:
        """What is shown of an event: a little more than itself, at least a window."""
        window_s = self.sense.listener.window_s
        duration_s = self.recordings[recording].duration_s
        from_s, to_s = event.start_s - AROUND_S, event.end_s + AROUND_S
        if to_s - from_s > max(LONGEST_S, window_s):
            from_s, to_s = event.peak_s - LONGEST_S / 2, event.peak_s + LONGEST_S / 2
        short_s = window_s - (to_s - from_s)
        if short_s > 0:
            from_s, to_s = from_s - short_s / 2, to_s + short_s / 2
        from_s = max(0.0, min(from_s, duration_s - (to_s - from_s)))
        return from_s, min(duration_s, max(to_s, from_s + window_s))

    def _clip_of(self, row: int) -> report.Clip:
        """Window `row` of the main layer, to be seen and heard."""
        recording, start_s, end_s = self._place(row)
        return self.showroom.clip(recording, start_s, end_s, float(self.scores[row]))

    def _place(self, row: int) -> tuple[int, float, float]:
        windows = self.windows
        return int(windows.recording[row]), float(windows.start_s[row]), float(windows.end_s[row])

    # --- why ---------------------------------------------------------------------------------

    def _row(self, event: Event) -> int:
        """The strangest window of an event."""
        rows = np.flatnonzero(self._inside(self.windows, event))
        return int(rows[np.argmax(self.scores[rows])])

    def _nearest_ordinary(
        self, recording: int, event: Event, count: int
    ) -> list[tuple[int, float]]:
        """(row, distance) of the nearest windows that are not alarmed, one of each moment."""
        if not len(self.embedding):
            return []
        row = self._row(event)
        distance = np.linalg.norm(self.embedding - self.embedding[row], axis=1)
        distance[~(self.scores < self.sense.level)] = np.inf
        chosen: list[tuple[int, float]] = []
        for near in np.argsort(distance)[: 20 * count]:
            moment, start_s, end_s = self._place(int(near))
            places = [self._place(other) for other, _ in chosen]
            if len(chosen) == count or not np.isfinite(distance[near]):
                break
            if all(m != moment or start_s >= e or end_s <= s for m, s, e in places):
                chosen.append((int(near), float(distance[near])))
        return chosen

    def _reasons(
        self, event: Event, original: report.Clip, near: list[tuple[int, float]]
    ) -> list[str]:
        reasons = []
        if original.picture is not None:
            low, high = _main_band(original.picture)
            reasons.append(f"Most of what stands out lies between {_hz(low)} and {_hz(high)}.")
        for name, words in (
            ("loudness", "louder"),
            ("reconstruction", "harder to reconstruct for the network"),
        ):
            share = self._share_below(name, event)
            if share is not None:
                much = f"{share:.0%} of all windows" if share < 0.995 else "nearly everything else"
                reasons.append(f"It is {words} than {much}.")
        if near and len(self.embedding) > 1:
            ratio = near[0][1] / self._usual_distance()
            times = f"{ratio:.1f} times" if ratio < 10 else "more than 10 times"
            reasons.append(f"Its nearest ordinary neighbour lies {times} as far away as is usual.")
        return reasons

    def _share_below(self, scorer: str, event: Event) -> float | None:
        """Share of all fixed windows that score below the highest window of an event."""
        scores, inside = self.grid_scores.get(scorer), self._inside(self.grid, event)
        if scores is None or not inside.any():
            return None
        return float(np.mean(scores < scores[inside].max()))

    def _inside(self, windows: Windows, event: Event) -> BoolArray:
        """Which windows overlap an event, (N,)."""
        same: BoolArray = windows.recording == self.index[event.recording]
        return same & (windows.start_s < event.end_s) & (windows.end_s > event.start_s)

    def _usual_distance(self) -> float:
        """Median distance from a window to its nearest other, from an even sample of them."""
        rows = np.unique(np.linspace(0, len(self.embedding) - 1, 200).astype(int))
        nearest = []
        for row in rows:
            distance = np.linalg.norm(self.embedding - self.embedding[row], axis=1)
            nearest.append(np.partition(distance, 1)[1])
        return float(np.median(nearest)) + 1e-9

    # --- the whole run -----------------------------------------------------------------------

    def _recording(self, index: int) -> report.ReportRecording:
        recording = self.recordings[index]
        url = urllib.parse.quote(os.path.relpath(recording.path, self.folder))
        return report.ReportRecording(
            recording.name,
            recording.start_time.isoformat() if recording.start_time else None,
            recording.duration_s,
            url,
            self._timelines(self.sense.scorer)[index],
        )

    def _timelines(self, scorer: str) -> list[report.Timeline]:
        windows, scores = self.grid, self.grid_scores[scorer]
        lines = []
        for index in range(len(self.recordings)):
            rows = windows.recording == index
            if scorer == self.sense.scorer and self.sense.main_layer == "segments":
                rows &= scores >= 0  # below 0 no sound event was heard
            lines.append(report.Timeline(windows.start_s[rows], windows.end_s[rows], scores[rows]))
        return lines

    def _members(self) -> dict[str, report.Member]:
        others = [name for name in self.grid_scores if name != self.sense.scorer]
        layer = self.sense.layers.get("windows")
        judges = layer.judges if layer else {}
        return {
            name: report.Member(
                self._timelines(name), judges[name].level if name in judges else None
            )
            for name in others
        }

    def _points(self) -> report.Points | None:
        """The embeddings along their three main directions, grouped by k-means."""
        if len(self.embedding) < 4:
            return None
        rows = np.unique(np.linspace(0, len(self.embedding) - 1, MOST_POINTS).astype(int))
        return points(self.embedding[rows], self.windows[rows], self.scores[rows])

    def _summary(self, events: int) -> list[tuple[str, str]]:
        hours = sum(r.duration_s for r in self.recordings) / 3600
        summary = [
            ("Listened to", f"{_duration(hours)} in {counted(len(self.recordings), 'recording')}"),
            ("Rare events", str(events)),
        ]
        if self.sense.main_layer == "segments":
            summary.insert(1, ("Sound events heard", f"{len(self.windows):,}"))
        errors = self.grid_scores.get("reconstruction")
        if errors is not None and len(errors):
            where = self._moment(self.grid, int(np.nanargmax(errors)))
            summary += [
                ("Largest reconstruction error", f"{np.nanmax(errors):.3g} ({where})"),
                ("Mean reconstruction error", f"{np.nanmean(errors):.3g} (1 is the usual spread)"),
            ]
        summary.append(("Alarm from score", f"{self.sense.level:.3g} ({self.sense.scorer})"))
        skipped = len(self.store.skipped())
        summary.append(("Could not be read", str(skipped) if skipped else "nothing"))
        return summary

    def _moment(self, windows: Windows, row: int) -> str:
        recording = self.recordings[int(windows.recording[row])]
        start_s = float(windows.start_s[row])
        clock = recording.time_at(start_s)
        return (
            f"{recording.name}, {clock:%Y-%m-%d %H:%M:%S}"
            if clock
            else (f"{recording.name}, {int(start_s // 60)}:{start_s % 60:04.1f}")
        )


# --- small words and numbers -------------------------------------------------------------------


def _main_band(picture: report.Picture) -> tuple[float, float]:
    """Between which frequencies lies the middle 80 % of what rises above the quiet moments."""
    rise = np.clip(picture.db - np.percentile(picture.db, 20, axis=1, keepdims=True), 0, None)
    share = np.cumsum(rise.sum(axis=1)) / max(1e-9, rise.sum())
    last = len(share) - 1
    low, high = (min(last, int(np.searchsorted(share, q))) for q in (0.1, 0.9))
    return float(picture.band_hz[low]), float(picture.band_hz[high])


def _hz(value: float) -> str:
    return f"{value / 1000:.1f} kHz" if value >= 1000 else f"{value:.0f} Hz"


def _duration(hours: float) -> str:
    minutes = round(hours * 60)
    return f"{minutes} min" if minutes < 120 else f"{hours:.1f} h"
