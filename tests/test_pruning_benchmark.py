"""The benchmark of pruning: what is drawn from the data, that rules are compared on the same
windows, and how figures come from fits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from raravis import contamination
from raravis.benchmarks import pruning
from raravis.comparison.noise import t_interval
from raravis.contamination import DATA, Case, Pools
from raravis.errors import DataError, ParameterError
from raravis.windows import FloatArray
from real_data import real_data

SMALL = dataclasses.replace(
    pruning.SETTINGS["dense"],
    windows=60,
    options={"hidden": (8,), "latent": 2},
    training={"epochs": 6, "learning_rate": 1e-2, "batch": 16},
    tried={0.0: ("none",), 0.1: ("none", "zscore:3")},
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small data in the layout of the real ones; a picture's kind and number stand in its pixels,
    a series counts its rows, a clip's pitch is its kind."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("images/fashion_mnist", "images/mnist", "smd"):
        (folder / name).mkdir(parents=True)
    kinds = np.repeat(np.arange(10), 500)
    pictures = np.zeros((5000, 4, 4), dtype=np.uint8)
    pictures[:, 0, 0], pictures[:, 0, 1], pictures[:, 0, 2] = (
        kinds, np.arange(5000) % 250, np.arange(5000) // 250,
    )  # fmt: skip
    np.savez(folder / "images/mnist/mnist_t10k_first7000.npz", x=pictures, y=kinds)
    np.savez(
        folder / "images/fashion_mnist/fashion_mnist.npz",
        x_train=pictures, y_train=kinds, x_test=pictures + 100, y_test=kinds,
    )  # fmt: skip
    labels = np.zeros(9000, dtype=np.uint8)
    for event in range(12):
        labels[300 + 700 * event :][: 40 + event] = 1
    rows = np.arange(9000.0)[:, None] * np.ones(3)
    np.savez(folder / "smd/machine-2-1.npz", test=rows, test_label=labels)
    for kind in range(8):
        (folder / f"audio/esc10/kind{kind}").mkdir(parents=True)
        tone = np.sin(2 * np.pi * 300 * (kind + 1) * np.arange(16000) / 8000)
        tone[9000:] = 0
        for fold in (1, 2, 3):
            path = folder / f"audio/esc10/kind{kind}/{fold}-1-A.ogg"
            soundfile.write(path, 0.5 * tone, 8000)
    return folder


def drawn(data: Path, name: str, seed: int = 0) -> Pools:
    return DATA[name](data)(seed)


def identities(windows: FloatArray) -> set[tuple[float, ...]]:
    return {tuple(window.ravel()) for window in windows}


@pytest.mark.parametrize("name", DATA)
def test_nothing_fresh_was_learned_from_and_the_seed_decides(data: Path, name: str) -> None:
    pools, again, other = drawn(data, name), drawn(data, name), drawn(data, name, seed=1)
    for part in ("common", "rare", "fresh_common", "fresh_rare"):
        np.testing.assert_array_equal(getattr(pools, part), getattr(again, part))
        assert getattr(pools, part).ndim == 4
    assert pools.common.shape != other.common.shape or (pools.common != other.common).any()
    if name != "esc10":  # where each clip of a kind is the same tone here
        assert not identities(pools.common) & identities(pools.fresh_common)
        assert not identities(pools.rare) & identities(pools.fresh_rare)


def test_three_kinds_of_pictures_are_common_and_another_is_rare(data: Path) -> None:
    for name in ("fashion", "mnist"):
        pools = drawn(data, name)
        common, rare = (set(part[:, 0, 0, 0].tolist()) for part in (pools.common, pools.rare))
        assert len(common) == 3 and len(rare) == 1 and not common & rare


def test_no_minute_of_a_series_is_learned_from_and_fresh(data: Path) -> None:
    pools = drawn(data, "smd")
    common, fresh = (set(part[:, 0].ravel()) for part in (pools.common, pools.fresh_common))
    assert common and fresh and not common & fresh
    rare, fresh_rare = (set(part[:, 0].ravel()) for part in (pools.rare, pools.fresh_rare))
    assert rare and fresh_rare and not rare & fresh_rare


def test_silent_seconds_of_a_clip_are_left_out(data: Path) -> None:
    pools = drawn(data, "esc10")
    assert pools.common.shape[1:] == (1, 32, 25)
    assert pools.common.max(axis=(1, 2, 3)).min() > -40


def test_a_case_holds_the_share_it_was_asked_for(data: Path) -> None:
    pools = drawn(data, "fashion")
    for share in (0.0, 0.01, 0.1):
        case = Case.of(pools, 500, share, seed=3)
        assert len(case.learned) == 500 and case.is_rare.sum() == 500 * share
        assert len(case.fresh) == contamination.FRESH
        assert case.is_fresh_rare.sum() == contamination.FRESH_RARE
        assert case.learned.mean() == pytest.approx(0, abs=1e-4)
        assert case.learned.std() == pytest.approx(1, abs=1e-4)
        assert set(case.questions) == ({"learned", "fresh"} if share else {"fresh"})


def test_too_few_windows_are_refused(data: Path) -> None:
    with pytest.raises(DataError, match="expected 99000 common and 1000 rare windows, the data"):
        Case.of(drawn(data, "mnist"), 100_000, 0.01, seed=0)


def test_data_that_are_not_there_are_named(tmp_path: Path) -> None:
    for name, message in (("smd", "machine-2-1.npz, found none"), ("esc10", "get ESC-10")):
        with pytest.raises(DataError, match=message):
            pruning.run(tmp_path, parts=(name,))


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"parts must be of fashion, .* got nothing"):
        pruning.run(tmp_path, parts=("nothing",))


def test_the_whole_way_from_data_to_figures(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "SETTINGS", {"dense": SMALL})
    rows = pruning.run(data, seeds=(0, 1), parts=("smd",), out=tmp_path)
    fits = pd.read_csv(tmp_path / "fits.csv")
    assert set(fits["score"]) == {"reconstruction", "knn", "random", "mean value", "PCA", "kNN"}
    assert not ((fits["share"] == 0) & (fits["question"] == "learned")).any()
    assert len(fits) == 2 * (1 * 2 + 4) * 1 + 2 * (2 * 2 + 4) * 2  # seeds, scores, questions
    pruned = [row for row in rows if row["rule"] == "zscore:3"]
    assert len(pruned) == 4 and all(
        {"AP gained", "AP from", "AP to"} <= row.keys() for row in pruned
    )
    assert {row["data"] for row in rows} == {"smd"}  # nothing to average over


def test_figures_are_paired_over_seeds() -> None:
    gains = {0: 0.1, 1: 0.2, 2: 0.3}
    fits = pd.DataFrame(
        [
            {
                "data": data, "setting": "dense", "share": 0.05, "seed": seed,
                "question": "learned", "score": "reconstruction", "rule": rule,
                "AUROC": 0.5, "rare left out": 0.25, "common left out": 0.0,
                "AP": 0.1 * seed + gain * (rule != "none") * weight,
            }
            for seed, gain in gains.items()
            for data, weight in (("mnist", 1), ("smd", 3), ("foreign", 50))
            for rule in ("none", "zscore:3")
        ]
    )  # fmt: skip
    rows = {(r["data"], r["setting"], r["rule"]): r for r in pruning.figures(fits)}
    alone = rows["mnist", "dense", "zscore:3"]
    assert alone["AP gained"] == pytest.approx(0.2) and alone["seeds"] == 3
    assert (alone["AP from"], alone["AP to"]) == pytest.approx(t_interval([0.1, 0.2, 0.3]))
    assert alone["rare left out"] == 0.25
    settling = rows["all", "dense and conv", "zscore:3"]
    assert settling["AP gained"] == pytest.approx(0.4)  # foreign settles nothing
    assert (settling["AP from"], settling["AP to"]) == pytest.approx(t_interval([0.2, 0.4, 0.6]))
    assert rows["mnist", "dense", "none"]["AP"] == pytest.approx(0.1)
    assert "AP gained" not in rows["mnist", "dense", "none"]


def test_by_label_leaves_out_the_rare_and_nothing_else(data: Path) -> None:
    case = Case.of(drawn(data, "foreign"), 60, 0.1, seed=0)
    for row in pruning.fit(case, SMALL, pruning.LABELS, seed=0):
        assert row["rare left out"] == 1 and row["common left out"] == 0
        assert row["rule"] == "by label"


@pytest.mark.slow
def test_clothing_among_digits_is_left_out() -> None:
    pools = DATA["foreign"](real_data())(0)
    setting = pruning.SETTINGS["dense"]
    case = Case.of(pools, setting.windows, 0.05, seed=0)
    rows = [*pruning.fit(case, setting, "zscore:3", seed=0)]
    assert rows[0]["rare left out"] > 0.2 > 0.05 > rows[0]["common left out"]
