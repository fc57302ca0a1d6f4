"""Models that measure how far a row lies from the ordinary rows, whenever those came.

Each takes the mean over the last few rows, since what is wrong mostly lasts longer than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from raravis import models
from raravis.errors import ParameterError
from raravis.models import RowModel
from raravis.series.residuals import FLOOR, long_enough, mean_of_last, root_mean_square
from raravis.series.rows import strided
from raravis.windows import FloatArray

FEWEST = 16  # rows to learn from
RIDGE = 1e-4  # on the covariance: channels that never move leave it singular
ITSELF = 1e-9  # deviations; a neighbour closer than this is the row itself, remembered
CHUNK = 4096  # rows whose neighbours are held at once


@models.register("mahalanobis")
class Mahalanobis(RowModel):
    """Distance from the mean row, each direction measured in its own deviations.

        contribution = |S^-1/2 (x - mean)|, channel by channel; root mean square over `smooth` rows
        score        = Mahalanobis distance / sqrt(C), so that about 1 is ordinary

    S^-1/2 is the symmetrical root, so that a channel's contribution stays its own.

    smooth  >= 1: rows over which the root mean square is taken.

    Source: Mahalanobis 1936; covariance shrunk as in Ledoit & Wolf 2004,
    doi:10.1016/S0047-259X(03)00096-4; contributions: Alcala & Qin 2011,
    doi:10.1016/j.jprocont.2010.10.005 (complete decomposition).
    """

    def __init__(self, smooth: int = 8) -> None:
        self.smooth = _checked(smooth)
        self.context = smooth - 1

    def fit(self, stretches: Sequence[FloatArray]) -> Self:
        """Learns the mean row and how rows spread around it."""
        rows = np.concatenate(long_enough(stretches, self.context, FEWEST, "mahalanobis"))
        covariance = LedoitWolf().fit(rows).covariance_ + RIDGE * np.eye(rows.shape[1])
        variance, directions = np.linalg.eigh(covariance)
        self.mean_ = rows.mean(axis=0)
        self.whiten_ = directions / np.sqrt(variance) @ directions.T  # (C, C)
        return self

    def contributions(self, rows: FloatArray) -> FloatArray:
        """Each channel's share of the distance, (n, C) of (context + n, C)."""
        return root_mean_square((rows - self.mean_) @ self.whiten_, self.smooth)


@models.register("pca")
class RowPCA(RowModel):
    """Hotelling's T2 and Q: how far a row lies along the main directions, and how far off them.

        T2 = sum over K components of t_i^2 / variance_i / K          1 on average
        Q  = |x - what the K components give of it|^2 / its mean while learning
        score^2 = (T2 + Q) / 2, mean over `smooth` rows

    share   in (0, 1): of the variance of rows, which the components explain together.
    smooth  >= 1: rows over which the mean is taken.

    Source: Jackson & Mudholkar 1979, Technometrics 21(3); contributions to T2: Alcala & Qin 2011,
    doi:10.1016/j.jprocont.2010.10.005 (complete decomposition).
    """

    def __init__(self, share: float = 0.9, smooth: int = 1) -> None:
        if not 0 < share < 1:
            raise ParameterError(f"share must be in (0, 1), got {share}")
        self.share = share
        self.smooth = _checked(smooth)
        self.context = smooth - 1

    def fit(self, stretches: Sequence[FloatArray]) -> Self:
        """Learns the main directions of rows, and how far off them rows ordinarily lie."""
        rows = np.concatenate(long_enough(stretches, self.context, FEWEST, "pca"))
        self.mean_ = rows.mean(axis=0)
        centred = rows - self.mean_
        variance, directions = np.linalg.eigh(
            centred.T @ centred / len(rows) + RIDGE * np.eye(rows.shape[1])
        )
        explained = np.cumsum(variance[::-1]) / variance.sum()
        count = min(int((explained < self.share).sum()) + 1, max(1, len(variance) - 1))
        main = directions[:, -count:]  # (C, K)
        self.along_ = main / np.sqrt(variance[-count:] * count) @ main.T  # (C, C)
        self.off_ = np.eye(len(variance)) - main @ main.T
        self.ordinary_ = np.sqrt(np.square(centred @ self.off_).sum(axis=1).mean()) + FLOOR
        return self

    def contributions(self, rows: FloatArray) -> FloatArray:
        """Each channel's share of T2 and Q, (n, C) of (context + n, C)."""
        centred = rows - self.mean_
        off = centred @ self.off_ / self.ordinary_
        squares = np.square(centred @ self.along_) + np.square(off)  # (n, C); sums are T2 + Q
        return np.asarray(np.sqrt(mean_of_last(squares, self.smooth) * rows.shape[1] / 2))


