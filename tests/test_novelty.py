"""The chain of novelty: its links by hand and against slow twins, and its promises as a whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

import naive
from raravis.errors import ParameterError
from raravis.novelty import FAMILIES, NoveltyChain
from raravis.novelty.families import Activity, Squeezed, deviation, quantile
from raravis.novelty.memory import Memory
from raravis.novelty.nearest import Nearest
from raravis.novelty.signals import (
    Delay,
    Mean,
    SlotResidual,
    minute_of_week,
    minutes_of_week,
)
from raravis.novelty.speaking import RangeRule, Refractory
from raravis.novelty.tails import ExcessTail, SpokenTail

MONDAY = datetime(2026, 5, 4)


def noise(rows=1000, seed=0):
    return np.random.default_rng(seed).normal(size=rows)


def every(minutes, rows, start=MONDAY):
    return [start + timedelta(minutes=minutes * row) for row in range(rows)]


# --- links ---------------------------------------------------------------------------------------


def test_memory_by_hand():
    memory = Memory(3)
    for value in (5.0, 1.0, 3.0):
        memory.add(value)
    assert list(memory.ordered_) == [1, 3, 5]
    memory.add(2.0)  # at rank .618 x 3 one fades
    assert list(memory.ordered_) == [1, 2, 5]


def test_a_full_memory_keeps_the_quantiles_of_what_came():
    memory = Memory(500)
    values = np.random.default_rng(0).exponential(size=20_000)
    for value in values:
        memory.add(value)
    shares = [0.05, 0.5, 0.95, 0.99]
    np.testing.assert_allclose(
        np.quantile(memory.ordered_, shares), np.quantile(values, shares), rtol=0.15
    )


def test_a_full_memory_follows_what_changes():
    memory = Memory(500)
    for value in [*noise(2000), *(noise(2000) + 100)]:
        memory.add(value)
    assert 0 < np.mean(np.array(memory.ordered_) < 50) < 0.05  # e^-4: it thins out, it is not cut


def test_nearest_by_hand():
    # at row 4 the values 0, 10, 4 are two rows old or older; 6 lies 2 from 4, and 10 lies 0 from 10
    nearest = Nearest(gap=2, first_row=3, most=100)
    values = [0.0, 10.0, 4.0, 9.0, 6.0, 10.0]
    assert [nearest(row, value) for row, value in enumerate(values)] == [0, 0, 0, 1, 2, 0]


@pytest.mark.parametrize("gap", [1, 2, 12])
def test_nearest_agrees_with_its_slow_twin(gap):
    values = np.round(noise(200), 1).tolist()
    nearest = Nearest(gap, 5, most=1000)
    found = [nearest(row, value) for row, value in enumerate(values)]
    assert found == naive.distance_to_past(values, gap, 5)


def test_nearest_remembers_so_many():
    nearest = Nearest(gap=1, first_row=0, most=2)
    distances = [nearest(row, value) for row, value in enumerate([1.0, 7.0, 2.0, 7.0])]
    assert distances[-1] == 5  # from 2, for the 7 between had to make room


def test_excess_tail_by_hand():
    # of 0 ... 39 the quantile .95 is 38; the mean excess of 38 and 39 is .5, so 40 lies 4 beyond
    tail = ExcessTail(first_row=0, speaks_row=40, most=100)
    silent = [tail(row, float(row)) for row in range(40)]
    assert silent == [0.0] * 40
    assert tail(40, 40.0) == pytest.approx(4)


def test_excess_tail_agrees_with_its_slow_twin():
    values = np.abs(noise(400)).tolist()
    tail = ExcessTail(first_row=10, speaks_row=50, most=1000)
    found = [tail(row, value) for row, value in enumerate(values)]
    twin = [naive.excess_tail(values[10:t], values[t], 0.95, 100) for t in range(50, 400)]
    assert found[:50] == [0.0] * 50
    np.testing.assert_allclose(found[50:], twin, rtol=1e-9)
    assert sum(score > 0 for score in found) > 10


def test_excess_tail_does_not_depend_on_the_unit():
    values = np.abs(noise(300))
    volts, millivolts = ExcessTail(0, 30, 1000), ExcessTail(0, 30, 1000)
    np.testing.assert_allclose(
        [volts(row, v) for row, v in enumerate(values)],
        [millivolts(row, v) for row, v in enumerate(1000 * values)],
    )


def test_exponential_values_get_tail_scores_of_mean_one():
    values = np.random.default_rng(0).exponential(3.0, 20_000)
    tail = ExcessTail(0, 1000, most=20_000)
    scores = np.array([tail(row, value) for row, value in enumerate(values)])[1000:]
    assert (scores > 0).mean() == pytest.approx(0.05, rel=0.1)
    assert scores[scores > 0].mean() == pytest.approx(1, rel=0.1)


def test_excess_tail_of_a_constant_is_capped():
    tail = ExcessTail(0, 30, 100)
    assert [tail(row, 0.0) for row in range(30)] == [0.0] * 30
    assert tail(30, 1e-3) == 100


def test_spoken_tail_by_hand():
    tail = SpokenTail(most=100)
    assert [tail(0.0), tail(0.0), tail(5.0)] == [1.0, 1.0, pytest.approx(1 / 3)]
    assert tail(4.0) == pytest.approx(2 / 4)  # two of four rows spoke at least as high
    # now 3 ... 12 and 4 ... 5: ten and two scores spoke in as many rows; beyond their median
    for score in range(3, 11):
        tail(float(score))
    # 3 4 4 5 5 6 7 8 9 10 spoke in 12 rows; the median is 6, and five lie 0 1 2 3 4 beyond
    assert tail(12.0) == pytest.approx(11 / 13 * 6 / 11 * np.exp(-6 / 2))


def test_mean_and_delay_by_hand():
    mean, delay = Mean(2), Delay(2)
    assert [mean(value) for value in (1.0, 3.0, 5.0, 5.0, 1.0)] == [1, 2, 4, 5, 3]
    assert [delay(value) for value in (1.0, 2.0, 3.0, 4.0)] == [1, 1, 1, 2]


def test_mean_recovers_from_a_wild_value():
    mean = Mean(3)
    found = [mean(value) for value in [0.1, 0.2, 1e30] + 6 * [0.3]]
    assert found[-1] == pytest.approx(0.3, rel=1e-12)


@pytest.mark.parametrize("minutes, cycle", [(15, 1440), (30, 10_080)])
def test_slot_residual_agrees_with_its_slow_twin(minutes, cycle):
    values = noise(900).tolist()
    clock = [47 * row % 10_080 for row in range(900)]
    slot = SlotResidual(minutes, cycle, most=4, fewest=2)
    found = [slot(minute, value) for minute, value in zip(clock, values, strict=True)]
    assert found == naive.slot_residual(clock, values, minutes, cycle, 4, 2)
    assert np.count_nonzero(found) > 100


def test_refractory_by_hand():
    # half of the rows seen so far: at row 4 the rows 2 and 3 count, and 5 > 1.2 x 4
    speak = Refractory(share=0.5, most=100, factor=1.2)
    scores = [1.0, 9.0, 4.0, 4.5, 5.5, 6.0]
    assert [speak(row, score) for row, score in enumerate(scores)] == [1, 9, 0, 0, 5.5, 0]


def test_refractory_agrees_with_its_slow_twin():
    scores = np.maximum(noise(500), 0).tolist()
    speak = Refractory(0.1, 30, 1.2)
    found = [speak(row, score) for row, score in enumerate(scores)]
    assert found == naive.refractory(scores, 0.1, 30, 1.2)


def test_range_rule_by_hand():
    rule = RangeRule(margin=0.05, first_row=2)
    assert [rule(row, value) for row, value in enumerate([0.0, 10.0, 10.4, 11.0, -2.0])] == [
        False, False, False, True, True,
    ]  # fmt: skip


def test_quantile_and_deviation_are_those_of_numpy():
    values = sorted(noise(17).tolist())
    assert quantile(values, 0.75) == pytest.approx(np.quantile(values, 0.75))
    assert deviation(values) == pytest.approx(np.std(values))


def test_minute_of_the_week_of_one_time_and_of_many():
    times = every(607, 40)
    minutes = [minute_of_week(time) for time in times]
    assert minutes[:2] == [0, 607]
    assert minutes_of_week(times, 40).tolist() == minutes
    assert minutes_of_week(np.array(times, dtype="datetime64[ns]"), 40).tolist() == minutes
    assert minutes_of_week(None, 2).tolist() == [-1, -1]
    assert minutes_of_week(np.array([MONDAY, None], dtype="datetime64[s]"), 2).tolist() == [0, -1]


def test_the_clock_on_the_wall_counts():
    east = datetime(2026, 5, 4, 1, tzinfo=timezone(timedelta(hours=5)))
    assert minute_of_week(east) == 60
    assert minute_of_week(east.astimezone(UTC)) == 6 * 1440 + 20 * 60


def test_squeezed_hears_a_small_thing_between_great_ones():
    values = noise(600)
    values[::7] *= 1e4  # spikes are usual
    values[500] = 30.0
    squeezed = Squeezed(1000)
    novelty = [squeezed(row, value) for row, value in enumerate(values.tolist())]
    assert novelty[500] > 1


def test_activity_hears_that_jumps_come_faster():
    values = 0.01 * noise(4100)
    values[np.random.default_rng(1).integers(0, 4000, 80)] += 1
    values[4000:4060:4] += 1
    activity = Activity(10_000)
    novelty = np.array([activity(row, value) for row, value in enumerate(values.tolist())])
    assert novelty[4000:4070].max() > 1.5 * novelty[2000:4000].max() > 0


# --- the chain -----------------------------------------------------------------------------------


def test_finds_a_spike_and_says_which_family_found_it():
    values = noise(1000)
    values[700] = 15.0
    judged = NoveltyChain().judge(values)
    assert np.nanargmax(judged.score) == 700
    assert judged.p_value[700] < 1e-3 and judged.alarm[700]
    assert FAMILIES[int(np.argmax(judged.families[700]))] == "value"
    assert judged.families[700, 0] > 3 > 0 == judged.families[700, 2]  # no clock, no calendar


def test_finds_what_is_unusual_only_for_the_hour():
    times = every(15, 3000)
    hours = np.array([time.hour for time in times])
    values = np.where((hours >= 8) & (hours < 20), 10.0, 0.0) + 0.3 * noise(3000)
    night = np.flatnonzero(hours == 2)
    values[night[night > 2500][:4]] += 10.0
    found, blind = NoveltyChain().judge(values, times), NoveltyChain().judge(values)
    strange = night[night > 2500][3]
    assert found.families[strange, 2] > 1 > 0 == blind.families[strange, 2]


@pytest.mark.parametrize("times", [None, every(20, 800)], ids=["no clock", "clock"])
def test_many_rows_at_once_are_judged_bitwise_as_one_by_one(times):
    values = noise(800)
    values[[300, 301, 650]] = np.nan, np.inf, 9.0
    many, chain = NoveltyChain(remember=200).judge(values, times), NoveltyChain(remember=200)
    ones = [chain.update(v, times and times[row]) for row, v in enumerate(values)]
    for at_once, column in zip(many, zip(*ones, strict=True), strict=True):
        np.testing.assert_array_equal(at_once, np.array(column))
    assert (many.score > 0).sum() > 3


def test_state_is_a_copy():
    chain = NoveltyChain(remember=100)
    chain.judge(noise(150))
    state = chain.state()
    before = {name: array.copy() for name, array in state.items()}
    chain.judge(noise(500, seed=1))
    for name, array in before.items():
        np.testing.assert_array_equal(state[name], array)


def test_what_comes_later_changes_nothing():
    values, times = noise(900), every(5, 900)
    whole = NoveltyChain(remember=150).judge(values, times)
    for rows in (161, 500, 899):
        cut = NoveltyChain(remember=150).judge(values[:rows], times[:rows])
        for a, b in zip(cut, whole, strict=True):
            np.testing.assert_array_equal(a, b[:rows])


@pytest.mark.parametrize("rows", [0, 1, 100, 119, 120, 300, 700])
def test_goes_on_after_a_restart_as_if_nothing_had_been(rows):
    values, times = noise(800), every(20, 800)
    chain = NoveltyChain(remember=200, range_bonus=1.0)
    chain.judge(values[:rows], times[:rows])
    again = NoveltyChain(remember=200, range_bonus=1.0).restore(chain.state())
    expected = chain.judge(values[rows:], times[rows:])
    for a, b in zip(again.judge(values[rows:], times[rows:]), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_state_is_plain_numbers_and_does_not_grow():
    chain = NoveltyChain(remember=100)
    sizes = []
    for part in range(3):
        chain.judge(noise(1500, seed=part), every(1, 1500))
        state = chain.state()
        assert all(array.dtype.kind in "fi" for array in state.values())
        sizes.append(sum(array.size for array in state.values() if array.ndim))
    assert sizes[2] - sizes[1] < 30  # scores that spoke


def test_missing_values_change_nothing():
    values = noise(500)
    with_gaps = np.insert(values, [0, 250, 250, 400], [np.nan, np.inf, -np.inf, 1e300])
    judged = NoveltyChain().judge(with_gaps)
    gaps = ~(np.abs(with_gaps) <= 1e100)
    assert gaps.sum() == 4 and np.isnan(judged.score[gaps]).all() and not judged.alarm[gaps].any()
    np.testing.assert_array_equal(judged.score[~gaps], NoveltyChain().scores(values))


def test_the_first_rows_are_not_judged():
    judged = NoveltyChain().judge(noise(200))
    assert np.isnan(judged.score[:160]).all() and np.isnan(judged.p_value[:160]).all()
    assert np.isfinite(judged.score[160:]).all() and np.isfinite(judged.p_value[160:]).all()


@pytest.mark.parametrize("value", [0.0, 5.0, -1e90])
def test_a_constant_series_is_silent_until_it_moves(value):
    values = np.full(400, value)
    values[300] += max(1.0, abs(value))
    judged = NoveltyChain().judge(values, every(5, 400))
    assert not np.nan_to_num(judged.score[:300]).any()
    assert judged.score[300] > 0.9


def test_scores_do_not_depend_on_unit_or_offset():
    values = np.round(noise(600), 3)
    values[450] = 9
    one, other = NoveltyChain().scores(values), NoveltyChain().scores(1024 * values + 4096)
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_range_bonus_counts_for_values_beyond_the_range():
    values = noise(400)
    values[300] = 8.0
    plain, bonus = NoveltyChain().scores(values), NoveltyChain(range_bonus=2.0).scores(values)
    assert bonus[300] / (1 - bonus[300]) == pytest.approx(2 + plain[300] / (1 - plain[300]))


def test_without_refractory_every_score_speaks():
    values = noise(600)
    speaking = NoveltyChain(refractory=0.0).judge(values)
    combined = speaking.families @ np.array([1, 1, 1, 0.5, 0.5])
    np.testing.assert_allclose(speaking.score[160:], (combined / (1 + combined))[160:])
    assert (NoveltyChain().scores(values) > 0).sum() < 0.5 * (speaking.score > 0).sum()


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1e-3, 3e-4])
def test_noise_raises_about_as_many_alarms_as_were_allowed(rate):
    random = np.random.default_rng(0)
    rows = 20_000
    kinds = [
        random.normal(size=rows),
        random.random(rows),
        random.laplace(size=rows),
        random.standard_t(3, rows),
        np.round(random.normal(size=rows), 1),
        np.sin(np.arange(rows) / 40) + 0.2 * random.normal(size=rows),
    ]
    alarms = [NoveltyChain(alarm_rate=rate).judge(values).alarm.mean() for values in kinds]
    assert 0.5 * rate < np.mean(alarms) < 2 * rate


def test_refuses_and_says_why():
    with pytest.raises(ParameterError, match=r"remember must be >= 100 values, got 5"):
        NoveltyChain(remember=5)
    with pytest.raises(ParameterError, match=r"alarm_rate must be in \(0, 1\), got 1"):
        NoveltyChain(alarm_rate=1)
    with pytest.raises(ParameterError, match=r"weights must be 5 numbers >= 0, for value, squeez"):
        NoveltyChain(weights=(1.0, 1.0))
    with pytest.raises(ParameterError, match=r"refractory must be in \[0, 1\), got 1"):
        NoveltyChain(refractory=1)
    with pytest.raises(ParameterError, match=r"range_bonus must be >= 0, got -1"):
        NoveltyChain(range_bonus=-1)
    with pytest.raises(ParameterError, match=r"values of shape \(3, 2\) and 0 times"):
        NoveltyChain().judge(np.zeros((3, 2)))
    with pytest.raises(ParameterError, match=r"values of shape \(3,\) and 2 times"):
        NoveltyChain().judge(np.zeros(3), every(1, 2))
