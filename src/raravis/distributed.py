"""Several processes that teach one network together, on one machine or many.

Outside `joined`, or alone, there is one process and everything here is the identity, so whoever
calls need not ask. What is summed is the same in every process, to the last bit.

Every process must call the same functions in the same order. Where one is lost, the others raise
RunError at their next word to it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from raravis.errors import RunError
from raravis.windows import FloatArray, IntArray
from raravis.world import World, read_world

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

PATIENCE_S = 900.0


@contextmanager
def joined(patience_s: float = PATIENCE_S) -> Iterator[World]:
    """Inside, this process works together with the others that were started with it.

    Who they are, the environment says (`read_world`). Tensors on the CPU travel by gloo; where
    there are GPUs, each process takes the one of its number on its machine, and what lies there
    travels by NCCL. Alone, or where torch.distributed works already, nothing is done.

    patience_s  > 0, how long to wait for another process before it counts as lost, where the
                network does not tell; one that ends or is killed is noticed at once.

    Raises ParameterError for an environment that contradicts itself, RunError where the processes
    do not find each other.
    """
    world = read_world(os.environ)
    if world.size == 1 or size() > 1:
        yield world
        return
    if not dist.is_available():
        raise RunError(
            f"{world.size} processes were started, but this build of torch has no "
            "torch.distributed: install one that has, or start one process"
        )
    cards = torch.cuda.device_count()
    if cards:  # where a process sees only one, that is its own
        torch.cuda.set_device(world.local_rank if cards > 1 else 0)
    with _talking():
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if cards else "gloo",
            **_meeting_place(world, patience_s),
            rank=world.rank,
            world_size=world.size,
            timeout=timedelta(seconds=patience_s),
        )
    try:
        yield world
    finally:  # where it raised, this closes the line, and the others notice
        dist.destroy_process_group()


def _meeting_place(world: World, patience_s: float) -> dict[str, Any]:
    """Where the processes tell each other their addresses, in the words of torch.distributed.

    torchrun has a board of its own for this, which keeps what is written on it when processes are
    started again; else process 0 opens one.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        host = f"[{world.address}]" if ":" in world.address else world.address
        return {"init_method": f"tcp://{host}:{world.port}"}
    patience = timedelta(seconds=patience_s)
    board = dist.TCPStore(  # type: ignore[attr-defined]
        world.address, world.port, is_master=False, timeout=patience
    )
    name = agreed_name(board, world, patience_s)
    return {"store": dist.PrefixStore(name, board)}  # type: ignore[attr-defined]


def agreed_name(board: Store, world: World, patience_s: float) -> str:
    """A name that the processes of this world have in common, and none before them on this board.

    Whoever reads there the address of a process that was killed calls it in vain, and how often
    processes were started again, not all machines count alike. So each process takes a name that
    is new. Process 0 tells its own to every name that it finds, of the living and of the dead, and
    that is the name of all once each of the others has answered to it.

    Raises RuntimeError where one of them does not come in time.

    Source: https://github.com/pytorch/pytorch/issues/135712
    """
    own, until = uuid4().hex, time.monotonic() + patience_s
    if world.rank:
        board.set(f"raravis/{world.rank}", own)
        name: str = board.get(own).decode()
        board.set(f"{name}/{world.rank}", "here")
        return name
    missing = list(range(1, world.size))
    while missing := [rank for rank in missing if not board.check([f"{own}/{rank}"])]:
        if time.monotonic() > until:
            raise RuntimeError(f"processes {missing} did not come within {patience_s:g} s")
        for rank in missing:
            if board.check([f"raravis/{rank}"]):
                board.set(board.get(f"raravis/{rank}").decode(), own)
        time.sleep(0.02)
    return own


@contextmanager
def _talking() -> Iterator[None]:
    """Inside, a process that cannot be reached is RunError."""
    try:
        yield
    except RuntimeError as error:  # what all of torch.distributed raises
        raise RunError(
            "the processes that work together have lost each other, since one failed (see what it "
            "says), was killed or cannot be reached: start all of them again, and a fit goes on "
            f"from its last checkpoint ({str(error).split('. ')[0]})"
        ) from error


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if size() > 1 else 0


def own_part(rows: IntArray) -> IntArray:
    """This process's part of the rows of a batch; the parts differ by one row at most."""
    return np.array_split(rows, size())[rank()] if size() > 1 else rows


