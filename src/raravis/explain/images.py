"""Events of pictures and pairs: where in the frame, what was expected, and which are most alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from raravis import report
from raravis.configuration import read_toml
from raravis.explain.gallery import Gallery, coloured, parts, thumbnail, thumbnail_size, views
from raravis.explain.learning import pruned
from raravis.explain.places import extreme_said, ranks_said, where_said
from raravis.explain.points import points
from raravis.explain.words import counted, names_of
from raravis.image_layers import FrameLayer, PictureLayer
from raravis.images.decoding import reduced, resized
from raravis.networks import Network
from raravis.progress import Progress
from raravis.report.page import duration_words
from raravis.senses.images import ImageSense
from raravis.store import Store
from raravis.windows import Event, FloatArray, IntArray

MOST_POINTS = 20_000
MOST_THUMBNAILS = 1_000
MOST_RINGED = 150  # events that have thumbnails beside the even sample
ORDINARY = 24  # frames whose heat tells what is usual
NEIGHBOUR_SIDE = 192  # pixels


class Explainer:
    """Looks events up in a run: what the frames show, where they are strange, which are alike."""

    def __init__(self, folder: Path, sense: ImageSense, store: Store) -> None:
        self.folder, self.sense, self.store = folder, sense, store
        self.recordings = [recording for recording, _ in store.recordings()]
        self.index = {r.name: i for i, r in enumerate(self.recordings)}
        self.windows = store.windows("windows")
        self.names = store.names("windows") or []
        self.scores = {name: store.scores("windows", name)[0] for name in store.scorers("windows")}
        self.score = self.scores[sense.scorer]
        self.embedding = np.asarray(store.embeddings("windows"), dtype=np.float32)
        numbers = range(len(self.recordings))
        self.rows = [np.flatnonzero(self.windows.recording == number) for number in numbers]
        self.cameras: list[str] = list(sense.config["form"]["cameras"])
        self.gallery = Gallery(sense, self.recordings, self.windows.recording, self.names)

    def everything(self, most_events: int, neighbours: int, progress: Progress) -> report.Report:
        """The whole report, with at most so many events and neighbours of each."""
        events = self.store.events()
        summary = self.folder / "run.toml"
        shown = self._events(events[:most_events], neighbours, progress)
        seen = self._points([self._row(event) for event in events[:MOST_RINGED]], progress)
        return report.Report(
            title="What is rare in " + names_of(self.recordings),
            created=datetime.now().astimezone().isoformat(" ", "minutes"),
            summary=self._summary(len(events)),
            threshold=report.Threshold(
                self.sense.level, float(self.sense.p_values(np.array([self.sense.level]))[0])
            ),
            recordings=self._shown_recordings(),
            events=shown,
            points=seen,
            members={
                name: report.Member(self._timelines(name), self._level_of(name))
                for name in self.scores
                if name != self.sense.scorer
            },
            skipped=[(s.path, s.reason) for s in self.store.skipped()],
            settings={"kind": self.sense.opens, **self.sense.config},
            scorer=self.sense.scorer,
            pruned=pruned(self.sense.left_out, self.index),
            kind=self.sense.opens,
            read=self._read(),
            remarks=read_toml(summary).get("remarks", []) if summary.is_file() else [],
        )

    # --- the events --------------------------------------------------------------------------

    def _events(
        self, events: Sequence[Event], neighbours: int, progress: Progress
    ) -> list[report.ReportEvent]:
        """All of them; those of one recording are looked at together, so that it is opened once."""
        order = sorted(range(len(events)), key=lambda place: self.index[events[place].recording])
        near = {place: self._nearest(self._row(events[place]), neighbours) for place in order}
        wanted = {row for rows in near.values() for row, _ in rows}
        small = {row: self._frame(row, NEIGHBOUR_SIDE) for row in sorted(wanted)}
        shown = {}
        for done, place in enumerate(order):
            progress("explaining", done, len(events))
            shown[place] = self._event(place + 1, events[place], near[place], small)
        progress("explaining", len(shown), max(1, len(shown)))
        return [shown[place] for place in range(len(events))]

    def _event(
        self,
        rank: int,
        event: Event,
        near: Sequence[tuple[int, float]],
        small: dict[int, report.Frame],
    ) -> report.ReportEvent:
        """One event; `small` holds the frames of all neighbours."""
        row = self._row(event)
        picture = self.gallery.picture(row)
        frame, reasons = report.Frame(self.names[row]), list[str]()
        if picture is not None:
            heats = self._heats(picture)
            frame = self._shown(row, picture, heats)
            reasons = self._places(heats)
        first, last = self._span(event)
        return report.ReportEvent(
            rank=rank,
            recording=self.index[event.recording],
            start_s=event.start_s,
            end_s=event.end_s,
            peak_s=event.peak_s,
            start_time=event.start_time.isoformat() if event.start_time else None,
            score=event.score,
            p_value=event.p_value,
            original=self._clip(row, frame),
            neighbours=[self._clip(other, small[other]) for other, _ in near],
            reasons=reasons + self._reasons(row, near),
            rows=(first + 1, last + 1),
        )

    def _clip(self, row: int, frame: report.Frame) -> report.Clip:
        windows = self.windows
        return report.Clip(
            int(windows.recording[row]),
            float(windows.start_s[row]),
            float(windows.end_s[row]),
            float(self.score[row]),
            frame=frame,
        )

    def _row(self, event: Event) -> int:
        """The strangest frame of an event."""
        rows = self.rows[self.index[event.recording]]
        first, last = self._span(event)
        inside = rows[first : last + 1]
        return int(inside[np.nanargmax(self.score[inside])])

    def _span(self, event: Event) -> tuple[int, int]:
        """First and last frame of an event, counted among those of its recording with a score."""
        start_s = self.windows.start_s[self.rows[self.index[event.recording]]]
        first = int(np.searchsorted(start_s, event.start_s - 1e-3))
        last = int(np.searchsorted(start_s, event.end_s - 1e-3)) - 1
        return first, max(first, last)

    def _frame(self, row: int, side: int) -> report.Frame:
        """The frame of a window at most `side` large, as its cameras saw it."""
        picture = self.gallery.picture(row)
        if picture is None:
            return report.Frame(self.names[row])
        width, height = reduced((picture.shape[2], picture.shape[1]), side)
        seen = views(resized(picture, height, width), self.cameras)
        return report.Frame(self.names[row], seen)

    def _shown(self, row: int, picture: FloatArray, heats: list[FloatArray]) -> report.Frame:
        expected = None
        network = self.sense.layers.get("frames")
        if isinstance(network, FrameLayer) and _reconstructs(network.network):
            expected = network.reconstruct([picture])[0]
        seen = views(picture, self.cameras, expected, heats, self._usual if heats else ())
        return report.Frame(self.names[row], seen)

    # --- why ---------------------------------------------------------------------------------

    def _heats(self, picture: FloatArray) -> list[FloatArray]:
        """Where a picture is strange to the layer that makes the score, (h, w) for each camera,
        twice the same where it judges both together; nothing where it cannot tell."""
        layer = next(iter(self.sense.layers.values()))
        cameras = len(self.cameras)
        if isinstance(layer, PictureLayer):
            own = layer.model.heats(picture)
            return own if len(own) == cameras else own * cameras
        heats = layer.heats([picture])
        if "reconstruction" in heats:
            frames = layer.frames([picture])
            errors = np.square(layer.running.reconstruct(frames) - frames)[0]  # (C, h, w)
            return [part.mean(axis=0) for part in parts(errors, self.cameras)]
        own = [heat[0] for name, heat in sorted(heats.items()) if name[-2:] in ("_1", "_2")]
        if len(own) == cameras:
            return own
        return [next(iter(heats.values()))[0]] * cameras if heats else []

    def _places(self, heats: list[FloatArray]) -> list[str]:
        """Where a picture is strange, in words; of each camera where they differ."""
        said = [where_said(*one) for one in zip(heats, self._usual, strict=True)] if heats else []
        if len(set(said)) < 2:
            return said[:1]
        words = ["thermal" if camera == "celsius" else camera for camera in self.cameras]
        pairs = zip(words, said, strict=True)
        return [f"In the {word} picture: {one[0].lower()}{one[1:]}" for word, one in pairs]

    @cached_property
    def _usual(self) -> list[float]:
        """Heat of the hottest place of an ordinary frame, for each camera: the median of some."""
        ordinary = np.flatnonzero(self.score < self.sense.level)
        hottest = []
        for row in ordinary[_even(len(ordinary), ORDINARY)]:
            picture = self.gallery.picture(int(row))
            heats = [] if picture is None else self._heats(picture)
            if heats:
                hottest.append([float(heat.max()) for heat in heats])
        middle = np.median(hottest, axis=0) if hottest else np.zeros(len(self.cameras))
        return [float(heat) for heat in middle]

    def _nearest(self, row: int, count: int) -> list[tuple[int, float]]:
        """(row, distance) of the nearest frames that raised no alarm."""
        if not self.embedding.shape[1]:
            return []
        distance = np.linalg.norm(self.embedding - self.embedding[row], axis=1)
        distance[~(self.score < self.sense.level)] = np.inf
        distance[row] = np.inf
        order = np.argsort(distance, kind="stable")[:count]
        return [(int(k), float(distance[k])) for k in order if np.isfinite(distance[k])]

    def _reasons(self, row: int, near: Sequence[tuple[int, float]]) -> list[str]:
        """What the scores say of a frame beside all others."""
        others = max(1, len(self.score) - 1)
        below = {name: float((s < s[row]).sum() / others) for name, s in self.scores.items()}
        brightness = below.pop("brightness", 0.5)
        celsius = self.cameras == ["celsius"]
        more, less = ("warmer", "colder") if celsius else ("brighter", "darker")
        reasons = [ranks_said(below), extreme_said(brightness, more, less)]
        if near:
            ratio = near[0][1] / self._usual_distance
            times = f"{ratio:.1f} times" if ratio < 10 else "more than 10 times"
            reasons.append(f"Its nearest ordinary frame lies {times} as far away as is usual.")
        return [reason for reason in reasons if reason]

    @cached_property
    def _usual_distance(self) -> float:
        """Median distance from a frame to its nearest other, from an even sample of them."""
        rows = np.unique(np.linspace(0, len(self.embedding) - 1, 200).astype(int))
        distances = []
        for row in rows:
            distance = np.linalg.norm(self.embedding - self.embedding[row], axis=1)
            distances.append(np.partition(distance, 1)[1] if len(distance) > 1 else 0.0)
        return float(np.median(distances)) + 1e-9

    # --- the whole run -----------------------------------------------------------------------

    def _level_of(self, member: str) -> float | None:
        """The score from which on a member alarms alone."""
        judges = [layer.judges.judges.get(member) for layer in self.sense.layers.values()]
        return next((float(judge.level) for judge in judges if judge is not None), None)

    def _shown_recordings(self) -> list[report.ReportRecording]:
        timelines = self._timelines(self.sense.scorer)
        return [
            report.ReportRecording(
                one.name,
                one.start_time.isoformat() if one.start_time else None,
                one.duration_s,
                None,
                timeline,
                [self.names[row] for row in rows],
            )
            for one, timeline, rows in zip(self.recordings, timelines, self.rows, strict=True)
        ]

    def _timelines(self, scorer: str) -> list[report.Timeline]:
        windows, scores = self.windows, self.scores[scorer]
        return [report.Timeline(windows.start_s[r], windows.end_s[r], scores[r]) for r in self.rows]

    def _points(self, events: Sequence[int], progress: Progress) -> report.Points | None:
        """An even choice of the frames, and those of the events, with thumbnails of some."""
        count = len(self.embedding)
        if count < 4 or not self.embedding.shape[1]:
            return None
        rows = np.union1d(_even(count, MOST_POINTS), np.array(events, dtype=int))
        seen = points(self.embedding[rows], self.windows[rows], self.score[rows])
        wanted = np.union1d(rows[_even(len(rows), MOST_THUMBNAILS)], np.array(events, dtype=int))
        return dataclasses.replace(seen, thumbnails=self._thumbnails(wanted, rows, progress))

    def _thumbnails(
        self, wanted: IntArray, rows: IntArray, progress: Progress
    ) -> report.Thumbnails | None:
        """Small pictures of the wanted windows, which are among `rows`, those of the map."""
        size = thumbnail_size(self.sense.config["form"]["size"], len(self.cameras))
        found, small = [], []
        for done, row in enumerate(wanted):
            progress("making thumbnails", done, len(wanted))
            picture = self.gallery.picture(int(row))
            if picture is not None:
                found.append(int(row))
                small.append(thumbnail(picture, *size))
        progress("making thumbnails", len(wanted), len(wanted))
        if not small:
            return None
        places = np.searchsorted(rows, np.array(found))
        return report.Thumbnails(places, coloured(np.stack(small), self.cameras))

    def _read(self) -> str:
        """How much was gone through."""
        frames = counted(len(self.score), "pair" if len(self.cameras) > 1 else "frame")
        several = len(self.recordings) > 1
        return frames + (f" in {counted(len(self.recordings), 'recording')}" if several else "")

    def _summary(self, events: int) -> list[tuple[str, str]]:
        level, p_value = self.sense.level, self.sense.p_values(np.array([self.sense.level]))[0]
        often = f", as 1 in {1 / p_value:,.0f} ordinary frames" if p_value > 0 else ""
        seen = ["degrees Celsius" if c == "celsius" else c for c in self.cameras]
        height, width = self.sense.config["form"]["size"]
        summary = [
            ("Looked at", self._read()),
            ("Pictures", f"{width} × {height}, {' and '.join(seen)}"),
            ("Time", self._time()),
            ("Rare events", f"{events:,}"),
            ("Alarm from score", f"{level:.3g} ({self.sense.scorer}){often}"),
        ]
        if np.isfinite(self.score).any():
            row = int(np.nanargmax(self.score))
            highest = f"{self.score[row]:.3g} ({self.names[row]})"
            summary.insert(4, ("Highest score", highest))
        skipped = len(self.store.skipped())
        return [*summary, ("Could not be read", str(skipped) if skipped else "nothing")]

    def _time(self) -> str:
        """From when to when the frames were taken, and how long that was."""
        began = [r.start_time for r in self.recordings if r.start_time]
        ended = [time for r in self.recordings if (time := r.time_at(r.duration_s))]
        if not began:
            return "not known: frames are counted"
        long_s = (max(ended) - min(began)).total_seconds()
        return f"{min(began):%Y-%m-%d %H:%M} to {max(ended):%Y-%m-%d %H:%M}, " + duration_words(
            long_s
        )


def _even(count: int, most: int) -> IntArray:
    """At most so many of `count` rows, evenly spread, rising."""
    if not count:
        return np.zeros(0, dtype=int)
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _reconstructs(network: Network) -> bool:
    """Whether a network can say what it expected instead."""
    return type(network).reconstruct is not Network.reconstruct
