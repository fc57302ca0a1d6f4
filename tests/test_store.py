"""One run in one folder: what was acknowledged is there, whatever happens."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import pytest

from raravis import durable
from raravis.benchmarks import store as benchmark
from raravis.errors import ParameterError, RecordingError, RunError
from raravis.store import Rows, Store, write_atomically
from raravis.store.moving import rows_of
from raravis.store.shards import Shards, _products, to_half
from raravis.windows import Event, Recording, Skipped, Windows

DIM = 6
A = Recording("a.wav", "/in/a.wav", 60.0, 22050, 2, datetime(2026, 5, 1, 4, tzinfo=UTC))
B = Recording("sub/b.flac", "/in/sub/b.flac", 30.5, 48000)


def rows(first, n=10, recording=0):
    """n windows of 1 s from `first` s on; embedding and score tell which second it is."""
    start_s = first + np.arange(n, dtype=float)
    embedding = np.repeat(start_s[:, None], DIM, axis=1) + np.arange(DIM) / 8
    scores = {"knn": (np.sin(start_s), 1 / (2 + start_s)), "rarity": (-start_s, np.ones(n))}
    return Rows(Windows.of(recording, start_s, start_s + 1), scores, embedding)


@pytest.fixture
def run(tmp_path):
    """A folder with sixty windows of one recording, half of another, and segments without any
    embedding."""
    folder = tmp_path / "run"
    with Store.create(folder) as store:
        store.add_recording(A)
        store.add_recording(B)
        for first in range(0, 60, 10):
            segment = Rows(Windows.of(0, [first + 0.25], [first + 3.5]), {"rarity": ([1.0], [0.5])})
            store.append(A, first + 10, {"windows": rows(first), "segments": segment})
        store.append(B, 10, {"windows": rows(100, recording=1)})
    return folder


def shard_files(folder):
    return sorted(path.name for path in (folder / "embeddings").iterdir())


# What is written is read


def test_recordings_come_back_as_they_were(run):
    with Store.open(run) as store:
        assert store.recordings() == [(A, 60.0), (B, 10.0)]
        assert store.scored_until(B) == 10


def test_windows_scores_and_embeddings_lie_row_by_row(run):
    with Store.open(run) as store:
        assert store.layers() == ["windows", "segments"]
        assert store.scorers("windows") == ["knn", "rarity"]
        windows, (score, p_value) = store.windows("windows"), store.scores("windows", "knn")
        embedding = store.embeddings("windows")
    seconds = np.concatenate([np.arange(60.0), np.arange(100.0, 110)])
    np.testing.assert_array_equal(windows.start_s, seconds)
    np.testing.assert_array_equal(windows.end_s, seconds + 1)
    np.testing.assert_array_equal(windows.recording, [0] * 60 + [1] * 10)
    np.testing.assert_array_equal(score, np.sin(seconds))
    np.testing.assert_array_equal(p_value, 1 / (2 + seconds))
    assert embedding.dtype == np.float16
    np.testing.assert_array_equal(embedding[:, 0], seconds)


def test_embeddings_are_the_same_before_they_reach_a_shard(tmp_path, monkeypatch):
    monkeypatch.setattr("raravis.store.SHARD_BYTES", 25 * DIM * 2)  # every third append
    with Store.create(tmp_path / "run") as store:
        store.add_recording(A)
        for first in range(0, 50, 10):
            store.append(A, first + 10, {"windows": rows(first)})
            np.testing.assert_array_equal(
                store.embeddings("windows")[:, 0], np.arange(first + 10.0)
            )
        assert shard_files(store.folder) == ["windows-0000000000.npy"]
    assert shard_files(store.folder) == ["windows-0000000000.npy", "windows-0000000030.npy"]
    with Store.open(store.folder) as store:
        np.testing.assert_array_equal(store.embeddings("windows")[:, 0], np.arange(50.0))


def test_the_table_has_one_row_a_window(run):
    with Store.open(run) as store:
        table = store.table("windows", "knn")
        one = store.table("windows", "knn", recording=1)
    assert list(table) == ["recording", "start_s", "end_s", "score", "p_value"]
    assert len(table) == 70
    assert list(one.index) == list(range(60, 70))
    assert set(one["recording"]) == {"sub/b.flac"}
    np.testing.assert_array_equal(one["start_s"], np.arange(100.0, 110))


def test_the_top_is_the_head_of_the_sorted_table(run):
    with Store.open(run) as store:
        table = store.table("windows", "knn").sort_values("score", ascending=False)
        assert store.top("windows", "knn", 12).equals(table.head(12))
        assert len(store.top("windows", "knn", 1000)) == 70


def test_nan_scores_stay_nan_and_never_reach_the_top(tmp_path):
    with Store.create(tmp_path / "run") as store:
        store.add_recording(A)
        scores = np.array([1.0, np.nan, np.inf])
        some = Rows(Windows.of(0, [0, 1, 2], [1, 2, 3]), {"knn": (scores, scores)})
        store.append(A, 3, {"windows": some})
        np.testing.assert_array_equal(store.scores("windows", "knn")[0], scores)
        assert list(store.top("windows", "knn", 3)["score"]) == [np.inf, 1]


def test_a_scorer_that_saw_a_part_only_has_nan_elsewhere(tmp_path):
    with Store.create(tmp_path / "run") as store:
        store.add_recording(A)
        store.append(A, 1, {"windows": Rows(Windows.of(0, [0], [1]))})
        late = Rows(Windows.of(0, [1], [2]), {"knn": ([7.0], [0.5])})
        store.append(A, 2, {"windows": late})
        np.testing.assert_array_equal(store.scores("windows", "knn")[0], [np.nan, 7])
        np.testing.assert_array_equal(store.table("windows", "knn")["score"], [np.nan, 7])


def test_scores_can_be_replaced_and_added_for_all_windows(run):
    with Store.open(run) as store:
        store.replace_scores("windows", "knn", np.arange(70.0), np.ones(70))
        store.replace_scores("windows", "fresh", -np.arange(70.0), np.ones(70))
    with Store.open(run) as store:
        assert store.top("windows", "knn", 1).index[0] == 69
        assert store.top("windows", "fresh", 1).index[0] == 0
        with pytest.raises(ParameterError, match="has 70 windows, got 3 scores and 3 p-values"):
            store.replace_scores("windows", "knn", np.zeros(3), np.zeros(3))


def test_events_and_skipped_come_back_in_order(run):
    events = [
        Event("a.wav", 1.0, 3.5, 2.25, 9.0, 1e-5, A.time_at(1.0)),
        Event("sub/b.flac", 7.0, 8.0, 7.5, 3.0, 0.01, None),
    ]
    with Store.open(run) as store:
        store.replace_events(events[::-1])
        store.replace_events(events)
        store.skip(Skipped("bad.wav", "it is empty"))
        store.skip(Skipped("bad.wav", "it is empty"))
    with Store.open(run) as store:
        assert store.events() == events
        assert store.events()[0].start_time == A.time_at(1.0)
        assert store.skipped() == [Skipped("bad.wav", "it is empty")]
        store.replace_events([])
        assert store.events() == []


def test_a_cleared_store_is_as_new(run):
    with Store.open(run) as store:
        store.embeddings("windows")
        store.clear()
        assert store.recordings() == store.events() == store.layers() == []
        assert shard_files(run) == []
        store.add_recording(B)
        store.append(B, 5, {"windows": rows(5, n=2)})
        np.testing.assert_array_equal(store.embeddings("windows")[:, 0], [5, 6])


# Going on


def test_a_recording_keeps_its_number_and_may_move(run):
    moved = Recording(B.name, "/elsewhere/b.flac", B.duration_s, B.rate_hz)
    with Store.open(run) as store:
        assert store.add_recording(moved) == 1
        assert store.recordings()[1] == (moved, 10.0)
        assert store.add_recording(Recording("c.wav", "/in/c.wav", 1.0, 8000)) == 2


def test_a_recording_that_changed_is_refused(run):
    longer = Recording(A.name, A.path, 90.0, A.rate_hz)
    with Store.open(run) as store, pytest.raises(RecordingError, match="was 60 s at 22050 Hz"):
        store.add_recording(longer)


def test_what_is_scored_already_is_refused(run):
    with Store.open(run) as store:
        with pytest.raises(RunError, match=r"b.flac is scored until 10 s already"):
            store.append(B, 10, {"windows": rows(100)})
        with pytest.raises(
            RunError, match="and was to be until 5 s: is another process scoring it"
        ):
            store.append(B, 5, {})
        assert len(store.windows("windows")) == 70
        store.append(B, 10, {})  # nothing to add: nothing to refuse
        with pytest.raises(ParameterError, match="'x' is not in the store: add_recording comes"):
            store.scored_until(Recording("x", "x", 1, 1))


def test_an_append_that_fails_leaves_nothing(run):
    with Store.open(run) as store:
        odd = Rows(Windows.of(0, [1], [2]), {}, np.zeros((1, DIM + 1)))
        with pytest.raises(
            ParameterError, match="layer 'windows' keeps D = 6, got embeddings of 7"
        ):
            store.append(B, 20, {"segments": Rows(Windows.of(0, [11], [12])), "windows": odd})
        assert store.scored_until(B) == 10
        assert len(store.windows("segments")) == 6


def test_rows_of_different_length_are_refused():
    with pytest.raises(ParameterError, match=r"must have 2 rows, .* got 3"):
        Rows(Windows.of(0, [0, 1], [1, 2]), {"knn": (np.zeros(2), np.zeros(3))})
    with pytest.raises(ParameterError, match=r"must have 2 rows, .* got 1"):
        Rows(Windows.of(0, [0, 1], [1, 2]), {}, np.zeros((1, 4)))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e5])
def test_embeddings_that_do_not_fit_float16_are_refused(run, value):
    with Store.open(run) as store, pytest.raises(ParameterError, match=r"within .-65504"):
        odd = Rows(Windows.of(0, [1], [2]), {}, np.full((1, DIM), value))
        store.append(B, 20, {"windows": odd})


def test_names_that_do_not_suit_a_file_are_refused(run):
    with Store.open(run) as store, pytest.raises(ParameterError, match=r"got '\.\./x'"):
        store.append(B, 20, {"../x": rows(0)})


def test_unknown_layers_and_scorers_are_answered_with_the_known(run):
    with Store.open(run) as store:
        with pytest.raises(RunError, match="has no layer 'tiles': it has windows, segments"):
            store.windows("tiles")
        with pytest.raises(RunError, match="no scores of 'loud': it has knn, rarity"):
            store.scores("windows", "loud")
        with pytest.raises(RunError, match=r"layer 'segments' of .* has no embeddings"):
            store.embeddings("segments")


# Neighbours


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbours_equal_a_plain_search(metric):
    random = np.random.default_rng(0)
    z = (random.standard_normal((5000, 12)) * 10.0 ** random.integers(-6, 4, (5000, 1))).astype(
        "f2"
    )
    shards = Shards([z[:1000], z[1000:1001], z[1001:]], 12)
    wide = z.astype(np.float64)
    for row in (0, 1000, 4999):
        gaps = np.linalg.norm(wide - wide[row], axis=1)
        if metric == "cosine":
            length = np.linalg.norm(wide, axis=1)
            gaps = 1 - wide @ wide[row] / np.where(
                length * length[row] > 0, length * length[row], 1
            )
        gaps[row] = np.inf
        found, distance = shards.nearest(row, 7, metric)
        np.testing.assert_allclose(distance, np.sort(gaps)[:7], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(gaps[found], distance, rtol=1e-6, atol=1e-9)


def test_neighbours_by_hand(run):
    with Store.open(run) as store:
        found, distance = store.neighbours("windows", 30, 2)
        np.testing.assert_array_equal(found, [29, 31])
        np.testing.assert_allclose(distance, np.sqrt(DIM))
        vector = store.embeddings("windows")[30].astype(np.float32)
        assert store.neighbours("windows", vector, 1)[0] == [30]
        assert len(store.neighbours("windows", 0, 1000)[0]) == 69


def test_neighbours_refuse_and_say_why(run):
    with Store.open(run) as store:
        with pytest.raises(ParameterError, match="there is no row 70: rows are 0 to 69"):
            store.neighbours("windows", 70)
        with pytest.raises(ParameterError, match=r"query must be 6 finite numbers .* \(2,\)"):
            store.neighbours("windows", np.zeros(2))
        with pytest.raises(ParameterError, match="choose one of euclidean, cosine"):
            store.neighbours("windows", 0, metric="manhattan")


def test_half_floats_of_every_kind_multiply_as_they_should():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)][:, None]
    vector = np.array([3.0], dtype=np.float32)
    np.testing.assert_array_equal(_products(every, vector), 3 * every[:, 0].astype(np.float32))
    np.testing.assert_array_equal(to_half(every.astype(np.float32)), every)


# Bad folders


def test_a_folder_that_is_missing_empty_or_taken_is_refused(tmp_path, run):
    with pytest.raises(RunError, match=r"there is no run folder .*nowhere"):
        Store.open(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"is not a run folder: it holds no store.sqlite"):
        Store.open(tmp_path)
    with pytest.raises(RunError, match="already holds a run: open it, or name another"):
        Store.create(run)
    with pytest.raises(RunError, match=r"file cannot be used: .*Not a directory"):
        (tmp_path / "file").write_text("")
        Store.create(tmp_path / "file")


def test_a_broken_or_foreign_database_is_refused(tmp_path, run):
    (tmp_path / "store.sqlite").write_bytes(b"Not a database, whatever its name. " * 99)
    with pytest.raises(RunError, match=r"store.sqlite is broken \(file is not a database\)"):
        Store.open(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    database = sqlite3.connect(other / "store.sqlite")
    database.execute("CREATE TABLE cookies (name)")
    database.close()
    with pytest.raises(RunError, match="is not one of raravis"):
        Store.open(other)
    content = bytearray((run / "store.sqlite").read_bytes())
    content[4096:] = b"\x55" * (len(content) - 4096)
    (run / "store.sqlite").write_bytes(content)
    with pytest.raises(RunError, match=r"store.sqlite is broken"), Store.open(run) as store:
        store.windows("windows")


def test_a_store_of_a_newer_raravis_is_refused(run):
    database = sqlite3.connect(run / "store.sqlite")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(RunError, match=r"newer raravis .store version 99, .*: update raravis"):
        Store.open(run)


def test_a_shard_that_is_missing_or_broken_is_said_to_be(run):
    shard = run / "embeddings" / "windows-0000000000.npy"
    np.save(shard, np.zeros((70, DIM + 1), np.float16))
    with Store.open(run) as store:
        with pytest.raises(RunError, match=r"hold float16 \(N, 6\), and holds float16 \(70, 7\)"):
            store.embeddings("windows")
        shard.write_bytes(b"noise")
        with pytest.raises(RunError, match=r"0.npy is broken: score again"):
            store.embeddings("windows")
        shard.unlink()
        with pytest.raises(RunError, match="No such file"):
            store.embeddings("windows")


# Kills


APPENDER = """
import sys
import numpy as np
from raravis import store as module
from raravis.store import Rows, Store
from raravis.windows import Recording, Windows
module.SHARD_BYTES = 4000  # a shard every few appends, so that kills meet all kinds of moments
with Store.open_or_create(sys.argv[1]) as store:
    recording = Recording("long.wav", "long.wav", 1e9, 8000)
    store.add_recording(recording)
    second = int(store.scored_until(recording))
    while True:
        start = second + np.arange(20.0)
        z = np.repeat((start % 2000)[:, None], 6, axis=1)
        rows = Rows(Windows.of(0, start, start + 1), {"knn": (start, np.ones(20))}, z)
        store.append(recording, second + 20, {"windows": rows})
        second += 20
        print(second, flush=True)
