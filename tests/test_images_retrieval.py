"""The benchmark of partners: skies whose wind is known, candidates that count, rows of figures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from raravis.benchmarks import images_retrieval as retrieval
from raravis.errors import DataError, ParameterError
from raravis.images.drifting import drift, drifting_clouds, moved_on
from raravis.metrics.retrieval import Places


@pytest.mark.parametrize("far", [(3, -5), (0, 2), (-4, 0)])
def test_the_drift_between_two_cuts_of_one_sky_is_how_far_they_lie_apart(
    far: tuple[int, int],
) -> None:
    sky = drifting_clouds(np.random.default_rng(0), 1, 64)[0]
    first = sky[16:48, 16:48]
    second = sky[16 - far[0] : 48 - far[0], 16 - far[1] : 48 - far[1]]
    assert drift(first, second) == pytest.approx(far, abs=0.3)


def test_clouds_drift_evenly_and_change_slowly() -> None:
    film = drifting_clouds(np.random.default_rng(1), 40, 48)
    assert film.shape == (40, 48, 48) and film.min() >= 0 and film.max() <= 1
    steps = np.array([drift(film[at], film[at + 4]) for at in range(0, 36, 4)]) / 4
    assert 0.4 < np.hypot(*np.median(steps, axis=0)) < 1.6
    assert np.abs(steps - np.median(steps, axis=0)).max() < 0.3
    apart = [np.corrcoef(film[0].ravel(), film[at].ravel())[0, 1] for at in (1, 10, 39)]
    assert apart[0] > apart[1] > apart[2]


def test_what_moves_on_as_it_went_comes_nearer_than_what_stands_still() -> None:
    film = drifting_clouds(np.random.default_rng(2), 10, 48)
    moved = moved_on(film[:3], 3.0)
    assert moved.shape == (3, 48, 48)
    inner = (slice(12, -12), slice(12, -12))
    still, forecast = (np.abs(seen[inner] - film[8][inner]).mean() for seen in (film[2], moved[2]))
    assert forecast < 0.5 * still


@pytest.fixture(scope="module")
def moments() -> retrieval.Moments:
    return retrieval.skies(0, quick=True)


def test_candidates_that_share_a_moment_with_the_present_do_not_count(moments) -> None:
    sets = retrieval.candidate_sets(moments, 4.0)
    same = sets["same recording"]
    # Presents begin at frames 0, 4, 8, ... and futures of 4 frames later at 4, 8, 12, ...: of the
    # second present the future of the first is the same frames, and does not count.
    assert same[1, 1] and not same[1, 0] and same[1, 2]
    assert not (same & (moments.recording[:, None] != moments.recording)).any()
    others = sets["others"]
    assert others.diagonal().all()
    assert (others.sum(axis=1) == 1 + (moments.recording != 0).sum()).all()


def test_pixels_are_those_of_the_present_and_of_its_future(moments) -> None:
    now, later = retrieval.pixels(moments, 1)
    assert np.array_equal(now, moments.tested[:, :2])
    assert np.array_equal(later, moments.tested[:, 4:6])
    # Four frames later is the next present: futures are the frames that come.
    assert np.array_equal(retrieval.pixels(moments, 0)[1][0], now[1])


def test_figures_take_the_queries_of_all_seeds_together() -> None:
    key = ("skies", "others", "4 frames", "pixels")
    first = Places(np.array([0, 0]), np.array([0, 0]), np.array([4, 4]))
    second = Places(np.array([2, 0]), np.array([0, 1]), np.array([2, 4]))
    (row,) = retrieval.figures([(key, first, np.zeros(2)), (key, second, np.ones(2))], seeds=2)
    assert (row["part"], row["case"], row["method"]) == ("skies", "4 frames", "pixels")
    assert row["top-1"] == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert row["chance"] == pytest.approx((3 / 4 + 1 / 2) / 4)
    assert (row["queries"], row["seeds"]) == (4, 2)
    assert (row["from"], row["to"]) == (0.25, 1.0)  # of one seed's queries or of the other's


def test_cuts_take_the_same_part_of_both_pictures() -> None:
    random = np.random.default_rng(0)
    slope = np.add.outer(np.arange(60.0), 2 * np.arange(100.0))[None].astype(np.float32)
    for _ in range(5):
        window = retrieval.cut((np.repeat(slope, 3, axis=0), slope), random)
        assert window.shape == (4, *retrieval.SIZE)
        np.testing.assert_allclose(window[0], window[3], atol=1e-4)
        np.testing.assert_allclose(window.mean(axis=(1, 2)), 0, atol=1e-4)


@pytest.mark.parametrize("case", retrieval.SPLITS)
def test_no_pair_is_learned_from_that_is_tested_on_or_stands_beside_one(case: str) -> None:
    known, tested = retrieval.held_out(143, case)
    assert 40 <= tested.sum() <= 50 and known.sum() >= 80
    for number in np.flatnonzero(tested):
        assert not known[max(0, number - 1) : number + 2].any()


@pytest.mark.slow
def test_pairs_that_are_the_same_find_each_other(tmp_path) -> None:
    random = np.random.default_rng(0)
    for camera in ("visible", "infrared"):
        (tmp_path / "images/rgb_thermal_roadscene" / camera).mkdir(parents=True)
    for number in range(72):
        pixels = (255 * drifting_clouds(random, 1, 64)[0]).astype(np.uint8)
        for camera in ("visible", "infrared"):
            path = tmp_path / "images/rgb_thermal_roadscene" / camera / f"{number:02d}.jpg"
            Image.fromarray(pixels).save(path, quality=95)
    rows = retrieval.run(tmp_path, [0], ["thermal"], quick=True)
    assert {row["method"] for row in rows} > {"vicreg-pair", "untaught"}
    for row in rows:
        assert row["chance"] == pytest.approx(1 / 8)  # every third pair, and of these a third
        if row["method"] in ("grey values", "gradients"):
            assert row["top-1"] == 1


@pytest.mark.slow
def test_skies_are_foretold_in_a_table() -> None:
    rows = retrieval.run(None, [0], ["skies"], quick=True)
    methods = {"predictive", "persistence", "persistence, untaught", "pixels", "advection"}
    assert {row["method"] for row in rows} == methods
    assert len(rows) == 5 * 3 * 2
    assert all(0 <= row["from"] <= row["top-1"] <= row["to"] <= 1 for row in rows)


def test_what_is_not_there_is_refused(tmp_path) -> None:
    with pytest.raises(ParameterError, match="parts must be of skies, sound, thermal, got rain"):
        retrieval.run(None, parts=["rain"])
    with pytest.raises(DataError, match="this part needs audio/field_24h: give the folder"):
        retrieval.run(tmp_path, parts=["sound"])
