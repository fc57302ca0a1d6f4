"""Foretelling embeddings: what is present and what is later, the branch that trails, the error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crew import ROWS, together
from foretelling import CLIP, SKY, clips, skies, step_of, step_of_each
from raravis import backbones, models
from raravis.blocks import folded, seeded
from raravis.errors import ParameterError
from raravis.journal import Journal
from raravis.models.predictive import Predictive
from raravis.networks import Network
from raravis.training import Training


def batch_of(count: int, shape: tuple[int, ...], seed: int = 1) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


both = pytest.mark.parametrize(("made", "shape"), [(clips, CLIP), (skies, SKY)])


# --- what is seen --------------------------------------------------------------------------------


def test_a_clips_present_is_its_beginning_and_its_future_as_much_further_on() -> None:
    network, batch = clips(context=0.3), batch_of(3, CLIP)
    assert (network.length, network.offsets) == (6, (6.0, 10.0, 14.0))
    assert torch.equal(network.present(batch), batch[..., :6])
    later = network.later(batch, torch.tensor([1, 7, 14]))
    for row, start in enumerate((1, 7, 14)):
        assert torch.equal(later[row], batch[row, :, :, start : start + 6])


def test_later_pictures_lie_on_the_present_one() -> None:
    network, batch = skies(), batch_of(3, SKY)
    assert torch.equal(network.present(batch), batch[:, :2])
    later = network.later(batch, torch.tensor([1, 0, 1]))
    for row, first in enumerate((4, 2, 4)):
        assert torch.equal(later[row], batch[row, first : first + 2])


@pytest.mark.parametrize(
    ("context", "offsets"),
    [(0.3, (6, 10, 14)), (0.5, (10,)), (0.9, (2,)), (0.05, (1, 10, 19)), (0.001, (1, 10, 19))],
)
def test_futures_reach_from_the_present_to_the_clips_end(
    context: float, offsets: tuple[int, ...]
) -> None:
    network = clips(context=context)
    assert network.offsets == offsets
    assert network.offsets[-1] + network.length == CLIP[-1]


def test_every_future_is_learned_from_and_no_other() -> None:
    network, batch = clips(), batch_of(4000, CLIP)[..., :1]  # of each clip only the number matters
    with seeded(0):
        drawn = network._drawn(batch)
    found, counts = drawn.unique(return_counts=True)
    assert found.tolist() == list(range(6, 15))
    assert counts.min() > 0.8 * 4000 / 9
    with seeded(0):
        assert skies()._drawn(batch).unique().tolist() == [0, 1]


# --- the error -----------------------------------------------------------------------------------


class Levels(backbones.Backbone):
    """Sees the mean of each channel."""

    width = 2

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()

    def maps(self, batch: Tensor) -> Tensor:
        return batch


class Adding(nn.Module):
    """Foretells that each number grows by the offset's share."""

    def forward(self, told: Tensor) -> Tensor:
        return told[:, 2:3].expand(-1, 2)


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> Predictive:
    monkeypatch.setattr(backbones, "create", lambda name, **options: Levels(**options))
    network = Predictive((6, 2, 2), split=2, offsets=(10, 20), embedding=2, grid=1)
    for branch in (network.branch, network.trailing):
        branch.squeeze = nn.Linear(2, 2, bias=False)
        branch.squeeze.weight = nn.Parameter(torch.eye(2))
    network.predictor = Adding()
    return network.eval()


def test_the_error_by_hand(by_hand: Predictive) -> None:
    # Present (1, 0); 10 later (2, 0), foretold (1.5, 0.5); 20 later (2, 3), foretold (2, 1).
    levels = torch.tensor([1.0, 0.0, 2.0, 0.0, 2.0, 3.0])
    batch = levels[None, :, None, None].expand(1, 6, 2, 2)
    codes = by_hand.encode(batch)
    assert codes.embedding.tolist() == [[1.0, 0.0]]
    first, second = (0.5**2 + 0.5**2) / 2, (0**2 + 2**2) / 2
    assert codes.terms["prediction"].tolist() == pytest.approx([(first + second) / 2])
    foretold = by_hand.foretell(batch, 20)
    assert foretold.predicted.tolist() == [[2.0, 1.0]]
    assert foretold.true.tolist() == [[2.0, 3.0]]
    assert foretold.present.tolist() == [[1.0, 0.0]]
    with torch.no_grad():
        parts = by_hand.parts(batch)
    assert parts["prediction"].tolist() == pytest.approx([(first + second) / 2])
    # One window does not spread: each number lacks its whole deviation, but for a hundredth.
    assert float(parts["variance"]) == pytest.approx(0.99)
    assert float(parts["covariance"]) == 0


