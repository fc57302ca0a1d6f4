"""Vision transformers: published sizes, any shape, and attention that can be read."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from raravis import backbones
from raravis.blocks import seeded
from raravis.errors import ParameterError

SIZES = {"vit-mini", "vit-tiny", "vit-small", "vit-base"}
SHAPES = [(1, 28, 28), (3, 32, 32), (4, 30, 41), (1, 16, 13), (1, 64, 50)]


def made(shape: tuple[int, int, int] = (1, 16, 13), **options):
    with seeded(0):
        return backbones.create("vit-mini", shape=shape, **options).eval()


def drawn(count: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("name", "count"),
    # Without a head, at 224 x 224 in patches of 16. By the paper 86 M, 21.7 M and 5.5 M; by hand,
    # for ViT-B: patches 768 * 769, class token 768, places 197 * 768, last norm 1536 and 12 blocks
    # of norms 2 * 1536, attention 4 * 768 * 769 and mlp 768 * 3072 * 2 + 3072 + 768.
    [("vit-base", 85_798_656), ("vit-small", 21_665_664), ("vit-tiny", 5_524_416)],
)
def test_the_published_sizes_have_the_published_number_of_weights(name: str, count: int) -> None:
    with torch.device("meta"):
        network = backbones.create(name, shape=(3, 224, 224), patch=16)
        default = backbones.create(name, shape=(3, 224, 224))
    assert sum(p.numel() for p in network.parameters()) == count
    assert default.encoder.patches.patch == 16 and set(backbones.names()) >= SIZES


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("positions", ["learned", "sine"])
def test_pictures_of_any_shape_become_a_vector_a_map_and_a_look(shape, positions) -> None:
    network, batch = made(shape, depth=2, positions=positions), drawn(3, shape)
    rows, columns = network.encoder.patches.places
    with torch.inference_mode():
        assert network(batch).shape == (3, network.width)
        assert network.maps(batch).shape == (3, network.width, rows, columns)
        attention = network.attention(batch)
    assert attention.shape == (3, 4, rows, columns) and attention.min() >= 0
    sums = attention.sum(dim=(2, 3))
    assert (sums < 1).all() and (sums > 0.5).all()  # the rest is the class token's look at itself
    assert network(batch[:0]).shape == (0, network.width)


def test_the_class_token_is_what_forward_gives_and_the_maps_are_the_others() -> None:
    network, batch = made(depth=2), drawn(2, (1, 16, 13))
    tokens = network.encoder(batch)
    assert torch.equal(network(batch), tokens[:, 0])
    assert torch.equal(network.maps(batch)[:, :, 1, 3], tokens[:, 1 + 1 * 7 + 3])


def test_attention_read_is_the_attention_that_is_taken() -> None:
    # Where the class token of the last block takes nothing from a patch, that patch can be changed
    # at will there; the weights say by how much the vector must move.
    network, batch = made(depth=1), drawn(2, (1, 16, 13))
    block = network.encoder.blocks[0]
    tokens = network.encoder._embedded(batch, None)
    value = block.attention.answering(block.norm(tokens)).chunk(2, dim=2)[1]
    weights = network.attention(batch).flatten(2)  # (B, heads, N)
    rest = 1 - weights.sum(dim=2, keepdim=True)
    whole = torch.cat([rest, weights], dim=2)
    taken = torch.einsum("bhn,bnhd->bhd", whole, value.unflatten(2, (4, 32))).flatten(1)
    summary = tokens[:, 0] + block.attention.joined(taken)
    summary = summary + block.mlp(block.norm_before_mlp(summary))
    torch.testing.assert_close(network(batch), network.encoder.norm(summary), rtol=1e-5, atol=1e-5)


def test_a_window_has_the_same_answer_in_any_company() -> None:
    network, batch = made(), drawn(5, (1, 16, 13))
    with torch.inference_mode():
        torch.testing.assert_close(network(batch)[3:4], network(batch[3:4]), rtol=1e-5, atol=1e-5)


def test_places_matter_with_learned_and_with_sine_positions() -> None:
    for positions in ("learned", "sine"):
        network, batch = made(positions=positions, depth=1), drawn(1, (1, 16, 13))
        moved = batch.roll(2, dims=2)  # by one patch: the same patches, elsewhere
        assert (network(batch) - network(moved)).abs().max() > 1e-4
    assert "encoder.where" not in dict(network.named_parameters())


def test_every_weight_learns() -> None:
    network = made((1, 16, 13))
    network.train()(drawn(2, (1, 16, 13))).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


def test_a_tiny_set_is_learned_by_heart() -> None:
    network, batch = made(depth=1, width=32), drawn(8, (1, 16, 13))
    head = torch.nn.Linear(network.width, 8)
    weights = [*network.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=3e-3)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(head(network(batch)), torch.arange(8))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1  # chance is ln 8 = 2.1


def test_bfloat16_changes_little() -> None:
    network, batch = made(), drawn(4, (1, 16, 13))
    rough = copy.deepcopy(network)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        near, attention = rough(batch), rough.attention(batch)
    assert near.dtype == torch.float32
    assert (near - network(batch)).abs().max() < 0.1
    assert (attention - network.attention(batch)).abs().max() < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positions": "relative"}, r"positions must be learned or sine, got 'relative'"),
        ({"depth": 0}, r"depth must be >= 1, got 0"),
        ({"width": 10, "heads": 4}, r"width must be a multiple of heads"),
        ({"width": 6, "heads": 2, "positions": "sine"}, r"a multiple of 4, got 6"),
        ({"patch": 17}, r"patch must be from 1 to the longer side of 16 x 13 pixels, got 17"),
        ({"heads_": 3}, r"has no setting 'heads_'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, message) -> None:
    with pytest.raises(ParameterError, match=message):
        made(**options)


def test_a_conv_net_asked_for_attention_names_a_transformer() -> None:
    with pytest.raises(TypeError, match="has no attention: choose a transformer, such as vit-tiny"):
        backbones.Backbone().attention(drawn(1, (1, 4, 4)))
