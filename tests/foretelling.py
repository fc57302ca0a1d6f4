"""Small networks that foretell, and the step of one that processes make together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crew import ROWS, drawn, exactly, own_rows
from raravis import distributed
from raravis.blocks import seeded
from raravis.models.predictive import Predictive

CLIP = (1, 8, 20)
SKY = (6, 8, 8)  # two channels of the present, and of two later pictures
SMALL: dict[str, Any] = {"options": {"width": 4}, "embedding": 6, "hidden": 16, "grid": 2}


def clips(seed: int = 0, **options: Any) -> Predictive:
    with seeded(seed):
        return Predictive(CLIP, **{**SMALL, **options})


def skies(seed: int = 0, **options: Any) -> Predictive:
    with seeded(seed):
        return Predictive(SKY, split=2, **{"offsets": (30, 90), **SMALL, **options})


def step_of(shares: list[int]) -> dict[str, Tensor]:
    """Gradients, and what was noted, after one step in which each process has its rows."""
    made = {}
    for kind, network, shape in (("clips", clips(), CLIP), ("skies", skies(), SKY)):
        network.double().train()
        with torch.no_grad():  # so that the trailing branch has somewhere to go
            network.branch.squeeze.weight.add_(0.1)
        own = own_rows(shares)
        with exactly(own):
            parts = network.parts(drawn(ROWS, *shape)[own])
            share = distributed.size() / ROWS
            sum(part.sum() * share if part.ndim else part for part in parts.values()).backward()
        distributed.average_gradients(network.parameters())
        made |= {f"{kind} {name}": w.grad for name, w in network.named_parameters()}
        made |= {f"{kind} {name}": values.clone() for name, values in network.named_buffers()}
    return made


def step_of_each(folder: Path, shares: list[list[int]]) -> dict[str, Any]:
    return {str(share): step_of(share) for share in shares}
