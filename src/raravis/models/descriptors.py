"""Sound events in plain numbers: which pitches, what rhythm, what shape, what texture.

One table, `DESCRIPTORS`, holds a line for each; a new descriptor is a new line. No network and no
labels: all that is learned is what is usual for each number, and the patterns of the texture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np

from raravis.encoded import Encoded
from raravis.errors import ParameterError
from raravis.learned import Learned
from raravis.models import ClosedForm, register
from raravis.segments import Excerpt
from raravis.windows import FloatArray

BANDS = 32
"""Pictures are brought to so many bands, whatever the spectrogram had."""

FRAMES_PER_S = 50.0
"""Pictures are brought to this speed, whatever the spectrogram had."""

DEPTH_DB = 30.0
"""The clean picture shows so many dB below the event's peak."""

BACKGROUND_EXCESS = 1.7
"""So many times the background is taken off: as a low percentile, it is less than the noise."""

RHYTHM_BANDS = 8
RHYTHM_EDGES_HZ = np.array([0.4, 1, 1.7, 2.6, 4, 6, 8.5, 11, 14, 18, 25.1])
RHYTHM_FRAMES = 256
"""Length of the Fourier transform over time, 5.1 s: longer than the longest event."""

PATCH_FRAMES = 8
"""Length of a patch, 0.16 s: a note, a click, a piece of a whistle. One begins every 2 frames."""

HEARD = 0.05
"""A cell of a picture above this belongs to the event."""

LEAST_DEVIATION = 1e-3
"""Numbers that hardly vary count as varying by this, lest a trifle count for much."""

CLIP = 5.0
"""No number counts as more than so many deviations from what is usual."""

SILENCE = Excerpt(np.zeros((1, 1)), np.zeros(1), 0.0, 1 / FRAMES_PER_S, 0.0)


@dataclass(frozen=True)
class Picture:
    """An excerpt as the descriptors see it.

    cells   (32, T) float32 in [0, 1.3], 50 frames/s; 0 is nothing, about 1 the loudest.
    level   (T,): mean over the bands.
    weight  (T,): share of each frame in the whole, by level; sums to 1.
    """

    cells: FloatArray
    level: FloatArray
    weight: FloatArray

    @classmethod
    def of(cls, cells: FloatArray, duration_s: float) -> Picture:
        """The picture of cells (F, T) that last `duration_s`, in any number of bands and frames."""
        frames = max(1, round(duration_s * FRAMES_PER_S))
        if frames != cells.shape[1]:
            nearest = (np.arange(frames) + 0.5) * cells.shape[1] / frames
            cells = cells[:, nearest.astype(int)]
        cells = _band_means(len(cells), BANDS) @ cells
        level = cells.mean(axis=0)
        weight = level + 1e-3
        return cls(cells, level, weight / weight.sum())


@cache
def _band_means(bands: int, fewer: int) -> FloatArray:
    """The matrix (fewer, bands) that takes means of neighbouring bands, or repeats them."""
    edges = np.linspace(0, bands, fewer + 1)
    band = np.arange(bands)
    inside = (band >= np.floor(edges[:-1, None])) & (band < np.ceil(edges[1:, None]))
    means: FloatArray = (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)
    return means


def raw(excerpt: Excerpt) -> Picture:
    """How far each cell stands above the background, in shares of the most."""
    above = excerpt.above_db.astype(np.float32)
    return Picture.of(above / (_percentile(above, 99) + 1e-6), excerpt.end_s - excerpt.start_s)


def clean(excerpt: Excerpt) -> Picture:
    """The event's own power, less that of the background, from 30 dB below its peak upwards."""
    gain = np.maximum(10 ** (excerpt.above_db.astype(np.float32) / 10) - BACKGROUND_EXCESS, 1e-6)
    level = 10 * np.log10(gain) + excerpt.background_db[:, None]
    peak = _percentile(level.max(axis=0), 90)
    cells = np.clip(1 + (level - peak) / DEPTH_DB, 0, 1.3)
    return Picture.of(cells, excerpt.end_s - excerpt.start_s)


def _percentile(values: FloatArray, percent: float) -> float:
    """Nearest-rank percentile; numpy's own costs more than all else in a descriptor."""
    flat = values.ravel()
    at = round(percent / 100 * (flat.size - 1))
    return float(np.partition(flat, at)[at])


