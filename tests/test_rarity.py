"""What happened once, or a few times, is rarer than what happens all day."""

from __future__ import annotations

import math

import numpy as np
import pytest

from raravis.encoded import Encoded
from raravis.errors import ParameterError
from raravis.scorers.rarity import Rarity
from raravis.windows import FloatArray


def cloud(
    count: int, at: float = 0.0, seed: int = 0, size: float = 1.0, dim: int = 8
) -> FloatArray:
    random = np.random.default_rng(seed)
    points = random.normal(0, size, size=(count, dim))
    points[:, 0] += at
    return points.astype(np.float32)


def day(seed: int = 0) -> Encoded:
    """Three common kinds of 60, one kind of 8 (rows 180-187), one single event (row 188)."""
    kinds = [cloud(60, at, seed + i) for i, at in enumerate((0, 20, 40))]
    return Encoded(np.concatenate([*kinds, cloud(8, 60, seed + 3), cloud(1, 90, seed + 4)]))


def naive(bank: FloatArray, event: FloatArray, rounds: int) -> tuple[float, float]:
    """(alone, group) of one event, with loops, ranks counted one by one."""
    points = [row.astype(float) for row in bank]

    def others(point, itself):
        pairs = [(math.dist(point, p), i) for i, p in enumerate(points) if i != itself]
        return sorted(pairs)

    def alone(point, itself):
        return sum(d for d, _ in others(point, itself)[:3]) / 3

    def neighbours(point, itself):
        ranked = []
        for rank, (distance, i) in enumerate(others(point, itself), start=1):
            seen = 1 + sum(d < distance for d, j in others(points[i], i) if j != itself)
            ranked.append((max(rank, seen) + 1e-3 * (rank + seen), rank, i))
        return [i for _, _, i in sorted(ranked)[:5]]

    def group(point, itself, left):
        if left == 0:
            return alone(point, itself)
        means = [group(points[i], i, left - 1) for i in neighbours(point, itself)]
        return sum(means) / len(means)

    at = event.astype(float)
    same = [i for i, p in enumerate(points) if math.dist(p, at) < 1e-5]
    itself = same[0] if same else -1
    return alone(at, itself), group(at, itself, rounds)


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_alone_and_group_equal_their_slow_twin(rounds):
    bank = np.concatenate([cloud(15, 0), cloud(7, 9, seed=1)])
    events = np.concatenate([bank[::4], cloud(4, 4, seed=2)])
    scorer = Rarity(rounds=rounds).fit(Encoded(bank))
    expected = [naive(bank, event, rounds) for event in events]
    np.testing.assert_allclose(np.exp(scorer._measures(events)), expected, rtol=1e-3)


def test_alone_by_hand():
    # on a line at 0, 1, 2, 4: from 0 the others are 1, 2 and 4 away, from 2 they are 1, 2 and 2
    line = Encoded(np.array([[0], [1], [2], [4]], dtype=np.float32))
    alone = np.exp(Rarity().fit(line)._measures(line.embedding)[:, 0])
    np.testing.assert_allclose(alone, [7 / 3, 5 / 3, 5 / 3, 3], rtol=1e-4)


def test_the_score_by_hand():
    # the highest z of one: log(1 + e^1), times the salience of 10 dB of 20
    encoded = Encoded(cloud(100), {"salience": np.full(100, 10.0)})
    scorer = Rarity().fit(encoded)
    measures = scorer._measures(encoded.embedding)
    median, high = np.percentile(measures, [50, 90], axis=0)
    z = ((measures - median) / (high - median)).max(axis=1)
    np.testing.assert_allclose(scorer.score(encoded), np.log1p(np.exp(z)) / 2, rtol=1e-9)


def test_a_small_group_and_a_single_event_are_rarer_than_all_common_ones():
    scores = Rarity().fit(day()).score(day())
    assert scores[180:].min() > scores[:180].max()


def test_a_new_event_of_a_rare_kind_is_strange_and_one_of_a_common_kind_is_not():
    scorer = Rarity().fit(day())
    rare = scorer.score(Encoded(cloud(30, 60, seed=9)))
    common = scorer.score(Encoded(cloud(30, 20, seed=9)))
    unheard = scorer.score(Encoded(cloud(30, -50, seed=9)))
    assert common.max() < rare.min()
    assert common.max() < unheard.min()


