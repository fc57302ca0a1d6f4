"""Runs held against known events, on a store filled by hand."""

import numpy as np
import pytest

from raravis.errors import DataError
from raravis.evaluation import (
    Known,
    evaluate,
    evaluate_frames,
    inside,
    judge_rows,
    labelled_events,
    rare_frames,
    read_events,
)
from raravis.series.rows import Series
from raravis.sources import RowSource
from raravis.store import Rows, Store
from raravis.windows import Recording, Windows

RECORDINGS = [
    Recording("day/a.wav", "/x/day/a.wav", 3600.0, 8000),
    Recording("b.flac", "/x/b.flac", 60.0, 8000),
]


@pytest.fixture
def events_csv(tmp_path):
    def write(text):
        path = tmp_path / "events.csv"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def store(tmp_path):
    """An hour of one-second windows; the score is high at 100, 200 and 300 s, and a bit at 50."""
    windows = Windows.of(0, range(3600), range(1, 3601))
    score = np.random.default_rng(0).random(3600)
    score[[100, 200, 300]], score[50] = (5, 6, 7), 4
    with Store.create(tmp_path / "run") as store:
        store.add_recording(RECORDINGS[0])
        rows = Rows(
            windows, {"good": (score, np.full(3600, 0.5)), "bad": (-score, np.full(3600, 0.5))}
        )
        store.append(RECORDINGS[0], 3600.0, {"windows": rows})
        yield store


def known(starts, rare=None):
    starts = np.array(starts, dtype=float)
    windows = Windows.of(0, starts + 0.1, starts + 0.9)
    return Known(windows, None if rare is None else np.array(rare, dtype=bool))


def test_a_perfect_scorer_finds_everything_and_its_opposite_nothing(store):
    good, bad, chance = evaluate(store, known([100, 200, 300]), [15])
    assert [row["scorer"] for row in (good, bad, chance)] == ["good", "bad", "random"]
    assert (good["auroc"], good["ap"], good["recall at 15/h"]) == (1, 1, 1)
    assert (bad["auroc"], bad["recall at 15/h"]) == (0, 0)
    assert good["told apart"] == "3 / 3597 windows"


def test_rare_events_are_told_from_common_ones_where_the_file_says_so(store):
    row = evaluate(store, known([100, 200, 300, 50, 1000], [1, 1, 1, 0, 0]), [15])[0]
    assert row["told apart"] == "3 rare / 2 common events"
    assert row["auroc"] == 1


def test_a_window_counts_as_rare_when_half_of_the_shorter_lies_in_it():
    windows = Windows.of(0, [0, 1, 2, 3], [1, 2, 3, 4])
    assert inside(windows, Windows.of(0, [1.4], [2.4])).tolist() == [False, True, False, False]
    assert inside(windows, Windows.of(0, [1.9], [2.1])).tolist() == [False, True, True, False]
    assert not inside(windows, Windows.of(1, [0], [4])).any()


@pytest.mark.parametrize("name", ["day/a.wav", "a.wav", "a"])
def test_a_recording_is_found_by_name_file_name_or_stem(events_csv, name):
    found = read_events(events_csv(f"recording,start_s,end_s\n{name},1,2\nb,3,4\n"), RECORDINGS)
    assert found.events.recording.tolist() == [0, 1]
    assert found.rare is None


def test_one_recording_needs_no_name(events_csv):
    found = read_events(events_csv("start_s,end_s,rare\n1,2,1\n3,4,0\n"), RECORDINGS[:1])
    assert found.rare.tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start,end\n1,2\n", "must have columns start_s and end_s .* got columns start, end"),
        ("start_s,end_s\n", "at least one event, .* 0 events"),
        ("start_s,end_s\n1,2\n", "no column `recording`, and the run has 2 recordings"),
        ("recording,start_s,end_s\nc.wav,1,2\n", "names the recording 'c.wav', which is not in"),
        (
            "recording,start_s,end_s\na,1,2\nb,4,3\n",
            "end_s must be above start_s, not so in line 3",
        ),
    ],
)
def test_a_table_of_events_that_does_not_fit_is_refused(events_csv, text, message):
    with pytest.raises(DataError, match=message):
        read_events(events_csv(text), RECORDINGS)


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot read the events in"):
        read_events(tmp_path / "none.csv", RECORDINGS)


