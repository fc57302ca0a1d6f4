"""Tables as people write them: separators, commas, headers, encodings, times, labels, text."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raravis.errors import RecordingError
from raravis.series.clocks import find_clock
from raravis.series.columns import Reading
from raravis.series.layouts import open_sheet
from raravis.series.tables import find_form, holds_numbers, read_table
from raravis.times import time_zone

A_TIME = datetime(2020, 3, 9, 10, 14, 33, tzinfo=UTC)


def opened(path, content: str | bytes, **reading):
    """The sheet of a file with this content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_sheet(path, Reading(**reading))


@pytest.fixture
def table(tmp_path):
    return tmp_path / "table.csv"


# --------------------------------------------------------------------------- what it looks like


@pytest.mark.parametrize(
    ("content", "separator", "decimal"),
    [
        ("a,b\n1.5,2.5\n3,4\n", ",", "."),
        ("a;b\n1,5;2,5\n3;4\n", ";", ","),
        ("a;b\n1.5;2.5\n3;4\n", ";", "."),
        ("a\tb\n1,5\t2,5\n3\t4\n", "\t", ","),
        ("a|b\n1.5|2.5\n3|4\n", "|", "."),
        ("a b\n1.5   2.5\n3 4\n", " ", "."),
        ("# a b\n1.5 2.5\n3 4\n", " ", "."),
        ('"a","b"\n"1,5","2,5"\n"3","4"\n', ",", ","),
        ("1,5;2,5\n3;4\n", ";", ","),
        ("1.5,2.5\n3,4\n", ",", "."),
    ],
)
def test_separator_and_decimal_comma_are_found(table, content, separator, decimal):
    sheet = opened(table, content)
    form = find_form(table)
    assert (form.separator, form.decimal) == (separator, decimal)
    np.testing.assert_array_equal(sheet.series.values, [[1.5, 2.5], [3, 4]])
    named = "a" in content
    assert sheet.channels == (("a", "b") if named else ("channel 1", "channel 2"))


def test_separator_and_decimal_can_be_said(table):
    sheet = opened(table, "a b;c\n1,5;2\n3,5;4\n", separator=";", decimal=",")
    np.testing.assert_array_equal(sheet.series.values, [[1.5, 2], [3.5, 4]])
    assert sheet.channels == ("a b", "c")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_any_usual_encoding_is_read(table, encoding):
    sheet = opened(table, "Höhe,°C\n1,2\n3,4\n".encode(encoding))
    assert sheet.channels == ("Höhe", "°C")
    np.testing.assert_array_equal(sheet.series.values, [[1, 2], [3, 4]])


def test_latin_letters_far_down_are_read_too(table):
    rows = "1,2\n" * 500 + "3,4 °\n"
    sheet = opened(table, ("a,b\n" + rows).encode("latin-1"))
    assert len(sheet.series) == 501
    assert sheet.remarks[0] == "'b' holds text in 1 cell, taken as missing"


def test_gzip_is_known_by_its_first_bytes(table):
    sheet = opened(table, gzip.compress(b"a,b\n1,2\n3,4\n"))
    np.testing.assert_array_equal(sheet.series.values, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("x,y\n1,2\n3,4\n", ("x", "y")),
        ("x,x\n1,2\n3,4\n", ("x", "x (2)")),
        ("x,\n1,2\n3,4\n", ("x", "column 2")),
        ("1,2\n3,4\n", ("channel 1", "channel 2")),
        (",0,1\n0,1,2\n1,3,4\n", ("0", "1")),
        ("x,y\n1,1,2\n2,3,4\n3,5,6\n", ("x", "y")),
        ("time,1,2\n2020-01-01,1,2\n2020-01-02,3,4\n", ("1", "2")),
        ("2020-01-01 00:00,1,2\n2020-01-01 00:05,3,4\n", ("channel 2", "channel 3")),
    ],
)
def test_header_or_none(table, content, names):
    sheet = opened(table, content)
    assert sheet.channels == names
    np.testing.assert_array_equal(sheet.series.values[:2], [[1, 2], [3, 4]])


def test_lines_before_the_header_are_passed_over_and_told(table):
    rows = "".join(f"{i},{i + 0.5}\n" for i in range(40))
    sheet = opened(table, "Logger 17\nSite: north\n\na,b\n" + rows)
    assert sheet.channels == ("a", "b")
    assert len(sheet.series) == 40
    assert sheet.remarks[0] == "3 lines before the header passed over"


