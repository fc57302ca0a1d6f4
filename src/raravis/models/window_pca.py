"""What a few typical shapes cannot explain in a window of rows, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from scipy.linalg import eigh

from raravis import models
from raravis.errors import ParameterError
from raravis.models import RowModel
from raravis.series.residuals import ResidualScale, long_enough
from raravis.series.rows import strided
from raravis.windows import FloatArray

CHUNK = 2048  # windows held flat at once: 10 MB with 38 channels of 16 rows
RIDGE = 1e-8  # on the covariance: channels that never move leave it singular
STILL = 0.1  # deviations; an instance-normalised window is never divided by less


@models.register("window-pca")
class WindowPCA(RowModel):
    """How badly the last rows can be rebuilt from the few shapes that ordinary rows have.

        x         the last `window` rows, flat, (C window,)
        residual  (x - mean) - V V^T (x - mean)        V: the first principal components of windows
        contribution of a channel = root mean square of its residual / (the same while learning
                                    + 0.02)

    window         >= 2 rows.
    share          in (0, 1): of the variance of windows, which the components explain together.
    most           >= 1: components at most.
    memory         >= 2: windows from which components are learned, drawn at random.
    instance_norm  bring each window's channels to mean 0 and deviation 1 first, so that only their
                   shape counts. Amplitude mostly tells more.
    seed           of the drawing.

    Source: Jackson & Mudholkar 1979, Technometrics 21(3), the Q statistic; on windows, as in
    dynamic PCA, Ku et al. 1995, doi:10.1016/0169-7439(95)00076-3. Ours divides every channel by its
    own ordinary residual.
    """

    def __init__(
        self,
        window: int = 16,
        share: float = 0.9,
        most: int = 48,
        memory: int = 5000,
        instance_norm: bool = False,
        seed: int = 0,
    ) -> None:
        if window < 2 or most < 1 or memory < 2 or not 0 < share < 1:
            raise ParameterError(
                "window and memory must be >= 2, most >= 1 and share in (0, 1), got "
                f"window={window}, memory={memory}, most={most}, share={share}"
            )
        self.window = window
        self.share = share
        self.most = most
        self.memory = memory
        self.instance_norm = instance_norm
        self.seed = seed
        self.context = window - 1
        self.scale_ = ResidualScale()

    def fit(self, stretches: Sequence[FloatArray]) -> Self:
        """Learns the shapes of windows, then what each channel's residual ordinarily is."""
        usable = long_enough(stretches, self.context, 2 * self.window, "window-pca")
        windows = np.concatenate([self._drawn(rows, usable) for rows in usable])
        self.mean_ = windows.mean(axis=0)  # (C W,)
        self.components_ = self._components(windows - self.mean_)  # (C W, K)
        self.scale_.fit(np.concatenate([self._residuals(rows) for rows in usable]))
        return self

    def contributions(self, rows: FloatArray) -> FloatArray:
        """Each channel's residual over its ordinary one, (n, C) of (context + n, C)."""
        return self.scale_.apply(self._residuals(rows))

    def _drawn(self, rows: FloatArray, usable: Sequence[FloatArray]) -> FloatArray:
        """This stretch's part of the windows that are remembered, flat."""
        windows = strided(rows, self.window)
        total = sum(len(other) - self.context for other in usable)
        count = -(-len(windows) * min(self.memory, total) // total)
        chosen = np.random.default_rng(self.seed).choice(len(windows), count, replace=False)
        return self._flat(windows[np.sort(chosen)])

    def _components(self, centred: FloatArray) -> FloatArray:
        size = centred.shape[1]
        covariance = centred.T @ centred / len(centred) + RIDGE * np.eye(size)
        most = min(self.most, size - 1)
        variance, components = eigh(covariance, subset_by_index=(size - most, size - 1))
        explained = np.cumsum(variance[::-1]) / np.trace(covariance)
        count = min(int((explained < self.share).sum()) + 1, most)
        return np.ascontiguousarray(components[:, ::-1][:, :count])

    def _residuals(self, rows: FloatArray) -> FloatArray:
        windows = strided(rows, self.window)  # (n, C, W)
        residuals = np.empty(windows.shape[:2])
        for start in range(0, len(windows), CHUNK):
            part = windows[start : start + CHUNK]
            centred = self._flat(part) - self.mean_
            left = centred - (centred @ self.components_) @ self.components_.T
            residuals[start : start + CHUNK] = np.sqrt(np.square(left.reshape(part.shape)).mean(2))
        return residuals

    def _flat(self, windows: FloatArray) -> FloatArray:
        if self.instance_norm:
            centred = windows - windows.mean(axis=2, keepdims=True)
            windows = centred / np.maximum(centred.std(axis=2, keepdims=True), STILL)
        return windows.reshape(len(windows), -1)  # (n, C W)
