"""Encoded windows -> one number each; **higher is stranger**. Numpy only.

A new scorer is one class in this folder with `@scorers.register("name")`. The contract tests find
it by themselves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np

from raravis.encoded import Encoded
from raravis.errors import DataError, ParameterError
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


def checked(encoded: Encoded, fewest: int = 0, dim: int | None = None) -> FloatArray:
    """The embedding, (N, D) float64, finite, of at least `fewest` rows and of the D learned.

    dim  what `fit` saw; 0 where it was not called; None where it is being called.

    Raises ParameterError for another D or before `fit`, DataError for what cannot be used.
    """
    z = np.asarray(encoded.embedding, dtype=np.float64)
    if dim == 0:
        raise ParameterError("this scorer has learned nothing yet: call fit first")
    if dim is not None and z.shape[1] != dim:
        raise ParameterError(f"embeddings must be (N, {dim}) as in fit, got {z.shape}")
    if len(z) < fewest:
        raise DataError(f"needs at least {fewest} windows to learn from, got {len(z)}")
    if not np.isfinite(z).all():
        bad = int((~np.isfinite(z).all(axis=1)).sum())
        raise DataError(f"{bad} of {len(z)} embeddings hold NaN or infinite values")
    return z


_registry: Registry[Scorer] = Registry("scorer", __name__)
register, names, get, create = (
    _registry.register,
    _registry.names,
    _registry.get,
    _registry.create,
)
