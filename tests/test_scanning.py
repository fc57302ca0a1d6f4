"""What a scan goes by: rarities made from the user's own recordings, and who finds them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile

from raravis.benchmarks import scanning as benchmark
from raravis.configuration import read_toml
from raravis.detector import Detector
from raravis.errors import DataError
from raravis.metrics import event_scores
from raravis.scanning import material, objective, series, sound
from raravis.series.synthesis import plant, write_csv
from raravis.sources.audio import AudioSource
from raravis.sources.series import SeriesSource
from raravis.windows import Windows

RATE_HZ = 8000


def beeps(minutes=4.0, seed=0):
    """Three kinds of beep, one every 2 s from 2 s on, in a hiss, (S,) at 8 kHz; and their kinds."""
    rng = np.random.default_rng(seed)
    track = rng.normal(0, 0.003, int(minutes * 60 * RATE_HZ))
    starts_s = np.arange(2.0, minutes * 60 - 2, 2.0)
    kinds = rng.integers(3, size=len(starts_s))
    for start_s, kind in zip(starts_s, kinds, strict=True):
        low_hz, high_hz, length_s = [(400, 400, 0.6), (1500, 900, 0.5), (3000, 3000, 0.4)][kind]
        t = np.arange(int(length_s * RATE_HZ)) / RATE_HZ
        hz = np.linspace(low_hz, high_hz, len(t)) * rng.uniform(0.97, 1.03)
        start = int(start_s * RATE_HZ)
        track[start : start + len(t)] += 0.2 * np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ)
    return track, kinds


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("beeps") / "beeps.wav"
    soundfile.write(path, beeps()[0], RATE_HZ)
    return path


@pytest.fixture(scope="module")
def track(recording):
    return sound.listen(AudioSource([recording]), seed=0)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("plant") / "plant.csv"
    write_csv(path, plant(hours=48, interval_s=120)[0])
    return path


# --- sound ---------------------------------------------------------------------------------------


def test_kinds_of_sound_are_told_apart(track):
    assert len(track.events) > 110
    clear = track.clear
    salience = np.array([event.salience_db for event in track.events])
    assert salience[clear].min() >= salience[~clear].max() and 0.4 < clear.mean() < 0.6
    beep = np.array([round((event.start_s - 2) / 2) for event in track.events])
    table = pd.crosstab(track.kinds, beeps()[1][beep]).to_numpy()
    assert table.max(axis=1).sum() / table.sum() > 0.95  # hardly a kind holds two sorts of beep


def test_a_thinned_kind_is_rare_and_all_else_stays(track):
    kind = int(np.bincount(track.kinds[track.clear]).argmax())
    thin = sound.thinned(track, kind, np.random.default_rng(0))
    samples, events, rare = sound.arranged(track, thin)
    others = int((track.kinds != kind).sum())
    assert rare.sum() == max(3, round(0.05 * others))
    assert all(track.clear[event] for event, stays in thin.items() if stays)
    assert (~rare).sum() == (track.kinds != kind).sum()
    assert len(samples) < len(track.samples)
    assert (events.start_s[1:] >= events.end_s[:-1] - 0.03).all()
    last = int(np.flatnonzero(~rare)[-1])  # its samples are the same, only earlier
    number = sorted(set(range(len(track.events))) - {e for e, stays in thin.items() if not stays})
    first, stop = track.cut(track.events[number[last]])
    at, fade = round(events.start_s[last] * RATE_HZ), round(sound.FADE_S * RATE_HZ)
    np.testing.assert_array_equal(
        samples[at + fade : at + stop - first - fade], track.samples[first + fade : stop - fade]
    )


def test_pieces_fade_into_each_other_without_a_gap():
    track, starts = sound.joined([np.ones(50), np.ones(30), np.ones(0), np.ones(40)], fade=10)
    assert starts == [0, 40, 70, 70] and len(track) == 110
    np.testing.assert_allclose(track, 1, atol=1e-6)


def test_parts_are_written_once_and_read_back(recording, tmp_path):
    made = objective.make(recording, {}, tmp_path, seed=0)
    assert made.kind == "sound" and made.steps == len(
        sound.common_kinds(sound.listen(AudioSource([recording]), 0))
    )
    assert made.steps >= 4 and made.name == "AUROC of what was made rare"
    again = objective.make(recording, {}, tmp_path, seed=1)  # what is there counts
    for one, other in zip(made.parts, again.parts, strict=True):
        np.testing.assert_array_equal(one.rare, other.rare)
        np.testing.assert_array_equal(one.events.start_s, other.events.start_s)
        assert one.judge.is_file() and one.rare.any() and not one.rare.all()


def test_a_recording_with_too_few_events_is_refused(tmp_path):
    hiss = np.random.default_rng(0).normal(0, 0.003, 30 * RATE_HZ)
    soundfile.write(tmp_path / "hiss.wav", hiss, RATE_HZ)
    with pytest.raises(DataError, match="needs at least 44 sound events to make rare, heard"):
        objective.make(tmp_path / "hiss.wav", {}, tmp_path / "material", seed=0)


@pytest.mark.slow
def test_the_objective_asks_what_was_made_rare(recording, tmp_path):
    made = objective.make(recording, {}, tmp_path, seed=0)
    figures = list(made.figures({}))
    assert len(figures) == made.steps and all(0 <= figure <= 1 for figure in figures)
    assert np.mean(figures) > 0.8
    assert figures[0] == next(made.figures({}))


# --- series --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(series.CHANGES))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_change_of_rows_changes_its_channel_alone(name, channels):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, channels))
    before = rows.copy()
    series.CHANGES[name](rows, 0, rng)
    assert np.isfinite(rows).all() and not np.allclose(rows[:, 0], before[:, 0])
    np.testing.assert_array_equal(rows[:, 1:], before[:, 1:])


def test_rows_are_rare_where_they_were_changed_and_nowhere_else():
    values = np.random.default_rng(0).normal(5, 2, size=(3000, 4))
    values[100:110, 1] = np.nan
    new, rare = series.changed(values, np.random.default_rng(1))
    np.testing.assert_array_equal(np.isnan(new), np.isnan(values))
    same = np.isclose(new, values, equal_nan=True).all(axis=1)
    np.testing.assert_array_equal(same, ~rare)
    assert 0.02 < rare.mean() < 0.3


def test_each_third_of_a_series_is_judged_by_what_the_others_taught(rows, tmp_path):
    source = SeriesSource([rows])
    parts = series.make(source, tmp_path, seed=0)
    assert len(parts) == 3
    whole = source.read(0, 0, source.rows[0]).values
    judged = [SeriesSource([part.judge]) for part in parts]
    assert sum(one.rows[0] for one in judged) == len(whole)
    learned = SeriesSource([parts[0].learn]).read(0, 0, 10**6)
    np.testing.assert_allclose(learned.values, whole[judged[0].rows[0] :])
    for part, one in zip(parts, judged, strict=True):
        assert one.channels == source.channels
        np.testing.assert_array_equal(one.read(0, 0, 10**6).labels, part.rare)


def test_series_need_rows_to_change(tmp_path):
    write_csv(tmp_path / "short.csv", plant(hours=48, interval_s=300)[0][:200])
    with pytest.raises(DataError, match="needs at least 300 rows to learn from and to change"):
        objective.make(tmp_path / "short.csv", {}, tmp_path / "material", seed=0)


def test_known_labels_are_the_objective_where_they_are_given(rows, tmp_path):
    by_column = objective.Labelled(rows, {"source": {"labels": "anomaly"}}, None)
    found = list(by_column.figures({"model": "window-pca", "source": {"labels": "anomaly"}}))
    source = SeriesSource([rows])
    known = objective.labelled_events(source, source.recordings).events
    table = pd.DataFrame({"start_s": known.start_s, "end_s": known.end_s})
    table.to_csv(tmp_path / "events.csv", index=False)
    by_file = objective.Labelled(rows, {}, tmp_path / "events.csv")
    assert list(by_file.figures({"model": "window-pca"})) == pytest.approx(found, abs=0.02)
    assert 0 < found[0] < 1


def test_sound_has_no_labels_of_its_own(recording):
    with pytest.raises(DataError, match=r"sound has no labels of its own: give a CSV file"):
        objective.Labelled(recording, {}, None)


# --- what must not win ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_network_that_copies_everything_rebuilds_best_and_does_not_win(recording, tmp_path):
    """A window of 16 bands and 10 frames has 160 numbers. With a code of 256 and skips the network
    rebuilds what it never saw, and its error finds nothing; what it takes for its best is not ours.
    """
    made = objective.make(recording, {}, tmp_path, seed=0)
    base = {
        "features": {"mels": 16},
        "source": {"window_s": 0.5, "hop_s": 0.25},
        "training": {"epochs": 8, "device": "cpu"},
        "learn": {"windows": 500},
        "scorer": "reconstruction",
    }
    copying = {**base, "model": {"name": "conv-ae", "latent": 256, "width": 8, "unet": True}}
    losses, figures = [], []
    for config in ({}, copying):
        figures.append(float(np.mean(list(made.figures(config)))))
    for config in ({**base, "model": {"name": "conv-ae", "latent": 4, "width": 8}}, copying):
        detector = Detector.from_config(config).fit(recording)
        losses.append(min(detector.sense.layers["windows"].history.validation_loss))
    assert losses[1] < losses[0]
    assert figures[1] < figures[0]


# --- the command ---------------------------------------------------------------------------------


def scan(*arguments):
    command = [sys.executable, "-m", "raravis", "scan", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_share_one_study_and_a_detector_takes_its_best(rows, tmp_path):
    pytest.importorskip("optuna", reason="a scan needs the extra `search`")
    settings = [rows, "--out", tmp_path / "scan", "--trials", "5", "--json",
                "--range", "model.name=window-pca,autoregression",
                "--range", "model.window=4:32:log"]  # fmt: skip
    both = [scan(*settings), scan(*settings)]
    said = [process.communicate(timeout=600) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    table = pd.read_csv(tmp_path / "scan" / "trials.csv")
    assert table["trial"].tolist() == list(range(6))
    assert set(table["state"]) <= {"finished", "pruned"}
    result = json.loads(scan(*settings).communicate(timeout=600)[0])
    assert len(result["trials"]) == 6
    best = read_toml(tmp_path / "scan" / "best.toml")
    assert best == result["settings"]
    assert Detector.from_config(best).kind == "series"
    for name in ("history.png", "importance.png"):
        assert (tmp_path / "scan" / name).stat().st_size > 1000
    assert (tmp_path / "scan" / "material" / material.INDEX).is_file()


# --- its measuring -------------------------------------------------------------------------------


def test_the_benchmark_scores_events_as_a_detector_does(recording, track):
    starts = [event.start_s for event in track.events]
    events = Windows.of(0, starts, [event.end_s for event in track.events])
    quick = benchmark._scored(
        benchmark._heard(recording, benchmark.Hearing()), {"name": "rarity"}, events
    )
    table = (
        Detector.from_config({"kind": "sound", "explainer": "none"}).fit(recording).score(recording)
    )
    windows = Windows.of(0, table["start_s"], table["end_s"])
    scores = event_scores(windows, table["score"].to_numpy(float), events)
    np.testing.assert_allclose(quick, scores, rtol=1e-4)


def test_the_benchmark_says_what_each_pick_finds():
    table = pd.DataFrame(
        {
            "part": "designed on",
            "settings": "conv-ae",
            "mix": ["a"] * 3 + ["b"] * 3,
            "number": [0, 1, 2] * 2,
            "truth ap": [0.5, 0.7, 0.3, 0.4, 0.2, 0.6],
            "loss": [0.2, 0.3, 0.1, 0.3, 0.1, 0.2],
            "part 0 auroc": [0.6, 0.8, 0.5, 0.8, 0.5, 0.6],
            "part 0 ap": [0.6, 0.5, 0.9, 0.6, 0.5, 0.7],
            "part 1 auroc": [0.6, 0.9, 0.5, 0.6, 0.5, 0.9],
            "part 1 ap": [0.6, 0.5, 0.9, 0.6, 0.5, 0.7],
        }
    )
    found = {row["picked by"]: row for row in benchmark.summary(table)}
    assert {name: round(row["ap"], 3) for name, row in found.items()} == {
        benchmark.RULE: 0.55, "auroc": 0.65, "ap": 0.45, "reconstruction loss": 0.25,
        "default": 0.45, "chance": 0.45, "the truth": 0.65,
    }  # fmt: skip
    assert found["auroc"]["rank correlation"] == pytest.approx(1)
    assert found["default"]["rank correlation"] is None
