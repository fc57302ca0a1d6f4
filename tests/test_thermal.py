"""Thermal frames in text: MOBOTIX dumps, FLIR-like tables, and what is wrong with some of them."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from raravis.errors import NothingToRead, RecordingError
from raravis.images import thermal
from raravis.sources.images import ImageSource
from real_data import real_data

HEADER = (
    "sensor;right\nbit depth;14 bit\nwidth;4\nheight;3\nresolution;high\n"
    "advanced radiometry support;yes\nunit;degrees Celsius\n\n"
)
ROWS = "1.5;2;3;4\n5;6;7;8\n-9;10;11;12.25\n"
VALUES = np.array([[[1.5, 2, 3, 4], [5, 6, 7, 8], [-9, 10, 11, 12.25]]], dtype=np.float32)


def frame(text: str | bytes) -> np.ndarray:
    return thermal.read(text.encode() if isinstance(text, str) else text, "frame")


def test_a_mobotix_dump_is_degrees():
    picture = frame(HEADER + ROWS)
    np.testing.assert_array_equal(picture, VALUES)
    assert picture.dtype == np.float32
    head = thermal.head((HEADER + ROWS).encode(), "frame")
    assert (head.height, head.width, head.camera) == (3, 4, "celsius")


@pytest.mark.parametrize(
    "text",
    [
        ROWS.replace(";", ","),
        ROWS.replace(";", "\t"),
        ROWS.replace(".", ","),  # decimal commas between semicolons
        ROWS.replace(";", ",").replace("\n", ",\n"),  # a comma ends each row
        ROWS.replace(";", ",").replace("\n", "\r\n"),
        "\ufeff" + ROWS.replace(";", ","),
        "FLIR Systems\nFile: IR_1.jpg\nEmissivity,0.95,x\n\n" + ROWS.replace(";", ","),
        HEADER.replace("\n", "\r\n") + ROWS.replace("\n", "\r\n"),
        HEADER + ROWS + "\n\n",
        HEADER + ROWS.rstrip("\n"),
    ],
)
def test_tables_of_other_programs_are_read(text):
    np.testing.assert_array_equal(frame(text), VALUES)
    assert thermal.head(text.encode(), "frame").width == 4


def test_packed_frames_are_unpacked_by_their_content(tmp_path):
    path = tmp_path / "a_celsius.csv.gz"
    path.write_bytes(gzip.compress((HEADER + ROWS).encode()))
    np.testing.assert_array_equal(thermal.read(path, "a"), VALUES)


def test_what_was_written_is_read_again(tmp_path):
    picture = np.random.default_rng(0).normal(10, 20, (5, 7)).round(2)
    thermal.write(tmp_path / "a.csv", picture)
    np.testing.assert_allclose(thermal.read(tmp_path / "a.csv", "a")[0], picture, rtol=1e-6)
    assert (tmp_path / "a.csv").read_text().startswith("sensor;right\nbit depth;14 bit\nwidth;7\n")
    with_numpy = np.loadtxt(tmp_path / "a.csv", delimiter=";", skiprows=8)
    np.testing.assert_allclose(with_numpy, picture)


REFUSED = {
    "an empty file": ("", "is empty"),
    "words": ("hello\nworld\n", "is no thermal frame: expected seven lines key;value"),
    "one column": ("1\n2\n3\n", "is no thermal frame"),
    "a line too many": (HEADER.replace("\n\n", "\na;b\n\n") + ROWS, "line 8 .* 'a;b': expected 7"),
    "no empty line": (HEADER.replace("\n\n", "\n") + ROWS, "line 8 of its header is '1.5;2;3;4'"),
    "a key missing": (HEADER.replace("width;4\n", "") + ROWS, "its header lacks width"),
    "another unit": (
        HEADER.replace("degrees Celsius", "raw uint16") + ROWS,
        "its unit is 'raw uint16', not degrees Celsius: what a count",
    ),
    "a width in words": (HEADER.replace("h;4", "h;four") + ROWS, "width in its header is 'four'"),
    "no width": (HEADER.replace("h;4", "h;0") + ROWS, "the width in its header is '0'"),
    "no rows": (HEADER, "ends after its header"),
    "a row too few": (HEADER + ROWS.partition("\n")[2], "says 4 x 3, its rows are 4 x 2"),
    "another width": (HEADER.replace("h;4", "h;5") + ROWS, "says 5 x 3, its rows are 4 x 3"),
    "ragged rows": (HEADER + ROWS.replace("7;8", "7"), "line 10 has 3 values, those before it 4"),
    "a longer row": (ROWS.replace("7;8", "7;8;9"), "line 2 has 5 values, those before it 4"),
    "no number": (HEADER + ROWS.replace("7", "NaN"), "line 10 holds 'NaN' where a temperature"),
    "infinity": (HEADER + ROWS.replace("7", "inf"), "line 10 holds 'inf'"),
    "text": (ROWS.replace("7", "warm"), "line 2 holds 'warm' where a temperature should be"),
    "a gap": (ROWS.replace(";7;", ";;"), "line 2 holds '' where a temperature should be"),
    "other bytes": (b"\xff\xfe\x00\x01" * 50, "is no text"),
    "a packed file cut off": (gzip.compress((HEADER + ROWS).encode())[:40], "cannot be read"),
    "an endless line": (b"1," * 2**20, "longer than any thermal frame"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_frame_is_refused_and_the_rest_goes_on(tmp_path, kind):
    data, words = REFUSED[kind]
    data = data.encode() if isinstance(data, str) else data
    with pytest.raises(RecordingError, match=words):
        frame(data)
    for name in ("1", "3"):
        (tmp_path / f"{name}_celsius.csv").write_text(HEADER + ROWS)
    (tmp_path / "2_celsius.csv").write_bytes(data)
    source = ImageSource(tmp_path)
    block = source.read(0, 0, 3)
    assert block.names == ["1_celsius.csv", "3_celsius.csv"]
    np.testing.assert_array_equal(block.pictures, np.stack([VALUES] * 2))
    assert len(source.skipped) == 1 and source.skipped[0].path.endswith("2_celsius.csv")


# --- as recordings ---------------------------------------------------------------------------


def test_thermal_frames_are_a_recording_in_degrees(tmp_path):
    for second in (10, 20, 30):
        name = f"20260501_0600{second}_right_4x3_14bit.thermal.celsius.csv"
        (tmp_path / name).write_text(HEADER + ROWS)
    source = ImageSource(tmp_path)
    assert (source.cameras, source.channels, source.size) == (("celsius",), 1, (3, 4))
    assert source.interval_s == 10 and source.recordings[0].start_time is not None
    np.testing.assert_array_equal(source[1], VALUES)


def test_any_csv_is_a_frame_where_there_is_nothing_else(tmp_path):
    (tmp_path / "frame.csv").write_text(ROWS.replace(";", ","))
    source = ImageSource(tmp_path)
    assert source.cameras == ("celsius",) and source.size == (3, 4)
    (tmp_path / "b.thermal.celsius.csv").write_text(HEADER + ROWS)
    assert ImageSource(tmp_path).frames == [["b.thermal.celsius.csv"]]  # the other is a table


def test_tables_beside_pictures_are_frames_where_celsius_was_asked_for(tmp_path):
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "IR_1.jpg")
    (tmp_path / "IR_1.csv").write_text(ROWS.replace(";", ","))
    assert ImageSource(tmp_path).frames == [["IR_1.jpg"]]
    assert ImageSource(tmp_path, colour="celsius").frames == [["IR_1.csv"]]


def test_a_position_may_stand_before_the_ending(tmp_path):
    name = "1682899200123456789_right_4x3_14bit.thermal.celsius_position5.csv"
    (tmp_path / name).write_text(HEADER + ROWS)
    (tmp_path / "index.csv").write_text("a,b\n1,2\n")
    assert ImageSource(tmp_path).frames == [[name]]


def test_a_table_named_by_itself_is_taken_for_a_frame(tmp_path):
    (tmp_path / "plain.csv").write_text(HEADER + ROWS)
    (tmp_path / "b_celsius.csv").write_text(HEADER + ROWS)
    source = ImageSource([tmp_path / "plain.csv", tmp_path / "b_celsius.csv"])
    assert source.frames == [["b_celsius.csv", "plain.csv"]]


def test_of_pictures_and_thermal_frames_in_a_folder_most_are_taken_and_the_rest_said(tmp_path):
    from PIL import Image

    (tmp_path / "a_celsius.csv").write_text(HEADER + ROWS)
    for name in "ab":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    source = ImageSource(tmp_path)
    assert source.cameras == ("colour",) and len(source) == 2
    assert source.remarks == [
        f"{tmp_path.name}: 1 thermal frames left out; for them, set colour = 'celsius'"
    ]
    assert ImageSource(tmp_path, colour="celsius").frames == [["a_celsius.csv"]]


def test_implausible_cold_is_remarked_once(tmp_path):
    (tmp_path / "a_celsius.csv").write_text(HEADER + ROWS.replace("-9", "-80"))
    source = ImageSource(tmp_path)
    assert source.remarks == []
    assert source.read(0, 0, 1).pictures[0].min() == -80
    source.read(0, 0, 1)
    assert len(source.remarks) == 1
    assert source.remarks[0].endswith("a_celsius.csv: -80.0 C: is the sensor calibrated?")
    assert thermal.remark(VALUES) is None
    assert thermal.remark(VALUES + 2500) == "2512.2 C: is the sensor calibrated?"


def test_nothing_but_broken_frames_is_nothing_to_read(tmp_path):
    (tmp_path / "a_celsius.csv").write_text("no frame")
    with pytest.raises(NothingToRead, match=r"a_celsius\.csv: is no thermal frame"):
        ImageSource(tmp_path)


@pytest.mark.slow
def test_real_thermal_frames_agree_with_their_index():
    import pandas as pd

    folder = real_data() / "images" / "thermal_celsius"
    source = ImageSource(folder, colour="celsius", longest=4096)
    block = source.read(0, 0, 9)
    index = pd.read_csv(folder / "index.csv").set_index("stem")
    assert len(block.names) == len(index)
    for name, picture in zip(block.names, block.pictures, strict=True):
        row = index.loc[name.removesuffix("_celsius.csv.gz")]
        assert picture.shape == (1, row.height, row.width)
        found = picture.min(), picture.mean(), picture.max()
        np.testing.assert_allclose(
            found, row[["min_c", "mean_c", "max_c"]].astype(float), atol=0.01
        )
    assert any("Flir_B60" in r and "-68.1 C: is the sensor" in r for r in source.remarks)
