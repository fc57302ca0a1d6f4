"""Many recordings, many machines: what one process judges, judged by several, with the same rows.

    pieces      what is judged at once: half an hour of sound, a whole series; and who judges it
    ordering    pieces are given out ahead of need, and their answers taken back in order
    processes   workers that are processes of this machine
    clusters    workers that are actors of a Ray cluster
    parts       shards of a collection, scored apart, and how they become one run again

The one process that was asked writes the store, in exactly the order in which it would have
judged alone, so a run does not show who judged it. To add another way of working, write a class
of `Workers` and name it in `WAYS`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from raravis.detector import Crew, Detector, Judged
from raravis.errors import ParameterError
from raravis.sources import Source
from raravis.spreading.ordering import Ordering, plan
from raravis.spreading.pieces import Workers

WAYS = {
    "processes": ("raravis.spreading.processes", "Processes"),
    "ray": ("raravis.spreading.clusters", "Actors"),
}


def crew(on: str, workers: int | None = None) -> Crew:
    """Who judges, for `Detector.score`: several workers, that each load what was learned once.

    on       "processes" of this machine, or "ray": the cluster that RAY_ADDRESS names, where it
             names one, else one of this machine alone.
    workers  >= 1; None is one for each core.

    A worker that dies is replaced, and what it was judging is judged again. Raises ParameterError
    for another way or number, or where Ray is asked for and missing.
    """
    _check(on, workers)

    @contextmanager
    def at_work(detector: Detector, source: Source, starts: Sequence[float]) -> Iterator[Judged]:
        with staff(on, detector, workers) as hired:
            yield Ordering(hired, source, plan(detector, source, starts)).judged

    return at_work


def staff(on: str, detector: Detector, workers: int | None = None) -> Workers:
    """Those workers themselves, of whom none is hired yet."""
    _check(on, workers)
    module, name = WAYS[on]
    hired: Workers = getattr(importlib.import_module(module), name)(detector, workers)
    return hired


def _check(on: str, workers: int | None) -> None:
    if on not in WAYS:
        raise ParameterError(f"--on must be one of {', '.join(sorted(WAYS))}, got {on!r}")
    if workers is not None and workers < 1:
        raise ParameterError(f"workers must be at least 1, got {workers}")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
