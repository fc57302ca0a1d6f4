"""The detector end to end: learns, scores, finds, saves, loads, goes on, and refuses."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from conftest import QUICK
from raravis.detector import Detector
from raravis.errors import NothingToRead, ParameterError, RunError
from raravis.sound.synthesis import RATE_HZ
from raravis.store import Store

FINDING = {"explainer": "none", "threshold": {"per_hour": 120}}


@pytest.fixture(scope="module")
def fitted(chorus):
    return Detector(**FINDING).fit(chorus[0])


def test_every_window_gets_a_score_and_a_p_value(fitted, chorus):
    table = fitted.score(chorus[0])
    assert list(table.columns) == ["recording", "start_s", "end_s", "score", "p_value"]
    assert len(table) == 299  # 150 s in windows of 1 s, every 0.5 s
    assert np.isfinite(table.score).all()
    assert table.p_value.between(0, 1, inclusive="right").all()
    np.testing.assert_allclose(table.start_s, 0.5 * np.arange(299))


def test_the_plane_and_the_chainsaw_are_among_the_events(fitted, chorus):
    fitted.score(chorus[0])
    events = fitted.events()
    for sound in (sound for sound in chorus[1] if sound.rare):
        hit = (events.start_s < sound.end_s) & (events.end_s > sound.start_s)
        assert hit.any(), f"{sound.label} was not found"


def test_events_are_ranked_and_carry_clock_times(fitted, chorus):
    fitted.score(chorus[0])
    events = fitted.events()
    assert events["rank"].tolist() == list(range(1, len(events) + 1))
    assert events.score.is_monotonic_decreasing
    assert events.start_time.str.startswith("2026-05-01T04:3").all()
    assert (events.start_s <= events.peak_s).all() and (events.peak_s <= events.end_s).all()


def test_the_same_seed_gives_the_same_numbers(chorus):
    once, again = (Detector(**QUICK).fit(chorus[0]).score(chorus[0]) for _ in range(2))
    pd.testing.assert_frame_equal(once, again)


def test_the_seed_reaches_all_that_draws_at_random():
    config = Detector(seed=7).config
    assert config["model"]["seed"] == config["scorer"]["seed"] == config["training"]["seed"] == 7
    assert Detector(scorer={"seed": 3}, seed=7).config["scorer"]["seed"] == 3


def test_a_loaded_detector_scores_as_the_saved_one_did(run, chorus, tmp_path):
    fresh = Detector.load(run).score(chorus[0])
    with Store.open(run) as store:
        pd.testing.assert_frame_equal(fresh, store.table("windows", "rarity"))


def test_a_saved_network_is_the_one_that_learned(chorus, tmp_path):
    detector = Detector("conv-ae", **QUICK).fit(chorus[0])
    detector.save(tmp_path)
    learned, loaded = detector.sense.state(), Detector.load(tmp_path).sense.state()
    assert learned.keys() == loaded.keys()
    for name, array in learned.items():
        np.testing.assert_array_equal(loaded[name], array, err_msg=name)


def test_a_run_holds_what_it_promises(run):
    names = {path.name for path in run.iterdir()}
    assert {"run.toml", "model.toml", "model.safetensors", "store.sqlite", "events.csv"} <= names
    columns = "rank,recording,start_s,end_s,start_time,peak_s,score,p_value"
    assert (run / "events.csv").read_text().splitlines()[0] == columns
    with Store.open(run) as store:
        assert set(store.layers()) == {"segments", "windows"}
        others = {"rarity", "reconstruction", "knn", "mahalanobis", "loudness"}
        assert set(store.scorers("windows")) == others
        assert len(store.embeddings("windows")) == len(store.windows("windows")) == 299


def test_the_settings_of_a_run_make_the_same_detector(run):
    from raravis.configuration import read_toml

    config = read_toml(run / "run.toml")["detector"]
    assert Detector.from_config(config).config == config


def test_scoring_again_goes_on_where_it_stopped(chorus, tmp_path, fitted):
    long = tmp_path / "recordings"
    long.mkdir()
    samples, _ = soundfile.read(chorus[0] / "chorus_20260501_043000.flac", dtype="float32")
    soundfile.write(long / "long.wav", np.tile(samples, 5), RATE_HZ)  # 750 s: three blocks
    whole = fitted.score(long, run=tmp_path / "whole")

    class CutError(Exception):
        pass

    def cut_after_a_block(step, done, total):
        if step == "scoring" and done > 0:
            raise CutError

    with pytest.raises(CutError):
        fitted.score(long, run=tmp_path / "cut", progress=cut_after_a_block)
    with Store.open(tmp_path / "cut") as store:
        assert store.scored_until(store.recordings()[0][0]) == 300
    resumed = fitted.score(long, run=tmp_path / "cut")
    pd.testing.assert_frame_equal(whole, resumed)
    assert len(fitted.score(long, run=tmp_path / "cut")) == len(whole)  # nothing is scored twice


def test_a_run_scores_recordings_it_has_never_seen(run, chorus, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    tone = 0.1 * np.sin(2 * np.pi * 3000 * np.arange(20 * RATE_HZ) / RATE_HZ)
    soundfile.write(tmp_path / "new.wav", tone, RATE_HZ)
    table = Detector.load(copy).score(tmp_path / "new.wav", run=copy)
    assert table.recording.value_counts()["new.wav"] == 39


@pytest.mark.parametrize("scorer", [None, "reconstruction", "knn"])
def test_a_network_can_be_the_judge(chorus, scorer):
    detector = Detector({"name": "conv-ae", "latent": 5}, scorer, threshold="quantile", **QUICK)
    table = detector.fit(chorus[0]).score(chorus[0])
    assert detector.scorer == (scorer or "ensemble")
    assert np.isfinite(table.score).all()
    assert len(detector.events()) > 0


def test_windows_and_bands_of_other_sizes_work(chorus):
    detector = Detector(
        model="conv-ae",
        source={"window_s": 0.4, "hop_s": 0.4},
        features={"mels": 128, "keep_mels": "64:128", "frames_per_s": 100.0},
        **QUICK,
    )
    table = detector.fit(chorus[0]).score(chorus[0])
    assert detector.sense.listener.clip_shape == (64, 40)
    assert len(table) == 375


def test_frequencies_can_be_cropped_by_hertz(chorus):
    table = Detector(features={"hz": "1000:8000"}, **QUICK).fit(chorus[0]).score(chorus[0])
    assert np.isfinite(table.score).all()


def test_silence_alone_raises_no_alarm(tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(30 * RATE_HZ), RATE_HZ)
    detector = Detector(**QUICK).fit(tmp_path)
    table = detector.score(tmp_path)
    assert np.isfinite(table.score).all()
    assert len(detector.events()) == 0


def test_an_unfitted_detector_says_so(chorus, tmp_path):
    with pytest.raises(RunError, match="has learned nothing yet: call fit first"):
        Detector(**FINDING).score(chorus[0])
    with pytest.raises(RunError, match="nothing to save"):
        Detector(**FINDING).save(tmp_path)


def test_nothing_readable_is_said_before_anything_is_learned(tmp_path):
    (tmp_path / "notes.txt").write_text("no sound")
    with pytest.raises(NothingToRead):
        Detector(**FINDING).fit(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": "gpt"}, "unknown model 'gpt': choose one of autoregression, conv-ae, "),
        ({"scorer": {"kk": 3}}, "scorer 'rarity' has no setting 'kk': it has "),
        ({"features": {"mel": 3}}, "features has no setting 'mel': it has mels"),
        ({"colour": 3}, "the configuration has no setting 'colour': it has model, scorer"),
        ({"explainer": "sound-events"}, "fixed windows need a network, and sound-events is none"),
    ],
)
def test_an_unknown_setting_is_answered_with_the_known_ones(config, message):
    with pytest.raises(ParameterError, match=message):
        Detector.from_config(config)


def test_a_missing_a_broken_and_a_foreign_model_are_told_apart(run, tmp_path):
    with pytest.raises(RunError, match=r"holds no raravis model \(no model.toml\)"):
        Detector.load(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "model.safetensors").write_bytes(b"not a model")
    with pytest.raises(RunError, match=r"the model in .* is broken"):
        Detector.load(copy)
    (copy / "model.toml").write_text("format = 99\n")
    with pytest.raises(RunError, match="expected format = 1, got 99"):
        Detector.load(copy)
    (copy / "model.toml").write_text("format = = 1")
    with pytest.raises(RunError, match=r"is broken: .* is not valid TOML"):
        Detector.load(copy)
