"""The benchmark of one class against all others asks what it says it asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raravis.benchmarks import images_pretexts
from raravis.benchmarks.images_pretexts import OneClass, Pictures
from raravis.errors import DataError, ParameterError
from real_data import real_data


def pictures(per_class: int = 30, seed: int = 0) -> Pictures:
    """Three classes, 12 x 12: brighter downwards, brighter to the right, and noise alone."""
    random = np.random.default_rng(seed)
    slope = np.linspace(0, 1, 12)
    kinds = [np.tile(slope[:, None], 12), np.tile(slope, (12, 1)), np.full((12, 12), 0.5)]
    made = [kind + random.normal(scale=0.1, size=(per_class, 1, 12, 12)) for kind in kinds]
    return np.concatenate(made).astype(np.float32), np.repeat(np.arange(3), per_class)


def test_one_class_is_learned_and_the_others_are_strange() -> None:
    known = pictures()
    task = OneClass(known, None, kind=1, count=20)
    assert task.learned.shape == (20, 1, 12, 12)
    assert task.learned.mean() == pytest.approx(0, abs=1e-5)
    assert task.learned.std() == pytest.approx(1, abs=1e-5)
    assert len(task.ranked) == 10 + 30 + 30 and task.is_strange.sum() == 60
    # What is ranked was not learned from.
    learned, ranked = (part.reshape(len(part), -1) for part in (task.learned, task.ranked))
    assert np.abs(learned[:, None] - ranked[None]).max(axis=2).min() > 0
    assert task.nearest(learned, ranked) > 0.99
    assert task.auroc(task.is_strange.astype(float)) == 1


def test_test_pictures_are_ranked_where_they_are_given() -> None:
    task = OneClass(pictures(), pictures(5, seed=1), kind=0, count=30)
    assert task.is_strange.tolist() == [False] * 5 + [True] * 10


def test_every_score_of_a_learner_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_pretexts, "STEPS", {"conv-ae": 2, "rotation": 2})
    learners = {
        "conv-ae": ("conv-ae", {"width": 4}),
        "rotation": ("rotation", {"options": {"width": 4}}),
    }
    monkeypatch.setattr(images_pretexts, "LEARNERS", learners)
    task = OneClass(pictures(), None, kind=0, count=20)
    rows = list(images_pretexts.figures(task, ["conv-ae", "rotation"], seed=0))
    assert [(row["learner"], row["score"]) for row in rows] == [
        ("pixels", "knn"),
        ("random", "code knn"),
        ("conv-ae", "reconstruction"),
        ("conv-ae", "code knn"),
        ("rotation", "rotation"),
        ("rotation", "code knn"),
    ]
    assert all(0 <= row["auroc"] <= 1 for row in rows)


def test_means_by_hand() -> None:
    about = {"data": "fashion", "learner": "jigsaw", "score": "jigsaw"}
    rows = [{**about, "auroc": value, "cpu_s": 10.0} for value in (0.5, 0.75, 1.0)]
    (row,) = images_pretexts.means(rows)
    assert row == {**about, "fits": 3, "auroc": 0.75, "least": 0.5, "most": 1.0, "cpu_s": 10.0}


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"parts must be of fashion, cifar10, .* got dogs"):
        images_pretexts.run(tmp_path, parts=["dogs"])
    for part, name in (("fashion", "fashion_mnist.npz"), ("cifar10", "train.zip")):
        with pytest.raises(DataError, match=rf"expected .*{name}, found none: give the folder"):
            images_pretexts.run(tmp_path, parts=[part])
    with pytest.raises(ParameterError, match=r"on must be test or train, got 'all'"):
        images_pretexts.run(tmp_path, on="all")
    with pytest.raises(DataError, match=r"class 0 has 30 pictures, all are learned from"):
        OneClass(pictures(), None, kind=0, count=30)


@pytest.mark.slow
def test_real_pictures_are_read_with_their_classes() -> None:
    data = real_data() / "images"
    if not (data / "cifar10").is_dir() or not (data / "fashion_mnist").is_dir():
        pytest.skip(f"no CIFAR-10 and Fashion-MNIST in {data}")
    for name, shape in (("fashion", (1, 28, 28)), ("cifar10", (3, 32, 32))):
        for values, kinds in images_pretexts.load(data.parent, name):
            assert values.shape == (len(kinds), *shape) and set(kinds) == set(range(10))
            assert values.min() >= 0 and 0.9 < values.max() <= 1
