"""How well a thing is told by its partner: the true one among candidates, by nearness.

Whoever has an embedding of one side (a picture, the present) and embeddings of candidates for the
other (thermal pictures, futures) asks at which place the true partner comes. Ties count as ties:
an embedding that is the same for everything reaches chance, and no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raravis.errors import ParameterError
from raravis.windows import FloatArray, IntArray

DISTANCES = ("cosine", "euclidean")
_LEAST_LENGTH = 1e-12  # an embedding shorter than this points nowhere: its cosine is 0


@dataclass(frozen=True)
class Places:
    """Where the true partners of N queries came among their candidates.

    nearer      (N,) candidates that lie nearer than the partner.
    tied        (N,) other candidates that lie exactly as near as it.
    candidates  (N,) how many there were, the partner among them.
    """

    nearer: IntArray
    tied: IntArray
    candidates: IntArray

    def __len__(self) -> int:
        return len(self.nearer)

    @property
    def ranks(self) -> FloatArray:
        """Place of each partner, (N,), from 1; where some tie, the mean of their places."""
        return np.asarray(1 + self.nearer + self.tied / 2)

    @property
    def median_rank(self) -> float:
        """Half of the partners come at this place or before it."""
        return float(np.median(self.ranks))

    def hits(self, k: int = 1) -> FloatArray:
        """Whether each partner is among the first k, (N,); where some tie, how likely it is."""
        if k < 1:
            raise ParameterError(f"k must be >= 1, got {k}")
        return np.asarray(np.clip((k - self.nearer) / (self.tied + 1), 0.0, 1.0))

    def top(self, k: int = 1) -> float:
        """Share of partners among the first k."""
        return float(self.hits(k).mean())

    def chance(self, k: int = 1) -> float:
        """What guessing would reach: the mean of k / candidates."""
        return float(np.minimum(k / self.candidates, 1.0).mean())


def retrieve(
    queries: npt.ArrayLike,
    candidates: npt.ArrayLike,
    distance: str = "cosine",
    partner: npt.ArrayLike | None = None,
    among: npt.ArrayLike | None = None,
) -> Places:
    """The places at which the true partners of queries (N, D) come among candidates (M, D).

    distance  "cosine" or "euclidean".
    partner   (N,) row of each query's true partner; None: query i belongs to candidate i.
    among     (N, M) true where a candidate counts for a query, and so must the partner; None: all.

    Raises ParameterError for shapes that do not fit, and for values that are not finite.
    """
    apart = distances(queries, candidates, distance)  # (N, M)
    rows = _partners(apart.shape, partner)
    counted = np.ones(apart.shape, dtype=bool) if among is None else np.asarray(among, dtype=bool)
    if counted.shape != apart.shape:
        raise ParameterError(
            f"among must be {apart.shape}, queries by candidates, got {counted.shape}"
        )
    number = np.arange(len(rows))
    if not counted[number, rows].all():
        missing = int((~counted[number, rows]).sum())
        raise ParameterError(
            f"the true partner of {missing} of {len(rows)} queries is not among its candidates: "
            "let it count"
        )
    true = apart[number, rows][:, None]
    return Places(
        nearer=((apart < true) & counted).sum(axis=1),
        tied=((apart == true) & counted).sum(axis=1) - 1,
        candidates=counted.sum(axis=1),
    )


def distances(
    queries: npt.ArrayLike, candidates: npt.ArrayLike, distance: str = "cosine"
) -> FloatArray:
    """How far each query (N, D) lies from each candidate (M, D): (N, M) float64.

    "cosine" is 1 - the cosine of the angle, in [0, 2]; an embedding of zeros is 1 from all.
    """
    first, second = _rows(queries, "queries"), _rows(candidates, "candidates")
    if first.shape[1] != second.shape[1]:
        raise ParameterError(
            "queries and candidates must be embeddings of one width, got "
            f"{first.shape[1]} and {second.shape[1]}"
        )
    if distance == "cosine":
        return np.asarray(1 - _unit(first) @ _unit(second).T)
    if distance != "euclidean":
        raise ParameterError(f"distance must be one of {', '.join(DISTANCES)}, got {distance!r}")
    squares = np.square(first).sum(axis=1)[:, None] + np.square(second).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squares - 2 * first @ second.T, 0.0)))


def mean_interval(
    values: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    confidence: float = 0.95,
    rounds: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval in which the mean lies with this confidence, were other queries drawn: (low, high).

    values  (N,) such as `Places.hits`.
    groups  (N,) queries that are alike, such as those of one recording, are drawn together; None
            draws each for itself, which is too sure where neighbours are alike.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentiles).
    """
    value = np.asarray(values, dtype=np.float64)
    group = np.arange(len(value)) if groups is None else np.asarray(groups)
    if value.ndim != 1 or not len(value) or group.shape != value.shape:
        raise ParameterError(
            "values and groups must be (N,) of one length, at least 1, got "
            f"{value.shape} and {group.shape}"
        )
    if not 0 < confidence < 1 or rounds < 1:
        raise ParameterError(
            f"confidence must be in (0, 1) and rounds >= 1, got {confidence} and {rounds}"
        )
    _, number = np.unique(group, return_inverse=True)
    sums, counts = np.bincount(number, weights=value), np.bincount(number)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (rounds, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _rows(embedding: npt.ArrayLike, name: str) -> FloatArray:
    rows = np.asarray(embedding, dtype=np.float64)
    if rows.ndim != 2 or not len(rows):
        raise ParameterError(f"{name} must be (N, D) with at least one row, got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ParameterError(f"{name} hold values that are not finite: leave such rows out")
    return rows


def _unit(rows: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, _LEAST_LENGTH))


def _partners(shape: tuple[int, ...], partner: npt.ArrayLike | None) -> IntArray:
    queries, candidates = shape
    if partner is None:
        if queries != candidates:
            raise ParameterError(
                f"{queries} queries and {candidates} candidates do not stand side by side: say by "
                "partner which belongs to which"
            )
        return np.arange(queries)
    rows = np.asarray(partner)
    if rows.shape != (queries,) or rows.min() < 0 or rows.max() >= candidates:
        raise ParameterError(
            f"partner must be ({queries},) rows of the {candidates} candidates, got "
            f"shape {rows.shape}"
        )
    return rows
