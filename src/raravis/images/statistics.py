"""What stands in each small block of a picture, in plain numbers: texture, extremes, brightness.

Pictures come as (N, C, H, W) of one size. A picture is looked at twice: locally normalised, so
that uneven light disappears and what differs from its surroundings stands out, and globally
normalised, so that the light itself is seen. A new number is a line in `_texture` or `_light`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.fft import dct
from scipy.ndimage import gaussian_filter

from raravis.windows import FloatArray

BANDS = 4
"""Bands of spatial frequency along each side of a block: the slowest eighth, the next eighth, the
next quarter, the fastest half."""

STATISTICS = BANDS * BANDS + 7
"""Numbers of a block for each channel."""

FAINTEST = 0.1  # of a cosine coefficient, in deviations of the picture: below, all is one
STRIP = 1 << 22  # numbers of blocks that are held at once: 16 MB


def shrunk(pictures: FloatArray, factor: int) -> FloatArray:
    """Means of factor x factor pixels, (N, C, H // factor, W // factor); the rest is cut off."""
    if factor == 1:
        return pictures
    height, width = pictures.shape[-2] // factor, pictures.shape[-1] // factor
    whole = pictures[..., : height * factor, : width * factor]
    cells = whole.reshape(*pictures.shape[:-2], height, factor, width, factor)
    means: FloatArray = cells.mean(axis=(-3, -1), dtype=np.float32)
    return means


def at_least(pictures: FloatArray, side: int) -> FloatArray:
    """The pictures, mirrored at the far edges where a side is shorter than `side`."""
    missing = [max(0, side - length) for length in pictures.shape[-2:]]
    if not any(missing):
        return pictures
    return np.pad(pictures, ((0, 0), (0, 0), *((0, m) for m in missing)), mode="symmetric")


def locally_normalised(pictures: FloatArray, sigma: float, least: FloatArray) -> FloatArray:
    """Pixels less the mean around them, in deviations around them, (N, C, H, W).

    sigma  of the Gaussian that says what is around, in pixels.
    least  (C,) > 0: deviations are raised by this, so that noise in even places stays small.
    """
    around = (0.0, 0.0, sigma, sigma)
    left = pictures - gaussian_filter(pictures, around)
    deviation = np.sqrt(np.maximum(gaussian_filter(np.square(left), around), 0))
    normalised: FloatArray = left / (deviation + least[:, None, None])
    return normalised


def globally_normalised(pictures: FloatArray, least: FloatArray) -> FloatArray:
    """Pixels less the mean of their picture and channel, in its deviations, (N, C, H, W)."""
    deviation = pictures.std(axis=(-2, -1), keepdims=True)
    left = pictures - pictures.mean(axis=(-2, -1), keepdims=True)
    normalised: FloatArray = left / (deviation + least[:, None, None])
    return normalised


def block_statistics(pictures: FloatArray, side: int, stride: int, least: FloatArray) -> FloatArray:
    """Numbers of every block, (N, h, w, C * 23), float32.

    Of each channel: 16 bands of the logarithm of the block's cosine transform, then highest,
    lowest, deviation, third and fourth moment of the locally normalised block, and mean and
    deviation of the globally normalised one.

    side    of a block in pixels, >= 4.
    stride  from a block to the next in pixels, >= 1. What is left at the far edges is not seen.
    least   (C,) > 0: see `locally_normalised`.
    """
    pictures = at_least(pictures.astype(np.float32, copy=False), side)
    local = _blocks(locally_normalised(pictures, side / 2, least), side, stride)
    whole = _blocks(globally_normalised(pictures, least), side, stride)
    count, channels, rows, columns = local.shape[:4]
    numbers = np.empty((count, channels, rows, columns, STATISTICS), dtype=np.float32)
    step = max(1, STRIP // (count * channels * columns * side * side))
    for row in range(0, rows, step):
        some = (slice(None), slice(None), slice(row, row + step))
        numbers[(*some, slice(None), slice(0, -2))] = _texture(local[some])
        numbers[(*some, slice(None), slice(-2, None))] = _light(whole[some])
    return numbers.transpose(0, 2, 3, 1, 4).reshape(count, rows, columns, -1)


def _blocks(pictures: FloatArray, side: int, stride: int) -> FloatArray:
    """A view of every block, (N, C, h, w, side, side)."""
    views = np.lib.stride_tricks.sliding_window_view(pictures, (side, side), axis=(2, 3))
    return views[:, :, ::stride, ::stride]


def _texture(blocks: FloatArray) -> FloatArray:
    """Of locally normalised blocks (..., B, B): 16 bands and 5 of their distribution, (..., 21)."""
    side = blocks.shape[-1]
    blocks = np.ascontiguousarray(blocks)
    waves = _cosines(side)
    strength = np.log(np.abs(waves @ blocks @ waves.T) + np.float32(FAINTEST))
    means = _band_means(side)
    bands = means @ strength @ means.T  # (..., 4, 4)
    flat = blocks.reshape(*blocks.shape[:-2], -1)
    squares = np.square(flat)
    shape = [
        flat.max(axis=-1),
        flat.min(axis=-1),
        flat.std(axis=-1),
        (squares * flat).mean(axis=-1),
        np.square(squares).mean(axis=-1) ** 0.25,
    ]
    return np.concatenate([bands.reshape(*bands.shape[:-2], -1), np.stack(shape, -1)], axis=-1)


def _light(blocks: FloatArray) -> FloatArray:
    """Of globally normalised blocks (..., B, B): mean and deviation, (..., 2)."""
    return np.stack([blocks.mean(axis=(-2, -1)), blocks.std(axis=(-2, -1))], axis=-1)


@cache
def _cosines(side: int) -> FloatArray:
    """The orthonormal cosine transform of `side` numbers, (side, side)."""
    waves: FloatArray = dct(np.eye(side), axis=0, norm="ortho").astype(np.float32)
    return waves


@cache
def _band_means(side: int) -> FloatArray:
    """The matrix (4, side) that takes means over bands of frequency."""
    edges = np.unique([0, max(1, side // 8), max(2, side // 4), max(3, side // 2), side])
    wave = np.arange(side)
    inside = (wave >= edges[:-1, None]) & (wave < edges[1:, None])
    means: FloatArray = (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)
    return means
