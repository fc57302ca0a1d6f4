"""Sound events described in plain numbers: which pitches, what rhythm, what shape, what texture.

One table, `DESCRIPTORS`, holds a line for each; a new descriptor is a new line. No network, no
labels: all that is learned is what is usual for each number, and the patterns of the texture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from raravis.encoded import Encoded
from raravis.errors import ParameterError
from raravis.models import ClosedForm, register
from raravis.segments import Excerpt
from raravis.windows import FloatArray

FRAMES_PER_S = 50.0
BANDS = 32
"""Pictures are brought to so many bands, whatever the spectrogram had."""

RHYTHM_BANDS = 8
RHYTHM_EDGES_HZ = np.array([0.4, 1, 1.7, 2.6, 4, 6, 8.5, 11, 14, 18, 25.1])
RHYTHM_FRAMES = 256
"""Length of the Fourier transform over time, 5.1 s: longer than the longest event."""

PATCH_FRAMES = 8
"""Length of a patch in time, 0.16 s: a note, a click, a piece of a whistle."""

PATCH_HOP = 2
HEARD = 0.05
"""A cell of a picture above this belongs to the event: 28.5 dB below its peak."""


@dataclass(frozen=True)
class View:
    """An excerpt, prepared once for all descriptors.

    picture  (32, T) float32: the excerpt's picture.
    level    (T,): its mean over the bands.
    weight   (T,): share of each frame in what the excerpt is, by level; sums to 1.
    """

    picture: FloatArray
    level: FloatArray
    weight: FloatArray

    @classmethod
    def of(cls, excerpt: Excerpt) -> View:
        """The view of one excerpt."""
        picture = in_bands(excerpt.picture.astype(np.float32), BANDS)
        level = picture.mean(axis=0)
        return cls(picture, level, (level + 1e-3) / (level + 1e-3).sum())


def in_bands(picture: FloatArray, bands: int) -> FloatArray:
    """A picture (F, T) brought to (bands, T): means of neighbouring bands, or repeated ones."""
    edges = np.linspace(0, len(picture), bands + 1)
    first, last = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)
    return np.stack([picture[a:b].mean(axis=0) for a, b in zip(first, last, strict=True)])


def colour(view: View) -> FloatArray:
    """How loud each band is on the whole, (32,)."""
    mean: FloatArray = view.picture @ view.weight
    return mean


def rhythm(view: View) -> FloatArray:
    """Log share of each speed of change, 0.4 to 25 Hz, in each of 8 groups of bands, (80,)."""
    groups = in_bands(view.picture, RHYTHM_BANDS)
    groups = groups - groups.mean(axis=1, keepdims=True)
    fade = np.hanning(groups.shape[1] + 2)[1:-1]
    spectrum = np.abs(np.fft.rfft(groups * fade, n=RHYTHM_FRAMES, axis=1)) ** 2
    speeds_hz = np.fft.rfftfreq(RHYTHM_FRAMES, 1 / FRAMES_PER_S)
    at = np.searchsorted(speeds_hz, RHYTHM_EDGES_HZ)
    power = np.add.reduceat(spectrum, at[:-1], axis=1) / np.diff(at)  # (8, 10)
    return np.log(power / (power.sum() + 1e-9) + 1e-3).ravel()


def shape(view: View) -> FloatArray:
    """Duration, course of the level, contrast and fullness, (13,)."""
    picture, level = view.picture, view.level
    course = level / (level.max() + 1e-9)
    heard = picture[picture > HEARD]
    mean = picture.mean() + 1e-6
    return np.concatenate(
        [
            [np.log(len(level) / FRAMES_PER_S), course.mean()],
            np.percentile(course, [10, 50, 90]),
            [np.abs(np.diff(level)).sum() / len(level) / mean],
            [picture.std(axis=0) @ view.weight],
            [np.abs(np.diff(picture, axis=0)).mean() / mean],
            [np.abs(np.diff(picture, axis=1)).sum() / picture.size / mean],
            [len(heard) / picture.size],
            np.percentile(heard, [25, 50, 75]) if len(heard) else np.zeros(3),
        ]
    )


DESCRIPTORS: dict[str, Callable[[View], FloatArray]] = {
    "colour": colour,
    "rhythm": rhythm,
    "shape": shape,
}
"""Name -> function of a view. "texture" joins them; it alone has to learn what to look for."""


@register("sound-events")
class SoundEvents(ClosedForm[Excerpt]):
    """Describes each sound event by its colour, rhythm, shape and texture.

    Each descriptor's numbers are standardised by the events seen in `fit`, clipped to +-5
    deviations and divided by sqrt(2 n), n numbers in it; so two events lie at a mean squared
    distance of 1 by each descriptor, and all weigh the same in the plain Euclidean distance.

    texture   patches of 0.16 s, each freed from its mean and size, are compared with the
              principal components of all patches, whitened; the texture is the root of how much
              of each pattern there is on the whole, and of its negative, weighted by loudness.

    patterns  principal components of the patches.
    patches   sampled from the events to find the patterns.
    seed      of that sample.

    Source: PCANet (Chan et al. 2015, arXiv:1404.3606) with one layer, rectified instead of hashed;
    whitening and pooling after Coates and Ng 2012, without their k-means.
    """

    def __init__(self, patterns: int = 40, patches: int = 8000, seed: int = 0) -> None:
        if not 1 <= patterns <= BANDS * PATCH_FRAMES:
            raise ParameterError(f"patterns must be in [1, {BANDS * PATCH_FRAMES}], got {patterns}")
        self.patterns = patterns
        self.patches = patches
        self.seed = seed

    def fit(self, windows: Sequence[Excerpt]) -> Self:
        """Learns the patterns of the texture, and what is usual for each number."""
        views = [View.of(excerpt) for excerpt in windows]
        self._fit_patterns(views)
        described = self._describe(views)
        self.mean_ = described.mean(axis=0) if views else np.zeros(described.shape[1])
        self.deviation_ = described.std(axis=0) + 1e-9 if views else np.ones(described.shape[1])
        return self

    def encode(self, windows: Sequence[Excerpt]) -> Encoded:
        """Embedding (B, D) and the term "salience": how far the event stands out, in dB."""
        described = self._describe([View.of(excerpt) for excerpt in windows])
        standard = np.clip((described - self.mean_) / self.deviation_, -5, 5)
        sizes = self._sizes()
        embedding = standard / np.sqrt(2 * np.repeat(sizes, sizes))
        salience = np.array([excerpt.salience_db for excerpt in windows], dtype=np.float64)
        return Encoded(embedding.astype(np.float32), {"salience": salience})

    def _sizes(self) -> FloatArray:
        """How many numbers each descriptor has, texture last."""
        silence = View(np.zeros((BANDS, 1)), np.zeros(1), np.ones(1))
        return np.array([*(len(f(silence)) for f in DESCRIPTORS.values()), 2 * self.patterns])

    def _describe(self, views: Sequence[View]) -> FloatArray:
        rows = [
            np.concatenate([*(f(view) for f in DESCRIPTORS.values()), self._texture(view)])
            for view in views
        ]
        return np.array(rows).reshape(len(views), self._sizes().sum())

    def _fit_patterns(self, views: Sequence[View]) -> None:
        random = np.random.default_rng(self.seed)
        each = -(-self.patches // max(1, len(views)))
        some = [random.permutation(patches(view))[:each] for view in views]
        sample = np.concatenate([np.zeros((1, BANDS * PATCH_FRAMES)), *some])
        self.patch_mean_ = sample.mean(axis=0)
        power, direction = np.linalg.eigh(np.cov(sample.T, bias=True))
        power, direction = power[::-1][: self.patterns], direction[:, ::-1][:, : self.patterns]
        self.patterns_ = direction / np.sqrt(np.maximum(power, 0) + 0.05 * power[0] + 1e-9)

    def _texture(self, view: View) -> FloatArray:
        """How much there is of each pattern, and of its negative, (2 patterns,)."""
        match = (patches(view) - self.patch_mean_) @ self.patterns_  # (patches, patterns)
        match /= np.linalg.norm(match, axis=1, keepdims=True) + 1e-6
        loud = _slices(view.picture).mean(axis=1) + 1e-3
        loud /= loud.sum()
        return np.sqrt(np.concatenate([loud @ np.maximum(match, 0), loud @ np.maximum(-match, 0)]))


def _slices(picture: FloatArray) -> FloatArray:
    """Stretches of 8 frames, every second frame, (patches, 32 * 8)."""
    short = max(0, PATCH_FRAMES - picture.shape[1])
    padded = np.pad(picture, ((0, 0), (0, short)))
    views = np.lib.stride_tricks.sliding_window_view(padded, PATCH_FRAMES, axis=1)[:, ::PATCH_HOP]
    return views.transpose(1, 0, 2).reshape(views.shape[1], -1)


def patches(view: View) -> FloatArray:
    """Stretches of a picture without mean and size, (patches, 32 * 8)."""
    slices = _slices(view.picture)
    slices = slices - slices.mean(axis=1, keepdims=True)
    patches_: FloatArray = slices / (np.linalg.norm(slices, axis=1, keepdims=True) + 1)
    return patches_
