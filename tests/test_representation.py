"""What embeddings tell and how much of their space they use."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from raravis.errors import ParameterError
from raravis.metrics.representation import (
    collapse,
    dead_dimensions,
    effective_rank,
    knn_accuracy,
    linear_probe,
    mean_absolute_correlation,
    mean_deviation,
    participation_ratio,
    rank_me,
)

RANKS = (effective_rank, rank_me, participation_ratio)


def normal(rows, width, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width))


def clusters(rows, width, classes, apart=4.0, seed=0):
    """Rows around one place for each class; the places are the same for all seeds."""
    places = np.random.default_rng(9).normal(size=(classes, width)) * apart / math.sqrt(width)
    label = np.arange(rows) % classes
    return places[label] + normal(rows, width, seed) / math.sqrt(width), label


# ----------------------------------------------------------------- neighbours


def naive_knn(train, train_labels, test, test_labels, k, distance):
    """Loops over pairs, votes counted by hand."""
    hits = 0
    for row, wanted in zip(test, test_labels, strict=True):
        if distance == "cosine":
            away = [1 - np.dot(row, t) / (np.linalg.norm(row) * np.linalg.norm(t)) for t in train]
        else:
            away = [math.dist(row, t) for t in train]
        nearest = [train_labels[i] for i in sorted(range(len(train)), key=away.__getitem__)[:k]]
        votes = Counter(nearest)
        winners = [label for label in nearest if votes[label] == max(votes.values())]
        hits += winners[0] == wanted
    return hits / len(test)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 2, 7, 60])
def test_neighbours_vote_as_their_naive_twin_does(distance, k):
    train, labels = clusters(60, 5, 4, apart=0.8)
    test, wanted = clusters(40, 5, 4, apart=0.8, seed=1)
    ours = knn_accuracy(train, labels, test, wanted, k, distance)
    assert 0 < ours < 1
    assert ours == naive_knn(train, labels, test, wanted, k, distance)


def test_neighbours_by_hand():
    train = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 9.0]])
    labels = ["cat", "dog", "dog"]
    along_the_cat = np.array([[9.0, 8.0]])  # points its way
    assert knn_accuracy(train, labels, along_the_cat, ["cat"], 1, "cosine") == 1
    assert knn_accuracy(train, labels, np.array([[6.0, 9.0]]), ["dog"], 1, "euclidean") == 1
    assert knn_accuracy(train, labels, np.array([[0.9, 0.8]]), ["cat"], 1, "euclidean") == 1
    assert knn_accuracy(train, labels, np.array([[0.9, 0.8]]), ["cat"], 3, "euclidean") == 0


def test_a_tie_of_votes_goes_to_the_nearest():
    train, labels = np.array([[1.0], [2.0]]), [7, 3]
    assert knn_accuracy(train, labels, np.array([[0.0], [3.0]]), [7, 3], 2, "euclidean") == 1


def test_a_label_that_was_never_learned_counts_as_wrong():
    train, labels = clusters(40, 4, 2)
    test, wanted = clusters(40, 4, 2, seed=1)
    assert knn_accuracy(train, labels, test, wanted, 5) == 1
    assert knn_accuracy(train, labels, test, np.where(wanted == 1, 5, 0), 5) == 0.5
    assert linear_probe(train, labels, test, np.where(wanted == 1, 5, 0)).top5 == 0.5


def test_more_rows_than_a_chunk_give_the_same_as_few():
    train, labels = clusters(100, 3, 3, apart=1)
    test, wanted = clusters(2500, 3, 3, apart=1, seed=2)
    shares = [
        knn_accuracy(train, labels, test[i : i + 500], wanted[i : i + 500], 5)
        for i in range(0, 2500, 500)
    ]
    assert knn_accuracy(train, labels, test, wanted, 5) == pytest.approx(np.mean(shares))


# ----------------------------------------------------------------- the linear probe


def test_the_probe_finds_what_is_separable_and_names_may_be_words():
    train, labels = clusters(300, 20, 8)
    test, wanted = clusters(200, 20, 8, seed=1)
    names = np.array([f"species {i}" for i in range(8)])
    found = linear_probe(train, names[labels], test, names[wanted])
    assert found.top1 > 0.99
    assert found.top5 == 1


def test_of_pure_noise_the_probe_tells_nothing():
    labels = np.arange(2000) % 10
    found = linear_probe(normal(1000, 8), labels[:1000], normal(2000, 8, 1), labels)
    assert found.top1 == pytest.approx(0.1, abs=0.03)
    assert found.top5 == pytest.approx(0.5, abs=0.05)


def test_the_probe_agrees_with_scikit_learn():
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    train, labels = clusters(400, 10, 5, apart=1.2)
    test, wanted = clusters(400, 10, 5, apart=1.2, seed=1)
    train[:, 3] *= 1e4  # standardised away
    test[:, 3] *= 1e4
    ours = linear_probe(train, labels, test, wanted)
    scale = StandardScaler().fit(train)
    theirs = LogisticRegression(C=1 / (ours.penalty * len(train)), max_iter=1000)
    theirs.fit(scale.transform(train), labels)
    assert 0.5 < ours.top1 < 0.99
    assert ours.top1 == pytest.approx(theirs.score(scale.transform(test), wanted), abs=0.006)


def test_a_dimension_that_never_varies_says_nothing_to_the_probe():
    train, labels = clusters(200, 6, 3)
    test, wanted = clusters(100, 6, 3, seed=1)
    train = np.hstack([train, np.full((200, 1), 1e6)])
    test = np.hstack([test, normal(100, 1) * 1e9])
    assert linear_probe(train, labels, test, wanted).top1 > 0.98


def test_a_hard_question_gets_a_stronger_penalty_than_an_easy_one():
    labels = np.arange(120) % 2
    few = normal(120, 200)
    few[:, 0] += labels  # one weak hint among 200 dimensions
    noisy = linear_probe(few, labels, few, labels)
    many, marks = clusters(2000, 4, 12, apart=3)
    assert noisy.penalty > linear_probe(many, marks, many, marks).penalty


def test_the_same_seed_gives_the_same_probe():
    train, labels = clusters(100, 5, 4, apart=1)
    assert linear_probe(train, labels, train, labels, 3) == linear_probe(
        train, labels, train, labels, 3
    )


# ----------------------------------------------------------------- rank and collapse


def naive_ranks(values):
    """From numpy's own singular values, as the formulas read: effective, RankMe, participation."""
    values = np.asarray(values, dtype=float)
    own = list(np.linalg.svd(values - values.mean(axis=0), compute_uv=False))
    raw = list(np.linalg.svd(values, compute_uv=False))
    share = [s / sum(own) for s in own]
    effective = math.exp(-sum(p * math.log(p) for p in share if p > 0))
    share = [s / sum(raw) + 1e-7 for s in raw]
    squares = [s * s for s in own]
    return (
        effective,
        math.exp(-sum(p * math.log(p) for p in share)),
        sum(squares) ** 2 / sum(v * v for v in squares),
    )