def test_lines_with_too_many_cells_are_left_out_and_told(table):
    sheet = opened(table, "a,b\n1,2\n3,4\n5,6,7\n8,9\n")
    np.testing.assert_array_equal(sheet.series.values, [[1, 2], [3, 4], [8, 9]])
    assert sheet.remarks[0] == "1 line with too many cells left out"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=30))
def test_every_number_comes_back_to_the_last_bit(tmp_path_factory, numbers):
    path = tmp_path_factory.mktemp("numbers") / "table.csv"
    path.write_text("a;b\n" + "".join(f"{x!r};0\n" for x in numbers))
    frame, _ = read_table(path)
    np.testing.assert_array_equal(frame["a"].to_numpy(dtype=np.float64), numbers)


@pytest.mark.parametrize(
    ("content", "numeric"),
    [
        ("1.5\n2.5\n", True),
        ("a b\n1 2\n3 4\n", True),
        ("2020-01-01 00:00,5,6\n2020-01-01 00:05,5,6\n", True),
        ("MIT License\n\nCopyright 2020\n", False),
        ("", False),
    ],
)
def test_text_with_numbers_is_told_from_prose(tmp_path, content, numeric):
    (tmp_path / "a.txt").write_text(content)
    assert holds_numbers(tmp_path / "a.txt") is numeric


# --------------------------------------------------------------------------- values


def test_cells_that_are_no_number_are_missing_and_told(table):
    sheet = opened(table, "a,b,c\n1,x,inf\n,2,-inf\nNaN,3,1\n4,4,2\n")
    nan = np.nan
    wanted = [[1, nan, nan], [nan, 2, nan], [nan, 3, 1], [4, 4, 2]]
    np.testing.assert_array_equal(sheet.series.values, wanted)
    assert sheet.remarks[0] == "'b' holds text in 1 cell, taken as missing"


def test_columns_of_text_and_of_row_numbers_are_left_out_and_told(table):
    sheet = opened(table, ",a,state\n0,1,on\n1,2,off\n2,3,on\n")
    assert sheet.channels == ("a",)
    assert sheet.remarks[:2] == [
        "column 'column 1' counts the rows, and is left out",
        "column 'state' is mostly text, and left out",
    ]


def test_a_first_column_that_rises_like_a_clock_is_the_time_and_told(table):
    rows = "".join(f"{10 * i},{i % 7}\n" for i in range(60))
    sheet = opened(table, "minute,a\n" + rows)
    assert sheet.channels == ("a",)
    assert sheet.series.time_s[:3].tolist() == [0, 10, 20]
    assert sheet.remarks == ["'minute' rises by the same step throughout, and is taken as time"]
    assert opened(table, "minute,a\n" + rows[:200]).channels == ("minute", "a")  # too short to say


def test_true_and_false_are_one_and_zero(table):
    sheet = opened(table, "a,b\nTrue,1\nFalse,2\n")
    np.testing.assert_array_equal(sheet.series.values, [[1, 1], [0, 2]])


# --------------------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("name", "cells", "labels"),
    [
        ("label", "0 0 1", [False, False, True]),
        ("is_anomaly", "0 1 0", [False, True, False]),
        ("Anomaly", "0.0 1.0 0.0", [False, True, False]),
        ("Normal/Attack", "Normal Attack Normal", [False, True, False]),
        ("outlier", "1 -1 1", [False, True, False]),
        ("changepoint", "0 1 0", [False, True, False]),
        ("ground_truth", "False True False", [False, True, False]),
    ],
)
def test_labels_are_kept_apart_whatever_they_are_called(table, name, cells, labels):
    rows = "".join(f"{i}.5,{cell}\n" for i, cell in enumerate(cells.split()))
    sheet = opened(table, f"a,{name}\n{rows}")
    assert sheet.channels == ("a",)
    np.testing.assert_array_equal(sheet.series.labels, labels)


def test_points_of_change_do_not_count_beside_labels(table):
    sheet = opened(table, "a,anomaly,changepoint\n1,0,1\n2,1,0\n")
    np.testing.assert_array_equal(sheet.series.labels, [False, True])
    assert sheet.channels == ("a",)


