"""How far each row lies from what the rows just before it foretold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from raravis import models
from raravis.errors import ParameterError
from raravis.models import RowModel
from raravis.series.residuals import ResidualScale, long_enough, root_mean_square
from raravis.series.rows import strided
from raravis.windows import FloatArray


@models.register("autoregression")
class Autoregression(RowModel):
    """How badly every channel is foretold from the last rows of all channels.

        foretold(t) = W^T [x(t - lags), ..., x(t - 1), 1]
        W           = (F^T F + ridge n I)^-1 F^T X     F: the n rows of such features, X: what came
        contribution of a channel = root mean square of x - foretold over the last `window` rows
                                    / (the same while learning + 0.02)

    lags    >= 1: rows from which the next one is foretold.
    window  >= 1: rows over which the error is taken.
    ridge   > 0: how much a steep W costs.

    Source: vector autoregression, Luetkepohl 2005, New Introduction to Multiple Time Series
    Analysis, section 3.2, by ridge regression.
    """

    def __init__(self, lags: int = 5, window: int = 16, ridge: float = 0.01) -> None:
        if lags < 1 or window < 1 or not ridge > 0:
            raise ParameterError(
                f"lags and window must be >= 1 and ridge positive, got lags={lags}, "
                f"window={window}, ridge={ridge}"
            )
        self.lags = lags
        self.window = window
        self.ridge = ridge
        self.context = lags + window - 1
        self.scale_ = ResidualScale()

    def fit(self, stretches: Sequence[FloatArray]) -> Self:
        """Learns how rows follow from rows, then what each channel's error ordinarily is."""
        usable = long_enough(stretches, self.context, 2 * self.window, "autoregression")
        size = usable[0].shape[1] * self.lags + 1
        square, cross, count = np.zeros((size, size)), np.zeros((size, usable[0].shape[1])), 0
        for rows in usable:
            features = self._features(rows)
            square += features.T @ features
            cross += features.T @ rows[self.lags :]
            count += len(features)
        self.weights_ = np.linalg.solve(square + self.ridge * count * np.eye(size), cross)
        self.scale_.fit(np.concatenate([self._residuals(rows) for rows in usable]))
        return self

    def contributions(self, rows: FloatArray) -> FloatArray:
        """Each channel's error over its ordinary one, (n, C) of (context + n, C)."""
        return self.scale_.apply(self._residuals(rows))

    def _features(self, rows: FloatArray) -> FloatArray:
        """The `lags` rows before each row, flat, and a one: (n - lags, C lags + 1)."""
        before = strided(rows[:-1], self.lags)
        return np.hstack([before.reshape(len(before), -1), np.ones((len(before), 1))])

    def _residuals(self, rows: FloatArray) -> FloatArray:
        error = rows[self.lags :] - self._features(rows) @ self.weights_
        return root_mean_square(error, self.window)
