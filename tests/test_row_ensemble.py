"""Several models of rows heard together."""

from __future__ import annotations

import numpy as np
import pytest

from raravis import models
from raravis.errors import DataError, ParameterError, RunError
from raravis.models import row_scores
from raravis.row_ensemble import RowEnsemble, closed_form, default_members, member_names


def rows_of(n, channels=3, seed=0):
    return np.random.default_rng(seed).standard_normal((n, channels)).cumsum(axis=0) / np.sqrt(n)


@pytest.fixture(params=[1, 3])
def channels(request):
    return request.param


def fitted(channels=3):
    return closed_form(default_members(channels)).fit([rows_of(400, channels)])


def test_its_score_is_the_mean_of_its_members_scores(channels):
    ensemble, rows = fitted(channels), rows_of(100, channels, seed=1)
    members = ensemble.member_scores(rows)
    assert len(members) == 4
    np.testing.assert_allclose(
        row_scores(ensemble.contributions(rows)), np.mean(list(members.values()), axis=0)
    )


def test_members_are_measured_in_what_is_ordinary_for_them():
    rows = rows_of(400)
    for name, scores in fitted().member_scores(rows).items():
        assert np.sqrt((scores**2).mean()) == pytest.approx(1, abs=0.02), name


def test_a_member_scores_as_it_does_alone():
    rows = rows_of(100, seed=1)
    alone = models.create("autoregression").fit([rows_of(400)])
    ensemble = fitted()
    beside = ensemble.member_scores(rows)["autoregression 16"]
    own = row_scores(alone.contributions(rows))[ensemble.context - alone.context :]
    np.testing.assert_allclose(beside / beside[0], own / own[0])


def test_a_channels_part_is_the_mean_of_its_parts_weighted_by_the_members_scores():
    ensemble, rows = fitted(), rows_of(60, seed=1)
    expected = 0.0
    for member in ensemble._members():
        seen = member.contributions(rows, ensemble.context) ** 2
        expected += seen / seen.sum(axis=1, keepdims=True) * row_scores(np.sqrt(seen))[:, None]
    expected /= expected.sum(axis=1, keepdims=True)
    squares = ensemble.contributions(rows) ** 2
    np.testing.assert_allclose(squares / squares.sum(axis=1, keepdims=True), expected)


def test_in_pieces_as_in_one_and_blind_to_the_future(channels):
    ensemble, rows = fitted(channels), rows_of(150, channels, seed=1)
    whole, context = ensemble.contributions(rows), ensemble.context
    pieces = [ensemble.contributions(rows[at : at + context + 7]) for at in range(0, len(whole), 7)]
    np.testing.assert_allclose(np.concatenate(pieces)[: len(whole)], whole, rtol=1e-6)
    other = rows.copy()
    other[100:] = 9.0
    past = 100 - context
    np.testing.assert_array_equal(ensemble.contributions(other)[:past], whole[:past])


def test_a_restored_ensemble_says_the_same(channels):
    ensemble, rows = fitted(channels), rows_of(100, channels, seed=1)
    state = ensemble.state()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    assert {name.partition(".")[0] for name in state} == {f"{name}_" for name in ensemble.names}
    again = closed_form(default_members(channels)).restore(state)
    np.testing.assert_array_equal(again.contributions(rows), ensemble.contributions(rows))
    with pytest.raises(RunError, match="RowEnsemble has no part"):
        closed_form([{"name": "pca"}]).restore(state)


def test_where_nothing_ever_moved_nothing_is_strange():
    ensemble = closed_form(default_members(3)).fit([np.zeros((300, 3))])
    np.testing.assert_allclose(ensemble.contributions(np.zeros((80, 3))), 0, atol=1e-6)


def test_neighbours_of_a_single_channel_are_whole_windows():
    assert next(t for t in default_members(1) if t["name"] == "knn")["window"] > 1
    assert next(t for t in default_members(8) if t["name"] == "knn")["window"] == 1


def test_members_are_named_by_what_tells_them_apart():
    knn = {"name": "knn"}
    short, long = {"name": "lstm-ae", "window": 16}, {"name": "lstm-ae", "window": 32}
    assert member_names([short, knn]) == ["lstm-ae", "knn"]
    assert member_names([short, knn, long]) == ["lstm-ae 16", "knn", "lstm-ae 32"]
    assert member_names([knn, knn, knn]) == ["knn", "knn #2", "knn #3"]
    assert member_names([short, long, long]) == ["lstm-ae", "lstm-ae #2", "lstm-ae #3"]


def test_it_refuses_and_says_why():
    with pytest.raises(ParameterError, match="needs at least one member, got none"):
        RowEnsemble({})
    with pytest.raises(ParameterError, match="unknown model 'magic'"):
        closed_form([{"name": "magic"}])
    with pytest.raises(
        ParameterError, match="'sound-events' is no model of rows: choose one of au"
    ):
        closed_form([{"name": "sound-events"}])
    with pytest.raises(DataError, match="needs stretches of at least"):
        closed_form(default_members(3)).fit([rows_of(20)])
