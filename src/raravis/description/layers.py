"""The table of layers: shapes, parameters, multiply-adds, one row each, in order of execution."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from raravis import models
from raravis.configuration import complete
from raravis.learned import Learned
from raravis.networks import Network

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One layer, or one learned array of a model without layers.

    name           where it stands, such as "encoder.0"; "" is the network itself.
    kind           class of the layer, or "array".
    inputs         shape of what goes in, without the batch; () for an array.
    outputs        shape of what comes out; of the array.
    parameters     learned numbers in it that no row before it counts.
    multiply_adds  for one window, in matrix products and convolutions; all else counts 0.
    bytes          of its parameters, and of other numbers kept beside them.
    calls          how often one window passes it.
    """

    name: str
    kind: str
    inputs: Shape
    outputs: Shape
    parameters: int
    multiply_adds: int = 0
    bytes: int = 0
    calls: int = 1


def describe_network(network: nn.Module, shape: Shape) -> list[Row]:
    """The layers of a network in the order in which a window of `shape` (C, H, W) passes them.

    There is a row for each layer without layers inside, and for each other one that multiplies or
    keeps parameters itself, as attention does. What a layer computes with another's weights counts
    where it is computed; weights of layers that are never called count with the layer around them.
    So the rows sum up to the whole. Attention is counted as the matrix products that it is, in
    whatever way it would be run.
    """
    network = copy.deepcopy(network).cpu().eval()
    visits = _Visits(network)
    with torch.no_grad(), plainly_computed(), visits:
        out = passing(network)(torch.zeros(1, *shape))
    return visits.rows(shape, _first_shape(out))


def describe_learned(learned: Learned) -> list[Row]:
    """The learned arrays of a closed-form model."""
    return [
        Row(name, "array", (), tuple(array.shape), int(array.size), bytes=int(array.nbytes))
        for name, array in learned.state().items()
    ]


def fresh_network(name: str, shape: Shape, **options: Any) -> Network | None:
    """An untrained model by name, or None where the model is no network."""
    cls = models.get(name)
    if not (inspect.isclass(cls) and issubclass(cls, Network)):
        complete(cls, options, f"model {name!r}")
        return None
    network: Network = models.create(name, shape=shape, **options)
    return network


def passing(network: nn.Module) -> Callable[[Tensor], Any]:
    """What a batch goes through: there and back in a network that reconstructs, else the code."""
    if not isinstance(network, Network):
        return network
    reconstructs = type(network).reconstruct is not Network.reconstruct
    return network.reconstruct if reconstructs else lambda batch: network.encode(batch).embedding


@contextmanager
def plainly_computed() -> Iterator[None]:
    """Inside, torch takes no shortcut that hides the matrix products of attention."""
    quick = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(quick)


def without_batch(shape: Iterable[int]) -> Shape:
    """A shape for one window: a leading axis of 1 is the batch."""
    sizes = tuple(int(size) for size in shape)
    return sizes[1:] if sizes[:1] == (1,) else sizes


@dataclass
class _Visits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Which layers are called inside, and what is multiplied in each: the innermost one counts.

    The products are counted where torch hands them to the processor, so that those that are
    written as functions, not as layers, count as well.
    """

    network: nn.Module
    _rows: dict[str, Row] = field(default_factory=dict)
    _inside: list[str] = field(default_factory=lambda: [""])
    _hooks: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._layers = dict(self.network.named_modules())
        self._layers.pop("")
        self._rows[""] = Row("", type(self.network).__name__, (), (), 0)

    def __enter__(self) -> _Visits:
        for name, layer in self._layers.items():
            handles = (
                layer.register_forward_pre_hook(self._enters(name), with_kwargs=True),
                layer.register_forward_hook(self._leaves(name)),
            )
            for handle in handles:
                self._hooks.callback(handle.remove)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        self._hooks.close()

    def _enters(self, name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, named: Any) -> None:
            self._inside.append(name)
            row = self._rows.get(name) or Row(name, type(layer).__name__, (), (), 0, calls=0)
            given = _first_shape((inputs, list(named.values())))
            self._rows[name] = replace(row, inputs=row.inputs or given, calls=row.calls + 1)

        return hook

    def _leaves(self, name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            self._inside.pop()
            self._rows[name] = replace(self._rows[name], outputs=_first_shape(output))

        return hook

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if more := _multiply_adds(func._overloadpacket, args, kwargs, out):
            row = self._rows[self._inside[-1]]
            self._rows[row.name] = replace(row, multiply_adds=row.multiply_adds + more)
        return out

    def rows(self, inputs: Shape, outputs: Shape) -> list[Row]:
        """A row for each layer that holds no others or does something itself."""
        self._rows[""] = replace(self._rows[""], inputs=inputs, outputs=outputs)
        for name, weight in self.network.named_parameters():
            self._add(name, weight, weight.numel())
        for name, kept in self.network.named_buffers():
            self._add(name, kept, 0)
        return [
            row
            for name, row in self._rows.items()
            if row.multiply_adds or row.bytes or (name and not any(self._layers[name].children()))
        ]

    def _add(self, name: str, numbers: Tensor, parameters: int) -> None:
        """Counts numbers with the innermost called layer around them."""
        owner = name
        while owner not in self._rows:
            owner = owner.rpartition(".")[0]
        row = self._rows[owner]
        self._rows[owner] = replace(
            row,
            parameters=row.parameters + parameters,
            bytes=row.bytes + numbers.numel() * numbers.element_size(),
        )


def _multiply_adds(operation: Any, args: Any, kwargs: Any, out: Any) -> int:
    """Of one operation that torch hands to the processor."""
    if operation is torch.ops.aten.mkldnn_rnn_layer:  # one layer of an LSTM in one operation
        sequence, from_input, from_state = args[:3]
        moments = sequence.numel() // sequence.shape[-1]
        return int(moments * (from_input.numel() + from_state.numel()))
    if operation not in flop_registry:
        return 0
    return int(flop_registry[operation](*args, **kwargs, out_val=out)) // 2  # two make one


def _first_shape(values: Any) -> Shape:
    """Shape of the first tensor in what a layer takes or gives, without the batch; else ()."""
    if isinstance(values, Tensor):
        return without_batch(values.shape)
    if isinstance(values, dict):
        values = list(values.values())
    found = (_first_shape(v) for v in values) if isinstance(values, list | tuple) else iter(())
    return next((shape for shape in found if shape), ())
