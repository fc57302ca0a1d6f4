"""Scorers that measure how far a window lies from ordinary ones in the model's space."""

from __future__ import annotations

from typing import Self

import numpy as np

from raravis import scorers
from raravis.encoded import Encoded
from raravis.errors import DataError, ParameterError
from raravis.scorers import Scorer, checked
from raravis.windows import BoolArray, FloatArray, IntArray

CHUNK = 1 << 20  # distances held at once: 4 MB as float32
GROUP = 64  # distances of which one minimum is taken
ITSELF = 0.02  # of the ordinary spacing: closer than this, a window is the remembered one
SPARSEST = 0.1  # of the ordinary spacing: what local spacing is at least


@scorers.register("knn")
class KNN(Scorer):
    """Mean distance to the k nearest of a bounded number of remembered windows.

        d(z)     = mean of |z - m| over the k nearest remembered m
        score(z) = d(z)                                          rescale=False
        score(z) = d(z) / mean of d(m) over those k              rescale=True

    Rescaled, 1 is ordinary everywhere: a window is strange where it lies farther from its
    neighbours than they lie from each other, in dense regions and in sparse ones alike.

    A remembered window that comes again is not its own neighbour: of the remembered ones, one that
    lies closer than 2 % of the ordinary spacing is left out. So `score` of what was learned from
    is what it would have been, had it been new.

    k        >= 1: neighbours. Events that recur up to k times still stand out.
    memory   >= 2: windows remembered, drawn at random; cost and size do not grow beyond it.
    rescale  divide by the local spacing. It helps where an embedding is dense here and sparse
             there; it hurts where it is good already.
    seed     of the drawing.

    Source: Ramaswamy et al. 2000, doi:10.1145/342009.335437 (their D^k, as a mean over k), and
    Breunig et al. 2000, doi:10.1145/342009.335388 for the division; ours is a ratio of distances,
    not of reachability densities.
    """

    def __init__(
        self, k: int = 10, memory: int = 10_000, rescale: bool = True, seed: int = 0
    ) -> None:
        if k < 1 or memory < 2:
            raise ParameterError(f"k must be >= 1 and memory >= 2, got k={k}, memory={memory}")
        self.k = k
        self.memory = memory
        self.rescale = rescale
        self.seed = seed

    def fit(self, encoded: Encoded) -> Self:
        """Remembers windows, at most `memory`, and how far apart they lie."""
        z = checked(encoded, fewest=2)
        rows = np.arange(len(z))
        if len(z) > self.memory:
            draw = np.random.default_rng(self.seed).choice(len(z), self.memory, replace=False)
            rows = np.sort(draw)
        self.mean_ = z[rows].mean(axis=0)  # distances are exact where numbers are small
        self.bank_ = (z[rows] - self.mean_).astype(np.float32)
        nearest, distance = self._nearest(self.bank_, min(self._k + 2, len(rows)))
        others = _without(distance, nearest == np.arange(len(nearest))[:, None])  # (M, k + 1)
        self.spacing_ = others[:, : self._k].mean(axis=1)
        self.reach_, self.next_ = others[:, self._k - 1], others[:, -1]  # kth and one farther
        self.ordinary_ = float(np.median(self.spacing_)) or 1.0
        return self

    def score(self, encoded: Encoded) -> FloatArray:
        """Distance to what is remembered, (N,), in units of the local spacing where rescaled."""
        z = checked(encoded, dim=self.bank_.shape[1] if self.is_fitted else 0)
        nearest, distance = self._nearest((z - self.mean_).astype(np.float32), self._k + 1)
        itself = np.zeros(distance.shape, dtype=bool)
        itself[:, 0] = distance[:, 0] < ITSELF * self.ordinary_
        d = _without(distance, itself).mean(axis=1)  # (N,)
        if not self.rescale:
            return np.asarray(d)
        # where it is remembered, its neighbours count their next one in its place
        counted = itself.any(axis=1, keepdims=True) & (distance <= self.reach_[nearest])
        swapped = np.where(counted, self.next_[nearest] - distance, 0.0) / self._k
        local = _without(self.spacing_[nearest] + swapped, itself).mean(axis=1)
        return np.asarray(d / np.maximum(local, SPARSEST * self.ordinary_))

    @property
    def _k(self) -> int:
        return min(self.k, len(self.bank_) - 1)

    def _nearest(self, z: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """The k remembered windows nearest to each, nearest first: rows and distances (N, k)."""
        pad = -len(self.bank_) % GROUP
        bank = np.pad(-2 * self.bank_, ((0, pad), (0, 0))).T.copy()  # (D, M)
        squares = np.einsum("md,md->m", self.bank_, self.bank_)
        squares = np.pad(squares, (0, pad), constant_values=np.inf)
        step = max(1, CHUNK // len(squares))
        rows = np.empty((len(z), k), dtype=np.int64)
        for start in range(0, len(z), step):
            far = z[start : start + step] @ bank + squares
            rows[start : start + step] = _smallest(far, k)
        distance = np.empty((len(z), k))
        for column in range(k):  # measured again: the differences above are of large numbers
            gap = z - self.bank_[rows[:, column]]
            distance[:, column] = np.linalg.norm(gap.astype(np.float64), axis=1)
        order = np.lexsort((rows, distance), axis=1)
        return np.take_along_axis(rows, order, 1), np.take_along_axis(distance, order, 1)


@scorers.register("mahalanobis")
class Mahalanobis(Scorer):
    """Distance from the mean, each direction measured in its own standard deviations.

        score(z) = sqrt((z - mean)^T S^-1 (z - mean))
        S        = (1 - shrinkage) covariance + shrinkage sphere

    For D-dimensional Gaussian embeddings the squared score follows chi-squared with D degrees of
    freedom, so about sqrt(D) is ordinary.

    shrinkage  in [0, 1): how far the covariance is drawn to a sphere of the same trace. It keeps
               the inverse tame where D is near N.

    Source: Lee et al. 2018, arXiv:1807.03888, with one class; sign and root changed so that
    higher is stranger and the unit is a standard deviation.
    """

    def __init__(self, shrinkage: float = 0.01) -> None:
        if not 0 <= shrinkage < 1:
            raise ParameterError(f"shrinkage must be in [0, 1), got {shrinkage}")
        self.shrinkage = shrinkage

    def fit(self, encoded: Encoded) -> Self:
        """Learns the mean and how the windows spread around it."""
        z = checked(encoded, fewest=2)
        dim = z.shape[1]
        covariance = np.cov(z, rowvar=False).reshape(dim, dim)
        sphere = (np.trace(covariance) / dim or 1.0) * np.eye(dim)
        try:
            root = np.linalg.cholesky((1 - self.shrinkage) * covariance + self.shrinkage * sphere)
        except np.linalg.LinAlgError as error:
            raise DataError(
                f"the {len(z)} embeddings do not spread in all {dim} directions: "
                f"raise shrinkage above {self.shrinkage}"
            ) from error
        self.mean_ = z.mean(axis=0)
        self.whiten_ = np.linalg.inv(root)  # S^-1 = whiten^T whiten
        return self

    def score(self, encoded: Encoded) -> FloatArray:
        """Distance from the mean, (N,), in standard deviations."""
        z = checked(encoded, dim=len(self.mean_) if self.is_fitted else 0)
        return np.asarray(np.linalg.norm((z - self.mean_) @ self.whiten_.T, axis=1))


def _smallest(values: FloatArray, k: int) -> IntArray:
    """Columns of the k smallest in each row of (n, M), in any order; M a multiple of GROUP.

    They lie in the k groups with the smallest minima: six times faster than to search everything.
    """
    groups = values.reshape(len(values), -1, GROUP)
    if k >= groups.shape[1]:
        return np.argpartition(values, k - 1, axis=1)[:, :k]
    best = np.argpartition(groups.min(axis=2), k - 1, axis=1)[:, :k]  # (n, k) groups
    candidates = np.take_along_axis(groups, best[:, :, None], 1).reshape(len(values), -1)
    place = np.argpartition(candidates, k - 1, axis=1)[:, :k]
    return np.take_along_axis(best, place // GROUP, 1) * GROUP + place % GROUP


def _without(values: FloatArray, left_out: BoolArray) -> FloatArray:
    """(N, k) of (N, k + 1): each row without its one marked value, or else without its last."""
    keep = ~left_out
    keep[~left_out.any(axis=1), -1] = False
    return np.asarray(values[keep].reshape(len(values), -1))