"""


def killed_appender(folder, seconds):
    """Runs an appender until it is killed; returns up to where it was acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", APPENDER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    killer = threading.Timer(seconds, process.send_signal, [signal.SIGKILL])
    killer.start()
    acknowledged = [int(line) for line in process.stdout if line.endswith("\n")]
    process.stdout.close()
    killer.cancel()
    assert process.wait() == -signal.SIGKILL
    return max(acknowledged, default=0)


def check_whole(folder, acknowledged):
    """Every acknowledged window is there, with its score and its embedding; nothing is orphaned."""
    with Store.open(folder) as store:
        ((recording, scored_s),) = store.recordings()
        seconds = np.arange(scored_s)
        assert scored_s >= acknowledged
        np.testing.assert_array_equal(store.windows("windows").start_s, seconds)
        np.testing.assert_array_equal(store.scores("windows", "knn")[0], seconds)
        np.testing.assert_array_equal(store.embeddings("windows")[:, 5], seconds % 2000)
        named = {file for (file,) in store._db.all("SELECT file FROM shards")}
        assert set(shard_files(folder)) == named
    return recording


@pytest.mark.slow
def test_kill_9_at_any_moment_loses_nothing_acknowledged(tmp_path):
    folder, acknowledged = tmp_path / "run", 0
    for seconds in np.random.default_rng(0).uniform(0.3, 1.2, size=8):
        acknowledged = max(acknowledged, killed_appender(folder, seconds))
        if (folder / "store.sqlite").exists():
            with Store.open_or_create(folder) as store:
                empty = not store.layers()
            if not empty:
                check_whole(folder, acknowledged)
    assert acknowledged > 100


