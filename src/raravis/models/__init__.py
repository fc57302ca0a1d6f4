"""Windows -> Encoded(embedding, terms). A new model is one file in this folder.

There are three kinds. A `ClosedForm` model is fitted at once, in numpy; an `ImageModel` is one
that also says where. A `RowModel` sees the rows of a series, channel by channel, and is numpy as
well. A network (`raravis.networks.Network`) is a torch module that `raravis.training` teaches step
by step. This file loads no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Self, TypeVar

import numpy as np

from raravis.encoded import Encoded
from raravis.learned import Learned
from raravis.registry import Registry
from raravis.windows import FloatArray

Window = TypeVar("Window")


class ClosedForm(Learned, ABC, Generic[Window]):
    """A model without a network: `fit` once, then `encode`; saved by its learned arrays."""

    @abstractmethod
    def fit(self, windows: Sequence[Window]) -> Self:
        """Learns from windows; they may hold some of the rare ones."""

    @abstractmethod
    def encode(self, windows: Sequence[Window]) -> Encoded:
        """Embedding and terms of each window; does not change the model."""


class ImageModel(ClosedForm[FloatArray], ABC):
    """Sees pictures (C, H, W), float32, of any size but of one C; they come one by one from disk,
    so that `fit` and `encode` hold few of them at once."""

    @abstractmethod
    def ordinary(self, pictures: Sequence[FloatArray]) -> Encoded:
        """As `encode`, of the pictures that `fit` saw, in their order, as if each had been new:
        what is remembered of a picture itself is left out."""

    @abstractmethod
    def heat(self, picture: FloatArray) -> FloatArray:
        """How strange each place of a picture (C, H, W) is, (H, W); higher is stranger."""

    def heats(self, picture: FloatArray) -> list[FloatArray]:
        """The heat of each camera's picture; one for all where they are judged together."""
        return [self.heat(picture)]


class RowModel(Learned, ABC):
    """Sees rows of scaled channels, and says how far each channel lies from what was expected.

    context  rows before a row that are looked at; a row with fewer before it cannot be scored.

    The score of a row is the root of the mean over channels of its squared contributions, so each
    contribution says how much of the score its channel made. Everything is causal: what comes
    after a row changes nothing.
    """

    context: int

    @abstractmethod
    def fit(self, stretches: Sequence[FloatArray]) -> Self:
        """Learns from stretches (n, C) of finite scaled rows, each without a break.

        Raises DataError where there are too few rows.
        """

    @abstractmethod
    def contributions(self, rows: FloatArray) -> FloatArray:
        """Of the last n rows among (context + n, C), each channel's, (n, C), not negative."""


def row_scores(contributions: FloatArray) -> FloatArray:
    """Scores (n,) of rows from their channels' contributions (n, C); NaN stays NaN."""
    return np.asarray(np.sqrt(np.square(contributions, dtype=np.float64).mean(axis=1)))


def known_scores(contributions: FloatArray) -> FloatArray:
    """Scores (n,) of rows from the channels (n, C) that are not NaN, if those are most of them;
    else NaN."""
    known = np.isfinite(contributions)
    count = known.sum(axis=1)
    squares = np.square(np.where(known, contributions, 0.0)).sum(axis=1)
    return np.where(2 * count > known.shape[1], np.sqrt(squares / np.maximum(count, 1)), np.nan)


_registry: Registry[Any] = Registry("model", __name__)
register, names, get, create = (
    _registry.register,
    _registry.names,
    _registry.get,
    _registry.create,
)
