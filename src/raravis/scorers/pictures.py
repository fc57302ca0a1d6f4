"""How strange a picture is: its strangest blocks and its whole, heard together."""

from __future__ import annotations

from typing import Self

import numpy as np

from raravis import scorers
from raravis.encoded import Encoded
from raravis.learned import Learned
from raravis.scorers import Scorer
from raravis.thresholds import Tail
from raravis.windows import FloatArray

TERMS = ("patches", "coarse", "within")  # of the model image-blocks


class Tails(Learned):
    """What each term, and the distance of the whole, is on ordinary pictures."""

    def __init__(self) -> None:
        self.patches_ = Tail(tail="exponential")
        self.coarse_ = Tail(tail="exponential")
        self.within_ = Tail(tail="exponential")
        self.whole_ = Tail(tail="exponential")


@scorers.register("pictures")
class Pictures(Scorer):
    """Mean surprise of what a picture's blocks say and of how far it lies from others as a whole.

        score = mean over members of -log p_member
        members: the terms "patches", "coarse" and "within", where the model gives all, and the
                 mean distance to the k nearest remembered embeddings

    So a small flaw and a picture that is different altogether both count. Of pictures too small to
    be judged by their blocks the model gives no "within", and the whole alone decides.

    k       >= 1: neighbours of the whole. Pictures that recur up to k times still stand out.
    memory  >= 2: embeddings remembered, drawn at random.
    seed    of the drawing.

    Source: as for `ensemble`, Fisher 1925; distances are not rescaled, see `KNN`.
    """

    def __init__(self, k: int = 5, memory: int = 10_000, seed: int = 0) -> None:
        self.k = k
        self.knn_ = scorers.create("knn", k=k, memory=memory, rescale=False, seed=seed)
        self.tails_ = Tails()

    def fit(self, encoded: Encoded) -> Self:
        """Remembers embeddings, and what each member says of ordinary pictures."""
        self.knn_.fit(encoded)
        self.tails_ = Tails()
        self.tails_.whole_.fit(self.knn_.ordinary_scores(encoded), hours=1.0)
        if set(TERMS) <= set(encoded.terms):
            for name in TERMS:
                getattr(self.tails_, f"{name}_").fit(encoded.terms[name], hours=1.0)
        return self

    def score(self, encoded: Encoded) -> FloatArray:
        """Mean surprise, (N,), in nats: 1 on average for an ordinary picture."""
        return self._score(encoded, self.knn_.score(encoded))

    def ordinary_scores(self, encoded: Encoded) -> FloatArray:
        """As `score`, no picture meeting itself among those remembered, (N,)."""
        return self._score(encoded, self.knn_.ordinary_scores(encoded))

    def _score(self, encoded: Encoded, whole: FloatArray) -> FloatArray:
        surprises = [self.tails_.whole_.surprise(whole)]
        for name in TERMS:
            tail: Tail = getattr(self.tails_, f"{name}_")
            if tail.is_fitted:
                said = scorers.create("term", term=name).score(encoded)
                surprises.append(tail.surprise(said))
        return np.asarray(np.mean(surprises, axis=0))
