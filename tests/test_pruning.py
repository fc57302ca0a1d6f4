"""What is left out of training: the rules by hand and by their properties, and the way of strange
windows through training and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from raravis.blocks import seeded
from raravis.errors import ParameterError
from raravis.models.series_autoencoders import DenseAutoencoder
from raravis.networks import Network
from raravis.pruning import RULES, Decision, Pruning, parse
from raravis.thresholds import Tail
from raravis.training import Training
from raravis.windows import BoolArray, FloatArray

every_rule = pytest.mark.parametrize("rule", RULES)


def everything(losses: FloatArray) -> BoolArray:
    return np.ones(len(losses), dtype=bool)


def decide(losses: list[float] | FloatArray, rule: str, **options: object) -> Decision:
    values = np.asarray(losses, dtype=np.float64)
    return Pruning(rule, **{"least": 0.1, **options}).decide(values, everything(values))


# ------------------------------------------------------------------------------ rules, by hand


def test_zscore_by_hand() -> None:
    # 15 of loss 0 and one of 16: mean 1, variance (15 + 225) / 16 = 15
    decision = decide([0.0] * 15 + [16.0], "zscore:3")
    assert decision.level == pytest.approx(1 + 3 * math.sqrt(15))
    assert decision.kept.tolist() == [True] * 15 + [False]
    assert decision.why == "loss above 12.62 = mean + 3 deviations"
    assert decide([0.0] * 15 + [16.0], "zscore:4").kept.all()  # 16.5


def test_quantile_by_hand() -> None:
    decision = decide(np.arange(11.0), "quantile:0.75")
    assert decision.level == 7.5 and decision.kept.sum() == 8
    assert decision.why == "loss above 7.5 = the quantile 0.75 of all"


def test_mad_by_hand() -> None:
    decision = decide([1.0, 2.0, 3.0, 4.0, 100.0], "mad:5")  # distances 2, 1, 0, 1, 97
    assert decision.level == pytest.approx(3 + 5 * 1.4826)
    assert decision.kept.tolist() == [True] * 4 + [False]
    assert decision.why == "loss above 10.41 = median + 5 robust deviations"


def test_the_tail_is_that_of_the_thresholds() -> None:
    losses = np.random.default_rng(0).gamma(4, size=2000)
    losses[:3] = 40
    decision = decide(losses, "tail:1e-3")
    assert decision.level == Tail(1e-3).fit(losses, 1.0).level_
    assert not decision.kept[:3].any()
    assert decision.why.endswith("= the loss exceeded with p = 0.001 by the tail")


def test_a_rule_without_a_number_takes_the_usual_one() -> None:
    losses = np.random.default_rng(0).gamma(2, size=500)
    for rule, number in (("zscore", "3"), ("quantile", "0.99"), ("mad", "5"), ("tail", "1e-3")):
        assert decide(losses, rule).level == decide(losses, f"{rule}:{number}").level


def test_none_is_no_pruning() -> None:
    assert parse("none", every=3) is None
    assert parse("mad:4", every=3) == Pruning("mad:4", every=3)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("median", "unknown rule 'median' for pruning: choose one of zscore, quantile, mad, tail"),
        ("", "unknown rule '' for pruning"),
        ("zscore:0", "zscore for pruning takes a number above 0, such as zscore:3, got 'zscore:0'"),
        ("zscore:-1", "number above 0"),
        ("zscore:inf", "number above 0"),
        ("mad:five", "mad for pruning takes a number above 0, such as mad:5, got 'mad:five'"),
        ("mad:", "such as mad:5, got 'mad:'"),
        ("quantile:1", "between 0 and 1, such as quantile:0.99, got 'quantile:1'"),
        ("quantile:99", "between 0 and 1"),
        ("tail:0", "between 0 and 1, such as tail:0.001, got 'tail:0'"),
        ("tail:nan", "between 0 and 1"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Training(prune=rule)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every.*must be >= 1, got 0 and 5"),
        ({"first": -1}, "before the first must be >= 1, got 5 and -1"),
        ({"least": 0.0}, r"in \(0, 1\], got 0.0"),
        ({"least": 1.5}, r"in \(0, 1\], got 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Pruning(**options)  # type: ignore[arg-type]


def test_looks_come_at_first_and_then_every_so_many_epochs() -> None:
    pruning = Pruning(first=2, every=3)
    assert [epochs for epochs in range(12) if pruning.due(epochs)] == [2, 5, 8, 11]


# ------------------------------------------------------------------------------ corners


@every_rule
@pytest.mark.parametrize("loss", [0.0, 0.1, 1e-30, 7e12])
@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_of_equal_losses_none_is_strange(rule: str, loss: float, count: int) -> None:
    assert decide([loss] * count, rule).kept.all()


@every_rule
def test_a_few_windows_are_no_trouble(rule: str) -> None:
    for count in range(1, 6):
        assert decide(np.arange(float(count)), rule).kept[0]


def test_where_half_of_the_losses_are_one_mad_knows_no_scale() -> None:
    decision = decide([1.0] * 6 + [1.1, 1.2, 1.3, 50.0], "mad:5")
    assert decision.kept.all() and decision.level == math.inf


def test_a_loss_that_is_no_number_is_the_strangest() -> None:
    losses = [*np.linspace(1, 2, 40), math.nan, math.inf]
    for rule in RULES:
        decision = decide(losses, rule, least=0.5)
        assert not decision.kept[-2:].any() and math.isfinite(decision.level)


def test_least_binds_and_says_so() -> None:
    decision = decide(np.arange(10.0), "quantile:0.2", least=0.75)
    assert decision.kept.tolist() == [True] * 8 + [False] * 2  # 7.5 windows are 8
    assert decision.level == 7
    assert decision.why == "loss above 7, the highest of the 0.75 kept at least"


def test_windows_of_one_loss_share_one_fate() -> None:
    decision = decide([0.0, 1.0, 1.0, 1.0, 1.0], "quantile:0.1", least=0.4)
    assert decision.kept.all()  # two are kept at least, and the second is like the others


def test_without_readmission_a_window_stays_out_even_where_least_binds() -> None:
    losses, kept = np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([False, True, True, True, True])
    again = Pruning("quantile:0.1", least=0.6, readmit=False).decide(losses, kept)
    assert again.kept.tolist() == [False, True, True, True, False]
    assert Pruning("quantile:0.1", least=0.6).decide(losses, kept).kept.tolist() == [
        *[True] * 3, *[False] * 2,
    ]  # fmt: skip


def test_with_readmission_an_ordinary_window_comes_back() -> None:
    losses = np.random.default_rng(0).normal(5, 1, size=1000)
    losses[0] = 5.0
    kept = everything(losses)
    kept[0] = False
    assert Pruning("zscore:3").decide(losses, kept).kept[0]
    assert not Pruning("zscore:3", readmit=False).decide(losses, kept).kept[0]


# ------------------------------------------------------------------------------ properties

some_losses = st.lists(
    st.one_of(st.floats(0, 100), st.sampled_from([0.0, 1.0, 2.0])), min_size=1, max_size=60
).map(np.array)
some_rule = st.sampled_from(["zscore:3", "zscore:0.5", "quantile:0.5", "mad:1", "tail:0.2"])
some_least = st.floats(0.01, 1)


@given(some_losses, some_rule, some_least, st.booleans(), st.integers(0, 99))
def test_what_holds_for_every_decision(
    losses: FloatArray, rule: str, least: float, readmit: bool, seed: int
) -> None:
    pruning = Pruning(rule, least=least, readmit=readmit)
    random = np.random.default_rng(seed)
    before = everything(losses)
    for _ in range(3):
        kept = pruning.decide(losses, before).kept
        assert kept.sum() >= math.ceil(least * len(losses))
        if not readmit:
            assert not (kept & ~before).any()
        candidates = losses if readmit else losses[before]
        among = kept if readmit else kept[before]
        if among.any() and not among.all():  # whoever is kept is less strange than who is not
            assert candidates[among].max() < candidates[~among].min()
        order = random.permutation(len(losses))
        shuffled = pruning.decide(losses[order], before[order])
        if rule.startswith(("quantile", "mad")):  # no sums, whose last bit follows the order
            np.testing.assert_array_equal(shuffled.kept, kept[order])
        before, losses = kept, losses + random.random(len(losses))


@pytest.mark.parametrize("rule", ["zscore:3", "mad:5", "tail:1e-3"])
def test_the_order_of_windows_changes_nothing(rule: str) -> None:
    random = np.random.default_rng(0)
    losses, order = random.gamma(2, size=999), random.permutation(999)
    np.testing.assert_array_equal(
        decide(losses[order], rule).kept, decide(losses, rule).kept[order]
    )


@pytest.mark.parametrize(
    ("rule", "numbers"),
    [("zscore", (1, 2, 3)), ("mad", (1, 3, 9)), ("quantile", (0.5, 0.9, 0.99)),
     ("tail", (0.3, 0.01, 1e-4))],
)  # fmt: skip
def test_a_milder_number_leaves_out_fewer(rule: str, numbers: tuple[float, ...]) -> None:
    losses = np.random.default_rng(0).gamma(2, size=2000)
    kept = [decide(losses, f"{rule}:{number}").kept for number in numbers]
    assert kept[0].sum() < kept[1].sum() < kept[2].sum()
    assert not (kept[0] & ~kept[1]).any() and not (kept[1] & ~kept[2]).any()


@every_rule
@pytest.mark.parametrize("shape", ["normal", "gamma", "log-normal"])
def test_looking_again_and_again_does_not_eat_up_the_ordinary(rule: str, shape: str) -> None:
    random = np.random.default_rng(0)
    losses = {
        "normal": random.normal(5, 1, 5000),
        "gamma": random.gamma(4, 1, 5000),
        "log-normal": np.exp(0.5 * random.normal(size=5000)),
    }[shape]
    kept, shares = everything(losses), []
    for _ in range(30):
        kept = Pruning(rule, least=0.5).decide(losses, kept).kept
        shares.append(1 - kept.mean())
    assert shares[-1] == shares[19]  # settled
    assert shares[-1] < 0.035


def test_of_a_tenth_that_is_strange_zscore_finds_nearly_all_by_looking_again() -> None:
    random = np.random.default_rng(0)
    losses = np.concatenate([random.normal(0, 1, 4500), random.normal(5, 1, 500)])
    kept, found = everything(losses), []
    for _ in range(10):
        kept = Pruning("zscore:3").decide(losses, kept).kept
        found.append(1 - kept[4500:].mean())
    assert found[0] < 0.3 and found[-1] > 0.95


# ------------------------------------------------------------------------------ in training


class Reading(Network):
    """Its loss is what stands in the window's first pixel, and it notes which windows it was shown
    (by the second pixel) and whether it learned."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.shown: list[tuple[bool, int]] = []

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        rows = batch[:, 0, 0, 1].to(torch.int64).tolist()
        self.shown += [(self.training, row) for row in rows]
        return {"loss": batch[:, 0, 0, 0] + 0 * self.weight}

    def learned(self) -> list[int]:
        return [row for learns, row in self.shown if learns]


