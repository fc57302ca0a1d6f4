"""Windows -> Encoded(embedding, terms). A new model is one file in this folder.

There are two kinds. A `ClosedForm` model is fitted at once, in numpy. A network
(`raravis.networks.Network`) is a torch module that `raravis.training` teaches step by step.
This file loads no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Self, TypeVar

from raravis.encoded import Encoded
from raravis.learned import Learned
from raravis.registry import Registry

Window = TypeVar("Window")


class ClosedForm(Learned, ABC, Generic[Window]):
    """A model without a network: `fit` once, then `encode`; saved by its learned arrays."""

    @abstractmethod
    def fit(self, windows: Sequence[Window]) -> Self:
        """Learns from windows; they may hold some of the rare ones."""

    @abstractmethod
    def encode(self, windows: Sequence[Window]) -> Encoded:
        """Embedding and terms of each window; does not change the model."""


_registry: Registry[Any] = Registry("model", __name__)
register, names, get, create = (
    _registry.register,
    _registry.names,
    _registry.get,
    _registry.create,
)
