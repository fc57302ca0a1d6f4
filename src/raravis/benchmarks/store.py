"""How long the store of a run takes to write, and to answer, at a million windows.

Windows come as a run writes them: one recording an hour, one commit per five minutes. Questions
are asked of a store that was opened again, from a file cache that is warm.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from raravis.progress import Progress, silent
from raravis.store import Rows, Store
from raravis.windows import Recording, Windows

Row = dict[str, Any]

HOUR_S, BLOCK_S, HOP_S = 3600, 300, 0.5
LAYER, SCORER = "windows", "knn"


def run(
    windows: int = 1_000_000,
    dim: int = 128,
    questions: int = 20,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Row]:
    """Writes so many windows with embeddings of `dim` numbers, then asks.

    CPU times are of the whole process, the median of `questions`; the first question about
    neighbours, which also computes the lengths of all rows, stands on a line of its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        start, start_cpu = time.perf_counter(), time.process_time()
        write(path, windows, dim, seed, progress)
        rows: list[Row] = [
            {"what": f"write {windows} windows x {dim}", "wall_s": time.perf_counter() - start,
             "cpu_s": time.process_time() - start_cpu},
            {"what": "on disk: store.sqlite", "mb": (path / "store.sqlite").stat().st_size / 1e6},
            {"what": "on disk: shards", "mb": _size(path / "embeddings") / 1e6,
             "files": len(list((path / "embeddings").iterdir()))},
        ]  # fmt: skip
        return [*rows, *ask(path, windows, questions, seed)]


def write(path: Path, windows: int, dim: int, seed: int, progress: Progress) -> None:
    """Makes a run folder of so many windows: clustered embeddings and random scores."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((50, dim), dtype=np.float32)
    a_block = int(BLOCK_S / HOP_S)
    with Store.create(path) as store:
        for first in range(0, windows, a_block):
            hour, block = divmod(first // a_block, HOUR_S // BLOCK_S)
            recording = Recording(f"{hour:05d}.wav", f"/{hour:05d}.wav", HOUR_S, 22050)
            if block == 0:
                store.add_recording(recording)
            n = min(a_block, windows - first)
            start_s = block * BLOCK_S + HOP_S * np.arange(n)
            embedding = centres[random.integers(50, size=n)]
            embedding = embedding + random.standard_normal((n, dim), dtype=np.float32)
            scores = {SCORER: (random.random(n), random.random(n))}
            rows = Rows(Windows.of(hour, start_s, start_s + 1), scores, embedding)
            store.append(recording, (block + 1) * BLOCK_S, {LAYER: rows})
            progress("writing", first + n, windows)


def ask(path: Path, windows: int, questions: int, seed: int) -> list[Row]:
    """What a report or an explorer asks of a store."""
    picks = np.random.default_rng(seed).integers(windows, size=questions)
    with Store.open(path) as store:
        first = _timed("neighbours, first question", 1, lambda _: store.neighbours(LAYER, 0))
        return [
            first,
            _timed("10 neighbours of a window (target <= 150)", questions,
                   lambda i: store.neighbours(LAYER, int(picks[i]))),
            _timed("top 1000 by score (target <= 100)", questions,
                   lambda _: store.top(LAYER, SCORER, 1000)),
            _timed("timeline of one recording", questions,
                   lambda i: store.table(LAYER, SCORER, recording=0)),
            _timed("all scores", 3, lambda _: store.scores(LAYER, SCORER)),
            _timed("whole table", 3, lambda _: store.table(LAYER, SCORER)),
        ]  # fmt: skip


def _timed(what: str, times: int, question: Callable[[int], object]) -> Row:
    """Median CPU and wall time, in milliseconds, of asking `question(i)` so many times."""
    cpu_ms, wall_ms = [], []
    for number in range(times):
        start, start_cpu = time.perf_counter(), time.process_time()
        question(number)
        wall_ms.append(1e3 * (time.perf_counter() - start))
        cpu_ms.append(1e3 * (time.process_time() - start_cpu))
    return {"what": what, "cpu_ms": float(np.median(cpu_ms)), "wall_ms": float(np.median(wall_ms))}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
