"""What stands in a block of a picture, in numbers."""

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