@pytest.mark.parametrize(("rows", "width"), [(50, 8), (8, 50), (30, 30)])
def test_ranks_agree_with_their_naive_twins(rows, width):
    values = normal(rows, width) * np.geomspace(1, 0.01, width) + 3
    expected = naive_ranks(values)
    assert [rank(values) for rank in RANKS] == pytest.approx(expected, rel=1e-5)


def test_ranks_by_hand():
    # four corners of a square, its middle at 0: two directions that count the same
    square = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert [rank(square) for rank in RANKS] == pytest.approx([2, 2, 2], rel=1e-5)
    # stretched threefold: shares 3/4 and 1/4 of the singular values, 9/10 and 1/10 of the variance
    long = square * [3, 1]
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(long) == pytest.approx(math.exp(entropy))
    assert participation_ratio(long) == pytest.approx(1 / (0.81 + 0.01))


def test_a_place_common_to_all_counts_in_rankme_alone():
    far = normal(200, 6) + 1000
    assert effective_rank(far) == pytest.approx(effective_rank(normal(200, 6)), rel=1e-6)
    assert rank_me(far) < 1.1 < effective_rank(far)


@pytest.mark.parametrize("rank", RANKS)
def test_scale_and_turning_change_no_rank(rank):
    values = normal(100, 5) * [5, 2, 1, 0.5, 0.1]
    turn, _ = np.linalg.qr(normal(5, 5, 1))
    assert rank(values @ turn * 1e-4) == pytest.approx(rank(values), rel=1e-5)


