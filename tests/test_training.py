"""Training is repeatable, can be cut off anywhere, and keeps the best it met."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from raravis.benchmarks import training as benchmark
from raravis.blocks import seeded
from raravis.errors import DataError, ParameterError, RunError
from raravis.inference import Inference
from raravis.journal import Journal
from raravis.models.autoencoder import ConvAutoencoder
from raravis.networks import Hardware, Network, multiplies_bfloat16
from raravis.progress import Progress
from raravis.training import Training
from raravis.windows import FloatArray

SHAPE = (1, 16, 13)
CPU = torch.device("cpu")
TRAINING = Training(epochs=4, batch=8)  # of 40 windows: 34 to learn from, 5 steps an epoch


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

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        self.seen += batch[:, 0, 0, 0].tolist()
        return {"apart": (self.weight - batch.mean()) ** 2}


def ramp(count: int) -> FloatArray:
    return np.arange(count, dtype=np.float32).reshape(count, 1, 1, 1)


def test_eight_windows_are_learned_by_heart() -> None:
    slopes = np.linspace(-1, 1, 8).reshape(8, 1, 1, 1)
    ripples = np.sin(np.arange(16)[:, None] * slopes + np.arange(13)).astype(np.float32)
    with seeded(0):
        network = ConvAutoencoder(SHAPE, latent=8, width=16)
    history = Training(epochs=150, batch=8, validation=0, learning_rate=5e-3).fit(network, ripples)
    assert history.loss[0] > 0.4 and min(history.loss) < 0.04


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


def test_max_steps_ends_training_in_the_middle_of_an_epoch() -> None:
    network = Slope()
    Training(epochs=9, batch=2, validation=0, max_steps=7).fit(network, ramp(10))
    assert len(network.seen) == 2 * 7


def test_early_stopping_keeps_the_weights_of_the_best_epoch() -> None:
    # What is learned (mean 10) leads away from what is held back (0.5): the weight climbs by
    # about learning_rate a step, passes 0.5 in some epoch and gets worse from there on.
    windows = np.full((40, 1, 1, 1), 10, dtype=np.float32)
    windows[20:] = 0.5
    network = Slope()
    training = Training(epochs=50, batch=4, validation=0.5, patience=3, learning_rate=0.02)
    history = training.fit(network, windows)
    assert len(history) == history.best + 1 + 3
    assert 0 < history.best < 10
    held_back = (network.weight.item() - 0.5) ** 2
    assert held_back == pytest.approx(history.validation_loss[history.best], abs=1e-6)
    assert held_back == pytest.approx(min(history.validation_loss), abs=1e-6)


def test_the_learning_rate_falls_along_half_a_cosine() -> None:
    training = Training(epochs=4, batch=5, validation=0, learning_rate=0.1)
    rates = training.fit(Slope(), ramp(5)).learning_rate
    np.testing.assert_allclose(rates, [0.1, 0.0853553, 0.05, 0.0146447], rtol=1e-5)


def test_windows_may_lie_on_disk_in_half_precision(tmp_path: Path) -> None:
    np.save(tmp_path / "windows.npy", windows_of(20).astype(np.float16))
    first, second = network_of(), network_of()
    Training(epochs=1, batch=8).fit(first, np.load(tmp_path / "windows.npy", mmap_mode="r"))
    Training(epochs=1, batch=8).fit(second, windows_of(20).astype(np.float16).astype(np.float32))
    assert_same(weights(first), weights(second))


def test_progress_counts_every_step() -> None:
    seen: list[tuple[str, float, float]] = []
    Training(epochs=2, batch=5, validation=0, patience=9).fit(
        Slope(), ramp(10), journal=Journal(lambda *step: seen.append(step))
    )
    assert seen == [("training", float(n), 4) for n in (1, 2, 3, 4)]


def test_what_is_asked_after_an_epoch_changes_nothing_in_training() -> None:
    watched, alone = network_of(), network_of()
    seen: list[int] = []

    def after_epoch(epoch: int) -> None:
        assert not watched.training  # as it is asked later
        torch.rand(3)
        seen.append(epoch)

    history = TRAINING.fit(watched, windows_of(40), after_epoch=after_epoch)
    TRAINING.fit(alone, windows_of(40))
    assert seen == list(range(len(history)))
    assert_same(weights(watched), weights(alone))


# --- cut off and taken up again ------------------------------------------------------------------


class Killed(Exception):  # noqa: N818  what the tests raise in place of a power cut
    pass


def killed_after(steps: int) -> Progress:
    def progress(step: str, done: float, total: float) -> None:
        if done > steps:
            raise Killed

    return progress


@pytest.mark.parametrize("steps", [1, 9, 13])  # of 20: in the first, second and third epoch
def test_training_that_was_cut_off_ends_as_if_it_had_not_been(steps: int, tmp_path: Path) -> None:
    training, whole, broken, again = TRAINING, network_of(), network_of(), network_of()
    history = training.fit(whole, windows_of(40))
    with pytest.raises(Killed):
        training.fit(
            broken, windows_of(40), journal=Journal(killed_after(steps), tmp_path, every_s=0)
        )
    assert newest(tmp_path).stem == f"{steps:08d}"
    resumed = training.fit(again, windows_of(40), journal=Journal(folder=tmp_path))
    assert_same(weights(whole), weights(again))
    assert resumed.loss == history.loss
    assert resumed.validation_loss == history.validation_loss


def test_a_finished_training_asked_again_gives_its_weights_at_once(tmp_path: Path) -> None:
    first, second = network_of(), network_of(seed=5)
    TRAINING.fit(first, windows_of(40), journal=Journal(folder=tmp_path))
    TRAINING.fit(second, windows_of(40), journal=Journal(killed_after(0), tmp_path))
    assert_same(weights(first), weights(second))


def test_what_a_kill_left_half_written_does_no_harm(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        TRAINING.fit(
            network_of(), windows_of(40), journal=Journal(killed_after(9), tmp_path, every_s=0)
        )
    (tmp_path / "checkpoints/00000010.pt.tmp").write_bytes(newest(tmp_path).read_bytes()[:1000])
    whole, again = network_of(), network_of()
    TRAINING.fit(whole, windows_of(40))
    TRAINING.fit(again, windows_of(40), journal=Journal(folder=tmp_path))
    assert_same(weights(whole), weights(again))


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    TRAINING.fit(network_of(), windows_of(40), journal=Journal(folder=tmp_path))
    other = dataclasses.replace(TRAINING, batch=16)
    with pytest.raises(RunError, match=r"a training with batch 8 \(here 16\): use the same"):
        other.fit(network_of(), windows_of(40), journal=Journal(folder=tmp_path))
    with pytest.raises(RunError, match=r"windows 40 x 1 x 16 x 13 \(here 41 x 1 x 16 x 13\)"):
        TRAINING.fit(network_of(), windows_of(41), journal=Journal(folder=tmp_path))
    with pytest.raises(RunError, match=r"belongs to another network: build the same one"):
        TRAINING.fit(
            ConvAutoencoder(SHAPE, width=4), windows_of(40), journal=Journal(folder=tmp_path)
        )


def newest(folder: Path) -> Path:
    return max(folder.glob("checkpoints/0*.pt"))


@pytest.mark.parametrize("content", [b"", b"garbage", "truncated"])
def test_a_broken_checkpoint_is_refused(content: bytes | str, tmp_path: Path) -> None:
    TRAINING.fit(network_of(), windows_of(40), journal=Journal(folder=tmp_path))
    whole = newest(tmp_path).read_bytes()
    newest(tmp_path).write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    with pytest.raises(RunError, match=r"no checkpoint in .* can be read, of 1: delete the folder"):
        TRAINING.fit(network_of(), windows_of(40), journal=Journal(folder=tmp_path))


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be >= 1, got 0"),
        ({"batch": 0}, "batch must be >= 1, got 0"),
        ({"patience": 0}, "patience must be >= 1, got 0"),
        ({"max_steps": 0}, "max_steps must be >= 1, got 0"),
        ({"learning_rate": 0}, "learning_rate must be > 0 and weight_decay >= 0, got 0 and 0.0"),
        ({"weight_decay": -1}, "got 0.001 and -1"),
        ({"validation": 1}, r"validation must be in \[0, 1\), got 1"),
        ({"batch_norm": "half"}, "batch_norm must be auto, whole or own, got 'half'"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Training(**options)  # type: ignore[arg-type]


def test_hardware_that_is_not_there_is_refused() -> None:
    with pytest.raises(ParameterError, match="precision must be auto, float32 or bfloat16, got 'h"):
        Hardware.choose(precision="half")
    with pytest.raises(ParameterError, match="device 'abacus' cannot be used here: choose auto"):
        Hardware.choose(device="abacus")


def test_too_few_windows_are_refused() -> None:
    with pytest.raises(DataError, match=r"at least 2 windows besides .*, got 1 in all: give more"):
        Training().fit(Slope(), ramp(1))


def test_windows_of_another_form_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"must be \(N, channels, .*, got 40 x 16 x 13"):
        Training().fit(network_of(), windows_of(40)[:, 0])
    with pytest.raises(ParameterError, match=r"built for windows of 1 x 16 x 13, got 1 x 16 x 12"):
        Training().fit(network_of(), windows_of(40)[..., :12])
    with pytest.raises(ParameterError, match=r"batch must be >= 1, got 0"):
        Inference(network_of(), batch=0)


@pytest.mark.parametrize("row", [3, 39])  # learned from, and held back
def test_a_window_that_is_not_finite_is_named(row: int) -> None:
    windows = windows_of(40)
    windows[row, 0, 5, 5] = np.nan
    with pytest.raises(DataError, match=f"window {row} of 40 holds values that are not finite"):
        TRAINING.fit(network_of(), windows)


def test_a_loss_beyond_all_bounds_says_what_to_do() -> None:
    windows = np.full((10, 1, 1, 1), 1e30, dtype=np.float32)
    with pytest.raises(ParameterError, match=r"loss grew to inf .* lower learning_rate, now 0.001"):
        Training(validation=0).fit(Slope(), windows)


# --- inference -----------------------------------------------------------------------------------


def learned() -> tuple[ConvAutoencoder, FloatArray]:
    network = network_of()
    TRAINING.fit(network, windows_of(40))
    return network, windows_of(21, seed=1)


def test_inference_gives_what_the_network_gives() -> None:
    network, windows = learned()
    inference = Inference(network, batch=8, precision="float32")
    with torch.no_grad():
        codes = network.encode(torch.from_numpy(windows))
        rebuilt = network.reconstruct(torch.from_numpy(windows)).numpy()
    encoded = inference.encode(windows)
    np.testing.assert_allclose(encoded.embedding, codes.embedding, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        encoded.terms["reconstruction"], codes.terms["reconstruction"], rtol=1e-5
    )
    np.testing.assert_allclose(inference.reconstruct(windows), rebuilt, rtol=1e-4, atol=1e-5)


def test_inference_leaves_the_network_as_it_was() -> None:
    network, windows = learned()
    before = weights(network)
    Inference(network, precision="bfloat16").encode(windows)
    assert_same(before, weights(network))


def test_inference_does_not_depend_on_how_windows_are_grouped() -> None:
    network, windows = learned()
    for precision in ("float32", "auto"):
        whole = Inference(network, precision=precision).encode(windows).embedding
        parts = Inference(network, batch=4, precision=precision).encode(windows).embedding
        np.testing.assert_allclose(whole, parts, rtol=1e-5, atol=1e-5)


def test_no_windows_give_no_rows() -> None:
    network, windows = learned()
    assert Inference(network).encode(windows[:0]).embedding.shape == (0, 8)
    assert Inference(network).reconstruct(windows[:0]).shape == (0, *SHAPE)


def test_inference_gives_embeddings_heats_and_terms_of_batches_as_the_network_does() -> None:
    network, windows = learned()
    inference = Inference(network, batch=8, precision="float32")
    encoded = inference.encode(windows)
    assert np.array_equal(inference.embeddings(windows)["embedding"], encoded.embedding)
    heat = inference.heats(windows)["reconstruction"]
    squares = np.square(inference.reconstruct(windows) - windows).mean(axis=1)
    np.testing.assert_allclose(heat, squares, rtol=1e-5, atol=1e-7)
    assert inference.batch_terms(windows[:0]) == []
    batches = inference.batch_terms(windows)
    assert len(batches) == 3
    own = encoded.terms["reconstruction"]
    means = [own[:8].mean(), own[8:16].mean(), own[16:].mean()]
    assert [terms["reconstruction"] for terms in batches] == pytest.approx(means)


@pytest.mark.skipif(not multiplies_bfloat16(CPU), reason="this CPU does not multiply bfloat16")
def test_bfloat16_moves_scores_by_less_than_a_hundredth() -> None:
    network, windows = learned()
    exact = Inference(network, precision="float32").encode(windows)
    fast = Inference(network).encode(windows)
    error = np.abs(fast.terms["reconstruction"] / exact.terms["reconstruction"] - 1)
    assert 0 < error.max() < 1e-2 and error.mean() < 2e-3
    away = np.linalg.norm(fast.embedding - exact.embedding, axis=1)
    assert (away < 0.02 * np.linalg.norm(exact.embedding, axis=1)).all()


@pytest.mark.skipif(not multiplies_bfloat16(CPU), reason="this CPU does not multiply bfloat16")
def test_training_in_bfloat16_ends_near_training_in_float32() -> None:
    losses = [
        dataclasses.replace(TRAINING, precision=precision).fit(network_of(), windows_of(40)).loss
        for precision in ("float32", "bfloat16")
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)


def test_the_benchmark_compares_the_same_network_with_itself() -> None:
    rows = {row["what"]: row for row in benchmark.run(shape=SHAPE, rounds=1)}
    assert rows["training, bare float32 loop"]["ratio"] == 1
    assert rows["inference, eager float32"]["ratio"] == 1
    assert sum("windows_per_cpu_s" in row for row in rows.values()) == 6
    assert rows["inference, ours: relative error of a score, mean"]["error"] < 2e-3
