"""Attention says where it looks and answers the same; patches come back as they were cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from raravis.blocks import seeded
from raravis.errors import ParameterError
from raravis.transformers import Attention, Block, Paste, Patches, learned, patch_for, waves


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def attention(width: int = 12, heads: int = 3) -> Attention:
    with seeded(0):
        return Attention(width, heads)


def naive(module: Attention, tokens: Tensor, memory: Tensor) -> Tensor:
    """Attention as it is written down: window by window, head by head, token by token."""
    each = tokens.shape[2] // module.heads
    answers = torch.zeros_like(tokens)
    for window in range(len(tokens)):
        asked = module.asking(tokens[window])
        key, value = module.answering(memory[window]).chunk(2, dim=1)
        for head in range(module.heads):
            part = slice(head * each, (head + 1) * each)
            for token in range(tokens.shape[1]):
                fit = (key[:, part] @ asked[token, part]) / math.sqrt(each)
                answers[window, token, part] = fit.softmax(dim=0) @ value[:, part]
    return module.joined(answers)


@pytest.mark.parametrize("itself", [True, False])
def test_attention_is_as_written_down_on_both_paths(itself: bool) -> None:
    module, tokens = attention(), drawn(2, 5, 12)
    memory = None if itself else drawn(2, 7, 12, seed=1)
    expected = naive(module, tokens, tokens if memory is None else memory)
    answer, weights = module.reading(tokens, memory)
    torch.testing.assert_close(module(tokens, memory), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(answer, module(tokens, memory), rtol=1e-5, atol=1e-5)
    assert weights.shape == (2, 3, 5, 5 if itself else 7)
    torch.testing.assert_close(weights.sum(dim=3), torch.ones(2, 3, 5))


def test_attention_by_hand() -> None:
    # One head of width 1. Questions and keys are the token itself, values twice the token. Token 0
    # finds all keys equal (0 * key), so it takes the mean value of 0 and 2 ln 3, which is ln 3.
    # Token ln 3 fits key 0 by 0 and itself by (ln 3)^2.
    module = Attention(1, 1)
    with torch.no_grad():
        for layer in (module.asking, module.answering, module.joined):
            layer.weight.fill_(1)
            layer.bias.zero_()
        module.answering.weight[1] = 2
    third = math.log(3)
    answer, weights = module.reading(torch.tensor([[[0.0], [third]]]))
    share = math.exp(third**2) / (1 + math.exp(third**2))
    expected = torch.tensor([[0.5, 0.5], [1 - share, share]])
    torch.testing.assert_close(weights[0, 0], expected)
    torch.testing.assert_close(answer[0, :, 0], torch.tensor([third, 2 * third * share]))


def test_a_block_that_crosses_looks_at_the_memory_and_one_that_does_not_ignores_it() -> None:
    tokens, memory = drawn(2, 3, 8), drawn(2, 4, 8, seed=1)
    with seeded(0):
        plain, crossing = Block(8, 2), Block(8, 2, crosses=True)
    assert torch.equal(plain(tokens), plain(tokens, memory))
    assert not torch.allclose(crossing(tokens, memory), crossing(tokens, 2 * memory))
    # The order in which a memory stands means nothing, since it carries its places in itself.
    shuffled = memory[:, [2, 0, 3, 1]]
    torch.testing.assert_close(crossing(tokens, memory), crossing(tokens, shuffled))


def test_the_weights_of_a_block_are_those_it_takes() -> None:
    tokens = drawn(2, 3, 8)
    with seeded(0):
        block = Block(8, 2)
    read, weights = block.reading(tokens)
    assert weights.shape == (2, 2, 3, 3) and weights.min() > 0
    value = block.attention.answering(block.norm(tokens)).chunk(2, dim=2)[1]
    taken = weights @ value.unflatten(2, (2, 4)).transpose(1, 2)
    answer = tokens + block.attention.joined(taken.transpose(1, 2).flatten(2))
    answer = answer + block.mlp(block.norm_before_mlp(answer))
    torch.testing.assert_close(block(tokens), answer, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(block(tokens), read, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "patch", "places"),
    [((1, 4, 6), 2, (2, 3)), ((3, 5, 7), 3, (2, 3)), ((2, 16, 13), None, (8, 7))],
)
def test_patches_come_back_as_they_were_cut(
    shape: tuple[int, int, int], patch: int | None, places: tuple[int, int]
) -> None:
    cutter, batch = Patches(shape, patch, 5), drawn(2, *shape)
    cut = cutter.cut(batch)
    assert cutter.places == places
    assert cut.shape == (2, places[0] * places[1], shape[0] * cutter.patch**2)
    assert torch.equal(Paste(shape, cutter.patch)(cut), batch)
    assert cutter(batch).shape == (2, places[0] * places[1], 5)


def test_patches_by_hand() -> None:
    # 3 x 3 pixels, numbered, in patches of 2: the last row and column stand twice.
    cut = Patches((1, 3, 3), 2, 1).cut(torch.arange(9.0).view(1, 1, 3, 3))
    expected = [[0, 1, 3, 4], [2, 2, 5, 5], [6, 7, 6, 7], [8, 8, 8, 8]]
    assert cut[0].tolist() == expected


def test_a_number_for_each_patch_becomes_a_map_over_the_pixels() -> None:
    cutter = Patches((1, 5, 8), 2, 1)
    places = torch.zeros(1, *cutter.places)
    places[0, 1, 2] = 1  # pixels 2..3 x 4..5
    over = cutter.over_pixels(places)
    assert over.shape == (1, 5, 8)
    assert set(map(tuple, np.argwhere(over[0].numpy() == over.max().item()))) == {
        (2, 4), (2, 5), (3, 4), (3, 5)
    }  # fmt: skip
    torch.testing.assert_close(cutter.over_pixels(torch.ones(1, 3, 4)), torch.ones(1, 5, 8))


@pytest.mark.parametrize(
    ("size", "patch"),
    [((28, 28), 4), ((32, 32), 4), ((64, 50), 8), ((96, 96), 8), ((224, 224), 16), ((16, 13), 2),
     ((512, 512), 64), ((480, 640), 64), ((5, 5), 1), ((64, 1), 1), ((1, 9), 1)],
)  # fmt: skip
def test_the_patch_goes_by_the_size_of_the_picture(size: tuple[int, int], patch: int) -> None:
    assert patch_for(*size) == patch


def test_waves_tell_every_place_apart_and_near_places_are_alike() -> None:
    told = waves(6, 5, 16)
    assert told.shape == (30, 16)
    apart = torch.cdist(told, told) + 9 * torch.eye(30)
    assert apart.min() > 0.1
    first, neighbour, far = told[0], told[1], told[4]  # in one row
    assert (first - neighbour).norm() < (first - far).norm()
    torch.testing.assert_close(told[7], torch.cat([waves(6, 1, 16)[1, :8], waves(1, 5, 16)[2, 8:]]))


def test_learned_tokens_begin_small_and_bounded() -> None:
    with seeded(0):
        tokens = learned(1, 50, 64)
    assert tokens.requires_grad and tokens.abs().max() <= 0.04
    assert tokens.std().item() == pytest.approx(0.0176, rel=0.05)  # of 0.02, cut at 2 deviations


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Attention(10, 3), r"width must be a multiple of heads, .* got width 10 and heads"),
        (lambda: Attention(4, 0), r"both >= 1, got width 4 and heads 0"),
        (lambda: Block(4, 2, spread=0), r"spread must be > 0, got 0"),
        (lambda: Patches((1, 4, 6), 7, 4), r"patch must be from 1 to the longer side of 4 x 6"),
        (lambda: Patches((1, 4, 6), 0, 4), r"got 0"),
        (lambda: Patches((1, 4, 6), 2, 4)(drawn(2, 1, 6, 4)), r"built for pictures of shape"),
        (lambda: waves(2, 2, 6), r"a width that is a multiple of 4, got 6"),
    ],
)
def test_what_does_not_fit_is_refused(make, message) -> None:
    with pytest.raises(ParameterError, match=message):
        make()
