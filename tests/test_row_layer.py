"""What learns from rows and judges them: in batches, one by one, with gaps, without values."""

import numpy as np
import pytest

from raravis.errors import DataError, ParameterError
from raravis.row_layer import RowLayer, RowStream, held_out
from raravis.series.rows import Series

MEMBERS = {
    "window-pca": {"name": "window-pca", "window": 8},
    "autoregression": {"name": "autoregression"},
    "knn": {"name": "knn"},
}
CHANNELS = ("flow", "pressure", "heat")


def ordinary(rows, seed=0):
    """Three channels that follow one wave, (n, 3), in units of their own."""
    random = np.random.default_rng(seed)
    wave = np.sin(np.arange(rows) / 9)[:, None] * [5.0, 0.1, 300.0] + [20.0, 1.0, 1000.0]
    return wave + random.normal(size=(rows, 3)) * [0.5, 0.01, 30.0]


def as_series(values, time_s=None):
    time_s = np.arange(len(values), dtype=float) if time_s is None else time_s
    return Series(values, time_s, CHANNELS)


@pytest.fixture(scope="module")
def layer():
    made = RowLayer(MEMBERS, {"name": "tail", "p": 0.001}, 3, {}, 0)
    made.learn([ordinary(3000)], 1.0)
    return made


def test_a_fault_is_alarmed_and_laid_to_its_channel(layer):
    values = ordinary(600, seed=1)
    values[400:410, 1] += 0.3
    verdict = layer.judge(as_series(values))
    assert verdict.alarm[400:410].any() and not verdict.alarm[100:400].any()
    assert verdict.contributions[402:410].mean(axis=0).argmax() == 1
    assert verdict.p_value[405] < 1e-3


def test_the_score_is_the_root_of_the_mean_square_of_the_contributions(layer):
    verdict = layer.judge(as_series(ordinary(200, seed=2)))
    judged = np.isfinite(verdict.score)
    squares = np.square(verdict.contributions[judged]).mean(axis=1)
    np.testing.assert_allclose(verdict.score[judged], np.sqrt(squares))
    together = np.mean([scores[judged] for scores in verdict.members.values()], axis=0)
    np.testing.assert_allclose(verdict.score[judged], together, rtol=1e-6)


def test_rows_with_too_few_before_them_are_nan(layer):
    verdict = layer.judge(as_series(ordinary(100, seed=2)))
    context = layer.model.context
    assert np.isnan(verdict.score[:context]).all() and np.isfinite(verdict.score[context:]).all()
    assert not verdict.alarm[:context].any()


def test_a_pause_breaks_what_hangs_together(layer):
    time_s = np.arange(100.0) + np.where(np.arange(100) >= 50, 1000.0, 0.0)
    verdict = layer.judge(as_series(ordinary(100, seed=3), time_s))
    context = layer.model.context
    assert np.isnan(verdict.score[50 : 50 + context]).all()
    assert np.isfinite(verdict.score[50 + context :]).all()


def test_one_by_one_as_in_a_batch(layer):
    values = ordinary(300, seed=4)
    values[50:60, 0] = np.nan
    values[100:180, 2] = np.nan  # longer than anything is remembered
    values[200:203] = np.nan
    batch = layer.judge(as_series(values))
    stream = RowStream(layer, CHANNELS)
    portions = np.split(values, [1, 2, 3, 40, 120, 121, 210])
    parts = [stream.update(portion) for portion in portions]
    for name in ("score", "p_value", "alarm", "contributions"):
        found = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_allclose(found, getattr(batch, name), rtol=1e-6, err_msg=name)


def test_the_past_is_the_same_whatever_follows(layer):
    values = ordinary(300, seed=5)
    whole = layer.judge(as_series(values)).score
    for stop in (60, 171, 299):
        np.testing.assert_allclose(layer.judge(as_series(values[:stop])).score, whole[:stop])


def test_a_missing_channel_is_left_out_and_a_row_without_most_is_not_scored(layer):
    values = ordinary(100, seed=6)
    values[50, 0] = np.nan
    values[60, :2] = np.nan
    verdict = layer.judge(as_series(values))
    assert np.isfinite(verdict.score[50]) and np.isnan(verdict.contributions[50, 0])
    assert np.isnan(verdict.score[60]) and np.isnan(verdict.p_value[60])


def test_a_stream_goes_on_after_a_restart(layer):
    values = ordinary(80, seed=7)
    stream = RowStream(layer, CHANNELS)
    stream.update(values[:50])
    again = RowStream(layer, CHANNELS)
    again.restore({name: array.copy() for name, array in stream.state().items()})
    np.testing.assert_array_equal(stream.update(values[50:]).score, again.update(values[50:]).score)


def test_what_was_learned_comes_back(layer):
    again = RowLayer(MEMBERS, {"name": "tail", "p": 0.001}, 3, {}, 0)
    again.restore({name: array.copy() for name, array in layer.state().items()})
    series = as_series(ordinary(100, seed=8))
    np.testing.assert_array_equal(again.judge(series).score, layer.judge(series).score)
    assert again.level == layer.level and again.interval_s == 1.0


def test_false_alarms_are_as_rare_as_was_asked_for(layer):
    alarms = layer.judge(as_series(ordinary(20_000, seed=9))).alarm
    assert alarms.mean() < 0.01  # asked for: 0.001


def test_pieces_are_held_out_evenly_and_nothing_is_lost():
    rows = np.arange(1000.0)[:, None]
    seen, held = held_out([rows[:600], rows[600:]], least=10)
    assert sorted(np.concatenate([*seen, *held])[:, 0]) == list(range(1000))
    assert 0.1 < sum(map(len, held)) / 1000 < 0.3


def test_refusals_say_what_would_do(layer):
    fresh = RowLayer(MEMBERS, {"name": "tail"}, 3, {}, 0)
    with pytest.raises(
        DataError, match=r"needs more than 20 rows without a break .*, got at most 5"
    ):
        fresh.learn([ordinary(5)], 1.0)
    stream = RowStream(layer, CHANNELS)
    with pytest.raises(ParameterError, match="3 values, for flow, pressure, heat, got 2"):
        stream.update(np.zeros((1, 2)))
    stream.update(np.zeros((1, 3)), np.array([5.0]))
    with pytest.raises(DataError, match="in order of time"):
        stream.update(np.zeros((1, 3)), np.array([4.0]))
