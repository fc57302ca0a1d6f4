"""A joint embedding of sound, end to end: learns, scores, is saved, explains, and says so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import QUICK
from raravis import models
from raravis.blocks import seeded
from raravis.detector import Detector
from raravis.errors import ParameterError
from raravis.explain import explain
from raravis.store import Store

SMALL = {"name": "vicreg", "projector": [64, 64], "memory": 64}
TERMS = {"invariance", "variance", "covariance", "vicreg"}


@pytest.fixture(scope="module")
def run(chorus, tmp_path_factory):
    """The folder of a run whose model is a joint embedding."""
    folder = tmp_path_factory.mktemp("runs") / "joint"
    detector = Detector(SMALL, **QUICK).fit(chorus[0])
    detector.save(folder)
    detector.score(chorus[0], run=folder)
    return folder


def test_sound_is_seen_by_a_network_for_spectrograms_in_halves_unless_told_otherwise() -> None:
    config = Detector("vicreg").config
    assert config["model"]["backbone"] == "spectrogram-cnn"
    assert config["model"]["views"] == "halves"
    assert config["scorer"]["name"] == "knn"
    told = Detector({"name": "vicreg", "views": "crops", "backbone": "resnet-small"}).config
    assert (told["model"]["views"], told["model"]["backbone"]) == ("crops", "resnet-small")
    assert Detector("conv-ae").config["scorer"]["name"] == "ensemble"


def test_each_term_and_the_density_are_kept_beside_the_score(run) -> None:
    with Store.open(run) as store:
        scorers = set(store.scorers("windows"))
        assert scorers == TERMS | {"knn", "mahalanobis", "loudness"}
        for name in scorers:
            scores = store.scores("windows", name)[0]
            assert len(scores) == 299 and np.isfinite(scores).all() and scores.std() > 0
        weighted = sum(
            weight * store.scores("windows", name)[0]
            for name, weight in (("invariance", 25.0), ("variance", 25.0), ("covariance", 1.0))
        )
        np.testing.assert_allclose(store.scores("windows", "vicreg")[0], weighted, rtol=1e-4)
        assert store.embeddings("windows").shape == (299, 128)


def test_a_loaded_one_scores_as_the_saved_one_did(run, chorus) -> None:
    loaded = Detector.load(run)
    with Store.open(run) as store:
        pd.testing.assert_frame_equal(loaded.score(chorus[0]), store.table("windows", "knn"))
    judges = loaded.sense.layers["windows"].judges
    assert judges.keys() > TERMS and np.isfinite([judges[term].level for term in TERMS]).all()


def test_the_same_seed_gives_the_same_numbers(run, chorus) -> None:
    with Store.open(run) as store:
        again = Detector(SMALL, **QUICK).fit(chorus[0]).score(chorus[0])
        pd.testing.assert_frame_equal(again, store.table("windows", "knn"))


def test_a_report_shows_its_events_without_what_was_expected(run) -> None:
    report = explain(run)
    assert report.scorer == "knn" and report.events
    for event in report.events:
        assert event.reconstructed is None and event.error is None
        assert event.original.picture is not None and event.neighbours
        assert not any("reconstruct" in reason for reason in event.reasons)
    assert report.members.keys() > TERMS
    assert not any("reconstruction" in name for name, _ in report.summary)


def test_it_may_stand_beside_sound_events(chorus) -> None:
    detector = Detector(explainer=SMALL, **QUICK).fit(chorus[0])
    judges = detector.sense.layers["windows"].judges
    assert detector.scorer == "rarity" and judges.keys() == TERMS | {
        "knn", "mahalanobis", "loudness",
    }  # fmt: skip


def test_what_needs_a_reconstruction_says_that_there_is_none(chorus) -> None:
    with pytest.raises(ParameterError, match="reconstruction"):
        Detector(SMALL, scorer="ensemble", **QUICK).fit(chorus[0])


def test_the_network_of_two_cameras_is_not_for_sound(chorus) -> None:
    with pytest.raises(ParameterError, match="two cameras' pictures"):
        Detector("vicreg-pair", **QUICK).fit(chorus[0])


def test_what_it_learns_lets_each_half_find_the_other() -> None:
    """Windows of four pitches: after learning, halves of one lie nearer than those of others."""
    with seeded(3):
        network = models.create(
            "vicreg", shape=(1, 16, 16), views="halves", backbone="spectrogram-cnn",
            options={"channels": 8, "width": 32}, projector=[32, 32], memory=64,
        )  # fmt: skip
        pitch = torch.arange(64) % 4
        batch = torch.randn(64, 1, 16, 16)
        batch[torch.arange(64), 0, 4 * pitch + 1] += 4.0
        optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
        for _ in range(40):
            optimiser.zero_grad()
            network.loss(batch).backward()
            optimiser.step()
        network.eval()
        left, right = (network.branch.vectors(half) for half in network.views.fixed(batch))
        nearest = torch.cdist(left, right).argmin(dim=1)
    assert (pitch[nearest] == pitch).float().mean() > 0.95
