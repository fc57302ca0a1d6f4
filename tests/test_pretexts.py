"""Rotation and jigsaw: the set of orders, the turns, and what a network that plays them knows."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor

from raravis import models
from raravis.blocks import seeded
from raravis.errors import ParameterError
from raravis.inference import Inference
from raravis.journal import Journal
from raravis.models.pretexts import Jigsaw, far_orders
from raravis.training import Training
from raravis.turning import chosen, every_turn, turned, turns_of

SMALL = {"options": {"width": 4}}
GAMES = ("rotation", "jigsaw")


def made(name: str, shape: tuple[int, ...] = (1, 12, 12), **options):
    with seeded(0):
        return models.create(name, shape=shape, **{**SMALL, **options})


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slopes(count: int, side: int = 12, seed: int = 0) -> np.ndarray:
    """Pictures that get brighter from top to bottom, each with noise of its own."""
    noise = np.random.default_rng(seed).normal(scale=0.3, size=(count, 1, side, side))
    return (noise + np.linspace(-1.5, 1.5, side)[:, None]).astype(np.float32)


# --- turning -------------------------------------------------------------------------------------


def test_squares_have_four_turns_and_others_two() -> None:
    assert turns_of(5, 5) == (0, 1, 2, 3)
    assert turns_of(16, 13) == (0, 2)


def test_turns_by_hand() -> None:
    square = torch.tensor([[[[1, 2], [3, 4]]]])
    turns = [turn[0, 0].tolist() for turn in every_turn(square)]
    assert turns == [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]
    flat = torch.tensor([[[[1, 2, 3]]]])
    assert every_turn(flat)[:, 0, 0, 0].tolist() == [[1, 2, 3], [3, 2, 1]]


def test_each_window_gets_its_own_turn() -> None:
    batch, which = drawn(4, 2, 5, 5), torch.tensor([3, 0, 2, 1])
    for window, (turn, number) in enumerate(zip(turned(batch, which), which, strict=True)):
        assert torch.equal(turn, torch.rot90(batch[window], int(number), (1, 2)))


def test_numbers_are_drawn_alike_likely_and_within_bounds() -> None:
    with seeded(0):
        numbers = chosen(torch.zeros(4000, 1, 2, 2), 4, each=2)
    assert numbers.shape == (4000, 2) and numbers.dtype == torch.int64
    counts = torch.bincount(numbers.flatten(), minlength=4)
    assert len(counts) == 4 and (counts - 2000).abs().max() < 4 * np.sqrt(8000 * 3 / 16)
    # The two columns know nothing of each other: all 16 pairs come equally often.
    pairs = torch.bincount(numbers[:, 0] * 4 + numbers[:, 1])
    assert (pairs - 250).abs().max() < 4 * np.sqrt(250)


# --- orders --------------------------------------------------------------------------------------


def apart(orders: np.ndarray) -> np.ndarray:
    """In how many places each two orders differ, (P, P)."""
    return (orders[:, None] != orders[None]).sum(axis=2)


def naive_orders(tiles: int, count: int) -> list[tuple[int, ...]]:
    """One after the other, the order whose nearest is farthest; of those, the farthest from all."""
    found = [tuple(range(tiles))]
    while len(found) < count:
        best, best_rank = None, (-1, -1)
        for order in permutations(range(tiles)):
            distances = [sum(a != b for a, b in zip(order, o, strict=True)) for o in found]
            if (min(distances), sum(distances)) > best_rank:
                best, best_rank = order, (min(distances), sum(distances))
        found.append(best)
    return found


@pytest.mark.parametrize(("tiles", "count"), [(2, 2), (3, 6), (4, 9), (4, 24), (5, 12), (6, 10)])
def test_orders_are_those_of_the_naive_choice(tiles: int, count: int) -> None:
    assert [tuple(order) for order in far_orders(tiles, count)] == naive_orders(tiles, count)


def test_orders_by_hand() -> None:
    # Of three tiles: the identity; then the first of the two that move all three; then the other,
    # after which none is left that differs from all in more than two places.
    assert far_orders(3, 3).tolist() == [[0, 1, 2], [1, 2, 0], [2, 0, 1]]


@pytest.mark.parametrize(
    ("tiles", "count", "least"),
    # Known bounds: n orders of n tiles can differ everywhere (a Latin square), no more can. The
    # twelve even orders of four tiles differ in three places, all 24 in two.
    [(4, 4, 4), (4, 12, 3), (4, 24, 2), (9, 9, 9), (9, 16, 8), (9, 32, 7)],
)
def test_orders_lie_as_far_apart_as_is_known(tiles: int, count: int, least: int) -> None:
    orders = far_orders(tiles, count)
    assert sorted(map(tuple, np.sort(orders, axis=1))) == [tuple(range(tiles))] * count
    distances = apart(orders)
    assert distances[~np.eye(count, dtype=bool)].min() == least
    assert orders[0].tolist() == list(range(tiles))


def test_orders_that_are_given_out_can_be_changed_without_harm() -> None:
    far_orders(3, 3)[:] = 9
    assert far_orders(3, 3).max() == 2


# --- tiles ---------------------------------------------------------------------------------------


def test_tiles_are_cut_from_the_middle_of_their_cells_in_order_of_rows() -> None:
    # 6 x 12 pixels in a grid of 2: cells of 3 x 6, tiles of 2 x 5, from (0, 0) of each cell.
    game = made("jigsaw", (1, 6, 12), grid=2)
    tiles = game._cut(torch.arange(72.0).view(1, 1, 6, 12), is_drawn=False)
    assert game.tile == (2, 5) and tiles.shape == (1, 4, 1, 2, 5)
    assert tiles[0, :, 0, 0, 0].tolist() == [0, 6, 36, 42]
    assert tiles[0, 3, 0].tolist() == [[42, 43, 44, 45, 46], [54, 55, 56, 57, 58]]


def test_drawn_tiles_lie_in_their_cells_at_every_place_there_is() -> None:
    game = made("jigsaw", (2, 20, 20), grid=2)  # cells of 10, tiles of 8: places 0, 1, 2
    batch = torch.arange(800.0).view(1, 2, 20, 20).expand(200, -1, -1, -1)
    with seeded(1):
        tiles = game._cut(batch)
    assert tiles.shape == (200, 4, 2, 8, 8)
    assert torch.equal(tiles[:, :, 1], tiles[:, :, 0] + 400)  # a place for all channels
    corner = tiles[:, :, 0, 0, 0]
    rows, columns = corner.long() // 20, corner.long() % 20
    for tile, (row, column) in enumerate([(0, 0), (0, 10), (10, 0), (10, 10)]):
        found = {(int(r) - row, int(c) - column) for r, c in zip(rows[:, tile], columns[:, tile],
                                                                 strict=True)}  # fmt: skip
        assert found == {(r, c) for r in range(3) for c in range(3)}
    steps = tiles[:, :, 0].diff(dim=3)
    assert (steps == 1).all()  # a tile is a piece of the picture as it lies


def test_a_side_that_is_too_short_is_not_cut() -> None:
    game = made("jigsaw", (8, 16, 1))
    assert (game.grid, game.cell, game.tile) == ((3, 1), (5, 1), (4, 1))
    assert len(game.orders) == 6  # all there are of three tiles


# --- games ---------------------------------------------------------------------------------------


def test_rotation_by_hand() -> None:
    # A backbone that gives the mean of the upper half, and a head that tells from it.
    class Upper(torch.nn.Module):
        def forward(self, batch: Tensor) -> Tensor:
            return batch[:, 0, :1].mean(dim=(1, 2))[:, None]

    game = made("rotation", (1, 2, 3))
    game.backbone, game.tell = Upper(), torch.nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        game.tell.weight.copy_(torch.tensor([[1.0], [0.0]]))
    batch = torch.tensor([[[[3.0, 3, 3], [-3, -3, -3]]], [[[0.0, 0, 0], [0, 0, 0]]]])
    # Upright, the upper mean is 3, upside down -3; either way the true turn has the chance
    # 1 / (1 + e^-3). The second window looks alike both ways: ln 2.
    expected = torch.tensor([np.log1p(np.exp(-3)), np.log(2)], dtype=torch.float32)
    torch.testing.assert_close(game.parts(batch)["rotation"], expected)
    codes = game.encode(batch)
    torch.testing.assert_close(codes.terms["rotation"], expected)
    assert codes.embedding.tolist() == [[3], [0]]


def test_the_jigsaws_term_is_the_mean_over_all_orders() -> None:
    game, batch = made("jigsaw", orders=5).eval(), drawn(3, 1, 12, 12)
    tiles = game._cut(batch, is_drawn=False)
    with torch.inference_mode():
        term = game.encode(batch).terms["jigsaw"]
        for window in range(3):
            vectors = game.backbone(tiles[window])
            surprises = [
                -game.tell(vectors[order].flatten()[None]).log_softmax(dim=1)[0, number]
                for number, order in enumerate(game.orders)
            ]
            torch.testing.assert_close(term[window], torch.stack(surprises).mean())


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("backbone", ["resnet-small", "vit-mini"])
@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 13, 16)])
def test_games_are_played_on_any_backbone_and_shape(name, backbone, shape) -> None:
    small = {"width": 4} if backbone == "resnet-small" else {"width": 16, "depth": 1}
    game = made(name, shape, backbone=backbone, options=small)
    batch = drawn(4, *shape)
    game.loss(batch).backward()
    assert all(p.grad is not None for p in game.parameters())
    with torch.inference_mode():
        codes, alone = game.eval().encode(batch), game.encode(batch[1:2])
    assert codes.embedding.shape == (4, game.backbone.width)
    torch.testing.assert_close(codes.embedding[1:2], alone.embedding, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(codes.terms[name][1:2], alone.terms[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", GAMES)
def test_what_was_learned_is_told_from_what_was_not(name: str) -> None:
    game = made(name, orders=8) if name == "jigsaw" else made(name)
    training = Training(epochs=6, batch=16, validation=0, learning_rate=3e-3, device="cpu")
    history = training.fit(game, slopes(64))
    judge = Inference(game, device="cpu", precision="float32")
    known = judge.encode(slopes(20, seed=1)).terms[name]
    strange = slopes(20, seed=2).transpose(0, 1, 3, 2)  # brighter from left to right
    assert history.loss[-1] < 0.5 * history.loss[0]
    assert np.median(judge.encode(strange).terms[name]) > 2 * np.median(known)


@pytest.mark.parametrize("name", GAMES)
def test_a_game_broken_off_goes_on_as_if_it_had_not_been(name: str, tmp_path) -> None:
    class Broken(Exception):  # noqa: N818  in place of a kill
        pass

    def stop(step: str, done: float, total: float) -> None:
        if done > 5:
            raise Broken

    training = Training(epochs=3, batch=8, device="cpu", precision="float32")
    windows, whole, half = slopes(24), made(name), made(name)
    training.fit(whole, windows)
    with pytest.raises(Broken):
        training.fit(half, windows, journal=Journal(stop, folder=tmp_path, every_s=0))
    again = made(name)
    training.fit(again, windows, journal=Journal(folder=tmp_path))
    for key, values in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], values, rtol=1e-6, atol=1e-6)


def test_the_orders_are_not_saved_with_the_weights() -> None:
    assert "orders" not in made("jigsaw").state_dict()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rotation", {"shape": (12,)}, r"rotation takes windows of shape \(H, W\) or"),
        ("jigsaw", {"shape": (1, 0, 4)}, r"jigsaw takes windows .* got 1 x 0 x 4"),
        ("jigsaw", {"grid": 4}, r"jigsaw takes a grid of 2 or 3, .* got 4, 32 and 4"),
        ("jigsaw", {"orders": 1}, r"orders >= 2 .* got 3, 1 and 4"),
        ("jigsaw", {"draws": 0}, r"draws >= 1, got 3, 32 and 0"),
        ("jigsaw", {"shape": (1, 5, 4)}, r"a grid of 3 needs a side of at least 6"),
        ("rotation", {"backbone": "resnet-99"}, r"unknown backbone 'resnet-99': choose one of"),
        ("rotation", {"options": {"wide": 3}}, r"backbone 'resnet-small' has no setting 'wide'"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused(name, options, message) -> None:
    with pytest.raises(ParameterError, match=message):
        made(name, **options)


def test_shapes_without_channels_have_one() -> None:
    assert Jigsaw((12, 12), **SMALL).parts(drawn(2, 1, 12, 12))["jigsaw"].shape == (2,)
