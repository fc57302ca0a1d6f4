"""The series source: what it finds, and that every row comes out as it was measured."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from raravis import sources
from raravis.errors import DataError, RecordingError
from raravis.sources.series import SeriesSource
from real_data import real_data

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


# --------------------------------------------------------------------------- real recordings


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "recordings", "channels", "rows"),
    [
        ("nab/data", 58, 1, 365_558),
        ("skab", 24, 8, None),
        ("smd", 2, 38, None),
        ("asd", 6, 19, 6 * (8640 + 4320)),
        ("ucr_anomaly", 2, 1, 15_001),
        ("ecg_mba", 1, 1, 230_400),
    ],
)
def test_real_series_have_the_shapes_that_are_published(name, recordings, channels, rows):
    source = SeriesSource(real_data() / name)
    assert source.skipped == []
    assert len(source.recordings) == recordings
    assert len(source.channels) == channels
    assert rows is None or len(source) == rows
