"""Several scorers heard together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from raravis import scorers
from raravis.encoded import Encoded
from raravis.errors import ParameterError
from raravis.learned import Learned
from raravis.scorers import Scorer
from raravis.thresholds import Tail
from raravis.windows import FloatArray


class Member(Learned):
    """A scorer and the tail of its scores on ordinary windows."""

    def __init__(self, name: str) -> None:
        self.scorer_ = scorers.create(name)
        self.tail_ = Tail(tail="exponential")

    def fit(self, encoded: Encoded) -> None:
        """Learns the scorer, then what its scores are on ordinary windows."""
        self.scorer_.fit(encoded)
        self.tail_.fit(self.scorer_.ordinary_scores(encoded), hours=1.0)


@scorers.register("ensemble")
class Ensemble(Scorer):
    """Mean surprise of several scorers, each in its own tail probability.

        score(z) = mean over members of -log p_member(score_member(z))

    so that members of any unit count alike, and one that is very sure outweighs one that is not.

    members  names of scorers, each with its default settings.

    Source: Fisher 1925, Statistical Methods for Research Workers, section 21.1, up to a factor; as
    members are not independent the score is no test, only an order. p-values: `thresholds.Tail`,
    exponential, since a heavy tail would hide how far outside one member sees a window.
    """

    def __init__(self, members: Sequence[str] = ("reconstruction", "knn", "mahalanobis")) -> None:
        if not members or isinstance(members, str) or len(set(members)) < len(members):
            raise ParameterError(f"members must be names of different scorers, got {members!r}")
        if any(scorers.get(name) is Ensemble for name in members):
            raise ParameterError("an ensemble cannot be a member of an ensemble")
        self.members = tuple(members)
        for name in self.members:
            setattr(self, f"{name}_", Member(name))
        needed = [term for member in self._members() for term in member.scorer_.needs]
        self.needs = tuple(dict.fromkeys(needed))

    def fit(self, encoded: Encoded) -> Self:
        """Fits every member."""
        for member in self._members():
            member.fit(encoded)
        return self

    def score(self, encoded: Encoded) -> FloatArray:
        """Mean surprise, (N,), in nats: 1 on average for an ordinary window."""
        surprises = [m.tail_.surprise(m.scorer_.score(encoded)) for m in self._members()]
        return np.asarray(np.mean(surprises, axis=0))

    def ordinary_scores(self, encoded: Encoded) -> FloatArray:
        """As `score`, each member leaving out of its memory the window it judges, (N,)."""
        surprises = [m.tail_.surprise(m.scorer_.ordinary_scores(encoded)) for m in self._members()]
        return np.asarray(np.mean(surprises, axis=0))

    def _members(self) -> list[Member]:
        return [getattr(self, f"{name}_") for name in self.members]
