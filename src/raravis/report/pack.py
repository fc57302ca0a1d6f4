"""A report as one JSON value for the page: arrays packed as base64, media within a budget.

Columns go as little-endian typed arrays, which a browser unpacks a hundred times faster than
JSON numbers. What does not fit is left out in a fixed order: first the sounds of neighbours, then
the sounds of reconstructions, then the pictures of neighbours, then sounds and pictures of the
lowest ranks. The page plays what was left out from the recordings, and says how much that was.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from raravis.errors import ParameterError
from raravis.pictures import COLOURS, shrink_frames, to_levels, to_png
from raravis.report.charts import check_chart, pack_chart
from raravis.report.columns import Json, number, pack_array
from raravis.report.contents import Clip, Picture, Report, ReportEvent, Timeline
from raravis.report.frames import (
    add_expected,
    add_neighbour,
    add_picture,
    check_frame,
    frame_facts,
)
from raravis.report.points import check_points, pack_points
from raravis.windows import FloatArray

PAGE_BYTES = 15_000_000
FRAMES_PAGE_BYTES = 6_000_000  # of a page on pictures, of which many are looked at on the way
MOST_NAME_BYTES = 1_000_000  # of the names of all frames; without them frames have numbers
MOST_WINDOWS = 100_000
LEVELS = 32
PICTURE_FRAMES = 420
NEIGHBOUR_FRAMES = 160


def pack(report: Report, page_bytes: int = PAGE_BYTES) -> Json:
    """The report as the page's scripts read it; about `page_bytes` long once written as JSON."""
    check(report)
    if report.kind in ("images", "pairs"):
        page_bytes = min(page_bytes, FRAMES_PAGE_BYTES)
    scorers = _pack_scorers(report)
    named = scorers[0]["run"] == 1 and _name_bytes(report) <= MOST_NAME_BYTES
    packed: Json = {
        "title": report.title,
        "kind": report.kind,
        "created": report.created,
        "colours": {name: list(stops) for name, stops in COLOURS.items()},
        "recordings": [
            {
                "name": recording.name,
                "start_time": recording.start_time,
                "duration_s": number(recording.duration_s),
                "url": recording.url,
                "frames": list(recording.frames) if named else [],
            }
            for recording in report.recordings
        ],
        "threshold": {
            "level": number(report.threshold.level),
            "p_value": number(report.threshold.p_value),
        },
        "scorers": scorers,
        "points": None if report.points is None else pack_points(report.points),
    }
    packed["events"] = [_facts(event) for event in report.events]
    budget = _Budget(page_bytes - len(json.dumps(packed)))
    _add_media(report.events, packed["events"], budget)
    packed["bands"] = budget.bands
    packed["left_out"] = {"pictures": budget.pictures_left_out, "sounds": budget.sounds_left_out}
    return packed


def _name_bytes(report: Report) -> int:
    return sum(len(name) + 3 for recording in report.recordings for name in recording.frames)


def check(report: Report) -> None:
    """Raises ParameterError where the parts of a report do not fit together."""
    count = len(report.recordings)
    for name, member in report.members.items():
        if len(member.timelines) != count:
            raise ParameterError(
                f"member {name!r} needs one timeline for each of {count} recordings, "
                f"got {len(member.timelines)}"
            )
    for recording in report.recordings:
        if len(recording.frames) not in (0, len(recording.timeline.score)):
            raise ParameterError(
                f"{recording.name} needs a name for each of its {len(recording.timeline.score)} "
                f"frames, got {len(recording.frames)}"
            )
        if recording.url is not None and _leaves_the_disk(recording.url):
            raise ParameterError(
                f"the url of a recording must be relative to the page, got {recording.url!r}"
            )
    for event in report.events:
        _check_event(event, count)
    if report.points is not None:
        check_points(report.points, count)


def _check_event(event: ReportEvent, recordings: int) -> None:
    clips = [clip for clip in (event.original, event.reconstructed, *event.neighbours) if clip]
    for recording in (event.recording, *(clip.recording for clip in clips)):
        if not 0 <= recording < recordings:
            raise ParameterError(
                f"event {event.rank} names recording {recording}, there are {recordings}"
            )
    for chart in (clip.chart for clip in clips if clip.chart is not None):
        check_chart(chart, event.rank)
    for frame in (clip.frame for clip in clips if clip.frame is not None):
        check_frame(frame, event.rank)
    for picture in (event.error, *(clip.picture for clip in clips)):
        if picture is not None and np.shape(picture.db)[:1] != np.shape(picture.band_hz):
            raise ParameterError(
                f"a picture of event {event.rank} needs one band_hz for each of its bands, got "
                f"{np.shape(picture.db)} levels and {np.shape(picture.band_hz)} frequencies"
            )


