"""Parquet files: the same rows as a table in memory would give, however they are batched."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from raravis.errors import NothingToRead, RecordingError
from raravis.series.columns import Reading
from raravis.series.parquet import ParquetSheet
from raravis.sources.series import SeriesSource

pyarrow = pytest.importorskip("pyarrow")
CHANNELS = ("x", "y", "z")


def table(rows: int = 1000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, 3)), columns=CHANNELS)
    frame.insert(0, "timestamp", pd.date_range("2026-05-01", periods=rows, freq="10s"))
    frame["label"] = (np.arange(rows) % 100 == 7).astype(int)
    return frame


def write(path, frame: pd.DataFrame, group: int = 100):
    frame.to_parquet(path, row_group_size=group)
    return path


def test_parquet_gives_the_same_as_csv(tmp_path):
    frame = table().assign(y=lambda f: f["y"].where(f.index % 5 > 0))
    write(tmp_path / "a.parquet", frame)
    frame.to_csv(tmp_path / "a.csv", index=False)
    packed, text = (SeriesSource(tmp_path / f"a.{suffix}") for suffix in ("parquet", "csv"))
    one, other = (source.read(0, 0, 1000) for source in (packed, text))
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.time_s, other.time_s)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert (one.channels, one.start_time) == (other.channels, other.start_time)
    assert one.start_time == datetime(2026, 5, 1, tzinfo=UTC)
    assert packed.recordings[0].duration_s == text.recordings[0].duration_s == 10_000
    assert packed.interval_s == text.interval_s == 10
    assert [r.split(": ", 1)[1] for r in packed.remarks] == [
        r.split(": ", 1)[1] for r in text.remarks
    ]
    np.testing.assert_array_equal(packed.windows.start_s, text.windows.start_s)


@pytest.mark.parametrize("group", [7, 100, 5000])
@pytest.mark.parametrize("batch", [37, 65_536])
def test_any_stretch_in_any_order_is_the_same(tmp_path, group, batch):
    frame = table()
    sheet = ParquetSheet(write(tmp_path / "a.parquet", frame, group), Reading(), batch)
    rng = np.random.default_rng(1)
    for first, length in zip(rng.integers(0, 1000, 40), rng.integers(0, 300, 40), strict=True):
        stop = min(1000, first + length)
        part = sheet.read(first, stop, ("z", "x"))
        np.testing.assert_array_equal(part.values, frame[["z", "x"]].to_numpy()[first:stop])
        np.testing.assert_array_equal(part.time_s, 10.0 * np.arange(first, stop))
        np.testing.assert_array_equal(part.labels, frame["label"].to_numpy()[first:stop] == 1)


@pytest.mark.parametrize(("length", "context"), [(64, 10), (1000, 0), (7, 50)])
def test_blocks_put_together_are_the_recording(tmp_path, length, context):
    frame = table()
    source = SeriesSource(write(tmp_path / "a.parquet", frame))
    blocks = list(source.blocks(0, from_s=95, length=length, context=context))
    assert blocks[0].first_row == 10
    whole = np.concatenate([block.series.values[block.context :] for block in blocks])
    np.testing.assert_array_equal(whole, frame[list(CHANNELS)].to_numpy()[10:])
    assert [block.end_s for block in blocks[:-1]] == [10.0 * b.first_row for b in blocks[1:]]


@pytest.mark.parametrize(
    ("times", "step_s"),
    [
        (pd.date_range("2026-05-01", periods=50, freq="10s", tz="Europe/Berlin"), 10),
        (pd.date_range("2026-05-01", periods=50, freq="10s").astype(str), 10),
        (1_777_777_777_000 + 250 * np.arange(50), 0.25),
        (0.5 * np.arange(50), 0.5),
    ],
)
def test_times_of_any_type_are_read(tmp_path, times, step_s):
    write(tmp_path / "a.parquet", table(50).assign(timestamp=times), group=20)
    source = SeriesSource(tmp_path)
    np.testing.assert_allclose(source.windows.start_s, step_s * np.arange(50), atol=1e-9)
    assert source.channels == CHANNELS


def test_an_index_of_times_is_the_time(tmp_path):
    table(50).set_index("timestamp").rename_axis(None).to_parquet(tmp_path / "a.parquet")
    source = SeriesSource(tmp_path)
    assert (source.channels, source.interval_s) == (CHANNELS, 10)


def test_without_times_rows_are_a_second_apart(tmp_path):
    write(tmp_path / "a.parquet", table(50).drop(columns="timestamp"), group=20)
    source = SeriesSource(tmp_path)
    np.testing.assert_array_equal(source.read(0, 30, 33).time_s, [30, 31, 32])
    assert source.remarks == ["a.parquet: has no times: its rows are taken as 1 s apart"]


def test_columns_of_text_and_of_lists_are_left_out(tmp_path):
    frame = table(50).assign(
        state=pd.Categorical(["on", "off"] * 25), parts=[[1, 2]] * 50, flag=[True, False] * 25
    )
    source = SeriesSource(write(tmp_path / "a.parquet", frame))
    assert source.channels == (*CHANNELS, "flag")
    assert source.remarks == ["a.parquet: column 'state' is mostly text, and left out"]


def test_labels_of_minus_one_are_the_anomaly_in_every_batch(tmp_path):
    labels = np.where(np.arange(1000) == 500, -1, 1)
    write(tmp_path / "a.parquet", table().assign(label=labels))
    source = SeriesSource(tmp_path)
    assert np.flatnonzero(source.read(0, 0, 1000).labels).tolist() == [500]
    assert not source.read(0, 0, 10).labels.any()


def memory_of_reading(path) -> tuple[int, int]:
    """The most bytes that we, and that pyarrow held while a file was read in blocks."""
    gc.collect()
    tracemalloc.start()
    arrow = 0
    for block in SeriesSource(path).blocks(0, length=10_000, context=100):
        assert len(block.series) - block.context == 10_000
        arrow = max(arrow, pyarrow.total_allocated_bytes())
    ours = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return ours, arrow


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    small = write(tmp_path / "small.parquet", table(200_000), group=100_000)
    large = write(tmp_path / "large.parquet", table(800_000), group=100_000)
    for less, more in zip(memory_of_reading(small), memory_of_reading(large), strict=True):
        assert more < 1.2 * less


# --------------------------------------------------------------------------- refusals


def test_rows_out_of_order_are_refused_with_the_row(tmp_path):
    frame = table()
    frame.loc[[512, 513], "timestamp"] = frame.loc[[513, 512], "timestamp"].to_numpy()
    write(tmp_path / "a.parquet", frame)
    with pytest.raises(RecordingError, match=r"its times fall back at row 513, .* sort its rows"):
        SeriesSource(tmp_path, strict=True)


def test_order_is_watched_across_batches(tmp_path):
    frame = table(200)
    frame = pd.concat([frame[100:], frame[:100]])
    write(tmp_path / "a.parquet", frame)
    with pytest.raises(NothingToRead, match="its times fall back at row 100"):
        SeriesSource(tmp_path)


def test_a_row_without_a_time_is_refused(tmp_path):
    frame = table()
    frame.loc[301, "timestamp"] = pd.NaT
    write(tmp_path / "a.parquet", frame)
    with pytest.raises(NothingToRead, match="row 301 has no readable time in 'timestamp'"):
        SeriesSource(tmp_path)


def test_what_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(NothingToRead, match=r"a\.parquet: cannot be read as Parquet"):
        SeriesSource(tmp_path)


def test_a_table_without_rows_is_refused(tmp_path):
    write(tmp_path / "a.parquet", table(0))
    with pytest.raises(NothingToRead, match="has 0 rows of data: at least 2 are needed"):
        SeriesSource(tmp_path)


def test_without_pyarrow_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    write(tmp_path / "a.parquet", table())
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(NothingToRead, match=r"needs pyarrow, .* pip install pyarrow"):
        SeriesSource(tmp_path)
