"""What is in a collection of sound, by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import soundfile

from raravis.errors import ParameterError
from raravis.inspection import listen_to, page, picture
from raravis.inspection.sound import gaps, level_of, overview
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
    found = listen_to(source).levels
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


def test_the_mean_spectrum_peaks_at_the_tone_with_its_power(source):
    view = listen_to(source)
    tone = view.spectra[list(view.levels).index("x_20260501_040000.wav")]
    assert view.hz[tone.argmax()] == pytest.approx(440, abs=5)
    power = (10 ** (tone / 10)).sum() * view.hz[1]  # density over frequency
    assert 10 * np.log10(power) == pytest.approx(-9.03, abs=0.1)


def test_pieces_know_when_they_were(source):
    pieces = listen_to(source).pieces
    assert [p.at.isoformat() for p in pieces] == [
        "2026-05-01T04:00:00+00:00",
        "2026-05-01T05:00:00+00:00",
    ]


def test_a_recording_that_breaks_is_listed(source, tmp_path):
    (tmp_path / "x_20260501_050000.wav").write_bytes(b"gone")
    view = listen_to(source)
    assert list(view.levels) == ["x_20260501_040000.wav"]
    assert any("x_20260501_050000" in skipped.path for skipped in source.skipped)


@pytest.mark.slow
def test_the_page_holds_its_images_and_what_was_skipped(source):
    html = page(listen_to(source), "chorus")
    assert html.count("data:image/png;base64,") == 3
    assert "Over the day" in html and "notes.wav" in html
    assert "http" not in html


@pytest.mark.slow
def test_the_picture_is_written_as_asked(source):
    view = listen_to(source)
    assert picture(view, ".png")[:4] == b"\x89PNG"
    assert b"<svg" in picture(view, ".SVG")
    with pytest.raises(ParameterError, match=r"written as \.png or \.svg, got 'xyz'"):
        picture(view, ".xyz")
