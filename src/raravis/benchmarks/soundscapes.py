"""How much is found: rare sounds among common ones of the same loudness, and events in the field.

Twelve mixes of ten kinds of sound, `DESIGNED` and `CHECKED`, are composed into recordings of 30
minutes. A detector scores 1-s windows every half second; an event's score is the highest of the
windows that overlap it, and what counts is how well it tells rare events from common ones: AUROC
and average precision (AP). In the field recordings events were mixed in at known times, and what
counts is the share of them found at so many false alarms per hour; a false alarm is a run of
alarmed windows, overlapping or touching, none of which overlaps an event.

A new mix is a line in one of the tables.
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from scipy.signal import resample_poly
from scipy.spatial.distance import cdist

from raravis.encoded import Encoded
from raravis.errors import DataError, ParameterError
from raravis.metrics import auroc, average_precision, event_scores, recall_at_false_alarms
from raravis.progress import Progress, silent
from raravis.scorers.rarity import Rarity
from raravis.sound.features import LogMel
from raravis.windows import BoolArray, FloatArray, Windows

Row = dict[str, Any]
Find = Callable[[Path, int], Any]
"""(recording, seed) -> table with columns start_s, end_s, score, one row per window."""

RATE_HZ = 22050
FIELD = {"clean_plus_events": 14, "rare_events": 5}
"""Recordings of audio/field_longrec, 8 minutes each, and how many events were mixed in."""

PER_HOUR = (15.0, 60.0)
"""False alarms per hour that are borne in the field."""


@dataclass(frozen=True)
class Mix:
    """What a soundscape is composed of: kinds of sound, folders of audio/esc10.

    count  of rare events, among about 300.
    """

    name: str
    seed: int
    common: tuple[str, ...]
    rare: tuple[str, ...]
    count: int = 15


DESIGNED = (
    Mix("s0", 10, ("dog_bark", "rooster", "sea_waves", "baby_cry"), ("chainsaw",)),
    Mix("s1", 11, ("dog_bark", "rain", "helicopter", "chainsaw"), ("rooster",)),
    Mix("s2", 12, ("rooster", "fire_crackling", "sea_waves", "chainsaw"), ("dog_bark", "baby_cry")),
    Mix("s3", 13, ("rain", "sea_waves", "dog_bark", "person_sneeze"), ("helicopter",)),
    Mix(
        "s4", 14, ("helicopter", "chainsaw", "rooster", "baby_cry"), ("clock_tick", "person_sneeze")
    ),
    Mix("s5", 15, ("clock_tick", "fire_crackling", "baby_cry", "dog_bark"), ("sea_waves",)),
)
"""Mixes on which the default was chosen, among others."""

CHECKED = (
    Mix("m0", 20, ("sea_waves", "rain", "baby_cry", "chainsaw"), ("dog_bark",)),
    Mix("m1", 21, ("rooster", "person_sneeze", "clock_tick", "helicopter"), ("fire_crackling",)),
    Mix("m2", 22, ("dog_bark", "fire_crackling", "clock_tick", "rain"), ("rooster",)),
    Mix(
        "m3", 23, ("rooster", "helicopter", "sea_waves", "person_sneeze"), ("chainsaw", "baby_cry")
    ),
    Mix("m4", 24, ("clock_tick", "baby_cry", "rain", "chainsaw"), ("helicopter",)),
    Mix(
        "m5", 25, ("rooster", "fire_crackling", "person_sneeze", "dog_bark"), ("rain", "sea_waves")
    ),
)
"""Mixes at which nobody looked before the default was fixed."""


# ----------------------------------------------------------------- composing


def compose(mix: Mix, data: Path, folder: Path, minutes: float = 30.0) -> tuple[Windows, BoolArray]:
    """Writes FOLDER/soundscape.wav and FOLDER/events.csv; gives the events and which are rare.

    Events of 0.5 to 4 s at 3 to 18 dB above a day in the field, one every 6 s. The same arguments
    give the same bytes.
    """
    random = np.random.default_rng(mix.seed)
    track = _field_day(data, int(minutes * 60 * RATE_HZ))
    noise = float(np.sqrt(np.mean(track**2)))
    clips = {kind: _clips(data, kind) for kind in (*mix.common, *mix.rare)}
    slots = np.arange(3.0, minutes * 60 - 6.0, 6.0)
    if not 1 <= mix.count <= len(slots):
        raise ParameterError(f"count must be in [1, {len(slots)}], got {mix.count}")
    rare_slots = set(random.choice(len(slots), mix.count, replace=False).tolist())
    rows = []
    for number, slot in enumerate(slots):
        rare = number in rare_slots
        label = str(random.choice(mix.rare if rare else mix.common))
        clip = clips[label][random.integers(len(clips[label]))]
        piece = _loudest(_read(clip))
        snr_db = float(random.uniform(3, 18))
        piece *= noise * 10 ** (snr_db / 20) / (np.sqrt(np.mean(piece**2)) + 1e-9)
        start = int((slot + random.uniform(0, 6.0 - 4.2)) * RATE_HZ)
        stop = start + len(piece)
        track[start:stop] += piece
        times = round(start / RATE_HZ, 3), round(stop / RATE_HZ, 3)
        rows.append((*times, label, round(snr_db, 1), int(rare), clip.name))
    folder.mkdir(parents=True, exist_ok=True)
    track *= min(1.0, 0.98 / float(np.abs(track).max()))
    soundfile.write(folder / "soundscape.wav", track, RATE_HZ, subtype="PCM_16")
    with (folder / "events.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["start_s", "end_s", "label", "snr_db", "rare", "clip"])
        writer.writerows(rows)
    events = Windows.of(0, [row[0] for row in rows], [row[1] for row in rows])
    return events, np.array([row[4] == 1 for row in rows])


def _clips(data: Path, kind: str) -> list[Path]:
    clips = sorted((data / "audio/esc10" / kind).glob("*.ogg"))
    if not clips:
        raise DataError(f"expected clips in {data}/audio/esc10/{kind}, found none: get ESC-10")
    return clips


def _read(path: Path) -> FloatArray:
    """A clip as mono float32 at 22,050 Hz, (S,)."""
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    if rate_hz != RATE_HZ:
        mono = resample_poly(mono, RATE_HZ, rate_hz).astype(np.float32)
    return np.asarray(mono)


def _loudest(samples: FloatArray) -> FloatArray:
    """The loudest stretch of a clip, 0.5 to 4 s: where it is less than 30 dB below its peak."""
    frame = RATE_HZ // 20
    starts = range(0, len(samples) - frame, frame)
    energy = np.array([np.mean(samples[i : i + frame] ** 2) for i in starts]) + 1e-12
    loud = np.flatnonzero(10 * np.log10(energy / energy.max()) > -30)
    length = int(np.clip((loud[-1] + 1 - loud[0]) * frame, RATE_HZ // 2, 4 * RATE_HZ))
    middle = int(energy.argmax()) * frame
    start = int(np.clip(middle - length // 2, 0, max(0, len(samples) - length)))
    piece = samples[start : start + length].copy()
    ramp = min(len(piece) // 4, RATE_HZ // 50)
    piece[:ramp] *= np.linspace(0, 1, ramp)
    piece[-ramp:] *= np.linspace(1, 0, ramp)
    return piece


def _field_day(data: Path, total: int) -> FloatArray:
    """A day in the field, again and again, its pieces cross-faded over half a second, (total,)."""
    pieces = [_read(path) for path in sorted((data / "audio/field_24h").glob("*.flac"))]
    if not pieces:
        raise DataError(f"expected FLAC files in {data}/audio/field_24h, found none")
    fade = RATE_HZ // 2
    rise = np.linspace(0, 1, fade, dtype=np.float32)
    track = np.zeros(total, np.float32)
    at, number = 0, 0
    while at < total:
        piece = pieces[number % len(pieces)].copy()
        piece[:fade] *= rise
        piece[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        room = min(len(piece), total - at)
        track[at : at + room] += piece[:room]
        at, number = at + len(piece) - fade, number + 1
    return track


# ----------------------------------------------------------------- baselines


def baselines(path: Path, windows: Windows, seed: int) -> dict[str, FloatArray]:
    """Scores (N,) of what anybody would try first, by name; higher is stranger.

    "random"; "loudness", the mean level in dB; and on mean and deviation of each of 64 bands in
    dB, standardised, "PCA", what ten principal components leave over, and "kNN", the mean distance
    to the five nearest windows that do not overlap.
    """
    level = _statistics(path, windows)  # (N, 128)
    standard = (level - level.mean(axis=0)) / (level.std(axis=0) + 1e-9)
    direction = np.linalg.svd(standard, full_matrices=False)[2][:10]
    left = standard - standard @ direction.T @ direction
    return {
        "random": np.random.default_rng(seed).random(len(windows)),
        "loudness": level[:, :64].mean(axis=1),
        "PCA": np.linalg.norm(left, axis=1),
        "kNN": _nearest(standard, windows),
    }


def _statistics(path: Path, windows: Windows) -> FloatArray:
    """Mean and deviation of each band within each window, (N, 128)."""
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mel = LogMel()
    frames = mel.frames(len(samples) / rate_hz)
    decibels = mel.log(mel.power(samples.mean(axis=1), rate_hz, 0, 0, frames))
    first = np.minimum([mel.frames(start_s) for start_s in windows.start_s], frames - 1)
    last = [max(mel.frames(end_s), at + 1) for end_s, at in zip(windows.end_s, first, strict=True)]
    cuts = [decibels[:, a:b] for a, b in zip(first, last, strict=True)]
    return np.array([np.concatenate([c.mean(axis=1), c.std(axis=1)]) for c in cuts])


def _nearest(embedding: FloatArray, windows: Windows, count: int = 5) -> FloatArray:
    distance = cdist(embedding, embedding)
    start_s, end_s = windows.start_s, windows.end_s
    distance[(start_s[:, None] < end_s) & (start_s < end_s[:, None])] = np.inf
    nearest: FloatArray = np.partition(distance, count, axis=1)[:, :count].mean(axis=1)
    return nearest


# ----------------------------------------------------------------- measuring


def run(
    data: Path,
    find: Find,
    seeds: Sequence[int] = (0, 1, 2),
    minutes: float = 30.0,
    parts: Sequence[str] = (),
    progress: Progress = silent,
) -> list[Row]:
    """Rows of figures, those of each part's mean first, then each recording's; all with baselines.

    designed on, checked on  the mixes as they are, with each of the detector's seeds
    ..., composed anew       the same kinds of sound, composed anew for each seed
    ..., one rare            likewise, with one rare event instead of 15
    field                    share of the events found within 15 and 60 false alarms per hour

    data     folder with audio/esc10, audio/field_24h and audio/field_longrec.
    find     what scores a recording; it learns from that recording alone.
    seeds    given to `find`, and from which soundscapes are composed anew.
    minutes  of each soundscape; the published figures are of 30.
    parts    which of the parts above, by name; none are all.
    """
    jobs = [job for job in _jobs(seeds) if not parts or job[0] in parts]
    field = FIELD if not parts or "field" in parts else {}
    if not jobs and not field:
        known = sorted({part for part, *_ in _jobs(seeds)} | {"field"})
        raise ParameterError(f"parts must be of {', '.join(known)}, got {', '.join(parts)}")
    rows: list[Row] = []
    for done, (part, mix, chosen) in enumerate(jobs):
        progress("soundscapes", done, len(jobs) + len(field))
        rows += _measure_mix(part, mix, data, find, chosen, minutes)
    for done, name in enumerate(field):
        progress("field recordings", len(jobs) + done, len(jobs) + len(field))
        rows += _measure_field(name, data, find, seeds)
    progress("field recordings", len(jobs) + len(field), len(jobs) + len(field))
    return _means(rows) + rows


def _jobs(seeds: Sequence[int]) -> Iterator[tuple[str, Mix, Sequence[int]]]:
    """(part, mix, seeds of the detector) of every soundscape to compose."""
    for part, mixes in (("designed on", DESIGNED), ("checked on", CHECKED)):
        for mix in mixes:
            yield part, mix, seeds
        for seed in seeds:
            for mix in mixes:
                anew = replace(mix, name=f"{mix.name}+{seed}", seed=mix.seed + 100 * (seed + 1))
                yield f"{part}, composed anew", anew, (seed,)
                yield f"{part}, one rare", replace(anew, seed=anew.seed + 50, count=1), (seed,)


def _measure_mix(
    part: str, mix: Mix, data: Path, find: Find, seeds: Sequence[int], minutes: float
) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        events, rare = compose(mix, data, Path(folder), minutes)
        found: dict[str, list[tuple[float, float]]] = {}
        for method, windows, scores in _scored(Path(folder) / "soundscape.wav", find, seeds):
            best = event_scores(windows, scores, events)
            figures = auroc(rare, best), average_precision(rare, best)
            found.setdefault(method, []).append(figures)
    return [
        {"part": part, "recording": mix.name, "method": method}
        | dict(zip(("auroc", "ap"), np.mean(figures, axis=0).tolist(), strict=True))
        for method, figures in found.items()
    ]


def _measure_field(name: str, data: Path, find: Find, seeds: Sequence[int]) -> list[Row]:
    path = data / "audio/field_longrec" / f"field_A_{name}.flac"
    with path.with_name(f"field_A_{name}_events.csv").open(newline="") as file:
        times = [(float(row["start_s"]), float(row["end_s"])) for row in csv.DictReader(file)]
    events = Windows.of(0, [start for start, _ in times], [end for _, end in times])
    hours = soundfile.info(path).duration / 3600
    found: dict[str, list[FloatArray]] = {}
    for method, windows, scores in _scored(path, find, seeds):
        recall = recall_at_false_alarms(windows, scores, events, hours, PER_HOUR)
        found.setdefault(method, []).append(recall)
    return [
        {"part": "field", "recording": name, "method": method, "events": len(events)}
        | {f"within_{p:g}_per_hour": float(r) for p, r in zip(PER_HOUR, np.mean(v, 0), strict=True)}
        for method, v in found.items()
    ]


def _scored(
    path: Path, find: Find, seeds: Sequence[int]
) -> Iterator[tuple[str, Windows, FloatArray]]:
    """(method, windows, scores) of ours and of the baselines, for each seed."""
    for seed in seeds:
        table = find(path, seed)
        windows = Windows.of(0, table["start_s"], table["end_s"])
        yield "raravis", windows, np.asarray(table["score"], dtype=np.float64)
        if seed == seeds[0]:
            for method, scores in baselines(path, windows, seed).items():
                yield method, windows, scores


def _means(rows: Sequence[Row]) -> list[Row]:
    """One row per part and method: means over recordings, in the field weighted by events."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["part"], row["method"]), []).append(row)
    means = []
    for (part, method), group in groups.items():
        weights = [row.get("events", 1) for row in group]
        figures = [key for key in group[0] if key not in ("part", "recording", "method", "events")]
        means.append(
            {"part": part, "recording": f"mean of {len(group)}", "method": method}
            | {f: float(np.average([row[f] for row in group], weights=weights)) for f in figures}
        )
    return means


# ----------------------------------------------------------------- cost


def bank_curve(
    hours: Sequence[int] = (1, 10, 100, 1000),
    per_hour: int = 600,
    bank: int = 2000,
    seed: int = 0,
) -> list[Row]:
    """CPU-seconds that judging rarity costs, learning and for each hour, however long the run.

    On simulated descriptors: `per_hour` events an hour, of 397 numbers, from 50 kinds of sound.
    """
    random = np.random.default_rng(seed)
    kinds = random.normal(size=(50, 397))

    def heard(events: int) -> Encoded:
        kind = kinds[random.integers(len(kinds), size=events)]
        return Encoded((kind + random.normal(size=kind.shape)).astype(np.float32))

    rows = []
    for length in hours:
        began = time.process_time()
        scorer = Rarity(bank, seed=seed).fit(heard(min(length * per_hour, 2 * bank)))
        learned = time.process_time()
        for _ in range(length):
            scorer.score(heard(per_hour))
        ended = time.process_time()
        rows.append(
            {
                "hours": length,
                "events": length * per_hour,
                "remembered": len(scorer.bank_),
                "learn_cpu_s": learned - began,
                "score_cpu_s_per_hour": (ended - learned) / length,
            }
        )
    return rows