# --- series, row by row --------------------------------------------------------------------------


def test_rows_are_judged_by_hand():
    # ten rows a minute apart; rows 4-6 are an event, and row 5 scores highest, row 1 next
    windows = Windows.of(0, 60.0 * np.arange(10), 60.0 * np.arange(1, 11))
    labels = np.isin(np.arange(10), [4, 5, 6])
    scores = np.array([0, 8, 0, 0, 0, 9, 0, 0, 0, 0.0])
    row = judge_rows("one", windows, scores, labels, [0.1])
    assert row["scorer"] == "one" and row["rows"] == "3 of 10"
    assert row["events at 0.1"] == 1 and row["delay_s at 0.1"] == 60
    assert row["auroc"] == pytest.approx((7 + 2 * 3) / 21)  # one above all, two tie with six


def test_rows_without_a_score_are_left_out_and_of_one_kind_alone_nothing_is_said():
    windows = Windows.of(0, np.arange(4.0), np.arange(1.0, 5.0))
    scores = np.array([np.nan, 1.0, 2.0, 3.0])
    labels = np.array([True, False, False, False])
    assert judge_rows("one", windows, scores, labels, [0.1]) == {"scorer": "one", "rows": "0 of 3"}


class Labelled(RowSource):
    """Two recordings of three rows; the first has a label, the second none."""

    def __init__(self, labels):
        self.recordings = [Recording(name, name, 30, 0.1) for name in ("a.csv", "b.csv")]
        self.rows, self.interval_s = [3, 3], 10.0
        self._labels = labels

    windows = property(lambda self: None)
    __getitem__ = blocks = part = None

    def read(self, recording, first_row, stop_row):
        return Series(np.zeros((3, 1)), np.arange(3) * 10.0, ("x",), self._labels[recording])


def test_labels_become_events_with_their_times():
    source = Labelled([np.array([False, True, True]), None])
    known = labelled_events(source, source.recordings[::-1])  # the run numbers them otherwise
    assert known.events.recording.tolist() == [1]
    assert (known.events.start_s[0], known.events.end_s[0]) == (10, 30)


def test_series_without_labels_say_what_to_give():
    source = Labelled([None, np.zeros(3, dtype=bool)])
    with pytest.raises(
        DataError, match=r"no recording says .* give the known events as EVENTS.csv"
    ):
        labelled_events(source, source.recordings)


# --- pictures ------------------------------------------------------------------------------------


@pytest.fixture
def album(tmp_path):
    """Two cameras with three pictures each; the scorer is sure of b/1.png alone."""
    with Store.create(tmp_path / "run") as store:
        for number, scores in enumerate(([0.1, 0.2, 0.3], [0.0, 9.0, 0.4])):
            recording = Recording("ab"[number], "ab"[number], 3.0, 1.0)
            store.add_recording(recording)
            windows = Windows.of(number, [0, 1, 2], [1, 2, 3])
            judged = {"patches": (np.array(scores), np.ones(3))}
            names = [f"{frame}.png" for frame in range(3)]
            store.append(recording, 3.0, {"windows": Rows(windows, judged, names=names)})
        yield store


def test_rare_pictures_are_named_with_their_camera_where_it_matters(album, tmp_path):
    table = tmp_path / "rare.csv"
    table.write_text("frame\n1.png\n")
    assert rare_frames(table, album).tolist() == [False, True, False] * 2
    table.write_text("recording,frame,rare\nb,1.png,1\na,0.png,0\n")
    rare = rare_frames(table, album)
    assert rare.tolist() == [False] * 4 + [True, False]
    sure, chance = evaluate_frames(album, rare)
    assert sure["auroc"] == sure["ap"] == 1.0 and sure["told apart"] == "1 rare / 5 other pictures"
    assert chance["scorer"] == "random"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start_s,end_s\n0,1\n", "must name the rare pictures in a column `frame`"),
        ("frame\n7.jpg\n", r"1 pictures that are not in the run, such as '7.jpg': the run calls"),
    ],
)
def test_pictures_that_are_not_there_are_refused(album, tmp_path, text, message):
    (tmp_path / "rare.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        rare_frames(tmp_path / "rare.csv", album)
