"""What learning and scoring of rows costs, beside PyOD's autoencoder and a bare loop of PyTorch.

The same dense autoencoder, batch and number of epochs for all, one thread. The contestants run in
turn, several rounds, and the least CPU time of each counts, so that a busy machine changes the
ratios little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raravis.errors import ParameterError
from raravis.models import row_scores
from raravis.row_networks import RowNetwork, RowWindows
from raravis.series.rows import Scaling
from raravis.windows import FloatArray

Row = dict[str, Any]
Contestants = dict[str, Callable[[], object]]
BATCH = 256
LEARNING_RATE = 1e-3
FIT, SCORE = "fit", "score"


@dataclass(frozen=True)
class Task:
    """A dense autoencoder values-hidden-latent-hidden-values, and rows for it.

    count   rows, a multiple of the batch.
    epochs  passes over them.
    """

    values: int
    hidden: int
    latent: int
    count: int
    epochs: int

    @property
    def name(self) -> str:
        """The widths of the layers."""
        way = (self.values, self.hidden)
        return "-".join(map(str, (*way, self.latent, *reversed(way))))

    def rows(self) -> FloatArray:
        """Rows (count, values) that a few hidden numbers make, under noise."""
        random = np.random.default_rng(0)
        hidden = random.normal(size=(self.count, self.latent))
        rows: FloatArray = hidden @ random.normal(size=(self.latent, self.values))
        return rows + random.normal(size=rows.shape)


TASKS = (Task(1000, 512, 32, 16 * BATCH, 4), Task(38, 32, 8, 32 * BATCH, 10))


def run(tasks: tuple[Task, ...] = TASKS, rounds: int = 5) -> list[Row]:
    """CPU-seconds of fitting and points scored per CPU-second, of each contestant at each task.

    Raises ParameterError where PyOD is not installed.
    """
    pyod = _pyod()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [row for task in tasks for row in _at(task, pyod, rounds)]
    finally:
        torch.set_num_threads(threads)


def _at(task: Task, pyod: Any, rounds: int) -> list[Row]:
    rows = task.rows()
    theirs, bare = PyodFit(task, pyod), BareLoop(task, rows)
    ours = {name: OurFit(task, name) for name in ("float32", "auto")}
    fits: Contestants = {
        "PyOD AutoEncoder, fit": lambda: theirs.fit(rows),
        "bare loop, float32, the same optimiser": bare.fit,
        "ours, fit, float32 (target: >= 2 x PyOD)": lambda: ours["float32"].fit(rows),
        "ours, fit, bfloat16 where the processor has it": lambda: ours["auto"].fit(rows),
        "ours, its training alone, float32 (target: <= 1.1 x bare)": ours["float32"].train,
    }
    scores: Contestants = {
        "PyOD AutoEncoder, decision_function": lambda: theirs.score(rows),
        "ours, score, float32 (target: >= 5 x PyOD)": lambda: ours["float32"].score(rows),
    }
    return [
        *_timed(task, fits, rounds, task.count * task.epochs),
        *_timed(task, scores, rounds, task.count),
    ]


def _timed(task: Task, contestants: Contestants, rounds: int, points: int) -> list[Row]:
    """Least CPU time of each contestant, and how much faster than the first it is."""
    best = dict.fromkeys(contestants, float("inf"))
    for turn in range(rounds + 1):
        for name, contest in contestants.items():
            start = time.process_time()
            contest()
            if turn:  # the first turn of each makes what is made once
                best[name] = min(best[name], time.process_time() - start)
    first = next(iter(best.values()))
    return [
        {
            "network": task.name,
            "what": name,
            "cpu_s": round(seconds, 4),
            "points_per_cpu_s": round(points / seconds),
            "times_pyod": round(first / seconds, 2),
        }
        for name, seconds in best.items()
    ]


class OurFit:
    """Scaling, network, scale of the residuals: all that one channel's contribution needs."""

    def __init__(self, task: Task, precision: str) -> None:
        self.task = task
        self.training = {
            "epochs": task.epochs,
            "max_steps": task.epochs * task.count // BATCH,
            "batch": BATCH,
            "learning_rate": LEARNING_RATE,
            "device": "cpu",
            "precision": precision,
        }

    def fit(self, rows: FloatArray) -> None:
        """From raw rows to a model that scores."""
        task = self.task
        self.scaling = Scaling().fit([rows])
        self.rows = self.scaling.apply(rows)
        network = {"name": "dense-ae", "hidden": (task.hidden,), "latent": task.latent}
        self.model = RowNetwork(network, task.values, window=1, training=self.training)
        self.model.fit([self.rows])

    def train(self) -> None:
        """The steps alone, going on with the network that `fit` made."""
        windows = RowWindows([self.rows], 1, len(self.rows))
        self.model.training.fit(self.model.network_.network, windows)

    def score(self, rows: FloatArray) -> FloatArray:
        """Scores of raw rows."""
        return row_scores(self.model.contributions(self.scaling.apply(rows)))


class PyodFit:
    """PyOD's autoencoder with the same layers; neither dropout nor batch normalisation."""

    def __init__(self, task: Task, made: Any) -> None:
        self._make: Callable[[], Any] = lambda: made(
            lr=LEARNING_RATE,
            epoch_num=task.epochs,
            batch_size=BATCH,
            optimizer_params={"weight_decay": 0},
            hidden_neuron_list=[task.hidden, task.latent],
            batch_norm=False,
            dropout_rate=0,
            verbose=0,
            device=torch.device("cpu"),
        )

    def fit(self, rows: FloatArray) -> None:
        """From raw rows to a model that scores."""
        self.model = self._make().fit(rows.astype(np.float32))

    def score(self, rows: FloatArray) -> FloatArray:
        """Scores of raw rows."""
        scores: FloatArray = self.model.decision_function(rows.astype(np.float32))
        return scores


class BareLoop:
    """The loop as one would write it who knows what is fast, on rows that are ready."""

    def __init__(self, task: Task, rows: FloatArray) -> None:
        scaled = Scaling().fit([rows]).apply(rows)
        self.rows = torch.from_numpy(scaled.astype(np.float32))
        self.epochs = task.epochs
        sizes = (task.values, task.hidden, task.latent, task.hidden, task.values)
        linear = [torch.nn.Linear(i, o) for i, o in pairwise(sizes)]
        relu = torch.nn.ReLU(inplace=True)
        self.network = torch.nn.Sequential(linear[0], relu, *linear[1:3], relu, linear[3])

    def fit(self) -> Tensor:
        """Every step with a falling learning rate; the mean losses of the epochs."""
        optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=LEARNING_RATE, weight_decay=0, fused=True
        )
        steps = self.epochs * len(self.rows) // BATCH
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        means = []
        for _ in range(self.epochs):
            losses = []
            for chosen in torch.randperm(len(self.rows)).split(BATCH):  # type: ignore[no-untyped-call]
                batch = self.rows[chosen]
                loss = torch.nn.functional.mse_loss(self.network(batch), batch)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                losses.append(loss.detach())
            means.append(torch.stack(losses).mean())
        return torch.stack(means)


def _pyod() -> Any:
    try:
        return import_module("pyod.models.auto_encoder").AutoEncoder
    except ImportError as error:
        raise ParameterError(
            "this benchmark compares with PyOD, which is not installed whole: "
            f"`pip install pyod tqdm` ({error})"
        ) from error
