"""Pictures on one scale and of one size, as networks see them."""

import numpy as np
import pytest

from raravis.errors import DataError, ParameterError
from raravis.images.sizes import ChannelScale, size_within


def test_the_longer_side_is_bounded_and_the_form_is_kept():
    assert size_within((480, 640), 64) == (48, 64)
    assert size_within((28, 28), 64) == (28, 28)
    assert size_within((3, 900), 90) == (4, 90)


def test_a_side_of_nothing_is_refused():
    with pytest.raises(ParameterError, match="side must be at least 4 pixels, got 2"):
        size_within((10, 10), 2)


def test_each_channel_is_brought_to_mean_0_and_deviation_1_and_back():
    noise = np.random.default_rng(0)
    pictures = [noise.normal((20.0, 0.5), (5.0, 0.1), (8, 9, 2)).transpose(2, 0, 1) for _ in "abc"]
    scale = ChannelScale().learn(pictures)
    even = scale.apply(np.stack(pictures))
    np.testing.assert_allclose(even.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(even.std(axis=(0, 2, 3)), 1, rtol=1e-4)
    np.testing.assert_allclose(scale.invert(even), pictures, rtol=1e-4)


def test_pictures_of_any_size_count_alike_and_a_flat_channel_does_not_explode():
    scale = ChannelScale().learn([np.zeros((1, 2, 2)), np.ones((1, 50, 50))])
    assert scale.mean_ == pytest.approx([0.5])
    flat = ChannelScale().learn([np.full((1, 4, 4), 7.0)])
    assert np.isfinite(flat.apply(np.full((1, 4, 4), 7.1))).all()


def test_no_pictures_are_refused():
    with pytest.raises(DataError, match="there are no pictures to learn from"):
        ChannelScale().learn([])
