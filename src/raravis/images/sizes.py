"""Pictures brought to one size and one scale, so that a network can look at them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import numpy as np

from raravis.errors import DataError, ParameterError
from raravis.learned import Learned
from raravis.windows import FloatArray

SMALLEST_SIDE = 4  # of what a network looks at
LEAST_SPREAD = 1e-3  # of a channel's values: below this, a channel says nothing


def size_within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(h, w) of the form of `size` = (H, W) whose longer side is `side`, unless it is smaller."""
    if side < SMALLEST_SIDE:
        raise ParameterError(f"side must be at least {SMALLEST_SIDE} pixels, got {side}")
    share = min(1.0, side / max(size))
    height, width = (max(SMALLEST_SIDE, round(share * length)) for length in size)
    return height, width


class ChannelScale(Learned):
    """Brings each channel of pictures to mean 0 and deviation 1 over all that was learned from."""

    def learn(self, pictures: Iterable[FloatArray]) -> Self:
        """Learns from pictures (C, H, W) of one C, each counting alike. Raises DataError where
        there are none."""
        moments = [
            (
                p.mean(axis=(1, 2), dtype=np.float64),
                np.square(p, dtype=np.float64).mean(axis=(1, 2)),
            )
            for p in pictures
        ]
        if not moments:
            raise DataError("there are no pictures to learn from: give some that can be read")
        mean, square = (np.mean(column, axis=0) for column in zip(*moments, strict=True))
        self.mean_ = mean.astype(np.float32)  # (C,)
        deviation = np.sqrt(np.maximum(square - np.square(mean), 0.0))
        self.deviation_ = np.maximum(deviation, LEAST_SPREAD).astype(np.float32)
        return self

    def apply(self, pictures: FloatArray) -> FloatArray:
        """Pictures (..., C, H, W) on the learned scale, float32."""
        mean, deviation = (a[:, None, None] for a in (self.mean_, self.deviation_))
        return np.asarray((pictures - mean) / deviation, dtype=np.float32)

    def invert(self, pictures: FloatArray) -> FloatArray:
        """The inverse of `apply`."""
        mean, deviation = (a[:, None, None] for a in (self.mean_, self.deviation_))
        return np.asarray(pictures * deviation + mean, dtype=np.float32)
