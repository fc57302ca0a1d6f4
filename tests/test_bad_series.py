"""Tables that are broken, empty, or no series at all: each is named, and the rest is read."""

from __future__ import annotations

import gzip
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raravis.errors import DataError, NothingToRead, ParameterError, RecordingError
from raravis.sources.series import SeriesSource
from raravis.windows import Skipped

GOOD = "timestamp,a,b\n" + "".join(f"2026-05-01 00:{i:02d}:00,{i},{i * i}\n" for i in range(60))


@pytest.fixture
def folder(tmp_path):
    """A folder with one good recording, beside which the bad ones are laid."""
    (tmp_path / "good.csv").write_text(GOOD)
    return tmp_path


def only_skipped(folder) -> Skipped:
    """What was skipped, where only one was, and the good recording was not."""
    source = SeriesSource(folder)
    assert [r.name for r in source.recordings] == ["good.csv"]
    assert len(source.skipped) == 1
    return source.skipped[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"^is empty$"),
        (b"\n\n  \n", r"^is empty$"),
        (bytes(5000), r"^is no text: expected a table of numbers$"),
        (b"a,b\n", r"^has 0 rows of data: at least 2 are needed$"),
        (b"a,b\n1,2\n", r"^has 1 row of data: at least 2 are needed$"),
        (b"a,b\non,off\noff,on\n", r"^has no column of numbers: it has 'a', 'b'$"),
        (b"time\n2026-05-01\n2026-05-02\n", r"^has no column of numbers: it has 'time'$"),
        (b"a,b\n,\n,\n", r"^is empty$|^has no value in any of its channels$"),
        (b"time,a,b\n1,,\n2,,\n", r"^has no value in any of its channels$"),
        (b"time,a,b\n5,1,2\n5,3,4\n", r"^has the same time in all its rows$"),
        (b"time,a,b\nspring,1,2\nsummer,3,4\n", r"in no known way: 'spring'\. Write them like"),
        (b"a,b,label\n", r"^has 0 rows of data"),
        (b"label\n0\n1\n", r"^has no column of numbers: it has 'label'$"),
        (gzip.compress(GOOD.encode())[:100], r"^is packed by gzip and broken$"),
        (b"\x1f\x8b" + bytes(100), r"^is packed by gzip and broken$|cannot be read"),
        (b'a,b\n1,"2\n3,4\n' * 3, r"cannot be read as a table|no value|no column|rows"),
    ],
)
def test_what_is_no_series_is_skipped_and_says_why(folder, content, reason):
    (folder / "bad.csv").write_bytes(content)
    skipped = only_skipped(folder)
    assert skipped.path == str(folder / "bad.csv")
    with pytest.raises(NothingToRead, match=r"no series to read in .*bad\.csv: looked for"):
        SeriesSource(folder / "bad.csv")
    with pytest.raises(RecordingError, match=reason.replace("^", "").replace("$", "")):
        SeriesSource(folder, strict=True)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"train": np.ones((5, 2))}, None),
        ({"p": np.ones(5), "q": np.ones(5)}, "has arrays p, q: expected train and test, or values"),
        ({"train": np.ones((5, 2)), "test": np.ones((5, 3))}, "2 channels in train, but 3 in test"),
        ({"train": np.ones((5, 2)), "test": np.ones((5, 2)), "label": np.ones(4)},
         "5 rows of test, but 4 labels"),
        ({"values": np.ones((5, 2)), "label": np.ones(4)}, "has 5 rows, but 4 labels"),
        ({"values": np.ones((5, 2)), "time": np.ones(4)}, "has 5 rows, but 4 times"),
        ({"values": np.ones((5, 2)), "channels": ["a"]}, "2 columns of values, but 1 channels"),
        ({"values": np.ones((5, 2, 2))}, r"expected numbers \(rows, channels\), got float64"),
        ({"values": np.array(["a", "b"])}, r"expected numbers \(rows, channels\), got <U1"),
        ({"values": np.array([None, 1], dtype=object)}, "cannot be read as npz"),
        ({}, "has arrays none"),
    ],
)  # fmt: skip
def test_npz_that_does_not_fit_is_refused(tmp_path, arrays, reason):
    np.savez(tmp_path / "a.npz", **arrays)
    if reason is None:  # one array is its values, whatever it is called
        assert SeriesSource(tmp_path).rows == [5]
        return
    with pytest.raises(NothingToRead, match=reason):
        SeriesSource(tmp_path)


