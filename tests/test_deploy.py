"""The job files and images of deploy/: linted, and their steps run as far as one machine can."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from raravis.detector import Detector
from raravis.sound.synthesis import RATE_HZ, dawn_chorus
from test_spreading import assert_same_run

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SCRIPTS = sorted(DEPLOY.glob("*.sh"))
SHARDS = 2


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, long lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]  # type: ignore[misc]


def definition() -> dict[str, list[str]]:
    """The sections of the Apptainer definition: the lines of each, stripped; "" is the header."""
    sections: dict[str, list[str]] = {"": []}
    name = ""
    for line in (DEPLOY / "raravis.def").read_text().splitlines():
        if line.startswith("%"):
            name = line[1:].strip()
            sections[name] = []
        elif line.strip() and not line.startswith("#"):
            sections[name].append(line.strip())
    return sections


def tool(name: str) -> str:
    """Where a linter lies: beside this Python, or on the path."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if not found:
        pytest.skip(f"needs {name}: pip install {name}-py or {name}-bin")
    return found


# --- as they are written -------------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_clean(script):
    done = subprocess.run([tool("shellcheck"), script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_is_clean():
    linter = [tool("hadolint"), "--no-color", DEPLOY / "Dockerfile"]
    done = subprocess.run(linter, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_can_be_parsed_and_stop_at_the_first_error(script):
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    assert "set -euo pipefail" in script.read_text()


def test_the_image_is_slim_and_not_root():
    steps = dockerfile()
    names = [name for name, _ in steps]
    assert steps[0] == ("FROM", "python:3.11-slim")
    assert "RUN" not in names[names.index("USER") :]  # nothing is installed as the user, or later
    assert (
        dict(steps)["USER"] == "1000" and "--uid 1000" in dict(steps[: names.index("USER")])["RUN"]
    )
    assert dict(steps)["ENTRYPOINT"] == '["raravis"]'


def test_what_the_images_copy_is_there_and_is_the_same():
    copied = [file for name, text in dockerfile() if name == "COPY" for file in text.split()[:-1]]
    assert copied == [line.split()[0] for line in definition()["files"]]
    assert all((ROOT / file).exists() for file in copied)


def test_both_images_install_the_same():
    [docker] = [text for name, text in dockerfile() if name == "RUN" and "pip install" in text]
    apptainer = [line for line in definition()["post"] if "venv" in line]
    assert [step.strip() for step in docker.split("&&")] == apptainer
    assert definition()[""] == ["Bootstrap: docker", "From: python:3.11-slim"]
    assert definition()["runscript"] == ['exec raravis "$@"']


# --- as they run ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(
    "RARAVIS_IMAGES" not in os.environ,
    reason="installs everything anew, which takes minutes: set RARAVIS_IMAGES to run it",
)
def test_the_steps_of_the_images_make_a_raravis_that_works(tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for line in definition()["files"]:
        if (ROOT / (file := line.split()[0])).is_file():
            shutil.copy(ROOT / file, tmp_path / file)
    steps = [line for line in definition()["post"] if "venv" in line]
    assert len(steps) == 2
    for step in steps:
        here = step.replace("/opt/venv", str(tmp_path / "venv"))
        words = [sys.executable if word == "python" else word for word in shlex.split(here)]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    environment = {**os.environ, "PATH": f"{tmp_path}/venv/bin:{os.environ['PATH']}"}
    for command in (["--help"], ["demo", "--help"], ["demo", "--out", str(tmp_path / "demo")]):
        done = subprocess.run(
            ["raravis", *command], env=environment, cwd="/", capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo" / "report.html").stat().st_size > 100_000


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """Three recordings of half a minute."""
    folder = tmp_path_factory.mktemp("recordings")
    samples = dawn_chorus(2, seed=4)[0]
    for number in range(3):
        part = samples[number * 30 * RATE_HZ : (number + 1) * 30 * RATE_HZ]
        soundfile.write(folder / f"2026050{number + 1}_040000.flac", part, RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def taught(recordings, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("taught") / "run"
    Detector(explainer="none").fit(recordings).save(run)
    return run


def submit(script: str, folder: Path, **variables: object) -> subprocess.CompletedProcess[str]:
    """Runs a job file as the scheduler would: with its variables, in the folder it came from."""
    environment = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "RARAVIS": f"{sys.executable} -m raravis",
        **{name: str(value) for name, value in variables.items()},
    }
    return subprocess.run(
        ["bash", DEPLOY / script], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["slurm", "pbs"])
def test_an_array_of_jobs_and_its_merge_make_the_run_of_one_process(
    scheduler, recordings, taught, tmp_path
):
    given = {"RECORDINGS": recordings, "RUN": taught, "PBS_O_WORKDIR": tmp_path}
    for task in range(1, SHARDS + 1):
        told = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_MAX": SHARDS,
                "SLURM_CPUS_PER_TASK": 1}  # fmt: skip
        if scheduler == "pbs":
            told = {"PBS_ARRAY_INDEX": task, "SHARDS": SHARDS, "NCPUS": 1}
        done = submit(f"{scheduler}-score.sh", tmp_path, **given, **told)
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [
        "part-0001",
        "part-0002",
    ]
    done = submit(f"{scheduler}-merge.sh", tmp_path, **given)
    assert done.returncode == 0, done.stderr
    Detector.load(taught).score(recordings, run=tmp_path / "one")
    assert_same_run(tmp_path / "merged", tmp_path / "one")
    assert (tmp_path / "merged" / "report.html").exists()


@pytest.mark.slow
def test_an_array_that_was_not_submitted_as_one_says_so(recordings, taught, tmp_path):
    done = submit("slurm-score.sh", tmp_path, RECORDINGS=recordings, RUN=taught)
    assert done.returncode != 0 and "submit this with --array=1-16" in done.stderr


SRUN = """#!/bin/bash
for task in 0 1; do
    SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=$task SLURM_LOCALID=$task "$@" &
    jobs[task]=$!
done
wait "${jobs[0]}" && wait "${jobs[1]}"
"""


@pytest.mark.slow
def test_a_fit_over_the_tasks_of_a_job_is_one_fit(recordings, tmp_path):
    for name, text in (("srun", SRUN), ("scontrol", "#!/bin/bash\necho 127.0.0.1\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    command = f"{sys.executable} -m raravis"
    quick = tmp_path / "quick"
    quick.write_text(f'#!/bin/bash\n{command} "$@" --epochs 1 --batch 16 --device cpu\n')
    quick.chmod(0o755)
    done = submit(
        "slurm-fit.sh", tmp_path, RECORDINGS=recordings, RUN=tmp_path / "run", RARAVIS=quick,
        SLURM_NTASKS=2, SLURM_JOB_ID=4711, SLURM_JOB_NODELIST="localhost", SLURM_CPUS_PER_TASK=1,
        SLURM_JOB_NUM_NODES=1, SLURM_NNODES=1, SLURM_NTASKS_PER_NODE=2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Detector.load(tmp_path / "run").config["model"]["name"] == "conv-ae"
