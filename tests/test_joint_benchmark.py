"""The benchmark of joint embeddings: both ways of the loss agree, and what is learned from what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raravis.benchmarks import images_joint
from raravis.errors import DataError, ParameterError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in the layout of the real ones: each kind is a bright row at its own height."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    sets = {}
    for name, count in (("train", 4600), ("test", 300)):
        kinds = random.integers(10, size=count)
        pictures = random.integers(90, size=(count, 28, 28), dtype=np.uint8)
        pictures[np.arange(count), 2 * kinds + 4] += 120
        sets |= {f"x_{name}": pictures, f"y_{name}": kinds.astype(np.uint8)}
    (folder / "images/fashion_mnist").mkdir(parents=True)
    np.savez(folder / "images/fashion_mnist/fashion_mnist.npz", **sets)
    return folder


def test_both_ways_of_the_loss_agree_and_ours_is_quicker() -> None:
    ours, explicit, value, gradient = images_joint.loss(32, 2048, rounds=2)
    assert explicit["times less"] == 1 and ours["times less"] > 5
    assert value["difference"] < 1e-6 and gradient["difference"] < 1e-5


@pytest.mark.slow
def test_pixels_a_random_network_and_a_learned_one_are_judged_alike(data: Path) -> None:
    rows = images_joint.run(data, parts=["fashion"], quick=True)
    assert [row["what"] for row in rows] == ["pixels", "random network", "VICReg"]
    assert all(0 <= row[name] <= 1 for row in rows for name in ("kNN", "linear probe"))
    assert rows[0]["kNN"] > 0.9 and rows[2]["epochs"] == 1 and rows[2]["cpu_s"] > 0


@pytest.mark.slow
def test_a_step_is_compared_with_a_bare_loop() -> None:
    rows = images_joint.run(None, parts=["step"], quick=True)
    assert rows[0]["ratio"] == 1 and all(row["pictures_per_cpu_s"] > 0 for row in rows)


def test_settings_are_chosen_without_the_test_pictures(data: Path) -> None:
    known, asked = images_joint.load(data, on="held")
    assert len(known[0]) == 600 and len(asked[0]) == 4000
    assert abs(known[0].mean()) < 1e-3 and abs(known[0].std() - 1) < 1e-3
    whole, tested = images_joint.load(data)
    assert len(whole[0]) == 4600 and len(tested[0]) == 300


def test_the_benchmark_refuses_and_says_why(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ParameterError, match="parts must be of loss, step, fashion, got los"):
        images_joint.run(None, parts=["los"])
    with pytest.raises(DataError, match="the pictures of Fashion-MNIST are needed: give the fol"):
        images_joint.run(tmp_path, parts=["fashion"])
    with pytest.raises(ParameterError, match="on must be test or held, got 'train'"):
        images_joint.run(data, parts=["fashion"], on="train")
