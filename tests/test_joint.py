"""Joint embeddings: the loss against a twin that is written out, terms that do not depend on the
batch, two cameras with different networks, and learning that ends with the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crew import STOPS, Answers, Stopped, drawn, history_of, steps_of, stopped_after, together
from raravis import models
from raravis.blocks import folded, seeded
from raravis.errors import ParameterError
from raravis.inference import Inference
from raravis.journal import Journal
from raravis.networks import Network
from raravis.training import Training

SMALL = {"options": {"width": 4}, "projector": (12, 8), "memory": 32}
VIT = {"width": 16, "depth": 1, "heads": 2}
TERMS = {"invariance", "variance", "covariance", "vicreg"}


def made(name: str = "vicreg", shape: tuple[int, ...] = (3, 12, 10), **options) -> Network:
    with seeded(0):
        return models.create(name, shape=shape, **{**SMALL, **options})


def off_diagonal(matrix: Tensor) -> Tensor:
    rows = len(matrix)
    return matrix.flatten()[:-1].view(rows - 1, rows + 1)[:, 1:].flatten()


def reference(x: Tensor, y: Tensor, weights: tuple[float, float, float]) -> Tensor:
    """The loss as the paper's authors write it: their formula, with D x D matrices."""
    repr_loss = nn.functional.mse_loss(x, y)
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    std_x, std_y = (torch.sqrt(z.var(dim=0) + 0.0001) for z in (x, y))
    std_loss = torch.relu(1 - std_x).mean() / 2 + torch.relu(1 - std_y).mean() / 2
    cov_x, cov_y = (z.T @ z / (len(z) - 1) for z in (x, y))
    cov_loss = sum(off_diagonal(cov).pow(2).sum() / x.shape[1] for cov in (cov_x, cov_y))
    return weights[0] * repr_loss + weights[1] * std_loss + weights[2] * cov_loss


# --- the loss ------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [(25, 25, 1), (0, 0, 1), (1, 0, 0), (0, 3, 2)])
@pytest.mark.parametrize("rows", [4, 20])  # fewer than the width, and more
def test_the_loss_is_the_authors(weights: tuple[float, float, float], rows: int) -> None:
    named = dict(zip(("invariance", "variance", "covariance"), weights, strict=True))
    network = made(**named)
    batch = drawn(rows, 3, 12, 10).float()
    with seeded(1):
        first, second = network.views.drawn(batch)
    network.eval()  # so that both views may be asked apart
    projected = [network.branch.projected(network.branch.vectors(v)) for v in (first, second)]
    with seeded(1):
        parts = network.parts(batch)
    assert list(parts) == [name for name, weight in named.items() if weight]
    loss = torch.stack([part.mean() for part in parts.values()]).sum()
    torch.testing.assert_close(loss, reference(*projected, weights), rtol=1e-5, atol=1e-7)
    if weights[0]:
        assert parts["invariance"].shape == (rows,)


def test_terms_of_a_batch_are_told_apart_and_summed() -> None:
    network = made(views="none").eval()
    terms = network.batch_terms(drawn(6, 3, 12, 10).float())
    assert set(terms) == TERMS and all(term.ndim == 0 for term in terms.values())
    assert terms["invariance"] == 0  # both views are the picture
    whole = 25 * terms["variance"] + terms["covariance"]
    torch.testing.assert_close(terms["vicreg"], whole)


def test_a_collapsed_embedding_has_the_most_variance_loss() -> None:
    network = made(views="none").eval()
    same = drawn(1, 3, 12, 10).float().expand(8, -1, -1, -1)
    assert network.batch_terms(same)["variance"].item() == pytest.approx(0.99, abs=1e-3)
    assert network.batch_terms(same)["covariance"].item() == pytest.approx(0, abs=1e-6)


# --- the contract --------------------------------------------------------------------------------

