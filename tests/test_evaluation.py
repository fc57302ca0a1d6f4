"""Runs held against known events, on a store filled by hand."""

import numpy as np
import pytest

from raravis.errors import DataError
from raravis.evaluation import Known, evaluate, inside, read_events
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