def total(values: FloatArray) -> FloatArray:
    """The sum over all processes of an array that has the same shape in each."""
    if size() == 1:
        return values
    summed = torch.from_numpy(np.array(values, dtype=np.float64))
    return np.asarray(sum_over_all(summed).numpy())


def sum_over_all(values: Tensor) -> Tensor:
    """Replaces a tensor by its sum over all processes, in place, and without gradient."""
    if size() > 1:
        with _talking():
            dist.all_reduce(values)
    return values


def from_first(value: Any) -> Any:
    """What process 0 holds, in every process."""
    if size() == 1:
        return value
    held = [value]
    with _talking():
        dist.broadcast_object_list(held)
    return held[0]


def all_of(value: Any) -> list[Any]:
    """What each process holds, by rank, in every process."""
    held = [value] * size()
    if size() > 1:
        with _talking():
            dist.all_gather_object(held, value)
    return held


def wait() -> None:
    """Returns when every process has come here."""
    if size() > 1:
        with _talking():
            dist.barrier()


def share_weights(network: nn.Module) -> None:
    """Gives every process the weights and statistics that process 0 has, in place."""
    if size() == 1:
        return
    with torch.no_grad(), _talking():
        for values in network.state_dict().values():
            same = values.contiguous()
            dist.broadcast(same, 0)
            values.copy_(same)


def average_buffers(network: nn.Module) -> None:
    """Gives every process the mean of what the network notes beside its weights, in place: where
    each normalised its own rows, what they met together."""
    if size() == 1:
        return
    noted = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    if noted:
        flat = sum_over_all(torch.cat([buffer.flatten() for buffer in noted])) / size()
        parts = torch.split(flat, [buffer.numel() for buffer in noted])
        for buffer, part in zip(noted, parts, strict=True):
            buffer.copy_(part.view_as(buffer))


def average_gradients(weights: Iterable[nn.Parameter], flag: bool = False) -> bool:
    """Replaces each gradient by its mean over the processes; true in all where one has a flag.

    A weight that has a gradient nowhere stays without one. All travels as one message.
    """
    if size() == 1:
        return flag
    learning = [weight for weight in weights if weight.requires_grad]
    counts = [weight.numel() for weight in learning]
    flags = [flag, *(weight.grad is not None for weight in learning)]
    flat = learning[0].new_zeros(sum(counts) + len(flags))
    parts = [  # each in the order that its weight has in memory, which the optimiser relies on
        part.as_strided(weight.shape, weight.stride())
        for part, weight in zip(torch.split(flat, [*counts, len(flags)]), learning, strict=False)
    ]
    for part, weight in zip(parts, learning, strict=True):
        if weight.grad is not None:
            part.copy_(weight.grad)
    flat[-len(flags) :] = torch.tensor(flags, dtype=flat.dtype)
    sum_over_all(flat)
    flags = (flat[-len(flags) :] > 0).tolist()
    flat /= size()
    for part, weight, has_one in zip(parts, learning, flags[1:], strict=True):
        weight.grad = part.to(weight.dtype) if has_one else None
    return flags[0]


def gathered(values: Tensor) -> Tensor:
    """Values (B_r, ...) of every process, together by rank, (B, ...), with the gradient going back.

    Going back, each process gets for its own values the sum of the gradients of all processes. So
    a loss that each of them computes from the same gathered values has, once gradients are
    averaged, the gradient that one process with the whole batch would have.
    """
    if size() == 1:
        return values
    return _Gathered.apply(values)  # type: ignore


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        count = torch.zeros(size(), dtype=torch.int64, device=values.device)
        count[rank()] = len(values)
        counts = sum_over_all(count).tolist()
        padded = values.new_zeros(max(counts), *values.shape[1:])  # parts of one size travel
        padded[: len(values)] = values
        parts = [torch.empty_like(padded) for _ in counts]
        with _talking():
            dist.all_gather(parts, padded)
        before = sum(counts[: rank()])
        context.own = slice(before, before + len(values))
        return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> Tensor:
        exact = torch.promote_types(gradient.dtype, torch.float32)
        whole = sum_over_all(gradient.to(exact, copy=True).contiguous())
        return whole[context.own].to(gradient.dtype)
