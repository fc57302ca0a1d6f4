"""The benchmark of finding: what it composes, and how it counts."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile

from raravis.benchmarks import soundscapes
from raravis.benchmarks.soundscapes import CHECKED, DESIGNED, RATE_HZ, Mix, compose
from raravis.errors import DataError, ParameterError
from raravis.windows import Windows
from real_data import real_data

BEEPS = Mix("beeps", 3, ("high", "low"), ("middle",), count=3)


@pytest.fixture
def data(tmp_path):
    """A small twin of the real folder: three kinds of beep, noise for the field."""
    random = np.random.default_rng(0)
    folder = tmp_path / "data" / "audio"
    for kind, pitch_hz in (("low", 400), ("middle", 1500), ("high", 5000)):
        (folder / "esc10" / kind).mkdir(parents=True)
        for take in range(3):
            time_s = np.arange(RATE_HZ * 2) / RATE_HZ
            beep = np.sin(2 * np.pi * pitch_hz * (1 + take / 50) * time_s) * (time_s % 1 < 0.5)
            soundfile.write(folder / "esc10" / kind / f"{take}.ogg", 0.5 * beep, RATE_HZ)
    for part in ("field_24h", "field_longrec"):
        (folder / part).mkdir()
    for hour in range(2):
        hiss = random.normal(0, 0.01, RATE_HZ * 10)
        soundfile.write(folder / "field_24h" / f"{hour}.flac", hiss, RATE_HZ)
    for name in soundscapes.FIELD:
        hiss = random.normal(0, 0.01, RATE_HZ * 60)
        soundfile.write(folder / "field_longrec" / f"field_A_{name}.flac", hiss, RATE_HZ)
        events = folder / "field_longrec" / f"field_A_{name}_events.csv"
        events.write_text("start_s,end_s,label\n10.0,12.0,dog\n30.0,31.0,dog\n")
    return tmp_path / "data"


def scored(path, hit, miss=0.0):
    """A table of windows over the recording; those that overlap (from, to) in `hit` score 1."""
    start_s = np.arange(0, soundfile.info(path).duration - 1 + 1e-9, 0.5)
    score = np.full(len(start_s), miss)
    for from_s, to_s in hit:
        score[(start_s < to_s) & (start_s + 1 > from_s)] = 1.0
    return pd.DataFrame({"start_s": start_s, "end_s": start_s + 1, "score": score})


def test_every_mix_has_a_name_and_a_seed_of_its_own():
    mixes = DESIGNED + CHECKED
    assert len({mix.name for mix in mixes}) == len({mix.seed for mix in mixes}) == 12
    assert all(not set(mix.rare) & set(mix.common) for mix in mixes)


def test_a_soundscape_has_common_events_and_a_few_rare_ones(data, tmp_path):
    events, rare = compose(BEEPS, data, tmp_path, minutes=2)
    with (tmp_path / "events.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(events) == len(rows) == 19
    assert rare.sum() == 3
    assert [row["rare"] == "1" for row in rows] == rare.tolist()
    assert {row["label"] for row in rows if row["rare"] == "1"} == {"middle"}
    assert soundfile.info(tmp_path / "soundscape.wav").duration == 120
    assert (events.end_s - events.start_s <= 4).all()


def test_the_same_arguments_give_the_same_bytes(data, tmp_path):
    for name in ("one", "other"):
        compose(BEEPS, data, tmp_path / name, minutes=1)
    for file in ("soundscape.wav", "events.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_compose_refuses_and_says_why(data, tmp_path):
    with pytest.raises(DataError, match=r"expected clips in .*esc10.bagpipe, found none"):
        compose(replace(BEEPS, rare=("bagpipe",)), data, tmp_path, minutes=1)
    with pytest.raises(ParameterError, match=r"count must be in \[1, 9\], got 10"):
        compose(replace(BEEPS, count=10), data, tmp_path, minutes=1)
    with pytest.raises(DataError, match=r"expected FLAC files in .*nowhere.audio.field_24h"):
        compose(BEEPS, tmp_path / "nowhere", tmp_path, minutes=1)


def test_who_knows_the_rare_events_scores_full_marks(data, tmp_path):
    events, rare = compose(BEEPS, data, tmp_path, minutes=2)
    known = list(zip(events.start_s[rare], events.end_s[rare], strict=True))
    rows = soundscapes._measure_mix(
        "part", BEEPS, data, lambda path, seed: scored(path, known), (0, 1), 2.0
    )
    ours = next(row for row in rows if row["method"] == "raravis")
    assert ours == {"part": "part", "recording": "beeps", "method": "raravis", "auroc": 1, "ap": 1}
    assert [row["method"] for row in rows[1:]] == ["random", "loudness", "PCA", "kNN"]
    assert all(0 <= row["auroc"] <= 1 for row in rows)


def test_in_the_field_a_run_of_alarms_is_one_false_alarm(data):
    # One event is found, the other not; one run of alarms lies outside: one in a minute, 60 an hour
    def find(path, seed):
        table = scored(path, [(10, 12)])
        table.loc[table.start_s.between(40, 45), "score"] = 2.0
        return table

    ours = next(
        row
        for row in soundscapes._measure_field("rare_events", data, find, (0,))
        if row["method"] == "raravis"
    )
    assert ours["events"] == 2
    assert ours["within_15_per_hour"] == 0
    assert ours["within_60_per_hour"] == 0.5


def test_means_stand_first_and_weigh_field_recordings_by_their_events():
    rows = [
        {"part": "field", "recording": "a", "method": "x", "events": 14, "share": 1.0},
        {"part": "field", "recording": "b", "method": "x", "events": 5, "share": 0.0},
        {"part": "mixes", "recording": "c", "method": "x", "auroc": 0.5},
        {"part": "mixes", "recording": "d", "method": "x", "auroc": 0.7},
    ]
    assert soundscapes._means(rows) == [
        {"part": "field", "recording": "mean of 2", "method": "x", "share": 14 / 19},
        {"part": "mixes", "recording": "mean of 2", "method": "x", "auroc": pytest.approx(0.6)},
    ]


def test_baselines_hear_the_one_loud_moment(tmp_path):
    random = np.random.default_rng(0)
    samples = random.normal(0, 0.01, RATE_HZ * 30)
    samples[RATE_HZ * 10 : RATE_HZ * 11] += np.sin(np.arange(RATE_HZ) / 3)
    soundfile.write(tmp_path / "beep.wav", samples, RATE_HZ)
    start_s = np.arange(0, 29.1, 0.5)
    scores = soundscapes.baselines(tmp_path / "beep.wav", Windows.of(0, start_s, start_s + 1), 0)
    for method in ("loudness", "kNN"):
        assert start_s[scores[method].argmax()] == pytest.approx(10, abs=0.5)
    assert all(np.isfinite(score).all() for score in scores.values())


def test_the_bank_stays_as_it_is_however_long_the_run():
    rows = soundscapes.bank_curve(hours=(1, 5), per_hour=90, bank=200)
    assert [row["remembered"] for row in rows] == [90, 200]
    assert [row["events"] for row in rows] == [90, 450]


# ----------------------------------------------------------------- with the real recordings


@pytest.mark.slow
def test_the_real_soundscapes_are_those_of_the_published_figures(tmp_path):
    """Digests of what the tool that made the published soundscapes writes for these arguments."""
    compose(replace(DESIGNED[0], count=3), real_data(), tmp_path, minutes=2)
    digests = {
        "events.csv": "ff8914cb6e51d9d9d270224ff7b916f5bd64c8f8c67305790f349dd0a34c8e94",
        "soundscape.wav": "983c8fa54d6c975ffe2bbf040bf11445c4bcc18992ec502927862ef3f8789799",
    }
    for name, digest in digests.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest


@pytest.mark.slow
def test_the_default_finds_the_rare_roosters_and_all_events_in_the_field():
    from raravis.detector import Detector

    def find(path, seed):
        return Detector(explainer="none", seed=seed).fit(path).score(path)

    data = real_data()
    mix, *_ = soundscapes._measure_mix("designed on", DESIGNED[1], data, find, (0,), 30.0)
    assert mix["auroc"] >= 0.94
    assert mix["ap"] >= 0.55
    for name in soundscapes.FIELD:
        field, *_ = soundscapes._measure_field(name, data, find, (0,))
        assert field["within_60_per_hour"] == 1
