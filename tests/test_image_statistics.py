"""What stands in a block of a picture, and in a whole one, in numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dctn

from raravis.images.statistics import (
    STATISTICS,
    at_least,
    block_statistics,
    globally_normalised,
    locally_normalised,
    shrunk,
)
from raravis.images.whole import Shades, Whole, in_cells, layout, light_and_colour, outlines

LEAST = np.array([0.01], dtype=np.float32)


def pictures(count=2, channels=1, height=40, width=52, seed=0):
    random = np.random.default_rng(seed)
    return random.random((count, channels, height, width)).astype(np.float32)


def test_shrinking_takes_means_and_cuts_the_rest_off():
    rows = np.arange(20, dtype=np.float32).reshape(1, 1, 4, 5)
    np.testing.assert_array_equal(shrunk(rows, 2), [[[[3, 5], [13, 15]]]])
    assert shrunk(rows, 1) is rows


def test_a_short_side_is_mirrored():
    rows = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    np.testing.assert_array_equal(at_least(rows, 4)[0, 0, :, 0], [0, 3, 3, 0])
    assert at_least(rows, 2).shape == (1, 1, 2, 3)


def test_a_slope_of_light_disappears_locally():
    uneven = pictures(1) + np.linspace(0, 20, 52, dtype=np.float32)
    middle = (0, 0, slice(10, -10), slice(15, -15))
    there = locally_normalised(pictures(1), 4, LEAST)[middle]
    here = locally_normalised(uneven, 4, LEAST)[middle]
    assert np.corrcoef(here.ravel(), there.ravel())[0, 1] > 0.95


def test_globally_normalised_has_mean_0_and_deviation_1():
    normal = globally_normalised(1000 + 7 * pictures(), LEAST)
    np.testing.assert_allclose(normal.mean(axis=(2, 3)), 0, atol=1e-3)
    np.testing.assert_allclose(normal.std(axis=(2, 3)), 1, atol=0.01)


def test_statistics_by_hand_for_one_block():
    some, side, stride = pictures(), 24, 8
    numbers = block_statistics(some, side, stride, LEAST)
    assert numbers.shape == (2, 3, 4, STATISTICS)
    at = (slice(8, 32), slice(16, 40))
    local = locally_normalised(some, 12, LEAST)[1, 0][at].astype(np.float64)
    whole = globally_normalised(some, LEAST)[1, 0][at]
    strength = np.log(np.abs(dctn(local, norm="ortho")) + 0.1)
    edges = [0, 3, 6, 12, 24]
    expected = [
        strength[edges[i] : edges[i + 1], edges[j] : edges[j + 1]].mean()
        for i in range(4)
        for j in range(4)
    ]
    expected += [local.max(), local.min(), local.std(), (local**3).mean()]
    expected += [(local**4).mean() ** 0.25, whole.mean(), whole.std()]
    np.testing.assert_allclose(numbers[1, 1, 2], expected, rtol=1e-3, atol=1e-4)


def test_channels_stand_side_by_side():
    some = pictures(channels=3)
    three = block_statistics(some, 8, 4, np.full(3, 0.01, dtype=np.float32))
    second = block_statistics(some[:, 1:2], 8, 4, LEAST)
    np.testing.assert_allclose(
        three[..., STATISTICS : 2 * STATISTICS], second, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("side", [4, 5, 8, 24])
def test_an_even_picture_gives_finite_numbers(side):
    numbers = block_statistics(np.full((1, 1, 8, 8), 21.5), side, 2, LEAST)
    assert numbers.dtype == np.float32
    assert np.isfinite(numbers).all()


# the whole picture


def edge(direction, size=32):
    """A picture that grows brighter across its middle, towards a direction of the circle / 8."""
    row, column = np.mgrid[:size, :size] - (size - 1) / 2
    angle = 2 * np.pi * direction / 8
    across = column * np.cos(angle) + row * np.sin(angle)
    return np.tanh(across / 2)[None, None].astype(np.float32)


@pytest.mark.parametrize("direction", range(8))
def test_outlines_know_the_direction_of_an_edge(direction):
    numbers = outlines(edge(direction), LEAST).reshape(8, 4, 4)
    assert numbers[:, 1:3, 1:3].sum(axis=(1, 2)).argmax() == direction


def test_outlines_do_not_depend_on_contrast_or_brightness():
    some = edge(3) + 0.1 * pictures(1, 1, 32, 32)
    np.testing.assert_allclose(outlines(some, LEAST), outlines(5 + 3 * some, LEAST), atol=0.02)


def test_the_layout_says_where_it_is_bright_whatever_the_size():
    for size in ((32, 32), (40, 64)):
        dark = np.zeros((1, 1, *size), dtype=np.float32)
        dark[..., : size[0] // 2, : size[1] // 2] = 1
        cells = layout(dark, LEAST).reshape(8, 8)
        assert (cells[:3, :3] > 1).all()
        assert (cells[5:, 5:] < 0).all()


def test_cells_keep_an_even_picture_even():
    np.testing.assert_allclose(in_cells(np.full((1, 1, 13, 29), 7.0), 4), 7, rtol=1e-5)


def test_light_and_colour_of_red_green_and_blue():
    grey = light_and_colour(np.full((1, 3, 2, 2), 0.6), np.ones(3))
    np.testing.assert_allclose(grey[0, :, 0, 0], [0.6 * np.sqrt(3), 0, 0], atol=1e-6)
    some = pictures(2, 3)
    turned = light_and_colour(some, np.ones(3, dtype=np.float32))
    np.testing.assert_allclose(  # a rotation: lengths stay
        np.linalg.norm(turned, axis=1), np.linalg.norm(some, axis=1), rtol=1e-5
    )


def test_shades_are_shares_of_kinds_of_ordinary_pixels():
    some = pictures(4, 2)
    shades = Shades().fit(list(some))
    np.testing.assert_allclose(np.square(shades(some)).mean(axis=0), 1 / 8, atol=0.01)
    dark = np.square(shades(np.full((1, 2, 8, 8), -1.0))).reshape(2, 8)
    np.testing.assert_array_equal(dark[:, 0], 1)


def test_each_descriptor_weighs_the_same():
    some = pictures(200, 1, 16, 16)
    whole = Whole()
    whole.shades_.fit(list(some))
    raw = whole.raw(some, LEAST)
    sizes = [numbers.shape[1] for numbers in raw]
    assert sizes == [128, 64, 8]
    embedding = whole.fit([raw])(raw)
    for part in np.split(embedding, np.cumsum(sizes)[:-1], axis=1):
        np.testing.assert_allclose(2 * part.var(axis=0).sum(), 1, atol=0.05)
