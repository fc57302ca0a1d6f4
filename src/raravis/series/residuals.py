"""What the closed-form models of rows share: which stretches can be learned from, a causal mean,
and what a channel's residual ordinarily is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raravis.errors import DataError
from raravis.learned import Learned
from raravis.series.rows import strided
from raravis.windows import FloatArray

FLOOR = 0.02  # deviations; a channel foretold without fault would else shout at a rounding error


class ResidualScale(Learned):
    """Measures each channel's residual in what is ordinary for that channel.

        contribution = residual / (root mean square while learning + 0.02)

    One channel is foretold well, another badly; without this the badly foretold rule the score.
    """

    def fit(self, residuals: FloatArray) -> ResidualScale:
        """Learns from residuals (n, C) of ordinary rows."""
        self.ordinary_ = np.sqrt(np.square(residuals).mean(axis=0))  # (C,)
        return self

    def apply(self, residuals: FloatArray) -> FloatArray:
        """Residuals (n, C), not negative, in units of the ordinary ones."""
        return np.asarray(residuals / (self.ordinary_ + FLOOR))


def mean_of_last(rows: FloatArray, count: int) -> FloatArray:
    """Each row's mean with the count - 1 rows before it: (n - count + 1, C) of (n, C)."""
    return np.asarray(strided(rows, count).mean(axis=2))


def root_mean_square(rows: FloatArray, count: int) -> FloatArray:
    """Root of the mean square of each row and the count - 1 before it: (n - count + 1, C)."""
    return np.asarray(np.sqrt(mean_of_last(np.square(rows), count)))


def long_enough(
    stretches: Sequence[FloatArray], context: int, fewest: int, who: str
) -> list[FloatArray]:
    """The stretches (n, C) with more than `context` rows.

    fewest  how many rows they need to hold together beyond their contexts.
    who     the model, for the message.

    Raises DataError where they hold fewer.
    """
    usable: list[FloatArray] = [
        np.asarray(rows, dtype=np.float64) for rows in stretches if len(rows) > context
    ]
    scored = sum(len(rows) - context for rows in usable)
    if scored < fewest:
        raise DataError(
            f"{who} needs stretches of at least {context + fewest} rows to learn from, got "
            f"{', '.join(str(len(rows)) for rows in stretches) or 'none'}: record for longer, or "
            "choose a smaller window"
        )
    return usable
