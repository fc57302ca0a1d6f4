"""Rows of series: their scale, their gaps, windows of them."""

import numpy as np
import pytest

from raravis.errors import ParameterError
from raravis.series.rows import CLIP, Scaling, Series, filled, strided, unbroken

NAN = np.nan


def test_a_series_refuses_columns_that_do_not_fit():
    with pytest.raises(ParameterError, match=r"values must be \(3, 2\).*got \(3, 1\)"):
        Series(np.zeros((3, 1)), np.arange(3.0), ("a", "b"))
    with pytest.raises(ParameterError, match="expected 3 labels, got 2"):
        Series(np.zeros((3, 1)), np.arange(3.0), ("a",), np.zeros(2, dtype=bool))


def test_a_part_of_a_series_keeps_what_belongs_to_it():
    whole = Series(np.arange(8.0).reshape(4, 2), np.arange(4.0), ("a", "b"), np.arange(4) > 2)
    part = whole[2:]
    assert part.values.tolist() == [[4, 5], [6, 7]]
    assert part.time_s.tolist() == [2, 3] and part.labels.tolist() == [False, True]


def test_scaling_by_hand():
    # a: mean 2, deviation 1; b: mean 10, deviation 4
    scaling = Scaling().fit([np.array([[1, 6], [3, 14]]), np.array([[1, 14], [3, 6.0]])])
    np.testing.assert_allclose(scaling.apply(np.array([[4.0, 2.0]])), [[2, -2]])
    np.testing.assert_allclose(scaling.invert(np.array([[2.0, -2.0]])), [[4, 2]])


def test_a_channel_that_hardly_moved_is_measured_by_the_others():
    scaling = Scaling().fit([np.array([[-1, 0.0, -3], [1, 0.01, 3]])])  # 1, .005 and 3
    assert scaling.deviation_.tolist() == [1, 0.1, 3]


def test_a_channel_that_never_moved_is_measured_by_how_far_the_others_go():
    scaling = Scaling().fit([np.array([[-1, 5.0, NAN, 4], [1, 5.0, -3, 4], [0, NAN, 3, NAN]])])
    np.testing.assert_allclose(scaling.deviation_, [np.sqrt(2 / 3), 4, 3, 4])  # ranges 2 and 6


def test_where_no_channel_moves_a_step_counts_as_it_is():
    scaling = Scaling().fit([np.full((5, 2), 7.0)])
    np.testing.assert_allclose(scaling.apply(np.array([[8.0, 7.0]])), [[1, 0]])


def test_wild_values_are_bounded_and_missing_ones_stay_missing():
    scaling = Scaling().fit([np.array([[0.0, NAN], [2.0, NAN], [NAN, NAN]])])
    scaled = scaling.apply(np.array([[1e9, NAN], [NAN, 0.0]]))
    assert scaled[0, 0] == CLIP and np.isnan(scaled[0, 1]) and np.isnan(scaled[1, 0])
    assert scaling.mean_.tolist() == [1, 0]


def test_a_missing_value_is_the_last_known_for_a_while_and_then_the_mean():
    values = np.array([[NAN, 1], [5, NAN], [NAN, NAN], [NAN, NAN], [6, NAN]])
    expected = [[0, 1], [5, 1], [5, 1], [5, 0], [6, 0]]
    assert filled(values, most=2).tolist() == expected


def test_what_is_missing_later_changes_nothing_before():
    random = np.random.default_rng(0)
    values = np.where(random.random((50, 3)) < 0.4, NAN, random.normal(size=(50, 3)))
    for stop in (1, 20, 49):
        np.testing.assert_array_equal(filled(values[:stop], 4), filled(values, 4)[:stop])


def test_a_long_pause_breaks_a_series():
    time_s = np.array([0, 1, 2, 50, 51, 200.0])
    assert unbroken(time_s, 10) == [slice(0, 3), slice(3, 5), slice(5, 6)]
    assert unbroken(time_s[:0], 10) == []


def test_windows_are_views_of_the_rows():
    rows = np.arange(10.0).reshape(5, 2)
    windows = strided(rows, 3)
    assert windows.shape == (3, 2, 3) and np.shares_memory(windows, rows)
    assert windows[1].tolist() == [[2, 4, 6], [3, 5, 7]]
    assert strided(rows, 6).shape == (0, 2, 6)
