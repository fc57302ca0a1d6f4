"""Pictures judged by their blocks, each held against remembered blocks of ordinary pictures.

No network and nothing downloaded: what is learned is how each number of a block spreads, and some
thousands of blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
from scipy.ndimage import map_coordinates

from raravis import models
from raravis.encoded import Encoded
from raravis.errors import DataError, ParameterError
from raravis.images.statistics import block_statistics, shrunk
from raravis.models import ImageModel
from raravis.windows import FloatArray, IntArray

FEWEST = 2  # pictures to learn from
MEASURED = 64  # pictures from which sizes and deviations are taken
SMALLEST = 8  # pixels of a side
LEAST = 0.05  # of the usual deviation of a channel: what local deviations are raised by
LEAST_DEVIATION = 1e-3  # numbers that hardly vary count as varying by this
POOL = 4  # blocks looked at for each that is remembered
PIXELS = 1 << 20  # numbers of pictures of one size that are described together
CHUNK = 1 << 20  # distances held at once: 4 MB


@models.register("image-blocks")
class ImageBlocks(ImageModel):
    """How unlike all ordinary blocks the strangest blocks of a picture are.

        term "patches" = quantile over the picture's blocks of
                         mean distance to the k nearest of the remembered blocks
        embedding      = mean and deviation over the blocks of each of their numbers

    A block is described by 23 numbers a channel (`images.statistics`), each in deviations of what
    is usual. Where in the picture a block lies does not matter. Pictures may be of any size from
    8 x 8; all are brought to one scale by a whole factor, learned from the usual size.

    side      of a block in pixels after shrinking, >= 4; for small pictures less, a third of the
              shorter side.
    shorter   pictures are shrunk by a whole factor so that their shorter side is about this long.
    memory    blocks remembered, >= 2, an even sample; cost and size do not grow beyond it.
    k         >= 1: neighbours.
    quantile  in (0, 1]: of a picture's blocks. 1 would let a single block decide.
    seed      of the sample.

    Source: a memory of patches as in PatchCore, Roth et al. 2022, arXiv:2106.08265; ours describes
    blocks by statistics instead of a pretrained network, and remembers a sample of bounded size.
    """

    def __init__(
        self,
        side: int = 24,
        shorter: int = 128,
        memory: int = 6000,
        k: int = 3,
        quantile: float = 0.995,
        seed: int = 0,
    ) -> None:
        if side < 4 or shorter < SMALLEST:
            raise ParameterError(
                f"side must be >= 4 and shorter >= {SMALLEST} pixels, got {side} and {shorter}"
            )
        if memory < 2 or k < 1 or not 0 < quantile <= 1:
            raise ParameterError(
                "memory must be >= 2, k >= 1 and quantile in (0, 1], got "
                f"{memory}, {k} and {quantile}"
            )
        self.side = side
        self.shorter = shorter
        self.memory = memory
        self.k = k
        self.quantile = quantile
        self.seed = seed

    def fit(self, pictures: Sequence[FloatArray]) -> Self:
        """Learns the scale, how the numbers spread, and remembers blocks.

        Raises DataError for fewer than 2 pictures, or those that cannot be used.
        """
        if len(pictures) < FEWEST:
            raise DataError(
                f"image-blocks learns from at least {FEWEST} pictures, got {len(pictures)}"
            )
        self._measure(pictures)
        pool, owner = self._pool(pictures)
        self.mean_ = pool.mean(axis=0)
        self.deviation_ = np.maximum(pool.std(axis=0), LEAST_DEVIATION)
        rows = np.arange(len(pool))
        if len(pool) > self.memory:
            draw = np.random.default_rng(self.seed).choice(len(pool), self.memory, replace=False)
            rows = np.sort(draw)
        self.bank_ = self._standard(pool[rows])
        self.owner_ = owner[rows]  # of which picture each remembered block is
        return self

    def encode(self, pictures: Sequence[FloatArray]) -> Encoded:
        """Embedding (N, D) and the term "patches" of new pictures."""
        return self._encode(pictures, known=False)

    def ordinary(self, pictures: Sequence[FloatArray]) -> Encoded:
        """As `encode`, of the pictures that `fit` saw: none meets its own blocks."""
        return self._encode(pictures, known=True)

    def heat(self, picture: FloatArray) -> FloatArray:
        """How strange the blocks around each pixel are, (H, W), drawn smoothly from one block's
        middle to the next."""
        (_, blocks), *_ = self._described([picture])
        distance = self._distance(blocks[0], owner=None)  # (h, w)
        step, middle = self._stride * self.factor_, (self.side_ * self.factor_ - 1) / 2
        places = [(np.arange(length) - middle) / step for length in picture.shape[-2:]]
        grid = np.meshgrid(*places, indexing="ij")
        heat: FloatArray = map_coordinates(distance, grid, order=1, mode="nearest")
        return heat

    # ------------------------------------------------------------- learning

    def _measure(self, pictures: Sequence[FloatArray]) -> None:
        """Scale, size of blocks and usual deviation of the channels, from an even sample."""
        rows = np.unique(np.linspace(0, len(pictures) - 1, MEASURED).astype(int))
        some = [pictures[row] for row in rows]
        self.channels_ = len(some[0])
        for picture in some:
            self._check(picture)
        shorter = int(np.median([min(picture.shape[1:]) for picture in some]))
        self.factor_ = max(1, round(shorter / self.shorter))
        self.side_ = int(np.clip(shorter // self.factor_ // 12 * 4, 4, self.side))
        deviation = np.mean([picture.std(axis=(1, 2)) for picture in some], axis=0)
        usual = np.where(deviation > 0, deviation, deviation.max() or 1.0)
        self.least_ = (LEAST * usual).astype(np.float32)  # (C,)

    def _pool(self, pictures: Sequence[FloatArray]) -> tuple[FloatArray, IntArray]:
        """An even sample of blocks (P, D) and whose they are (P,)."""
        random = np.random.default_rng(self.seed)
        each = -(-POOL * self.memory // len(pictures))
        pool, owner = [], []
        for first, blocks in self._described(pictures):
            for row, own in enumerate(blocks.reshape(len(blocks), -1, blocks.shape[-1])):
                chosen = random.permutation(len(own))[:each]
                pool.append(own[chosen])
                owner.append(np.full(len(chosen), first + row, dtype=np.int32))
        return np.concatenate(pool), np.concatenate(owner)

    # ------------------------------------------------------------- judging

    @property
    def _stride(self) -> int:
        return max(2, self.side_ // 3)

    def _encode(self, pictures: Sequence[FloatArray], known: bool) -> Encoded:
        embedding = np.empty((len(pictures), 2 * len(self._fitted().mean_)), dtype=np.float32)
        patches = np.empty(len(pictures))
        for first, blocks in self._described(pictures):
            for row, own in enumerate(blocks, start=first):
                distance = self._distance(own, owner=row if known else None)
                patches[row] = np.quantile(distance, self.quantile)
                standard = self._standard(own.reshape(-1, own.shape[-1]))
                embedding[row] = np.concatenate([standard.mean(axis=0), standard.std(axis=0)])
        return Encoded(embedding, {"patches": patches})

    def _described(self, pictures: Sequence[FloatArray]) -> Iterator[tuple[int, FloatArray]]:
        """Statistics of blocks (n, h, w, D), of runs of pictures of one size; each with the row of
        its first picture."""
        run: list[FloatArray] = []
        for row in range(len(pictures)):
            picture = self._check(pictures[row])
            if run and (picture.shape != run[0].shape or picture.size * len(run) >= PIXELS):
                yield row - len(run), self._statistics(run)
                run = []
            run.append(picture)
        if run:
            yield len(pictures) - len(run), self._statistics(run)

    def _statistics(self, run: list[FloatArray]) -> FloatArray:
        pictures = np.stack(run).astype(np.float32, copy=False)
        factor = min(self.factor_, *pictures.shape[-2:])
        return block_statistics(shrunk(pictures, factor), self.side_, self._stride, self.least_)

    def _standard(self, blocks: FloatArray) -> FloatArray:
        standard: FloatArray = ((blocks - self.mean_) / self.deviation_).astype(np.float32)
        return standard

    def _distance(self, blocks: FloatArray, owner: int | None) -> FloatArray:
        """Mean distance of each block (h, w, D) to the k nearest remembered, (h, w); without those
        of the picture `owner`."""
        z = self._standard(blocks.reshape(-1, blocks.shape[-1]))
        squares = np.einsum("md,md->m", self.bank_, self.bank_)
        if owner is not None:
            squares = np.where(self.owner_ == owner, np.float32(np.inf), squares)
        k = max(1, min(self.k, int(np.isfinite(squares).sum())))
        step = max(1, CHUNK // len(squares))
        nearest = np.empty((len(z), k), dtype=np.float32)
        for start in range(0, len(z), step):
            part = z[start : start + step]
            far = squares - 2 * (part @ self.bank_.T)
            far = np.partition(far, k - 1, axis=1)[:, :k]
            far += np.einsum("nd,nd->n", part, part)[:, None]
            nearest[start : start + step] = far
        distance: FloatArray = np.sqrt(np.maximum(nearest, 0)).mean(axis=1)
        return distance.reshape(blocks.shape[:2])

    def _fitted(self) -> Self:
        if not self.is_fitted:
            raise ParameterError("image-blocks has learned nothing yet: call fit first")
        return self

    def _check(self, picture: FloatArray) -> FloatArray:
        channels = self._fitted().channels_
        if picture.ndim != 3 or min(picture.shape[1:]) < SMALLEST or len(picture) != channels:
            raise DataError(
                f"image-blocks takes pictures (C, H, W) of {channels} channels and at least "
                f"{SMALLEST} x {SMALLEST} pixels, got {picture.shape}"
            )
        if not np.isfinite(picture).all():
            raise DataError("a picture holds NaN or infinite values: leave it out or fill them")
        return picture