def test_label_columns_can_be_said_and_any_of_them_counts(table):
    content = "a,bad,worse,label\n1,0,0,5\n2,1,0,5\n3,0,1,5\n"
    sheet = opened(table, content, labels=("bad", "worse"))
    np.testing.assert_array_equal(sheet.series.labels, [False, True, True])
    assert sheet.channels == ("a", "label")


def test_a_label_column_that_is_not_there_is_told(table):
    sheet = opened(table, "a,b\n1,2\n3,4\n", labels=("bad",))
    assert sheet.series.labels is None
    assert sheet.remarks[0] == "has no column of labels called 'bad'"


# --------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    "written",
    [
        "2020-03-09 10:14:33",
        "2020-03-09T10:14:33Z",
        "2020-03-09T11:14:33+01:00",
        "2020-03-09T11:14:33.000+0100",
        "2020/03/09 10:14:33",
        "09.03.2020 10:14:33",
        "9.3.2020 10:14:33",
        "09.03.20 10:14:33,0",
        "09-Mar-2020 10:14:33",
        "Mar 9, 2020 10:14:33 AM",
        "20200309101433",
        "1583748873",
        "1583748873.0",
        "1583748873000",
        "1583748873000000",
        "1583748873000000000",
    ],
)
def test_every_known_way_of_writing_a_time_is_read(table, written):
    sheet = opened(table, f"when;a\n{written};1\n{written};2\n", time="when")
    assert sheet.series.start_time == A_TIME
    np.testing.assert_array_equal(sheet.series.time_s, [0, 0])


@pytest.mark.parametrize(
    ("first", "second"),
    [("13/03/2020 10:00", "14/03/2020 10:00"), ("3/13/2020 10:00 AM", "3/14/2020 10:00 AM"),
     ("12/03/2020 10:00", "13/03/2020 10:00"), ("13-03-20", "14-03-20"),
     ("03/31/2020 11:00 PM", "04/01/2020 11:00 PM")],
)  # fmt: skip
def test_day_and_month_are_told_apart_by_any_date_that_can(table, first, second):
    sheet = opened(table, f"time;a\n{first};1\n{second};2\n")
    np.testing.assert_array_equal(sheet.series.time_s, [0, 86_400])


def test_noon_and_midnight_are_where_they_belong(table):
    hours = ["12:30 AM", "1:30 AM", "12:30 PM", "11:30 PM"]
    rows = "".join(f"3/13/2020 {hour},1\n" for hour in hours)
    sheet = opened(table, "time,a\n" + rows)
    np.testing.assert_array_equal(sheet.series.time_s, [0, 3600, 12 * 3600, 23 * 3600])


@pytest.mark.parametrize(
    ("header", "cells", "time_s"),
    [
        ("time", "0 0.5 2", [0, 0.5, 2]),
        ("time_ms", "0 500 2000", [0, 0.5, 2]),
        ("time [us]", "0 500000 2000000", [0, 0.5, 2]),
        ("timestamp", "1 2 3", [0, 1, 2]),
        ("time", "10:14:33 10:14:34 10:15", [0, 1, 27]),
        ("time", "23:59:59 00:00:00 00:00:01", [0, 1, 2]),
    ],
)
def test_times_without_a_date_count_from_the_first_row(table, header, cells, time_s):
    rows = "".join(f"{cell},1\n" for cell in cells.split())
    sheet = opened(table, f"{header},a\n{rows}")
    np.testing.assert_allclose(sheet.series.time_s, time_s, atol=1e-9)
    assert sheet.series.start_time is None


def test_nanoseconds_are_not_rounded_to_the_grid_of_floats(table):
    sheet = opened(table, "time,a\n1583748873000000000,1\n1583748873000000001,2\n")
    np.testing.assert_array_equal(sheet.series.time_s, [0, 1e-9])


@pytest.mark.parametrize(
    ("names", "found"),
    [("timestamp,a,b", ("a", "b")), ("a,Datetime,b", ("a", "b")), ("a,b,Time (s)", ("a", "b")),
     ("when,a,b", ("a", "b")), ("a,Zeitstempel,b", ("a", "b"))],
)  # fmt: skip
def test_the_column_of_times_is_found_by_name_or_by_what_it_holds(table, names, found):
    cells = [c if c in "ab" else "T" for c in names.split(",")]
    line = ",".join({"a": "1.5", "b": "2.5", "T": "2020-03-09 10:14:3{}"}[c] for c in cells)
    sheet = opened(table, f"{names}\n{line.format(3)}\n{line.format(5)}\n")
    assert sheet.channels == found
    np.testing.assert_array_equal(sheet.series.time_s, [0, 2])
    assert sheet.series.start_time == A_TIME