@pytest.mark.parametrize("moment", ["before it has its name", "before a row names it"])
def test_a_kill_while_a_shard_is_written_leaves_no_orphan(tmp_path, monkeypatch, moment):
    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    folder = tmp_path / "run"
    store = Store.create(folder)
    store.add_recording(A)
    store.append(A, 10, {"windows": rows(0)})
    with monkeypatch.context() as patch:
        patch.setattr(durable.Path, "unlink", lambda *_, **__: None)  # none cleans up after a kill
        if moment == "before a row names it":
            patch.setattr(durable, "_sync_folder", killed)
        else:
            patch.setattr(durable.Path, "replace", killed)
        with pytest.raises(Killed):
            store.close()
    assert len(shard_files(folder)) == 1
    with Store.open(folder) as store:
        assert shard_files(folder) == []
        np.testing.assert_array_equal(store.embeddings("windows")[:, 0], np.arange(10.0))


def test_a_store_that_was_killed_before_it_had_tables_is_made_now(tmp_path):
    (tmp_path / "store.sqlite").touch()
    with Store.open_or_create(tmp_path) as store:
        assert store.recordings() == []


def test_pending_embeddings_of_a_killed_run_reach_a_shard_when_it_goes_on(tmp_path):
    folder = tmp_path / "run"
    store = Store.create(folder)
    store.add_recording(A)
    store.append(A, 10, {"windows": rows(0)})
    store._db.close()  # no flush: as if killed
    with Store.open(folder) as store:
        store.append(A, 20, {"windows": rows(10)})
    assert shard_files(folder) == ["windows-0000000000.npy"]
    with Store.open(folder) as store:
        np.testing.assert_array_equal(store.embeddings("windows")[:, 0], np.arange(20.0))


