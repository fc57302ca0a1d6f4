"""raravis cache, as it is used: killed, on a full disk, in parts, by several processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from raravis.cli import app
from raravis.errors import RunError
from raravis.sound.synthesis import RATE_HZ, dawn_chorus

QUICK = ["--mels", "16", "--set", "features.frames_per_s=20"]
NETWORK = ["--model", "conv-ae", "--epochs", "1", "--set", "model.width=4", "--set",
           "training.max_steps=4", "--set", "training.precision=float32",
           "--set", "training.batch_norm=whole"]  # fmt: skip


def invoke(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    samples = dawn_chorus(2, seed=0)[0]
    for number in range(3):
        part = samples[number * 15 * RATE_HZ : (number + 1) * 15 * RATE_HZ]
        soundfile.write(folder / f"dawn_20260501_04{number}000.wav", part, RATE_HZ)
    return folder


def test_it_says_what_it_holds_and_is_quick_the_second_time(recordings, tmp_path):
    for _ in range(2):
        done = invoke("cache", recordings, "--out", tmp_path / "c", *QUICK, "--json")
        assert done.exit_code == 0, done.output
        said = json.loads(done.stdout)
        assert said["windows"] == 3 * 29 and said["shape"] == [1, 16, 20]
        assert said["dtype"] == "float16" and said["recordings"] == 3 and said["skipped"] == 0
        assert said["held_back"] == 13
    assert f"--cache {tmp_path / 'c'}" in done.stderr.replace("\n", " ")


def test_parts_say_what_is_missing(recordings, tmp_path):
    first = invoke("cache", recordings, "--out", tmp_path / "c", *QUICK, "--shard", "2/2")
    assert first.exit_code == 0 and "missing or unfinished: 1/2" in first.stderr
    refused = invoke("fit", recordings, "--out", tmp_path / "run", "--cache", tmp_path / "c",
                     *QUICK, *NETWORK)  # fmt: skip
    assert isinstance(refused.exception, RunError)
    assert "part 1/2 missing or unfinished" in str(refused.exception)
    last = invoke("cache", recordings, "--out", tmp_path / "c", *QUICK, "--shard", "1/2", "--json")
    assert json.loads(last.stdout)["windows"] == 3 * 29


def test_for_series_it_says_that_nothing_is_gained(tmp_path):
    rows = "\n".join(f"{i},{i % 7},{i % 5}" for i in range(500))
    (tmp_path / "plant.csv").write_text(f"time,a,b\n{rows}\n")
    done = invoke("cache", tmp_path / "plant.csv", "--out", tmp_path / "c")
    assert done.exit_code == 0 and not (tmp_path / "c").exists()
    said = " ".join(done.stderr.split())
    assert "series gain nothing from a cache: their rows are held once (here 500 of 2" in said


def test_what_was_skipped_is_listed_and_strict_fails(recordings, tmp_path):
    shutil.copytree(recordings, tmp_path / "r")
    (tmp_path / "r/broken.wav").write_bytes(b"no sound")
    words = ["cache", tmp_path / "r", "--out", tmp_path / "c", *QUICK]
    done = invoke(*words)
    assert done.exit_code == 0 and "broken.wav" in done.stderr
    assert invoke(*words, "--strict").exit_code != 0


@pytest.mark.slow
def test_a_fit_learns_from_a_cache_without_hearing_anything_again(
    recordings, tmp_path, monkeypatch
):
    from raravis.listening import Listener

    words = ["fit", recordings, "--cache", tmp_path / "c", *QUICK, *NETWORK]
    done = invoke(*words, "--out", tmp_path / "one")  # builds it
    assert done.exit_code == 0, done.output

    def deaf(*_: object) -> None:
        raise RunError("heard again")

    monkeypatch.setattr(Listener, "hear", deaf)
    assert invoke(*words, "--out", tmp_path / "two").exit_code == 0
    one, two = (tmp_path / run / "model.safetensors" for run in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


# --- processes, killed as they are in life -------------------------------------------------------

# Small shards, so that a kill finds several of them.
PROGRAM = (
    "import sys; from raravis.caching import building; building.SHARD_BYTES = 30_000; "
    "from raravis.cli import main; main()"
)


def start(*words: object, **more) -> subprocess.Popen:
    command = [sys.executable, "-c", PROGRAM, *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more
    )


def ended(process: subprocess.Popen) -> str:
    said = process.communicate(timeout=240)[1]
    assert process.returncode == 0, said
    return said


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Forty short recordings."""
    folder = tmp_path_factory.mktemp("many")
    samples = dawn_chorus(4, seed=1)[0]
    for number in range(40):
        part = samples[number * 6 * RATE_HZ : (number + 1) * 6 * RATE_HZ]
        soundfile.write(folder / f"{number:02d}.wav", part, RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def whole(many, tmp_path_factory) -> Path:
    """A cache that was built in one go."""
    folder = tmp_path_factory.mktemp("whole") / "c"
    ended(start("cache", many, "--out", folder, *QUICK))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("shards", [0, 1, 4])
def test_killed_and_started_again_it_ends_with_the_same_bytes(shards, many, whole, tmp_path):
    words = ["cache", many, "--out", tmp_path / "c", *QUICK]
    process = start(*words)
    waited_for = (
        tmp_path / "c/part-01-of-01" / (f"{shards - 1:05d}.toml" if shards else "part.toml")
    )
    until = time.monotonic() + 120
    while not waited_for.exists() and time.monotonic() < until:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert waited_for.exists() and not (tmp_path / "c/cache.toml").exists()
    ended(start(*words))
    assert contents(tmp_path / "c") == contents(whole)


@pytest.mark.slow
def test_on_a_disk_that_is_full_it_says_so_and_goes_on_when_there_is_room(many, whole, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk can only be made by root")
    try:
        words = ["cache", many, "--out", disk / "c", *QUICK]
        process = start(*words)
        said = " ".join(process.communicate(timeout=240)[1].split())
        assert process.returncode == 1 and "disk full" in said and "same command again" in said
        there = contents(disk / "c")
        assert len(there) > 4 and there.items() <= contents(whole).items()
        subprocess.run(["mount", "-o", "remount,size=9m", str(disk)], check=True)
        ended(start(*words))
        assert contents(disk / "c") == contents(whole)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_several_processes_learn_from_what_the_first_one_built(recordings, tmp_path):
    words = ["fit", str(recordings), "--cache", str(tmp_path / "c"), *QUICK, *NETWORK]
    alone = start(*words, "--out", tmp_path / "alone")
    ended(alone)
    shutil.rmtree(tmp_path / "c")
    together = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone",
         "-m", "raravis", *words, "--out", str(tmp_path / "two")],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert together.returncode == 0, together.stderr
    from safetensors.numpy import load_file

    one, two = (load_file(tmp_path / run / "model.safetensors") for run in ("alone", "two"))
    for name, array in one.items():
        if ".network." in f".{name}":
            np.testing.assert_allclose(two[name], array, rtol=1e-3, atol=1e-4, err_msg=name)
