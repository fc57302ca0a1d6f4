"""Several processes that teach one network together, on one machine or many.

Outside `joined`, or alone, there is one process and everything here is the identity, so whoever
calls need not ask. The ranks are those of torch.distributed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from raravis.windows import FloatArray, IntArray


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
    dist.all_reduce(summed)
    return np.asarray(summed.numpy())


def from_first(value: Any) -> Any:
    """What process 0 holds, in every process."""
    if size() == 1:
        return value
    held = [value]
    dist.broadcast_object_list(held)
    return held[0]


def all_of(value: Any) -> list[Any]:
    """What each process holds, by rank, in every process."""
    held = [value] * size()
    if size() > 1:
        dist.all_gather_object(held, value)
    return held


def wait() -> None:
    """Returns when every process has come here."""
    if size() > 1:
        dist.barrier()


def average_gradients(weights: Iterable[nn.Parameter], flag: bool = False) -> bool:
    """Replaces each gradient by its mean over the processes; true in all where one has a flag."""
    if size() == 1:
        return flag
    learning = list(weights)
    for weight in learning:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    flat = torch.cat(
        [weight.grad.flatten() for weight in learning]  # type: ignore[union-attr]
        + [torch.tensor([float(flag)], device=learning[0].device, dtype=learning[0].dtype)]
    )
    dist.all_reduce(flat)
    start = 0
    for weight in learning:
        part = flat[start : start + weight.numel()]
        weight.grad = (part / size()).view_as(weight)
        start += weight.numel()
    return bool(flat[-1] > 0)


def gathered(values: Tensor) -> Tensor:
    """Values (B_r, ...) of every process, together, (B, ...), with the gradient going back."""
    if size() == 1:
        return values
    raise RuntimeError("several processes: not built yet")


@contextmanager
def joined() -> Iterator[None]:
    """Inside, the processes that were started together learn together."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        dist.init_process_group("gloo")
    try:
        yield
    finally:
        if size() > 1:
            dist.destroy_process_group()
