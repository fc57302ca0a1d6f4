"""The shapes of public benchmarks, each in a tiny file, and as they are published."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from raravis.row_novelty import dates_of
from raravis.series.nab import in_windows
from raravis.sources.series import SeriesSource
from real_data import real_data

RNG = np.random.default_rng(0)


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def only(path: Path, **options):
    """The one recording of a source, and the source."""
    source = SeriesSource(path, **options)
    assert len(source.recordings) == 1
    return source.read(0, 0, source.rows[0]), source


# --------------------------------------------------------------------------- text tables


def test_nab(tmp_path):
    rows = "".join(f"2014-04-01 00:{5 * i:02d}:00,{20.5 + i}\n" for i in range(6))
    write(tmp_path / "data" / "realTweets" / "AAPL.csv", "timestamp,value\n" + rows)
    windows = {"realTweets/AAPL.csv": [["2014-04-01 00:05:00.000", "2014-04-01 00:12:00.000"]]}
    series, source = only(tmp_path / "data")
    assert (source.channels, source.interval_s) == (("value",), 300)
    np.testing.assert_array_equal(series.values[:, 0], 20.5 + np.arange(6))
    found = in_windows(dates_of(series), windows[source.recordings[0].name])
    np.testing.assert_array_equal(found, [False, True, True, False, False, False])


def test_skab(tmp_path):
    sensors = ["Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature",
               "Thermocouple", "Voltage", "Volume Flow RateRMS"]  # fmt: skip
    header = ";".join(["datetime", *sensors, "anomaly", "changepoint"])
    rows = "".join(
        f"2020-03-09 10:14:{33 + i};" + ";".join(["0.0265878"] * 8) + f";{i // 2}.0;{i == 2:d}.0\n"
        for i in range(4)
    )
    series, source = only(write(tmp_path / "0.csv", f"{header}\n{rows}"))
    assert source.channels == tuple(sensors)
    np.testing.assert_array_equal(series.labels, [False, False, True, True])
    assert source.recordings[0].start_time == datetime(2020, 3, 9, 10, 14, 33, tzinfo=UTC)


def test_yahoo_s5_with_counted_times(tmp_path):
    rows = "".join(f"{i},{0.5 * i},{i == 3:d}\n" for i in range(1, 6))
    series, source = only(write(tmp_path / "real_1.csv", "timestamp,value,is_anomaly\n" + rows))
    assert (source.channels, source.interval_s) == (("value",), 1)
    np.testing.assert_array_equal(series.labels, [False, False, True, False, False])
    assert series.start_time is None


def test_yahoo_s5_leaves_out_what_its_values_were_made_of(tmp_path):
    header = "timestamps,value,anomaly,changepoint,trend,noise,seasonality1,seasonality2"
    rows = "".join(f"{1422237600 + 3600 * i},{i}.5,{i == 1:d},0,1,2,3,4\n" for i in range(4))
    series, source = only(write(tmp_path / "A3.csv", f"{header}\n{rows}"))
    assert (source.channels, source.interval_s) == (("value",), 3600)
    np.testing.assert_array_equal(series.labels, [False, True, False, False])
    assert "its trend, noise and seasons are left out" in source.remarks[0]


@pytest.mark.parametrize("between", ["\n", "   "])
def test_ucr_says_in_its_name_until_when_to_learn_and_where_it_is_wrong(tmp_path, between):
    values = RNG.normal(size=100).round(5)
    text = "   " + between.join(f"{x:.7e}" for x in values)
    name = "135_UCR_Anomaly_Bleeding16_40_60_69.txt"
    series, source = only(write(tmp_path / name, text))
    np.testing.assert_allclose(series.values[:, 0], values)
    np.testing.assert_array_equal(np.flatnonzero(series.labels), np.arange(60, 70))
    assert source.learn_until == [40]


def test_ucr_whose_name_does_not_fit_is_refused(tmp_path):
    write(tmp_path / "1_UCR_Anomaly_x_40_60_69.txt", "1\n2\n3\n")
    write(tmp_path / "2_UCR_Anomaly_x_1_2_2.txt", "1\n2\nthree\n")
    write(tmp_path / "good.csv", "value\n1\n2\n")
    source = SeriesSource(tmp_path, strict=False)
    reasons = [s.reason for s in source.skipped]
    assert "wrong from 60 to 69, but it has 3 rows" in reasons[0]
    assert "expected one number a line" in reasons[1]


def test_smd_as_three_folders_of_text(tmp_path):
    train, test = RNG.normal(size=(20, 3)).round(4), RNG.normal(size=(10, 3)).round(4)
    labels = np.array([0, 0, 0, 1, 1, 0, 0, 0, 0, 1])
    for folder, rows in (("train", train), ("test", test), ("test_label", labels)):
        (tmp_path / folder).mkdir()
        np.savetxt(tmp_path / folder / "machine-1-1.txt", rows, delimiter=",", fmt="%.4f")
    write(tmp_path / "interpretation_label" / "machine-1-1.txt", "3-4:1,2\n9-9:3\n")
    series, source = only(tmp_path)
    np.testing.assert_array_equal(series.values, np.vstack([train, test]))
    np.testing.assert_array_equal(np.flatnonzero(series.labels), [23, 24, 29])
    assert source.learn_until == [20]
    assert source.recordings[0].name == "test/machine-1-1.txt"
    assert source.skipped == []


# --------------------------------------------------------------------------- numpy


def test_npz_of_train_and_test_is_one_after_the_other(tmp_path):
    train, test = RNG.normal(size=(20, 4)), RNG.normal(size=(10, 4))
    labels = np.arange(10) > 6
    np.savez(tmp_path / "omi-1.npz", train=train, test=test, test_label=labels.astype(np.uint8))
    series, source = only(tmp_path)
    np.testing.assert_array_equal(series.values, np.vstack([train, test]))
    np.testing.assert_array_equal(np.flatnonzero(series.labels), [27, 28, 29])
    assert source.learn_until == [20]
    assert source.channels == ("channel 1", "channel 2", "channel 3", "channel 4")


def test_smap_takes_its_labels_from_the_table_beside_it(tmp_path):
    for name in ("P-1", "P-2", "T-10"):
        np.savez(tmp_path / f"{name}.npz", train=RNG.normal(size=(5, 3)), test=np.ones((10, 3)))
    write(
        tmp_path / "labeled_anomalies.csv",
        "chan_id,spacecraft,anomaly_sequences,class,num_values\n"
        'P-1,SMAP,"[[1, 2], [7, 7]]","[contextual, point]",10\n'
        'P-2,SMAP,"[[3, 3]]",[point],10\nP-2,SMAP,"[[5, 5]]",[point],10\n',
    )
    source = SeriesSource(tmp_path)
    labels = [source.read(i, 0, 15).labels for i in range(3)]
    assert [r.name for r in source.recordings] == ["P-1.npz", "P-2.npz", "T-10.npz"]
    np.testing.assert_array_equal(np.flatnonzero(labels[0]), [6, 7, 12])
    np.testing.assert_array_equal(np.flatnonzero(labels[1]), [8, 10])
    assert labels[2] is None
    assert source.skipped == []


def test_ecg(tmp_path):
    value, label = RNG.normal(size=50).astype(np.float32), np.arange(50) == 30
    np.savez(tmp_path / "MBA_ECG805_data.npz", value=value, label=label.astype(np.uint8))
    series, source = only(tmp_path)
    np.testing.assert_array_equal(series.values[:, 0], value)
    np.testing.assert_array_equal(series.labels, label)
    assert (source.channels, source.learn_until) == (("value",), [None])


def test_npz_with_times_and_names(tmp_path):
    times = np.array(["2020-01-01T00:02", "2020-01-01T00:00", "2020-01-01T00:01"], "datetime64[s]")
    values = np.array([[3.0, 30], [1, 10], [2, np.inf]])
    np.savez(tmp_path / "a.npz", values=values, time=times, channels=["x", "y"], labels=[1, 0, 0])
    series, source = only(tmp_path)
    np.testing.assert_array_equal(series.values, [[1, 10], [2, np.nan], [3, 30]])
    np.testing.assert_array_equal(series.labels, [False, False, True])
    assert (source.channels, source.interval_s) == (("x", "y"), 60)
    assert series.start_time == datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("shape", [(30,), (30, 2)])
def test_npz_of_one_array_is_its_values(tmp_path, shape):
    values = RNG.normal(size=shape)
    np.savez(tmp_path / "a.npz", values)
    series, _ = only(tmp_path)
    np.testing.assert_array_equal(series.values, values.reshape(30, -1))


# --------------------------------------------------------------------------- drives


def days(folder: Path, *rows: tuple[str, ...]) -> None:
    """Daily tables of drives; a row is (day, serial number, failure, smart_5_raw, smart_9_raw)."""
    header = "date,serial_number,model,capacity_bytes,failure,smart_5_normalized,smart_5_raw"
    header += ",smart_9_raw,smart_22_raw"
    for day in sorted({row[0] for row in rows}):
        lines = [
            f"{day},{serial},ST4000,4000787030016,{failure},100,{five},{nine},"
            for when, serial, failure, five, nine in rows
            if when == day
        ]
        write(folder / f"{day}.csv", "\n".join([header, *lines]) + "\n")


def test_daily_snapshots_become_one_series_a_drive(tmp_path):
    days(
        tmp_path,
        ("2026-01-01", "Z2", "0", "0", "100"),
        ("2026-01-01", "Z1", "0", "0", "5"),
        ("2026-01-02", "Z1", "0", "8", "29"),
        ("2026-01-02", "Z2", "0", "0", ""),
        ("2026-01-04", "Z1", "1", "900", "77"),
        ("2026-01-04", "Z3", "0", "0", "1"),
    )
    source = SeriesSource(tmp_path)
    assert [r.name for r in source.recordings] == ["Z1", "Z2"]
    assert source.channels == ("smart_5_raw", "smart_9_raw")
    first, second = source.read(0, 0, 9), source.read(1, 0, 9)
    np.testing.assert_array_equal(first.values, [[0, 5], [8, 29], [900, 77]])
    np.testing.assert_array_equal(first.labels, [False, False, True])
    np.testing.assert_array_equal(first.time_s, [0, 86_400, 3 * 86_400])
    np.testing.assert_array_equal(second.values, [[0, 100], [0, np.nan]])
    assert first.start_time == datetime(2026, 1, 1, tzinfo=UTC)
    assert [s.reason for s in source.skipped] == ["1 drive seen on one day only"]


def test_a_broken_day_is_skipped_and_named(tmp_path):
    days(tmp_path, *((f"2026-01-0{i}", "Z1", "0", str(i), "1") for i in range(1, 4)))
    write(tmp_path / "2026-01-04.csv", "date,serial_number,smart_5_raw\n2026-01-04,Z1,3\n")
    write(tmp_path / "2026-01-05.csv", "date,serial_number,failure,smart_5_raw\nsoon,Z1,0,3\n")
    source = SeriesSource(tmp_path)
    assert source.rows == [3]
    assert [s.reason for s in source.skipped] == [
        "has no column failure",
        "expected dates like 2026-01-31 in column 'date'",
    ]


# --------------------------------------------------------------------------- as published


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "recordings", "channels", "rows"),
    [
        ("nab/data", 58, 1, 365_558),
        ("skab/anomaly-free", 1, 8, 9_405),
        ("skab", 24, 8, None),
        ("smd", 2, 38, (23_688 + 23_689) + (23_693 + 23_694)),
        ("asd", 6, 19, 6 * (8_640 + 4_320)),
        ("ucr_anomaly", 2, 1, 7_501 + 7_500),
        ("ecg_mba", 1, 1, 230_400),
    ],
)
def test_real_series_have_the_shapes_that_are_published(name, recordings, channels, rows):
    source = SeriesSource(real_data() / name)
    assert source.skipped == []
    assert len(source.recordings) == recordings
    assert len(source.channels) == channels
    assert rows is None or len(source) == rows


@pytest.mark.slow
def test_smap_and_msl_are_two_collections_in_one_folder():
    folder = real_data() / "smap_msl"
    smap = SeriesSource(folder)
    assert (len(smap.recordings), len(smap.channels), len(smap.skipped)) == (27, 25, 15)
    msl = SeriesSource([skipped.path for skipped in smap.skipped])
    assert (len(msl.recordings), len(msl.channels), msl.skipped) == (15, 55, [])


@pytest.mark.slow
def test_real_labels_are_where_their_authors_say():
    folder = real_data()
    smd, _ = only(folder / "smd" / "machine-1-6.npz")
    with np.load(folder / "smd" / "machine-1-6.npz") as arrays:
        np.testing.assert_array_equal(smd.labels[len(arrays["train"]) :], arrays["test_label"] == 1)
        np.testing.assert_array_equal(smd.values[: len(arrays["train"])], arrays["train"])
    ucr, _ = only(next((folder / "ucr_anomaly").glob("135*.txt")))
    np.testing.assert_array_equal(np.flatnonzero(ucr.labels)[[0, -1]], [4187, 4199])
    skab, _ = only(folder / "skab" / "valve1" / "0.csv.gz")
    assert 0.3 < skab.labels.mean() < 0.4


@pytest.mark.slow
def test_the_windows_of_nab_cover_the_rows_that_they_should():
    nab = real_data() / "nab"
    source = SeriesSource(nab / "data")
    windows = json.loads((nab / "labels" / "combined_windows.json").read_text())
    runs = 0
    for number, recording in enumerate(source.recordings):
        series = source.read(number, 0, source.rows[number])
        labels = in_windows(dates_of(series), windows[recording.name])
        runs += int((np.diff(labels, prepend=False) & labels).sum())
    assert runs == sum(map(len, windows.values())) == 116
