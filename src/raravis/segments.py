"""Where in a recording something happens: sound events cut out whole, free of the background.

`Segmenter.cut` turns mel power into `Excerpt`s, and `spread` lays their scores on fixed windows.
Fixed windows see beginnings, ends and middles of the same call as three different sounds; whole
events are alike where the calls are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from raravis.errors import ParameterError
from raravis.sound.normalising import background_db
from raravis.windows import BoolArray, FloatArray, IntArray, Windows

FLOOR = 1e-10
"""Power below this counts as this, -100 dB, so that digital silence has a level."""

SMOOTHING_S = 0.1
"""Power is averaged over so long before it is compared with the background."""

MOST_ABOVE_DB = 30.0
"""How far above the background a band can count: one loud band does not make an event alone."""

LOUDEST_BANDS = 0.25
"""Share of the bands, the loudest ones, that counts as much as all bands together."""

SPLIT_MARGIN_S = 0.5
"""No piece of a split event is shorter, unless the event itself is short."""

SPLIT_SMOOTHING_S = 0.3
"""Loudness is averaged over so long before the place to split is looked for."""

SPLIT_PULL_DB = 0.5
"""So much louder the middle may be than the ends, and still be preferred for the split."""

QUIET_PERCENTILE = 20
"""Of the loudness: what it is where nothing happens."""

SALIENCE_PERCENTILE = 90
"""Of the loudness within an event: how far the event stands out."""


@dataclass(frozen=True)
class Excerpt:
    """One sound event, cut out.

    above_db       (F, T) float16 >= 0: how far each cell stands above the background.
    background_db  (F,) float32: the background of each band, mean over the event.
    start_s        seconds from the start of the recording.
    end_s          likewise.
    salience_db    how far the event stands out from what is before and after it, >= 0.
    """

    above_db: FloatArray
    background_db: FloatArray
    start_s: float
    end_s: float
    salience_db: float


class Segmenter:
    """Finds sound events and cuts them out.

    Loudness is how far the power exceeds the slow background of each band, in dB from 0 to 30:
    half its mean over all bands, half that over the loudest quarter of them. An event begins and
    ends where the loudness passes `edge_db` above the quiet, and must reach `peak_db`. Events that
    follow each other closely are one; long ones are split where they are least loud.

    edge_db        above the quiet, where an event begins and ends.
    peak_db        above the quiet, what an event must reach; >= edge_db.
    gap_s          events closer than this are one.
    shortest_s     what is shorter is none.
    longest_s      what is longer is split.
    frames_per_s   of the power given to `cut`.

    Source: hysteresis after Canny 1986, in one dimension.
    """

    def __init__(
        self,
        edge_db: float = 3.0,
        peak_db: float = 6.0,
        gap_s: float = 0.6,
        shortest_s: float = 0.1,
        longest_s: float = 4.5,
        frames_per_s: float = 50.0,
    ) -> None:
        if not 0 < edge_db <= peak_db:
            raise ParameterError(
                f"edge_db must be above 0 and at most peak_db, got {edge_db} and {peak_db}"
            )
        if not 0 < shortest_s < longest_s or gap_s < 0:
            raise ParameterError(
                "gap_s must be at least 0, shortest_s above 0 and below longest_s, got "
                f"{gap_s}, {shortest_s} and {longest_s}"
            )
        if frames_per_s <= 0:
            raise ParameterError(f"frames_per_s must be above 0, got {frames_per_s}")
        self.edge_db = edge_db
        self.peak_db = peak_db
        self.gap_s = gap_s
        self.shortest_s = shortest_s
        self.longest_s = longest_s
        self.frames_per_s = frames_per_s

    def cut(self, power: FloatArray, first_frame_s: float = 0.0) -> list[Excerpt]:
        """Sound events in mel power (F, T), in order of time; none where nothing stands out.

        first_frame_s  when power[:, 0] is, in seconds from the start of the recording.
        """
        if power.ndim != 2:
            raise ParameterError(f"power must be (bands, frames), got shape {power.shape}")
        if not power.size:
            return []
        frames = max(1, round(SMOOTHING_S * self.frames_per_s))
        smooth = _decibels(uniform_filter1d(power, frames, axis=1, mode="nearest"))  # (F, T)
        background = background_db(smooth, self.frames_per_s)  # (F, T)
        loudness = _loudness(smooth - background)  # (T,)
        excerpts = []
        for start, stop in self.find(loudness):
            here = background[:, start:stop]
            excerpts.append(
                Excerpt(
                    np.maximum(_decibels(power[:, start:stop]) - here, 0).astype(np.float16),
                    here.mean(axis=1, dtype=np.float64).astype(np.float32),
                    first_frame_s + start / self.frames_per_s,
                    first_frame_s + stop / self.frames_per_s,
                    float(np.percentile(loudness[start:stop], SALIENCE_PERCENTILE)),
                )
            )
        return excerpts

    def find(self, loudness: FloatArray) -> list[tuple[int, int]]:
        """First frame and the frame after the last of each event; loudness (T,) in dB, quiet 0."""
        runs = [
            (start, stop)
            for start, stop in _runs(loudness > self.edge_db)
            if loudness[start:stop].max() > self.peak_db
        ]
        shortest = self.shortest_s * self.frames_per_s
        return [
            piece
            for start, stop in _joined(runs, self.gap_s * self.frames_per_s)
            if stop - start >= shortest
            for piece in self._split(loudness, start, stop)
        ]

    def _split(self, loudness: FloatArray, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Pieces of at most `longest_s`, cut where it is least loud and near the middle."""
        frames = stop - start
        if frames <= max(2, self.longest_s * self.frames_per_s):
            yield start, stop
            return
        margin = max(1, min(round(SPLIT_MARGIN_S * self.frames_per_s), frames // 4))
        width = max(1, round(SPLIT_SMOOTHING_S * self.frames_per_s))
        smooth = uniform_filter1d(loudness[start:stop], width)[margin : frames - margin]
        off_middle = np.abs(np.linspace(-1, 1, len(smooth)))
        cut = start + margin + int(np.argmin(smooth + SPLIT_PULL_DB * off_middle))
        yield from self._split(loudness, start, cut)
        yield from self._split(loudness, cut, stop)


def _decibels(power: FloatArray) -> FloatArray:
    return 10 * np.log10(np.maximum(power, FLOOR))


def _loudness(above_db: FloatArray) -> FloatArray:
    """How loud it is at each moment, in dB, (T,), from dB above the background (F, T)."""
    above = np.clip(above_db, 0, MOST_ABOVE_DB)
    loudest = max(1, round(LOUDEST_BANDS * len(above)))
    top = np.partition(above, len(above) - loudest, axis=0)[-loudest:]
    loudness: FloatArray = (above.mean(axis=0) + top.mean(axis=0)) / 2
    return loudness - np.percentile(loudness, QUIET_PERCENTILE)


def _runs(on: BoolArray) -> list[tuple[int, int]]:
    """First and one past the last index of each run of True in (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _joined(runs: list[tuple[int, int]], gap: float) -> list[tuple[int, int]]:
    """Runs with less than `gap` between them made one."""
    joined: list[tuple[int, int]] = []
    for start, stop in runs:
        if joined and start - joined[-1][1] < gap:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


LEAST_OF_WINDOW = 0.7
"""A window takes the score of a segment that fills at least this share of it ..."""

LEAST_OF_SEGMENT = 0.75
"""... or of which it holds at least this share."""


def spread(windows: Windows, segments: Windows, scores: FloatArray) -> FloatArray:
    """Scores (S,) of segments laid on fixed windows, (N,) float64.

    A window takes the highest score of the segments that it sees enough of: they fill 70 % of it,
    or it holds 75 % of them. A window that sees none lies below all segments and below 0: from
    -1 where nothing happens up to 0 where it nearly saw one.
    """
    lowest = min(0.0, float(scores.min())) if len(scores) else 0.0
    spread_ = np.full(len(windows), lowest - 1.0)
    window, segment = _meetings(windows, segments)
    overlap = np.minimum(windows.end_s[window], segments.end_s[segment]) - np.maximum(
        windows.start_s[window], segments.start_s[segment]
    )
    needed = np.minimum(
        LEAST_OF_WINDOW * (windows.end_s - windows.start_s)[window],
        LEAST_OF_SEGMENT * (segments.end_s - segments.start_s)[segment],
    )
    nearly = lowest - 1 + np.clip(overlap / needed, 0, 1 - 1e-6)
    np.maximum.at(spread_, window, np.where(overlap >= needed, scores[segment], nearly))
    return spread_


def _meetings(windows: Windows, segments: Windows) -> tuple[IntArray, IntArray]:
    """Pairs (window, segment) that overlap, for windows in order of time within a recording."""
    found: list[tuple[IntArray, IntArray]] = []
    for recording in np.unique(segments.recording):
        rows = np.flatnonzero(windows.recording == recording)
        ours = np.flatnonzero(segments.recording == recording)
        first = np.searchsorted(windows.end_s[rows], segments.start_s[ours], side="right")
        last = np.searchsorted(windows.start_s[rows], segments.end_s[ours], side="left")
        counts = np.maximum(last - first, 0)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        found.append((rows[np.repeat(first, counts) + within], np.repeat(ours, counts)))
    if not found:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing
    window, segment = (np.concatenate(column) for column in zip(*found, strict=True))
    return window, segment
