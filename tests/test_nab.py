"""NAB's scoring: by hand, against a slow twin, and against the figures that were published."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import naive
from raravis.errors import DataError
from raravis.series import nab
from real_data import real_data

STANDARD = nab.PROFILES["standard"]


def labelled(rows, *windows):
    labels = np.zeros(rows, dtype=bool)
    for start, stop in windows:
        labels[start:stop] = True
    return labels


def random_corpus(seed, files=3):
    random = np.random.default_rng(seed)
    return [
        nab.Rows(
            np.round(random.random(rows), 1),
            labelled(rows, (5, 12), (random.integers(30, 40), random.integers(41, 60))),
        )
        for rows in random.integers(60, 90, files)
    ]


def test_sigmoid_by_hand():
    positions = np.array([-1.0, 0.0, 1.0, 3.0, 3.01])
    # 2 / (1 + e^-5) - 1 = tanh(2.5)
    half = np.tanh(2.5)
    np.testing.assert_allclose(nab.sigmoid(positions), [half, 0, -half, -np.tanh(7.5), -1])


def test_worth_by_hand():
    # a window of rows 2 to 4: w = 3, so positions -1, -2/3, -1/3; behind it 1/2, 1, ... 3, beyond
    found = nab.worth(labelled(13, (2, 5)))
    inside = np.tanh([2.5, 2.5 * 2 / 3, 2.5 / 3]) / np.tanh(2.5)
    behind = -np.tanh(2.5 * np.array([0.5, 1, 1.5, 2, 2.5, 3]))
    np.testing.assert_allclose(found, [-1, -1, *inside, *behind, -1, -1])


def test_worth_where_there_is_no_window_or_a_window_of_one_row():
    assert nab.worth(labelled(3)).tolist() == [-1, -1, -1]
    assert nab.worth(labelled(3, (1, 2))).tolist() == [-1, 1, -1]


def test_only_the_first_detection_in_a_window_counts():
    rows = nab.Rows(np.array([0, 0, 0.2, 0.9, 0.9, 0, 0]), labelled(7, (2, 5)))
    second = np.tanh(2.5 * 2 / 3) / np.tanh(2.5)
    assert nab.raw_score([rows], STANDARD, 0.9) == pytest.approx(second)
    assert nab.raw_score([rows], STANDARD, 0.2) == pytest.approx(1)
    assert nab.raw_score([rows], STANDARD, 1.0) == -1
    assert nab.best_threshold([rows], STANDARD) == (0.2, pytest.approx(1))


def test_the_first_rows_are_on_probation():
    assert nab.probation(100) == 15
    assert nab.probation(10_000) == 750
    scores = np.zeros(100)
    scores[:15] = 1
    assert nab.best_threshold([nab.Rows(scores, labelled(100))], STANDARD)[1] == 0


def test_rows_without_a_score_are_silent():
    rows = nab.Rows(np.array([np.nan, np.nan, 0.5]), labelled(3))
    assert nab.raw_score([rows], STANDARD, 0.0) == pytest.approx(-0.11)


@pytest.mark.parametrize("profile", nab.PROFILES.values(), ids=nab.PROFILES)
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_its_slow_twin(profile, seed):
    corpus = random_corpus(seed)
    plain = [(rows.scores.tolist(), rows.labels.tolist()) for rows in corpus]
    costs = (profile.hit, profile.miss, profile.false_alarm)
    candidates = [np.inf, *sorted({score for scores, _ in plain for score in scores})]
    totals = [naive.nab_raw_score(plain, *costs, threshold) for threshold in candidates]
    found = [nab.raw_score(corpus, profile, threshold) for threshold in candidates]
    np.testing.assert_allclose(found, totals, atol=1e-9)
    threshold, best = nab.best_threshold(corpus, profile)
    assert best == pytest.approx(max(totals))
    assert nab.raw_score(corpus, profile, threshold) == pytest.approx(best)


def test_silence_is_0_and_perfection_100():
    labels = labelled(100, (40, 50), (80, 90))
    perfect = np.zeros(100)
    perfect[[40, 80]] = 1
    for scores, expected in ((np.zeros(100), 0), (perfect, 100)):
        found = nab.final_scores({"a/b": nab.Rows(scores, labels)})
        assert [score for score, _ in found.values()] == pytest.approx([expected] * 3)


def test_what_is_written_is_read_back(tmp_path):
    times = pd.Series(["2026-05-01 00:00:00", "2026-05-01 00:05:00"])
    scores, labels = np.array([np.nan, 0.1 + 0.2]), np.array([False, True])
    path = tmp_path / "ours" / "realTweets" / "ours_some_volume.csv"
    nab.write_results(path, times, np.array([1.0, 2.0]), scores, labels)
    for folder in (tmp_path, tmp_path / "ours"):
        found = nab.read_results(folder)["ours"]["realTweets/some_volume"]
        assert found.scores.tolist() == [0, 0.1 + 0.2]
        assert found.labels.tolist() == [False, True]
    assert list(pd.read_csv(path)) == ["timestamp", "value", "anomaly_score", "label"]


def test_refuses_and_says_why(tmp_path):
    with pytest.raises(DataError, match=r"no results row by row in .*: expected <group>/<det"):
        nab.read_results(tmp_path)
    with pytest.raises(DataError, match="no labelled window: expected 1 in their column label"):
        nab.final_scores({"a/b": nab.Rows(np.zeros(5), labelled(5))})
    path = tmp_path / "ours" / "group" / "ours_file.csv"
    path.parent.mkdir(parents=True)
    path.write_text("timestamp,value,label\n1,2,0\n")
    with pytest.raises(DataError, match=r"no column 'anomaly_score': .*got timestamp"):
        nab.read_results(tmp_path)
    path.write_text("timestamp,value,anomaly_score,label\n1,2,high,0\n")
    with pytest.raises(DataError, match=r"cannot read .*could not convert string to float: 'high'"):
        nab.read_results(tmp_path)
    path.write_text("")
    with pytest.raises(DataError, match=r"cannot read .*ours_file.csv"):
        nab.read_results(tmp_path)


@pytest.mark.slow
def test_gives_the_published_figures_of_numenta_and_of_the_windowed_gaussian():
    folder = real_data() / "nab"
    published = json.loads((folder / "results" / "final_results.json").read_text())
    thresholds = json.loads((folder / "config" / "thresholds.json").read_text())
    called = ("standard", "reward_low_FP_rate", "reward_low_FN_rate")
    found = nab.read_results(folder / "results")
    assert sorted(found) == ["numentaTM", "windowedGaussian"]
    for detector, corpus in found.items():
        best = nab.final_scores(corpus)
        for (name, profile), theirs in zip(nab.PROFILES.items(), called, strict=True):
            threshold = thresholds[detector][theirs]["threshold"]
            score = nab.normalised(nab.raw_score(corpus.values(), profile, threshold), 116, profile)
            assert score == pytest.approx(published[detector][theirs], abs=0.01)
            assert best[name][0] >= score - 1e-9  # theirs was not always the best there is
