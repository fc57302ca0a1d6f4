"""What a model is made of: its layers with shapes and parameters, one row each."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from raravis import models
from raravis.configuration import complete
from raravis.learned import Learned
from raravis.networks import Network


@dataclass(frozen=True)
class Row:
    """One layer, or one learned array of a model without layers.

    name    where it stands, such as "encoder.0".
    kind    class of the layer, or "array".
    shape   of what comes out, without the batch; of the array.
    size    parameters in it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    size: int


def describe_network(network: Network, shape: tuple[int, ...]) -> list[Row]:
    """The layers of a network in the order in which a window of `shape` (C, H, W) passes them."""
    rows: list[Row] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                size = sum(p.numel() for p in module.parameters(recurse=False))
                rows.append(Row(name, type(module).__name__, tuple(output.shape[1:]), size))

        return hook

    leaves = [(name, m) for name, m in network.named_modules() if not list(m.children())]
    hooks = [module.register_forward_hook(note(name)) for name, module in leaves]
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            network.reconstruct(torch.zeros(1, *shape, device=network.device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return rows


def describe_learned(learned: Learned) -> list[Row]:
    """The learned arrays of a closed-form model."""
    return [
        Row(name, "array", tuple(array.shape), int(array.size))
        for name, array in learned.state().items()
    ]


def fresh_network(name: str, shape: tuple[int, ...], **options: Any) -> Network | None:
    """An untrained model by name, or None where the model is no network."""
    cls = models.get(name)
    if not (inspect.isclass(cls) and issubclass(cls, Network)):
        complete(cls, options, f"model {name!r}")
        return None
    network: Network = models.create(name, shape=shape, **options)
    return network