@models.register("knn")
class RowKNN(RowModel):
    """Mean distance of a row to the nearest of the rows remembered.

        d(x)   = mean of |x - m| over the k nearest remembered m, over sqrt(C)
        score  = mean of d over the last `smooth` rows

    A channel's contribution is as large a part of the squared score as its part in the squared
    distances. A remembered row that comes again is not its own neighbour.

    k       >= 1: neighbours.
    memory  >= 2: rows remembered, drawn at random; cost does not grow beyond it.
    smooth  >= 1: rows over which the mean is taken.
    window  >= 1: rows that are compared as one. Above 1 it knows shapes, which is what periodic
            series such as an ECG ask for.
    seed    of the drawing.

    Source: Ramaswamy et al. 2000, doi:10.1145/342009.335437 (their D^k, as a mean over k).
    """

    def __init__(
        self, k: int = 5, memory: int = 3000, smooth: int = 8, window: int = 1, seed: int = 0
    ) -> None:
        if k < 1 or memory < 2 or window < 1:
            raise ParameterError(
                f"k and window must be >= 1 and memory >= 2, got k={k}, window={window}, "
                f"memory={memory}"
            )
        self.k = k
        self.memory = memory
        self.smooth = _checked(smooth)
        self.window = window
        self.seed = seed
        self.context = window + smooth - 2

    def fit(self, stretches: Sequence[FloatArray]) -> Self:
        """Remembers rows, at most `memory`."""
        usable = long_enough(stretches, self.context, FEWEST, "knn")
        windows = [strided(rows, self.window) for rows in usable]  # views: nothing is copied yet
        total = sum(len(part) for part in windows)
        chosen = np.arange(total)
        if total > self.memory:
            draw = np.random.default_rng(self.seed).choice(total, self.memory, replace=False)
            chosen = np.sort(draw)
        begins = np.cumsum([0, *(len(part) for part in windows)])
        self.bank_ = np.concatenate(  # (M, C, W)
            [
                part[chosen[(chosen >= begin) & (chosen < end)] - begin]
                for part, begin, end in zip(windows, begins, begins[1:], strict=False)
            ]
        )
        return self

    def contributions(self, rows: FloatArray) -> FloatArray:
        """Each channel's part of the distance, (n, C) of (context + n, C)."""
        windows = strided(rows, self.window)
        distance: FloatArray = np.empty((len(windows), 1))
        squares: FloatArray = np.empty(windows.shape[:2])
        for start in range(0, len(windows), CHUNK):
            part = slice(start, start + CHUNK)
            distance[part, 0], squares[part] = self._nearest(windows[part])
        score = mean_of_last(distance, self.smooth)  # (n, 1)
        squares = mean_of_last(squares, self.smooth)
        whole = squares.sum(axis=1, keepdims=True)
        share = np.divide(squares, whole, out=np.zeros_like(squares), where=whole > 0)
        return np.asarray(score * np.sqrt(share * rows.shape[1]))

    def _nearest(self, windows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean distance to the k nearest (n,), and each channel's mean square of it (n, C)."""
        flat = self.bank_.reshape(len(self.bank_), -1)
        k = min(self.k, len(flat) - 1)
        index = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(flat)
        nearest = index.kneighbors(windows.reshape(len(windows), -1), return_distance=False)
        # measured again: brute force subtracts large squares, and would see itself as apart
        squares = np.stack(
            [np.square(windows - self.bank_[column]).mean(axis=2) for column in nearest.T], axis=1
        )  # (n, k + 1, C)
        distance = np.sqrt(squares.mean(axis=2))  # (n, k + 1)
        keep = np.ones_like(distance, dtype=bool)
        itself = distance.min(axis=1) < ITSELF
        keep[np.arange(len(keep)), np.where(itself, distance.argmin(axis=1), k)] = False
        squares = squares[keep].reshape(len(keep), k, -1)
        return distance[keep].reshape(-1, k).mean(axis=1), squares.mean(axis=1)


def _checked(smooth: int) -> int:
    if smooth < 1:
        raise ParameterError(f"smooth must be >= 1, got {smooth}")
    return smooth
