"""A trained network made ready to run fast, and what windows are to whoever runs one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from raravis.blocks import folded, seeded
from raravis.encoded import Encoded
from raravis.errors import ParameterError
from raravis.networks import Codes, Hardware, Network, named_shape
from raravis.windows import FloatArray

Answer = TypeVar("Answer")


class WindowArray(Protocol):
    """What windows (N, C, H, W) are asked: an array, or what cuts them when they are needed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""

    @property
    def ndim(self) -> int:
        """4."""

    def __len__(self) -> int: ...

    def __getitem__(self, wanted: Any, /) -> FloatArray: ...


AnyWindows = TypeVar("AnyWindows", bound=WindowArray)


class Inference:
    """A trained network made ready to run fast: windows in, numpy out.

    Batch normalisations are folded into the convolutions and, where the hardware multiplies
    bfloat16, the weights are rounded to it once; a score then errs by about 3e-4 of itself.
    The network given is not changed and can be trained on. Memory does not grow with the number
    of windows; the same windows give the same numbers.

    batch      windows that are run at once, >= 1.
    device     "auto", "cpu", "cuda", ...
    precision  "auto", "float32" or "bfloat16"; see `Hardware`.
    """

    def __init__(
        self, network: Network, batch: int = 64, device: str = "auto", precision: str = "auto"
    ) -> None:
        if batch < 1:
            raise ParameterError(f"batch must be >= 1, got {batch}")
        self.batch = batch
        self.hardware = Hardware.choose(device, precision)
        self.network = folded(network)
        self.network.fold()
        self.hardware.place(self.network)
        if self.hardware.bfloat16:
            for layer in self.network.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):  # what autocast would round each time
                    layer.bfloat16()

    def encode(self, windows: FloatArray) -> Encoded:
        """Embedding and terms of windows (N, C, H, W)."""
        return Encoded.concatenate([_encoded(c) for c in self._run(self.network.encode, windows)])

    def reconstruct(self, windows: FloatArray) -> FloatArray:
        """What the network expected instead of windows (N, C, H, W): the same shape, float32."""
        return np.concatenate([_numbers(r) for r in self._run(self.network.reconstruct, windows)])

    def embeddings(self, windows: FloatArray) -> dict[str, FloatArray]:
        """Every embedding there is of windows (N, C, H, W): name -> (N, D) float32."""
        return _joined(self._run(self.network.embeddings, windows))

    def heats(self, windows: FloatArray) -> dict[str, FloatArray]:
        """How strange each place of windows (N, C, H, W) is: name -> (N, H, W) float32."""
        return _joined(self._run(self.network.heats, windows))

    def batch_terms(self, windows: FloatArray, seed: int = 0) -> list[dict[str, float]]:
        """Each term of every batch of windows (N, C, H, W), taken in order; the last may be
        smaller. What the network draws at random, such as views, follows the seed."""
        if not len(check_windows(windows)):
            return []
        with seeded(seed):
            return [
                {name: float(term) for name, term in terms.items()}
                for terms in self._run(self.network.batch_terms, windows)
            ]

    def _run(self, verb: Callable[[Tensor], Answer], windows: FloatArray) -> Iterator[Answer]:
        check_windows(windows)
        with torch.inference_mode(), self.hardware.autocast():
            for start in range(0, max(len(windows), 1), self.batch):  # once where there are none
                yield verb(self.hardware.batch(windows[start : start + self.batch]))


def _joined(parts: Iterable[dict[str, Tensor]]) -> dict[str, FloatArray]:
    """Arrays of the same names, end to end."""
    several = [{name: _numbers(tensor) for name, tensor in part.items()} for part in parts]
    return {name: np.concatenate([part[name] for part in several]) for name in several[0]}


def _encoded(codes: Codes) -> Encoded:
    return Encoded(
        _numbers(codes.embedding), {name: _numbers(term) for name, term in codes.terms.items()}
    )


def _numbers(tensor: Tensor) -> FloatArray:
    numbers: FloatArray = tensor.float().contiguous().cpu().numpy()
    return numbers


def check_windows(windows: AnyWindows) -> AnyWindows:
    """The windows, where they are (N, C, H, W). Raises ParameterError where they are not."""
    if windows.ndim != 4:
        raise ParameterError(
            f"windows must be (N, channels, height, width), got {named_shape(windows.shape)}"
        )
    return windows
