"""Turning windows by quarters, for networks that learn by telling how a window was turned.

Square windows have four turns. Others would change their shape by a quarter turn, so they have two.
"""

from __future__ import annotations

import torch
from torch import Tensor


def turns_of(height: int, width: int) -> tuple[int, ...]:
    """Quarter turns that leave the shape as it is: 0, 1, 2, 3 of a square, else 0 and 2."""
    return (0, 1, 2, 3) if height == width else (0, 2)


def every_turn(batch: Tensor) -> Tensor:
    """All windows (B, C, H, W) in each of their T turns, (T, B, C, H, W); the first is no turn."""
    turns = turns_of(*batch.shape[2:])
    return torch.stack([torch.rot90(batch, turn, (2, 3)) for turn in turns])


def turned(batch: Tensor, which: Tensor) -> Tensor:
    """Each window (B, C, H, W) in its own turn, by number (B,) among the turns of its shape."""
    return every_turn(batch)[which, torch.arange(len(batch), device=batch.device)]


def chosen(batch: Tensor, count: int, each: int = 1) -> Tensor:
    """For each window (B, ...), `each` whole numbers below `count`, alike likely, (B, each).

    Drawn from torch's generator, by rows: what a window gets hangs on its place in the batch.
    """
    like = batch.new_empty(len(batch), each)
    chance = torch.special.ndtr(torch.randn_like(like))  # uniform in [0, 1]
    numbers: Tensor = (chance * count).long().clamp_max(count - 1)
    return numbers