def test_a_date_and_a_time_of_day_are_put_together(table):
    sheet = opened(table, "Date;Time;CO\n09/03/2020;18.00.00;2,6\n13/03/2020;19.00.00;2\n")
    assert sheet.channels == ("CO",)
    assert sheet.series.start_time == datetime(2020, 3, 9, 18, tzinfo=UTC)
    np.testing.assert_array_equal(sheet.series.time_s, [0, 4 * 86_400 + 3600])


def test_without_times_rows_are_a_second_apart_and_it_is_told(table):
    sheet = opened(table, "a\n1\n2\n3\n")
    np.testing.assert_array_equal(sheet.series.time_s, [0, 1, 2])
    assert sheet.remarks == ["has no times: its rows are taken as 1 s apart"]


def test_times_without_a_zone_are_local_and_summer_time_makes_no_hole(table):
    zone = time_zone("Europe/Berlin")
    local = [datetime(2021, 10, 31, tzinfo=zone) for _ in range(5)]
    times = [(t.astimezone(UTC) + timedelta(hours=i)).astimezone(zone) for i, t in enumerate(local)]
    rows = "".join(f"{t:%Y-%m-%d %H:%M:%S},1\n" for t in times)  # 00 01 02 02 03 o'clock
    sheet = opened(table, "time,a\n" + rows, zone=zone)
    np.testing.assert_array_equal(sheet.series.time_s, 3600 * np.arange(5))
    assert sheet.series.start_time == times[0]


def test_rows_out_of_order_are_sorted_with_their_labels_and_it_is_told(table):
    rows = "2020-01-01 00:02,3,1\n2020-01-01 00:00,1,0\n2020-01-01 00:01,2,0\n"
    sheet = opened(table, "time,a,label\n" + rows)
    np.testing.assert_array_equal(sheet.series.values[:, 0], [1, 2, 3])
    np.testing.assert_array_equal(sheet.series.labels, [False, False, True])
    assert sheet.remarks == ["its times fall back at 1 row: its rows were sorted"]


def test_a_few_rows_without_a_time_are_left_out_and_told(table):
    rows = "".join(f"2020-01-01 00:00:{i:02d},{i}\n" for i in range(50))
    sheet = opened(table, "time,a\n" + rows + ",50\nbroken,51\n")
    assert len(sheet.series) == 50
    assert sheet.remarks == ["2 rows without a readable time left out"]


def test_infinite_and_impossible_times_are_none(table):
    rows = "".join(f"{i},{i}\n" for i in range(60))
    sheet = opened(table, "time,a\n" + rows + "inf,60\nnan,61\n1e30,62\n")
    assert len(sheet.series) == 60
    assert sheet.remarks == ["3 rows without a readable time left out"]


# --------------------------------------------------------------------------- refusals of times


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("time,a\nspring,1\nsummer,2\n", r"column 'time' are written in no known way: 'spring'"),
        ("time,a\n03/04/2020,1\n04/04/2020,2\n", "day or month comes first in '03/04/2020'"),
        ("time,a\n,1\n,2\n", "has no time at all in column 'time'"),
        ("time,a\n6e12,1\n7e12,2\n", "too large for seconds, and no time since 1970"),
        ("time,a\n99.99.2020,1\n98.98.2020,2\n", "in no known way: '99.99.2020'"),
    ],
)
def test_times_that_cannot_be_read_are_refused_by_their_value(table, content, reason):
    with pytest.raises(RecordingError, match=reason):
        opened(table, content)


def test_a_named_column_of_times_that_is_not_there_is_refused(table):
    with pytest.raises(RecordingError, match="has no column 'when' of times: it has 'a', 'b'"):
        opened(table, "a,b\n1,2\n3,4\n", time="when")


def test_clocks_know_pandas_own_times():
    column = pd.Series(pd.date_range("2020-03-09 10:14:33", periods=3, freq="s", tz="UTC"))
    clock = find_clock(column, UTC, "table")
    np.testing.assert_array_equal(np.diff(clock.read(column)), [10**9, 10**9])
    assert clock.wall
