"""What is in a collection before anything is learned from it: counts, rates, times, levels."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from raravis.errors import RecordingError
from raravis.progress import Progress, silent
from raravis.sources.audio import AudioSource
from raravis.windows import FloatArray, Recording, Skipped


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


def levels(source: AudioSource, progress: Progress = silent) -> dict[str, Level]:
    """Level of each recording, from up to six ten-second pieces spread over it."""
    found = {}
    for index, recording in enumerate(source.recordings):
        progress("measuring levels", index, len(source.recordings))
        starts = np.unique(np.linspace(0, max(0, recording.duration_s - 10), 6).astype(int))
        try:
            pieces = [
                source.read(index, float(at), min(at + 10.0, recording.duration_s)) for at in starts
            ]
        except RecordingError as error:
            source.skipped.append(Skipped(error.path, error.reason))
            continue
        found[recording.name] = level_of(np.concatenate(pieces))
    progress("measuring levels", len(source.recordings), max(1, len(source.recordings)))
    return found


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


def overview(source: AudioSource) -> dict[str, Any]:
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
        "resampled": len(source.resampled),
        "windows": len(source),
        "first_start": starts[0].isoformat() if starts else None,
        "last_start": starts[-1].isoformat() if starts else None,
        "without_time": sum(r.start_time is None for r in recordings),
        "gaps": len(between),
        "longest_gap_s": max((g.gap.total_seconds() for g in between), default=0.0),
        "skipped": [{"path": s.path, "reason": s.reason} for s in source.skipped],
    }


def plot(source: AudioSource, found: dict[str, Level], path: Path) -> None:
    """A picture: level of each recording over time (or in order), and how long each is."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [r for r in source.recordings if r.name in found]
    timed = all(r.start_time is not None for r in shown)
    x: list[Any] = [r.start_time if timed else i for i, r in enumerate(shown)]
    figure, (level, length) = pyplot.subplots(2, 1, figsize=(10, 5), sharex=True, layout="tight")
    level.plot(x, [found[r.name].peak_db for r in shown], ".", color="0.6", label="peak")
    level.plot(x, [found[r.name].mean_db for r in shown], ".", color="tab:blue", label="mean")
    level.set_ylabel("level, dB re full scale")
    level.legend(loc="upper right", frameon=False)
    length.plot(x, [r.duration_s for r in shown], ".", color="tab:green")
    length.set_ylabel("length, s")
    length.set_xlabel("time" if timed else "recording")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
