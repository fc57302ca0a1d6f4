"""The pumping station made from nothing: what is wrong in it, and that it is not too easy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from raravis.errors import ParameterError
from raravis.series.synthesis import CHANNELS, FAULTS, ORDINARY, plant, write_csv
from raravis.sources.series import SeriesSource


def rows_of(fault, interval_s: float = 60) -> slice:
    return slice(round(fault.start_s / interval_s), round(fault.end_s / interval_s))


def test_the_same_arguments_give_the_same_rows():
    first, second, other = plant(seed=3), plant(seed=3), plant(seed=4)
    np.testing.assert_array_equal(first[0].values, second[0].values)
    assert first[1] == second[1]
    assert not np.allclose(first[0].values, other[0].values)


@pytest.mark.parametrize(("hours", "interval_s"), [(48, 60), (48, 300), (240, 60)])
@pytest.mark.parametrize("seed", range(3))
def test_every_kind_of_fault_is_planted_once_and_late(hours, interval_s, seed):
    series, faults = plant(hours, interval_s, seed)
    assert series.values.shape == (hours * 3600 / interval_s, len(CHANNELS))
    assert np.isfinite(series.values).all()
    assert sorted(fault.kind for fault in faults) == sorted(FAULTS)
    assert all(fault.start_s >= ORDINARY * hours * 3600 for fault in faults)
    assert all(a.end_s < b.start_s for a, b in pairwise(faults))
    assert faults[-1].end_s <= hours * 3600


def test_labels_say_exactly_where_faults_are():
    series, faults = plant()
    labels = np.zeros(len(series), dtype=bool)
    for fault in faults:
        labels[rows_of(fault)] = True
    np.testing.assert_array_equal(series.labels, labels)
    assert 0.05 < labels.mean() < 0.2


@pytest.mark.parametrize("seed", range(5))
def test_three_deviations_of_each_channel_miss_at_least_half_of_the_faults(seed):
    series, faults = plant(seed=seed)
    ordinary = series.values[: int(ORDINARY * len(series))]
    alarm = np.abs(series.values - ordinary.mean(axis=0)) > 3 * ordinary.std(axis=0)
    found = [fault.kind for fault in faults if alarm[rows_of(fault)].any()]
    assert len(found) <= len(faults) / 2, found


def test_channels_follow_each_other_until_the_correlation_breaks():
    series, faults = plant()
    flow, current = (series.values[:, CHANNELS.index(c)] for c in ("flow_m3_h", "motor_current_a"))
    ordinary = slice(0, int(ORDINARY * len(series)))
    broken = rows_of(next(fault for fault in faults if fault.kind == "broken correlation"))
    assert np.corrcoef(flow[ordinary], current[ordinary])[0, 1] > 0.95
    assert np.corrcoef(flow[broken], current[broken])[0, 1] < 0.5


def test_a_stuck_sensor_shows_one_value_only():
    series, faults = plant()
    stuck = rows_of(next(fault for fault in faults if fault.kind == "stuck sensor"))
    assert len(np.unique(series.values[stuck, CHANNELS.index("flow_m3_h")])) == 1


def test_a_written_station_reads_back_as_it_was(tmp_path):
    series, _ = plant(hours=48, interval_s=300)
    write_csv(tmp_path / "plant.csv", series)
    source = SeriesSource(tmp_path)
    read = source.read(0, 0, len(series))
    np.testing.assert_array_equal(read.values, series.values)
    np.testing.assert_array_equal(read.time_s, series.time_s)
    np.testing.assert_array_equal(read.labels, series.labels)
    assert (read.channels, read.start_time) == (CHANNELS, series.start_time)
    assert source.skipped == source.remarks == []


def test_plant_refuses_and_says_why():
    with pytest.raises(ParameterError, match="hours must be at least 48, got 3"):
        plant(hours=3)
    with pytest.raises(ParameterError, match=r"interval_s must be in \(0, 300\], got 900"):
        plant(interval_s=900)
