"""The benchmark of the joint embedding of sound: what is judged, and how it is summed up."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from conftest import QUICK
from raravis.benchmarks import joint_sound
from raravis.detector import Detector
from raravis.encoded import Encoded
from raravis.errors import ParameterError
from raravis.windows import Windows

SMALL = {"name": "vicreg", "projector": [32, 32], "memory": 64}


def test_the_windows_of_an_event_lie_evenly_in_it_and_of_a_short_one_about_its_middle() -> None:
    events = Windows.of(0, [10.0, 20.0, 0.1], [12.25, 20.5, 0.3])
    windows, event = joint_sound.windows_within(events, 1.0)
    np.testing.assert_allclose(
        windows.start_s, [10.0, 10 + 1.25 / 3, 10 + 2.5 / 3, 11.25, 19.75, 0]
    )
    np.testing.assert_allclose(windows.end_s, windows.start_s + 1.0)
    assert event.tolist() == [0, 0, 0, 0, 1, 2]


def test_what_only_the_joint_embedding_sees_as_rare_is_rare_in_all_that_is_joined() -> None:
    rng = np.random.default_rng(0)
    terms = {"salience": np.full(60, 20.0)}
    described = Encoded(rng.normal(size=(60, 5)).astype(np.float32), terms)
    vectors = rng.normal(size=(60, 4)).astype(np.float32)
    vectors[17] += 40.0
    found = joint_sound.on_events(described, vectors, 0, "joint")
    assert len(found) == 3
    for name, scores in found.items():
        assert scores.shape == (60,) and scores.argmax() == 17, name


def test_figures_are_means_over_mixes_beside_the_default() -> None:
    columns = ["part", "mix", "seed", "detector", "auroc", "ap"]
    default = joint_sound.DEFAULT
    table = pd.DataFrame(
        [
            ["a", "x", 0, default, 0.5, 0.2], ["a", "x", 1, default, 0.7, 0.4],
            ["a", "y", 0, default, 0.8, 0.6], ["a", "y", 1, default, 0.8, 0.6],
            ["a", "x", 0, "joint", 0.5, 0.5], ["a", "x", 1, "joint", 0.5, 0.5],
            ["a", "y", 0, "joint", 1.0, 0.5], ["a", "y", 1, "joint", 0.0, 0.5],
        ],
        columns=columns,
    )  # fmt: skip
    usual, joint = joint_sound.summary(table)
    assert (usual["detector"], usual["mixes"]) == (default, 2)
    assert usual["auroc"] == pytest.approx(0.7) and usual["ap"] == pytest.approx(0.45)
    assert usual["within"] == pytest.approx(1.96 * 0.15)  # of .3 and .6
    assert usual["more ap"] == usual["error"] == 0
    assert joint["ap"] == pytest.approx(0.5) and joint["more ap"] == pytest.approx(0.05)
    assert joint["error"] == pytest.approx(0.15)  # of +.2 and -.1


def test_every_detector_scores_the_recording_and_the_default_is_the_default(
    chorus, tmp_path, monkeypatch
) -> None:
    small = {name: {**QUICK, **table} for name, table in (
        ("conv-ae", {"model": {"name": "conv-ae", "width": 8}}), ("joint", {"model": SMALL}),
    )}  # fmt: skip
    monkeypatch.setattr(joint_sound, "NETWORKS", small)
    folder, sounds = chorus

    def compose(mix, into):
        shutil.copy(next(folder.glob("*.flac")), into / "soundscape.wav")
        placed = [sound for sound in sounds if sound.label != "rain"]
        times = [s.start_s for s in placed], [s.end_s for s in placed]
        return Windows.of(0, *times), np.array([sound.rare for sound in placed])

    judged, kept = joint_sound.judged, {}
    monkeypatch.setattr(joint_sound, "judged", lambda *given: kept.setdefault("it", judged(*given)))
    rows = joint_sound.run({"a": ["x"], "b": ["y"]}, compose, parts=["a"])
    figures = {row["detector"]: row for row in rows}
    assert figures.keys() > {
        "random", "loudness", "conv-ae: ensemble", "joint: knn", "joint: invariance",
        "joint: rarity of events", "default + joint, surprise", "default + untaught, one space",
    }  # fmt: skip
    assert all(row["part"] == "a" and 0 <= row["ap"] <= 1 for row in rows)

    path = next(folder.glob("*.flac"))
    windows, scores = kept["it"][joint_sound.DEFAULT]
    table = Detector(explainer="none").fit(path).score(path)
    np.testing.assert_allclose(windows.start_s, table.start_s)
    np.testing.assert_allclose(scores, table.score, rtol=1e-5, atol=1e-6)


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ParameterError, match="parts must be of a, got b"):
        joint_sound.run({"a": ["x"]}, lambda mix, into: None, parts=["b"])