KINDS = [
    ("vicreg", {"views": "none"}, (3, 12, 10)),
    ("vicreg", {"views": "crop"}, (1, 12, 10)),
    ("vicreg", {"views": "paper"}, (4, 12, 10)),
    ("vicreg", {"views": "halves"}, (1, 12, 17)),
    ("vicreg", {"views": "crops", "augmentation": {"share": 0.4}}, (12, 16)),
    ("vicreg", {"projector": (8,), "covariance": 0}, (3, 12, 10)),
    ("vicreg", {"backbone": "vit-mini", "options": VIT}, (3, 12, 10)),
    ("vicreg", {"views": "halves", "backbone": "spectrogram-cnn"}, (1, 12, 17)),
    ("vicreg-pair", {"split": 3}, (4, 12, 10)),
    ("vicreg-pair", {"views": "crop", "second_views": "paper"}, (6, 12, 10)),
    (
        "vicreg-pair",
        {"split": 3, "second": "vit-mini", "second_options": VIT},
        (4, 12, 10),
    ),
]
every_kind = pytest.mark.parametrize(("name", "options", "shape"), KINDS)


def learned_a_little(name: str, options: dict, shape: tuple[int, ...]) -> tuple[Network, Tensor]:
    network = made(name, shape, **options)
    batch = drawn(9, *(shape if len(shape) == 3 else (1, *shape))).float()
    for _ in range(3):
        network.train().loss(2 * batch + 1).backward()
    return network.eval(), batch


@every_kind
def test_every_weight_learns_and_every_window_is_encoded_for_itself(name, options, shape) -> None:
    network, batch = learned_a_little(name, options, shape)
    assert all(w.grad is not None and w.grad.isfinite().all() for w in network.parameters())
    with torch.inference_mode():
        together_, alone = network.encode(batch), network.encode(batch[4:5])
        assert set(together_.terms) == TERMS
        torch.testing.assert_close(together_.embedding[4:5], alone.embedding, rtol=1e-4, atol=1e-4)
        for term, values in together_.terms.items():
            assert values.shape == (9,) and values.isfinite().all()
            torch.testing.assert_close(values[4:5], alone.terms[term], rtol=1e-3, atol=1e-4)
        assert network.encode(batch[:0]).embedding.shape[0] == 0
        again = network.encode(batch)  # no chance is in it
        assert torch.equal(again.terms["vicreg"], together_.terms["vicreg"])


@every_kind
def test_every_embedding_has_a_name_and_folding_changes_none(name, options, shape) -> None:
    network, batch = learned_a_little(name, options, shape)
    quick = folded(network)
    assert not [layer for layer in quick.modules() if isinstance(layer, nn.BatchNorm2d)]
    with torch.inference_mode():
        found, codes = network.embeddings(batch), network.encode(batch)
        if name == "vicreg":
            assert set(found) == {"backbone", "projector"}
            torch.testing.assert_close(found["backbone"], codes.embedding)
        else:
            assert list(found) == ["backbone_1", "projector_1", "backbone_2", "projector_2"]
            both = torch.cat([found["backbone_1"], found["backbone_2"]], dim=1)
            torch.testing.assert_close(both, codes.embedding)
        for key, values in quick.embeddings(batch).items():
            assert len(values) == 9 and values.ndim == 2
            torch.testing.assert_close(values, found[key], rtol=1e-3, atol=1e-4)


def test_shares_of_what_was_learned_are_those_of_a_batch_where_it_is_all_that_is_remembered() -> (
    None
):
    network = made(views="none", memory=16)
    batch = drawn(8, 3, 12, 10).float()
    projected = network.eval().embeddings(batch)["projector"]
    network.remembered.remember(torch.cat([projected, projected]))  # both views are the picture
    terms = network.encode(batch).terms
    whole = network.batch_terms(batch)
    assert terms["invariance"].abs().max() == 0
    twice = torch.cat([projected, projected])
    spread = (1 - (twice.var(dim=0) + 1e-4).sqrt()).clamp_min(0).mean()
    torch.testing.assert_close(terms["variance"].mean(), spread)
    # the same rows twice: 7 degrees of freedom of 8 became 15 of 16, in both factors of C
    torch.testing.assert_close(terms["covariance"].mean(), whole["covariance"] * (14 / 15) ** 2)


