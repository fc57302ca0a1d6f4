"""Lines of text as they come: headers, times, missing cells, broken lines."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pytest

from raravis.errors import DataError
from raravis.watching import Watch


@dataclass
class Verdict:
    score: np.ndarray
    p_value: np.ndarray
    alarm: np.ndarray
    contributions: np.ndarray


class Recorder:
    """Takes down what it is asked to judge; a row's score is its largest value."""

    def __init__(self):
        self.channels, self.rows, self.times = None, [], []

    def begin(self, channels):
        self.channels = channels
        return self.judge

    def judge(self, rows, times):
        self.rows.append(rows[0].tolist())
        self.times.append(None if times is None else times[0])
        score = np.max(rows, axis=1)
        return Verdict(score, 1 / (1 + score), score > 5, np.abs(rows))


@pytest.fixture
def recorder():
    return Recorder()


def watched(recorder, text, channels=None):
    watch = Watch(recorder.begin, channels)
    return list(watch.lines(text.splitlines(keepends=True))), watch.skipped


def test_a_header_names_the_channels_and_a_time_is_none(recorder):
    judged, _ = watched(recorder, "timestamp,flow,heat\n2026-05-01 04:30:00,1,9\n")
    assert recorder.channels == ("flow", "heat") and recorder.rows == [[1, 9]]
    assert recorder.times == [datetime(2026, 5, 1, 4, 30)]
    row = judged[0]
    assert (row.row, row.time, row.score, row.alarm) == (0, "2026-05-01 04:30:00", 9, True)
    assert row.channel == "heat"


def test_without_a_header_a_first_cell_that_is_no_number_is_a_time(recorder):
    watched(recorder, "2026-05-01T04:30:00,1,2\n2026-05-01T04:31:00,3,4\n")
    assert recorder.channels == ("channel 1", "channel 2")
    assert recorder.rows == [[1, 2], [3, 4]]


def test_numbers_alone_are_channels(recorder):
    judged, _ = watched(recorder, "1,2\n3,4\n")
    assert recorder.rows == [[1, 2], [3, 4]] and recorder.times == [None, None]
    assert judged[1].time == ""


def test_where_the_channels_are_known_one_number_more_is_the_time(recorder):
    watched(recorder, "60,1,2\n120,3,4\n", channels=("flow", "heat"))
    assert recorder.rows == [[1, 2], [3, 4]] and recorder.times == [60, 120]


def test_columns_are_found_by_name_in_any_order_and_others_are_left_out(recorder):
    watched(recorder, "time,heat,note,flow\n5,1,7,2\n", channels=("flow", "heat"))
    assert recorder.rows == [[2, 1]]


def test_missing_cells_are_missing(recorder):
    watched(recorder, "a,b\n,4\nNaN,inf\n")
    np.testing.assert_array_equal(recorder.rows, [[np.nan, 4], [np.nan, np.nan]])


def test_a_broken_line_is_listed_and_the_rest_goes_on(recorder):
    judged, skipped = watched(recorder, "time,a\n1,2\n2,hot\n3\nnoon,4\n5,6\n")
    assert [row.score for row in judged] == [2, 6] and judged[1].row == 1
    assert [s.path for s in skipped] == ["line 3", "line 4", "line 5"]
    assert "could not convert string to float" in skipped[0].reason
    assert skipped[1].reason == "expected 2 cells, got 1"
    assert "expected a time in seconds or such as 2026-05-01 04:30:00, got 'noon'" in (
        skipped[2].reason
    )


def test_lines_are_judged_before_the_next_one_comes(recorder):
    def source():
        yield "a\n"
        yield "1\n"
        assert recorder.rows == [[1]], "the first row was not judged at once"
        yield "2\n"

    assert len(list(Watch(recorder.begin).lines(source()))) == 2


def test_lines_that_do_not_fit_the_channels_are_refused(recorder):
    with pytest.raises(DataError, match=r"a value for each of flow, heat, .* got 'time,flow'"):
        watched(recorder, "time,flow\n1,2\n", channels=("flow", "heat"))
    with pytest.raises(DataError, match="expected lines with a value for each of"):
        watched(recorder, "1,2,3,4\n", channels=("flow", "heat"))


def test_nothing_to_read_gives_nothing(recorder):
    assert watched(recorder, "") == ([], [])
