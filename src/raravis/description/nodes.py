"""Looking at the nodes of a traced network: what they do, where they stand, what attention is."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from torch import Tensor
from torch.fx import Node

from raravis.description.layers import Shape, without_batch

REORDERS = {
    "view", "reshape", "_unsafe_view", "transpose", "t", "permute", "movedim", "swapaxes",
    "unsqueeze", "squeeze", "flatten", "unflatten", "contiguous", "clone", "expand", "expand_as",
    "detach", "alias", "to", "_to_copy", "lift_fresh_copy", "dropout", "chunk", "split",
    "split_with_sizes", "unbind", "tensor_split", "getitem",
}  # fmt: skip
SPLITS = {"chunk", "split", "split_with_sizes", "unbind", "tensor_split"}
TAKES_PART = {"select", "slice", "narrow"}
MAKES = {"zeros", "ones", "full", "empty", "arange", "scalar_tensor", "zeros_like", "ones_like"}
SCALES = {"mul", "div", "masked_fill", "where", "add", "sub"}
PRODUCTS = {"matmul", "bmm", "baddbmm"}
ATTENTION = "scaled_dot_product_attention"


def alive(nodes: Any) -> list[Node]:
    """The nodes on which the output depends, in order of execution."""
    needed: set[Node] = set()
    for node in reversed(nodes):
        if node.op == "output" or node in needed:
            needed.add(node)
            needed.update(node.all_input_nodes)
    return [node for node in nodes if node in needed]


def calls_around(node: Node) -> list[tuple[str, str, str]]:
    """(call, name, class) of the layers around a node, outermost first, without the network."""
    stack = node.meta.get("nn_module_stack") or {}
    named = [(key, name, str(kind)) for key, (name, kind) in stack.items()]
    return [
        (key, name.removeprefix("network."), kind)
        for key, name, kind in named
        if name not in ("", "network")
    ]


def operation(node: Node) -> str:
    """What a node does, as torch calls it: "linear", "softmax"."""
    name = getattr(node.target, "_opname", None) or getattr(node.target, "__name__", "")
    return str(name).partition(".")[0].rstrip("_")


def sizes(node: Node) -> Shape:
    """Shape of the one tensor that a node is."""
    return tuple(int(size) for size in node.meta["val"].shape)


def shape_of(node: Node) -> Shape:
    """Shape of the first tensor that comes out of a node, without the batch."""
    value = node.meta.get("val")
    if isinstance(value, list | tuple):
        value = next((v for v in value if isinstance(v, Tensor)), None)
    return without_batch(value.shape) if isinstance(value, Tensor) else ()


def only_reorders(node: Node) -> bool:
    """Whether the same numbers come out: a view, or a part that is the whole."""
    if not takes_part(node):
        return operation(node) in REORDERS
    whole = node.all_input_nodes[0]
    return math.prod(shape_of(node)) == math.prod(shape_of(_unsplit(whole)))


def takes_part(node: Node) -> bool:
    """Whether only some of the numbers come out."""
    name = operation(node)
    if name == "getitem":
        return operation(node.all_input_nodes[0]) in SPLITS
    return name in TAKES_PART


def _unsplit(node: Node) -> Node:
    return node.all_input_nodes[0] if operation(node) in SPLITS else node


def _before(node: Any, passed: Collection[str] = ()) -> Node | None:
    """The node that made the numbers, back through what reorders them or is in `passed`."""
    while isinstance(node, Node) and node.op == "call_function":
        if not (only_reorders(node) or operation(node) in passed):
            return node
        node = next(iter(node.all_input_nodes), None)
    return node if isinstance(node, Node) else None


def attention(nodes: list[Node]) -> tuple[dict[Node, str], dict[Node, str]]:
    """Which nodes make queries, keys and values, and names for the products of attention.

    Besides torch's own function, softmax(Q K^T) V is known when written out.
    """
    roles: dict[Node, str] = {}
    names: dict[Node, str] = {}
    for node in nodes:
        found: list[Any] = []
        if operation(node) == ATTENTION:
            names[node] = "attention"
            found = list(node.args[:3])
        elif operation(node) in PRODUCTS:
            weighing = _before(node.args[0])
            if weighing is not None and operation(weighing) in ("softmax", "_softmax"):
                product = _before(weighing.args[0], SCALES)
                if product is not None and operation(product) in PRODUCTS:
                    names[product], names[node] = "Q · Kᵀ", "weights · V"
                    found = [*product.args[-2:], node.args[1]]
        for role, given in zip("QKV", found, strict=False):
            source = _before(given, SCALES)
            if source is not None:
                roles[source] = role if roles.get(source, role) == role else ""
    return roles, names


def roles_of_inputs(node: Node, names: dict[Node, str]) -> dict[Node, str]:
    """Which inputs of a product of attention are queries, keys and values."""
    given = [a for a in node.args if isinstance(a, Node)]
    roles = {"attention": "QKV", "Q · Kᵀ": "QK", "weights · V": " V"}.get(names.get(node, ""), "")
    if operation(node) == "baddbmm":
        given = given[1:]
    return {n: role.strip() for n, role in zip(given, roles, strict=False)}


def within(name: str, around: str) -> str:
    """A name as seen from the layer around it: "encoder.0" is "0" inside "encoder"."""
    return name.removeprefix(f"{around}.") if around else name
