"""A whole picture in plain numbers: outlines, layout, colours.

One table, `DESCRIPTORS`, holds a line for each; a new descriptor is a new line. Pictures come as
(N, C, H, W) of one size; the numbers are as many whatever the size, so that pictures of different
sizes can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Self

import numpy as np

from raravis.images.statistics import globally_normalised
from raravis.learned import Learned
from raravis.windows import FloatArray

CELLS = 4  # of outlines, along each side
DIRECTIONS = 8  # of outlines, round the circle
LAYOUT = 8  # cells of the layout along each side
SHADES = 8  # kinds of pixels of a channel
FAINT = 0.1  # deviations of a picture: outlines much fainter than this count for little
EVENEST = 0.3  # of the mean deviation of a descriptor's numbers: none counts as varying by less
LEAST_DEVIATION = 1e-6
CLIP = 5.0  # no number counts as more than so many deviations from what is usual
PIXELS = 200_000  # of ordinary pictures, from which shades are learned


def outlines(pictures: FloatArray, least: FloatArray) -> FloatArray:
    """How much there is of edges of each of 8 directions in each of 4 x 4 cells, (N, 128).

    The edge of a pixel is its steepest channel's. Sums over a cell are divided by the cell's own
    strength, so that faint outlines count like strong ones, and the root is taken.

    Source: histograms of oriented gradients, Dalal & Triggs 2005, doi:10.1109/CVPR.2005.177, with
    soft round cells.
    """
    down, right = np.gradient(globally_normalised(pictures, least), axis=(2, 3))
    steepest = np.hypot(down, right).argmax(axis=1)[:, None]
    down, right = (np.take_along_axis(side, steepest, 1)[:, 0] for side in (down, right))
    strength = np.hypot(down, right)  # (N, H, W)
    turn = np.arctan2(down, right) / (2 * np.pi) * DIRECTIONS % DIRECTIONS
    sums = [
        in_cells(strength * np.maximum(0, 1 - _apart(turn, direction)), CELLS)
        for direction in range(DIRECTIONS)
    ]
    cells = np.stack(sums, axis=1)  # (N, 8, 4, 4)
    strongest = np.linalg.norm(cells, axis=1, keepdims=True)
    numbers: FloatArray = np.sqrt(cells / (strongest + FAINT)).reshape(len(pictures), -1)
    return numbers


def _apart(turn: FloatArray, direction: int) -> FloatArray:
    """How far each turn lies from a direction, in steps of 1/8 of the circle, [0, 4]."""
    gap = np.abs(turn - direction)
    nearer: FloatArray = np.minimum(gap, DIRECTIONS - gap)
    return nearer


def layout(pictures: FloatArray, least: FloatArray) -> FloatArray:
    """Which parts are bright and which dark, in deviations of the picture, (N, C * 64)."""
    cells = in_cells(globally_normalised(pictures, least), LAYOUT)
    return cells.reshape(len(pictures), -1)


def in_cells(maps: FloatArray, cells: int) -> FloatArray:
    """Means over soft cells, (..., cells, cells) of maps (..., H, W)."""
    height, width = maps.shape[-2:]
    means: FloatArray = _soft(height, cells) @ maps @ _soft(width, cells).T
    return means


@cache
def _soft(length: int, cells: int) -> FloatArray:
    """Weights (cells, length) of Gaussian cells, a third of a cell wide, each summing to 1."""
    cell = length / cells
    middle = (np.arange(cells) + 0.5) * cell - 0.5
    weight = np.exp(-np.square((np.arange(length) - middle[:, None]) / (cell / 3)) / 2)
    weight /= weight.sum(axis=1, keepdims=True)
    return weight.astype(np.float32)


class Shades(Learned):
    """How much of a picture is of each of 8 kinds of pixels, for each channel.

    A kind is an eighth of all ordinary pixels, from the darkest to the brightest.
    """

    def fit(self, pictures: Sequence[FloatArray]) -> Self:
        """Learns the borders between the kinds from pictures (C, H, W)."""
        each = max(1, PIXELS // len(pictures))
        some = [p.reshape(len(p), -1)[:, :: max(1, p[0].size // each)] for p in pictures]
        parts = np.arange(1, SHADES) / SHADES
        self.borders_ = np.quantile(np.concatenate(some, axis=1), parts, axis=1).T  # (C, 7)
        return self

    def __call__(self, pictures: FloatArray) -> FloatArray:
        """Roots of the shares, (N, C * 8)."""
        count, channels = pictures.shape[:2]
        shares = np.empty((count, channels, SHADES), dtype=np.float32)
        for channel, borders in enumerate(self.borders_):
            kind = np.searchsorted(borders, pictures[:, channel].reshape(count, -1))
            for shade in range(SHADES):
                shares[:, channel, shade] = (kind == shade).mean(axis=1)
        return np.sqrt(shares).reshape(count, -1)


@cache
def _between_channels(channels: int) -> FloatArray:
    """Orthonormal: the mean of the channels first, then their differences, (C, C)."""
    step = np.arange(channels)
    waves = np.cos(np.pi * step[:, None] * (step + 0.5) / channels)
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    return waves.astype(np.float32)


def light_and_colour(pictures: FloatArray, unit: FloatArray) -> FloatArray:
    """Channels (..., C, H, W) in their unit (C,), turned into their mean and their differences.

    Of red, green and blue: grey, red against blue, green against both.
    """
    scaled = pictures / unit[:, None, None]
    turned: FloatArray = np.einsum("dc,...chw->...dhw", _between_channels(len(unit)), scaled)
    return turned


DESCRIPTORS: dict[str, Callable[[FloatArray, FloatArray, Shades], FloatArray]] = {
    "outlines": lambda pictures, least, shades: outlines(pictures, least),
    "layout": lambda pictures, least, shades: layout(pictures, least),
    "shades": lambda pictures, least, shades: shades(pictures),
}
"""Each gives some numbers for a picture. What each of them finds: docs/finding-images.md."""


class Whole(Learned):
    """Describes whole pictures so that each descriptor weighs the same in the plain distance.

    Each number is standardised by ordinary pictures, clipped to +-5 deviations and divided by
    sqrt(2 n), where its descriptor has n numbers.
    """

    def __init__(self) -> None:
        self.shades_ = Shades()

    def raw(self, pictures: FloatArray, least: FloatArray) -> list[FloatArray]:
        """The numbers of pictures (N, C, H, W) by each descriptor, as they are."""
        return [describe(pictures, least, self.shades_) for describe in DESCRIPTORS.values()]

    def fit(self, described: Sequence[list[FloatArray]]) -> Self:
        """Learns what is usual from the `raw` numbers of runs of pictures."""
        columns = [np.concatenate(parts) for parts in zip(*described, strict=True)]
        self.mean_ = np.concatenate([numbers.mean(axis=0) for numbers in columns])
        scales = []
        for numbers in columns:
            deviation = numbers.std(axis=0)
            least = max(EVENEST * float(deviation.mean()), LEAST_DEVIATION)
            scales.append(np.maximum(deviation, least))
        self.deviation_ = np.concatenate(scales)
        sizes = [numbers.shape[1] for numbers in columns]
        self.weight_ = 1 / np.sqrt(2 * np.repeat(sizes, sizes))
        return self

    def __call__(self, raw: list[FloatArray]) -> FloatArray:
        """The embedding (N, D) of `raw` numbers."""
        standard = (np.concatenate(raw, axis=1) - self.mean_) / self.deviation_
        return np.asarray(np.clip(standard, -CLIP, CLIP) * self.weight_, dtype=np.float32)
