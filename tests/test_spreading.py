"""Scoring spread over several workers: the rows of one process, whatever becomes of a worker."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from raravis.detector import Detector
from raravis.errors import ParameterError, RunError
from raravis.sound.synthesis import RATE_HZ, dawn_chorus
from raravis.sources import Source
from raravis.spreading import crew
from raravis.spreading.ordering import AHEAD, MOST_DEATHS, Ordering, plan
from raravis.spreading.pieces import Judge, News, Piece, Workers
from raravis.store import Store

BREAKS = "c_20260501_060000.wav"
BREAKS_AT = 44 + 2 * 8000 * 40  # bytes: after 40 s


def assert_same_run(run: Path, other: Path) -> None:
    """The same rows, embeddings, events, skipped recordings and files of text."""
    with Store.open(run) as ours, Store.open(other) as theirs:
        assert ours.recordings() == theirs.recordings()
        assert ours.skipped() == theirs.skipped()
        assert ours.events() == theirs.events()
        assert ours.layers() == theirs.layers()
        for layer in ours.layers():
            for column in ("recording", "start_s", "end_s"):
                mine, yours = (getattr(s.windows(layer), column) for s in (ours, theirs))
                np.testing.assert_array_equal(mine, yours)
            mine, yours = (embeddings(store, layer) for store in (ours, theirs))
            np.testing.assert_array_equal(mine, yours)
            assert ours.scorers(layer) == theirs.scorers(layer)
            for scorer in ours.scorers(layer):
                for mine, yours in zip(
                    ours.scores(layer, scorer), theirs.scores(layer, scorer), strict=True
                ):
                    np.testing.assert_array_equal(mine, yours)
    for name in ("run.toml", "events.csv"):
        assert (run / name).read_text() == (other / name).read_text()


def embeddings(store: Store, layer: str):
    """Those of a layer; None where it has none."""
    try:
        return store.embeddings(layer)
    except RunError:
        return None


class Threadless(Workers):
    """Workers without a process: they answer when they are asked for news, and die on demand.

    dies  told worker and piece before it is judged; true kills the worker.
    """

    def __init__(self, detector: Detector, most: int, dies: Callable[[int, Piece], bool]) -> None:
        self.most, self.dies = most, dies
        self.judge = Judge(detector)
        self.hands: dict[int, list[tuple[Source, Piece]]] = {}
        self.fresh: list[int] = []
        self.hired = self.most_given = 0

    def hire(self) -> int:
        self.hired += 1
        self.hands[self.hired] = []
        self.fresh.append(self.hired)
        assert len(self.hands) <= self.most
        return self.hired

    def give(self, worker: int, source: Source, piece: Piece) -> None:
        self.hands[worker].append((source, piece))

    def news(self, wait: bool) -> list[News]:
        told = [News(worker) for worker in self.fresh]
        self.fresh.clear()
        for worker in sorted(self.hands, reverse=True):  # the latest pieces are answered first
            if self.hands[worker]:
                source, piece = self.hands[worker].pop(0)
                if self.dies(worker, piece):
                    del self.hands[worker]
                    told.append(News(worker, died="killed"))
                else:
                    answer = self.judge.judge(source, piece.from_s, piece.to_s)
                    told.append(News(worker, piece, answer))
        assert told or not wait, "would wait for ever"
        return told

    def close(self) -> None:
        self.hands.clear()


def threadless(most: int = 3, dies: Callable[[int, Piece], bool] = lambda worker, piece: False):
    """A crew of such workers."""
    from contextlib import contextmanager

    @contextmanager
    def at_work(detector, source, starts):
        with Threadless(detector, most, dies) as workers:
            yield Ordering(workers, source, plan(detector, source, starts)).judged

    return at_work


@pytest.fixture(scope="module", autouse=True)
def pieces_of_one_block():
    """Of half a minute, so that recordings of a minute are long ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("raravis.senses.sound.PIECE", 1)
        for module in ("raravis.senses.sound", "raravis.listening"):
            patch.setattr(f"{module}.BLOCK_S", 30.0)
        yield


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """Two short recordings, a long one of 68 s, one that breaks after 40 s, one with NaNs."""
    folder = tmp_path_factory.mktemp("recordings")
    rate = 8000
    song = dawn_chorus(2, seed=5)[0][:: RATE_HZ // rate]
    samples = song[: 4 * rate]
    for name in ("a_20260501_040000.wav", "e_20260501_080000.wav"):
        soundfile.write(folder / name, samples, rate)
    soundfile.write(folder / "b_20260501_050000.wav", song[: 68 * rate], rate)
    soundfile.write(folder / BREAKS, song[: 68 * rate], rate)
    holes = samples.copy()
    holes[1000:1010] = np.nan
    soundfile.write(folder / "d_20260501_070000.wav", holes, rate, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def taught(recordings, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("taught") / "run"
    settings = {"explainer": "none", "features": {"mels": 32}, "source": {"hop_s": 1.0}}
    Detector(**settings).fit(recordings / "b_20260501_050000.wav").save(run)
    return run


@pytest.fixture(scope="module")
def alone(recordings, taught, tmp_path_factory) -> Path:
    """What one process makes of them."""
    return scored(taught, recordings, tmp_path_factory.mktemp("alone") / "run")


def opened(detector: Detector, recordings: Path) -> Source:
    """The recordings, of which one loses its end once it was looked into."""
    source = detector.open(recordings)
    if (recordings / BREAKS).exists():
        whole = (recordings / BREAKS).rename(recordings.parent / "whole")
        (recordings / BREAKS).write_bytes(whole.read_bytes()[:BREAKS_AT])
    return source


def mended(recordings: Path) -> None:
    """The recording has its end again."""
    if (recordings.parent / "whole").exists():
        (recordings.parent / "whole").replace(recordings / BREAKS)


def scored(taught: Path, recordings: Path, run: Path, staff=None) -> Path:
    detector = Detector.load(taught)
    source = opened(detector, recordings)
    try:
        detector.score(source, run=run, crew=staff)
    finally:
        mended(recordings)
    return run


def test_the_recordings_break_as_they_should(alone):
    with Store.open(alone) as store:
        reached = {recording.name: (s, recording.duration_s) for recording, s in store.recordings()}
        assert {Path(skipped.path).name[0] for skipped in store.skipped()} == {"c", "d"}
    assert 0 < reached["c_20260501_060000.wav"][0] < reached["c_20260501_060000.wav"][1]
    assert reached["b_20260501_050000.wav"] == (68, 68)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_rows_events_and_skipped_are_those_of_one_process(
    most, recordings, taught, alone, tmp_path
):
    assert_same_run(scored(taught, recordings, tmp_path, threadless(most)), alone)


def test_a_long_recording_is_judged_in_pieces(recordings, taught):
    detector = Detector.load(taught)
    source = detector.open(recordings)
    pieces = list(plan(detector, source, [0, 15, 0, 4, 0]))
    assert [(p.from_s, p.to_s) for p in pieces if p.recording == 1] == [
        (15, 30),
        (30, 60),
        (60, 68),
    ]
    assert 3 not in {piece.recording for piece in pieces}  # scored to its end


def test_what_a_dead_worker_had_in_hand_is_judged_again(recordings, taught, alone, tmp_path):
    died = []

    def once(worker, piece):
        if piece in died or len(died) >= 4:
            return False
        died.append(piece)
        return True

    assert_same_run(scored(taught, recordings, tmp_path, threadless(2, once)), alone)
    assert len(died) == 4


def test_a_recording_that_kills_every_worker_is_skipped_and_the_others_are_not(
    recordings, taught, tmp_path
):
    run = scored(taught, recordings, tmp_path, threadless(2, lambda _, piece: piece.recording == 0))
    with Store.open(run) as store:
        [why] = [s for s in store.skipped() if Path(s.path).name.startswith("a_")]
        assert "3 workers died while they judged it from 0 s on, the last one so: killed" in str(
            why
        )
        reached = {recording.name[0]: scored_s for recording, scored_s in store.recordings()}
    assert MOST_DEATHS == 3
    assert reached["a"] == 0 and reached["b"] == 68 and reached["e"] == 4


def test_workers_that_die_before_they_begin_stop_the_run(recordings, taught, tmp_path):
    class Stillborn(Threadless):
        def news(self, wait):
            dead = [News(worker, died="no memory") for worker in self.fresh]
            self.fresh.clear()
            for news in dead:
                del self.hands[news.worker]
            return dead

    detector = Detector.load(taught)
    source = detector.open(recordings)
    workers = Stillborn(detector, 2, lambda worker, piece: False)
    ordering = Ordering(workers, source, plan(detector, source, [0] * 5))
    with pytest.raises(RunError, match=r"die before they can judge anything.*: no memory"):
        list(ordering.judged(0, 0))


def test_work_ahead_is_bounded(recordings, taught):
    detector = Detector.load(taught)
    source = detector.open(recordings).part([0] * 200)
    workers = Threadless(detector, 2, lambda worker, piece: False)
    taken = []

    def watched():
        for piece in plan(detector, source, [0] * 200):
            taken.append(piece)
            yield piece

    ordering = Ordering(workers, source, watched())
    next(ordering.judged(0, 0))
    assert len(taken) <= AHEAD * 2 + 1


@pytest.mark.parametrize("staff", [None, threadless(3)])
def test_a_run_that_was_cut_off_goes_on(staff, recordings, taught, alone, tmp_path):
    class Cut(Exception):  # noqa: N818  stands for a power cut
        pass

    def cut(step, done, total):
        if done > 40:
            raise Cut

    detector = Detector.load(taught)
    with pytest.raises(Cut):
        detector.score(opened(detector, recordings), run=tmp_path, progress=cut, crew=threadless(2))
    mended(recordings)
    with Store.open(tmp_path) as store:
        assert 0 < store.scored_until(store.recordings()[1][0]) < 68
    assert_same_run(scored(taught, recordings, tmp_path, staff), alone)


def test_a_recording_that_changed_is_skipped_as_by_one_process(recordings, taught, tmp_path):
    folder = tmp_path / "recordings"
    shutil.copytree(recordings, folder)
    runs = [scored(taught, folder, tmp_path / name) for name in ("one", "other")]
    samples, rate = soundfile.read(folder / "a_20260501_040000.wav")
    soundfile.write(folder / "a_20260501_040000.wav", samples[: 2 * rate], rate)
    for run, staff in zip(runs, (None, threadless(2)), strict=True):
        scored(taught, folder, run, staff)
    assert_same_run(*runs)
    with Store.open(runs[1]) as store:
        assert any("when this run read it" in skipped.reason for skipped in store.skipped())


# --- refusals ------------------------------------------------------------------------------------


def test_ways_and_numbers_that_do_not_exist_are_refused():
    with pytest.raises(ParameterError, match="--on must be one of processes, ray, got 'spark'"):
        crew("spark")
    with pytest.raises(ParameterError, match="workers must be at least 1, got 0"):
        crew("processes", 0)
