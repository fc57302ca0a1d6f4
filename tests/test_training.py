"""Training is repeatable, can be cut off anywhere, and keeps the best it met."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from raravis.blocks import seeded
from raravis.errors import DataError, ParameterError, RunError
from raravis.models.autoencoder import ConvAutoencoder
from raravis.networks import Hardware, Network, multiplies_bfloat16
from raravis.training import History, Inference, Training
from raravis.windows import FloatArray

SHAPE = (1, 16, 13)
CPU = torch.device("cpu")


def windows_of(count: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(count, *SHAPE)).astype(np.float32)


def network_of(seed: int = 0) -> ConvAutoencoder:
    with seeded(seed):
        return ConvAutoencoder(SHAPE, latent=8, width=8)


def weights(network: Network) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


class Slope(Network):
    """Loss (weight - mean of the batch)^2: where it ends can be told beforehand."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[float] = []

    def loss(self, batch: Tensor) -> Tensor:
        self.seen += batch[:, 0, 0, 0].tolist()
        return (self.weight - batch.mean()) ** 2


def ramp(count: int) -> FloatArray:
    return np.arange(count, dtype=np.float32).reshape(count, 1, 1, 1)


def test_eight_windows_are_learned_by_heart() -> None:
    network = network_of()
    history = Training(epochs=150, batch=8, validation=0, learning_rate=5e-3).fit(
        network, windows_of(8)
    )
    assert history.loss[-1] < 0.25 * history.loss[0]


def test_the_same_seed_gives_the_same_weights_and_leaves_torchs_own_alone() -> None:
    first, second = network_of(), network_of()
    Training(epochs=2, batch=8).fit(first, windows_of(40))
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    Training(epochs=2, batch=8).fit(second, windows_of(40))
    assert torch.equal(before, torch.random.get_rng_state())
    assert_same(weights(first), weights(second))


def test_another_seed_gives_other_weights() -> None:
    first, second = network_of(), network_of()
    Training(epochs=1, batch=8, seed=0).fit(first, windows_of(40))
    Training(epochs=1, batch=8, seed=1).fit(second, windows_of(40))
    assert not torch.equal(first.squeeze.weight, second.squeeze.weight)


def test_the_last_windows_in_time_are_held_back() -> None:
    network = Slope()
    Training(epochs=1, batch=3, validation=0.25).fit(network, ramp(20))
    assert sorted(network.seen[:15]) == list(range(15))
    assert network.seen[15:] == list(range(15, 20))


class Killed(Exception):  # noqa: N818
    pass


def killed_after(steps: int):  # type: ignore[no-untyped-def]
    def progress(step: str, done: float, total: float) -> None:
        if done > steps:
            raise Killed

    return progress


@pytest.mark.parametrize("steps", [1, 9, 13])
def test_training_that_was_cut_off_ends_as_if_it_had_not_been(steps: int, tmp_path: Path) -> None:
    training, whole, broken = Training(epochs=4, batch=8), network_of(), network_of()
    history = training.fit(whole, windows_of(40))
    checkpoint = tmp_path / "network.pt"
    with pytest.raises(Killed):
        training.fit(broken, windows_of(40), checkpoint=checkpoint, progress=killed_after(steps))
    again = network_of(seed=5)
    resumed = training.fit(again, windows_of(40), checkpoint=checkpoint)
    if checkpoint.exists() and steps > 5:
        assert_same(weights(whole), weights(again))
        assert resumed.loss == history.loss
    # a finished training, asked again, does not learn further
    assert training.fit(again, windows_of(40), checkpoint=checkpoint).loss == resumed.loss