def colour(picture: Picture) -> FloatArray:
    """How loud each band is on the whole, (32,)."""
    mean: FloatArray = picture.cells @ picture.weight
    return mean


def rhythm(picture: Picture) -> FloatArray:
    """Log share of each speed of change, 0.4 to 25 Hz, in each of 8 groups of bands, (80,)."""
    groups = _band_means(BANDS, RHYTHM_BANDS) @ picture.cells  # (8, T)
    groups = groups - groups.mean(axis=1, keepdims=True)
    fade = np.hanning(groups.shape[1] + 2)[1:-1]
    spectrum = np.abs(np.fft.rfft(groups * fade, n=RHYTHM_FRAMES, axis=1)) ** 2
    speeds_hz = np.fft.rfftfreq(RHYTHM_FRAMES, 1 / FRAMES_PER_S)
    edges = np.searchsorted(speeds_hz, RHYTHM_EDGES_HZ)
    power = np.add.reduceat(spectrum[:, : edges[-1]], edges[:-1], axis=1) / np.diff(edges)
    shares: FloatArray = np.log(power / (power.sum() + 1e-9) + 1e-3)  # (8, 10)
    return shares.ravel()


def shape(picture: Picture) -> FloatArray:
    """Duration, course of the level, roughness, contrast and fullness, (13,)."""
    cells, level = picture.cells, picture.level
    course = np.sort(level) / (level.max() + 1e-9)
    heard = cells[cells > HEARD]
    mean = cells.mean() + 1e-6
    return np.array(
        [
            np.log(len(level) / FRAMES_PER_S),
            course.mean(),
            *(_percentile(course, percent) for percent in (10, 50, 90)),
            np.abs(np.diff(level)).sum() / len(level) / mean,
            np.abs(np.diff(cells, axis=1)).sum() / cells.size / mean,
            np.abs(np.diff(cells, axis=0)).sum() / cells.size / mean,
            cells.std(axis=0) @ picture.weight,
            heard.size / cells.size,
            *(_percentile(heard, percent) if heard.size else 0.0 for percent in (25, 50, 75)),
        ]
    )


def _stretches(picture: Picture) -> FloatArray:
    """Stretches of 8 frames, one every 2, (P, 32 * 8)."""
    short = max(0, PATCH_FRAMES - picture.cells.shape[1])
    cells = np.pad(picture.cells, ((0, 0), (0, short)))
    views = np.lib.stride_tricks.sliding_window_view(cells, PATCH_FRAMES, axis=1)[:, ::2]
    return views.transpose(1, 0, 2).reshape(views.shape[1], -1)


def _patches(stretches: FloatArray) -> FloatArray:
    """Stretches (P, 256) without their mean; loud ones of equal size, faint ones small."""
    centred = stretches - stretches.mean(axis=1, keepdims=True)
    patches: FloatArray = centred / (np.linalg.norm(centred, axis=1, keepdims=True) + 1)
    return patches


