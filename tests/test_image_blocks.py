"""Pictures judged by their blocks: what the model promises."""

from __future__ import annotations

import numpy as np
import pytest

from raravis import metrics, models, scorers
from raravis.encoded import Encoded
from raravis.errors import DataError, ParameterError
from raravis.images.memory import BlockMemory, own_distance
from raravis.models.image_blocks import ImageBlocks
from raravis.thresholds import Tail


def grass(count, seed=0, shape=(1, 48, 64)):
    """Noise with a grain, under uneven light."""
    random = np.random.default_rng(seed)
    grain = random.standard_normal((count, *shape)).astype(np.float32)
    grain = grain + np.roll(grain, 1, axis=-1)
    light = np.linspace(0, random.uniform(1, 5), shape[-1], dtype=np.float32)
    return 0.5 + 0.05 * grain + 0.05 * light


def scratched(pictures, at=20):
    """The same with a bright scratch each."""
    pictures = pictures.copy()
    pictures[..., at : at + 2, 10:34] += 0.4
    return pictures


def test_a_scratch_is_found_and_shown_where_it_is():
    model = ImageBlocks(side=12, smallest=4).fit(grass(20))
    ordinary, strange = grass(20, seed=1), scratched(grass(20, seed=2))
    scores = model.encode([*ordinary, *strange]).terms["patches"]
    assert metrics.auroc(np.repeat([False, True], 20), scores) > 0.95
    heat = model.heat(strange[0])
    assert heat.shape == (48, 64)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(row - 21) <= 8
    assert 4 <= column <= 40


def test_what_was_learned_is_judged_as_if_it_were_new():
    seen, new = grass(30), grass(30, seed=1)
    model = ImageBlocks(side=12, smallest=4).fit(seen)
    known = model.ordinary(seen).terms["patches"]
    assert known.mean() == pytest.approx(model.encode(new).terms["patches"].mean(), rel=0.05)
    assert model.encode(seen).terms["patches"].mean() < 0.7 * known.mean()


def test_a_picture_is_judged_by_itself():
    model = ImageBlocks(side=12, smallest=4).fit(grass(10))
    some = [*grass(3, seed=1), *grass(2, seed=2, shape=(1, 40, 40))]
    together = model.encode(some)
    for row, picture in enumerate(some):
        alone = model.encode([picture])
        np.testing.assert_allclose(alone.embedding[0], together.embedding[row], atol=1e-4)
        np.testing.assert_allclose(
            alone.terms["patches"][0], together.terms["patches"][row], rtol=1e-4
        )


def test_comes_back_from_its_arrays():
    model = ImageBlocks(side=12, smallest=4).fit(grass(10))
    again = ImageBlocks(side=12, smallest=4).restore(model.state())
    some = grass(3, seed=1)
    np.testing.assert_array_equal(
        model.encode(some).terms["patches"], again.encode(some).terms["patches"]
    )


def test_small_pictures_are_judged_as_a_whole_and_still_have_a_heat():
    small = grass(20, shape=(1, 28, 28))
    model = ImageBlocks().fit(small)
    known = model.ordinary(small)
    assert list(known.terms) == ["patches"]
    heat = model.heat(scratched(small[:1], at=12)[0])
    assert heat.shape == (28, 28)
    assert heat[10:16].mean() > 1.5 * heat[22:].mean()
    bright = small[:3].copy()
    bright[..., :14, :] += 0.5
    scorer = scorers.create("pictures").fit(known)
    assert scorer.score(model.encode(bright)).min() > scorer.ordinary_scores(known).max()


def test_pictures_in_colour_and_in_degrees_are_judged_alike():
    grey = grass(12)
    colour = np.concatenate([grey, 0.5 * grey, 1 - grey], axis=1)
    for learned in (colour, 20 + 5 * grey):
        model = ImageBlocks(side=12, smallest=4).fit(learned)
        strange = learned[:1].copy()
        strange[..., 20:24, 10:34] += 3 * learned.std()
        found = model.encode(strange).terms["patches"][0]
        assert found > model.ordinary(learned).terms["patches"].max()


@pytest.mark.parametrize("shape", [(1, 8, 8), (4, 9, 200), (2, 31, 30), (1, 300, 290)])
def test_pictures_of_any_size_and_even_ones_give_finite_numbers(shape):
    learned = [*grass(4, shape=shape), np.full(shape, 0.5, dtype=np.float32)]
    model = ImageBlocks(smallest=4).fit(learned)
    even = np.full(shape, 3.0, dtype=np.float32)
    for encoded in (model.ordinary(learned), model.encode([even])):
        assert np.isfinite(encoded.embedding).all()
        assert all(np.isfinite(values).all() for values in encoded.terms.values())
    assert model.heat(even).shape == shape[1:]
    assert np.isfinite(model.heat(even)).all()


def test_a_picture_much_smaller_than_those_learned_from_is_judged_too():
    model = ImageBlocks(shorter=8).fit(grass(4, shape=(1, 64, 80)))
    assert model.factor_ == 8
    small = grass(1, shape=(1, 9, 20))[0]
    assert np.isfinite(model.encode([small]).terms["patches"]).all()
    assert model.heat(small).shape == (9, 20)


