"""The contract between a network and the training loop: one batch format, two verbs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Codes:
    """`Encoded`, still as tensors: embedding (B, D) and terms name -> (B,)."""

    embedding: Tensor
    terms: dict[str, Tensor]


class Network(nn.Module):
    """A torch module that learns from windows (B, C, H, W) without labels.

    Views, masks and targets are made inside, so that one batch format serves every method.
    """

    def loss(self, batch: Tensor) -> Tensor:
        """What training makes small: a scalar."""
        raise TypeError(f"{type(self).__name__} defines no loss(batch)")

    def encode(self, batch: Tensor) -> Codes:
        """Embedding and terms of each window; called without gradients, in eval mode."""
        raise TypeError(f"{type(self).__name__} defines no encode(batch)")

    def reconstruct(self, batch: Tensor) -> Tensor:
        """What the network expected to see, of the shape of the batch."""
        raise TypeError(f"{type(self).__name__} does not reconstruct")

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device
