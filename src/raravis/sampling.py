"""In which order windows are learned from, with some of them left out.

The order follows the seed, the epoch and the mask alone, not how many processes share the work:
each takes its part of every batch, so that every epoch covers each kept window exactly once.
"""

from __future__ import annotations

import math

import numpy as np

from raravis.windows import BoolArray, IntArray


class MaskedBatches:
    """Random batches of the rows that are kept.

    rows   (N,) that may be learned from.
    batch  rows in a batch at most; batches are made as equal as they can be.
    seed   of the order.

    kept   (N,) which of them are learned from; may be replaced between epochs.
    """

    def __init__(self, rows: IntArray, batch: int, seed: int) -> None:
        self.rows, self.batch, self.seed = rows, batch, seed
        self.kept: BoolArray = np.ones(len(rows), dtype=bool)

    def epoch(self, number: int) -> list[IntArray]:
        """The batches of an epoch, each sorted for the disk; all processes together have them."""
        order = np.random.default_rng([self.seed, number]).permutation(self.rows[self.kept])
        count = math.ceil(len(order) / self.batch)
        return [np.sort(part) for part in np.array_split(order, count)] if count else []
