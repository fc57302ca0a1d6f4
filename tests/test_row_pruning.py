"""Rows left out of learning: by models in closed form, by networks, and both together."""

from __future__ import annotations

import numpy as np
import pytest

from held_rows import ordinary, spiked
from raravis.journal import Journal
from raravis.left_out import too_short
from raravis.pruning import Pruning
from raravis.row_ensemble import closed_form
from raravis.row_layer import RowLayer
from raravis.row_networks import RowNetwork, RowWindows, is_network, make_members
from raravis.row_pruning import Piece, cut, leave_out

NETWORK = {"name": "dense-ae", "window": 8}
TRAINING = {"max_steps": 16, "batch": 256, "prune": "zscore:3", "prune_first": 1, "device": "cpu"}


def knn() -> object:
    """Judges every row by itself."""
    return closed_form([{"name": "knn", "smooth": 1}])


def layer_of(members: dict, **training) -> RowLayer:
    return RowLayer(members, {"name": "tail"}, 3, {**TRAINING, **training}, 0)


def test_rows_that_leap_are_left_out_and_cut_the_stretch_in_two():
    values = np.random.default_rng(0).standard_normal((200, 3))
    values[100:103] += 30
    kept = leave_out(knn, [values], Pruning("zscore:3"))
    assert {100, 101, 102} <= set(kept.dropped.where[:, 1])
    learned = np.concatenate([np.arange(p.first, p.stop) for p in kept.pieces])
    assert not {100, 101, 102} & set(learned) and len(learned) >= 0.8 * 200
    assert all(kept.dropped.columns["loss"] > kept.dropped.columns["level"])
    assert [look["epoch"] for look in kept.dropped.looks] == [1, 2, 3]


def test_what_is_left_out_adds_up_over_the_rounds():
    kept = leave_out(knn, [spiked().values], Pruning("quantile:0.9"))
    looks = kept.dropped.looks
    total = sum(look["left_out"] - look["readmitted"] for look in looks)
    assert total == len(kept.dropped.where) > 0


def test_pieces_too_short_to_learn_from_fall_away():
    values = np.random.default_rng(0).standard_normal((400, 3))
    values[[20, 25, 30]] += 30  # 4 rows in between
    kept = leave_out(knn, [values], Pruning("mad:50"), context=10)
    assert all(p.stop - p.first > 10 for p in kept.pieces)
    assert Piece(0, 0, 20) in kept.pieces and Piece(0, 31, 400) in kept.pieces
    assert [len(part) for part in cut([values], kept.pieces)] == [20, 369]


def test_the_share_that_must_stay_stays_in_pieces_long_enough():
    values = np.random.default_rng(0).standard_normal((300, 3))
    values[10::12] += 30  # every twelfth row leaps: no piece would be longer than 11
    kept = leave_out(knn, [values], Pruning("mad:9", least=0.8), context=12)
    assert sum(p.stop - p.first for p in kept.pieces) >= 0.8 * 300


def test_no_piece_reaches_over_two_stretches():
    parts = [spiked(0).values, spiked(1, slice(590, 600)).values]
    kept = leave_out(knn, parts, Pruning("zscore:3"))
    assert {p.stretch for p in kept.pieces} == {0, 1}
    assert all(p.stop <= 600 for p in kept.pieces)
    found = {(s, first) for s, first, _ in kept.dropped.where.tolist()}
    assert {(0, 300), (1, 599)} <= found


@pytest.mark.parametrize("name", ["knn", "window-pca", "autoregression"])
def test_every_model_in_closed_form_leaves_out_what_leaps(name):
    series = spiked()
    layer = layer_of({name: {"name": name}})
    layer.learn([series.values[:5], series.values], 1.0)
    (dropped,) = layer.dropped
    assert dropped.model == name
    at = dropped.where[dropped.where[:, 0] == 1]  # the first stretch was too short to learn from
    assert len(at) == len(dropped.where) and set(range(300, 306)) <= set(at[:, 1])


def test_without_a_rule_nothing_is_left_out():
    layer = layer_of({"knn": {"name": "knn"}}, prune="none")
    layer.learn([spiked().values], 1.0)
    assert layer.dropped == []


