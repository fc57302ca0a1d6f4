"""What a report is made of, as arrays and bytes.

The page knows recordings, scores, events, pictures and sounds; it knows no detector and no model.
Whoever writes a report fills these in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raravis.windows import FloatArray, IntArray


@dataclass(frozen=True)
class Picture:
    """A spectrogram.

    db       (F, T) level in decibels, band 0 the lowest.
    band_hz  (F,) centre frequencies, rising.
    from_s   start of the first frame, seconds from the start of the recording.
    frame_s  from one frame to the next, in seconds.
    """

    db: FloatArray
    band_hz: FloatArray
    from_s: float
    frame_s: float


@dataclass(frozen=True)
class Line:
    """The course of one channel.

    value      (n,) in the channel's own unit; NaN where it is missing.
    low, high  its ordinary range in the same unit, or None.
    share      its part of the event's score, in [0, 1], or None.
    """

    name: str
    value: FloatArray
    low: float | None = None
    high: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class Chart:
    """Channels over time, one above the other, and underneath the score.

    time_s  (n,) seconds from the start of the recording, never falling.
    lines   the most telling channel first.
    score   (n,) NaN where there is none.
    known   (from, to) in seconds: stretches that the recording's own labels call anomalous.
    """

    time_s: FloatArray
    lines: Sequence[Line]
    score: FloatArray
    known: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class View:
    """What one camera saw.

    camera    "colour", "grey" or "celsius".
    picture   (C, H, W) in [0, 1], or (1, H, W) in degrees Celsius.
    expected  what a model made of it, (C, h, w) of any size; None where none can.
    heat      (h, w) how strange each place is; None where nobody can say.
    usual     heat that ordinary frames reach as well; what is above it is shown.
    """

    camera: str
    picture: FloatArray
    expected: FloatArray | None = None
    heat: FloatArray | None = None
    usual: float = 0.0


@dataclass(frozen=True)
class Frame:
    """A frame: what each of its one or two cameras saw."""

    name: str
    views: Sequence[View] = ()


@dataclass(frozen=True)
class Clip:
    """A stretch of a recording to be seen and heard.

    recording  index into `Report.recordings`.
    score      of the strangest window in it; NaN where it has none.
    sound      the bytes of an .ogg file (Opus or Vorbis) that lasts from `start_s` to `end_s`.
               None: the page plays the recording itself, if it can reach it.
    chart      of a series, what its channels did.
    frame      of pictures, the frame itself.
    """

    recording: int
    start_s: float
    end_s: float
    score: float
    picture: Picture | None = None
    sound: bytes | None = None
    chart: Chart | None = None
    frame: Frame | None = None


@dataclass(frozen=True)
class ReportEvent:
    """Something rare, with what shows why.

    rank           1 is the strangest.
    peak_s         the strangest moment, seconds from the start of the recording.
    start_time     wall-clock time of `start_s`, ISO 8601, or None.
    p_value        share of ordinary windows that would score at least as high.
    original       the event with some seconds around it.
    reconstructed  what the model made of it, or None where the model cannot reconstruct.
    error          |original - reconstructed| in decibels, same axes as the original's picture.
    neighbours     the ordinary stretches most alike, the nearest first.
    reasons        short plain sentences: why it is thought rare.
    rows           its first and last row or frame, counted from 1; None of sound.
    """

    rank: int
    recording: int
    start_s: float
    end_s: float
    peak_s: float
    start_time: str | None
    score: float
    p_value: float
    original: Clip
    reconstructed: Clip | None = None
    error: Picture | None = None
    neighbours: Sequence[Clip] = ()
    reasons: Sequence[str] = ()
    rows: tuple[int, int] | None = None


@dataclass(frozen=True)
class Timeline:
    """Scores of one recording's windows: from (N,) to (N,) in seconds, score (N,)."""

    start_s: FloatArray
    end_s: FloatArray
    score: FloatArray


@dataclass(frozen=True)
class ReportRecording:
    """One recording.

    start_time  wall-clock time of its first sample, ISO 8601, shown as it stands; or None.
    url         where the page finds the file, relative to the page itself; None if it cannot.
    timeline    its scores by the main scorer.
    frames      of pictures: the name of each window of `timeline`.
    """

    name: str
    start_time: str | None
    duration_s: float
    url: str | None
    timeline: Timeline
    frames: Sequence[str] = ()


@dataclass(frozen=True)
class Member:
    """Another scorer, shown beside the main one.

    timelines  one for each of `Report.recordings`, in order; windows may differ from the main ones.
    level      its alarm level, or None.
    """

    timelines: Sequence[Timeline]
    level: float | None = None


@dataclass(frozen=True)
class Thumbnails:
    """Small pictures of some points.

    rows      (K,) which of the points, rising.
    pictures  (K, h, w, 3) uint8.
    """

    rows: IntArray
    pictures: IntArray


@dataclass(frozen=True)
class Points:
    """The embeddings of N windows, seen along their three main directions.

    coords      (N, 3) principal components.
    cluster     (N,) which group, 0 ... at most 254.
    groups      what each group is called; empty where they have numbers only.
    recording   (N,) index into `Report.recordings`.
    explained   (3,) share of the variance along each direction.
    thumbnails  of pictures, what some of the points look like.
    """

    coords: FloatArray
    cluster: IntArray
    recording: IntArray
    start_s: FloatArray
    end_s: FloatArray
    score: FloatArray
    explained: FloatArray
    groups: Sequence[str] = ()
    thumbnails: Thumbnails | None = None


@dataclass(frozen=True)
class Threshold:
    """From which score on a window is alarmed, and which share of ordinary windows passes it."""

    level: float
    p_value: float


@dataclass(frozen=True)
class Moment:
    """A stretch of a recording that was left out of learning.

    name        of the recording; recording, its index into `Report.recordings`, or None where the
                report is about others.
    start_time  wall-clock time of `start_s`, ISO 8601, or None.
    model       whose loss it is; above the level it was left out.
    """

    name: str
    recording: int | None
    start_s: float
    end_s: float
    start_time: str | None
    model: str
    loss: float
    level: float


@dataclass(frozen=True)
class Pruned:
    """What was left out while learning: a sentence for each model, and the strangest moments."""

    said: Sequence[str]
    moments: Sequence[Moment] = ()


@dataclass(frozen=True)
class Report:
    """All that stands on the page.

    created   when it was made, as it shall be read.
    kind      of recordings, which the page's words follow: "sound", "series", "images" or "pairs".
    read      how much was gone through, in words; empty: so many hours of sound.
    remarks   what was read, but not as it stood, and how.
    summary   (label, value) pairs: hours heard, largest and mean error, ...; shown in order.
    scorer    the name of the main scorer.
    members   name -> another scorer's timelines.
    events    the strangest first.
    skipped   (path, reason) of what could not be read.
    settings  the resolved configuration, as a nested dict.
    pruned    what was left out while learning; None where nothing was looked for.
    """

    title: str
    created: str
    summary: Sequence[tuple[str, str]]
    threshold: Threshold
    recordings: Sequence[ReportRecording]
    events: Sequence[ReportEvent]
    points: Points | None = None
    members: Mapping[str, Member] = field(default_factory=dict)
    skipped: Sequence[tuple[str, str]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    scorer: str = "rarity"
    kind: str = "sound"
    read: str = ""
    remarks: Sequence[str] = ()
    pruned: Pruned | None = None