def readings(losses: FloatArray) -> FloatArray:
    """Windows (N, 1, 1, 2): a loss and a number."""
    numbers = np.arange(len(losses))
    return np.stack([losses, numbers], axis=1).reshape(-1, 1, 1, 2).astype(np.float32)


ORDINARY = np.random.default_rng(1).normal(5, 0.1, 100)
LOOKS = Training(epochs=4, batch=16, prune="zscore:3", prune_first=2, prune_every=1, patience=9)


def test_an_epoch_covers_exactly_what_is_kept() -> None:
    losses = ORDINARY.copy()
    losses[[3, 50, 95]] = 9  # the last 15 are held back, 95 is one of them
    network = Reading()
    history = LOOKS.fit(network, readings(losses))
    learned, start = network.learned(), 0
    for number, count in enumerate(history.windows):
        strange = {3, 50} if number >= 2 else set()
        assert sorted(learned[start : start + count]) == sorted(set(range(85)) - strange)
        start += count
    assert start == len(learned)
    assert history.windows == [85, 85, 83, 83]
    assert history.kept_share == pytest.approx([1, 1, 83 / 85, 83 / 85])
    assert history.left_out["row"] == [3, 50, 95]
    assert history.left_out["epoch"] == [2, 2, 2]
    assert history.left_out["loss"] == pytest.approx([9, 9, 9])
    assert all(5 < level < 9 for level in history.left_out["level"])


