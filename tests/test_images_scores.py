"""Which score finds what: the measure itself, on pictures whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from raravis.benchmarks import images_scores
from raravis.benchmarks.images_scores import Case, measure, with_fog, with_snow
from raravis.errors import DataError, ParameterError
from real_data import real_data


def pictures(count, level, seed):
    random = np.random.default_rng(seed)
    return list((level + random.normal(0, 0.1, (count, 1, 16, 16))).astype(np.float32))


@pytest.fixture(scope="module")
def rows():
    """Figures where what follows is brighter, and else the same."""
    case = Case(pictures(40, 0.3, 0), pictures(70, 0.3, 1), pictures(50, 0.6, 2), (16, 16))
    return {(r["model"], r["score"], r["per"]): r for r in measure(case, seed=0, steps=3)}


def test_brightness_finds_what_is_brighter_and_chance_does_not(rows):
    assert rows["none", "brightness", "window"]["AUROC"] == 1
    assert rows["none", "brightness", "batch 16"]["AUROC"] == 1
    chance = rows["none", "random", "window"]
    assert chance["low"] < 0.5 < chance["high"]
    assert rows["pixels", "knn", "window"]["AUROC"] == 1


def test_every_term_and_score_is_asked_of_windows_and_of_batches(rows):
    asked = {
        "vicreg": ("invariance", "variance", "covariance", "vicreg", "knn", "mahalanobis"),
        "conv-ae": ("reconstruction", "knn", "mahalanobis"),
        "image-blocks": ("patches",),
        "pixels": ("knn",),
        "none": ("brightness", "random"),
    }
    for model, scores in asked.items():
        for score in scores:
            for per in ("window", "batch 16"):
                row = rows[model, score, per]
                assert 0 <= row["low"] <= row["AUROC"] <= row["high"] <= 1
    assert rows["none", "random", "window"]["rows"] == 120
    assert rows["none", "random", "batch 16"]["rows"] == 4 + 3  # whole batches of 70 and of 50
    assert not [key for key in rows if key[2] == "batch 64"]  # 70 and 50 hold no two


def test_no_window_is_in_two_batches():
    is_other = np.arange(100) >= 60
    batches, others = images_scores._batches(is_other, 16, seed=0)
    assert len(np.unique(batches)) == batches.size == 16 * (3 + 2)
    assert (is_other[batches] == others[:, None]).all()


def test_means_over_seeds_by_hand():
    one = {"data": "d", "model": "m", "score": "s", "per": "window"}
    rows = [
        {**one, "seed": 0, "AUROC": 0.6, "low": 0.5, "high": 0.7},
        {**one, "seed": 1, "AUROC": 0.8, "low": 0.7, "high": 0.9},
    ]
    (row,) = images_scores._over_seeds(rows)
    assert row["AUROC"] == pytest.approx(0.7)
    assert (row["least"], row["most"], row["seeds"]) == (0.6, 0.8, 2)
    # of two independent means of half-width .1, the mean has .1 / sqrt(2)
    assert row["high"] - row["AUROC"] == pytest.approx(0.1 / np.sqrt(2))


def test_fog_and_snow_change_a_picture_and_leave_it_in_its_range():
    picture = np.random.default_rng(0).random((3, 64, 64), dtype=np.float32)
    for spoil in (with_fog, with_snow):
        spoilt = spoil(picture, np.random.default_rng(1))
        assert spoilt.shape == picture.shape
        assert 0 <= spoilt.min() <= spoilt.max() <= 1
        assert np.array_equal(spoilt, spoil(picture, np.random.default_rng(1)))
    assert with_fog(picture, np.random.default_rng(1)).std() < 0.85 * picture.std()
    snowed = np.abs(with_snow(picture, np.random.default_rng(1)) - picture).max(axis=0) > 0.1
    assert 0.005 < snowed.mean() < 0.1


def test_scores_refuse_and_say_why(tmp_path):
    with pytest.raises(ParameterError, match=r"parts must be of cifar, fashion, .* got clouds"):
        images_scores.run(tmp_path, parts=["clouds"])
    for part, expected in (("fashion", "fashion_mnist.npz"), ("tiles", "MT_Free"),
                           ("cifar", "train.zip"), ("snow", "sky_wsiseg")):  # fmt: skip
        with pytest.raises(DataError, match=f"expected .*{expected}.*found none"):
            images_scores.run(tmp_path, parts=[part])


def test_exposures_of_one_tile_are_on_one_side_only(tmp_path):
    folder = tmp_path / "images/magnetic_tile"
    for kind in ("MT_Free", "MT_Fray", "MT_Crack"):
        (folder / kind).mkdir(parents=True)
        for number in range(10):
            for exposure in (1, 2):
                grey = np.full((16, 16), 10 + 20 * number, dtype=np.uint8)
                Image.fromarray(grey).save(folder / kind / f"exp{exposure}_num_{number}.jpg")
    case = images_scores.tiles(tmp_path)(0)
    learned, before = (
        {round(float(p.mean()), 2) for p in side} for side in (case.learned, case.before)
    )
    assert len(case.learned) == len(case.before) == 10
    assert len(learned) == len(before) == 5
    assert not learned & before
    assert len(case.after) == 40  # all of both faults


@pytest.mark.slow
def test_the_real_data_are_read():
    data = real_data()
    case = images_scores.tiles(data)(0)
    assert len(case.learned) + len(case.before) == 223
    assert len(case.after) == 116
    for part, counts in (("fog", (49, 49)), ("cifar", (350, 650)), ("fashion", (1280, 1280))):
        drawn = images_scores.DATA[part](data)(0)
        assert (len(drawn.before), len(drawn.after)) == counts
