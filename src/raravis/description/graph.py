"""What depends on what in a network: boxes, the frames around them, and the tensors between them.

A network is traced once with `torch.export`. Each of torch's own layers becomes one box, what is
written as a function becomes a box of its own, and a layer with others inside becomes a frame.
What only reorders numbers (views, transpositions, dropout in use) is part of the arrow.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from raravis.description.layers import Shape, passing
from raravis.description.nodes import (
    ATTENTION,
    MAKES,
    alive,
    attention,
    calls_around,
    only_reorders,
    operation,
    roles_of_inputs,
    shape_of,
    sizes,
    takes_part,
    within,
)
from raravis.errors import ParameterError

Place = tuple[str, ...]  # the calls of layers around something, outermost first

NAMES = {
    ATTENTION: "attention",
    "matmul": "matrix product",
    "bmm": "matrix product",
    "baddbmm": "matrix product",
    "mul": "multiply",
    "div": "divide",
    "sub": "subtract",
    "cat": "join",
    "upsample_nearest2d": "enlarge",
}


@dataclass
class Box:
    """One layer or one function.

    frame    the frames around it, outermost first; () is the network itself.
    title    name of the layer within its frame, or of what is done.
    kind     class of the layer, or "".
    layer    full name of the layer that it is, or in which it stands.
    weights  full name -> shape of the parameters that it uses.
    role     "Q", "K" or "V" where attention takes it as such.
    """

    frame: Place
    title: str
    kind: str = ""
    layer: str = ""
    weights: dict[str, Shape] = field(default_factory=dict)
    role: str = ""


@dataclass(frozen=True)
class Arrow:
    """A tensor on its way from box to box.

    shape  as it arrives, without the batch; as it was made where it goes to several in several
           shapes.
    role   "Q", "K" or "V" where it arrives at attention.
    """

    source: Place
    target: Place
    shape: Shape
    role: str = ""


@dataclass
class Graph:
    """Boxes by their place, in order of execution; frames by their place, each with its name and
    kind; arrows."""

    boxes: dict[Place, Box]
    frames: dict[Place, tuple[str, str]]
    arrows: list[Arrow]


def trace(network: nn.Module, shape: Shape, depth: int | None = None, most: int = 60) -> Graph:
    """The graph that a window of `shape` (C, H, W) passes.

    depth  >= 1: layers so many levels down are one box each, whatever is inside; None goes down
           as far as there are at most `most` boxes.

    Raises ParameterError for a depth below 1, and where the way through the network cannot be
    traced because it depends on the numbers.
    """
    if depth is not None and depth < 1:
        raise ParameterError(f"depth must be >= 1, got {depth}")
    traced = _Traced(_exported(network, shape), network)
    if depth is not None:
        return traced.graph(depth)
    down = traced.deepest
    while down > 1 and len(traced.graph(down).boxes) > most:
        down -= 1
    return traced.graph(down)


class _Way(nn.Module):
    """A network whose forward pass is what is to be drawn."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Tensor) -> Any:
        return passing(self.network)(batch)