@both
def test_the_term_is_the_mean_of_what_is_foretold_wrongly(made: Any, shape: Any) -> None:
    network, batch = made().eval(), batch_of(4, shape)
    errors = []
    for offset in network.offsets:
        foretold = network.foretell(batch, offset)
        errors.append((foretold.predicted - foretold.true).square().mean(dim=1))
    expected = torch.stack(errors).mean(dim=0)
    codes = network.encode(batch)
    torch.testing.assert_close(codes.terms["prediction"], expected)
    terms = network.batch_terms(batch)
    torch.testing.assert_close(terms["prediction"], expected.mean())
    assert terms.keys() == {"prediction", "variance", "covariance"}
    sides = network.embeddings(batch)
    assert torch.equal(sides["embedding"], codes.embedding)
    assert sides["backbone"].shape == (4, 16)


@both
def test_encoding_is_each_windows_own_and_says_the_same_again(made: Any, shape: Any) -> None:
    network, batch = made().eval(), batch_of(5, shape)
    whole, again, alone = network.encode(batch), network.encode(batch), network.encode(batch[2:3])
    assert torch.equal(whole.terms["prediction"], again.terms["prediction"])
    torch.testing.assert_close(whole.embedding[2:3], alone.embedding)
    torch.testing.assert_close(whole.terms["prediction"][2:3], alone.terms["prediction"])


@both
def test_folding_reaches_the_trailing_branch_as_well(made: Any, shape: Any) -> None:
    network, batch = made(), batch_of(16, shape)
    for _ in range(3):
        network.train().loss(3 * batch + 1)
    fast = folded(network.eval())
    assert not [layer for layer in fast.modules() if isinstance(layer, nn.BatchNorm2d)]
    torch.testing.assert_close(
        fast.encode(batch).terms, network.encode(batch).terms, rtol=1e-4, atol=1e-5
    )


# --- the branch that trails ----------------------------------------------------------------------


def test_the_trailing_branch_goes_a_little_towards_the_branch_before_each_step() -> None:
    network = skies(momentum=0.75)
    before = network.trailing.squeeze.weight.clone()
    assert torch.equal(before, network.branch.squeeze.weight)
    with torch.no_grad():
        network.branch.squeeze.weight.add_(1)
    network.train().parts(batch_of(4, SKY))
    torch.testing.assert_close(network.trailing.squeeze.weight, before + 0.25)
    network.eval().parts(batch_of(4, SKY))
    network.encode(batch_of(4, SKY))
    torch.testing.assert_close(network.trailing.squeeze.weight, before + 0.25)


def test_the_trailing_branch_learns_nothing_and_is_saved() -> None:
    network = skies()
    names = [name for name, _ in network.named_parameters()]
    assert not [name for name in names if name.startswith("trailing")]
    saved = network.state_dict()
    for name, weight in network.branch.named_parameters():
        assert torch.equal(saved[f"trailing.{name}"], weight)
    network.train().loss(batch_of(4, SKY)).backward()
    assert all(weight.grad is not None for weight in network.parameters())
    assert not any(buffer.requires_grad for buffer in network.buffers())


# --- learning ------------------------------------------------------------------------------------


def drifting(count: int, seed: int) -> np.ndarray:
    """Stripes that go sideways at one speed: two pictures a moment, and two later moments."""
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 2 * np.pi, (count, 1, 1, 1))
    time = np.array([0, 1, 2, 3, 4, 5])[None, :, None, None]
    place = np.arange(8)[None, None, None, :]
    waves = np.sin(phase + 2 * np.pi * place / 8 - 0.8 * time) + np.zeros((1, 1, 8, 1))
    return (waves + random.normal(0, 0.05, waves.shape)).astype(np.float32)


@pytest.mark.slow
def test_what_moves_evenly_is_foretold_better_than_if_it_stood_still() -> None:
    network = skies(embedding=4)
    training = Training(epochs=15, batch=16, validation=0, device="cpu", precision="float32",
                        learning_rate=5e-3)  # fmt: skip
    training.fit(network, drifting(192, seed=0))
    with torch.no_grad():
        foretold = network.foretell(torch.from_numpy(drifting(200, seed=1)), 90)
    apart = (foretold.true - foretold.predicted).square().mean()
    persisting = (foretold.true - foretold.present).square().mean()
    assert apart < 0.3 * persisting
    assert foretold.true.std(dim=0).min() > 0.3  # and nothing collapsed


