"""Pictures judged by their blocks: what the model promises."""

from __future__ import annotations

import numpy as np
import pytest

from raravis import metrics, models
from raravis.errors import DataError, ParameterError
from raravis.models.image_blocks import ImageBlocks


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
    model = ImageBlocks(side=12).fit(grass(20))
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
    model = ImageBlocks(side=12).fit(seen)
    known = model.ordinary(seen).terms["patches"]
    assert known.mean() == pytest.approx(model.encode(new).terms["patches"].mean(), rel=0.05)
    assert model.encode(seen).terms["patches"].mean() < 0.7 * known.mean()


def test_a_picture_is_judged_by_itself():
    model = ImageBlocks(side=12).fit(grass(10))
    some = [*grass(3, seed=1), *grass(2, seed=2, shape=(1, 40, 40))]
    together = model.encode(some)
    for row, picture in enumerate(some):
        alone = model.encode([picture])
        np.testing.assert_allclose(alone.embedding[0], together.embedding[row], atol=1e-4)
        np.testing.assert_allclose(
            alone.terms["patches"][0], together.terms["patches"][row], rtol=1e-4
        )


def test_comes_back_from_its_arrays():
    model = ImageBlocks(side=12).fit(grass(10))
    again = ImageBlocks(side=12).restore(model.state())
    some = grass(3, seed=1)
    np.testing.assert_array_equal(
        model.encode(some).terms["patches"], again.encode(some).terms["patches"]
    )


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
