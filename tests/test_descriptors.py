"""Sound events in numbers: colour, rhythm, shape and texture, free of loudness."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raravis.encoded import Encoded
from raravis.errors import ParameterError
from raravis.models.descriptors import (
    DESCRIPTORS,
    RHYTHM_EDGES_HZ,
    Picture,
    SoundEvents,
    Texture,
    clean,
    colour,
    raw,
    rhythm,
    shape,
)
from raravis.segments import Excerpt
from raravis.windows import FloatArray

PER_S = 50
KINDS = ("whistle", "rattle", "roar")


def excerpt(above_db: FloatArray, background_db: float = -60.0) -> Excerpt:
    """An event with these decibels above the background, (F, T)."""
    frames = above_db.shape[1]
    background = np.full(len(above_db), background_db, dtype=np.float32)
    return Excerpt(above_db.astype(np.float16), background, 10.0, 10.0 + frames / PER_S, 15.0)


def event(kind: str, seed: int, bands: int = 64) -> Excerpt:
    """A rising whistle, a rattle at 10 Hz or a steady roar, each a little different."""
    random = np.random.default_rng(seed)
    frames = int(random.integers(60, 120))
    time_s = np.arange(frames) / PER_S
    band = np.arange(bands)[:, None] / bands
    if kind == "whistle":
        pitch = 0.4 + random.uniform(-0.03, 0.03) + 0.2 * time_s / time_s[-1]
        level = 30 * np.exp(-(((band - pitch) / 0.04) ** 2))
    elif kind == "rattle":
        pulse = np.sin(2 * np.pi * (10 * time_s + random.uniform())) > 0.3
        level = 25 * pulse * np.exp(-(((band - 0.6) / 0.3) ** 2))
    else:
        level = 20 * (1 - band) * np.ones(frames)
    return excerpt(np.maximum(level + random.normal(0, 2, size=(bands, frames)), 0))


def flock(each: int = 20, bands: int = 64) -> list[Excerpt]:
    return [event(kind, seed, bands) for kind in KINDS for seed in range(each)]


def distances(encoded: Encoded) -> FloatArray:
    difference = encoded.embedding[:, None] - encoded.embedding[None]
    return np.linalg.norm(difference.astype(float), axis=2)


def picture(cells: FloatArray) -> Picture:
    return Picture.of(cells.astype(np.float32), cells.shape[1] / PER_S)


# ----------------------------------------------------------------- pictures


def test_a_picture_has_32_bands_at_50_frames_a_second_whatever_came():
    for bands, frames, duration_s in ((64, 100, 2.0), (16, 100, 2.0), (40, 37, 0.5), (128, 1, 0.1)):
        made = Picture.of(np.ones((bands, frames), dtype=np.float32), duration_s)
        assert made.cells.shape == (32, round(duration_s * 50))
        np.testing.assert_allclose(made.cells, 1, rtol=1e-6)
        assert made.weight.sum() == pytest.approx(1, rel=1e-6)


def test_bands_are_means_of_their_neighbours():
    cells = np.arange(64, dtype=np.float32)[:, None] * np.ones((1, 10), dtype=np.float32)
    np.testing.assert_allclose(Picture.of(cells, 0.2).cells[:, 0], np.arange(32) * 2 + 0.5)


def test_the_clean_picture_is_the_power_less_the_background():
    # 10 dB above is 10 times the background; less 1.7 times it that is 8.3 times, 9.19 dB.
    # 20 dB above is 100 times; less 1.7 that is 98.3, 19.93 dB: the peak. 10.73 dB are 0.358 of 30.
    above = np.full((32, 10), 20.0)
    above[16:] = 10.0
    made = clean(excerpt(above))
    np.testing.assert_allclose(made.cells[:16], 1, atol=1e-3)
    np.testing.assert_allclose(made.cells[16:], 1 - 10.73 / 30, atol=1e-3)


def test_the_background_itself_is_not_seen_in_the_clean_picture():
    above = np.zeros((32, 10))
    above[0] = 40.0
    assert clean(excerpt(above)).cells[1:].max() == 0


def test_loudness_of_recorder_and_background_is_not_seen():
    near, far = event("whistle", 0), event("whistle", 0)
    far = replace(far, background_db=far.background_db + 20)
    for view in (clean, raw):
        np.testing.assert_allclose(view(near).cells, view(far).cells, atol=1e-5)


# ----------------------------------------------------------------- descriptors by hand


def test_colour_tells_the_band():
    cells = np.zeros((32, 20))
    cells[7] = 1
    np.testing.assert_allclose(colour(picture(cells)), np.eye(32)[7], atol=1e-6)


def test_colour_listens_to_where_it_is_loud():
    cells = np.zeros((32, 20))
    cells[7, :10] = 1
    assert colour(picture(cells))[7] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("speed_hz", [2, 5, 10, 16, 20])
def test_rhythm_tells_the_speed_of_change(speed_hz):
    level = 0.5 + 0.4 * np.sin(2 * np.pi * speed_hz * np.arange(100) / PER_S)
    shares = rhythm(picture(np.tile(level, (32, 1)))).reshape(8, 10)
    at = np.searchsorted(RHYTHM_EDGES_HZ, speed_hz, side="right") - 1
    assert (shares.argmax(axis=1) == at).all()


def test_rhythm_is_the_same_however_deep_the_change():
    level = np.sin(2 * np.pi * 7 * np.arange(100) / PER_S)
    deep, shallow = (rhythm(picture(np.tile(0.5 + d * level, (32, 1)))) for d in (0.4, 0.2))
    np.testing.assert_allclose(deep, shallow, atol=1e-3)


def test_shape_by_hand():
    # one second: full for a half, silent for a half
    cells = np.zeros((32, 50))
    cells[:, :25] = 1
    duration, mean, low, middle, high, course, over_time, over_bands, contrast, fullness, *heard = (
        shape(picture(cells))
    )
    assert duration == pytest.approx(0)
    assert mean == pytest.approx(0.5)
    assert (low, high) == (0, 1)
    assert middle in (0, 1)
    assert course == pytest.approx(1 / 50 / 0.5, rel=1e-4)  # one fall by 1 in 50 frames of mean 0.5
    assert over_time == pytest.approx(course)
    assert over_bands == contrast == 0
    assert fullness == 0.5
    assert heard == [1, 1, 1]


def test_texture_tells_clicks_from_tones():
    clicks, tones = np.zeros((32, 60)), np.zeros((32, 60))
    clicks[:, ::7] = 1
    tones[::5] = 1
    texture = Texture(4, 1000, seed=0).fit([picture(clicks), picture(tones)])
    again = np.zeros((32, 90))
    again[:, 3::7] = 1
    found = texture(picture(again))
    to_clicks = np.linalg.norm(found - texture(picture(clicks)))
    assert to_clicks < 0.3 * np.linalg.norm(found - texture(picture(tones)))


@pytest.mark.parametrize("name", DESCRIPTORS)
@pytest.mark.parametrize("frames", [1, 2, 7, 300])
@pytest.mark.parametrize("level_db", [0.0, 20.0])
def test_descriptors_are_finite_for_any_event(name, frames, level_db):
    model = SoundEvents().fit(flock(2))
    index = list(DESCRIPTORS).index(name)
    numbers = model._numbers(excerpt(np.full((20, frames), level_db)))[index]
    assert np.isfinite(numbers).all()


# ----------------------------------------------------------------- the model


def test_events_of_a_kind_lie_together():
    events = flock()
    apart = distances(SoundEvents().fit(events).encode(events))
    np.fill_diagonal(apart, np.inf)
    kind = np.arange(len(events)) // 20
    assert (kind[apart.argmin(axis=1)] == kind).all()


def test_each_descriptor_counts_alike():
    events = flock()
    model = SoundEvents().fit(events)
    embedding = model.encode(events).embedding
    sizes = [len(numbers) for numbers in model._numbers(events[0])]
    for block in np.split(embedding, np.cumsum(sizes)[:-1], axis=1):
        mean_square = distances(Encoded(block)).__pow__(2).mean()
        assert mean_square == pytest.approx(1, abs=0.15)  # less what was constant or clipped


def test_salience_goes_through():
    events = [replace(event("roar", seed), salience_db=float(seed)) for seed in range(4)]
    terms = SoundEvents().fit(events).encode(events).terms
    np.testing.assert_array_equal(terms["salience"], [0, 1, 2, 3])


@pytest.mark.parametrize("bands", [16, 33, 64, 128])
def test_any_number_of_bands_gives_an_embedding_of_the_same_size(bands):
    encoded = SoundEvents().fit(flock(3, bands)).encode(flock(2, bands))
    assert encoded.embedding.shape == (6, 397)
    assert encoded.embedding.dtype == np.float32


def test_an_event_is_described_alike_in_any_company():
    events = flock(4)
    model = SoundEvents().fit(events)
    together = model.encode(events).embedding
    alone = np.concatenate([model.encode([one]).embedding for one in events])
    np.testing.assert_array_equal(together, alone)


def test_a_restored_model_describes_the_same_to_the_last_bit():
    events = flock(4)
    model = SoundEvents().fit(events)
    restored = SoundEvents().restore(model.state())
    np.testing.assert_array_equal(model.encode(events).embedding, restored.encode(events).embedding)


def test_the_same_seed_gives_the_same_numbers():
    events = flock(4)
    one, other, third = (
        SoundEvents(patches=50, seed=seed).fit(events).encode(events).embedding
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, other)
    assert (one != third).any()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_it_learns_from_hardly_any_events(count):
    model = SoundEvents().fit(flock(1)[:count])
    encoded = model.encode(flock(2))
    assert np.isfinite(encoded.embedding).all()
    assert len(model.encode([])) == 0
    assert model.encode([]).embedding.shape[1] == encoded.embedding.shape[1]


def test_the_model_refuses_and_says_why():
    with pytest.raises(ParameterError, match=r"patterns must be in \[1, 256\], got 300"):
        SoundEvents(patterns=300)
    with pytest.raises(ParameterError, match=r"patches must be at least 1, got 0"):
        SoundEvents(patches=0)