def test_what_has_collapsed_is_said_to_have():
    point = collapse(np.full((50, 16), 0.1))
    assert point["effective rank"] == point["participation ratio"] == 0
    assert point["dead dimensions"] == 1
    assert point["mean deviation"] == pytest.approx(0, abs=1e-12)
    assert point["RankMe"] == pytest.approx(1, abs=1e-3)
    line = collapse(normal(50, 1) * np.ones((1, 16)))
    assert line["effective rank"] == pytest.approx(1, abs=1e-3)
    assert line["mean absolute correlation"] == pytest.approx(1)
    healthy = collapse(normal(4000, 16), rows=4000)
    assert healthy["effective rank"] > 15.9
    assert healthy["dead dimensions"] == 0
    assert healthy["mean absolute correlation"] == pytest.approx(0.8 / math.sqrt(4000), rel=0.2)


def test_deviation_correlation_and_dead_dimensions_by_hand():
    values = np.array([[0.0, 0, 1, 5], [2, -6, 1, 5.0001]])
    assert dead_dimensions(values) == 0.5
    assert mean_deviation(values) == pytest.approx((1 + 3 + 0 + 0.00005) / 4)
    assert mean_absolute_correlation(values) == pytest.approx(1)
    third = np.array([[1.0, 1, 1], [1, -1, 1], [-1, 1, 1], [-1, -1, -3]])
    inner = 4 / math.sqrt(4 * 12)  # the third column with each of the first two, which do not
    assert mean_absolute_correlation(third) == pytest.approx(2 * inner / 3)


def test_many_dimensions_correlate_as_numpy_says():
    values = normal(40, 1100)
    table = np.abs(np.corrcoef(values.T))
    expected = (table.sum() - 1100) / (1100 * 1099)
    assert mean_absolute_correlation(values) == pytest.approx(expected)


def test_a_sample_of_the_rows_is_looked_at_and_the_seed_chooses_it():
    values = normal(3000, 4)
    assert collapse(values, rows=100) == collapse(values, rows=100)
    assert collapse(values, rows=100) != collapse(values, rows=100, seed=1)
    assert collapse(values, rows=100)["effective rank"] > 3.8


# ----------------------------------------------------------------- refusals


@pytest.mark.parametrize("measure", [*RANKS, dead_dimensions, mean_deviation, collapse])
def test_no_measure_takes_what_is_no_table_of_numbers(measure):
    with pytest.raises(ParameterError, match=r"\(N, D\) with two rows or more, got shape \(5,\)"):
        measure(np.zeros(5))
    with pytest.raises(ParameterError, match=r"two rows or more, got shape \(1, 5\)"):
        measure(np.zeros((1, 5)))
    with pytest.raises(ParameterError, match="must be finite: 1 of 3 rows are not"):
        measure(np.array([[0.0], [np.nan], [1]]))


def test_neighbours_and_probes_refuse_and_say_why():
    rows, labels = clusters(20, 3, 2)
    with pytest.raises(ParameterError, match=r"k must be in 1 .. 20 \(the training rows\), got 21"):
        knn_accuracy(rows, labels, rows, labels, 21)
    with pytest.raises(ParameterError, match="distance must be of cosine, euclidean, got 'far'"):
        knn_accuracy(rows, labels, rows, labels, 3, "far")
    with pytest.raises(ParameterError, match=r"a label for each row, got \(20, 3\) .* \(19,\)"):
        knn_accuracy(rows, labels[1:], rows, labels)
    with pytest.raises(ParameterError, match="test must be finite"):
        linear_probe(rows, labels, rows * np.inf, labels)
    with pytest.raises(ParameterError, match="of one width, got 3 and 2"):
        linear_probe(rows, labels, rows[:, :2], labels)
    with pytest.raises(ParameterError, match="two labels or more"):
        linear_probe(rows, labels * 0, rows, labels * 0)
    with pytest.raises(ParameterError, match="labels of train and test must be of one kind"):
        linear_probe(rows, labels, rows, [str(label) for label in labels])
    with pytest.raises(ParameterError, match="rows must be >= 2, got 1"):
        collapse(rows, rows=1)