def test_what_is_held_back_is_pruned_by_its_own_losses() -> None:
    losses = ORDINARY.copy()
    losses[85:] += 3  # strange beside what is learned from, ordinary among themselves
    losses[90] = 20
    history = LOOKS.fit(Reading(), readings(losses))
    assert history.left_out["row"] == [90]
    before, after = history.validation_loss[1], history.validation_loss[2]
    assert before == pytest.approx(losses[85:].mean(), rel=1e-5)
    assert after == pytest.approx(np.delete(losses[85:], 5).mean(), rel=1e-5)


def test_windows_are_shown_once_an_epoch_and_only_those_left_out_are_asked_again() -> None:
    losses = ORDINARY.copy()
    losses[[3, 50]] = 9
    network = Reading()
    LOOKS.fit(network, readings(losses))
    asked = [row for learns, row in network.shown if not learns and row < 85]
    assert sorted(asked) == [3, 50]  # at the second look alone: after epoch 3 of 4


class Counting:
    """Windows that count how often each is read."""

    def __init__(self, windows: FloatArray) -> None:
        self.windows, self.shape, self.ndim = windows, windows.shape, windows.ndim
        self.read = np.zeros(len(windows), dtype=int)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, rows: object) -> FloatArray:
        np.add.at(self.read, rows, 1)  # type: ignore[arg-type]
        picked: FloatArray = self.windows[rows]  # type: ignore[index]
        return picked


