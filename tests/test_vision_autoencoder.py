"""The transformer that rebuilds: what it hides, where it looks, and what it knows of turns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from raravis import models
from raravis.blocks import seeded
from raravis.errors import ParameterError
from raravis.inference import Inference
from raravis.journal import Journal
from raravis.models.vision_autoencoder import VisionAutoencoder, _looks
from raravis.networks import Network
from raravis.training import Training

SMALL = {"width": 16, "depth": 1, "decoder_depth": 1, "heads": 2, "latent": 4, "memory": 3}
KINDS = [{}, {"masked": 0.75}, {"rotation": True}, {"masked": 0.4, "rotation": True}]


def made(shape: tuple[int, ...] = (1, 8, 8), **options) -> VisionAutoencoder:
    with seeded(0):
        return models.create("vit-ae", shape=shape, **{**SMALL, **options})


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ripples(count: int, side: int = 12, seed: int = 0) -> np.ndarray:
    """Pictures of upright stripes that are moved to and fro."""
    random = np.random.default_rng(seed)
    phases = random.uniform(0, 2 * np.pi, size=(count, 1, 1, 1))
    stripes = np.sin(phases + np.arange(side) * 0.8) * np.ones((side, 1))
    return stripes.astype(np.float32)


# --- what comes out ------------------------------------------------------------------------------


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 7), (1, 16, 13), (8, 16, 1)])
def test_pictures_and_sounds_of_any_shape_are_rebuilt_and_judged(shape, options) -> None:
    network, batch = made(shape, **options).eval(), drawn(3, *shape)
    with torch.inference_mode():
        codes, heats = network.encode(batch), network.heats(batch)
        assert network.reconstruct(batch).shape == batch.shape
        assert codes.embedding.shape == (3, 4)
        assert set(codes.terms) == {"reconstruction", "attention"} | (
            {"rotation"} if "rotation" in options else set()
        )
        assert set(heats) == {"reconstruction", "attention"}
        assert all(heat.shape == (3, *shape[1:]) for heat in heats.values())
        embeddings = network.embeddings(batch)
    assert torch.equal(embeddings["embedding"], codes.embedding)
    assert embeddings["attention"].shape == (3, 2 * np.prod(network.patches.places))


def test_windows_without_channels_have_one() -> None:
    assert made((8, 8)).reconstruct(drawn(2, 1, 8, 8)).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("options", KINDS)
def test_a_window_is_judged_alike_in_any_company_and_at_any_time(options) -> None:
    network, batch = made(**options).eval(), drawn(5, 1, 8, 8)
    with torch.inference_mode():
        codes, again = network.encode(batch), network.encode(batch)
        alone = network.encode(batch[3:4])
    for name, term in codes.terms.items():
        assert torch.equal(term, again.terms[name])
        torch.testing.assert_close(term[3:4], alone.terms[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(codes.embedding[3:4], alone.embedding, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", KINDS)
def test_the_loss_reaches_every_weight(options) -> None:
    network = made(**options)
    network.loss(drawn(4, 1, 8, 8)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_everything_goes_through_the_code() -> None:
    network, batch = made().eval(), drawn(2, 1, 8, 8)
    with torch.no_grad():
        network.squeeze.weight.zero_()  # all codes are alike now, so all pictures must be
        rebuilt = network.reconstruct(batch)
    torch.testing.assert_close(rebuilt[0], rebuilt[1])


def test_every_weight_is_saved_once() -> None:
    saved = [values.data_ptr() for values in made(rotation=True).state_dict().values()]
    assert len(set(saved)) == len(saved)


def test_the_number_of_weights_is_the_documented_one() -> None:
    network = models.create("vit-ae", shape=(1, 28, 28))
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(1.4e6, rel=0.03)


# --- terms and heat by hand ----------------------------------------------------------------------


def test_terms_and_heats_by_hand() -> None:
    network, batch = made((2, 8, 8), patch=4).eval(), drawn(3, 2, 8, 8)
    with torch.inference_mode():
        codes, heats = network.encode(batch), network.heats(batch)
        squares = (network.reconstruct(batch) - batch).square()
        looks = network.encoder.reading(batch)[1].mean(dim=1)  # (B, 2, 2)
    expected = squares.mean(dim=(1, 2, 3))
    torch.testing.assert_close(codes.terms["reconstruction"], expected)
    torch.testing.assert_close(heats["reconstruction"], squares.mean(dim=1))
    quarters = squares.reshape(3, 2, 2, 4, 2, 4).mean(dim=(1, 3, 5))  # of each patch
    attended = (quarters * looks).sum(dim=(1, 2)) / looks.sum(dim=(1, 2))
    torch.testing.assert_close(codes.terms["attention"], attended)
    torch.testing.assert_close(heats["attention"][:, 0, 0], looks[:, 0, 0] / looks.mean(dim=(1, 2)))


def test_the_rotation_term_is_the_mean_over_the_turns() -> None:
    network, batch = made(rotation=True).eval(), drawn(3, 1, 8, 8)
    surprises = []
    with torch.inference_mode():
        for turn in range(4):
            tokens = network.encoder(torch.rot90(batch, turn, (2, 3)))
            surprises.append(-network.turn(tokens[:, 1]).log_softmax(dim=1)[:, turn])
        term = network.encode(batch).terms["rotation"]
    torch.testing.assert_close(term, torch.stack(surprises).mean(dim=0))
    assert made((1, 8, 6), rotation=True).turn.out_features == 2


# --- what is hidden ------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "hidden"), [(49, 37), (16, 4), (5, 1), (2, 1), (10, 9), (7, 4)])
def test_looks_hide_every_patch_at_least_once_and_show_it_at_least_once(count, hidden) -> None:
    looks = _looks(count, hidden).numpy()
    assert (np.sort(looks, axis=1) == np.arange(count)).all()
    times = np.bincount(looks[:, :hidden].ravel(), minlength=count)
    assert times.min() >= 1 and times.max() < len(looks)


def test_three_quarters_hidden_are_four_looks_and_nothing_hidden_is_one() -> None:
    assert _looks(16, 12).shape == (4, 16)
    assert _looks(16, 0).shape == (1, 16)
    assert "looks" not in made(masked=0.75).state_dict()


def test_what_is_hidden_is_not_seen() -> None:
    network, batch = made(masked=0.5).eval(), drawn(2, 1, 8, 8)
    hidden, seen = network._drawn(batch)
    assert hidden.shape == seen.shape == (2, 32)
    assert (torch.cat([hidden, seen], dim=1).sort(dim=1).values == torch.arange(64)).all()
    assert not torch.equal(hidden[0], hidden[1])
    other = batch.clone()
    for window in range(2):
        for patch in hidden[window]:  # of one pixel each
            other[window, 0, patch // 8, patch % 8] += 5
    assert torch.equal(network.encoder(batch, seen), network.encoder(other, seen))
    assert not torch.equal(network.encoder(batch, hidden), network.encoder(other, hidden))


def test_a_patch_is_rebuilt_from_looks_that_did_not_see_it() -> None:
    network, batch = made(masked=0.75).eval(), drawn(1, 1, 8, 8)
    other = batch.clone()
    other[0, 0, 3, 5] += 5
    with torch.inference_mode():
        before, after = network.reconstruct(batch), network.reconstruct(other)
    assert before[0, 0, 3, 5] == after[0, 0, 3, 5]
    assert (before != after).any()


def test_hidden_patches_alone_are_learned_from() -> None:
    network, batch = made(masked=0.75), drawn(2, 1, 8, 8)
    with seeded(3):
        hidden, seen = network._drawn(batch)
    with seeded(3):
        part = network.parts(batch)["reconstruction"]
    rebuilt = network.decoder(network.squeeze(network.encoder(batch, seen)[:, 0]))
    errors = (rebuilt - network.patches.cut(batch)).square().mean(dim=2)
    expected = torch.stack([errors[window, hidden[window]].mean() for window in range(2)])
    torch.testing.assert_close(part, expected)


# --- learning ------------------------------------------------------------------------------------


def test_a_tiny_set_is_learned_by_heart() -> None:
    windows = ripples(8)
    network = made((1, 12, 12), patch=4, width=32, latent=8)
    training = Training(epochs=120, batch=8, validation=0, patience=120, learning_rate=3e-3,
                        device="cpu", precision="float32")  # fmt: skip
    history = training.fit(network, windows)
    assert history.loss[-1] < 0.1 * windows.var()


def test_what_was_not_learned_is_rebuilt_badly_and_its_turn_not_known() -> None:
    network = made((1, 12, 12), patch=4, width=32, latent=8, rotation=True)
    tilted = ripples(128) + np.linspace(-1, 1, 12, dtype=np.float32)[:, None]  # has an upper side
    training = Training(epochs=15, batch=16, validation=0, patience=99, learning_rate=3e-3,
                        device="cpu", precision="float32")  # fmt: skip
    history = training.fit(network, tilted)
    assert set(history.parts) == {"reconstruction", "rotation"}
    judge = Inference(network, device="cpu", precision="float32")
    known = judge.encode(ripples(30, seed=1) + np.linspace(-1, 1, 12, dtype=np.float32)[:, None])
    strange = judge.encode(drawn(30, 1, 12, 12).numpy())
    for name in ("reconstruction", "attention", "rotation"):
        assert np.median(strange.terms[name]) > 1.5 * np.median(known.terms[name]), name


def test_learning_broken_off_goes_on_as_if_it_had_not_been(tmp_path) -> None:
    class Broken(Exception):  # noqa: N818  in place of a kill
        pass

    def stop(step: str, done: float, total: float) -> None:
        if done > 5:
            raise Broken

    def network() -> Network:
        return made((1, 12, 12), masked=0.5, rotation=True)

    training = Training(epochs=3, batch=8, device="cpu", precision="float32")
    whole, half, again = network(), network(), network()
    training.fit(whole, ripples(24))
    with pytest.raises(Broken):
        training.fit(half, ripples(24), journal=Journal(stop, folder=tmp_path, every_s=0))
    training.fit(again, ripples(24), journal=Journal(folder=tmp_path))
    for key, values in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"masked": 0.75, "rotation": True}])
def test_bfloat16_changes_little(options) -> None:
    network, windows = made((1, 12, 12), **options), ripples(6)
    exact = Inference(network, device="cpu", precision="float32")
    rough = Inference(network, device="cpu", precision="bfloat16")
    terms = exact.encode(windows).terms
    for name, values in rough.encode(windows).terms.items():
        np.testing.assert_allclose(values, terms[name], rtol=0.05)
    np.testing.assert_allclose(rough.reconstruct(windows), exact.reconstruct(windows), atol=0.05)


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (8,)}, r"vit-ae takes windows of shape \(H, W\) or \(C, H, W\), got 8"),
        ({"masked": 1.0}, r"masked must be in \[0, 1\), got 1.0"),
        ({"masked": -0.1}, r"masked must be in \[0, 1\), got -0.1"),
        ({"latent": 0}, r"latent must be >= 1, got 0"),
        ({"memory": 0}, r"memory must be >= 1, got 0"),
        ({"decoder_depth": 0}, r"decoder_depth must be >= 1, got 0"),
        ({"depth": 0}, r"depth must be >= 1, got 0"),
        ({"width": 6}, r"a multiple of 4, got 6"),
        ({"shape": (1, 1, 1), "masked": 0.5}, r"masked needs at least 2 patches, got 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, message) -> None:
    with pytest.raises(ParameterError, match=message):
        made(**options)


def test_windows_of_another_shape_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"built for pictures of shape \(1, 8, 8\), got"):
        made().encode(drawn(2, 1, 8, 9))
