"""Remembered blocks of ordinary pictures, and how far a block lies from them and from its own
picture."""

from __future__ import annotations

from typing import Self

import numpy as np

from raravis.learned import Learned
from raravis.windows import FloatArray, IntArray

LEAST_DEVIATION = 1e-3  # numbers that hardly vary count as varying by this
CHUNK = 1 << 20  # distances held at once: 4 MB
GROUP = 32  # distances of which one minimum is taken
MOST_OTHERS = 2048
NONE = 1e30  # the square of a distance that does not count


class BlockMemory(Learned):
    """A bounded number of remembered blocks, in a space where their numbers are of one size.

        z = (x - mean) / deviation, turned into its principal components, each divided by
            sqrt((1 - shrinkage) variance + shrinkage)

    shrinkage  in [0, 1]: 0 makes all directions count alike, 1 leaves them as they are.
    memory     blocks remembered, >= 2.
    k          neighbours, >= 1.
    seed       of the choice.
    """

    def __init__(self, shrinkage: float, memory: int, k: int, seed: int) -> None:
        self.shrinkage = shrinkage
        self.memory = memory
        self.k = k
        self.seed = seed

    def fit(self, blocks: FloatArray, owner: IntArray) -> Self:
        """Learns from blocks (P, D), of which block i is from the picture owner[i]."""
        self.mean_ = blocks.mean(axis=0)
        deviation = np.maximum(blocks.std(axis=0), LEAST_DEVIATION)
        standard = (blocks - self.mean_) / deviation
        variance, directions = np.linalg.eigh(np.atleast_2d(np.cov(standard.T, bias=True)))
        shrunk = (1 - self.shrinkage) * np.maximum(variance, 0) + self.shrinkage
        self.turn_ = directions / deviation[:, None] / np.sqrt(np.maximum(shrunk, LEAST_DEVIATION))
        rows = np.arange(len(blocks))
        if len(blocks) > self.memory:
            draw = np.random.default_rng(self.seed).choice(len(rows), self.memory, replace=False)
            rows = np.sort(draw)
        self.bank_ = self.turned(blocks[rows])  # (M, D)
        self.owner_ = owner[rows]
        return self

    def turned(self, blocks: FloatArray) -> FloatArray:
        """Blocks (..., D) in the space where distances are taken."""
        z: FloatArray = ((blocks - self.mean_) @ self.turn_).astype(np.float32)
        return z

    def distance(self, z: FloatArray, owner: int | None = None) -> FloatArray:
        """Mean distance of turned blocks (n, D) to the k nearest remembered, (n,).

        owner  a picture whose own blocks do not count.
        """
        pad = -len(self.bank_) % GROUP
        squares = np.square(self.bank_).sum(axis=1)
        if owner is not None:
            squares = np.where(self.owner_ == owner, np.float32(NONE), squares)
        squares = np.pad(squares, (0, pad), constant_values=NONE)
        bank = np.pad(-2 * self.bank_, ((0, pad), (0, 0))).T  # (D, M)
        k = max(1, min(self.k, int((squares < NONE).sum())))
        distance = np.empty(len(z), dtype=np.float32)
        step = max(1, CHUNK // len(squares))
        for start in range(0, len(z), step):
            part = z[start : start + step]
            distance[start : start + step] = _mean_of_nearest(part, part @ bank + squares, k)
        return distance


def own_distance(z: FloatArray, columns: int, apart: float, k: int) -> FloatArray:
    """Mean distance of each turned block (n, D) to the k nearest of its own picture
    that do not overlap it, (n,).

    apart  blocks whose places differ by so many rows or columns do not overlap. A block that has
           fewer than k such others has the distance 0. Of a large picture an even sample of 2,048
           blocks is compared with.
    """
    row, column = np.divmod(np.arange(len(z)), columns)
    others = np.arange(0, len(z), -(-len(z) // MOST_OTHERS))
    squares = np.square(z[others]).sum(axis=1)
    distance = np.zeros(len(z), dtype=np.float32)
    step = max(1, CHUNK // len(others))
    for start in range(0, len(z), step):
        here = np.arange(start, min(start + step, len(z)))
        gap = np.maximum(
            np.abs(row[here, None] - row[others]), np.abs(column[here, None] - column[others])
        )
        known = here[(gap >= apart).sum(axis=1) >= k]
        if len(known):
            far = squares - 2 * z[known] @ z[others].T
            far = np.where(gap[known - start] >= apart, far, np.float32(NONE))
            distance[known] = _mean_of_nearest(z[known], far, k)
    return distance


def _mean_of_nearest(z: FloatArray, far: FloatArray, k: int) -> FloatArray:
    """Mean over the k smallest in each row of (n, M) squared distances less |z|^2, as distances."""
    smallest = np.partition(_candidates(far, k), k - 1, axis=1)[:, :k]
    squares = smallest + np.square(z).sum(axis=1, keepdims=True)
    mean: FloatArray = np.sqrt(np.maximum(squares, 0)).mean(axis=1)
    return mean


def _candidates(far: FloatArray, k: int) -> FloatArray:
    """Of each row a few values, among which the k smallest are: those of the k groups with the
    smallest minima. Several times faster than to search everything."""
    if far.shape[1] % GROUP or far.shape[1] <= k * GROUP:
        return far
    groups = far.reshape(len(far), GROUP, -1)  # neighbours in memory belong to different groups
    best = np.argpartition(groups.min(axis=1), k - 1, axis=1)[:, :k]
    return np.take_along_axis(groups, best[:, None, :], 2).reshape(len(far), -1)
