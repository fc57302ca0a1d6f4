"""Workers as they are: processes and actors that are killed, and what they write."""

from __future__ import annotations

import importlib.util
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import QUICK
from raravis.benchmarks import spreading as benchmark
from raravis.detector import Detector
from raravis.errors import ParameterError
from raravis.series.synthesis import plant, write_csv
from raravis.sound.synthesis import RATE_HZ, dawn_chorus
from raravis.spreading import crew
from raravis.spreading.processes import Processes
from raravis.store import Store
from test_spreading import assert_same_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """Four recordings of a minute, one that is broken from the start, one of 35 minutes."""
    folder = tmp_path_factory.mktemp("recordings")
    samples = dawn_chorus(4, seed=2)[0][::2]
    rate = RATE_HZ // 2
    for number in range(4):
        part = samples[number * 60 * rate : (number + 1) * 60 * rate]
        soundfile.write(folder / f"2026050{number + 1}_040000.flac", part, rate)
    soundfile.write(folder / "20260509_040000.flac", np.tile(samples, 9)[: 2100 * rate], rate)
    (folder / "20260507_040000.flac").write_bytes(b"fLaC")
    return folder


@pytest.fixture(scope="module")
def taught(recordings, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("taught") / "run"
    Detector(explainer="none").fit(recordings).save(run)
    return run


@pytest.fixture(scope="module")
def alone(recordings, taught, tmp_path_factory) -> Path:
    """What one process makes of them."""
    return scored(taught, recordings, tmp_path_factory.mktemp("alone") / "run")


def scored(taught: Path, recordings: Path, run: Path, staff=None) -> Path:
    Detector.load(taught).score(recordings, run=run, crew=staff)
    return run


def test_processes_write_the_rows_of_one(recordings, taught, alone, tmp_path):
    assert_same_run(scored(taught, recordings, tmp_path, crew("processes", 2)), alone)


def test_a_killed_process_is_replaced(recordings, taught, alone, tmp_path):
    staff, pids = killing(crew("processes", 2), Processes, lambda w: w._known)
    assert_same_run(scored(taught, recordings, tmp_path, staff), alone)
    assert len(pids) == 1


def killing(staff, kind, known):
    """A crew of processes of which the first is killed with -9 once pieces are in its hand."""
    pids: list[int] = []
    give = kind.give

    def fatal(self, worker, source, piece):
        give(self, worker, source, piece)
        if not pids:
            process, _ = known(self)[worker]
            pids.append(process.pid)
            os.kill(process.pid, signal.SIGKILL)

    def at_work(detector, source, starts):
        kind.give = fatal
        return staff(detector, source, starts)

    return at_work, pids


@pytest.fixture(autouse=True)
def processes_as_they_were():
    """Undoes what `killing` did."""
    give = Processes.give
    yield
    Processes.give = give


def test_no_process_is_left_behind(recordings, taught):
    detector = Detector.load(taught)
    with Processes(detector, 2) as workers:
        numbers = [workers.hire(), workers.hire()]
        processes = [workers._known[number][0] for number in numbers]
        deadline = time.monotonic() + 120
        ready = 0
        while ready < 2 and time.monotonic() < deadline:
            ready += len(workers.news(True))
        assert ready == 2 and all(process.is_alive() for process in processes)
    assert not any(process.is_alive() for process in processes)


@pytest.mark.parametrize("model", ["default", "novelty", "window-pca", "lstm-ae"])
def test_series_are_spread_with_the_rows_of_one_process(model, tmp_path):
    folder = tmp_path / "plants"
    folder.mkdir()
    for seed in range(3):
        write_csv(folder / f"plant-{seed}.csv", plant(hours=48, seed=seed)[0])
    settings = {"training": {"max_steps": 20, "device": "cpu"}} if model == "lstm-ae" else {}
    Detector(kind="series", model=model, **settings).fit(folder).save(tmp_path / "taught")
    one = scored(tmp_path / "taught", folder, tmp_path / "one")
    two = scored(tmp_path / "taught", folder, tmp_path / "two", crew("processes", 2))
    assert_same_run(one, two)


def test_a_network_gives_the_same_numbers_in_another_process(chorus, tmp_path):
    Detector("conv-ae", **QUICK).fit(chorus[0]).save(tmp_path / "taught")
    one = scored(tmp_path / "taught", chorus[0], tmp_path / "one")
    two = scored(tmp_path / "taught", chorus[0], tmp_path / "two", crew("processes", 1))
    assert_same_run(one, two)


# --- Ray -----------------------------------------------------------------------------------------

RAY_NEEDED = "the extra `cluster` installs Ray"


def ray_scores(taught: Path, recordings: Path, run: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "raravis", "score", str(taught), str(recordings)]
    command += ["--on", "ray", "--workers", "2", "--out", str(run)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def descendants(pid: int) -> list[int]:
    """Processes below one, on Linux."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
        children.setdefault(parent, []).append(int(status.parent.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def judging(pid: int) -> list[int]:
    """Actors of Ray at work below a process: they call themselves by what they do."""
    found = []
    for child in descendants(pid):
        try:
            title = Path(f"/proc/{child}/cmdline").read_text()
        except OSError:
            continue
        if title.startswith("ray::RemoteJudge.judge"):
            found.append(child)
    return found


def rows_in(run: Path) -> int:
    """Windows in a store that another process is writing; 0 while there is none."""
    with suppress(sqlite3.OperationalError):
        where = f"file:{run / 'store.sqlite'}?mode=ro"
        with closing(sqlite3.connect(where, uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM windows").fetchone()[0])
    return 0


def test_ray_writes_the_rows_of_one_process(recordings, taught, alone, tmp_path):
    pytest.importorskip("ray", reason=RAY_NEEDED)
    process = ray_scores(taught, recordings, tmp_path / "run")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert_same_run(tmp_path / "run", alone)


def test_a_killed_actor_is_replaced(recordings, taught, alone, tmp_path):
    pytest.importorskip("ray", reason=RAY_NEEDED)
    process = ray_scores(taught, recordings, tmp_path / "run")
    try:
        victims: list[int] = []
        while not victims and process.poll() is None:
            victims = judging(process.pid)
            time.sleep(0.02)
        assert victims, process.communicate()[1]
        os.kill(victims[0], signal.SIGKILL)
        _, err = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert_same_run(tmp_path / "run", alone)


def test_a_driver_of_ray_that_is_killed_goes_on_with_the_same_command(
    recordings, taught, alone, tmp_path
):
    pytest.importorskip("ray", reason=RAY_NEEDED)
    process = ray_scores(taught, recordings, tmp_path / "run")
    while not rows_in(tmp_path / "run") and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    with Store.open(alone) as store:
        assert 0 < rows_in(tmp_path / "run") < len(store.windows("windows"))
    process = ray_scores(taught, recordings, tmp_path / "run")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert_same_run(tmp_path / "run", alone)


def test_without_ray_the_other_way_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ParameterError, match=r"pip install 'raravis\[cluster\]', or take --on proc"),
        crew("ray")(Detector(), None, []),
    ):
        pass


# --- the benchmark -------------------------------------------------------------------------------


def test_the_benchmark_finds_the_same_rows(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # without Ray
    rows = benchmark.run(recordings=2, minutes=0.5, rounds=1)
    assert [row["what"] for row in rows][:3] == [
        "one process", "processes, 1 worker", "processes, 2 workers",
    ]  # fmt: skip
    assert all(row["same rows"] for row in rows[:3])
    assert rows[1]["start_up_s"] > 0 and rows[1]["cpu_s"] > 0
