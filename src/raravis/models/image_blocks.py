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
from raravis.images.memory import BlockMemory, own_distance
from raravis.images.statistics import block_statistics, shrunk
from raravis.images.whole import Whole, light_and_colour
from raravis.models import ImageModel
from raravis.windows import FloatArray, IntArray

FEWEST = 2  # pictures to learn from
MEASURED = 64  # pictures from which sizes, deviations and shades are taken
SMALLEST = 8  # pixels of a side
SMALLEST_BLOCK = 4  # pixels of a side
LEAST = 0.05  # of the usual deviation of a channel: what local deviations are raised by
FAINTEST = 0.1  # of the strongest channel's usual deviation: what a channel's at least counts as
WIDER = 5 / 3  # sides of a coarse block in those of a fine one
POOL = 4  # blocks looked at for each that is remembered
PIXELS = 1 << 20  # numbers of pictures of one size that are described together


@models.register("image-blocks")
class ImageBlocks(ImageModel):
    """How unlike ordinary blocks the strangest blocks of a picture are.

        term "patches" = quantile over the picture's blocks of
                         mean distance to the k nearest remembered blocks
        term "coarse"  = the same, for blocks 5/3 as wide, which have a memory of their own
        term "within"  = as "patches", to the k nearest blocks of the picture itself elsewhere
        embedding      = outlines, layout and shades of the whole picture (`images.whole`)

    A block is described by 23 numbers a channel (`images.statistics`). Where in the picture it
    lies does not matter to the terms; it does to the embedding. Channels are first turned into
    their mean and their differences. Pictures may be of any size from 8 x 8; all are shrunk by one
    whole factor, learned from the usual size.

    Small pictures have small blocks, which hold too few pixels to be held against each other:
    below `smallest` there is "patches" alone, and the scorer "pictures" goes by the whole alone.

    side       of a block in pixels after shrinking, >= 4; for small pictures less, about a third
               of the shorter side.
    shorter    pictures are shrunk so that their shorter side is about so many pixels long.
    memory     blocks remembered, >= 2, an even sample; cost and size do not grow beyond it.
    smallest   side of blocks from which on there are all terms; 4 gives them always.
    k          >= 1: neighbours.
    quantile   in (0, 1]: of a picture's blocks. 1 would let a single block decide.
    shrinkage  in [0, 1]: how little correlated numbers of a block are held apart.
    seed       of the sample.

    Source: a memory of patches as in PatchCore, Roth et al. 2022, arXiv:2106.08265; ours describes
    blocks by statistics instead of a pretrained network, and remembers a sample of bounded size.
    """

    def __init__(
        self,
        side: int = 24,
        shorter: int = 128,
        memory: int = 6000,
        smallest: int = 16,
        k: int = 3,
        quantile: float = 0.98,
        shrinkage: float = 0.5,
        seed: int = 0,
    ) -> None:
        if side < SMALLEST_BLOCK or shorter < SMALLEST:
            raise ParameterError(
                f"side must be >= {SMALLEST_BLOCK} and shorter >= {SMALLEST} pixels, got {side} "
                f"and {shorter}"
            )
        if memory < 2 or k < 1:
            raise ParameterError(f"memory must be >= 2 and k >= 1, got {memory} and {k}")
        if not 0 < quantile <= 1 or not 0 <= shrinkage <= 1:
            raise ParameterError(
                f"quantile must be in (0, 1] and shrinkage in [0, 1], got {quantile} and "
                f"{shrinkage}"
            )
        self.side = side
        self.shorter = shorter
        self.smallest = smallest
        self.k = k
        self.quantile = quantile
        self.seed = seed
        self.memory_ = BlockMemory(shrinkage, memory, k, seed)
        self.coarse_ = BlockMemory(shrinkage, memory, k, seed)
        self.whole_ = Whole()

    def fit(self, pictures: Sequence[FloatArray]) -> Self:
        """Learns the scale, how the numbers spread, and remembers blocks.

        Raises DataError for fewer than 2 pictures, or those that cannot be used.
        """
        if len(pictures) < FEWEST:
            raise DataError(
                f"image-blocks learns from at least {FEWEST} pictures, got {len(pictures)}"
            )
        self._measure(pictures)
        random = np.random.default_rng(self.seed)
        each = -(-POOL * self.memory_.memory // len(pictures))  # blocks of a picture
        pools: dict[str, list[FloatArray]] = {name: [] for name, _, _ in self._memories}
        owners: dict[str, list[IntArray]] = {name: [] for name in pools}
        described = []
        for first, run in self._runs(pictures):
            described.append(self.whole_.raw(run, self.least_))
            for name, _, side in self._memories:
                blocks = self._blocks(run, side)
                flat = blocks.reshape(len(run), -1, blocks.shape[-1])
                for row, own in enumerate(flat, start=first):
                    some = own[random.permutation(len(own))[:each]]
                    pools[name].append(some)
                    owners[name].append(np.full(len(some), row, dtype=np.int32))
        self.whole_.fit(described)
        for name, memory, _ in self._memories:
            memory.fit(np.concatenate(pools[name]), np.concatenate(owners[name]))
        return self

    def encode(self, pictures: Sequence[FloatArray]) -> Encoded:
        """Embedding (N, D) and the terms of new pictures, see above; of small ones
        "patches" alone."""
        return self._encode(pictures, known=False)

    def ordinary(self, pictures: Sequence[FloatArray]) -> Encoded:
        """As `encode`, of the pictures that `fit` saw: none meets its own blocks in memory."""
        return self._encode(pictures, known=True)

    def heat(self, picture: FloatArray) -> FloatArray:
        """How strange the blocks around each pixel are, (H, W): the mean of the distances to the
        memory and within the picture, drawn smoothly from one block's middle to the next."""
        ((_, run),) = self._runs([picture])
        distance = np.mean(
            self._distances(self._blocks(run, self.side_)[0], owner=None), axis=0
        )  # (h, w)
        factor = self._factor(picture)
        step, middle = self._stride * factor, (self.side_ * factor - 1) / 2
        places = [(np.arange(length) - middle) / step for length in picture.shape[-2:]]
        grid = np.meshgrid(*places, indexing="ij")
        heat: FloatArray = map_coordinates(distance, grid, order=1, mode="nearest")
        return heat

    def _measure(self, pictures: Sequence[FloatArray]) -> None:
        """Scale, size of blocks, deviations and shades, from an even sample of pictures."""
        rows = np.unique(np.linspace(0, len(pictures) - 1, MEASURED).astype(int))
        some = [_usable(pictures[row], len(pictures[0])) for row in rows]
        shorter = int(np.median([min(picture.shape[1:]) for picture in some]))
        self.factor_ = max(1, round(shorter / self.shorter))
        third = shorter // self.factor_ // 3 // SMALLEST_BLOCK * SMALLEST_BLOCK
        self.side_ = int(np.clip(third, SMALLEST_BLOCK, self.side))
        self.unit_ = _usual(some)
        turned = [self._turned(picture[None])[0] for picture in some]
        self.least_ = LEAST * _usual(turned)
        self.whole_.shades_.fit(turned)

    @property
    def _memories(self) -> list[tuple[str, BlockMemory, int]]:
        """Term, memory and side of blocks; small pictures have the first alone."""
        fine = ("patches", self.memory_, self.side_)
        if self.side_ < self.smallest:
            return [fine]
        return [fine, ("coarse", self.coarse_, round(self.side_ * WIDER))]

    @property
    def _stride(self) -> int:
        return max(2, self.side_ // 3)

    def _encode(self, pictures: Sequence[FloatArray], known: bool) -> Encoded:
        if not self.is_fitted:
            raise ParameterError("image-blocks has learned nothing yet: call fit first")
        embedding = [np.empty((0, len(self.whole_.mean_)), dtype=np.float32)]
        names = [name for name, _, _ in self._memories]
        if self.side_ >= self.smallest:
            names.append("within")
        terms: dict[str, list[float]] = {name: [] for name in names}
        for first, run in self._runs(pictures):
            embedding.append(self.whole_(self.whole_.raw(run, self.least_)))
            coarse = self._blocks(run, self._memories[-1][2]) if "coarse" in terms else None
            for row, blocks in enumerate(self._blocks(run, self.side_)):
                owner = first + row if known else None
                said = dict(
                    zip(("patches", "within"), self._distances(blocks, owner), strict=False)
                )
                if coarse is not None:
                    z = self.coarse_.turned(coarse[row].reshape(-1, coarse.shape[-1]))
                    said["coarse"] = self.coarse_.distance(z, owner)
                for name, distance in said.items():
                    terms[name].append(float(np.quantile(distance, self.quantile)))
        return Encoded(np.concatenate(embedding), {n: np.array(v) for n, v in terms.items()})

    def _runs(self, pictures: Sequence[FloatArray]) -> Iterator[tuple[int, FloatArray]]:
        """Runs of pictures of one size, shrunk and turned, (n, C, H, W); each with the row of its
        first picture."""
        run: list[FloatArray] = []
        for row in range(len(pictures)):
            picture = _usable(pictures[row], len(self.unit_))
            if run and (picture.shape != run[0].shape or picture.size * len(run) >= PIXELS):
                yield row - len(run), self._turned(np.stack(run))
                run = []
            run.append(picture)
        if run:
            yield len(pictures) - len(run), self._turned(np.stack(run))

    def _turned(self, pictures: FloatArray) -> FloatArray:
        return light_and_colour(shrunk(pictures, self._factor(pictures)), self.unit_)

    def _factor(self, pictures: FloatArray) -> int:
        """What pictures (..., H, W) are shrunk by: a much smaller one than usual by less."""
        return int(min(self.factor_, min(pictures.shape[-2:]) // SMALLEST))

    def _blocks(self, run: FloatArray, side: int) -> FloatArray:
        """Statistics of every block of this side, (n, h, w, D)."""
        return block_statistics(run, side, max(2, side // 3), self.least_)

    def _distances(self, blocks: FloatArray, owner: int | None) -> list[FloatArray]:
        """Distances (h, w) of blocks (h, w, D) to the memory, and within their picture unless it
        is small."""
        size = blocks.shape[:2]
        z = self.memory_.turned(blocks.reshape(-1, blocks.shape[-1]))
        distances = [self.memory_.distance(z, owner)]
        if self.side_ >= self.smallest:
            distances.append(own_distance(z, size[1], self.side_ / self._stride, self.k))
        return [distance.reshape(size) for distance in distances]


def _usual(pictures: Sequence[FloatArray]) -> FloatArray:
    """Mean deviation of each channel, (C,) > 0; at least a tenth of the strongest one's."""
    deviation = np.mean([picture.std(axis=(1, 2)) for picture in pictures], axis=0)
    usual = np.maximum(deviation, FAINTEST * deviation.max() or 1.0)
    return np.asarray(usual, dtype=np.float32)


def _usable(picture: FloatArray, channels: int) -> FloatArray:
    """The picture, float32; DataError where it cannot be judged."""
    if picture.ndim != 3 or min(picture.shape[1:]) < SMALLEST or len(picture) != channels:
        raise DataError(
            f"image-blocks takes pictures (C, H, W) of {channels} channels and at least "
            f"{SMALLEST} x {SMALLEST} pixels, got {picture.shape}"
        )
    if not np.isfinite(picture).all():
        raise DataError("a picture holds NaN or infinite values: leave it out or fill them")
    return picture.astype(np.float32, copy=False)
