"""From a run to its report: what each event looks and sounds like, and why it is thought rare.

Pictures and sounds come from the recordings themselves, read again where they lie; a recording
that is no longer there leaves its events without them.
"""

from __future__ import annotations

import io
import os
import urllib.parse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import soundfile
import soxr
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from raravis import report
from raravis.detector import Detector
from raravis.errors import DataError, RecordingError
from raravis.layers import WindowLayer
from raravis.progress import Progress, silent
from raravis.sources.audio import AudioSource
from raravis.store import Store
from raravis.windows import Event, FloatArray, Recording, Windows

MOST_POINTS = 200_000
AROUND_S = 0.5  # shown before and after an event
LONGEST_S = 12.0  # shown of one event


def explain(
    folder: str | Path, most_events: int = 40, neighbours: int = 3, progress: Progress = silent
) -> report.Report:
    """Everything that stands in the report of a run folder."""
    folder = Path(folder)
    detector = Detector.load(folder)
    with Store.open(folder) as store:
        return Explainer(folder, detector, store).report(most_events, neighbours, progress)


class Explainer:
    """Looks events up in a run: where, what they look like, what lies near, what was expected."""

    def __init__(self, folder: Path, detector: Detector, store: Store) -> None:
        self.folder = folder
        self.detector = detector
        self.store = store
        self.recordings = [recording for recording, _ in store.recordings()]
        self.index = {r.name: i for i, r in enumerate(self.recordings)}
        self.source = _reopen(detector, self.recordings)
        self.network = detector.layers.get("windows")
        self.layer = detector.main_layer
        self.windows = store.windows(self.layer)
        self.scores, self.p_values = store.scores(self.layer, detector.scorer)
        self.embedding = np.asarray(store.embeddings(self.layer), dtype=np.float32)

    def report(self, most_events: int, neighbours: int, progress: Progress) -> report.Report:
        """The whole report, with at most so many events and neighbours of each."""
        events = self.store.events()
        shown = []
        for rank, event in enumerate(events[:most_events], 1):
            progress("explaining", rank - 1, min(len(events), most_events))
            shown.append(self._event(rank, event, neighbours))
        progress("explaining", len(shown), max(1, len(shown)))
        judge = self.detector.layers[self.layer].judges[self.detector.scorer]
        return report.Report(
            title="What is rare in " + _names(self.recordings),
            created=datetime.now().astimezone().isoformat(" ", "minutes"),
            summary=self._summary(len(events)),
            threshold=report.Threshold(
                judge.level, float(judge.threshold_.p_values(np.array([judge.level]))[0])
            ),
            recordings=[self._recording(i) for i in range(len(self.recordings))],
            events=shown,
            points=self._points(),
            members=self._members(),
            skipped=[(s.path, s.reason) for s in self.store.skipped()],
            settings=self.detector.config,
            scorer=self.detector.scorer,
        )

    # --- one event ---------------------------------------------------------------------------

    def _event(self, rank: int, event: Event, neighbours: int) -> report.ReportEvent:
        recording = self.index[event.recording]
        from_s, to_s = self._span(recording, event)
        original, reconstructed, error = self._clips(recording, from_s, to_s, event.score)
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
            reconstructed=reconstructed,
            error=error,
            neighbours=[self._clip_of(row) for row, _ in near],
            reasons=self._reasons(event, original, near),
        )

    def _span(self, recording: int, event: Event) -> tuple[float, float]:
        """What is shown of an event: a little more than itself, at least a window."""
        window_s = self.detector.listener.window_s
        duration_s = self.recordings[recording].duration_s
        from_s, to_s = event.start_s - AROUND_S, event.end_s + AROUND_S
        if to_s - from_s > max(LONGEST_S, window_s):
            from_s, to_s = event.peak_s - LONGEST_S / 2, event.peak_s + LONGEST_S / 2
        short_s = window_s - (to_s - from_s)
        if short_s > 0:
            from_s, to_s = from_s - short_s / 2, to_s + short_s / 2
        from_s = max(0.0, min(from_s, duration_s - (to_s - from_s)))
        return from_s, min(duration_s, max(to_s, from_s + window_s))

    def _clips(
        self, recording: int, from_s: float, to_s: float, score: float
    ) -> tuple[report.Clip, report.Clip | None, report.Picture | None]:
        """The original, what the network expected, and where they differ."""
        samples = self._samples(recording, from_s, to_s)
        original = self._clip(recording, from_s, to_s, score, samples)
        if samples is None or original.picture is None:
            return original, None, None
        if not isinstance(self.network, WindowLayer):
            return original, None, None
        expected_db = self._expected(self.network, original.picture.db)
        gain = _loud(samples)
        rate_hz = self.source_rate_hz
        sound = self.detector.listener.features.to_sound(
            10 ** (expected_db / 10), like=samples, rate_hz=rate_hz
        )
        reconstructed = report.Clip(
            recording,
            from_s,
            to_s,
            score,
            self._picture(expected_db, original.picture.from_s),
            to_ogg(sound * gain, rate_hz),
        )
        error = self._picture(np.abs(original.picture.db - expected_db), original.picture.from_s)
        return original, reconstructed, error

    def _samples(self, recording: int, from_s: float, to_s: float) -> FloatArray | None:
        """Samples of a stretch of a recording, or None where it can no longer be read."""
        at = self._places.get(self.recordings[recording].path)
        if self.source is None or at is None:
            return None
        try:
            return self.source.read(at, from_s, to_s)
        except RecordingError:
            return None  # the report shows the event without picture and sound

    @property
    def _places(self) -> dict[str, int]:
        found = self.source.recordings if self.source else []
        return {recording.path: i for i, recording in enumerate(found)}

    @property
    def source_rate_hz(self) -> int:
        """The common rate at which the recordings are read."""
        return self.source.rate_hz if self.source else 0

    def _clip(
        self, recording: int, from_s: float, to_s: float, score: float, samples: FloatArray | None
    ) -> report.Clip:
        if samples is None:
            return report.Clip(recording, from_s, to_s, score)
        features, rate_hz = self.detector.listener.features, self.source_rate_hz
        frames = max(1, features.frames(to_s - from_s))
        db = features.log(features.power(samples, rate_hz, 0, 0, frames))
        sound = to_ogg(samples * _loud(samples), rate_hz)
        return report.Clip(recording, from_s, to_s, score, self._picture(db, from_s), sound)

    def _clip_of(self, row: int) -> report.Clip:
        """Window `row` of the main layer, to be seen and heard."""
        recording, start_s, end_s = self._place(row)
        samples = self._samples(recording, start_s, end_s)
        return self._clip(recording, start_s, end_s, float(self.scores[row]), samples)

    def _place(self, row: int) -> tuple[int, float, float]:
        windows = self.windows
        return int(windows.recording[row]), float(windows.start_s[row]), float(windows.end_s[row])

    def _picture(self, db: FloatArray, from_s: float) -> report.Picture:
        features = self.detector.listener.features
        hz = features.band_hz(self.source_rate_hz)
        return report.Picture(db, hz, from_s, 1 / features.frames_per_s)

    def _expected(self, network: WindowLayer, db: FloatArray) -> FloatArray:
        """What the network expected instead of a spectrogram (F, T) of any length: window by
        window, the last one drawn back to the end."""
        frames = network.shape[1]
        missing = max(0, frames - db.shape[1])
        padded = np.pad(db, ((0, 0), (0, missing)), mode="edge")
        starts = [*range(0, padded.shape[1] - frames, frames), padded.shape[1] - frames]
        clips = np.stack([padded[:, at : at + frames] for at in starts])  # (N, F, T)
        expected = np.empty_like(padded)
        for at, clip in zip(starts, network.reconstruct(clips), strict=True):
            expected[:, at : at + frames] = clip
        return expected[:, : db.shape[1]]

    # --- why ---------------------------------------------------------------------------------

    def _row(self, event: Event) -> int:
        """The strangest window of an event."""
        windows, recording = self.windows, self.index[event.recording]
        inside = (
            (windows.recording == recording)
            & (windows.start_s < event.end_s)
            & (windows.end_s > event.start_s)
        )
        rows = np.flatnonzero(inside)
        return int(rows[np.argmax(self.scores[rows])])

    def _nearest_ordinary(
        self, recording: int, event: Event, count: int
    ) -> list[tuple[int, float]]:
        """(row, distance) of the nearest windows that are not alarmed, one of each moment."""
        if not len(self.embedding):
            return []
        row = self._row(event)
        distance = np.linalg.norm(self.embedding - self.embedding[row], axis=1)
        level = self.detector.layers[self.layer].judges[self.detector.scorer].level
        distance[~(self.scores < level)] = np.inf
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
        kind = "sound events" if self.layer == "segments" else "windows"
        reasons = [f"About {_one_in(event.p_value)} ordinary {kind} would score as high."]
        if original.picture is not None:
            low, high = _main_band(original.picture)
            reasons.append(f"Most of what stands out lies between {_hz(low)} and {_hz(high)}.")
        for name, words in (
            ("loudness", "louder"),
            ("reconstruction", "harder to reconstruct for the network"),
        ):
            share = self._share_below(name, event)
            if share is not None:
                reasons.append(f"It is {words} than {share:.0%} of all windows.")
        if near and len(self.embedding) > 1:
            usual = self._usual_distance()
            reasons.append(
                f"Its nearest ordinary neighbour lies {near[0][1] / usual:.1f} times as far away "
                "as is usual."
            )
        return reasons

    def _share_below(self, scorer: str, event: Event) -> float | None:
        """Share of all fixed windows that score below the highest window of an event."""
        if scorer not in self.store.scorers("windows"):
            return None
        windows, scores = self.store.windows("windows"), self.store.scores("windows", scorer)[0]
        inside = (
            (windows.recording == self.index[event.recording])
            & (windows.start_s < event.end_s)
            & (windows.end_s > event.start_s)
        )
        return float(np.mean(scores < scores[inside].max())) if inside.any() else None

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
            self._timelines(self.detector.scorer)[index],
        )

    def _timelines(self, scorer: str) -> list[report.Timeline]:
        windows, scores = self.store.windows("windows"), self.store.scores("windows", scorer)[0]
        lines = []
        for index in range(len(self.recordings)):
            rows = windows.recording == index
            lines.append(report.Timeline(windows.start_s[rows], windows.end_s[rows], scores[rows]))
        return lines

    def _members(self) -> dict[str, report.Member]:
        others = [s for s in self.store.scorers("windows") if s != self.detector.scorer]
        layer = self.detector.layers.get("windows")
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
        points, windows = self.embedding[rows], self.windows[rows]
        components = min(3, *points.shape)
        pca = PCA(components, random_state=0).fit(points)
        coords = np.zeros((len(points), 3), dtype=np.float32)
        coords[:, :components] = pca.transform(points)
        explained = np.zeros(3)
        explained[:components] = pca.explained_variance_ratio_
        groups = KMeans(min(8, len(points)), n_init=3, random_state=0)
        cluster = groups.fit_predict(points[:, : min(64, points.shape[1])])
        return report.Points(
            coords, cluster, windows.recording, windows.start_s, windows.end_s,
            self.scores[rows], explained,
        )  # fmt: skip

    def _summary(self, events: int) -> list[tuple[str, str]]:
        hours = sum(r.duration_s for r in self.recordings) / 3600
        summary = [
            ("Listened to", f"{_duration(hours)} in {_count(len(self.recordings), 'recording')}"),
            ("Rare events", str(events)),
        ]
        if self.layer == "segments":
            summary.insert(1, ("Sound events heard", f"{len(self.windows):,}"))
        if "reconstruction" in self.store.scorers("windows"):
            windows, errors = (
                self.store.windows("windows"),
                self.store.scores("windows", "reconstruction")[0],
            )
            if len(errors):
                where = self._moment(windows, int(np.nanargmax(errors)))
                summary += [
                    ("Largest reconstruction error", f"{np.nanmax(errors):.3g} ({where})"),
                    ("Mean reconstruction error", f"{np.nanmean(errors):.3g}"),
                ]
        level = self.detector.layers[self.layer].judges[self.detector.scorer].level
        summary.append(("Alarm from score", f"{level:.3g} ({self.detector.scorer})"))
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


