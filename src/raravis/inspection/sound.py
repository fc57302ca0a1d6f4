"""Sound: how loud each recording is, at which frequencies, at which hours; what is missing."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from scipy.signal import welch

from raravis.errors import RecordingError
from raravis.progress import Progress, silent
from raravis.sources import SoundSource
from raravis.windows import FloatArray, Recording

PIECE_S = 10.0
SEGMENT = 2048  # samples of a spectrum


@dataclass(frozen=True)
class Level:
    """How loud one recording is, in decibels below full scale, from up to a minute of it.

    mean_db    of the mean power; peak_db, of the largest sample.
    clipped    share of the samples at full scale.
    """

    mean_db: float
    peak_db: float
    clipped: float


@dataclass(frozen=True)
class Gap:
    """Time between two recordings that follow each other."""

    after: str
    before: str
    gap: timedelta


def level_of(samples: FloatArray) -> Level:
    """Level of samples (S,) within [-1, 1]; silence is -200 dB."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    peak = float(np.abs(samples).max(initial=0.0))
    return Level(
        10 * np.log10(max(power, 1e-20)),
        20 * np.log10(max(peak, 1e-10)),
        float(np.mean(np.abs(samples) >= 0.999)) if len(samples) else 0.0,
    )


@dataclass(frozen=True)
class Piece:
    """Ten seconds of a recording: when they began (None where nothing tells), and how loud."""

    at: datetime | None
    level_db: float


@dataclass(frozen=True)
class SoundView:
    """All that was heard in pieces spread over the recordings.

    levels    of each recording, by name.
    pieces    of all recordings.
    hz        (F,) frequencies; spectra (N, F), dB below full scale per Hz, of the recordings in
              `levels`, in their order.
    """

    source: SoundSource
    levels: dict[str, Level]
    pieces: list[Piece]
    hz: FloatArray
    spectra: FloatArray

    def overview(self) -> dict[str, Any]:
        """Counts, rates, channels, hours and times of the collection."""
        return overview(self.source)

    def details(self) -> dict[str, Any]:
        """The level of each recording."""
        return {"levels": {name: vars(level) for name, level in self.levels.items()}}

    def table(self) -> tuple[str, list[str], list[list[Any]]]:
        """Title, columns and rows: the quietest and the loudest recordings."""
        order = sorted(self.levels.items(), key=lambda item: item[1].mean_db)
        ends = dict((*order[:3], *order[-3:]))
        rows: list[list[Any]] = [
            [name, one.mean_db, one.peak_db, 100 * one.clipped] for name, one in ends.items()
        ]
        columns = ["recording", "mean, dB", "peak, dB", "clipped, %"]
        return "The quietest and the loudest, dB below full scale", columns, rows


def listen_to(source: SoundSource, progress: Progress = silent) -> SoundView:
    """Levels and mean spectra from up to six ten-second pieces spread over each recording."""
    found: dict[str, Level] = {}
    pieces: list[Piece] = []
    spectra: list[FloatArray] = []
    for index, recording in enumerate(source.recordings):
        progress("listening", index, len(source.recordings))
        starts = np.unique(np.linspace(0, max(0, recording.duration_s - PIECE_S), 6).astype(int))
        try:
            heard = [
                source.read(index, float(at), min(at + PIECE_S, recording.duration_s))
                for at in starts
            ]
        except RecordingError as error:
            source.skip(error)
            continue
        found[recording.name] = level_of(np.concatenate(heard))
        spectra.append(_spectrum(heard, source.rate_hz))
        for at, samples in zip(starts, heard, strict=True):
            pieces.append(Piece(recording.time_at(float(at)), level_of(samples).mean_db))
    progress("listening", len(source.recordings), max(1, len(source.recordings)))
    hz = np.arange(SEGMENT // 2 + 1) * source.rate_hz / SEGMENT
    return SoundView(source, found, pieces, hz, np.array(spectra).reshape(len(spectra), len(hz)))


def _spectrum(pieces: Sequence[FloatArray], rate_hz: int) -> FloatArray:
    """Mean power density in dB, (F,); -200 where there is none."""
    powers = [
        welch(np.pad(samples, (0, max(0, SEGMENT - len(samples)))), rate_hz, nperseg=SEGMENT)[1]
        for samples in pieces
    ]
    density: FloatArray = 10 * np.log10(np.maximum(np.mean(powers, axis=0), 1e-20))
    return density


def gaps(recordings: Sequence[Recording], least_s: float = 1.0) -> list[Gap]:
    """Where more than `least_s` lie between the end of a recording and the next one's start."""
    timed = sorted(
        (r for r in recordings if r.start_time is not None),
        key=lambda r: r.start_time or datetime.min,
    )
    found = []
    for first, second in itertools.pairwise(timed):
        end = first.time_at(first.duration_s)
        if end is not None and second.start_time is not None:
            gap = second.start_time - end
            if gap > timedelta(seconds=least_s):
                found.append(Gap(first.name, second.name, gap))
    return found


def overview(source: SoundSource) -> dict[str, Any]:
    """Counts, rates, channels, hours and times of a collection, for print or JSON."""
    recordings = source.recordings
    starts = sorted(r.start_time for r in recordings if r.start_time is not None)
    between = gaps(recordings)
    durations = [r.duration_s for r in recordings]
    return {
        "recordings": len(recordings),
        "hours": round(sum(durations) / 3600, 4),
        "shortest_s": min(durations),
        "longest_s": max(durations),
        "rates_hz": {
            f"{hz:g}": n for hz, n in Counter(r.rate_hz for r in recordings).most_common()
        },
        "channels": {str(c): n for c, n in Counter(r.channels for r in recordings).most_common()},
        "resampled": sum(r.rate_hz != source.rate_hz for r in recordings),
        "windows": len(source),
        "first_start": starts[0].isoformat() if starts else None,
        "last_start": starts[-1].isoformat() if starts else None,
        "without_time": sum(r.start_time is None for r in recordings),
        "gaps": len(between),
        "longest_gap_s": max((g.gap.total_seconds() for g in between), default=0.0),
        "skipped": [{"path": s.path, "reason": s.reason} for s in source.skipped],
    }