def test_a_transformer_says_where_it_looks_and_a_residual_network_does_not() -> None:
    network, batch = learned_a_little("vicreg-pair", KINDS[-1][1], (4, 12, 10))
    heats = network.heats(batch)
    assert list(heats) == ["attention_2"] and heats["attention_2"].shape == (9, 12, 10)
    assert heats["attention_2"].min() >= 0
    network, batch = learned_a_little("vicreg", KINDS[6][1], (3, 12, 10))
    assert network.heats(batch)["attention"].shape == (9, 12, 10)
    for options, shape in (({}, (3, 12, 10)), ({"views": "halves", **KINDS[6][1]}, (1, 12, 16))):
        assert made(shape=shape, **options).eval().heats(torch.zeros(2, *shape)) == {}


def test_only_learning_is_remembered() -> None:
    network, batch = made(), drawn(6, 3, 12, 10).float()
    network.train().parts(batch)
    assert network.remembered.count == 12  # two views
    network.eval().parts(batch)
    network.encode(batch)
    assert network.remembered.count == 12
    twin = made()
    twin.load_state_dict(network.state_dict())
    assert torch.equal(twin.remembered.rows, network.remembered.rows)


def test_each_camera_sees_its_own_channels() -> None:
    network, batch = learned_a_little("vicreg-pair", {"split": 3}, (4, 12, 10))
    changed = batch.clone()
    changed[:, 3] += 1
    before, after = network.embeddings(batch), network.embeddings(changed)
    assert torch.equal(before["backbone_1"], after["backbone_1"])
    assert not torch.equal(before["backbone_2"], after["backbone_2"])
    assert network.first.backbone.width == network.second.backbone.width == 16


def test_inference_in_bfloat16_gives_nearly_the_same() -> None:
    network, batch = learned_a_little("vicreg", {}, (3, 12, 10))
    rows = [
        Inference(network, 4, "cpu", precision).encode(batch.numpy())
        for precision in ("float32", "bfloat16")
    ]
    assert np.corrcoef(rows[0].terms["vicreg"], rows[1].terms["vicreg"])[0, 1] > 0.98


# --- learning ------------------------------------------------------------------------------------