def test_without_what_keeps_it_apart_the_embedding_collapses() -> None:
    training = Training(epochs=6, batch=32, validation=0, device="cpu", precision="float32",
                        learning_rate=3e-3)  # fmt: skip
    spread = {}
    for weight in (0.0, 1.0):
        network = skies(embedding=4, variance=weight, covariance=0.04 * weight, momentum=0.5)
        training.fit(network, drifting(192, seed=0))
        with torch.no_grad():
            codes = network.encode(torch.from_numpy(drifting(200, seed=1)))
        spread[weight] = float(codes.embedding.std(dim=0).mean())
    assert spread[0.0] < 0.5 * spread[1.0]


class Stopped(Exception):  # noqa: N818  in place of a kill
    pass


def stopped(step: str, done: float, total: float) -> None:
    if done > 7:
        raise Stopped


@both
def test_training_goes_on_from_a_checkpoint_with_the_same_bits(
    made: Any, shape: Any, tmp_path: Path
) -> None:
    windows = batch_of(40, shape).numpy()
    training = Training(epochs=3, batch=8, device="cpu", precision="float32")
    whole, broken, resumed = made(), made(), made(seed=5)
    training.fit(whole, windows)
    with pytest.raises(Stopped):
        training.fit(broken, windows, journal=Journal(stopped, folder=tmp_path, every_s=0))
    training.fit(resumed, windows, journal=Journal(folder=tmp_path))
    for name, values in whole.state_dict().items():
        assert torch.equal(values, resumed.state_dict()[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("shares", [[[5, 5], [10, 0]], [[4, 3, 3], [0, 8, 2]]])
def test_processes_have_the_gradients_and_the_trailing_branch_of_one(
    shares: list[list[int]], tmp_path: Path
) -> None:
    alone = step_of([ROWS])
    for answers in together(step_of_each, len(shares[0]), tmp_path, shares):
        assert answers, "a process failed: see what it says above"
        for share in shares:
            for name, values in answers[str(share)].items():
                assert (values - alone[name]).abs().max() < 1e-9, f"{name}, rows {share}"


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (1, 8, 1)}, "a clip of 1 columns leaves no future beside a present of 1"),
        ({"context": 1.0}, r"context must be in \(0, 1\), got 1.0"),
        ({"context": 0.99}, "a clip of 20 columns leaves no future beside a present of 20"),
        ({"offsets": (15,)}, r"whole numbers of columns in 1 ... 14, the clip's 20 less the 6"),
        ({"offsets": (2.5,)}, r"whole numbers of columns .* got \[2.5\]"),
        ({"offsets": ()}, r"whole numbers of columns .* got \[\]"),
        ({"shape": (4, 8, 8), "split": 4}, "each of its 4 channels, got 4 channels in all: join a"),
        ({"shape": (4, 8, 8), "split": 3}, "each of its 3 channels, got 4 channels in all"),
        ({"shape": SKY, "split": 0}, "each of its 0 channels, got 6"),
        ({"shape": SKY, "split": 2, "offsets": (1,)}, r"2 different numbers above 0.* got \[1\]"),
        ({"shape": SKY, "split": 2, "offsets": (1, 0)}, "2 different numbers above 0"),
        ({"shape": SKY, "split": 2, "offsets": (1, 1)}, "2 different numbers above 0"),
        ({"grid": 0}, "grid, embedding and hidden must be >= 1, got 0, 128 and 256"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), .* got 1.0, 1.0 and 0.04"),
        ({"variance": -1.0}, "variance and covariance >= 0, got 0.99, -1.0 and 0.04"),
        ({"backbone": "eye"}, "unknown backbone 'eye': choose one of"),
    ],
)
def test_what_cannot_foretell_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        models.create("predictive", **{"shape": CLIP, **options})


def test_windows_and_offsets_it_was_not_built_for_are_refused() -> None:
    with pytest.raises(ParameterError, match="built for windows of 1 x 8 x 20, got 1 x 8 x 21"):
        clips().encode(batch_of(2, (1, 8, 21)))
    for offset in (0, 15, 2.5):
        with pytest.raises(ParameterError, match=r"whole number of columns in 1 ... 14, got"):
            clips().foretell(batch_of(2, CLIP), offset)
    with pytest.raises(ParameterError, match="offset must be one of 30, 90, got 60"):
        skies().foretell(batch_of(2, SKY), 60)
    assert issubclass(Predictive, Network)
