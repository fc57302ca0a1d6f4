"""A fit that survives: started, broken off, gone on with, finished, in a run folder.

    RUN/learning/fit.toml       settings and recordings of a fit that has begun
    RUN/learning/**/checkpoints from which each of its networks goes on
    RUN/model.toml              there once it is finished

Where several processes learn together, process 0 alone writes.
"""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import tomli_w

from raravis import distributed
from raravis.configuration import Table, differences, read_toml
from raravis.detector import Detector
from raravis.durable import write_atomically
from raravis.errors import RaravisError, RunError
from raravis.journal import Journal
from raravis.sources import Source

Result = TypeVar("Result")

LEARNING = "learning"
RUN_FILES = ("run.toml", "model.toml", "model.safetensors", "events.csv", "pruned.csv",
             "report.html", "store.sqlite", "store.sqlite-wal", "store.sqlite-shm")  # fmt: skip
RUN_FOLDERS = ("embeddings", LEARNING)


def fit_into(
    run: Path, detector: Detector, source: Source, journal: Journal, overwrite: bool = False
) -> Detector:
    """Teaches a detector and saves it in `run`, or goes on with the fit that was broken off there.

    journal    its folder becomes RUN/learning.
    overwrite  start anew, whatever is there.

    Raises RunError where a finished run is in the way, or an unfinished one of other settings or
    recordings.
    """
    begun = {"detector": detector.config, "read": _read(source)}
    if by_first(lambda: _make_ready(run, begun, overwrite)):
        return Detector.load(run)
    detector.fit(source, journal=replace(journal, folder=run / LEARNING))
    by_first(lambda: _finish(run, detector, journal))
    return detector


def _finish(run: Path, detector: Detector, journal: Journal) -> None:
    detector.save(run)
    learning = run / LEARNING
    if journal.trackers and not any(learning.rglob("training.csv")):
        journal.remark("no network learned here, so there was nothing to follow in a tracker")
    if journal.keep is None:
        for folder in sorted(learning.rglob("checkpoints")):
            shutil.rmtree(folder)
    (learning / "fit.toml").unlink()
    if not any(learning.iterdir()):
        learning.rmdir()


def by_first(work: Callable[[], Result]) -> Result:
    """The result of `work`, done by process 0 for all; what it raises on purpose, all raise."""
    done: tuple[Result | None, RaravisError | None] = (None, None)
    if distributed.rank() == 0:
        try:
            done = work(), None
        except RaravisError as error:
            done = None, error
    result, refusal = distributed.from_first(done)
    if refusal is not None:
        raise refusal
    return result  # type: ignore[no-any-return]


def make_room(run: Path, overwrite: bool) -> None:
    """Makes sure that a new run can be written. Raises RunError where one is in the way."""
    there = [name for name in RUN_FILES if (run / name).exists()]
    if there and not overwrite:
        raise RunError(
            f"{run} holds a run already ({', '.join(there)}): go on with "
            f"`raravis score {run} RECORDINGS`, replace it with --overwrite, "
            "or choose another --out"
        )
    try:
        for name in there:
            (run / name).unlink()
        for name in RUN_FOLDERS if overwrite else ():
            shutil.rmtree(run / name, ignore_errors=True)
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write to {run}: {error.strerror or error}") from error


def _make_ready(run: Path, begun: Table, overwrite: bool) -> bool:
    """Clears the way, or checks that what was begun is what goes on; true where all is done."""
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0
    if restarted and (run / "model.toml").exists():
        return True  # it was finished when another process fell
    make_room(run, overwrite and not restarted)
    note = run / LEARNING / "fit.toml"
    text = tomli_w.dumps(begun)
    if not note.exists():
        note.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(note, text)
        return False
    before, now = read_toml(note), tomllib.loads(text)
    if before != now:
        what = differences(before["detector"], now["detector"]) or [
            f"{len(before['read'])} recordings (here {len(now['read'])} or others)"
        ]
        raise RunError(
            f"{run} holds an unfinished fit with {', '.join(what)}: give the "
            "same settings and recordings to go on with it, start anew with --overwrite, or "
            "choose another --out"
        )
    return False


def _read(source: Source) -> list[Table]:
    """What tells recordings from others, without reading them."""
    return [{"recording": r.name, "duration_s": r.duration_s} for r in source.recordings]