def _leaves_the_disk(url: str) -> bool:
    """Whether `url` names a scheme or a host, so that following it might go to a network."""
    return ":" in url.split("/", 1)[0] or url.startswith(("//", "\\"))


def _seconds(value: float) -> float:
    return round(float(value), 4)


# --- scores --------------------------------------------------------------------------------------


def _pack_scorers(report: Report) -> list[Json]:
    """The main scorer first, then its members, each with the timelines of all recordings."""
    main = [recording.timeline for recording in report.recordings]
    scorers = [{"name": report.scorer, "level": number(report.threshold.level)}]
    scorers[0] |= _pack_timelines(main)
    for name, member in report.members.items():
        level = None if member.level is None else number(member.level)
        own = _pack_timelines(member.timelines)
        if all(own[key] == scorers[0][key] for key in ("counts", "start_s", "end_s")):
            own = {"score": own["score"], "run": own["run"]}  # the windows are the main scorer's
        scorers.append({"name": name, "level": level, **own})
    return scorers


def _pack_timelines(timelines: Sequence[Timeline]) -> Json:
    """Timelines end to end; `counts` says how many windows each recording has."""
    total = sum(len(line.score) for line in timelines)
    run = max(1, -(-total // MOST_WINDOWS))
    thinned = [strongest_of(line, run) for line in timelines]
    return {
        "counts": pack_array([len(line.score) for line in thinned], "u4"),
        "start_s": pack_array(_joined([line.start_s for line in thinned]), "f4"),
        "end_s": pack_array(_joined([line.end_s for line in thinned]), "f4"),
        "score": pack_array(_joined([line.score for line in thinned]), "f4"),
        "run": run,
    }


def _joined(columns: Sequence[FloatArray]) -> FloatArray:
    return np.concatenate(columns) if columns else np.zeros(0)


def strongest_of(line: Timeline, run: int) -> Timeline:
    """Every `run` neighbouring windows as one, with the score of the strangest."""
    if run == 1 or len(line.score) == 0:
        return line
    first = np.arange(0, len(line.score), run)
    last = np.minimum(first + run, len(line.score)) - 1
    return Timeline(
        np.asarray(line.start_s)[first],
        np.asarray(line.end_s)[last],
        np.fmax.reduceat(np.asarray(line.score, dtype=np.float64), first),
    )


# --- events --------------------------------------------------------------------------------------


class _Budget:
    """How many bytes of media may still be embedded, and what had to stay out."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.pictures_left_out = 0
        self.sounds_left_out = 0
        self.bands: list[list[float]] = []

    def sound(self, sound: bytes | None) -> str | None:
        text = None if sound is None else self.take(sound)
        self.sounds_left_out += sound is not None and text is None
        return text

    def picture(
        self, picture: Picture | None, low_high: tuple[float, float], frames: int
    ) -> Json | None:
        if picture is None:
            return None
        db, step = shrink_frames(np.asarray(picture.db, dtype=np.float64), frames)
        text = self.take(to_png(to_levels(db, *low_high, LEVELS)))
        if text is None:
            self.pictures_left_out += 1
            return None
        return {
            "png": text,
            "levels": LEVELS,
            "low_db": low_high[0],
            "high_db": low_high[1],
            "from_s": _seconds(picture.from_s),
            "to_s": _seconds(picture.from_s + db.shape[1] * step * picture.frame_s),
            "bands": self._bands(picture.band_hz),
        }

    def take(self, data: bytes) -> str | None:
        size = (len(data) + 2) // 3 * 4
        if size > self.left:
            return None
        self.left -= size
        return base64.b64encode(data).decode("ascii")

    def _bands(self, band_hz: FloatArray) -> int:
        """Which of the shared frequency axes this is."""
        axis = [round(float(hz), 1) for hz in band_hz]
        if axis not in self.bands:
            self.bands.append(axis)
        return self.bands.index(axis)


def _add_media(events: Sequence[ReportEvent], packed: list[Json], budget: _Budget) -> None:
    """Pictures and sounds as far as the budget goes: the most telling kind first, then by rank."""
    kinds: tuple[Callable[[ReportEvent, Json, _Budget], None], ...] = (
        _add_pictures,
        _add_frames,
        _add_original_sound,
        _add_neighbour_pictures,
        _add_neighbour_frames,
        _add_reconstructed_sound,
        _add_neighbour_sounds,
    )
    for add in kinds:
        for event, target in zip(events, packed, strict=True):
            add(event, target, budget)


def _facts(event: ReportEvent) -> Json:
    return {
        "rank": event.rank,
        "recording": event.recording,
        "start_s": _seconds(event.start_s),
        "end_s": _seconds(event.end_s),
        "peak_s": _seconds(event.peak_s),
        "start_time": event.start_time,
        "score": number(event.score),
        "p_value": number(event.p_value),
        "original": _clip_facts(event.original),
        "reconstructed": event.reconstructed and _clip_facts(event.reconstructed),
        "error": None,
        "neighbours": [_clip_facts(clip) for clip in event.neighbours],
        "reasons": list(event.reasons),
        "rows": event.rows,
    }


def _clip_facts(clip: Clip) -> Json:
    return {
        "recording": clip.recording,
        "start_s": _seconds(clip.start_s),
        "end_s": _seconds(clip.end_s),
        "score": number(clip.score),
        "picture": None,
        "sound": None,
        "chart": clip.chart and pack_chart(clip.chart),
        "frame": clip.frame and frame_facts(clip.frame),
    }


def _add_pictures(event: ReportEvent, target: Json, budget: _Budget) -> None:
    clips = [clip for clip in (event.original, event.reconstructed) if clip is not None]
    shared = _range_db([clip.picture for clip in clips])
    target["original"]["picture"] = budget.picture(event.original.picture, shared, PICTURE_FRAMES)
    if event.reconstructed is not None:
        target["reconstructed"]["picture"] = budget.picture(
            event.reconstructed.picture, shared, PICTURE_FRAMES
        )
    if event.error is not None:
        own = (0.0, _range_db([event.error])[1])
        target["error"] = budget.picture(event.error, own, PICTURE_FRAMES)


def _add_frames(event: ReportEvent, target: Json, budget: _Budget) -> None:
    """A frame, its heat, and what was expected."""
    if (frame := event.original.frame) is not None:
        facts = target["original"]["frame"]
        budget.pictures_left_out += add_picture(frame, facts, budget.take)
        budget.pictures_left_out += add_expected(frame, facts, budget.take)


def _add_neighbour_frames(event: ReportEvent, target: Json, budget: _Budget) -> None:
    like = target["original"]["frame"]
    for clip, facts in zip(event.neighbours, target["neighbours"], strict=True):
        if clip.frame is not None:
            budget.pictures_left_out += add_neighbour(clip.frame, facts["frame"], like, budget.take)


def _add_original_sound(event: ReportEvent, target: Json, budget: _Budget) -> None:
    target["original"]["sound"] = budget.sound(event.original.sound)


def _add_neighbour_pictures(event: ReportEvent, target: Json, budget: _Budget) -> None:
    """On the scale of the event's own picture, so that loud and quiet can be compared."""
    low_high = _range_db([event.original.picture])
    for clip, facts in zip(event.neighbours, target["neighbours"], strict=True):
        facts["picture"] = budget.picture(clip.picture, low_high, NEIGHBOUR_FRAMES)


def _add_reconstructed_sound(event: ReportEvent, target: Json, budget: _Budget) -> None:
    if event.reconstructed is not None:
        target["reconstructed"]["sound"] = budget.sound(event.reconstructed.sound)


def _add_neighbour_sounds(event: ReportEvent, target: Json, budget: _Budget) -> None:
    for clip, facts in zip(event.neighbours, target["neighbours"], strict=True):
        facts["sound"] = budget.sound(clip.sound)


def _range_db(pictures: Iterable[Picture | None]) -> tuple[float, float]:
    """Whole decibels between which nearly all of the pictures' levels lie."""
    values = [np.asarray(p.db)[np.isfinite(p.db)] for p in pictures if p is not None]
    joined = np.concatenate(values) if values else np.zeros(0)
    if joined.size == 0:
        return -80.0, 0.0
    low, high = math.floor(np.percentile(joined, 2)), math.ceil(np.percentile(joined, 99.9))
    return float(low), float(max(high, low + 1))
