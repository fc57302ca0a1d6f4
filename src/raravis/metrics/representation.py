"""How good embeddings are: what can be told from them, and whether they have collapsed.

Conventions: embeddings (N, D), row i is window i; labels (N,) of any kind, such as names. Labels
are used here and only here: nothing in raravis learns from them. Every function checks its arrays
first and raises ParameterError.

    knn_accuracy, linear_probe    which share of labels is told rightly from the embedding
    effective_rank, rank_me, ...  how much of the space the embeddings use
    collapse                      all measures of the second kind together
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from raravis.errors import ParameterError
from raravis.windows import BoolArray, FloatArray, IntArray

DISTANCES = ("cosine", "euclidean")
CHUNK = 1024  # rows compared with all others at once
PENALTIES = (1.0, 0.1, 0.01, 1e-3, 1e-4)  # of the linear probe, from strong to weak
DEAD = 1e-3  # of the largest deviation: a dimension that varies less is dead
EPSILON = 1e-7  # as in RankMe
Labels = npt.NDArray[np.generic]


class Probe(NamedTuple):
    """What a linear probe found.

    top1, top5  shares of test rows whose label is the likeliest, or among the five likeliest.
    penalty     that was chosen, on a part of the training rows.
    """

    top1: float
    top5: float
    penalty: float


# ----------------------------------------------------------------- what can be told


def knn_accuracy(
    train: FloatArray,
    train_labels: npt.ArrayLike,
    test: FloatArray,
    test_labels: npt.ArrayLike,
    k: int = 20,
    distance: str = "cosine",
) -> float:
    """Share of test rows (M, D) whose k nearest training rows (N, D) vote for their label.

    Each neighbour has one vote. Where several labels have as many, that of the nearest wins.

    k         1 .. N
    distance  "cosine" (what points the same way is near) or "euclidean".

    Source: Wu et al. 2018, arXiv:1805.01978, without weights on the votes.
    """
    classes, known = _labelled(train, train_labels, "train")
    _, wanted = _labelled(test, test_labels, "test", classes)
    _same_width(train, test)
    if distance not in DISTANCES:
        raise ParameterError(f"distance must be of {', '.join(DISTANCES)}, got {distance!r}")
    if not 1 <= k <= len(train):
        raise ParameterError(f"k must be in 1 .. {len(train)} (the training rows), got {k}")
    train, test = _prepared(train, distance), _prepared(test, distance)
    hits = 0
    for start in range(0, len(test), CHUNK):
        nearest = known[_nearest(train, test[start : start + CHUNK], k)]  # (m, k)
        hits += int((_voted(nearest, len(classes)) == wanted[start : start + CHUNK]).sum())
    return hits / len(test)


def _prepared(rows: FloatArray, distance: str) -> FloatArray:
    """Rows as float32, of length 1 for the cosine: then the nearest are the same either way."""
    rows = np.asarray(rows, dtype=np.float32)
    if distance == "euclidean":
        return rows
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, np.finfo(np.float32).tiny))


def _nearest(train: FloatArray, rows: FloatArray, k: int) -> IntArray:
    """The k nearest training rows of each row (m, D), nearest first: (m, k)."""
    distances = np.square(train).sum(axis=1) - 2 * (rows @ train.T)  # (m, N), up to |row|^2
    if k < len(train):
        chosen = np.argpartition(distances, k - 1, axis=1)[:, :k]
    else:
        chosen = np.broadcast_to(np.arange(k), (len(rows), k))
    order = np.argsort(np.take_along_axis(distances, chosen, axis=1), axis=1, kind="stable")
    nearest: IntArray = np.take_along_axis(chosen, order, axis=1)
    return nearest


def _voted(nearest: IntArray, classes: int) -> IntArray:
    """The class that most of the neighbours (m, k), nearest first, have: (m,)."""
    rows = np.arange(len(nearest))
    votes = np.zeros((len(nearest), classes), dtype=np.int64)
    np.add.at(votes, (rows[:, None], nearest), 1)
    most = votes.max(axis=1, keepdims=True)
    is_first = np.take_along_axis(votes, nearest, axis=1) == most  # (m, k)
    return np.asarray(nearest[rows, is_first.argmax(axis=1)])


def linear_probe(
    train: FloatArray,
    train_labels: npt.ArrayLike,
    test: FloatArray,
    test_labels: npt.ArrayLike,
    seed: int = 0,
) -> Probe:
    """How many test rows (M, D) a linear classifier of the training rows (N, D) gets right.

    Dimensions are standardised by the training rows; softmax regression with a squared penalty,

        mean of -log softmax(W z + b)[label]  +  penalty / 2 |W|^2,

    is solved by L-BFGS. The penalty is the one of `PENALTIES` that does best on a random fifth of
    the training rows; then all of them are learned from. A test label that no training row has
    counts as wrong.

    seed  of that fifth.
    """
    classes, known = _labelled(train, train_labels, "train")
    _, wanted = _labelled(test, test_labels, "test", classes)
    _same_width(train, test)
    if len(classes) < 2:
        raise ParameterError("a linear probe needs two labels or more among the training rows")
    centre, scale = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    scale[scale <= 1e-12 * max(float(scale.max()), 1e-300)] = np.inf  # says nothing
    rows, others = (((x - centre) / scale).astype(np.float32) for x in (train, test))
    penalty = _chosen_penalty(rows, known, len(classes), seed)
    likely = _logits(others, _softmax_regression(rows, known, len(classes), penalty))
    return Probe(_among(likely, wanted, 1), _among(likely, wanted, 5), penalty)


def _chosen_penalty(rows: FloatArray, known: IntArray, classes: int, seed: int) -> float:
    """The penalty that does best on a fifth of the rows; the strongest of those that do."""
    order = np.random.default_rng(seed).permutation(len(rows))
    held, learned = order[: len(rows) // 5], order[len(rows) // 5 :]
    if not len(held):
        return PENALTIES[0]
    found, start = {}, None
    for penalty in PENALTIES:  # each begins where the one before ended
        start = _softmax_regression(rows[learned], known[learned], classes, penalty, start)
        found[penalty] = _among(_logits(rows[held], start), known[held], 1)
    return max(found, key=lambda penalty: (found[penalty], penalty))


def _softmax_regression(
    rows: FloatArray,
    known: IntArray,
    classes: int,
    penalty: float,
    start: FloatArray | None = None,
) -> FloatArray:
    """Weights (D + 1, classes), the last row the biases."""
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    shape = rows.shape[1] + 1, classes
    picked = np.arange(len(rows)), known

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        weights = flat.reshape(shape)
        logs = _logits(rows, weights).astype(np.float64)
        logs -= logsumexp(logs, axis=1, keepdims=True)
        value = -logs[picked].mean() + penalty / 2 * np.square(weights[:-1]).sum()
        slope = np.exp(logs)
        slope[picked] -= 1
        slope /= len(rows)  # (N, classes)
        gradient = np.vstack([rows.T @ slope.astype(np.float32), slope.sum(axis=0)])
        gradient[:-1] += penalty * weights[:-1]
        return float(value), gradient.ravel().astype(np.float64)

    begin = np.zeros(shape) if start is None else start
    options = {"maxiter": 200, "ftol": 1e-7, "gtol": 1e-5}
    found = minimize(loss, begin.ravel(), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x).reshape(shape)


def _logits(rows: FloatArray, weights: FloatArray) -> FloatArray:
    learned = weights.astype(np.float32)
    return np.asarray(rows @ learned[:-1] + learned[-1])


def _among(likely: FloatArray, wanted: IntArray, most: int) -> float:
    """Share of rows whose wanted class is among the `most` likeliest (N, classes)."""
    best = np.argsort(-likely, axis=1, kind="stable")[:, :most]
    return float((best == wanted[:, None]).any(axis=1).mean())


# ----------------------------------------------------------------- how much of the space is used


def effective_rank(embeddings: FloatArray) -> float:
    """How many directions the embeddings (N, D) vary in, 1 .. D; 0 where they are all the same.

        exp(-sum p log p),  p = singular values of the centred embeddings / their sum

    Source: Roy & Vetterli 2007, EUSIPCO, definition 1; of the centred matrix, so that a place
    common to all does not count as a direction.
    """
    return _entropic_rank(_singular(_centred(_numbers(embeddings))))


def rank_me(embeddings: FloatArray) -> float:
    """RankMe of the embeddings (N, D): the same, of the embeddings as they stand.

        exp(-sum p log p),  p = singular values / their sum + 1e-7

    Source: Garrido et al. 2023, arXiv:2210.02885, equations 1 and 2.
    """
    values = _singular(_numbers(embeddings))
    if not values.sum():
        return 0.0
    share = values / values.sum() + EPSILON
    return float(np.exp(-(share * np.log(share)).sum()))


def participation_ratio(embeddings: FloatArray) -> float:
    """How many directions carry the variance of the embeddings (N, D), 1 .. D; 0 for none.

        (sum of v)^2 / sum of v^2,  v = variances along the principal directions

    It falls sooner than the effective rank where few directions carry most.

    Source: Gao et al. 2017, bioRxiv 214262.
    """
    variances = np.square(_singular(_centred(_numbers(embeddings))))
    total = np.square(variances).sum()
    return float(variances.sum() ** 2 / total) if total else 0.0


def dead_dimensions(embeddings: FloatArray) -> float:
    """Share of the D dimensions that hardly vary: by less than 1/1000 of the one that varies
    most. All of them, where none does."""
    return float(1 - _living(_numbers(embeddings)).mean())


def mean_deviation(embeddings: FloatArray) -> float:
    """Mean of the standard deviations of the D dimensions."""
    return float(_numbers(embeddings).std(axis=0).mean())


def mean_absolute_correlation(embeddings: FloatArray) -> float:
    """Mean of |correlation| over pairs of dimensions that are not dead, 0 .. 1; 0 for no pair.

    N rows that have nothing to do with each other give about 0.8 / sqrt(N).
    """
    values = _numbers(embeddings)
    values = _centred(values[:, _living(values)])
    width = values.shape[1]
    if width < 2:
        return 0.0
    values /= np.sqrt(np.square(values).sum(axis=0))
    parts = (values[:, start : start + CHUNK].T @ values for start in range(0, width, CHUNK))
    return float((sum(np.abs(part).sum() for part in parts) - width) / (width * (width - 1)))


def collapse(embeddings: FloatArray, rows: int = 2048, seed: int = 0) -> dict[str, float]:
    """All measures of how much of the space the embeddings (N, D) use, by name.

    rows  at most so many, a random sample, are looked at: time grows with their cube. No rank is
          larger than their number.
    seed  of the sample.
    """
    if rows < 2:
        raise ParameterError(f"rows must be >= 2, got {rows}")
    if np.ndim(embeddings) == 2 and len(embeddings) > rows:
        chosen = np.random.default_rng(seed).permutation(len(embeddings))[:rows]
        embeddings = embeddings[np.sort(chosen)]
    values = _numbers(embeddings)
    return {
        "dimensions": float(values.shape[1]),
        "effective rank": effective_rank(values),
        "RankMe": rank_me(values),
        "participation ratio": participation_ratio(values),
        "dead dimensions": dead_dimensions(values),
        "mean deviation": mean_deviation(values),
        "mean absolute correlation": mean_absolute_correlation(values),
    }


def _entropic_rank(values: FloatArray) -> float:
    if not values.sum():
        return 0.0
    share = values[values > 0] / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def _singular(values: FloatArray) -> FloatArray:
    """Singular values of (N, D), from the smaller of the two Gram matrices; what is lost to
    rounding, about 3e-7 of the largest, counts as zero."""
    gram = values.T @ values if values.shape[1] <= len(values) else values @ values.T
    squares = np.linalg.eigvalsh(gram)
    squares[squares < 1e-13 * max(float(squares[-1]), 0.0)] = 0.0
    roots: FloatArray = np.sqrt(np.maximum(squares, 0.0))
    return roots


def _centred(values: FloatArray) -> FloatArray:
    """Less their mean; what does not vary but for rounding is zero."""
    centred = values - values.mean(axis=0)
    flat = np.abs(centred).max(axis=0) <= 1e-12 * np.abs(values).max(axis=0)
    centred[:, flat] = 0.0
    return np.asarray(centred)


def _living(values: FloatArray) -> BoolArray:
    """Which dimensions of (N, D) vary."""
    deviation = _centred(values).std(axis=0)
    return np.asarray(deviation > DEAD * deviation.max())


# ----------------------------------------------------------------- what is refused


def _numbers(embeddings: FloatArray) -> FloatArray:
    """Embeddings (N, D) as float64."""
    values = np.asarray(embeddings, dtype=np.float64)
    if values.ndim != 2 or len(values) < 2 or not values.shape[1]:
        raise ParameterError(
            f"embeddings must be (N, D) with two rows or more, got shape {values.shape}"
        )
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).any(axis=1).sum())
        raise ParameterError(f"embeddings must be finite: {bad} of {len(values)} rows are not")
    return values


def _labelled(
    embeddings: FloatArray, labels: npt.ArrayLike, name: str, classes: Labels | None = None
) -> tuple[Labels, IntArray]:
    """The classes, and which of them each row is of; -1 for one that is not among `classes`."""
    label = np.asarray(labels)
    shape = np.shape(embeddings)
    if len(shape) != 2 or not shape[0] or label.shape != shape[:1]:
        raise ParameterError(
            f"{name} must be (N, D) with N >= 1 and a label for each row, got {shape} "
            f"and labels {label.shape}"
        )
    if not np.isfinite(embeddings).all():
        raise ParameterError(f"{name} must be finite, got NaN or infinite embeddings")
    if classes is None:
        classes = np.unique(label)
    if (classes.dtype.kind in "OSU") != (label.dtype.kind in "OSU"):
        raise ParameterError(
            f"labels of train and test must be of one kind, got {classes.dtype} and {label.dtype}"
        )
    place = np.minimum(np.searchsorted(classes, label), len(classes) - 1)
    return classes, np.where(classes[place] == label, place, -1)


def _same_width(train: FloatArray, test: FloatArray) -> None:
    if train.shape[1] != test.shape[1]:
        raise ParameterError(
            f"train and test must be of one width, got {train.shape[1]} and {test.shape[1]}"
        )