def test_the_same_seed_gives_the_same_numbers():
    models_of = [ImageBlocks(memory=50, seed=seed).fit(grass(6)) for seed in (1, 1, 2)]
    banks = [model.memory_.bank_ for model in models_of]
    np.testing.assert_array_equal(banks[0], banks[1])
    assert not np.array_equal(banks[0], banks[2])


def test_the_unit_of_the_pixels_does_not_matter():
    grey = grass(8)
    terms = [
        ImageBlocks(smallest=4).fit(scale * grey).ordinary(scale * grey).terms["within"]
        for scale in (1, 100)
    ]
    np.testing.assert_allclose(terms[0], terms[1], rtol=0.01)


def test_memory_is_as_large_as_asked_however_many_pictures():
    model = ImageBlocks(memory=100).fit(grass(30))
    assert len(model.memory_.bank_) == 100


# the memory of blocks


def test_the_distance_to_the_memory_against_every_pair():
    random = np.random.default_rng(0)
    blocks, new = random.standard_normal((500, 6)), random.standard_normal((40, 6))
    memory = BlockMemory(shrinkage=0.3, memory=400, k=3, seed=0)
    memory.fit(blocks, np.repeat(np.arange(10), 50))
    z = memory.turned(new)
    apart = np.linalg.norm(z[:, None] - memory.bank_, axis=2)
    np.testing.assert_allclose(
        memory.distance(z), np.sort(apart, axis=1)[:, :3].mean(axis=1), rtol=1e-4
    )
    without = np.sort(apart[:, memory.owner_ != 4], axis=1)[:, :3].mean(axis=1)
    np.testing.assert_allclose(memory.distance(z, owner=4), without, rtol=1e-4)


def test_without_shrinkage_all_directions_count_alike():
    random = np.random.default_rng(0)
    blocks = random.standard_normal((2000, 3)) @ np.array([[5, 1, 0], [0, 1, 0], [0, 3, 0.1]])
    memory = BlockMemory(shrinkage=0.0, memory=10, k=1, seed=0).fit(blocks, np.zeros(2000, int))
    np.testing.assert_allclose(np.cov(memory.turned(blocks).T), np.eye(3), atol=0.01)


def test_the_distance_within_a_picture_against_every_pair():
    rows, columns, apart, k = 5, 7, 3, 2
    z = np.random.default_rng(0).standard_normal((rows * columns, 4)).astype(np.float32)
    expected = np.zeros(len(z))
    for block in range(len(z)):
        far = [
            np.linalg.norm(z[block] - z[other])
            for other in range(len(z))
            if max(abs(block // columns - other // columns), abs(block % columns - other % columns))
            >= apart
        ]
        expected[block] = np.mean(sorted(far)[:k])
    np.testing.assert_allclose(own_distance(z, columns, apart, k), expected, rtol=1e-4)


def test_a_picture_of_few_blocks_has_no_elsewhere():
    z = np.ones((4, 3), dtype=np.float32)
    np.testing.assert_array_equal(own_distance(z, 2, 3, 1), 0)


# the scorer that hears blocks and whole together


def test_the_scorer_of_pictures_is_the_mean_surprise_of_its_members():
    random = np.random.default_rng(0)
    known = Encoded(
        random.standard_normal((80, 3)).astype(np.float32),
        {name: random.random(80) for name in ("patches", "coarse", "within")},
    )
    new = Encoded(np.full((1, 3), 4, np.float32), dict.fromkeys(known.terms, np.ones(1)))
    knn = scorers.create("knn", k=5, rescale=False).fit(known)
    tail = {name: Tail(tail="exponential").fit(known.terms[name], 1.0) for name in known.terms}
    whole = Tail(tail="exponential").fit(knn.ordinary_scores(known), 1.0)
    expected = [whole.surprise(knn.score(new))]
    expected += [tail[name].surprise(new.terms[name]) for name in tail]
    scorer = scorers.create("pictures").fit(known)
    np.testing.assert_allclose(scorer.score(new), np.mean(expected, axis=0))
    alone = scorers.create("pictures").fit(
        Encoded(known.embedding, {"patches": known.terms["patches"]})
    )
    np.testing.assert_allclose(alone.score(new), expected[0])
    with pytest.raises(ParameterError, match="the model gives no term 'coarse'"):
        scorer.score(Encoded(new.embedding, {"patches": np.ones(1)}))


def test_refuses_and_says_why():
    with pytest.raises(ParameterError, match="side must be >= 4"):
        ImageBlocks(side=2)
    with pytest.raises(ParameterError, match="quantile must be in"):
        ImageBlocks(quantile=0)
    with pytest.raises(ParameterError, match="call fit first"):
        models.create("image-blocks").encode(grass(1))
    with pytest.raises(DataError, match="at least 2 pictures, got 1"):
        ImageBlocks().fit(grass(1))
    model = ImageBlocks().fit(grass(3))
    with pytest.raises(DataError, match=r"1 channels and at least 8 x 8 pixels, got \(3, 20, 20\)"):
        model.encode([np.zeros((3, 20, 20), dtype=np.float32)])
    with pytest.raises(DataError, match="NaN"):
        model.encode([np.full((1, 20, 20), np.nan, dtype=np.float32)])
