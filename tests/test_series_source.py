"""The series source: what it finds, and that every row comes out as it was measured."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from raravis import sources
from raravis.errors import DataError, NothingToRead, RecordingError
from raravis.series.layouts import open_sheet
from raravis.sources.series import SeriesSource

CHANNELS = ("temperature", "pressure", "flow")


def values(rows: int = 200, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, channels)).round(6)


def plant(rows: int = 200, seed: int = 0, start: str = "2026-05-01", step: str = "60s"):
    """A table of three channels and their times."""
    times = pd.date_range(start, periods=rows, freq=step).strftime("%Y-%m-%d %H:%M:%S")
    frame = pd.DataFrame(values(rows, seed=seed), columns=CHANNELS)
    frame.insert(0, "timestamp", times)
    return frame


def write_csv(path, frame: pd.DataFrame, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """Three files of the same channels, the later days first by name, one in another order."""
    write_csv(tmp_path / "c.csv", plant(seed=0, start="2026-05-01"))
    write_csv(tmp_path / "b.csv", plant(seed=1, start="2026-05-02"))
    mixed = plant(seed=2, start="2026-05-03")[["timestamp", "flow", "temperature", "pressure"]]
    write_csv(tmp_path / "a.csv", mixed)
    return tmp_path


# --------------------------------------------------------------------------- what it finds


def test_series_is_a_source_by_name(folder):
    assert sources.get("series") is SeriesSource
    assert isinstance(sources.create("series", paths=folder), sources.RowSource)


def test_recordings_stand_in_order_of_time_with_what_is_known_of_them(folder):
    source = SeriesSource(folder)
    assert [r.name for r in source.recordings] == ["c.csv", "b.csv", "a.csv"]
    first = source.recordings[0]
    assert first.start_time == datetime(2026, 5, 1, tzinfo=UTC)
    assert (first.duration_s, first.rate_hz, first.channels) == (12_000, 1 / 60, 3)
    assert (source.rows, source.interval_s, source.channels) == ([200] * 3, 60, CHANNELS)
    assert (source.learn_until, source.skipped, source.remarks) == ([None] * 3, [], [])


def test_channels_in_another_order_are_put_into_the_common_one(folder):
    source = SeriesSource(folder)
    np.testing.assert_array_equal(source.read(2, 0, 200).values, values(seed=2))


# --------------------------------------------------------------------------- reading


def test_any_stretch_is_read_and_clipped_to_the_recording(folder):
    series = SeriesSource(folder).read(0, 190, 250)
    np.testing.assert_array_equal(series.values, values()[190:])
    np.testing.assert_array_equal(series.time_s, 60.0 * np.arange(190, 200))
    assert series.channels == CHANNELS
    assert series.start_time == datetime(2026, 5, 1, tzinfo=UTC)


def test_windows_are_rows_that_last_one_interval(folder):
    source = SeriesSource(folder)
    assert len(source) == len(source.windows) == 600
    np.testing.assert_array_equal(np.unique(source.windows.recording), [0, 1, 2])
    assert (source.windows.start_s[201], source.windows.end_s[201]) == (60, 120)
    np.testing.assert_array_equal(source[201], values(seed=1)[1].astype(np.float32))
    np.testing.assert_array_equal(source[-1], values(seed=2)[-1].astype(np.float32))
    with pytest.raises(IndexError, match="row 600 of 600"):
        source[600]


@pytest.mark.parametrize(("length", "context"), [(64, 0), (64, 10), (200, 5), (1000, 0), (7, 50)])
def test_blocks_put_together_are_the_recording(folder, length, context):
    source = SeriesSource(folder)
    parts, stop = [], 0
    for block in source.blocks(1, length=length, context=context):
        assert block.first_row == stop
        assert block.context == min(context, block.first_row)
        stop = block.first_row + len(block.series) - block.context
        assert block.end_s == 60 * stop
        parts.append(block.series.values[block.context :])
    np.testing.assert_array_equal(np.concatenate(parts), values(seed=1))


def test_blocks_begin_at_the_first_row_not_before_a_time(folder):
    block = next(SeriesSource(folder).blocks(0, from_s=61, length=10, context=5))
    assert (block.first_row, block.context, block.end_s) == (2, 2, 720)


# --------------------------------------------------------------------------- channels


def test_a_file_of_other_channels_is_skipped_and_named(folder):
    write_csv(folder / "d.csv", plant().rename(columns={"flow": "level"}))
    source = SeriesSource(folder)
    assert len(source.recordings) == 3
    assert source.skipped[0].reason == (
        "of the channels that most recordings have it lacks 'flow' and has 'level' besides"
    )
    with pytest.raises(RecordingError, match=r"d\.csv: of the channels .* lacks 'flow'"):
        SeriesSource(folder, strict=True)


def test_channels_can_be_chosen_and_put_in_order(folder):
    source = SeriesSource(folder, channels=["flow", "temperature"])
    assert source.channels == ("flow", "temperature")
    np.testing.assert_array_equal(source.read(0, 0, 9).values, values()[:9, [2, 0]])


def test_a_channel_asked_for_that_is_not_there_is_named(folder):
    with pytest.raises(DataError, match="of the channels asked for it lacks 'level'"):
        SeriesSource(folder, channels=["level"])


def test_channels_that_hold_no_value_anywhere_are_left_out_and_told(folder):
    for file in folder.glob("*.csv"):
        write_csv(file, pd.read_csv(file).assign(level=np.nan))
    source = SeriesSource(folder)
    assert source.channels == CHANNELS
    assert source.remarks == ["'level': no value in any recording, left out"]


def test_a_channel_empty_in_one_file_only_is_missing_there(folder):
    write_csv(folder / "b.csv", plant(seed=1, start="2026-05-02").assign(flow=np.nan))
    source = SeriesSource(folder)
    assert source.channels == CHANNELS
    assert np.isnan(source.read(1, 0, 200).values[:, 2]).all()
    assert source.remarks == ["b.csv: holds no value: 'flow'"]


def test_a_channel_asked_for_may_be_empty(folder):
    file = write_csv(folder / "d.csv", plant().assign(flow=np.nan))
    source = SeriesSource(file, channels=CHANNELS)
    assert source.channels == CHANNELS
    assert np.isnan(source.read(0, 0, 200).values[:, 2]).all()


# --------------------------------------------------------------------------- remarks


def test_what_is_not_as_it_stood_is_remarked(tmp_path):
    frame = plant(100).assign(pressure=1.5)
    frame.loc[[3, 4, 50], "flow"] = np.nan
    frame.loc[7, "temperature"] = np.inf
    frame = frame.drop(index=range(20, 30))
    frame.loc[60, "timestamp"] = frame.loc[59, "timestamp"]
    frame.loc[[70, 71], "timestamp"] = frame.loc[[71, 70], "timestamp"].to_numpy()
    write_csv(tmp_path / "plant.csv", frame)
    source = SeriesSource(tmp_path)
    assert source.remarks == [
        "plant.csv: its times fall back at 1 row: its rows were sorted",
        "plant.csv: 1 row with the same time as the row before",
        "plant.csv: 2 gaps in time, the longest of 660 s where rows usually come every 60",
        "plant.csv: values are missing: 1 in 'temperature', 3 in 'flow'",
        "plant.csv: never changes: 'pressure'",
    ]


def test_uneven_steps_and_other_rates_are_remarked(folder):
    slow = plant(50, start="2026-05-04", step="300s")
    write_csv(folder / "slow.csv", slow)
    times = pd.Timestamp("2026-05-05") + pd.to_timedelta(
        np.cumsum(np.tile([50, 60, 60, 60, 60, 70], 30)), unit="s"
    )
    uneven = plant(180)
    uneven["timestamp"] = times.strftime("%Y-%m-%d %H:%M:%S")
    write_csv(folder / "uneven.csv", uneven)
    source = SeriesSource(folder)
    assert source.interval_s == 60
    assert source.remarks == [
        "uneven.csv: 33% of its steps are further than a tenth from 60 s",
        "rows usually come every 60 s, but not in 'slow.csv'",
    ]


def test_a_name_tells_the_time_where_rows_do_not(tmp_path):
    write_csv(tmp_path / "pump_20260501_040000.csv", plant().drop(columns="timestamp"))
    source = SeriesSource(tmp_path, timezone="+02:00")
    assert source.recordings[0].start_time == datetime(2026, 5, 1, 2, tzinfo=UTC)
    assert source.read(0, 0, 1).start_time == datetime(2026, 5, 1, 2, tzinfo=UTC)


def test_one_file_at_a_time_is_in_memory(folder, monkeypatch):
    opened = []

    def counting(path, reading):
        opened.append(path.name)
        return open_sheet(path, reading)

    monkeypatch.setattr("raravis.sources.series.open_sheet", counting)
    source = SeriesSource(folder)
    opened.clear()
    for recording in (0, 0, 1, 1, 0):
        source.read(recording, 0, 10)
    assert opened == ["c.csv", "b.csv", "c.csv"]


def test_text_files_without_numbers_are_no_recordings(folder):
    (folder / "LICENSE.txt").write_text("Permission is hereby granted, free of charge\n" * 3)
    assert SeriesSource(folder).skipped == []
    with pytest.raises(NothingToRead, match="has no column of numbers"):
        SeriesSource(folder / "LICENSE.txt")


@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "a.CSV", "a.csv.gz"])
def test_every_suffix_of_text_is_found_in_a_folder(tmp_path, name):
    write_csv(tmp_path / name, plant(), sep="\t" if name.endswith("tsv") else ",")
    assert SeriesSource(tmp_path).rows == [200]
