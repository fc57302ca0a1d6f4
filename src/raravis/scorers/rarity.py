"""How rare a sound event is among all others that were heard."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.spatial.distance import cdist

from raravis.encoded import Encoded
from raravis.errors import ParameterError
from raravis.scorers import Scorer, register
from raravis.windows import FloatArray, IntArray

ALIKE = 5
"""Nearest remembered events whose mean distance tells how dense it is around an event."""

TWINS = 2
"""Nearest remembered events whose mean distance tells how alone an event is."""

ITSELF = 1e-6
"""A remembered event this near is the event itself and does not count."""

LEAST_REMEMBERED = 3
"""With fewer remembered events nothing can be said of rarity."""

_AT_ONCE = 256


@register("rarity")
class Rarity(Scorer):
    """How few remembered events are like this one, and like those that are most like it.

        alone   = mean distance to the 2 nearest remembered events
        group   = mean over the 5 mutual neighbours, taken `rounds` times, of the mean distance to
                  the 5 nearest
        z(x)    = (log x - median) / (90th percentile - median), over the remembered events
        rarity  = log(1 + exp(max(z(alone), z(group))))
        score   = rarity * min(salience / full_db, 1)

    A one-off is far from everything: `alone` finds it. What happened a few times has neighbours of
    its own kind, but fewer, hence farther ones than common kinds have: `group` finds it, since the
    mean over neighbours of neighbours is nearly the mean over the kind. Mutual neighbours are those
    for which the larger of two ranks is small, of the other as seen from here and of this as seen
    from there; so common sounds do not lend their density to rare ones. What hardly stands out from
    the background counts less, in proportion.

    Where an embedding has no term "salience", rarity is the score.

    bank     most events remembered, drawn at random with `seed`; the cost of a score is
             proportional to it, whatever was heard before.
    rounds   how often the mean over mutual neighbours is taken, >= 1.
    reach    nearest remembered events that are looked at as possible mutual neighbours.
    full_db  salience from which on an event counts in full.

    Remembered events that are scored again are left out of their own neighbours.
    """

    def __init__(
        self,
        bank: int = 2000,
        rounds: int = 4,
        reach: int = 100,
        full_db: float = 20.0,
        seed: int = 0,
    ) -> None:
        if bank < LEAST_REMEMBERED or rounds < 1 or reach < ALIKE or full_db <= 0:
            raise ParameterError(
                f"bank must be at least {LEAST_REMEMBERED}, rounds at least 1, reach at least "
                f"{ALIKE} and full_db above 0, got {bank}, {rounds}, {reach} and {full_db}"
            )
        self.bank = bank
        self.rounds = rounds
        self.reach = reach
        self.full_db = full_db
        self.seed = seed

    def fit(self, encoded: Encoded) -> Self:
        """Remembers at most `bank` of the events, and how dense it is around each."""
        random = np.random.default_rng(self.seed)
        rows = np.sort(random.permutation(len(encoded))[: self.bank])
        self.bank_ = encoded.embedding[rows]
        self.scale_ = np.array([[0.0, 1.0], [0.0, 1.0]])  # alone, group: median and spread of log
        self.near_ = np.zeros((len(rows), 0))
        self.density_ = np.zeros(len(rows))
        if len(rows) < LEAST_REMEMBERED:
            return self
        self.near_, near = self._nearest(self.bank_)
        neighbours = self._mutual(self.near_, near)  # (bank, 5)
        self.density_ = self.near_[:, :ALIKE].mean(axis=1)
        for _ in range(self.rounds - 1):
            self.density_ = self.density_[neighbours].mean(axis=1)
        measures = np.stack(self._measures(self.bank_))  # (2, bank)
        median, high = np.percentile(measures, [50, 90], axis=1)
        self.scale_ = np.stack([median, np.maximum(high - median, 1e-3)], axis=1)
        return self

    def score(self, encoded: Encoded) -> FloatArray:
        """Strangeness of each event, (N,) >= 0."""
        rarity = np.full(len(encoded), np.log(2.0))
        if len(self.bank_) >= LEAST_REMEMBERED:
            for start in range(0, len(encoded), _AT_ONCE):
                part = encoded.embedding[start : start + _AT_ONCE]
                measures = np.stack(self._measures(part), axis=1)  # (N, 2)
                standard = (measures - self.scale_[:, 0]) / self.scale_[:, 1]
                rarity[start : start + _AT_ONCE] = np.logaddexp(0, standard.max(axis=1))
        salience = encoded.terms.get("salience", np.full(len(encoded), self.full_db))
        return rarity * np.clip(salience / self.full_db, 0, 1)

    def _measures(self, embedding: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log of `alone` and of `group`, (N,) each."""
        distance, near = self._nearest(embedding)
        alone = distance[:, :TWINS].mean(axis=1)
        group = self.density_[self._mutual(distance, near)].mean(axis=1)
        return np.log(alone + ITSELF), np.log(group + ITSELF)

    def _nearest(self, embedding: FloatArray) -> tuple[FloatArray, IntArray]:
        """Distances (N, R), ascending, and rows of the nearest remembered events but itself."""
        reach = min(self.reach, len(self.bank_) - 1)
        distances, rows = [], []
        for start in range(0, len(embedding), _AT_ONCE):
            distance = cdist(embedding[start : start + _AT_ONCE], self.bank_)
            nearest = distance.argmin(axis=1)
            itself = distance.min(axis=1) < ITSELF
            distance[itself, nearest[itself]] = np.inf
            near = np.argsort(distance, axis=1, kind="stable")[:, :reach]
            distances.append(np.take_along_axis(distance, near, axis=1))
            rows.append(near)
        return np.concatenate(distances), np.concatenate(rows)

    def _mutual(self, distance: FloatArray, near: IntArray) -> IntArray:
        """Rows of the remembered events that are the 5 best mutual neighbours, (N, 5)."""
        rank = np.arange(1, near.shape[1] + 1)
        seen = np.stack(
            [
                1 + (self.near_[n] < d[:, None]).sum(axis=1)
                for n, d in zip(near, distance, strict=True)
            ]
        )  # (N, R): rank at which the neighbour sees the event
        larger = np.maximum(rank, seen) + 1e-3 * (rank + seen)
        best = np.argsort(larger, axis=1, kind="stable")[:, :ALIKE]
        return np.take_along_axis(near, best, axis=1)
