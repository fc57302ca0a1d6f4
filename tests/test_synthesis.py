"""The built-in dawn chorus: the same every time, with its rare sounds where it says."""

import numpy as np
import pytest

from raravis.errors import ParameterError
from raravis.sound.synthesis import RATE_HZ, SINGERS, dawn_chorus


@pytest.fixture(scope="module")
def chorus():
    return dawn_chorus(minutes=2, seed=1)


def test_the_same_seed_gives_the_same_samples(chorus):
    samples, sounds = dawn_chorus(minutes=2, seed=1)
    np.testing.assert_array_equal(samples, chorus[0])
    assert sounds == chorus[1]
    assert not np.array_equal(samples, dawn_chorus(minutes=2, seed=2)[0])


def test_it_lasts_as_long_as_asked_and_does_not_clip(chorus):
    samples, _ = chorus
    assert samples.shape == (2 * 60 * RATE_HZ,)
    assert samples.dtype == np.float32
    assert 0.5 < np.abs(samples).max() < 1


def test_one_plane_and_one_chainsaw_among_many_birds(chorus):
    _, sounds = chorus
    assert [s.label for s in sounds if s.rare] == ["plane", "chainsaw"]
    assert {s.label for s in sounds if not s.rare} == set(SINGERS)
    assert all(0 <= s.start_s < s.end_s <= 120 for s in sounds)


def test_the_rare_sounds_are_audible_where_they_are_said_to_be(chorus):
    samples, sounds = chorus
    loudness = [np.std(samples[i : i + RATE_HZ]) for i in range(0, len(samples), RATE_HZ)]
    quiet = np.percentile(loudness, 25)
    for sound in (s for s in sounds if s.rare):
        middle = int((sound.start_s + sound.end_s) / 2 * RATE_HZ)
        assert np.std(samples[middle - RATE_HZ : middle + RATE_HZ]) > 1.5 * quiet


def test_it_refuses_less_than_two_minutes():
    with pytest.raises(ParameterError, match="minutes must be at least 2, got 1"):
        dawn_chorus(minutes=1)
