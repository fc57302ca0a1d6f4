"""The speed of rows is measured among equals."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from raravis import models
from raravis.benchmarks import row_speed
from raravis.benchmarks.row_speed import BATCH, TASKS, BareLoop, OurFit, PyodFit, Task
from raravis.blocks import seeded
from raravis.errors import ParameterError

SMALL = Task(values=12, hidden=8, latent=3, count=4 * BATCH, epochs=60)


def size(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_network_is_the_usual_one_and_a_small_one() -> None:
    assert [task.name for task in TASKS] == ["1000-512-32-512-1000", "38-32-8-32-38"]
    assert all(task.count % BATCH == 0 for task in TASKS)  # no contestant leaves rows out


def test_the_bare_loop_and_ours_learn_the_same_network_alike() -> None:
    rows = SMALL.rows()
    ours, bare = OurFit(SMALL, "float32"), BareLoop(SMALL, rows)
    ours.fit(rows)
    with seeded(0):  # the weights with which ours began
        first = models.create("dense-ae", shape=(12, 1, 1), hidden=(8,), latent=3)
    for weight, other in zip(bare.network.parameters(), first.parameters(), strict=True):
        weight.data.copy_(other)
    losses = bare.fit()
    history = ours.model.history
    assert size(bare.network) == size(ours.model.network_.network)
    assert len(history) == len(losses) == SMALL.epochs
    assert history.loss[-1] < 0.8 * history.loss[0]
    assert history.loss[-1] == pytest.approx(losses[-1].item(), rel=0.05)


@pytest.mark.slow
def test_pyods_autoencoder_is_of_the_same_size_and_agrees_on_what_is_strange() -> None:
    pytest.importorskip("tqdm")
    pyod = pytest.importorskip("pyod.models.auto_encoder")
    rows = SMALL.rows()
    ours, theirs = OurFit(SMALL, "float32"), PyodFit(SMALL, pyod.AutoEncoder)
    ours.fit(rows)
    theirs.fit(rows)
    assert size(theirs.model.model) == size(ours.model.network_.network)
    agreement = np.corrcoef(ours.score(rows), theirs.score(rows))[0, 1]
    assert agreement > 0.5


def test_every_contestant_is_timed_at_every_task(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stub(OurFit):
        def __init__(self, task: Task, made: object) -> None:
            super().__init__(task, "float32")

    monkeypatch.setattr(row_speed, "_pyod", lambda: None)
    monkeypatch.setattr(row_speed, "PyodFit", Stub)
    threads = torch.get_num_threads()
    rows = row_speed.run((Task(12, 8, 3, BATCH, 1), Task(5, 4, 2, BATCH, 2)), rounds=1)
    assert torch.get_num_threads() == threads
    assert [row["network"] for row in rows] == 7 * ["12-8-3-8-12"] + 7 * ["5-4-2-4-5"]
    assert all(row["cpu_s"] > 0 and row["points_per_cpu_s"] > 0 for row in rows)
    assert [row["times_pyod"] for row in rows if "PyOD A" in row["what"]] == [1, 1, 1, 1]


def test_without_pyod_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyod.models.auto_encoder", None)
    with pytest.raises(ParameterError, match=r"compares with PyOD.*`pip install pyod tqdm`"):
        row_speed.run()