class Texture(Learned):
    """How much there is of each of the patterns that patches of the events are made of.

    Patches of 0.16 s are compared with their principal components, whitened; of each component and
    of its negative, the texture is the root of the mean over the patches, weighted by loudness.

    patterns  principal components, 1 to 256.
    patches   sampled from the events, with `seed`, to find them.

    Source: one layer of PCANet (Chan et al. 2015, arXiv:1404.3606), rectified instead of hashed;
    whitening and pooling after Coates and Ng 2012, with components in place of k-means.
    """

    def __init__(self, patterns: int, patches: int, seed: int) -> None:
        self.patterns = patterns
        self.patches = patches
        self.seed = seed

    def fit(self, pictures: Sequence[Picture]) -> Self:
        """Learns the patterns; from no pictures at all, patterns that nothing resembles."""
        random = np.random.default_rng(self.seed)
        each = -(-self.patches // max(1, len(pictures)))
        nothing = np.zeros((1, BANDS * PATCH_FRAMES))
        some = [random.permutation(_stretches(picture))[:each] for picture in pictures]
        sample = _patches(np.concatenate([nothing, *some]))
        self.mean_ = sample.mean(axis=0)
        power, direction = np.linalg.eigh(np.cov(sample.T, bias=True))
        power, direction = power[::-1][: self.patterns], direction[:, ::-1][:, : self.patterns]
        self.directions_ = direction / np.sqrt(np.maximum(power, 0) + 0.05 * power[0] + 1e-9)
        return self

    def __call__(self, picture: Picture) -> FloatArray:
        """(2 patterns,) >= 0."""
        stretches = _stretches(picture)
        match = (_patches(stretches) - self.mean_) @ self.directions_  # (P, patterns)
        match /= np.linalg.norm(match, axis=1, keepdims=True) + 1e-6
        loudness = stretches.mean(axis=1) + 1e-3
        loudness /= loudness.sum()
        signed = np.concatenate([np.maximum(match, 0), np.maximum(-match, 0)], axis=1)
        texture: FloatArray = np.sqrt(loudness @ signed)
        return texture


@dataclass(frozen=True)
class Sound:
    """A sound event as both pictures, and what knows its texture."""

    clean: Picture
    raw: Picture
    texture: Texture


DESCRIPTORS: dict[str, Callable[[Sound], FloatArray]] = {
    "clean colour": lambda sound: colour(sound.clean),
    "clean rhythm": lambda sound: rhythm(sound.clean),
    "clean shape": lambda sound: shape(sound.clean),
    "clean texture": lambda sound: sound.texture(sound.clean),
    "raw colour": lambda sound: colour(sound.raw),
    "raw rhythm": lambda sound: rhythm(sound.raw),
    "raw texture": lambda sound: sound.texture(sound.raw),
}
"""Each gives some numbers for a sound event. Which of them are needed: docs/finding.md."""


@register("sound-events")
class SoundEvents(ClosedForm[Excerpt]):
    """Describes each sound event by its colour, rhythm, shape and texture.

    Each number is standardised by the events seen in `fit`, clipped to +-5 deviations and divided
    by sqrt(2 n), where its descriptor has n numbers. So two events lie at a mean squared distance
    of 1 by each descriptor, and all descriptors weigh the same in the plain Euclidean distance.

    patterns  of the texture, see `Texture`; 1 to 256.
    patches   from which they are learned.
    seed      of the choice of those.
    """

    def __init__(self, patterns: int = 40, patches: int = 8000, seed: int = 0) -> None:
        if not 1 <= patterns <= BANDS * PATCH_FRAMES:
            raise ParameterError(f"patterns must be in [1, {BANDS * PATCH_FRAMES}], got {patterns}")
        if patches < 1:
            raise ParameterError(f"patches must be at least 1, got {patches}")
        self.texture_ = Texture(patterns, patches, seed)

    def fit(self, windows: Sequence[Excerpt]) -> Self:
        """Learns the patterns of the texture, and what is usual for each number."""
        self.texture_.fit([view(excerpt) for excerpt in windows for view in (clean, raw)])
        described = self._describe(windows)
        sizes = [len(numbers) for numbers in self._numbers(SILENCE)]
        self.weight_ = 1 / np.sqrt(2 * np.repeat(sizes, sizes))
        self.mean_ = described.mean(axis=0) if len(windows) else np.zeros(sum(sizes))
        self.deviation_ = np.ones(sum(sizes))
        if len(windows):
            self.deviation_ = np.maximum(described.std(axis=0), LEAST_DEVIATION)
        return self

    def encode(self, windows: Sequence[Excerpt]) -> Encoded:
        """Embedding (B, D) and the term "salience": how far the event stands out, in dB."""
        standard = (self._describe(windows) - self.mean_) / self.deviation_
        embedding = np.clip(standard, -CLIP, CLIP) * self.weight_
        salience = np.array([excerpt.salience_db for excerpt in windows], dtype=np.float64)
        return Encoded(embedding.astype(np.float32), {"salience": salience})

    def _describe(self, windows: Sequence[Excerpt]) -> FloatArray:
        """All numbers of each event, (B, D); each row depends on its event alone."""
        rows = [np.concatenate(self._numbers(excerpt)) for excerpt in [SILENCE, *windows]]
        return np.array(rows)[1:]

    def _numbers(self, excerpt: Excerpt) -> list[FloatArray]:
        sound = Sound(clean(excerpt), raw(excerpt), self.texture_)
        return [describe(sound) for describe in DESCRIPTORS.values()]