def _reopen(detector: Detector, recordings: Sequence[Recording]) -> AudioSource | None:
    """The recordings that are still where they were, or None."""
    paths = [recording.path for recording in recordings if Path(recording.path).is_file()]
    try:
        return detector.open(paths) if paths else None
    except DataError:
        return None  # the report shows what the run knows, without pictures


def to_ogg(samples: FloatArray, rate_hz: int) -> bytes:
    """Samples (S,) within [-1, 1] as the bytes of an Opus file, at 24 or 48 kHz."""
    opus_hz = 24_000 if rate_hz <= 24_000 else 48_000
    resampled = soxr.resample(np.asarray(samples, dtype=np.float32), rate_hz, opus_hz)
    file = io.BytesIO()
    soundfile.write(file, np.clip(resampled, -1, 1), opus_hz, format="OGG", subtype="OPUS")
    return file.getvalue()


def _loud(samples: FloatArray) -> float:
    """The gain that brings the loudest sample to 0.8, so that quiet field sounds can be heard."""
    return 0.8 / max(1e-4, float(np.abs(samples).max(initial=0.0)))


def _main_band(picture: report.Picture) -> tuple[float, float]:
    """Between which frequencies lies the middle 80 % of what rises above the quiet moments."""
    rise = np.clip(picture.db - np.percentile(picture.db, 20, axis=1, keepdims=True), 0, None)
    share = np.cumsum(rise.sum(axis=1)) / max(1e-9, rise.sum())
    last = len(share) - 1
    low, high = (min(last, int(np.searchsorted(share, q))) for q in (0.1, 0.9))
    return float(picture.band_hz[low]), float(picture.band_hz[high])


def _hz(value: float) -> str:
    return f"{value / 1000:.1f} kHz" if value >= 1000 else f"{value:.0f} Hz"


def _one_in(p_value: float) -> str:
    return f"1 in {round(1 / max(p_value, 1e-9)):,}" if p_value < 0.5 else "every second of the"


def _duration(hours: float) -> str:
    minutes = round(hours * 60)
    return f"{minutes} min" if minutes < 120 else f"{hours:.1f} h"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number:,} {word}s"


def _names(recordings: Sequence[Recording]) -> str:
    if not recordings:
        return "nothing"
    if len(recordings) == 1:
        return recordings[0].name
    return f"{len(recordings)} recordings"
