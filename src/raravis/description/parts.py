"""What a detector that learned is made of: each model in it, with its layers or learned arrays."""

from __future__ import annotations

from dataclasses import dataclass

from raravis.description.layers import Row, Shape, describe_learned, describe_network
from raravis.errors import ParameterError
from raravis.layers import SegmentLayer, WindowLayer
from raravis.networks import Network
from raravis.row_layer import RowLayer
from raravis.row_networks import RowNetwork
from raravis.senses import Sense


@dataclass(frozen=True)
class Part:
    """One model.

    rows     its layers, or its learned arrays.
    network  the network, with the `shape` (C, H, W) of the windows that it sees; or None.
    """

    rows: list[Row]
    network: Network | None = None
    shape: Shape = ()


def parts_of(sense: Sense) -> dict[str, Part]:
    """The models of a sense that learned, by name.

    Raises ParameterError where there is none, as in a chain that learns while rows come.
    """
    parts: dict[str, Part] = {}
    for name, layer in sense.layers.items():
        if isinstance(layer, WindowLayer):
            parts[name] = network_part(layer.network, (1, *layer.shape))
        elif isinstance(layer, SegmentLayer):
            parts[name] = Part(describe_learned(layer.model))
        elif isinstance(layer, RowLayer):
            parts |= _members(layer)
    if not parts:
        raise ParameterError(
            "this detector learns while it judges and keeps no model: there is nothing to describe"
        )
    return parts


def network_part(network: Network, shape: Shape) -> Part:
    """A network that sees windows of `shape` (C, H, W)."""
    return Part(describe_network(network, shape), network, shape)


def _members(layer: RowLayer) -> dict[str, Part]:
    parts = {}
    channels = len(layer.scaling.mean_)
    for name, model in layer.model.models.items():
        if isinstance(model, RowNetwork):
            network = model.network_.network
            parts[name] = network_part(network, (channels, model.window, 1))
        else:
            parts[name] = Part(describe_learned(model))
    return parts
