"""Closed-form models of rows: what each has to hold, and what each is."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

import naive
from raravis import models
from raravis.errors import DataError, ParameterError
from raravis.models import row_scores
from raravis.models.autoregression import Autoregression
from raravis.models.row_distances import Mahalanobis, RowKNN, RowPCA
from raravis.models.window_pca import WindowPCA
from raravis.row_ensemble import closed_form_models
from raravis.series.residuals import ResidualScale, mean_of_last, root_mean_square
from raravis.series.rows import strided

CHANNELS = 8


def plant(n, channels=CHANNELS, seed=0):
    """Rows of a plant: channels that follow two slow motions, each with a little noise.

    Every channel takes as much from the motions as any other: none can hide behind the rest.
    """
    random = np.random.default_rng(seed)
    motion = np.sin(np.arange(n)[:, None] / [7.0, 11.0] + random.uniform(0, 6, 2))
    angle = np.pi * np.arange(channels) / channels
    return motion @ np.stack([np.cos(angle), np.sin(angle)]) + 0.1 * random.standard_normal(
        (n, channels)
    )


@pytest.fixture(params=closed_form_models())  # the contract, held by whatever is registered
def model(request):
    return models.create(request.param)


def scores(model, rows):
    return row_scores(model.contributions(rows))


def test_the_closed_form_ones_are_there():
    assert {"window-pca", "autoregression", "pca", "mahalanobis", "knn"} <= set(
        closed_form_models()
    )


def test_every_row_beyond_the_context_gets_its_contributions(model):
    model.fit([plant(300)])
    for n in (0, 1, 50):
        contributions = model.contributions(plant(model.context + n, seed=1))
        assert contributions.shape == (n, CHANNELS)
        assert np.isfinite(contributions).all()
        assert (contributions >= 0).all()


def test_the_future_changes_nothing(model):
    model.fit([plant(300)])
    rows = plant(200, seed=1)
    other = rows.copy()
    other[120:] = 7.0
    before = 120 - model.context
    np.testing.assert_array_equal(
        model.contributions(rows)[:before], model.contributions(other)[:before]
    )
    assert not np.array_equal(model.contributions(rows), model.contributions(other))


def test_in_pieces_as_in_one(model):
    model.fit([plant(300)])
    rows, context = plant(200, seed=1), model.context
    whole = model.contributions(rows)
    pieces = [model.contributions(rows[at : at + context + 10]) for at in range(0, len(whole), 10)]
    np.testing.assert_allclose(np.concatenate(pieces)[: len(whole)], whole, rtol=1e-6, atol=1e-9)


def test_a_restored_model_says_the_same(model):
    model.fit([plant(300)])
    rows = plant(100, seed=1)
    again = models.create(model.registered_name).restore(model.state())
    np.testing.assert_array_equal(again.contributions(rows), model.contributions(rows))


def test_the_same_rows_teach_the_same(model):
    again = models.create(model.registered_name).fit([plant(300)])
    rows = plant(100, seed=1)
    model.fit([plant(300)])
    np.testing.assert_array_equal(again.contributions(rows), model.contributions(rows))


@pytest.mark.parametrize("channel", range(CHANNELS))
def test_a_fault_is_seen_and_its_channel_is_named(model, channel):
    model.fit([plant(600)])
    ordinary, broken = plant(300, seed=1), plant(300, seed=1)
    broken[200:, channel] += 6.0
    quiet, seen = scores(model, ordinary), scores(model, broken)
    at = 200 - model.context
    assert seen[at + 20 :].mean() > 1.5 * quiet[at + 20 :].mean()
    worst = model.contributions(broken)[at:].max(axis=0)
    assert worst.argmax() == channel


def test_channels_that_never_moved_do_no_harm(model):
    still = plant(300)
    still[:, 1:3] = 0.0
    model.fit([still])
    quiet = plant(100, seed=1)
    quiet[:, 1:3] = 0.0
    contributions = model.contributions(quiet)
    assert np.isfinite(contributions).all()
    assert contributions.max() < 20
    jump = quiet.copy()
    jump[60:, 2] = 5.0
    assert model.contributions(jump).max(axis=0).argmax() == 2


def test_where_nothing_ever_moved_nothing_is_strange(model):
    model.fit([np.zeros((300, CHANNELS))])
    np.testing.assert_allclose(model.contributions(np.zeros((100, CHANNELS))), 0, atol=1e-9)


def test_one_channel_is_enough(model):
    model.fit([plant(300, channels=1)])
    rows = plant(200, channels=1, seed=1)
    rows[150:] += 8
    seen = scores(model, rows)
    assert seen[150 - model.context :].max() > 2 * seen[: 150 - model.context].max()


def test_no_window_reaches_over_a_break(model):
    # Two stretches far apart: a window over their border would be the strangest there is.
    low, high = plant(200) - 5, plant(200, seed=1) + 5
    model.fit([low, high])
    joined = scores(model, np.vstack([low, high]))
    apart = np.concatenate([scores(model, low), scores(model, high)])
    np.testing.assert_allclose(
        joined[: len(low) - model.context], apart[: len(low) - model.context]
    )
    assert len(apart) == len(joined) - model.context


def test_stretches_shorter_than_the_context_are_left_out(model):
    rows = plant(100, seed=1)
    again = models.create(model.registered_name).fit([plant(300)])
    model.fit([plant(300), plant(model.context, seed=3), plant(0)])
    np.testing.assert_array_equal(again.contributions(rows), model.contributions(rows))


def test_too_few_rows_are_refused_with_what_would_do(model):
    name = model.registered_name
    with pytest.raises(
        DataError, match=rf"{name} needs stretches of at least \d+ rows .* got 9, 5"
    ):
        model.fit([plant(9), plant(5)])
    with pytest.raises(DataError, match="got none: record for longer"):
        model.fit([])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WindowPCA(window=1), "window and memory must be >= 2, .* got window=1"),
        (lambda: WindowPCA(share=1), r"share in \(0, 1\), got .* share=1"),
        (lambda: Autoregression(lags=0), "lags and window must be >= 1 .* got lags=0"),
        (lambda: Autoregression(ridge=0), "ridge positive, got .* ridge=0"),
        (lambda: RowKNN(k=0), "k and window must be >= 1 .* got k=0"),
        (lambda: RowKNN(smooth=0), "smooth must be >= 1, got 0"),
        (lambda: Mahalanobis(smooth=0), "smooth must be >= 1, got 0"),
        (lambda: RowPCA(share=0), r"share must be in \(0, 1\), got 0"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


# Residuals


def test_residuals_are_measured_in_the_ordinary_one_of_their_channel():
    # Root mean squares 3 and 0, each with .02 added.
    scale = ResidualScale().fit(np.array([[3.0, 0], [-3, 0], [3, 0]]))
    np.testing.assert_allclose(scale.apply(np.array([[6.04, 1.0]])), [[2, 50]])


def test_causal_means_by_hand():
    rows = np.array([[1.0], [3], [5], [-1]])
    np.testing.assert_allclose(mean_of_last(rows, 2), [[2], [4], [2]])
    np.testing.assert_allclose(root_mean_square(rows, 2), np.sqrt([[5], [17], [13]]))
    np.testing.assert_allclose(mean_of_last(rows, 5), np.empty((0, 1)))


# Window PCA


def flat(rows, window):
    return strided(rows, window).reshape(-1, window * rows.shape[1])


def test_window_pca_equals_scikit_learn_up_to_the_scale_of_residuals():
    seen, new = plant(400), plant(100, seed=1)
    ours = WindowPCA(window=8).fit([seen])
    pca = PCA(ours.components_.shape[1]).fit(flat(seen, 8))
    assert pca.explained_variance_ratio_.sum() >= 0.9 > pca.explained_variance_ratio_[:-1].sum()

    def residuals(rows):
        left = flat(rows, 8) - pca.inverse_transform(pca.transform(flat(rows, 8)))
        return np.sqrt((left.reshape(-1, CHANNELS, 8) ** 2).mean(axis=2))

    ordinary = np.sqrt((residuals(seen) ** 2).mean(axis=0))
    expected = residuals(new) / (ordinary + 0.02)
    np.testing.assert_allclose(ours.contributions(new), expected, rtol=1e-5)


def test_window_pca_keeps_no_more_components_than_it_may():
    noise = np.random.default_rng(0).standard_normal((500, CHANNELS))
    assert WindowPCA(most=5).fit([noise]).components_.shape == (16 * CHANNELS, 5)


def test_window_pca_learns_from_a_sample_as_from_all():
    rows = plant(100, seed=1)
    few = scores(WindowPCA(memory=300).fit([plant(1000), plant(1000, seed=2)]), rows)
    every = scores(WindowPCA().fit([plant(1000), plant(1000, seed=2)]), rows)
    np.testing.assert_allclose(few, every, rtol=0.2)


def test_amplitude_is_kept_unless_asked_otherwise():
    louder = 3 * plant(100)
    kept, dropped = (WindowPCA(instance_norm=norm).fit([plant(300)]) for norm in (False, True))
    assert scores(kept, louder).mean() > 2 * scores(kept, plant(100)).mean()
    same = scores(dropped, plant(100))
    np.testing.assert_allclose(scores(dropped, louder), same, rtol=0.3)  # still ones apart


# Autoregression


def test_autoregression_by_hand():
    # x(t) = 2 x(t - 1) foretells nothing but itself; 1, 2, 4, 8 with a jump to 20 is off by 4.
    rows = np.array([[0.5**t] for t in range(60, 0, -1)])
    model = Autoregression(lags=1, window=1, ridge=1e-12).fit([rows])
    jump = np.array([[1.0], [2], [4], [8], [20], [40]])
    residuals = model.contributions(jump) * (model.scale_.ordinary_ + 0.02)
    np.testing.assert_allclose(residuals, [[0], [0], [0], [4], [0]], atol=1e-3)


def test_autoregression_equals_its_slow_twin():
    seen, new = plant(200, channels=2), plant(60, channels=2, seed=1)
    model = Autoregression(lags=3, window=4).fit([seen])
    expected = naive.autoregression(seen.tolist(), new.tolist(), lags=3, window=4, ridge=0.01)
    np.testing.assert_allclose(model.contributions(new), expected, rtol=1e-6)


# Mahalanobis, T2 + Q


def test_mahalanobis_equals_scikit_learn():
    seen, new = plant(500), plant(100, seed=1)
    peer = LedoitWolf().fit(seen)
    expected = np.sqrt(peer.mahalanobis(new) / CHANNELS)
    ours = Mahalanobis(smooth=1).fit([seen])
    np.testing.assert_allclose(scores(ours, new), expected, rtol=0.01)  # a ridge of 1e-4 apart


def test_ordinary_rows_are_about_one_deviation_away():
    rows = np.random.default_rng(0).standard_normal((5000, CHANNELS))
    for model in (Mahalanobis(), RowPCA()):
        squares = scores(model.fit([rows]), rows) ** 2
        assert squares.mean() == pytest.approx(1, abs=0.03)


def test_t2_and_q_by_hand():
    # x spreads by 2, y by 1 (variances 4 and 1): one direction explains 80 %. A row (4, 0) has
    # T2 = 16 / 4 = 4 and Q = 0; (0, 3) has T2 = 0 and Q = 9 / 1.
    corners = np.array([[2.0, 1], [2, -1], [-2, 1], [-2, -1]] * 10)
    model = RowPCA(share=0.8).fit([corners])
    seen = model.contributions(np.array([[4.0, 0], [0, 3]]))
    np.testing.assert_allclose(seen, [[2, 0], [0, 3]], rtol=0.03, atol=0.01)
    np.testing.assert_allclose(row_scores(seen), np.sqrt([4 / 2, 9 / 2]), rtol=0.03)


# Neighbours


def test_knn_equals_its_slow_twin():
    seen, new = plant(50, channels=2), plant(20, channels=2, seed=1)
    model = RowKNN(k=3, smooth=1).fit([seen])
    expected = [naive.knn(seen.tolist(), row, 3, rescale=False) for row in new.tolist()]
    np.testing.assert_allclose(scores(model, new), np.array(expected) / np.sqrt(2))


def test_knn_by_hand():
    # From (0, 0), two nearest: (3, 0) and (0, 4), mean 3.5 over sqrt(2). The parts of the squared
    # distances are 9 and 16 of 25.
    seen = np.array([[3.0, 0], [0, 4]] + [[50.0, 50]] * 20)
    part = RowKNN(k=2, smooth=1).fit([seen]).contributions(np.zeros((1, 2)))
    np.testing.assert_allclose(part, 3.5 / np.sqrt(2) * np.sqrt([[18 / 25, 32 / 25]]))


def test_knn_leaves_out_what_is_the_row_itself():
    seen = np.arange(0, 60.0, 3)[:, None]
    np.testing.assert_allclose(scores(RowKNN(k=2, smooth=1).fit([seen]), seen[1:-1]), 3)
    np.testing.assert_allclose(scores(RowKNN(k=1, smooth=4).fit([seen]), seen), 3)


def test_knn_remembers_no_more_than_its_memory_from_every_stretch():
    model = RowKNN(memory=100).fit([plant(300) - 50, plant(300, seed=1) + 50])
    assert model.bank_.shape == (100, CHANNELS, 1)
    assert 30 < (model.bank_[:, 0, 0] > 0).sum() < 70


def test_windows_of_knn_see_a_beat_that_comes_at_the_wrong_time():
    beat = np.tile([0.0] * 9 + [5.0], 60)[:, None]
    wrong = beat[:100].copy()
    wrong[55] = 5.0  # a value as ordinary as any
    shapes, values = (RowKNN(smooth=1, window=w).fit([beat]) for w in (8, 1))
    assert scores(values, wrong).max() == 0
    assert scores(shapes, wrong)[55 - 7 :].max() > 1 > scores(shapes, beat).max()
