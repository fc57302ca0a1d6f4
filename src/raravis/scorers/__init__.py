"""Encoded windows -> one number each; **higher is stranger**. Numpy only.

A new scorer is one class in this folder with `@scorers.register("name")`. The contract tests find
it by themselves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from raravis.encoded import Encoded
from raravis.learned import Learned
from raravis.registry import Registry
from raravis.windows import FloatArray


class Scorer(Learned, ABC):
    """How strange a window is, judged by the windows it was fitted on.

    needs  names of the terms it reads; a model that does not give them cannot be scored so.
    """

    needs: tuple[str, ...] = ()

    @abstractmethod
    def fit(self, encoded: Encoded) -> Self:
        """Learns what is ordinary from windows that are mostly ordinary."""

    @abstractmethod
    def score(self, encoded: Encoded) -> FloatArray:
        """Strangeness of each window, (N,) float64; higher is stranger."""

    def ordinary_scores(self, encoded: Encoded) -> FloatArray:
        """Scores of the windows that `fit` saw, as if each had been new; (N,).

        Thresholds are learned from these. A scorer that compares a window with remembered ones
        must leave the window itself out.
        """
        return self.score(encoded)


_registry: Registry[Scorer] = Registry("scorer", __name__)
register, names, get, create = (
    _registry.register,
    _registry.names,
    _registry.get,
    _registry.create,
)