def test_what_is_scored_again_is_left_out_of_its_own_neighbours():
    scorer = Rarity().fit(day())
    event = day()[188:189]
    moved = Encoded(event.embedding + np.float32(1e-3))
    assert scorer.score(event) > 2  # were it its own neighbour, it would not be alone
    assert scorer.score(moved) < scorer.score(event)


def test_rounding_does_not_make_an_event_its_own_neighbour():
    scorer = Rarity().fit(day())
    rounded = Encoded(day().embedding * np.float32(1 + 1e-7))
    np.testing.assert_allclose(scorer.score(rounded), scorer.score(day()), rtol=1e-3)


def test_the_score_does_not_depend_on_the_company():
    scorer = Rarity().fit(day())
    together = scorer.score(day())
    alone = np.concatenate([scorer.score(day()[i : i + 1]) for i in range(len(day()))])
    np.testing.assert_array_equal(together, alone)


def test_what_hardly_stands_out_counts_less():
    salience = np.full(189, 20.0)
    salience[:60] = 10.0
    plain, faint = (
        Rarity().fit(e).score(e) for e in (day(), Encoded(day().embedding, {"salience": salience}))
    )
    np.testing.assert_allclose(faint[:60], plain[:60] / 2)
    np.testing.assert_allclose(faint[60:], plain[60:])


def test_what_is_faint_beside_the_others_is_not_remembered():
    salience = np.r_[np.full(180, 20.0), np.full(9, 7.9)]
    scorer = Rarity().fit(Encoded(day().embedding, {"salience": salience}))
    assert len(scorer.bank_) == 180


def test_the_bank_is_bounded_and_still_knows_what_is_common():
    many = Encoded(np.concatenate([cloud(900, at, i) for i, at in enumerate((0, 20, 40))]))
    scorer = Rarity(bank=200).fit(many)
    assert scorer.bank_.shape == (200, 8)
    common = scorer.score(Encoded(cloud(50, 20, seed=9)))
    unheard = scorer.score(Encoded(cloud(50, 60, seed=9)))
    assert common.max() < unheard.min()


def test_of_many_remembered_events_more_are_asked():
    # 0.4 % of 1000 are 4 nearest, and 5 mutual neighbours are more than that
    line = Encoded(np.arange(1000, dtype=np.float32)[:, None])
    alone = np.exp(Rarity().fit(line)._measures(line.embedding[[0, 500]])[:, 0])
    np.testing.assert_allclose(alone, [(1 + 2 + 3 + 4) / 4, (1 + 1 + 2 + 2) / 4], rtol=1e-4)


def test_the_same_seed_remembers_the_same():
    one, other, third = (Rarity(bank=50, seed=seed).fit(day()).score(day()) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, other)
    assert (one != third).any()


def test_a_restored_scorer_scores_the_same():
    scorer = Rarity().fit(day())
    restored = Rarity().restore(scorer.state())
    np.testing.assert_array_equal(scorer.score(day()), restored.score(day()))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_of_fewer_than_three_events_all_are_equally_rare(count):
    encoded = Encoded(cloud(count), {"salience": np.full(count, 10.0)})
    scorer = Rarity().fit(encoded)
    np.testing.assert_allclose(scorer.score(encoded), np.log(2) / 2)
    restored = Rarity().restore(scorer.state())
    assert len(restored.score(Encoded(cloud(4)))) == 4


@pytest.mark.parametrize("count", [3, 4, 6])
def test_a_few_events_are_enough(count):
    scorer = Rarity().fit(Encoded(cloud(count)))
    scores = scorer.score(Encoded(np.concatenate([cloud(count), cloud(1, 100)])))
    assert np.isfinite(scores).all()
    assert scores.argmax() == count


def test_no_events_have_no_scores():
    scorer = Rarity().fit(day())
    assert scorer.score(day()[:0]).shape == (0,)


def test_events_all_alike_are_no_trouble():
    alike = Encoded(np.ones((30, 4), dtype=np.float32))
    assert np.isfinite(Rarity().fit(alike).score(alike)).all()


@pytest.mark.parametrize(
    "options", [{"bank": 2}, {"rounds": 0}, {"reach": 4}, {"full_db": 0.0}], ids=str
)
def test_rarity_refuses_and_says_why(options):
    with pytest.raises(ParameterError, match=r"bank must be at least 3, rounds at least 1, reach"):
        Rarity(**options)