def _exported(network: nn.Module, shape: Shape) -> torch.export.ExportedProgram:
    way = _Way(copy.deepcopy(network).cpu()).eval()
    quick = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # LSTMs keep a list of their weights, which torch.export remarks on and leaves alone
            warnings.filterwarnings("ignore", message="The tensor attributes? .* assigned during")
            return torch.export.export(way, (torch.zeros(1, *shape),), strict=False)
    except RuntimeError as error:
        raise ParameterError(
            f"the way through {type(network).__name__} cannot be traced, so there is no graph to "
            f"draw; the table of layers needs none ({str(error).splitlines()[0]})"
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(quick)


class _Traced:
    """An exported program, looked at as often as there are depths to try."""

    def __init__(self, program: torch.export.ExportedProgram, network: nn.Module) -> None:
        self.layers = dict(network.named_modules())
        signature = program.graph_signature
        self.weights = {
            name: full.removeprefix("network.")
            for name, full in signature.inputs_to_parameters.items()
        }
        inputs = set(signature.user_inputs)
        self.nodes = alive(program.graph.nodes)
        self.input = next((n for n in self.nodes if n.name in inputs), None)
        self.output = next(n for n in self.nodes if n.op == "output")
        self.calls = {node: calls_around(node) for node in self.nodes}
        self.deepest = max(len(calls) for calls in self.calls.values()) + 1
        self.roles, self.names = attention(self.nodes)

    def graph(self, depth: int) -> Graph:
        """Boxes, frames and arrows, down to a depth."""
        graph = Graph({}, {(): ("", type(self.layers[""]).__name__)}, [])
        place_of: dict[Node, Place] = {}
        for node in self.nodes:
            place, box = self._box(node, depth)
            if box is None:
                continue
            place_of[node] = place
            kept = graph.boxes.setdefault(place, box)
            kept.weights |= {self.weights[w.name]: sizes(w) for w in self._weights_of(node)}
            kept.role = kept.role or self.roles.get(node, "")
            for level in range(1, len(kept.frame) + 1):
                graph.frames[kept.frame[:level]] = self._heading(node, level)
        graph.arrows = self._arrows(place_of)
        return graph

    def _box(self, node: Node, depth: int) -> tuple[Place, Box | None]:
        """Where a node stands, and what its box looks like; None where it is part of an arrow."""
        if node is self.input or node is self.output:
            name = "input" if node is self.input else "output"
            return (name,), Box((), name)
        if node.op != "call_function" or operation(node) == "dropout" or self._is_constant(node):
            return (), None
        calls = self.calls[node]
        frame = tuple(key for key, *_ in calls)
        for level in range(1, len(calls) + 1):
            if level >= depth or self._is_one_box(node, level):
                layer = calls[level - 1][1]
                return frame[:level], Box(frame[: level - 1], *self._heading(node, level), layer)
        if only_reorders(node):
            return (), None
        return (*frame, node.name), Box(frame, *self._named(node), calls[-1][1] if calls else "")

    def _heading(self, node: Node, level: int) -> tuple[str, str]:
        """Name and kind of the layer around a node on a level, counted from 1."""
        _, name, kind = self.calls[node][level - 1]
        above = self.calls[node][level - 2][1] if level > 1 else ""
        return within(name, above), kind.rpartition(".")[2]

    def _is_one_box(self, node: Node, level: int) -> bool:
        """A layer of torch without others inside, or any that does a single thing at most."""
        key, name, kind = self.calls[node][level - 1]
        if any(self.layers[name].children()):
            return False
        if kind.startswith("torch.nn."):
            return True
        inside = [n for n, calls in self.calls.items() if key in (call[0] for call in calls)]
        return sum(not only_reorders(n) and not self._is_constant(n) for n in inside) <= 1

    def _named(self, node: Node) -> tuple[str, str]:
        """Title and kind of a function: after the role or the weights that it has, if any."""
        name = operation(node)
        plain = NAMES.get(name, name.strip("_").replace("_", " "))
        if node in self.names:
            return self.names[node], "scaled dot-product" if name == ATTENTION else plain
        if self.roles.get(node):
            return {"Q": "queries", "K": "keys", "V": "values"}[self.roles[node]], ""
        around = self.calls[node][-1][1] if self.calls[node] else ""
        weights = [within(self.weights[w.name], around) for w in self._weights_of(node)]
        weight = next((name for name in weights if name.endswith("weight")), None)
        if weight is not None and name in ("linear", "addmm", "matmul"):
            return weight.removesuffix("weight").strip("._") or weight, plain
        if takes_part(node):
            return "part", ""
        return plain, ""

    def _weights_of(self, node: Node) -> Iterator[Node]:
        for given in node.all_input_nodes:
            if given.name in self.weights:
                yield given
            elif self._is_constant(given):
                yield from self._weights_of(given)

    def _is_constant(self, node: Node) -> bool:
        """Parameters, made numbers, and either of them reordered: known before any window is."""
        if node.op == "placeholder":
            return node is not self.input
        if node.op != "call_function":
            return node.op == "get_attr"
        simple = operation(node) in MAKES or only_reorders(node) or takes_part(node)
        return simple and all(self._is_constant(given) for given in node.all_input_nodes)

    def _arrows(self, place_of: dict[Node, Place]) -> list[Arrow]:
        found: dict[Arrow, Node] = {}
        for node, target in place_of.items():
            roles = roles_of_inputs(node, self.names)
            for given in node.all_input_nodes:
                source = self._maker(given, place_of)
                if source is not None and place_of[source] != target:
                    role = roles.get(given, "")
                    shape = shape_of(source if takes_part(node) else given)
                    found[Arrow(place_of[source], target, shape, role)] = source
        shapes: dict[Place, set[Shape]] = {}
        for arrow in found:
            shapes.setdefault(arrow.source, set()).add(arrow.shape)
        return [
            arrow
            if arrow.role or len(shapes[arrow.source]) == 1
            else replace(arrow, shape=shape_of(source))
            for arrow, source in found.items()
        ]

    def _maker(self, node: Node, place_of: dict[Node, Place]) -> Node | None:
        """The node in a box from which a tensor comes, back through what is part of the arrow."""
        while node not in place_of:
            if self._is_constant(node):
                return None
            node = node.all_input_nodes[0]
        return node