def test_npz_that_is_cut_off_is_refused(folder):
    np.savez(folder / "a.npz", values=np.ones((500, 2)))
    (folder / "a.npz").write_bytes((folder / "a.npz").read_bytes()[:1000])
    assert only_skipped(folder).reason.startswith("cannot be read as npz")


def test_a_named_column_of_times_must_be_there(folder):
    (folder / "bad.csv").write_text(GOOD.replace("timestamp", "when"))
    source = SeriesSource(folder, time="timestamp")
    assert source.skipped[0].reason == "has no column 'timestamp' of times: it has 'when', 'a', 'b'"


def test_a_file_that_may_not_be_read_is_skipped(folder):
    (folder / "bad.csv").symlink_to(folder / "nowhere.csv")
    assert only_skipped(folder).reason == "cannot be read (No such file or directory)"


def test_a_file_that_is_gone_when_it_is_read_is_named(folder):
    (folder / "other.csv").write_text(GOOD)
    source = SeriesSource(folder)
    (folder / "good.csv").unlink()
    number = [r.name for r in source.recordings].index("good.csv")
    source.read(1 - number, 0, 5)
    with pytest.raises(RecordingError, match=r"good\.csv: cannot be read \(No such file"):
        source.read(number, 0, 5)


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv does not exist"):
        SeriesSource(tmp_path / "nowhere.csv")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(NothingToRead, match=r"no series to read in .*: looked for \.csv, "):
        SeriesSource(tmp_path)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"timezone": "Atlantis"}, "timezone 'Atlantis' is unknown"),
        ({"separator": ""}, "separator must be one character, got ''"),
        ({"separator": ", "}, "separator must be one character, got ', '"),
        ({"decimal": "x"}, 'decimal must be "." or ",", got \'x\''),
        ({"decimal": ",", "separator": ","}, "separator and decimal are both ','"),
        ({"channels": []}, "channels must name at least one"),
        ({"channels": ["a", "a"]}, "channels must name each one once, got 'a', 'a'"),
    ],
)
def test_settings_that_cannot_be_are_refused(folder, options, reason):
    with pytest.raises(ParameterError, match=reason):
        SeriesSource(folder, **options)


@given(content=st.binary(max_size=300))
def test_no_bytes_whatever_break_the_source(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("noise")
    (folder / "good.csv").write_text(GOOD)
    (folder / "noise.csv").write_bytes(content)
    source = SeriesSource(folder)
    assert len(source.recordings) + len(source.skipped) >= 2


@given(
    content=st.text(alphabet=",;. \t\n\"'0123456789-:eaTZ\\#", max_size=200),
    suffix=st.sampled_from([".csv", ".txt", ".tsv"]),
)
def test_no_text_whatever_breaks_the_source(tmp_path_factory, content, suffix):
    path = tmp_path_factory.mktemp("noise") / f"noise{suffix}"
    path.write_text(content)
    try:
        source = SeriesSource(path)
    except NothingToRead:
        return
    series = source.read(0, 0, source.rows[0])
    assert len(series) == source.rows[0] >= 2
    assert not np.isinf(series.values).any()
    assert (np.diff(series.time_s) >= 0).all()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_file_is_skipped(folder):
    (folder / "bad.csv").write_text(GOOD)
    (folder / "bad.csv").chmod(0)
    assert only_skipped(folder).reason == "cannot be read (Permission denied)"
