"""Several real processes that work together, and what each of them does for test_distributed.

Whatever is done here is done by one process as well, with the whole batch, and must come out alike.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.multiprocessing as processes
from torch import Tensor, nn

from raravis import distributed, models
from raravis.blocks import ConvBlock, seeded
from raravis.errors import RunError
from raravis.journal import Journal
from raravis.networks import Codes, Network
from raravis.training import Training

Answers = dict[str, Any]
ROWS, SHAPE = 10, (1, 16, 13)
PAIR = (2, 16, 13)  # what every registered network takes, also one that sees by two cameras
NETWORKS = [
    name
    for name in models.names()
    if isinstance(models.get(name), type) and issubclass(models.get(name), Network)
]
SHARES = {  # how many of the rows each process has
    1: [[ROWS]],
    2: [[5, 5], [7, 3], [10, 0]],
    3: [[4, 3, 3], [6, 1, 3], [0, 8, 2], [10, 0, 0]],
}


def environments(size: int, starter: str) -> list[dict[str, str]]:
    """What each of several processes on this machine finds in its environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if starter == "torchrun":
        line = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
        return [{**line, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)]
    line = {"SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_STEP_ID": str(port), "SLURM_STEP_NUM_TASKS": str(size)}  # fmt: skip
    return [{**line, "SLURM_PROCID": str(r), "SLURM_LOCALID": str(r)} for r in range(size)]


def together(
    work: Callable[..., Answers], size: int, folder: Path, *given: Any, starter: str = "torchrun"
) -> list[Answers]:
    """The answers, by rank, of processes that each do `work(folder, *given)`."""
    folder.mkdir(parents=True, exist_ok=True)
    crew = processes.get_context("spawn")
    started = [
        crew.Process(target=_join, args=(environment, rank, work, folder, *given))
        for rank, environment in enumerate(environments(size, starter))
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(240)  # under load, or where one waits for another
        if process.is_alive():
            process.kill()
    paths = [folder / f"answers_{rank}.pt" for rank in range(size)]
    return [torch.load(p, weights_only=False) if p.exists() else {} for p in paths]


def _join(
    environment: dict[str, str], rank: int, work: Callable[..., Answers], folder: Path, *given: Any
) -> None:
    torch.set_num_threads(1)
    os.environ.update(environment)
    with distributed.joined(patience_s=60) as world:
        assert (world.rank, distributed.rank()) == (rank, rank)
        answers = work(folder, *given)
    torch.save(answers, folder / f"answers_{rank}.pt")


# --- losses --------------------------------------------------------------------------------------


def covariance(codes: Tensor) -> Tensor:
    """Squared covariances between different numbers of the code."""
    centred = codes - codes.mean(dim=0)
    squared = (centred.T @ centred / (len(codes) - 1)).square()
    return (squared.sum() - squared.diagonal().sum()) / codes.shape[1]


def variance(codes: Tensor) -> Tensor:
    """How far each number of the code falls short of deviation 1."""
    return (1 - (codes.var(dim=0) + 1e-4).sqrt()).clamp_min(0).mean()


def contrast(codes: Tensor) -> Tensor:
    """Each code is to be told from all others, by its noisy twin."""
    first, second = nn.functional.normalize(codes, dim=1), nn.functional.normalize(codes + 0.1)
    return nn.functional.cross_entropy(first @ second.T / 0.5, torch.arange(len(codes)))


def crowding(codes: Tensor, everyone: Tensor) -> Tensor:
    """How near each code is to all of them, (B_r,)."""
    return torch.logsumexp(-(codes[:, None] - everyone[None]).square().sum(dim=2), dim=1)


COUPLED = {"covariance": covariance, "variance": variance, "contrast": contrast}


class Coupled(Network):
    """Learns in float64, with batch normalisation and a part that couples the batch."""

    def __init__(self, part: str = "covariance") -> None:
        super().__init__()
        self.part = part
        self.see = nn.Sequential(ConvBlock(1, 4, (2, 2)), ConvBlock(4, 4, (2, 2)), nn.Flatten())
        self.squeeze, self.spread = nn.Linear(4 * 4 * 4, 3), nn.Linear(3, 16 * 13)
        self.double()

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        codes = self.squeeze(self.see(batch.double()))
        rebuilt = self.spread(codes).view(-1, *SHAPE)
        errors = (rebuilt - batch).square().mean(dim=(1, 2, 3))
        everyone = distributed.gathered(codes)
        if self.part == "crowding":
            return {"reconstruction": errors, "crowding": crowding(codes, everyone)}
        return {"reconstruction": errors, self.part: COUPLED[self.part](everyone)}

    def encode(self, batch: Tensor) -> Codes:
        return Codes(self.squeeze(self.see(batch.double())), {})


# --- what is done --------------------------------------------------------------------------------


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def own_rows(shares: list[int]) -> slice:
    before = sum(shares[: distributed.rank()])
    return slice(before, before + shares[distributed.rank()])


@contextmanager
def exactly(own: slice) -> Iterator[None]:
    """Whoever draws noise gets, for each row, what it would get in one process; and what networks
    make float32, since it might be less, stays float64."""

    def noise(like: Tensor) -> Tensor:
        return drawn(ROWS, *like.shape[1:], seed=9)[own].to(like)

    with mock.patch("torch.randn_like", noise), mock.patch.object(Tensor, "float", Tensor.double):
        yield


def one_step(network: Network, shares: list[int], shape: tuple[int, ...] = SHAPE) -> Answers:
    """Gradients, statistics, and weights after one step, as training makes it."""
    network.train().to(memory_format=torch.channels_last)
    own = own_rows(shares)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01, fused=True)
    share = distributed.size() / ROWS
    with exactly(own):
        parts = network.parts(drawn(ROWS, *shape)[own])
        sum(p.sum() * share if p.ndim else p for p in parts.values()).backward()
    distributed.average_gradients(network.parameters())
    optimiser.step()
    return {
        **{f"gradient of {name}": w.grad for name, w in network.named_parameters()},
        **{f"statistic {name}": values.clone() for name, values in network.named_buffers()},
        **{f"weight {name}": w.detach().clone() for name, w in network.named_parameters()},
    }


