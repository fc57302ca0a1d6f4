"""What it costs to share training among processes, and to look for strange windows meanwhile.

Every process has one thread. What is compared runs in turn, several rounds, and medians count. A
machine gives two processes less than twice what it gives one, so beside two that work together
stand two that train apart at the same time: more than theirs cannot be reached.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.multiprocessing as processes

from raravis import distributed, models
from raravis.blocks import seeded
from raravis.errors import RunError
from raravis.networks import Network
from raravis.training import Training
from raravis.windows import FloatArray

Row = dict[str, Any]
Environment = dict[str, str]
Spent = tuple[float, float]  # seconds on the clock, and of the processor
SHAPE, BATCH = (1, 64, 50), 64
COUNT = 1_000_000
PATIENCE_S = 600


def run(rounds: int = 5, steps: int = 20) -> list[Row]:
    """Gathering, pruning and sharing, each beside what it is compared with."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [*gathering(rounds), *pruning(rounds)]
        for precision in ("float32", "auto"):
            rows += sharing(rounds, steps, precision)
        return rows
    finally:
        torch.set_num_threads(threads)


def gathering(rounds: int, count: int = COUNT) -> list[Row]:
    """How long two processes take until both have the losses of all windows."""
    with Crew(2, together=True) as crew:
        spent = [crew.do(_gather, count) for _ in range(4 * rounds)]
    seconds = [max(s for s, _ in both) for both in spent]
    return [
        {
            "what": f"{count:,} losses gathered by 2 processes (target < 50 ms)",
            "ms": round(1e3 * median(seconds), 1),
            "least_ms": round(1e3 * min(seconds), 1),
        }
    ]


def pruning(rounds: int, windows: int = 8 * BATCH) -> list[Row]:
    """The same training with and without looking which windows are strange, in one process.

    It looks twice in six epochs, more often than usual, and nothing may be left out, so that both
    learn from as many windows.
    """
    data = _windows(windows)
    rules = {"none": "none", "zscore:3": "zscore:3"}
    spent: dict[str, list[Spent]] = {rule: [] for rule in rules}
    for turn in range(rounds + 1):  # the first of each makes what is made once
        for rule in rules if turn % 2 else reversed(rules):
            training = Training(
                epochs=6, batch=BATCH, device="cpu", prune=rule, prune_first=2, prune_every=2,
                prune_least=1.0, patience=6,
            )  # fmt: skip
            spent[rule].append(_timed(lambda t=training: t.fit(_network(), data)))  # type: ignore[misc]
    clock, processor = (
        median(with_it[i] / without[i] for without, with_it in zip(*spent.values(), strict=True))
        for i in (0, 1)
    )
    return [
        {
            "what": "training with pruning to training without (target <= 1.03)",
            "ratio": round(clock, 3),
            "ratio_of_cpu": round(processor, 3),
        }
    ]


def sharing(rounds: int, steps: int, precision: str) -> list[Row]:
    """Windows per second of one process, of two that train apart, and of two that share batches."""
    norms = {"two, together": "own", "two, together, batch_norm=whole": "whole"}
    rates: dict[str, list[float]] = {name: [] for name in ("one process", "two, apart", *norms)}
    used: dict[str, list[float]] = {name: [] for name in rates}
    with Crew(2, together=False) as apart, Crew(2, together=True) as together:
        for turn in range(rounds + 1):  # the first of each makes what is made once
            shared = [(name, together, 2) for name in norms]
            for name, crew, busy in [("one process", apart, 1), ("two, apart", apart, 2), *shared]:
                spent = crew.do(_train, steps, precision, norms.get(name, "own"), busy=busy)
                learned = steps * BATCH * (2 if name == "two, apart" else 1)
                if turn:
                    rates[name].append(learned / max(clock for clock, _ in spent))
                    used[name].append(learned / sum(processor for _, processor in spent))
    alone = rates["one process"]
    return [
        {
            "what": f"{precision}: {name}" + " (target >= 1.5)" * (name == "two, together"),
            "windows_per_s": round(median(rates[name])),
            "windows_per_cpu_s": round(median(used[name])),
            "ratio": round(median(a / b for a, b in zip(rates[name], alone, strict=True)), 2),
        }
        for name in rates
    ]


def _windows(count: int) -> FloatArray:
    noise: FloatArray = np.random.default_rng(0).normal(size=(count, *SHAPE)).astype(np.float32)
    return noise


def _network() -> Network:
    with seeded(0):
        network: Network = models.create("conv-ae", shape=SHAPE)
    return network


def _timed(work: Callable[[], object]) -> Spent:
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def _gather(count: int) -> Spent:
    losses: FloatArray = np.random.default_rng(distributed.rank()).random(count)
    distributed.wait()
    return _timed(lambda: distributed.total(losses))


def _train(steps: int, precision: str, norm: str) -> Spent:
    training = Training(
        epochs=1, batch=BATCH, validation=0, device="cpu", precision=precision, batch_norm=norm
    )
    network, windows = _network(), _windows(steps * BATCH)
    distributed.wait()
    return _timed(lambda: training.fit(network, windows))


class Crew:
    """Processes of one thread each that do the same work at the same time.

    together  whether they know of each other.
    """

    def __init__(self, size: int, together: bool) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            line = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        known = {**line, "WORLD_SIZE": str(size)} if together else {}
        spawning = processes.get_context("spawn")
        self._lines: list[Connection] = []
        self._started = []
        for rank in range(size):
            ours, theirs = spawning.Pipe()
            environment = {**known, "RANK": str(rank), "LOCAL_RANK": str(rank)} if known else {}
            process = spawning.Process(target=_serve, args=(theirs, environment), daemon=True)
            process.start()
            theirs.close()
            self._lines.append(ours)
            self._started.append(process)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._lines:
            line.send(None)
        for process in self._started:
            process.join(PATIENCE_S)

    def do(self, work: Callable[..., Spent], *given: Any, busy: int | None = None) -> list[Spent]:
        """What the work took in each process, or in the first `busy` of them.

        Raises RunError where a process failed.
        """
        lines = self._lines[:busy]
        for line in lines:
            line.send((work, given))
        try:
            return [line.recv() for line in lines]
        except EOFError as error:
            raise RunError("a process of the benchmark failed: see what it says above") from error


def _serve(line: Connection, environment: Environment) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    with distributed.joined():
        while (order := line.recv()) is not None:
            work, given = order
            line.send(work(*given))