# Full disks


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_and_what_was_there_stays(run, monkeypatch):
    store = Store.open(run)
    store.append(B, 20, {"windows": rows(110)})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match=r"disk full.* while writing to .*give the same command"):
            store.close()
    assert shard_files(run) == ["windows-0000000000.npy"]
    with Store.open(run) as store:
        assert store.scored_until(B) == 20
        assert store.embeddings("windows").shape == (80, DIM)


FILLER = """
import resource, sys
import numpy as np
from raravis.errors import RunError
from raravis.store import Rows, Store
from raravis.windows import Recording, Windows
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
recording = Recording("long.wav", "long.wav", 1e9, 8000)
store = Store.create(sys.argv[1])
store.add_recording(recording)
second = 0
try:
    while second < 1e6:
        start = second + np.arange(20.0)
        z = np.repeat((start % 2000)[:, None], 6, axis=1)
        rows = Rows(Windows.of(0, start, start + 1), {"knn": (start, np.ones(20))}, z)
        store.append(recording, second + 20, {"windows": rows})
        second += 20
except RunError as error:
    print(second, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_when_no_file_may_grow_the_database_stays_whole(tmp_path):
    command = [sys.executable, "-c", FILLER, str(tmp_path / "run")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    acknowledged, _, message = told.partition(" ")
    assert message.startswith("disk full, or it fails, while writing to")
    assert int(acknowledged) > 0
    check_whole(tmp_path / "run", int(acknowledged))


def test_write_atomically_leaves_the_old_or_the_new(tmp_path, monkeypatch):
    path = tmp_path / "events.csv"
    write_atomically(path, "rank\n1\n")
    write_atomically(path, b"rank\n2\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match="disk full"):
            write_atomically(path, "rank\n3\n")
    assert path.read_text() == "rank\n2\n"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(RunError, match=r"cannot be used: .*No such file"):
        write_atomically(tmp_path / "none" / "x", "")


# Company


def test_two_readers_see_whole_commits_while_one_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("raravis.store.SHARD_BYTES", 1000)
    folder, stop = tmp_path / "run", threading.Event()
    Store.create(folder).close()

    def read():
        lengths = []
        while not stop.is_set():
            with Store.open(folder) as store:
                if store.layers():
                    embedding, windows = store.embeddings("windows"), store.windows("windows")
                    np.testing.assert_array_equal(embedding[:, 0], np.arange(len(embedding)))
                    assert len(windows) >= len(embedding)
                    lengths.append(len(embedding))
        return lengths

    recording = Recording("a", "a", 1e6, 1)
    with ThreadPoolExecutor(2) as pool, Store.open(folder) as store:
        readers = [pool.submit(read) for _ in range(2)]
        store.add_recording(recording)
        for first in range(0, 600, 10):
            store.append(recording, first + 10, {"windows": rows(first)})
        stop.set()
        for lengths in (reader.result() for reader in readers):
            assert lengths == sorted(lengths)
            assert all(length % 10 == 0 for length in lengths)
    with Store.open(folder) as store:
        np.testing.assert_array_equal(store.embeddings("windows")[:, 0], np.arange(600.0))


def test_opening_sweeps_nothing_while_another_writes(run):
    orphan = run / "embeddings" / "windows-9999999999.npy"
    with Store.open(run) as writer:
        orphan.touch()
        with writer._db.commit():
            Store.open(run).close()
            assert orphan.exists()
    Store.open(run).close()
    assert not orphan.exists()


def test_the_benchmark_returns_its_rows():
    result = benchmark.run(windows=2000, dim=4, questions=2)
    assert [row["what"] for row in result][:2] == [
        "write 2000 windows x 4",
        "on disk: store.sqlite",
    ]
    assert all("cpu_ms" in row for row in result[3:])


# --- names ----------------------------------------------------------------------------------------


def test_windows_may_have_names_that_come_back_in_order(tmp_path):
    recording = Recording("camera", "camera", 6.0, 1.0)
    windows = Windows.of(0, [0, 1], [1, 2])
    with Store.create(tmp_path) as store:
        store.add_recording(recording)
        store.append(recording, 2.0, {"windows": Rows(windows, names=["a.jpg", "b.jpg"])})
        store.append(recording, 4.0, {"windows": Rows(Windows.of(0, [3], [4]), names=["d.jpg"])})
        assert store.names("windows") == ["a.jpg", "b.jpg", "d.jpg"]
        assert rows_of(store, 0)["windows"].names == ["a.jpg", "b.jpg", "d.jpg"]
        event = Event("camera", 0.0, 1.0, 0.5, 2.0, 0.1, frame="a.jpg")
        store.replace_events([event])
        assert store.events() == [event]


def test_as_many_names_as_windows_are_wanted():
    with pytest.raises(ParameterError, match="every column must have 2 rows"):
        Rows(Windows.of(0, [0, 1], [1, 2]), names=["alone.jpg"])


def test_a_store_of_the_first_version_is_read_and_gets_names(tmp_path):
    recording = Recording("sound.wav", "sound.wav", 2.0, 48_000.0)
    with Store.create(tmp_path) as store:
        store.add_recording(recording)
        store.append(recording, 2.0, {"windows": Rows(Windows.of(0, [0], [1]))})
        store.replace_events([Event("sound.wav", 0.0, 1.0, 0.5, 2.0, 0.1)])
    with sqlite3.connect(tmp_path / "store.sqlite") as database:
        database.execute("DROP TABLE names")
        database.execute("ALTER TABLE events DROP COLUMN frame")
        database.execute("PRAGMA user_version = 1")
    database.close()
    with Store.open(tmp_path) as store:
        assert store.names("windows") is None
        assert [event.frame for event in store.events()] == [""]