def test_pruning_reads_no_window_that_is_learned_from_a_second_time() -> None:
    losses = ORDINARY.copy()
    losses[[3, 50]] = 9
    windows = Counting(readings(losses))
    LOOKS.fit(Reading(), windows)
    expected = np.full(85, 4)
    expected[[3, 50]] = 2 + 1  # learned from twice, asked again once
    np.testing.assert_array_equal(windows.read[:85], expected)


class Familiar(Network):
    """Finds windows strange whose second pixel is 1, until it was taught for a while."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.register_buffer("steps", torch.tensor(float(steps)))

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        if self.training:
            self.steps -= 1
        strange = batch[:, 0, 0, 1] * (self.steps > 0)
        return {"loss": batch[:, 0, 0, 0] + 4 * strange + 0 * self.weight}


@pytest.mark.parametrize("readmit", [True, False])
def test_windows_that_turn_ordinary_come_back_where_they_may(readmit: bool) -> None:
    windows = readings(ORDINARY)
    windows[..., 1] = np.isin(np.arange(100), [3, 50, 90])[:, None, None]
    training = Training(
        epochs=8, batch=17, prune="zscore:3", prune_first=2, prune_every=2, readmit=readmit,
        patience=9,
    )  # fmt: skip
    history = training.fit(Familiar(steps=16), windows)  # five steps an epoch: until epoch 4
    per_look = [sum(look["left_out"] for look in history.looks[i : i + 2]) for i in (0, 2, 4)]
    back = [sum(look["readmitted"] for look in history.looks[i : i + 2]) for i in (0, 2, 4)]
    assert [look["epoch"] for look in history.looks] == [2, 2, 4, 4, 6, 6]
    assert per_look == [3, 0, 0]
    assert back == ([0, 3, 0] if readmit else [0, 0, 0])
    assert history.left_out["row"] == ([] if readmit else [3, 50, 90])
    assert history.since == (4 if readmit else 2)
    assert history.windows[-1] == (85 if readmit else 83)


class Drifting(Network):
    """Its loss on what is held back rises from epoch to epoch; its weight tells the epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.register_buffer("epochs", torch.zeros(()))

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        if self.training:
            self.epochs += 1
        return {"loss": batch[:, 0, 0, 0] + self.epochs / 10 + 0 * self.weight}


def test_the_best_weights_are_sought_anew_once_windows_were_left_out() -> None:
    losses = ORDINARY.copy()
    losses[3] = 9
    network = Drifting()
    training = Training(
        epochs=6, batch=100, prune="zscore:3", prune_first=3, prune_every=9, patience=9
    )
    history = training.fit(network, readings(losses))
    assert int(np.argmin(history.validation_loss)) == 0  # the loss only rises,
    assert history.since == history.best == 3  # but the first three epochs learned the strange
    assert network.epochs.item() == 4
    still = Drifting()
    history = training.fit(still, readings(ORDINARY))  # nothing is left out: nothing changes
    assert history.since == history.best == 0 and still.epochs.item() == 1


def test_patience_begins_anew_once_windows_were_left_out() -> None:
    losses = ORDINARY.copy()
    losses[3] = 9
    training = Training(
        epochs=9, batch=100, prune="zscore:3", prune_first=2, prune_every=9, patience=3
    )
    assert len(training.fit(Drifting(), readings(losses))) == 2 + 1 + 3
    assert len(training.fit(Drifting(), readings(ORDINARY))) == 1 + 3


def test_a_network_leaves_out_the_strange_that_were_planted() -> None:
    random = np.random.default_rng(0)
    phases = random.uniform(0, 2 * np.pi, size=(400, 1))
    windows = np.sin(phases + np.linspace(0, 2 * np.pi, 32)).astype(np.float32)
    planted = np.sort(random.choice(400, 8, replace=False))
    windows[planted] = random.normal(size=(8, 32))
    with seeded(0):
        network = DenseAutoencoder((1, 1, 32), hidden=(32,), latent=2)
    training = Training(
        epochs=25, batch=16, learning_rate=5e-3, prune="zscore:3", patience=25, device="cpu",
        precision="float32",
    )  # fmt: skip
    history = training.fit(network, windows.reshape(400, 1, 1, 32))
    loss = dict(zip(history.left_out["row"], history.left_out["loss"], strict=True))
    assert sorted(loss, key=lambda row: -loss[row])[:8] == sorted(planted, key=lambda r: -loss[r])
    assert len(loss) <= 8 + 0.06 * 400  # the ordinary that are left out are few
