"""Networks see rows of series: what every one of them must hold, and how they are made."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raravis import models
from raravis.errors import DataError, ParameterError, RunError
from raravis.models import RowModel, row_scores
from raravis.networks import Network
from raravis.row_networks import (
    RowNetwork,
    RowWindows,
    complete_member,
    complete_training,
    make_member,
    row_models,
)
from raravis.windows import FloatArray

NETWORKS = [
    name
    for name in models.names()
    if isinstance(models.get(name), type)
    and issubclass(models.get(name), Network)
    and models.get(name).reconstruct is not Network.reconstruct  # else it does not see rows
]
SMALL = {
    "dense-ae": {"hidden": (32,)},
    "vae": {"hidden": (32,)},
    "conv1d-ae": {"width": 8},
    "lstm-ae": {"width": 16},
    "conv-ae": {"width": 4},
}
TRAINING = {"max_steps": 60, "batch": 64, "learning_rate": 5e-3}
CHANNELS = 3


def rows_of(count: int, seed: int = 0) -> FloatArray:
    """Three channels that follow one slow wave, with a little noise."""
    random = np.random.default_rng(seed)
    wave = np.sin(np.arange(count) / 5 + random.uniform(0, 6))
    rows: FloatArray = np.outer(wave, [1.0, -1.0, 0.5]) + random.normal(0, 0.1, (count, CHANNELS))
    return rows


def network_of(name: str, seed: int = 0, **options: object) -> RowNetwork:
    table = {"name": name, "window": 8, **SMALL.get(name, {}), **options}
    model = make_member(table, CHANNELS, TRAINING, seed)
    assert isinstance(model, RowNetwork)
    return model


@pytest.fixture(params=NETWORKS, scope="module")  # the contract, held by whatever is registered
def taught(request: pytest.FixtureRequest) -> RowNetwork:
    return network_of(request.param).fit([rows_of(300), rows_of(200, seed=1)])


def test_each_row_with_enough_before_it_gets_a_contribution_per_channel(
    taught: RowNetwork,
) -> None:
    seen = taught.contributions(rows_of(50))
    assert taught.context == 7 and seen.shape == (43, CHANNELS)
    assert np.isfinite(seen).all() and (seen >= 0).all()
    assert taught.contributions(rows_of(7)).shape == (0, CHANNELS)


def test_ordinary_rows_score_about_one(taught: RowNetwork) -> None:
    assert 0.3 < np.median(row_scores(taught.contributions(rows_of(400, seed=2)))) < 1.5


@pytest.mark.parametrize("channel", range(CHANNELS))
def test_a_fault_is_seen_in_the_channel_that_has_it(taught: RowNetwork, channel: int) -> None:
    rows = rows_of(100, seed=3)
    before = row_scores(taught.contributions(rows[:60]))
    rows[60:70, channel] += 4 * np.resize([1, -1], 10)
    after = taught.contributions(rows)[60 - taught.context :][5:10]
    assert row_scores(after).min() > before.max()
    assert (after.argmax(axis=1) == channel).all()


def test_what_comes_later_changes_nothing(taught: RowNetwork) -> None:
    rows = rows_of(60, seed=4)
    whole = taught.contributions(rows)
    changed = rows.copy()
    changed[40:] = 9
    np.testing.assert_array_equal(
        taught.contributions(changed)[: 40 - taught.context], whole[: 40 - taught.context]
    )
    for step in (1, 7):  # rows that come one by one, or some at a time
        parts = [
            taught.contributions(rows[at - taught.context : at + step])
            for at in range(taught.context, len(rows), step)
        ]
        np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-6, atol=1e-6)


def test_what_was_learned_comes_back_from_its_state(taught: RowNetwork) -> None:
    fresh = network_of(taught.network_.network.registered_name, seed=5)
    rows = rows_of(40, seed=6)
    fresh.restore({name: array.copy() for name, array in taught.state().items()})
    np.testing.assert_array_equal(fresh.contributions(rows), taught.contributions(rows))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_seed_gives_the_same_numbers_and_another_others(name: str) -> None:
    rows = rows_of(120)
    first, second, other = (
        network_of(name, seed).fit([rows]).contributions(rows) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, other)


def test_contributions_are_those_of_a_slow_twin(taught: RowNetwork) -> None:
    rows = rows_of(30, seed=7)
    expected = np.empty((23, CHANNELS))
    for row in range(7, 30):  # one window after the other, channel by channel
        window = torch.tensor(rows[row - 7 : row + 1].T[None, :, :, None], dtype=torch.float32)
        rebuilt = taught.network_.network.reconstruct(window).detach().double().numpy()
        for channel in range(CHANNELS):
            apart = rows[row - 7 : row + 1, channel] - rebuilt[0, channel, :, 0]
            residual = (sum(apart**2) / 8) ** 0.5
            expected[row - 7, channel] = residual / (taught.scale_.ordinary_[channel] + 0.02)
    np.testing.assert_allclose(taught.contributions(rows), expected, rtol=1e-4, atol=1e-5)


def test_the_losses_are_kept_and_fall(taught: RowNetwork) -> None:
    assert len(taught.history) > 3 and taught.history.loss[-1] < taught.history.loss[0]


def test_a_model_can_be_asked_after_every_epoch_and_learns_the_same() -> None:
    rows = rows_of(200)
    watched, alone = network_of("vae"), network_of("vae")
    scores: list[float] = []
    watched.after_epoch = lambda epoch: scores.append(
        float(row_scores(watched.contributions(rows)).mean())
    )
    watched.fit([rows])
    np.testing.assert_array_equal(
        watched.contributions(rows), alone.fit([rows]).contributions(rows)
    )
    assert len(scores) == len(watched.history) and len(set(scores)) == len(scores)


def test_the_shape_alone_counts_where_windows_are_normalised() -> None:
    model = network_of("dense-ae", instance_norm=True).fit([rows_of(300)])
    rows = 4 * rows_of(40, seed=2)  # no window so still that it is divided by the least deviation
    np.testing.assert_allclose(
        model.contributions(3 * rows + 5), model.contributions(rows), rtol=1e-3, atol=1e-3
    )


# --- windows cut when needed ---------------------------------------------------------------------


def test_no_window_reaches_over_a_break() -> None:
    windows = RowWindows([np.arange(4.0)[:, None], np.arange(10.0, 15)[:, None]], 3, most=99)
    assert windows.shape == (5, 1, 3, 1) and len(windows) == 5
    assert windows[:][:, 0, :, 0].tolist() == [
        [0, 1, 2], [1, 2, 3], [10, 11, 12], [11, 12, 13], [12, 13, 14],
    ]  # fmt: skip
    assert windows[np.array([4, 0])][:, 0, 0, 0].tolist() == [12, 0]


def test_of_very_many_windows_some_are_drawn_in_order_of_time() -> None:
    rows = np.arange(1000.0)[:, None]
    first, second, other = (RowWindows([rows], 4, 50, seed=seed)[:] for seed in (0, 0, 1))
    assert len(first) == 50 and (np.diff(first[:, 0, 0, 0]) > 0).all()
    assert np.array_equal(first, second) and not np.array_equal(first, other)


def test_normalised_windows_have_mean_0_and_deviation_1_unless_still() -> None:
    rows = np.column_stack([np.arange(20.0), np.full(20, 7.0)])
    windows = RowWindows([rows], 5, 99, instance_norm=True)[:]
    np.testing.assert_allclose(windows[:, 0].mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(windows[:, 0].std(axis=1), 1, rtol=1e-5)
    assert not windows[:, 1].any()


# --- from settings to models ---------------------------------------------------------------------


def test_every_model_of_rows_and_every_network_can_be_made() -> None:
    assert set(NETWORKS) < set(row_models())
    assert not {"sound-events", "predictive"} & set(row_models())
    for name in row_models():
        assert isinstance(make_member({"name": name}, 5, {}, seed=0), RowModel)


def test_a_completed_table_states_every_setting_and_makes_the_same_model() -> None:
    table = complete_member({"name": "lstm-ae", "window": 12, "width": 20}, seed=3)
    assert table == {
        "name": "lstm-ae",
        "window": 12,
        "memory": 20_000,
        "instance_norm": False,
        "seed": 3,
        "width": 20,
    }
    assert complete_member(table, seed=4) == table  # its own seed stays
    model = make_member(table, 2, {}, seed=4)
    assert isinstance(model, RowNetwork) and model.seed == 3 and model.context == 11
    assert model.network_.network.shape == (2, 12, 1)


def test_closed_form_models_get_their_options_and_the_seed() -> None:
    names = [name for name in row_models() if name not in NETWORKS]
    assert names
    for name in names:
        table = complete_member({"name": name}, seed=9)
        assert table.get("seed", 9) == 9 and isinstance(make_member(table, 3, {}, 0), RowModel)


def test_training_has_defaults_of_its_own_for_rows() -> None:
    usual = complete_training({}, seed=2)
    assert usual["seed"] == 2 and usual["batch"] == 256 and usual["weight_decay"] == 0
    assert complete_training({"batch": 8, "seed": 5}, seed=2)["batch"] == 8
    assert network_of("vae", seed=4).training.seed == 4


@pytest.mark.parametrize(
    ("options", "training", "message"),
    [
        ({"name": "sound-events"}, {}, r"does not see rows of series: choose one of .*vae"),
        ({"name": "nothing"}, {}, r"unknown model 'nothing': choose one of"),
        ({"name": "vae", "shape": 3}, {}, r"\(channels, window, 1\): set window, not shape"),
        ({"name": "vae", "depth": 3}, {}, r"model 'vae' has no setting 'depth'"),
        ({"name": "vae", "window": 0}, {}, r"window must be >= 1 and memory >= 2, got window=0"),
        ({"name": "vae", "memory": 1}, {}, r"memory >= 2, got window=16, memory=1"),
        ({"name": "vae"}, {"speed": 3}, r"training has no setting 'speed'"),
    ],
)
def test_what_cannot_be_made_is_refused(
    options: dict[str, object], training: dict[str, object], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        make_member(options, 3, training, seed=0)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(DataError, match=r"needs stretches of at least 23 rows.*got 10, 9"):
        network_of("dense-ae").fit([rows_of(10), rows_of(9)])


def test_an_untaught_network_says_so() -> None:
    with pytest.raises(RunError, match="not trained: call fit first"):
        network_of("dense-ae").contributions(rows_of(20))


def test_weights_of_another_network_are_refused(taught: RowNetwork) -> None:
    name = taught.network_.network.registered_name
    other = make_member({"name": name, "window": 11}, CHANNELS, {}, seed=0)
    with pytest.raises(RunError, match="fit another network: expected"):
        other.restore(taught.state())
