"""The benchmark of series: what it reads, and how it counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from raravis import metrics
from raravis.benchmarks import series
from raravis.errors import DataError, ParameterError
from real_data import real_data


def rows_of(n, channels, seed):
    random = np.random.default_rng(seed)
    motion = np.sin(np.arange(n)[:, None] / 9 + np.arange(channels))
    return (motion + 0.2 * random.standard_normal((n, channels))).astype(np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Small recordings of four groups in the layouts of the real ones."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("smd", "asd", "smap_msl", "ucr_anomaly", "ecg_mba"):
        (folder / name).mkdir()
    wrong = slice(150, 180)
    for seed, path in enumerate(("smd/m-1", "asd/o-1", "smap_msl/A-1", "smap_msl/C-1")):
        test, labels = rows_of(300, 4, 10 + seed), np.zeros(300, np.uint8)
        test[wrong, 1] += 4
        labels[wrong] = path.startswith(("smd", "asd"))
        arrays = {"train": rows_of(400, 4, seed), "test": test}
        if path.startswith(("smd", "asd")):
            arrays["test_label"] = labels
        np.savez(folder / f"{path}.npz", **arrays)
    (folder / "smap_msl" / "labeled_anomalies.csv").write_text(
        "chan_id,spacecraft,anomaly_sequences,class,num_values\n"
        'A-1,SMAP,"[[150, 179]]",[point],300\nC-1,MSL,"[[150, 179]]",[point],300\n'
    )
    beat = np.tile([0.0] * 9 + [5.0], 70) + 0.1 * np.random.default_rng(0).standard_normal(700)
    beat[600] = 9.0
    np.savetxt(folder / "ucr_anomaly" / "001_UCR_Anomaly_beat_400_595_605.txt", beat)
    return folder


def line(rows, detector, measure="VUS-PR"):
    return next(r for r in rows if r["detector"] == detector and r["measure"] == measure)


def test_every_group_is_read_in_its_own_layout(data):
    found = {one.group: one for one in series.sets(data)}
    assert list(found) == ["SMD", "ASD", "SMAP", "MSL", "UCR"]
    for one in found.values():
        assert one.learned.shape[0] == 400 and one.rest.shape[0] == 300
        np.testing.assert_allclose(one.learned.mean(axis=0), 0, atol=1e-6)
    assert np.flatnonzero(found["SMAP"].labels).tolist() == list(range(150, 180))
    assert found["UCR"].rest.shape == (300, 1)


def test_recordings_without_a_labelled_row_are_left_out(data, tmp_path):
    (tmp_path / "smd").mkdir()
    quiet = {"train": rows_of(400, 2, 0), "test": rows_of(50, 2, 1)}
    np.savez(tmp_path / "smd" / "m.npz", **quiet, test_label=np.zeros(50, np.uint8))
    with pytest.raises(DataError, match=r"expected series such as .*smd/\*.npz, found none"):
        series.run(tmp_path)


def test_ours_finds_what_chance_does_not_and_each_row_is_written(data, tmp_path):
    parts = ["raravis", "members", "baselines", "SMD", "SMAP", "MSL"]
    rows = series.run(data, (0,), parts, tmp_path)
    assert line(rows, "raravis")["SMD"] > 0.8
    assert line(rows, "raravis", "AUROC")["SMAP"] > 0.9
    assert line(rows, "random", "AUROC")["SMD"] == pytest.approx(0.5, abs=0.15)
    assert line(rows, "always normal", "AUROC")["MSL"] == 0.5
    assert {"window-pca alone", "autoregression 32 alone", "knn alone"} <= {
        row["detector"] for row in rows
    }
    table = pd.read_csv(tmp_path / "SMD-m-1.csv")
    assert table["label"].sum() == 30 and len(table) == 300
    first = metrics.vus_pr(table["label"], table["window-pca alone"])  # nothing in it is drawn here
    assert line(rows, "window-pca alone")["SMD"] == pytest.approx(first, abs=1e-4)


def test_the_mean_of_five_groups_is_only_given_where_all_five_are(data):
    rows = series.run(data, (0,), ["baselines"])
    assert "mean of five" not in line(rows, "random")


def test_a_part_of_the_groups_and_detectors_can_be_asked_for(data):
    rows = series.run(data, (0,), ["SMD", "raravis"])
    assert [row["detector"] for row in rows] == ["raravis", "raravis"]
    assert "MSL" not in rows[0]
    with pytest.raises(ParameterError, match=r"parts must be of raravis, .*ECG, got nab"):
        series.run(data, (0,), ["nab"])


def test_what_is_not_installed_is_said(data, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    rows = series.run(data, (0,), ["SMD", "pyod"])
    assert {"detector": "PyOD KNN: not installed"} in rows


@pytest.mark.slow
def test_a_network_stands_alone_and_beside_the_default(data):
    rows = series.run(data, (0,), ["SMD", "raravis", "networks"])
    assert line(rows, "dense-ae alone", "AUROC")["SMD"] > 0.8
    assert line(rows, "raravis with vae", "AUROC")["SMD"] > 0.8


@pytest.mark.slow
def test_one_default_reaches_the_published_aim_on_the_real_series():
    rows = series.run(real_data(), (0,), ["raravis", "SMD", "ASD", "SMAP", "MSL", "SKAB"])
    assert line(rows, "raravis")["mean of five"] > 0.61
    assert line(rows, "TSB-AD's CNN, other files")["TSB-AD-M"] == pytest.approx(0.313, abs=5e-4)