def test_leaving_rows_out_makes_what_comes_again_stranger():
    leaps = spiked()
    leaps.values[400:406, 2] += 20.0
    scores = {}
    for rule in ("none", "zscore:3"):
        layer = layer_of({"knn": {"name": "knn"}}, prune=rule)
        layer.learn([leaps.values], 1.0)
        score = layer.judge(leaps).score
        scores[rule] = score[300:306].mean() / np.nanmedian(score)
    assert scores["zscore:3"] > scores["none"]


# --- networks of rows ----------------------------------------------------------------------------


def test_a_window_knows_from_which_stretch_it_is():
    stretches = [
        np.arange(15.0).reshape(5, 3),
        np.zeros((2, 3)),
        np.arange(100.0, 121).reshape(7, 3),
    ]
    windows = RowWindows(stretches, 4, most=100)
    places = windows.where(np.arange(len(windows)))
    assert places.tolist() == [[0, 0, 4], [0, 1, 5], [2, 0, 4], [2, 1, 5], [2, 2, 6], [2, 3, 7]]
    for number, (stretch, first, stop) in enumerate(places):
        np.testing.assert_array_equal(
            windows[[number]][0, :, :, 0].T, stretches[stretch][first:stop]
        )


@pytest.mark.slow
def test_networks_beside_models_in_closed_form_each_say_what_they_left_out():
    series = [ordinary(1), spiked()]
    layer = layer_of({"knn": {"name": "knn"}, "net": NETWORK}, prune="quantile:0.97")
    layer.learn([one.values for one in series], 1.0)
    assert [dropped.model for dropped in layer.dropped] == ["knn", "net"]
    closed, network = layer.dropped
    assert network.looks and len(network.where)
    out = {(s, row) for s, row, _ in closed.where.tolist()}
    for stretch, first, stop in network.where.tolist():  # learned from, so without a row left out
        assert first >= 0 and stop == first + 8 <= 600
        assert not out & {(stretch, row) for row in range(first, stop)}


def test_a_network_alone_leaves_out_the_windows_with_the_leap():
    layer = layer_of({"net": NETWORK}, prune="quantile:0.97")
    layer.learn([ordinary(1).values, spiked().values], 1.0)
    (dropped,) = layer.dropped
    hit = [
        (s, first)
        for s, first, stop in dropped.where.tolist()
        if s == 1 and first < 306 and stop > 300
    ]
    assert len(hit) >= 10  # 13 windows of 8 rows touch the 6


def test_training_that_ends_before_the_first_look_says_so():
    said: list[str] = []
    layer = layer_of({"net": NETWORK}, prune_first=50)
    layer.learn([spiked().values], 1.0, Journal(remark=said.append))
    assert said == [too_short("net", len(layer.model.models["net"].history), 50)]
    assert "lower training.prune_first" in said[0]


def test_one_maker_makes_networks_and_closed_forms():
    made = make_members({"a": {"name": "knn"}, "b": NETWORK}, 3, {"device": "cpu"}, 0)
    assert isinstance(made.models["b"], RowNetwork) and made.names == ("a", "b")
    assert is_network(NETWORK) and not is_network({"name": "knn"})


class BrokenError(Exception):
    """Ends a fit in the middle."""


@pytest.mark.slow
@pytest.mark.parametrize("after", [3, 21])  # in the first of two trainings of 16, in the second
def test_a_series_fit_that_was_broken_off_ends_with_the_same_weights(tmp_path, after):
    members = {"knn": {"name": "knn"}, "net": NETWORK}
    series = [spiked().values]
    whole = layer_of(members)
    whole.learn(series, 1.0)
    steps = 0

    def breaking(step: str, done: float, total: float) -> None:
        nonlocal steps
        steps += step == "training"
        if steps == after:
            raise BrokenError

    with pytest.raises(BrokenError):
        layer_of(members).learn(series, 1.0, Journal(breaking, folder=tmp_path, every_s=0))
    taken: list[float] = []
    again = layer_of(members)
    again.learn(
        series,
        1.0,
        Journal(lambda step, done, _: taken.append(done) if step == "training" else None,
                folder=tmp_path, every_s=0),
    )  # fmt: skip
    assert len(taken) == 2 * 16 - (after - 1)  # it went on, and did not begin anew
    for name, array in whole.state().items():
        np.testing.assert_allclose(again.state()[name], array, atol=1e-6, err_msg=name)
    for one, other in zip(whole.dropped, again.dropped, strict=True):
        np.testing.assert_array_equal(one.where, other.where)
    assert (tmp_path / "held-out" / "net").is_dir() and (tmp_path / "net").is_dir()
