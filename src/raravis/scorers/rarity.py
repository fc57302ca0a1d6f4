"""How rare a sound event is among all others that were heard."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.spatial.distance import cdist

from raravis.encoded import Encoded
from raravis.errors import ParameterError
from raravis.scorers import Scorer, checked, register
from raravis.windows import FloatArray, IntArray

NEAREST = 3
"""At least so many nearest remembered events: their mean distance tells how alone an event is."""

NEIGHBOURS = 5
"""At least so many mutual neighbours, over which that is averaged."""

SHARE = 0.004
"""Of the remembered events, both of the above, where that is more: the longer one listens, the more
events are near any event, but what is rare remains so."""

FAINT = 0.4
"""Events are remembered if they stand out at least by this share of the upper quartile of all."""

ITSELF = 1e-5
"""A remembered event this near is the event itself and does not count. Distances are known to this
much only, as an event that is described again may differ by rounding."""

LEAST_REMEMBERED = 3
"""With fewer remembered events nothing can be said of rarity."""

LEAST_SPREAD = 1e-3
"""Of z; where all remembered events are equally alone."""

_AT_ONCE = 256


@register("rarity")
class Rarity(Scorer):
    """How few remembered events are like this one, and like those that are most like it.

        alone(x) = mean distance to the 3 nearest remembered events (or 0.4 % of them)
        group(x) = mean of `alone` over the 5 mutual neighbours (or 0.4 %), of the mean over theirs,
                   and so on, `rounds` times
        z(v)     = (log v - median) / (90th percentile - median), over the remembered events
        rarity   = log(1 + exp(max(z(alone), z(group))))
        score    = rarity * min(salience / full_db, 1)

    A one-off is far from everything: `alone` finds it. What happened a few times has neighbours of
    its own kind, but fewer, hence farther ones than common kinds have: `group` finds it, since the
    mean over neighbours of neighbours is nearly the mean over the kind. Mutual neighbours are those
    for which the larger of two ranks is small, of the other as seen from here and of this as seen
    from there; so common sounds do not lend their density to rare ones. What hardly stands out from
    the background counts less, in proportion.

    Where an embedding has no term "salience", rarity is the score.

    bank     most events remembered, drawn at random with `seed` among those that are not faint;
             the cost of a score is proportional to it, whatever was heard before.
    rounds   how often the mean over mutual neighbours is taken, >= 1.
    reach    nearest remembered events that are looked at as possible mutual neighbours.
    full_db  salience from which on an event counts in full.

    Remembered events that are scored again are left out of their own neighbours.
    """

    def __init__(
        self,
        bank: int = 2000,
        rounds: int = 3,
        reach: int = 100,
        full_db: float = 20.0,
        seed: int = 0,
    ) -> None:
        if bank < LEAST_REMEMBERED or rounds < 1 or reach < NEIGHBOURS or full_db <= 0:
            raise ParameterError(
                f"bank must be at least {LEAST_REMEMBERED}, rounds at least 1, reach at least "
                f"{NEIGHBOURS} and full_db above 0, got {bank}, {rounds}, {reach} and {full_db}"
            )
        self.bank = bank
        self.rounds = rounds
        self.reach = reach
        self.full_db = full_db
        self.seed = seed

    def fit(self, encoded: Encoded) -> Self:
        """Remembers at most `bank` of the events, and how alone each of them is."""
        checked(encoded)
        rows = self._worth_remembering(encoded)
        self.bank_ = encoded.embedding[rows]
        self.near_: FloatArray = np.zeros((len(rows), 0))  # (bank, R): distances, ascending
        self.group_: FloatArray = np.zeros(len(rows))
        self.median_: FloatArray = np.zeros(2)
        self.spread_: FloatArray = np.ones(2)  # of the logs of alone and group
        if len(rows) < LEAST_REMEMBERED:
            return self
        self.near_, near = self._nearest(self.bank_)
        neighbours = self._mutual(self.near_, near)  # (bank, K)
        self.group_ = self._alone(self.near_)
        for _ in range(self.rounds - 1):
            self.group_ = self.group_[neighbours].mean(axis=1)
        self.median_, high = np.percentile(self._measures(self.bank_), [50, 90], axis=0)
        self.spread_ = np.maximum(high - self.median_, LEAST_SPREAD)
        return self

    def _worth_remembering(self, encoded: Encoded) -> IntArray:
        salience = self._salience(encoded)
        enough = FAINT * np.percentile(salience, 75) if len(encoded) else 0.0
        rows = np.flatnonzero(salience >= enough)
        return np.sort(np.random.default_rng(self.seed).permutation(rows)[: self.bank])

    def _salience(self, encoded: Encoded) -> FloatArray:
        return encoded.terms.get("salience", np.full(len(encoded), self.full_db))

    def score(self, encoded: Encoded) -> FloatArray:
        """Strangeness of each event, (N,) >= 0."""
        checked(encoded, dim=self._dim)
        rarity = np.full(len(encoded), np.log(2.0))  # as of an event like most
        if len(encoded) and len(self.bank_) >= LEAST_REMEMBERED:
            standard = (self._measures(encoded.embedding) - self.median_) / self.spread_
            rarity = np.logaddexp(0, standard.max(axis=1))
        score: FloatArray = rarity * np.clip(self._salience(encoded) / self.full_db, 0, 1)
        return score

    @property
    def _dim(self) -> int | None:
        if not self.is_fitted:
            return 0
        return self.bank_.shape[1] if len(self.bank_) >= LEAST_REMEMBERED else None

    def _measures(self, embedding: FloatArray) -> FloatArray:
        """Logs of `alone` and `group`, (N, 2)."""
        distance, near = self._nearest(embedding)
        group = self.group_[self._mutual(distance, near)].mean(axis=1)
        return np.log(np.stack([self._alone(distance), group], axis=1) + ITSELF)

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
        """Rows of the remembered events that are the best mutual neighbours, (N, K)."""
        rank = np.arange(1, near.shape[1] + 1)
        seen = np.stack(
            [
                1 + (self.near_[n] < d[:, None] - ITSELF).sum(axis=1)
                for n, d in zip(near, distance, strict=True)
            ]
        )  # (N, R): rank at which the neighbour sees the event
        larger = np.maximum(rank, seen) + 1e-3 * (rank + seen)
        best = np.argsort(larger, axis=1, kind="stable")[:, : self._at_least(NEIGHBOURS)]
        return np.take_along_axis(near, best, axis=1)

    def _alone(self, distance: FloatArray) -> FloatArray:
        """Mean of the nearest of ascending distances (N, R), (N,)."""
        mean: FloatArray = distance[:, : self._at_least(NEAREST)].mean(axis=1)
        return mean

    def _at_least(self, count: int) -> int:
        return max(count, round(SHARE * len(self.bank_)))
