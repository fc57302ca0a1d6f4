"""The contract between a network and whoever runs it, and the hardware that it runs on.

One batch format, two verbs: windows (B, C, H, W) in, `parts` of the loss or `encode` out.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from raravis.errors import ParameterError
from raravis.windows import FloatArray


@dataclass(frozen=True)
class Codes:
    """`Encoded`, still as tensors: embedding (B, D) and terms name -> (B,)."""

    embedding: Tensor
    terms: dict[str, Tensor]


class Network(nn.Module):
    """A torch module that learns from windows (B, C, H, W) without labels.

    Views, masks and targets are made inside, so that one batch format serves every method. The
    batch is float32; convolutions may answer in bfloat16, so what is summed up from their output
    is made float32 first.
    """

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        """What training makes small, by name; their sum is the loss.

        A part is (B,), one number for each window, of which the mean counts; by the sum of these
        windows are pruned. Or it is a scalar that couples the windows of the batch: then it is
        computed from `distributed.gathered(...)`, so that it means the whole batch however many
        processes share it.
        """
        raise TypeError(f"{type(self).__name__} defines no parts(batch)")

    def loss(self, batch: Tensor) -> Tensor:
        """The sum of the parts, a scalar, where one process has the whole batch."""
        return torch.stack([part.mean() for part in self.parts(batch).values()]).sum()

    def encode(self, batch: Tensor) -> Codes:
        """Embedding and terms of each window; called without gradients, in eval mode."""
        raise TypeError(f"{type(self).__name__} defines no encode(batch)")

    def reconstruct(self, batch: Tensor) -> Tensor:
        """What the network expected to see, of the shape of the batch."""
        raise TypeError(f"{type(self).__name__} does not reconstruct")

    def embeddings(self, batch: Tensor) -> dict[str, Tensor]:
        """Every embedding there is, name -> (B, D); a joint embedding has several."""
        return {"embedding": self.encode(batch).embedding}

    def heats(self, batch: Tensor) -> dict[str, Tensor]:
        """How strange each place of each window is, name -> (B, H, W); higher is stranger. Empty
        where the network cannot tell."""
        if type(self).reconstruct is Network.reconstruct:
            return {}
        squares = (self.reconstruct(batch).float() - batch).square()
        return {"reconstruction": squares.mean(dim=1)}

    def batch_terms(self, batch: Tensor) -> dict[str, Tensor]:
        """Each term of the batch as a whole, name -> scalar; what couples windows is seen here
        only. By default the means of the windows' own terms. Called as `encode` is."""
        return {name: term.mean() for name, term in self.encode(batch).terms.items()}

    def fold(self) -> None:
        """Takes shortcuts with the same numbers; called on a copy that will not learn any more."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device


@dataclass(frozen=True)
class Hardware:
    """Where a network runs, and in what form numbers run fastest there.

    device    processor that holds the weights.
    bfloat16  convolutions and matrix products multiply bfloat16 and add float32. Sums, losses
              and the weights that are learned stay float32.

    Images lie channels-last on every device: convolutions need no reordering then.
    """

    device: torch.device
    bfloat16: bool

    @classmethod
    def choose(cls, device: str = "auto", precision: str = "auto") -> Self:
        """The best there is, or what is asked for.

        device     "auto" (a CUDA GPU where there is one, else the CPU), or a name torch knows.
        precision  "auto" (bfloat16 where the hardware multiplies it), "float32" or "bfloat16".
        """
        if precision not in ("auto", "float32", "bfloat16"):
            raise ParameterError(f"precision must be auto, float32 or bfloat16, got {precision!r}")
        chosen = _device(device)
        if precision == "auto":
            return cls(chosen, multiplies_bfloat16(chosen))
        return cls(chosen, precision == "bfloat16")

    def place(self, network: nn.Module) -> None:
        """Moves the weights to the device and into channels-last order, in place."""
        network.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def batch(self, windows: FloatArray) -> Tensor:
        """Windows (B, C, H, W) of any float type as a float32 tensor on the device."""
        held = torch.from_numpy(np.ascontiguousarray(windows.transpose(0, 2, 3, 1)))  # (B, H, W, C)
        return held.to(device=self.device, dtype=torch.float32).permute(0, 3, 1, 2)

    def autocast(self) -> AbstractContextManager[object]:
        """Inside, what gains from bfloat16 runs in it."""
        if not self.bfloat16:
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)


def multiplies_bfloat16(device: torch.device) -> bool:
    """True where bfloat16 products are a machine instruction; emulated ones are many times slower.

    On a CPU that is AMX or AVX512-BF16, used through oneDNN.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if torch.backends.cpu.get_cpu_capability() != "AVX512":  # as where it is told to hold back
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def named_shape(shape: Sequence[int]) -> str:
    """A shape as people write it: "1 x 64 x 50"."""
    return " x ".join(str(side) for side in shape)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ParameterError(
            f"device {name!r} cannot be used here: choose auto, cpu or cuda ({error})"
        ) from error
    return device
