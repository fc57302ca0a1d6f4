"""The benchmark of the pump: what it reads, its two rules, and what it writes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from raravis.benchmarks import skab
from raravis.errors import DataError, ParameterError
from real_data import real_data

SENSORS = [f"sensor {number}" for number in range(8)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two small experiments in the layout of the real ones: the last third of the rest is off."""
    folder = tmp_path_factory.mktemp("skab")
    for number, group in enumerate(("valve1", "other")):
        random = np.random.default_rng(number)
        values = random.standard_normal((700, 8))
        labels = np.arange(700) >= 600
        values[labels, :3] += 6
        table = pd.DataFrame(values, columns=SENSORS)
        times = pd.date_range("2020-03-09 10:00:00", periods=700, freq="s")
        table.insert(0, "datetime", times)
        table["anomaly"], table["changepoint"] = labels.astype(float), 0.0
        (folder / group).mkdir()
        table.to_csv(folder / group / f"{number}.csv", sep=";", index=False)
    return folder


def line(rows, detector):
    return next(row for row in rows if row["detector"] == detector)


def test_labels_are_no_channels_and_the_first_400_rows_are_learned_from(data):
    first, second = skab.experiments(data)
    assert (first.name, second.name) == ("valve1/0", "other/1")
    assert first.learned.shape == (400, 8) and first.rest.shape == (300, 8)
    assert first.labels.tolist() == [False] * 200 + [True] * 100


def test_a_clear_fault_is_found_by_both_rules_and_the_lines_beside_are_there(data, tmp_path):
    rows = skab.run(data, seeds=(0, 1), out=tmp_path)
    causal = [row for row in rows if row["rule"] == "causal"]
    assert line(causal, "raravis")["balanced accuracy"] > 0.9
    assert line(causal, "raravis")["AUROC"] > 0.95
    assert line(causal, "random")["balanced accuracy"] == pytest.approx(0.5, abs=0.1)
    assert line(causal, "always anomalous")["MAR %"] == 0
    assert line(causal, "always normal")["F1"] == 0
    board = [row for row in rows if row["rule"] == "leaderboard"]
    assert line(board, "always anomalous")["F1"] == pytest.approx(0.5)  # a third of the rest
    assert all(row["experiments"] == 2 for row in (*causal, *board))
    assert line(rows, "Conv-AE")["F1"] == 0.78 and line(rows, "Conv-AE")["rule"] == "published"
    assert {"raravis", "position only", "T2 + Q, run here"} <= {row["detector"] for row in board}


def test_every_judged_row_is_written_in_the_layout_of_the_data(data, tmp_path):
    found = skab.experiments(data)
    skab.write(found, tmp_path, seed=0)
    table = pd.read_csv(tmp_path / "valve1" / "0.csv", sep=";")
    assert list(table) == ["datetime", "score", "alarm", "leaderboard", "anomaly"]
    assert len(table) == 300 and table["datetime"][0] == "2020-03-09 10:06:40"
    assert (table["anomaly"] == found[0].labels).all()
    scores, alarms = skab.judge(found[0], skab._detectors()["raravis without knn"], 0)
    np.testing.assert_allclose(table["score"], scores, rtol=1e-5)
    assert (table["alarm"] == alarms).all()


def test_what_comes_after_a_row_does_not_change_how_it_is_judged(data):
    whole = skab.experiments(data)[0]
    short = skab.Experiment(whole.name, whole.series[:650])
    tables = skab._detectors()["raravis"]
    scores, alarms = skab.judge(whole, tables, seed=0)
    past, past_alarms = skab.judge(short, tables, seed=0)
    np.testing.assert_allclose(past, scores[:250], rtol=1e-9)
    np.testing.assert_array_equal(past_alarms, alarms[:250])


def naive_windowed(alarms, steps):
    """The notebooks' loop, as it reads."""
    flags = [False] * (len(alarms) + steps - 1)
    for row in range(steps - 1, len(alarms) - steps + 1):
        flags[row] = all(alarms[row - steps + 1 : row])
    return flags


@pytest.mark.parametrize("share", [1.0, 0.99, 0.9])
def test_the_rule_of_windows_is_the_notebooks_loop(share):
    alarms = np.random.default_rng(0).random(400) < share
    alarms[100:250] = True
    assert skab._windowed(alarms).tolist() == naive_windowed(alarms.tolist(), skab.STEPS)


def test_the_rule_never_flags_the_first_59_rows_and_the_last_118():
    flags = skab._windowed(np.ones(441))  # windows of 500 rows
    assert np.flatnonzero(flags).tolist() == list(range(59, 500 - 118))


def test_it_says_what_is_missing(tmp_path, data):
    with pytest.raises(DataError, match=r"expected the experiments of SKAB in .*valve1"):
        skab.run(tmp_path)
    with pytest.raises(ParameterError, match="parts must be of causal, leaderboard, got nab"):
        skab.run(data, parts=["nab"])


@pytest.mark.slow
def test_published_charts_come_out_as_published_and_ours_above():
    found = skab.experiments(real_data() / "skab")
    board = skab.leaderboard(found, lambda *_: None)
    chart = line(board, "T2 + Q, run here")  # published .758 / 26.6 / 24.9 on all 35
    assert chart["F1"] == pytest.approx(0.758, abs=0.03)
    assert chart["FAR %"] == pytest.approx(26.6, abs=6)
    assert line(board, "T2, run here")["F1"] == pytest.approx(0.66, abs=0.05)
    assert line(board, "raravis")["F1"] > 0.85 > line(board, "position only")["F1"]
    causal = skab.causal(found, range(5), lambda *_: None)
    assert line(causal, "raravis without knn")["balanced accuracy"] > 0.81
    assert line(causal, "raravis without knn")["AUROC"] > 0.88
