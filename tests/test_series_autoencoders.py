"""Autoencoders for stretches of time; what every network must hold stands in test_autoencoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from raravis import models
from raravis.blocks import seeded
from raravis.errors import ParameterError
from raravis.inference import Inference
from raravis.models.series_autoencoders import (
    Conv1dAutoencoder,
    DenseAutoencoder,
    LstmAutoencoder,
    VariationalAutoencoder,
)
from raravis.networks import Network
from raravis.training import Training

NAMES = ["conv1d-ae", "dense-ae", "lstm-ae", "vae"]
SHAPES = [(1, 2, 1), (1, 16, 1), (38, 16, 1), (3, 7, 1), (1, 64, 50), (2, 1, 9), (5, 1, 1)]


def batch_of(count: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))


def network_of(name: str, shape: tuple[int, int, int], **options: object) -> Network:
    with seeded(0):
        return models.create(name, shape=shape, **options)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_windows_of_any_shape_come_back_in_it(name: str, shape: tuple[int, int, int]) -> None:
    network = network_of(name, shape).eval()
    assert network.reconstruct(batch_of(3, shape)).shape == (3, *shape)
    assert network.encode(batch_of(3, shape)).embedding.shape == (3, network.latent)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_few_shapes_are_learned_by_heart(name: str, precision: str) -> None:
    phases = np.linspace(0, 3, 8).reshape(8, 1, 1, 1)
    ripples = np.sin(phases + np.arange(16).reshape(1, 1, 16, 1) / 2).astype(np.float32)
    network = network_of(name, (1, 16, 1))
    training = Training(
        epochs=300, batch=8, validation=0, patience=300, learning_rate=5e-3, precision=precision
    )
    training.fit(network, ripples)
    rebuilt = Inference(network, precision=precision).reconstruct(ripples)
    assert np.square(rebuilt - ripples).mean() < 0.1 * ripples.var()


@pytest.mark.parametrize("name", NAMES)
def test_the_reconstruction_term_is_the_mean_squared_error_of_each_window(name: str) -> None:
    network, batch = network_of(name, (3, 8, 1)).eval(), batch_of(4, (3, 8, 1))
    errors = np.square((network.reconstruct(batch) - batch).detach().numpy()).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(
        network.encode(batch).terms["reconstruction"].detach(), errors, rtol=1e-5
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_code_is_a_quarter_of_the_window_but_32_numbers_at_most(name: str) -> None:
    sizes = [network_of(name, shape).latent for shape in ((1, 2, 1), (1, 16, 1), (38, 16, 1))]
    assert sizes == [1, 4, 32]
    assert network_of(name, (1, 16, 1), latent=7).latent == 7


def test_the_dense_network_of_a_thousand_values_is_the_usual_one() -> None:
    # 1000 x 512 + 512 + 512 x 32 + 32 + 32 x 512 + 512 + 512 x 1000 + 1000
    network = DenseAutoencoder((1000, 1, 1))
    assert sum(p.numel() for p in network.parameters()) == 1_058_824


def test_hidden_layers_are_mirrored() -> None:
    widths = [p.shape[0] for p in DenseAutoencoder((4, 5, 1), (9, 7), 3).parameters() if p.ndim > 1]
    assert widths == [9, 7, 3, 7, 9, 20]
    linear = DenseAutoencoder((4, 5, 1), hidden=[])
    assert sum(p.numel() for p in linear.parameters()) == 20 * 5 + 5 + 5 * 20 + 20


def test_one_linear_layer_learns_no_more_than_principal_components() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(400, 3)) @ random.normal(size=(3, 8)) + random.normal(size=(400, 8))
    rows -= rows.mean(axis=0)
    network = network_of("dense-ae", (8, 1, 1), hidden=(), latent=3)
    windows = rows.reshape(400, 8, 1, 1).astype(np.float32)
    Training(epochs=600, batch=400, validation=0, patience=600, learning_rate=2e-2).fit(
        network, windows
    )
    error = Inference(network, precision="float32").encode(windows).terms["reconstruction"].mean()
    least = np.square(np.linalg.svd(rows, compute_uv=False)[3:]).sum() / rows.size
    assert least * 0.999 < error < least * 1.02


def test_features_at_moments_keep_their_place() -> None:
    for shape, features in (((3, 4, 1), 3), ((1, 3, 4), 3), ((2, 3, 4), 6)):
        batch = batch_of(2, shape)
        into, out = (
            Conv1dAutoencoder(shape).encoder[0],
            Conv1dAutoencoder(shape).decoder[-1],
        )
        assert into(batch).shape == (2, features, 4)
        assert torch.equal(out(into(batch)), batch)
        assert torch.equal(into(batch)[0, :, 1], batch[0].reshape(features, 4)[:, 1])


def test_the_lstm_reads_in_order_and_writes_backwards() -> None:
    network = LstmAutoencoder((2, 6, 1)).eval()
    # what is written for the last moment was written first, so it knows one step of the decoder
    codes = torch.ones(1, network.latent)
    states, _ = network.decoder.lstm(codes[:, None])
    first = network.decoder.spread(states[:, 0])
    torch.testing.assert_close(network.decoder(codes)[0, :, -1, 0], first[0])
    batch = batch_of(1, (2, 6, 1))
    assert not torch.allclose(network.codes(batch), network.codes(batch.flip(2)))


def test_the_variational_loss_by_hand() -> None:
    network = VariationalAutoencoder((1, 4, 1), hidden=(), latent=1, beta=3)
    for weights in network.parameters():
        torch.nn.init.zeros_(weights)
    bias = torch.tensor([2.0, float(np.log(0.25))])  # mean 2, variance 1/4
    network.encoder[1].bias.data = bias
    kl = (4 + 0.25 - np.log(0.25) - 1) / 2
    batch = torch.full((5, 1, 4, 1), 0.5)  # rebuilt as 0: an error of 1/4 in every value
    assert network.loss(batch).item() == pytest.approx(0.25 + 3 * kl / 4)
    terms = network.encode(batch).terms
    np.testing.assert_allclose(terms["kl"].detach(), kl, rtol=1e-6)
    assert network.encode(batch).embedding.flatten().tolist() == [2] * 5


def test_the_variational_code_is_blurred_only_while_learning() -> None:
    network, batch = network_of("vae", (3, 8, 1)), batch_of(4, (3, 8, 1))
    assert not torch.equal(network.loss(batch), network.loss(batch))
    assert torch.equal(network.reconstruct(batch), network.reconstruct(batch))


def test_the_divergence_is_never_negative_and_zero_for_the_standard_normal() -> None:
    network = VariationalAutoencoder((1, 8, 1))
    assert bool((network.encode(batch_of(9, (1, 8, 1))).terms["kl"] > 0).all())
    for weights in network.encoder.parameters():
        torch.nn.init.zeros_(weights)
    assert network.encode(batch_of(2, (1, 8, 1))).terms["kl"].tolist() == [0, 0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (4, 16)}, r"takes windows of shape \(C, H, W\) with 2 values or more, got 4 x"),
        ({"shape": (1, 1, 1)}, r"2 values or more, got 1 x 1 x 1"),
        ({"shape": (0, 16, 1)}, r"got 0 x 16 x 1"),
        ({"shape": (1, 16, 1), "latent": 0}, r"latent must be >= 1, got 0"),
    ],
)
def test_a_window_or_code_of_nothing_is_refused(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        models.create(name, **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dense-ae", {"hidden": (8, 0)}, r"hidden must be widths >= 1, .*got \[8, 0\]"),
        ("vae", {"hidden": (-1,)}, r"hidden must be widths >= 1, .*got \[-1\]"),
        ("vae", {"beta": -1}, r"beta must be >= 0, got -1"),
        ("conv1d-ae", {"width": 0}, r"width and depth must be >= 1, got 0 and 2"),
        ("conv1d-ae", {"depth": 0}, r"width and depth must be >= 1, got 32 and 0"),
        ("lstm-ae", {"width": 0}, r"width must be >= 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        models.create(name, shape=(2, 16, 1), **options)


@pytest.mark.parametrize("name", NAMES)
def test_windows_of_another_shape_are_refused(name: str) -> None:
    with pytest.raises(ParameterError, match=r"windows of 2 x 16 x 1, got 16 x 2 x 1: build one"):
        network_of(name, (2, 16, 1)).loss(batch_of(2, (16, 2, 1)))
