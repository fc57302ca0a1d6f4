"""A dawn chorus made from nothing: the built-in data of `raravis demo` and of the tests.

Five kinds of bird sing again and again, wind gusts and rain passes; a plane and a chainsaw come
once each. Every call of the same arguments gives the same samples. To add a singer, write a
function `(rng) -> samples` and name it in `SINGERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfilt

from raravis.errors import ParameterError
from raravis.windows import FloatArray

RATE_HZ = 22_050


@dataclass(frozen=True)
class Sound:
    """Something that was put into the recording: when, what, and whether it is one of the rare."""

    start_s: float
    end_s: float
    label: str
    rare: bool


def dawn_chorus(minutes: float = 10.0, seed: int = 0) -> tuple[FloatArray, list[Sound]]:
    """Samples (S,) float32 at 22,050 Hz within [-1, 1], and what sounds in them, in time order.

    minutes  at least 2, so that there is room for a plane and a chainsaw among the birds.
    """
    if minutes < 2:
        raise ParameterError(f"minutes must be at least 2, got {minutes}")
    rng = np.random.default_rng(seed)
    total = int(minutes * 60 * RATE_HZ)
    track = wind(total, rng) + rain(total, rng)
    sounds = []
    at_s = 1.0
    while at_s < minutes * 60 - 4:
        label = str(rng.choice(list(SINGERS), p=[0.3, 0.2, 0.2, 0.2, 0.1]))
        song = SINGERS[label](rng) * float(rng.uniform(0.02, 0.12))
        sounds.append(_place(track, song, at_s, label, rare=False))
        at_s += float(rng.uniform(1.5, 4.5))
    for label, sound, share in (("plane", plane(rng), 0.35), ("chainsaw", chainsaw(rng), 0.75)):
        start_s = minutes * 60 * (share + float(rng.uniform(-0.08, 0.08)))
        sounds.append(_place(track, sound, start_s, label, rare=True))
    track *= 0.9 / np.abs(track).max()
    return track.astype(np.float32), sorted(sounds, key=lambda sound: sound.start_s)


def _place(track: FloatArray, sound: FloatArray, start_s: float, label: str, rare: bool) -> Sound:
    start = int(start_s * RATE_HZ)
    track[start : start + len(sound)] += sound[: len(track) - start]
    return Sound(start / RATE_HZ, (start + len(sound)) / RATE_HZ, label, rare)


# --- weather ---------------------------------------------------------------------------------


def wind(samples: int, rng: np.random.Generator) -> FloatArray:
    """Low noise whose strength wanders over some ten seconds, (S,)."""
    noise = sosfilt(butter(1, 300, fs=RATE_HZ, output="sos"), rng.standard_normal(samples))
    gusts = gaussian_filter1d(rng.standard_normal(samples // RATE_HZ + 2), 6)
    gusts = np.exp(0.7 * gusts / gusts.std())
    seconds = np.arange(samples) / RATE_HZ
    hiss = 0.0015 * rng.standard_normal(samples)
    return np.asarray(0.012 * noise * np.interp(seconds, np.arange(len(gusts)), gusts) + hiss)


def rain(samples: int, rng: np.random.Generator) -> FloatArray:
    """One shower over the last fifth of the recording: drops at random times, (S,)."""
    shower = np.zeros(samples)
    start = int(0.8 * samples)
    strength = np.hanning(samples - start)
    drops = rng.random(samples - start) < 0.004 * strength
    shower[start:][drops] = rng.exponential(0.03, drops.sum())
    return np.asarray(sosfilt(butter(2, [1500, 8000], "band", fs=RATE_HZ, output="sos"), shower))


# --- birds -----------------------------------------------------------------------------------


def _note(from_hz: float, to_hz: float, length_s: float, bend: float = 1.0) -> FloatArray:
    """One whistled note that glides from one pitch to another under a rounded envelope."""
    t = np.linspace(0, 1, max(int(length_s * RATE_HZ), 8))
    pitch_hz = from_hz + (to_hz - from_hz) * t**bend
    return np.asarray(np.sin(2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ) * np.sin(np.pi * t) ** 0.7)


def _song(notes: list[FloatArray], pause_s: float) -> FloatArray:
    gap = np.zeros(int(pause_s * RATE_HZ))
    return np.concatenate([part for note in notes for part in (note, gap)])


def thrush(rng: np.random.Generator) -> FloatArray:
    """Three or four flute-like notes, each falling."""
    tune = rng.uniform(1800, 2800, int(rng.integers(3, 5)))
    return _song([_note(hz * 1.1, hz * 0.9, 0.28) for hz in tune], 0.06)


def wren(rng: np.random.Generator) -> FloatArray:
    """A fast trill at one pitch."""
    hz = rng.uniform(4800, 5600)
    return _song([_note(hz, hz * 1.15, 0.03) for _ in range(int(rng.integers(18, 28)))], 0.018)


def chiffchaff(rng: np.random.Generator) -> FloatArray:
    """Two pitches in turn, evenly, like its name."""
    high, low = rng.uniform(4600, 5200), rng.uniform(3600, 4100)
    pitches = [high if rng.random() < 0.5 else low for _ in range(int(rng.integers(5, 9)))]
    return _song([_note(hz * 1.25, hz, 0.09, 0.5) for hz in pitches], 0.16)


def warbler(rng: np.random.Generator) -> FloatArray:
    """Hurried, winding notes of many pitches."""
    ends_hz = rng.uniform(2500, 6500, (int(rng.integers(10, 18)), 2))
    return _song([_note(a, b, float(rng.uniform(0.04, 0.1))) for a, b in ends_hz], 0.02)


def cuckoo(rng: np.random.Generator) -> FloatArray:
    """Two low notes, a falling third, two or three times."""
    hz = rng.uniform(640, 690)
    call = _song([_note(hz * 1.02, hz, 0.18), _note(hz * 0.81, hz * 0.8, 0.28)], 0.08)
    return _song([call] * int(rng.integers(2, 4)), 0.55)


SINGERS: dict[str, Callable[[np.random.Generator], FloatArray]] = {
    "thrush": thrush,
    "wren": wren,
    "chiffchaff": chiffchaff,
    "warbler": warbler,
    "cuckoo": cuckoo,
}


# --- the rare --------------------------------------------------------------------------------


def plane(rng: np.random.Generator) -> FloatArray:
    """A propeller plane passes in 14 s: a falling row of harmonics in a swell of low noise."""
    t = np.arange(14 * RATE_HZ) / (14 * RATE_HZ)
    pitch_hz = 92 * (1.06 - 0.12 / (1 + np.exp(-12 * (t - 0.5))))  # the fall as it goes by
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    hum = np.asarray(sum(np.sin(k * phase + k) / k for k in range(1, 14)))
    noise = sosfilt(butter(2, 900, fs=RATE_HZ, output="sos"), rng.standard_normal(len(t)))
    return np.asarray(0.1 * np.sin(np.pi * t) ** 2 * (hum + 1.5 * noise))


def chainsaw(rng: np.random.Generator) -> FloatArray:
    """A two-stroke engine for 6 s: a rough buzz that revs up three times."""
    t = np.arange(6 * RATE_HZ) / RATE_HZ
    revs_hz = (
        95
        + 55 * np.abs(np.sin(np.pi * t / 2))
        + gaussian_filter1d(rng.standard_normal(len(t)), 400)
    )
    phase = np.cumsum(revs_hz) / RATE_HZ % 1
    bursts = np.exp(-6 * phase) * rng.standard_normal(len(t)) + (2 * phase - 1)
    engine = sosfilt(butter(2, [150, 6000], "band", fs=RATE_HZ, output="sos"), bursts)
    return np.asarray(0.06 * engine * np.minimum(1, 4 * np.minimum(t, 6 - t)))
