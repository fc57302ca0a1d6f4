"""Residual networks: the published sizes, the shapes that come out, and folding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from raravis import backbones
from raravis.blocks import folded, seeded
from raravis.errors import ParameterError

NAMES = ["resnet-small", "resnet18", "resnet50"]


def parameters(network: nn.Module) -> int:
    return sum(weights.numel() for weights in network.parameters())


@pytest.mark.parametrize(("name", "count"), [("resnet18", 11_176_512), ("resnet50", 23_508_032)])
def test_as_many_parameters_as_published(name: str, count: int) -> None:
    assert parameters(backbones.create(name, shape=(3, 224, 224))) == count


def test_the_small_one_is_small() -> None:
    assert 200_000 < parameters(backbones.create("resnet-small", shape=(1, 28, 28))) < 700_000


@pytest.mark.parametrize(
    ("shape", "options", "size"),
    [
        ((3, 64, 64), {}, (8, 8)),
        ((1, 28, 27), {}, (4, 4)),
        ((4, 65, 40), {}, (3, 2)),
        ((3, 64, 64), {"stem": "large"}, (2, 2)),
        ((1, 96, 80), {"stem": "small"}, (12, 10)),
    ],
)
def test_the_stem_goes_by_the_size_of_the_picture(shape, options, size) -> None:
    network = backbones.create("resnet18", shape=shape, **options)
    assert network.maps(torch.zeros(1, *shape)).shape == (1, 512, *size)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_becomes_as_many_numbers_as_the_width_says(name: str) -> None:
    network = backbones.create(name, shape=(2, 21, 16)).eval()
    vectors = network(torch.randn(2, 2, 21, 16))
    assert vectors.shape == (2, network.width) and vectors.dtype == torch.float32
    assert network.width == {"resnet-small": 128, "resnet18": 512, "resnet50": 2048}[name]
    assert network(torch.randn(1, 2, 9, 30)).shape == (1, network.width)  # of another size


@pytest.mark.parametrize("name", NAMES)
def test_folding_leaves_no_normalisation_and_the_same_numbers(name: str) -> None:
    with seeded(0):
        network, batch = backbones.create(name, shape=(1, 20, 18)), torch.randn(4, 1, 20, 18)
    network(batch)  # so that there is something to fold
    quick = folded(network.eval())
    assert not [layer for layer in quick.modules() if isinstance(layer, nn.BatchNorm2d)]
    with torch.no_grad():
        torch.testing.assert_close(quick(batch), network(batch), rtol=1e-4, atol=1e-5)


def test_a_fresh_network_keeps_the_size_of_what_goes_through() -> None:
    with seeded(1):
        network, batch = backbones.create("resnet18", shape=(3, 32, 32)), torch.randn(8, 3, 32, 32)
    assert 0.1 < network.train().maps(batch).std() < 10


def test_residual_networks_refuse_and_say_why() -> None:
    with pytest.raises(ParameterError, match=r"pictures of shape \(C, H, W\), got 28 x 28"):
        backbones.create("resnet18", shape=(28, 28))
    with pytest.raises(ParameterError, match="stem must be auto, small, middle or large"):
        backbones.create("resnet18", shape=(3, 28, 28), stem="tiny")
    with pytest.raises(ParameterError, match="width must be >= 2 and depth >= 1, got 1 and 1"):
        backbones.create("resnet-small", shape=(1, 28, 28), width=1)
    with pytest.raises(
        ParameterError, match=r"built for pictures of 1 channels.*got 2 x 3 x 8 x 8"
    ):
        backbones.create("resnet-small", shape=(1, 8, 8))(torch.zeros(2, 3, 8, 8))


def test_cells_tell_where_things_are():
    with seeded(0):
        network = backbones.create("resnet-small", shape=(1, 28, 28), width=8, cells=2).eval()
    assert network.width == 8 * 4 * 4
    picture = torch.zeros(1, 1, 28, 28)
    picture[..., 2:10, 2:10] = 1.0
    with torch.inference_mode():
        here, maps = network(picture), network.maps(picture)
        there = network(picture.flip(3))
    np.testing.assert_allclose(
        here.reshape(32, 2, 2)[:, 0, 0], maps[0, :, :4, :4].mean(dim=(1, 2)), rtol=1e-4, atol=1e-5
    )
    assert (here - there).abs().max() > 0.1 * here.abs().max()


def test_a_stem_in_the_middle_halves_once():
    network = backbones.create("resnet-small", shape=(1, 28, 28), width=8, stem="middle")
    assert network.maps(torch.zeros(2, 1, 28, 28)).shape == (2, 32, 4, 4)


def test_no_cells_are_refused():
    with pytest.raises(ParameterError, match="cells must be >= 1, got 0"):
        backbones.create("resnet-small", shape=(1, 28, 28), cells=0)
