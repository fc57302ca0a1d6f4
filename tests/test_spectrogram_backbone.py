"""The network for spectrograms: its shapes, its size, that pitch counts, and folding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from raravis import backbones
from raravis.blocks import folded, seeded
from raravis.errors import ParameterError

NAME = "spectrogram-cnn"


def made(*shape: int, **options: int) -> nn.Module:
    with seeded(0):
        return backbones.create(NAME, shape=shape, **options)


@pytest.mark.parametrize("shape", [(1, 64, 50), (1, 32, 7), (1, 128, 25), (2, 5, 1), (1, 2, 9)])
def test_any_number_of_bands_and_frames_becomes_one_vector(shape) -> None:
    network = made(*shape).eval()
    assert network.maps(torch.randn(3, *shape)).shape == (3, 128, 1, -(-shape[2] // 8))
    vectors = network(torch.randn(3, *shape))
    assert vectors.shape == (3, network.width) and vectors.dtype == torch.float32


def test_one_built_for_whole_windows_sees_their_halves_too() -> None:
    network = made(1, 64, 50).eval()
    batch = torch.randn(2, 1, 64, 50)
    for half in (batch[..., :25], batch[..., 25:], batch[..., :1]):
        assert network(half).shape == (2, 128)


@pytest.mark.parametrize(("bands", "count"), [(64, 224_224), (128, 355_296)])
def test_it_is_small_enough_for_a_cpu(bands: int, count: int) -> None:
    found = sum(weights.numel() for weights in made(1, bands, 50).parameters())
    # 3 x 3 x (32 + 32 x 64 + 64 x 128) + bands / 8 x 128 x 128 and 2 numbers a normalised channel
    assert found == count


def test_the_vector_is_mean_and_largest_over_time_of_what_stands_there() -> None:
    network = made(1, 16, 40, width=3).eval()
    batch = torch.randn(2, 1, 16, 40)
    with torch.no_grad():
        maps, vectors = network.maps(batch), network(batch)
    for window in range(2):
        for number in range(3):
            along = [float(maps[window, number, 0, at]) for at in range(5)]
            expected = sum(along) / 5 + max(along)
            assert float(vectors[window, number]) == pytest.approx(expected, abs=1e-5)


def test_the_same_sound_at_another_pitch_is_another_one_but_later_it_is_the_same() -> None:
    network = made(1, 64, 64).eval()
    low, high, late = (torch.zeros(1, 1, 64, 64) for _ in range(3))
    low[..., 16:20, 24:28] = high[..., 40:44, 24:28] = late[..., 16:20, 32:36] = 4.0
    with torch.no_grad():
        first, other, later = network(low), network(high), network(late)
    torch.testing.assert_close(later, first, rtol=1e-5, atol=1e-5)
    assert (other - first).abs().max() > 0.01


def test_folding_leaves_no_normalisation_and_the_same_numbers() -> None:
    network, batch = made(1, 20, 18), torch.randn(4, 1, 20, 18)
    network(batch)  # so that there is something to fold
    quick = folded(network.eval())
    assert not [layer for layer in quick.modules() if isinstance(layer, nn.BatchNorm2d)]
    with torch.no_grad():
        torch.testing.assert_close(quick(batch), network(batch), rtol=1e-4, atol=1e-5)


def test_every_weight_learns() -> None:
    network = made(1, 16, 16).train()
    network(torch.randn(4, 1, 16, 16)).square().sum().backward()
    assert all(weights.grad is not None and weights.grad.any() for weights in network.parameters())


def test_it_refuses_and_says_why() -> None:
    with pytest.raises(ParameterError, match=r"shape \(C, F, T\) with at least 2 bands, got 64 x"):
        made(64, 50)
    with pytest.raises(ParameterError, match="at least 2 bands, got 1 x 1 x 50"):
        made(1, 1, 50)
    with pytest.raises(ParameterError, match="channels must be >= 2 and width >= 1, got 1 and 8"):
        made(1, 64, 50, channels=1, width=8)
    with pytest.raises(ParameterError, match=r"built for 1 x 64 channels and bands.*2 x 1 x 32 x"):
        made(1, 64, 50)(torch.zeros(2, 1, 32, 50))