def pairs(count: int = 60) -> np.ndarray:
    """What two cameras saw: a bright disc, of the same place and size in both; the second camera
    sees it dark, and both see noise."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:12, :12]
    made = random.normal(scale=0.3, size=(count, 2, 12, 12))
    for number in range(count):
        place, size = random.uniform(2, 10, size=2), random.uniform(1.5, 4)
        disc = np.hypot(y - place[0], x - place[1]) < size
        made[number, 0] += 2.0 * disc
        made[number, 1] -= 2.0 * disc
    return made.astype(np.float32)


@pytest.mark.slow
def test_a_pair_learns_which_pictures_belong_together() -> None:
    windows = pairs(300)
    network = made("vicreg-pair", (2, 12, 12), options={"width": 8}, projector=(64, 32))
    training = Training(epochs=12, batch=40, learning_rate=3e-3, validation=0, device="cpu",
                        precision="float32", patience=99)  # fmt: skip

    def found_again() -> float:
        with torch.inference_mode():
            codes = network.eval().embeddings(torch.from_numpy(windows[260:]))
        first, second = (
            nn.functional.normalize(codes[f"projector_{camera}"], dim=1) for camera in (1, 2)
        )
        return float(((first @ second.T).argmax(dim=1) == torch.arange(40)).float().mean())

    before = found_again()
    training.fit(network, windows[:260])
    assert before < 0.15 and found_again() > 0.25  # chance is 0.025


TAUGHT = Training(epochs=5, batch=9, validation=0.05, patience=9, prune="zscore:1.5",
                  prune_first=2, prune_every=1, device="cpu", precision="float32")  # fmt: skip


def taught(journal: Journal, name: str = "vicreg") -> Answers:
    network = made(name, (2, 12, 12), memory=16)
    return history_of(TAUGHT, network, journal, pairs(46))


@pytest.mark.parametrize("name", ["vicreg", "vicreg-pair"])
def test_learning_that_was_broken_off_ends_with_the_same_weights_and_memory(
    name: str, tmp_path: Path
) -> None:
    whole = taught(Journal(), name)
    assert whole["left_out"]["row"] and set(whole["parts"]) == TERMS - {"vicreg"}
    with pytest.raises(Stopped):
        taught(Journal(stopped_after(STOPS[1]), folder=tmp_path, every_s=0), name)
    gone_on = taught(Journal(folder=tmp_path), name)
    assert gone_on["left_out"]["row"] == whole["left_out"]["row"]
    assert [k for k in whole["weights"] if "remembered" in k and k.endswith("rows")]
    for key, values in whole["weights"].items():
        assert torch.equal(gone_on["weights"][key], values), key


@pytest.mark.slow  # test_distributed does the same for two and three, with the defaults
def test_processes_that_share_a_batch_take_the_step_of_one(tmp_path: Path) -> None:
    kinds = [(name, {**SMALL, **options}, shape) for name, options, shape in KINDS[6:]]
    kinds += [("vicreg", {**SMALL, "views": "crops"}, (1, 12, 16)), ("vicreg", SMALL, (3, 12, 10))]
    alone = steps_of(tmp_path, kinds)
    crew = together(steps_of, 3, tmp_path, kinds)
    assert len(alone) == 7 and all(crew)
    for answers in crew:
        for kind, step in alone.items():
            assert any(name.startswith("statistic remembered") for name in step)
            for name, values in step.items():
                assert torch.equal(answers[kind][name], crew[0][kind][name])
                # A bias before a normalisation has no gradient but rounding, of which AdamW makes
                # a whole step: so the weights after it are the same in all processes, no more.
                if name.startswith("weight"):
                    continue
                away = (answers[kind][name] - values).abs().max()
                assert away < 1e-6, f"{kind}, {name}"


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "options", "message"),
    [
        ("vicreg", (4,), {}, r"takes windows of \(C, H, W\) or \(H, W\), got 4"),
        ("vicreg", (3, 9, 9), {"covariance": -1}, "at least above 0, got 25.0, 25"),
        ("vicreg", (3, 9, 9), dict.fromkeys(TERMS - {"vicreg"}, 0), "one at least above 0"),
        ("vicreg", (3, 9, 9), {"projector": ()}, r"projector must be widths >= 1, got \[\]"),
        ("vicreg", (3, 9, 9), {"views": "thirds"}, "unknown views 'thirds'"),
        ("vicreg", (3, 9, 9), {"backbone": "resnet9"}, "unknown backbone 'resnet9'"),
        ("vicreg-pair", (3, 9, 9), {}, r"split must be in \[1, C\), got None of 3 channels"),
        ("vicreg-pair", (3, 9, 9), {"split": 3}, r"split must be in \[1, C\), got 3 of 3"),
        ("vicreg-pair", (2, 9, 9), {"views": "halves"}, "'halves' are of spectrograms: choose one"),
    ],
)  # fmt: skip
def test_joint_embeddings_refuse_and_say_why(name, shape, options, message) -> None:
    with pytest.raises(ParameterError, match=message):
        made(name, shape, **options)


@pytest.mark.parametrize("name", ["vicreg", "vicreg-pair"])
def test_windows_of_another_shape_are_refused(name: str) -> None:
    network = made(name, (2, 12, 10))
    for verb in (network.parts, network.encode, network.batch_terms):
        with pytest.raises(ParameterError, match="windows of 2 x 12 x 10, got 2 x 12 x 11: build"):
            verb(torch.zeros(4, 2, 12, 11))
