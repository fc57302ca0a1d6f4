"""Recordings, windows and events."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from raravis.errors import ParameterError
from raravis.windows import Event, Recording, Windows


def test_a_recording_knows_the_time_of_any_moment():
    began = datetime(2026, 5, 1, 23, 59, 59)
    recording = Recording("a.wav", "/a.wav", 60, 8000, start_time=began)
    assert recording.time_at(1.25) == began + timedelta(seconds=1.25)
    assert Recording("a.wav", "/a.wav", 60, 8000).time_at(3) is None


def test_windows_are_picked_and_put_together():
    one, two = Windows.of(0, [0, 1], [1, 2]), Windows.of(3, [5], [6.5])
    both = Windows.concatenate([one, two])
    assert len(both) == 3
    assert both.recording.dtype == np.int32
    np.testing.assert_array_equal(both.recording, [0, 0, 3])
    np.testing.assert_array_equal(both[1:].end_s, [2, 6.5])
    np.testing.assert_array_equal(both[both.start_s < 1].start_s, [0])
    np.testing.assert_array_equal(both[np.array([2, 0])].start_s, [5, 0])


def test_no_windows_are_windows_too():
    assert len(Windows.concatenate([])) == 0
    assert len(Windows.of(2, [], [])) == 0


def test_columns_of_different_length_are_refused():
    with pytest.raises(ParameterError, match="of one length, got 1, 2, 1"):
        Windows(np.zeros(1, np.int32), np.zeros(2), np.zeros(1))
    with pytest.raises(ParameterError, match="of one length, got 2, 2, 1"):
        Windows.of(0, [0, 1], [1])


def test_events_are_equal_whether_or_not_their_time_is_known():
    known = Event("a", 0, 1, 0.5, 2, 0.1, datetime(2026, 1, 1))
    assert known == Event("a", 0, 1, 0.5, 2, 0.1)
    assert known != Event("a", 0, 1, 0.5, 3, 0.1)
