"""What is in a collection, by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import soundfile

from raravis.inspection import gaps, level_of, levels, overview, plot
from raravis.sources.audio import AudioSource
from raravis.windows import Recording


@pytest.fixture
def source(tmp_path):
    """Two recordings of ten seconds, an hour apart, the second at twice the rate and silent."""
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(80_000) / 8000)
    soundfile.write(tmp_path / "x_20260501_040000.wav", tone, 8000)
    soundfile.write(tmp_path / "x_20260501_050000.wav", np.zeros(160_000), 16_000)
    (tmp_path / "notes.wav").write_text("no sound")
    return AudioSource(tmp_path)


def test_a_half_scale_sine_is_nine_decibels_below_full_scale():
    level = level_of(0.5 * np.sin(np.arange(100_000)))
    assert level.mean_db == pytest.approx(-9.03, abs=0.01)
    assert level.peak_db == pytest.approx(-6.02, abs=0.01)
    assert level.clipped == 0


def test_silence_and_nothing_have_a_level():
    assert level_of(np.zeros(10)).mean_db == level_of(np.zeros(0)).mean_db == -200


def test_clipped_samples_are_counted():
    assert level_of(np.array([1.0, -1.0, 0.5, 0.0])).clipped == 0.5


def test_the_overview_counts_rates_times_and_gaps(source):
    found = overview(source)
    assert found["recordings"] == 2
    assert found["hours"] == pytest.approx(20 / 3600, abs=1e-4)
    assert found["rates_hz"] == {"8000": 1, "16000": 1}
    assert found["resampled"] == 1
    assert found["first_start"] == "2026-05-01T04:00:00+00:00"
    assert (found["gaps"], found["longest_gap_s"]) == (1, 3590.0)
    assert [entry["path"].endswith("notes.wav") for entry in found["skipped"]] == [True]


def test_levels_are_measured_for_each_recording(source):
    found = levels(source)
    assert found["x_20260501_040000.wav"].mean_db == pytest.approx(-9.03, abs=0.1)
    assert found["x_20260501_050000.wav"].mean_db == -200


def test_recordings_that_touch_leave_no_gap():
    start = datetime(2026, 5, 1, tzinfo=UTC)
    first = Recording("a", "a", 60.0, 8000, start_time=start)
    second = Recording("b", "b", 60.0, 8000, start_time=start + timedelta(seconds=60))
    third = Recording("c", "c", 60.0, 8000, start_time=start + timedelta(seconds=300))
    assert [(g.after, g.before, g.gap) for g in gaps([third, first, second])] == [
        ("b", "c", timedelta(seconds=180))
    ]


@pytest.mark.slow
def test_the_picture_is_written(source, tmp_path):
    plot(source, levels(source), tmp_path / "levels.png")
    assert (tmp_path / "levels.png").read_bytes()[:4] == b"\x89PNG"
