"""What it costs to have an hour of sound judged by others than the process that was asked.

An hour of the built-in dawn chorus, in twelve recordings of five minutes each, is scored by one
process, by workers that are processes and by workers that are actors of a Ray cluster on this
machine; in turn, several rounds, and the best of each counts, so that a busy machine changes the
ratios little. All calculate with one thread. The clock starts once the workers are ready; what
starting them takes, with loading what was learned, stands in a column of its own. CPU-seconds are
of all processes, those that Ray runs beside the workers among them.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from raravis.detector import Detector, Judged
from raravis.progress import Progress, silent
from raravis.sound.synthesis import RATE_HZ, dawn_chorus
from raravis.sources import Source
from raravis.spreading import staff
from raravis.spreading.ordering import Ordering, plan
from raravis.store import Rows, Store
from raravis.store.moving import rows_of
from raravis.windows import Recording, Windows

Row = dict[str, Any]

ALONE = "one process"
MERGED = 36  # hours of windows that are merged
SCORERS = ("rarity", "reconstruction", "knn", "mahalanobis", "loudness")  # as a run has them
LEARN: dict[str, Any] = {
    "training": {"epochs": 1, "max_steps": 50, "device": "cpu"},
    "learn": {"windows": 512},
}


class Clock:
    """What one way of working took: start-up, and from then on wall and CPU-seconds."""

    def __init__(self, on: str | None, workers: int) -> None:
        self.on, self.workers = on, workers
        self.start_up_s = self.wall_s = self.cpu_s = 0.0

    @contextmanager
    def __call__(
        self, detector: Detector, source: Source, starts: Sequence[float]
    ) -> Iterator[Judged]:
        """The crew that is timed."""
        began_s = time.perf_counter()
        if self.on is None:
            with self._running():
                yield lambda index, from_s: detector.sense.judged(source, index, from_s)
            return
        with staff(self.on, detector, self.workers) as hired:
            ordering = Ordering(hired, source, plan(detector, source, starts))
            ordering.make_ready()
            self.start_up_s = time.perf_counter() - began_s
            with self._running():
                yield ordering.judged

    @contextmanager
    def _running(self) -> Iterator[None]:
        began_s, cpu_s = time.perf_counter(), all_cpu_s()
        yield
        self.wall_s, self.cpu_s = time.perf_counter() - began_s, all_cpu_s() - cpu_s


def all_cpu_s() -> float:
    """CPU-seconds of this process and of those below it that are alive; on Linux."""
    spent, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        number = int(path.parent.name)
        parents[number] = int(fields[1])
        spent[number] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return sum(spent[number] for number in spent if _is_below(number, os.getpid(), parents))


def _is_below(number: int, above: int, parents: dict[int, int]) -> bool:
    while number in parents and number != above:
        number = parents[number]
    return number == above


def run(
    recordings: int = 12, minutes: float = 5, rounds: int = 3, progress: Progress = silent
) -> list[Row]:
    """One process beside one and two workers of each kind, and how fast runs are merged."""
    kinds = ["processes", "ray"] if importlib.util.find_spec("ray") else ["processes"]
    ways: dict[str, tuple[str | None, int]] = {ALONE: (None, 1)}
    ways |= {f"{on}, {n} worker{'s'[: n - 1]}": (on, n) for on in kinds for n in (1, 2)}
    clocks: dict[str, list[Clock]] = {name: [] for name in ways}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            chorus = write_chorus(Path(folder) / "chorus", recordings, minutes)
            detector = Detector(**LEARN).fit(chorus)
            for turn in range(rounds):
                for done, (name, way) in enumerate(ways.items()):
                    progress("scoring", turn * len(ways) + done, rounds * len(ways))
                    clocks[name].append(Clock(*way))
                    path = Path(folder) / f"{name}-{turn}"
                    with Store.create(path) as store:
                        detector.judge_into(store, detector.open(chorus), crew=clocks[name][-1])
            same = {name: same_rows(Path(folder), name, rounds) for name in ways}
            stored = sum(f.stat().st_size for f in (Path(folder) / f"{ALONE}-0").rglob("*.*"))
    finally:
        torch.set_num_threads(threads)
    rows = [_row(name, clocks[name], same[name]) for name in ways]
    one = rows[0]
    for row in rows:
        row["wall / one process"] = round(row["wall_s"] / one["wall_s"], 3)
        row["cpu / one process"] = round(row["cpu_s"] / one["cpu_s"], 3)
    hours = recordings * minutes / 60
    return [*rows, {"what": "on disk, per hour of sound", "mb": stored / 1e6 / hours}, *merging()]


def _row(name: str, clocks: list[Clock], same: bool) -> Row:
    return {
        "what": name,
        "start_up_s": round(min(clock.start_up_s for clock in clocks), 2),
        "wall_s": round(min(clock.wall_s for clock in clocks), 2),
        "cpu_s": round(min(clock.cpu_s for clock in clocks), 2),
        "same rows": same,
    }


def write_chorus(folder: Path, recordings: int, minutes: float) -> Path:
    """A folder of recordings, each of another dawn."""
    folder.mkdir()
    for number in range(recordings):
        samples, _ = dawn_chorus(max(2, minutes), seed=number)
        length = int(minutes * 60 * RATE_HZ)
        soundfile.write(folder / f"202605{number + 1:02}_040000.flac", samples[:length], RATE_HZ)
    return folder


def same_rows(folder: Path, name: str, rounds: int) -> bool:
    """Whether all runs of one way hold what the first run of one process holds, bit by bit."""
    with Store.open(folder / f"{ALONE}-0") as first:
        expected = _contents(first)
    found = []
    for turn in range(rounds):
        with Store.open(folder / f"{name}-{turn}") as store:
            found.append(_contents(store))
    return all(contents == expected for contents in found)


def _contents(store: Store) -> list[bytes]:
    """All rows of a store."""
    contents = []
    for number in range(len(store.recordings())):
        for rows in rows_of(store, number).values():
            columns = [rows.windows.start_s, rows.windows.end_s, *rows.scores.values()]
            embedding = [] if rows.embedding is None else [rows.embedding]
            contents += [np.asarray(column).tobytes() for column in [*columns, *embedding]]
    return contents


def merging(hours: int = MERGED, dim: int = 32) -> list[Row]:
    """Moves the windows of so many hours, with five scores each, from one store to another."""
    random = np.random.default_rng(0)
    starts = 0.5 * np.arange(7200)
    recordings = [Recording(f"{hour:05d}", "", 3600.0, 22050.0) for hour in range(hours)]
    with tempfile.TemporaryDirectory() as folder:
        with Store.create(Path(folder) / "part") as part:
            for recording in recordings:
                part.add_recording(recording)
                scores = {name: (random.random(7200), random.random(7200)) for name in SCORERS}
                embedding = random.standard_normal((7200, dim), dtype=np.float32)
                rows = Rows(Windows.of(0, starts, starts + 1), scores, embedding)
                part.append(recording, 3600.0, {"windows": rows})
        with Store.open(Path(folder) / "part") as part, Store.create(Path(folder) / "all") as whole:
            began_s, cpu_s = time.perf_counter(), time.process_time()
            for number, recording in enumerate(recordings):
                whole.add_recording(recording)
                whole.append(recording, 3600.0, rows_of(part, number))
            wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    millions = hours * 7200 / 1e6
    what = "merge, per million windows with 5 scores"
    wall_s, cpu_s = round(wall_s / millions, 1), round(cpu_s / millions, 1)
    return [{"what": what, "wall_s": wall_s, "cpu_s": cpu_s}]
