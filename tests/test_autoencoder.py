"""Networks keep their contract, and the autoencoder takes windows of any size."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from raravis import models
from raravis.blocks import before_doubling, folded, seeded
from raravis.errors import ParameterError
from raravis.models.autoencoder import ConvAutoencoder
from raravis.networks import Network

SHAPE = (2, 16, 13)
NETWORKS = [
    name
    for name in models.names()
    if inspect.isclass(models.get(name)) and issubclass(models.get(name), Network)
]


@pytest.fixture(params=NETWORKS)  # the contract, held by whatever network is registered
def network(request: pytest.FixtureRequest) -> Network:
    with seeded(0):
        return models.create(request.param, shape=SHAPE)


def batch_of(count: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))


def reconstructs(network: Network) -> bool:
    return type(network).reconstruct is not Network.reconstruct


def test_a_network_reconstructs_in_the_shape_of_the_window(network: Network) -> None:
    if not reconstructs(network):
        with pytest.raises(TypeError, match="does not reconstruct"):
            network.reconstruct(batch_of(3))
        return
    assert network.eval().reconstruct(batch_of(3)).shape == (3, *SHAPE)


def test_the_loss_is_one_finite_number_that_reaches_every_weight(network: Network) -> None:
    loss = network.train().loss(batch_of(4))
    assert loss.ndim == 0 and loss.isfinite()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_encoding_gives_a_row_per_window(network: Network) -> None:
    codes = network.eval().encode(batch_of(5))
    assert codes.embedding.ndim == 2 and len(codes.embedding) == 5
    assert all(term.shape == (5,) for term in codes.terms.values())


def test_windows_are_encoded_each_for_itself(network: Network) -> None:
    network.eval()
    together, alone = network.encode(batch_of(5)), network.encode(batch_of(5)[2:3])
    torch.testing.assert_close(together.embedding[2:3], alone.embedding, rtol=1e-4, atol=1e-5)


def test_folding_changes_speed_and_not_numbers(network: Network) -> None:
    for _ in range(3):
        network.train().loss(3 * batch_of(8) + 1)  # moves the normalisations off their start
    network.eval()
    fast = folded(network)
    fast.fold()
    assert torch.nn.BatchNorm2d not in {type(module) for module in fast.modules()}
    verbs = ["encode", "reconstruct"] if reconstructs(network) else ["encode"]
    for verb in verbs:
        of_fast, of_network = (getattr(one, verb)(batch_of(4)) for one in (fast, network))
        if verb == "encode":
            of_fast, of_network = of_fast.embedding, of_network.embedding
        torch.testing.assert_close(of_fast, of_network, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_convolving_before_doubling_is_convolving_after_it(bias: bool) -> None:
    convolution = torch.nn.Conv2d(3, 2, kernel_size=3, padding=1, bias=bias)
    small = torch.randn(2, 3, 5, 4)
    enlarged = torch.nn.functional.interpolate(small, scale_factor=2, mode="nearest")
    torch.testing.assert_close(
        before_doubling(convolution)(small), convolution(enlarged), rtol=1e-4, atol=1e-5
    )


def test_only_a_plain_convolution_can_go_before_doubling() -> None:
    with pytest.raises(ParameterError, match="expected a plain 3 x 3 convolution, got Conv2d"):
        before_doubling(torch.nn.Conv2d(3, 2, kernel_size=5))


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 3),
    height=st.integers(1, 70),
    width=st.integers(4, 70),
    unet=st.booleans(),
)
def test_windows_of_any_size_come_back_in_their_shape(
    channels: int, height: int, width: int, unet: bool
) -> None:
    network = ConvAutoencoder((channels, height, width), latent=5, width=4, unet=unet).eval()
    batch = batch_of(2, (channels, height, width))
    assert network.reconstruct(batch).shape == batch.shape
    assert network.encode(batch).embedding.shape == (2, 5)


@pytest.mark.parametrize("latent", [5, 10, 32])
def test_the_embedding_is_the_code_of_the_size_asked_for(latent: int) -> None:
    codes = (
        ConvAutoencoder((64, 50), latent=latent, width=4).eval().encode(batch_of(2, (1, 64, 50)))
    )
    assert codes.embedding.shape == (2, latent)


def test_the_reconstruction_term_is_the_mean_squared_error_of_each_window() -> None:
    network = ConvAutoencoder(SHAPE, width=4).eval()
    batch = batch_of(3)
    expected = [
        np.mean((network.reconstruct(batch)[i] - batch[i]).detach().numpy() ** 2) for i in range(3)
    ]
    np.testing.assert_allclose(
        network.encode(batch).terms["reconstruction"].detach(), expected, rtol=1e-5
    )


def test_default_network_is_of_moderate_size() -> None:
    assert sum(p.numel() for p in ConvAutoencoder((64, 50)).parameters()) == 618_609


def test_skips_let_the_unet_see_past_its_code() -> None:
    # With the decoder's view of the code cut off, a plain autoencoder paints every window alike.
    for unet in (False, True):
        network = ConvAutoencoder(SHAPE, width=4, unet=unet).eval()
        torch.nn.init.zeros_(network.spread.weight)
        first, second = network.reconstruct(batch_of(2))
        assert torch.equal(first, second) is not unet


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (3, 3)}, r"longer side is at least 4, got 3 x 3: use longer windows"),
        ({"shape": (64,)}, r"shape \(H, W\) or \(C, H, W\).*got 64:"),
        ({"shape": (0, 64, 50)}, r"got 0 x 64 x 50"),
        ({"shape": (64, 50), "latent": 0}, r"latent must be >= 1 and width >= 2, got 0 and 32"),
        ({"shape": (64, 50), "depth": 6}, r"choose 1 to 5, or a longer side of at least 128"),
        ({"shape": (64, 50), "depth": 0}, r"depth 0 does not fit windows of 64 x 50"),
    ],
)
def test_the_autoencoder_refuses_and_says_why(options: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        ConvAutoencoder(**options)


def test_windows_of_another_shape_are_refused() -> None:
    network = ConvAutoencoder(SHAPE, width=4)
    with pytest.raises(ParameterError, match=r"windows of 2 x 16 x 13, got 1 x 16 x 12: build one"):
        network.loss(batch_of(2, (1, 16, 12)))
