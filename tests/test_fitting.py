"""A fit that is broken off: at any moment, by anything, with one process and with two."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

from raravis.detector import Detector
from raravis.errors import RunError
from raravis.fitting import fit_into, make_room
from raravis.journal import Journal
from raravis.progress import Progress
from raravis.sound.synthesis import RATE_HZ, dawn_chorus

SETTINGS = {
    "model": {"name": "conv-ae", "width": 4, "latent": 4},
    "training": {"epochs": 3, "batch": 16, "precision": "float32"},
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    samples = dawn_chorus(2, seed=0)[0][: 90 * RATE_HZ]
    soundfile.write(folder / "dawn.flac", samples, RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def whole(recordings, tmp_path_factory) -> Path:
    """A run whose fit was never broken off."""
    run = tmp_path_factory.mktemp("whole")
    fit(run, recordings)
    return run


def fit(run: Path, recordings: Path, overwrite: bool = False, **settings) -> Detector:
    journal = settings.pop("journal", Journal(every_s=0))
    detector = Detector.for_recordings([recordings], {**SETTINGS, **settings})
    return fit_into(run, detector, detector.open([recordings]), journal, overwrite)


def weights(run: Path) -> dict[str, np.ndarray]:
    return load_file(run / "model.safetensors")


def assert_same(run: Path, other: Path, atol: float = 0.0) -> None:
    ours, theirs = weights(run), weights(other)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_allclose(array, theirs[name], rtol=0, atol=atol, err_msg=name)


class Killed(Exception):  # noqa: N818  what the tests raise in place of a power cut
    pass


def killed_at(step: int) -> Progress:
    def progress(what: str, done: float, total: float) -> None:
        if what == "training" and done >= step:
            raise Killed

    return progress


@pytest.mark.parametrize("step", [1, 7, 25])  # of 30
def test_a_fit_that_was_cut_off_ends_as_if_it_had_not_been(step, recordings, whole, tmp_path):
    with pytest.raises(Killed):
        fit(tmp_path, recordings, journal=Journal(killed_at(step), every_s=0))
    assert not (tmp_path / "model.toml").exists()
    fit(tmp_path, recordings)
    assert_same(tmp_path, whole)
    ours, theirs = (run / "learning/windows/training.csv" for run in (tmp_path, whole))
    assert without_times(ours) == without_times(theirs)


def without_times(course: Path) -> list[str]:
    return [",".join(line.split(",")[:6]) for line in course.read_text().splitlines()]


def test_a_finished_run_is_not_learned_again(recordings, whole):
    with pytest.raises(RunError, match=r"holds a run already .*replace it with --overwrite"):
        fit(whole, recordings)


def test_overwriting_starts_anew(recordings, whole, tmp_path):
    with pytest.raises(Killed):
        fit(tmp_path, recordings, journal=Journal(killed_at(5), every_s=0), seed=3)
    fit(tmp_path, recordings, overwrite=True)
    assert_same(tmp_path, whole)


def test_an_unfinished_fit_of_other_settings_is_not_gone_on_with(recordings, tmp_path):
    with pytest.raises(Killed):
        fit(tmp_path, recordings, journal=Journal(killed_at(5)))
    with pytest.raises(RunError, match=r"unfinished fit with seed 0 \(here 3\), .*--overwrite"):
        fit(tmp_path, recordings, seed=3)
    shutil.copytree(recordings, tmp_path / "more")
    shutil.copy(recordings / "dawn.flac", tmp_path / "more/again.flac")
    with pytest.raises(RunError, match=r"unfinished fit with 1 recordings \(here 2 or others\)"):
        fit(tmp_path, tmp_path / "more")


def test_checkpoints_stay_only_where_they_are_wanted(recordings, whole, tmp_path):
    assert not list(whole.rglob("*.pt"))
    fit(tmp_path, recordings, journal=Journal(every_s=0, keep=2))
    kept = sorted(path.name for path in tmp_path.rglob("*.pt"))
    assert kept == ["00000029.pt", "00000030.pt", "best.pt"]


def test_where_no_network_learns_there_is_nothing_to_keep_or_to_follow(tmp_path):
    pytest.importorskip("tensorboard", reason="what is not installed cannot be asked for")
    table = tmp_path / "waves.csv"
    wave = np.sin(np.arange(400) / 7)
    table.write_text("time,a\n" + "\n".join(f"{at},{value}" for at, value in enumerate(wave)))
    detector, said = Detector.for_recordings([table], {"model": "window-pca"}), []
    journal = Journal(trackers=["tensorboard"], cache=tmp_path / "cache", remark=said.append)
    fit_into(tmp_path / "run", detector, detector.open([table]), journal)
    assert said == [
        "series are held in memory as they are: the cache is not used",
        "no network learned here, so there was nothing to follow in a tracker",
    ]
    assert not (tmp_path / "run/learning").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write to .*file/run: Not a directory"):
        make_room(tmp_path / "file/run", overwrite=False)


# --- processes, killed as they are in life -------------------------------------------------------

# Long enough that whoever waits for a checkpoint has time to disturb what comes after it.
LONG = {**SETTINGS, "training": {**SETTINGS["training"], "epochs": 9, "patience": 9}}
pieces = [f"--set={section}.{name}={json.dumps(value)}"
          for section, table in LONG.items() for name, value in table.items()]  # fmt: skip


def command(recordings: Path, run: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "raravis", "fit", str(recordings), "--out", str(run),
            "--checkpoint-every", "0", *pieces, *more]  # fmt: skip


def start(words: list[str], **options) -> subprocess.Popen:
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, env=alone, stderr=subprocess.PIPE, text=True, **options)


def ended(process: subprocess.Popen) -> str:
    """What it said on standard error when it had ended well."""
    try:
        said = process.communicate(timeout=300)[1]
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends its processes then
        said = process.communicate()[1]
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def undisturbed(recordings, tmp_path_factory) -> Path:
    """A run whose fit, in a process with as many threads, was never broken off."""
    run = tmp_path_factory.mktemp("undisturbed")
    ended(start(command(recordings, run)))
    return run


def wait_for_checkpoint(run: Path, process: subprocess.Popen, after: int = 0) -> int:
    """The step of a checkpoint later than `after`."""
    until = time.monotonic() + 180
    while time.monotonic() < until and process.poll() is None:
        steps = [int(path.stem) for path in run.rglob("[0-9]*.pt")]
        if steps and max(steps) > after:
            return max(steps)
        time.sleep(0.01)
    pytest.fail(f"no checkpoint came; the fit said {process.communicate()[1]}")


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_same_weights(recordings, undisturbed, tmp_path):
    step = 0
    for _ in range(3):
        process = start(command(recordings, tmp_path))
        step = wait_for_checkpoint(tmp_path, process, step)
        process.kill()
        process.communicate()
        assert not (tmp_path / "model.toml").exists()
    ended(start(command(recordings, tmp_path)))
    assert_same(tmp_path, undisturbed)


@pytest.mark.slow
def test_ctrl_c_says_that_the_same_command_goes_on(recordings, undisturbed, tmp_path):
    heeded = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # also where tests run unseen
    process = start(command(recordings, tmp_path), preexec_fn=heeded)
    wait_for_checkpoint(tmp_path, process)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "the same command goes on" in said and "Traceback" not in said
    ended(start(command(recordings, tmp_path)))
    assert_same(tmp_path, undisturbed)


@pytest.mark.slow
def test_a_full_disk_is_told_and_costs_nothing_that_was_kept(recordings, undisturbed, tmp_path):
    """No file may grow beyond 20 kB, so the first checkpoint finds the disk full."""
    size = 20_000
    full = start(
        command(recordings, tmp_path),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )
    said = full.communicate(timeout=120)[1]
    assert full.returncode == 1
    assert "Free some space and give the same command again" in " ".join(said.split())
    assert not list(tmp_path.rglob("*.tmp"))
    ended(start(command(recordings, tmp_path)))
    assert_same(tmp_path, undisturbed)


@pytest.mark.slow
def test_a_killed_rank_is_started_again_by_torchrun(recordings, tmp_path):
    run, whole = tmp_path / "run", tmp_path / "whole"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
                "--max-restarts", "2", "--standalone", "-m"]  # fmt: skip
    few = "--set=training.epochs=3"
    ended(start([*torchrun, *command(recordings, whole, few)[2:]]))
    process = start([*torchrun, *command(recordings, run, few)[2:]])
    wait_for_checkpoint(run, process, after=4)
    os.kill(child_of_rank(process.pid, 1), signal.SIGKILL)
    ended(process)
    assert_same(run, whole, atol=1e-6)


def child_of_rank(parent: int, rank: int) -> int:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    for child in map(int, children):
        if f"\0RANK={rank}\0" in "\0" + Path(f"/proc/{child}/environ").read_text():
            return child
    pytest.fail(f"torchrun has no child of rank {rank}, only {children}")