def steps(shares: list[int]) -> Answers:
    """One step of every loss and every registered network."""
    made: Answers = {}
    for part in (*COUPLED, "crowding"):
        with seeded(0):
            made[part] = one_step(Coupled(part), shares)
    for name in NETWORKS:
        with seeded(0):
            network = models.create(name, shape=PAIR).double()
        made[name] = one_step(network, shares, PAIR)
    return made


def steps_of(folder: Path, kinds: list[tuple[str, Answers, tuple[int, ...]]]) -> Answers:
    """One step of networks by name, options and shape; the processes share a batch unevenly."""
    made = {}
    for number, (name, options, shape) in enumerate(kinds):
        with seeded(0):
            network = models.create(name, shape=shape, **options).double()
        made[f"{name} {number}"] = one_step(
            network, SHARES[distributed.size()][len(SHARES[distributed.size()]) // 2], shape
        )
    return made


def history_of(
    training: Training, network: Network, journal: Journal, given: np.ndarray | None = None
) -> Answers:
    history = training.fit(network, windows() if given is None else given, journal=journal)
    learned = {name: values.clone() for name, values in network.state_dict().items()}
    return {"weights": learned, "left_out": history.left_out, "looks": history.looks,
            "loss": history.loss, "validation_loss": history.validation_loss,
            "windows": history.windows, "parts": history.parts}  # fmt: skip


TRAINING = Training(
    epochs=5, batch=9, validation=0.05, patience=9, prune="zscore:2", prune_first=2, prune_every=1,
    device="cpu", precision="float32",
)  # fmt: skip


def windows() -> np.ndarray:
    """46 windows, 4 of them strange; the 2 held back leave one of three processes without a row."""
    made = np.random.default_rng(0).normal(size=(46, *SHAPE)).astype(np.float32)
    made[[3, 11, 19, 30]] *= 4
    return made


class Stopped(Exception):  # noqa: N818  in place of a kill
    pass


def stopped_after(steps: int) -> Callable[[str, float, float], None]:
    def progress(step: str, done: float, total: float) -> None:
        if done > steps:
            raise Stopped

    return progress


def taught(journal: Journal) -> Answers:
    with seeded(distributed.rank()):  # every process begins elsewhere: what the first has, counts
        network = Coupled()
    return history_of(TRAINING, network, journal)


STOPS = (7, 12)  # steps, of 5 an epoch: in the middle of the second and of the third


def everything(folder: Path, begun: Path | None = None) -> Answers:
    """All that is compared between processes and one process."""
    size = distributed.size()
    answers: Answers = {
        "steps": [steps(shares) for shares in SHARES[size]],
        "gathered": [gathers(shares) for shares in SHARES[size]],
        "gradients": averages(),
        "total": distributed.total(np.arange(3.0) + distributed.rank()),
        "from_first": distributed.from_first(f"rank {distributed.rank()}"),
        "all_of": distributed.all_of(distributed.rank()),
        "taught": taught(Journal()),
        "own": history_of(replace(TRAINING, batch_norm="own"), Coupled(), Journal()),
        "gone on": {},
    }
    for stop in STOPS:
        place = folder / f"stopped_{stop}"
        if begun is None:
            try:
                taught(Journal(stopped_after(stop), folder=place, every_s=0))
            except Stopped:
                distributed.wait()
        else:
            answers["gone on"][stop] = taught(Journal(folder=begun / f"stopped_{stop}"))
    return answers


def gathers(shares: list[int]) -> Answers:
    own = own_rows(shares)
    numbers, halves = torch.arange(ROWS), drawn(ROWS, 2, 3).bfloat16()
    return {
        "numbers": distributed.gathered(numbers[own]),
        "halves": distributed.gathered(halves[own]),
    }


def averages() -> Answers:
    """Mean gradients where a weight has one everywhere, in one process only, and nowhere."""
    rank = distributed.rank()
    weights = [nn.Parameter(torch.ones(2, 3, 1, 2, dtype=d)) for d in [torch.float64] * 2]
    weights += [nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(2), requires_grad=False)]
    weights[0].data = weights[0].data.contiguous(memory_format=torch.channels_last)
    weights[0].grad = drawn(2, 3, 1, 2, seed=rank).contiguous(memory_format=torch.channels_last)
    if rank == 0:
        weights[1].grad = torch.full_like(weights[1], 6.0)
    flagged = distributed.average_gradients(weights, flag=rank == distributed.size() - 1)
    unflagged = distributed.average_gradients(weights[:1])
    return {"gradients": [w.grad for w in weights], "flags": (flagged, unflagged),
            "strides": weights[0].grad.stride()}  # fmt: skip


# --- losing each other ---------------------------------------------------------------------------


def lose(folder: Path, how: str) -> Answers:
    """The last process fails while the others wait for it: how they hear of it, and how soon."""
    distributed.wait()
    began = time.perf_counter()
    if distributed.rank() == distributed.size() - 1:
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise SystemExit(3)
    try:
        distributed.total(np.ones(3))
    except RunError as error:
        return {"message": str(error), "waited_s": time.perf_counter() - began}
    return {}


if __name__ == "__main__":  # as torchrun starts it
    with distributed.joined() as joined:
        ranks = distributed.total(np.ones(1) * (joined.rank + 1))
    Path(sys.argv[1], f"{joined.rank}.txt").write_text(f"{joined.size} {ranks[0]:g}")
