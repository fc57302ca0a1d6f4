"""The place of a true partner among candidates: by hand, against loops, with ties and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raravis.errors import ParameterError
from raravis.metrics.retrieval import DISTANCES, Places, distances, mean_interval, retrieve

# Few distinct values, so that many candidates lie equally far.
numbers = st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=2, max_size=2), min_size=1)
SMALL = st.tuples(numbers, numbers)


def naive_distance(a: list[float], b: list[float], kind: str) -> float:
    if kind == "euclidean":
        return math.dist(a, b)
    lengths = math.hypot(*a) * math.hypot(*b)
    return 1 - (sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0)


@pytest.mark.parametrize("kind", DISTANCES)
@given(rows=SMALL)
def test_distances_are_those_of_loops(kind: str, rows: tuple[list, list]) -> None:
    expected = [[naive_distance(a, b, kind) for b in rows[1]] for a in rows[0]]
    np.testing.assert_allclose(distances(*rows, kind), expected, atol=1e-7)


@given(rows=SMALL, seed=st.integers(0, 99))
def test_places_are_those_of_loops(rows: tuple[list, list], seed: int) -> None:
    queries, candidates = rows
    random = np.random.default_rng(seed)
    partner = random.integers(0, len(candidates), len(queries))
    among = random.random((len(queries), len(candidates))) < 0.7
    among[np.arange(len(queries)), partner] = True
    places = retrieve(queries, candidates, "euclidean", partner, among)
    for row, query in enumerate(queries):
        counted = [c for c, counts in zip(candidates, among[row], strict=True) if counts]
        true = math.dist(query, candidates[partner[row]])
        away = [math.dist(query, candidate) for candidate in counted]
        assert places.candidates[row] == len(counted)
        assert places.nearer[row] == sum(d < true - 1e-6 for d in away)
        assert places.tied[row] == sum(abs(d - true) < 1e-6 for d in away) - 1


def test_places_by_hand() -> None:
    # On a line: queries at 0, 10 and 20; candidates at 1, 8 and 9. The first finds its partner at
    # once, the second finds 9 before 8, the third finds 9, its partner.
    places = retrieve([[0], [10], [20]], [[1], [8], [9]], "euclidean")
    np.testing.assert_array_equal(places.ranks, [1, 2, 1])
    assert (places.top(1), places.top(2), places.median_rank) == (2 / 3, 1.0, 1.0)
    assert (places.chance(1), places.chance(2), places.chance(9)) == (1 / 3, 2 / 3, 1.0)


def test_by_cosine_only_the_direction_counts() -> None:
    places = retrieve([[1, 0], [0, 1]], [[9, 1], [0.01, 0.2]], "cosine")
    np.testing.assert_array_equal(places.ranks, [1, 1])
    places = retrieve([[1, 0], [0, 1]], [[9, 1], [0.01, 0.2]], "euclidean")
    np.testing.assert_array_equal(places.ranks, [2, 1])


@pytest.mark.parametrize("distance", DISTANCES)
def test_an_embedding_that_is_the_same_for_everything_reaches_chance(distance: str) -> None:
    places = retrieve(np.ones((8, 3)), np.ones((8, 3)), distance)
    for k in (1, 3):
        assert places.top(k) == pytest.approx(places.chance(k)) == pytest.approx(k / 8)
    assert places.median_rank == 4.5


def test_ties_share_their_places() -> None:
    # One candidate is nearer, two others lie as near as the partner: places 2, 3 and 4.
    places = Places(np.array([1]), np.array([2]), np.array([9]))
    assert places.ranks == 3
    assert [places.top(k) for k in (1, 2, 3, 4)] == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_only_candidates_that_count_are_counted() -> None:
    among = np.array([[True, False, True], [False, True, True], [True, True, True]])
    places = retrieve([[1.1], [0.1], [2.0]], [[0], [1], [2]], "euclidean", [2, 1, 2], among)
    np.testing.assert_array_equal(places.candidates, [2, 2, 3])
    np.testing.assert_array_equal(places.ranks, [1, 1, 1])


def test_random_embeddings_reach_chance() -> None:
    random = np.random.default_rng(0)
    places = retrieve(random.normal(size=(2000, 8)), random.normal(size=(2000, 8)))
    assert places.top(100) == pytest.approx(places.chance(100), abs=0.015)
    assert places.median_rank == pytest.approx(1000, rel=0.07)


def test_the_interval_is_that_of_drawing_again() -> None:
    values = np.random.default_rng(1).random(400)
    low, high = mean_interval(values)
    reach = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.005)
    assert mean_interval(values) == (low, high)  # the same seed, the same numbers
    wide = mean_interval(values, confidence=0.999)
    assert wide[0] < low < high < wide[1]


def test_queries_that_are_alike_make_the_interval_wider() -> None:
    values, groups = np.repeat([0.0, 1.0, 1.0, 0.0], 50), np.repeat(range(4), 50)
    alone, together = mean_interval(values), mean_interval(values, groups)
    assert together[0] < alone[0] < alone[1] < together[1]
    assert mean_interval([1.0, 1.0, 1.0]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([1.0, 2.0], [[1.0]]), r"queries must be \(N, D\) with at least one row, got \(2,\)"),
        (([[1.0]], np.empty((0, 1))), r"candidates must be .* got \(0, 1\)"),
        (([[1.0]], [[1.0, 2.0]]), "embeddings of one width, got 1 and 2"),
        (([[1.0]], [[np.nan]]), "candidates hold values that are not finite"),
        (([[1.0]], [[1.0]], "city"), "distance must be one of cosine, euclidean, got 'city'"),
        (([[1.0]], [[1.0], [2.0]]), "1 queries and 2 candidates do not stand side by side"),
        (([[1.0]], [[1.0]], "cosine", [1]), r"partner must be \(1,\) rows of the 1 candidates"),
        (([[1.0]], [[1.0]], "cosine", [0], [[1, 1]]), r"among must be \(1, 1\).*got \(1, 2\)"),
        (([[1.0]], [[1.0]], "cosine", [0], [[False]]), "true partner of 1 of 1 queries is not"),
    ],
)
def test_what_cannot_be_retrieved_is_refused(given: tuple, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        retrieve(*given)


def test_what_no_interval_can_be_had_of_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"at least 1, got \(0,\) and \(0,\)"):
        mean_interval([])
    with pytest.raises(ParameterError, match=r"confidence must be in \(0, 1\).*got 1 and 1000"):
        mean_interval([1.0], confidence=1)
    with pytest.raises(ParameterError, match="k must be >= 1, got 0"):
        Places(np.array([0]), np.array([0]), np.array([1])).hits(0)
