"""Sound events are cut out whole, and their scores laid on fixed windows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from raravis.errors import ParameterError
from raravis.segments import Excerpt, Segmenter, spread
from raravis.windows import FloatArray, Windows

PER_S = 50


def noise(seconds: float, bands: int = 64, seed: int = 0) -> FloatArray:
    """Power of steady noise, (F, T) float32, about -40 dB, as a spectrogram fluctuates."""
    random = np.random.default_rng(seed)
    return (1e-4 * random.gamma(2, 0.5, size=(bands, int(seconds * PER_S)))).astype(np.float32)


def with_calls(power: FloatArray, *times_s: tuple[float, float], gain_db: float = 20) -> FloatArray:
    """The same with calls from .. to, in all bands."""
    called = power.copy()
    for start_s, end_s in times_s:
        called[:, int(start_s * PER_S) : int(end_s * PER_S)] *= 10 ** (gain_db / 10)
    return called


def bumps(*levels: tuple[float, int]) -> FloatArray:
    """Loudness that stays at each level for so many frames."""
    return np.concatenate([np.full(frames, level) for level, frames in levels])


def test_finds_a_call_where_it_is():
    (call,) = Segmenter().cut(with_calls(noise(30), (12, 13.5)))
    assert call.start_s == pytest.approx(12, abs=0.1)
    assert call.end_s == pytest.approx(13.5, abs=0.1)
    assert call.salience_db == pytest.approx(20, abs=3)


def test_times_are_of_the_recording_and_not_of_the_block():
    power = with_calls(noise(30), (12, 13.5))
    here, there = Segmenter().cut(power), Segmenter().cut(power, first_frame_s=290.0)
    assert there[0].start_s == here[0].start_s + 290
    assert there[0].end_s == here[0].end_s + 290


def test_an_excerpt_holds_what_stands_above_the_background():
    power = with_calls(noise(30, bands=40), (12, 13.5))
    (call,) = Segmenter().cut(power)
    frames = round((call.end_s - call.start_s) * PER_S)
    assert call.above_db.shape == (40, frames)
    assert call.above_db.dtype == np.float16
    assert call.background_db.shape == (40,)
    assert call.background_db.mean() == pytest.approx(-41, abs=2)
    at = round(call.start_s * PER_S)
    level_db = 10 * np.log10(power[:, at : at + frames])
    rebuilt = call.above_db + call.background_db[:, None]
    loud = call.above_db > 0
    np.testing.assert_allclose(rebuilt[loud], level_db[loud], atol=1)


def test_louder_is_more_salient():
    saliences = [
        Segmenter().cut(with_calls(noise(30), (12, 13), gain_db=gain))[0].salience_db
        for gain in (12, 16, 20, 24)
    ]
    assert saliences == sorted(saliences)


def test_a_slow_background_is_no_event():
    swell = 10 ** (np.sin(np.linspace(0, 4 * np.pi, 120 * PER_S)) * 0.8).astype(np.float32)
    assert Segmenter().cut(noise(120) * swell) == []


@pytest.mark.parametrize("seconds", [0, 0.02, 0.5, 3, 10, 320])
@pytest.mark.parametrize("power", [0.0, 1e-3], ids=["silence", "a steady tone"])
def test_where_nothing_happens_nothing_is_found(seconds, power):
    still = np.full((64, int(seconds * PER_S)), power, dtype=np.float32)
    assert Segmenter().cut(still) == []


@pytest.mark.parametrize("seconds", [0.02, 0.3, 0.9, 10])
@pytest.mark.parametrize("bands", [1, 16, 33])
def test_short_recordings_and_few_bands_are_no_trouble(seconds, bands):
    for excerpt in Segmenter().cut(noise(seconds, bands)):
        assert 0 <= excerpt.start_s < excerpt.end_s <= seconds + 1e-9


def test_a_click_in_digital_silence_is_found():
    power = np.zeros((64, 500), dtype=np.float32)
    power[:, 250:260] = 1.0
    (click,) = Segmenter().cut(power)
    assert click.start_s == pytest.approx(5.0, abs=0.1)
    assert np.isfinite(click.above_db).all()


def test_blocks_with_margins_find_what_the_whole_finds():
    calls = [(start + 0.4 * (start % 3), start + 1.5) for start in range(5, 115, 6)]
    power = with_calls(noise(120), *calls)
    whole = Segmenter().cut(power)
    blocks = []
    for from_s in (0, 60):
        first_s, last_s = max(0, from_s - 10), min(120, from_s + 70)
        cut = Segmenter().cut(power[:, first_s * PER_S : last_s * PER_S], first_s)
        blocks += [e for e in cut if from_s <= (e.start_s + e.end_s) / 2 < from_s + 60]
    assert len(whole) == len(blocks) == len(calls)
    for one, other in zip(whole, blocks, strict=True):
        assert one.start_s == pytest.approx(other.start_s, abs=0.05)
        assert one.end_s == pytest.approx(other.end_s, abs=0.05)


# ----------------------------------------------------------------- where an event begins and ends


def test_an_event_lasts_while_it_is_above_the_edge_and_must_reach_the_peak():
    loudness = bumps((0, 50), (4, 10), (7, 10), (4, 10), (0, 100), (5, 30), (0, 50))
    assert Segmenter(edge_db=3, peak_db=6).find(loudness) == [(50, 80)]


def test_events_close_together_are_one():
    loudness = bumps((0, 50), (9, 10), (0, 29), (9, 10), (0, 31), (9, 10), (0, 50))
    assert Segmenter(gap_s=0.6).find(loudness) == [(50, 99), (130, 140)]


def test_what_is_too_short_is_no_event():
    loudness = bumps((0, 50), (9, 4), (0, 50), (9, 5), (0, 50))
    assert Segmenter(shortest_s=0.1).find(loudness) == [(104, 109)]


def test_a_long_event_is_split_where_it_is_least_loud():
    loudness = bumps((0, 50), (9, 140), (4, 20), (9, 140), (0, 50))
    (start, cut), (again, stop) = Segmenter(longest_s=4.5).find(loudness)
    assert (start, stop) == (50, 350)
    assert cut == again
    assert 190 <= cut <= 210


@pytest.mark.parametrize("longest_s", [0.11, 0.5, 4.5])
def test_no_event_is_longer_than_the_longest_and_none_is_lost(longest_s):
    random = np.random.default_rng(0)
    loudness = np.concatenate([np.zeros(50), random.uniform(4, 12, 1000), np.zeros(50)])
    pieces = Segmenter(longest_s=longest_s).find(loudness)
    assert pieces[0][0] == 50
    assert pieces[-1][1] == 1050
    assert all(stop == start for (_, stop), (start, _) in pairwise(pieces))
    assert max(stop - start for start, stop in pieces) <= longest_s * PER_S


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"edge_db": 7}, r"edge_db must be above 0 and at most peak_db, got 7 and 6"),
        ({"edge_db": 0}, r"edge_db must be above 0 and at most peak_db, got 0 and 6"),
        ({"shortest_s": 5}, r"shortest_s above 0 and below longest_s, got 0.6, 5 and 4.5"),
        ({"gap_s": -1}, r"gap_s must be at least 0"),
        ({"frames_per_s": 0}, r"frames_per_s must be above 0, got 0"),
    ],
)
def test_the_segmenter_refuses_and_says_why(options, message):
    with pytest.raises(ParameterError, match=message):
        Segmenter(**options)


def test_cut_refuses_what_is_no_spectrogram():
    with pytest.raises(ParameterError, match=r"power must be \(bands, frames\), got shape \(7,\)"):
        Segmenter().cut(np.zeros(7, dtype=np.float32))


# ----------------------------------------------------------------- laid on windows


def grid(seconds: float, window_s: float = 1.0, hop_s: float = 0.5, recording: int = 0) -> Windows:
    start_s = np.arange(0, seconds - window_s + 1e-9, hop_s)
    return Windows.of(recording, start_s, start_s + window_s)


def naive_spread(windows: Windows, segments: Windows, scores: FloatArray) -> list[float]:
    """Window by window and segment by segment, as the docstring says."""
    lowest = min([0.0, *scores])
    spread_ = []
    for i in range(len(windows)):
        best = lowest - 1
        for j in range(len(segments)):
            if windows.recording[i] != segments.recording[j]:
                continue
            overlap = min(windows.end_s[i], segments.end_s[j]) - max(
                windows.start_s[i], segments.start_s[j]
            )
            window_s = windows.end_s[i] - windows.start_s[i]
            segment_s = segments.end_s[j] - segments.start_s[j]
            needed = min(0.7 * window_s, 0.75 * segment_s)
            if overlap >= needed:
                best = max(best, scores[j])
            elif overlap > 0:
                best = max(best, lowest - 1 + min(overlap / needed, 1 - 1e-6))
        spread_.append(best)
    return spread_


def test_a_window_takes_the_score_of_what_it_sees_enough_of():
    # one segment from 2.0 to 4.0 s: windows need 0.7 s of it
    spread_ = spread(grid(6), Windows.of(0, [2.0], [4.0]), np.array([5.0]))
    expected = [-1, -1, -1, 0.5 / 0.7 - 1, 5, 5, 5, 0.5 / 0.7 - 1, -1, -1, -1]
    np.testing.assert_allclose(spread_, expected)


def test_a_short_segment_counts_where_a_window_holds_most_of_it():
    spread_ = spread(grid(3), Windows.of(0, [1.0], [1.2]), np.array([5.0]))
    np.testing.assert_allclose(spread_, [-1, 5, 5, -1, -1])


def test_of_several_segments_the_strangest_counts():
    segments = Windows.of(0, [0.0, 0.5, 0.0], [1.0, 1.5, 3.0])
    spread_ = spread(grid(1), segments, np.array([1.0, 9.0, 3.0]))
    np.testing.assert_allclose(spread_, [3.0])  # the second fills only half of the window


@pytest.mark.parametrize("window_s", [0.2, 1.0, 3.0, 25.0])
def test_spread_equals_its_slow_twin(window_s):
    random = np.random.default_rng(0)
    windows = Windows.concatenate([grid(90, window_s, 0.5, recording) for recording in (0, 1, 2)])
    start_s = random.uniform(-2, 90, 60)
    segments = Windows(
        random.integers(0, 4, 60).astype(np.int32), start_s, start_s + random.uniform(0.1, 4.5, 60)
    )
    scores = random.normal(size=60)
    np.testing.assert_allclose(
        spread(windows, segments, scores), naive_spread(windows, segments, scores), atol=1e-9
    )


def test_where_nothing_happens_is_below_all_that_happens():
    segments = Windows.of(0, [5.0, 20.0], [6.0, 21.0])
    spread_ = spread(grid(30), segments, np.array([-3.0, 2.0]))
    assert np.isfinite(spread_).all()
    seen = np.sort(spread_)[::-1]
    np.testing.assert_array_equal(seen[:2], [2, -3])
    assert seen[2] < -3
    assert seen[-1] == -4


def test_no_segments_and_no_windows_are_no_trouble():
    nothing = Windows.of(0, [], [])
    np.testing.assert_array_equal(spread(grid(3), nothing, np.zeros(0)), -np.ones(5))
    assert len(spread(nothing, Windows.of(0, [1.0], [2.0]), np.ones(1))) == 0


def test_excerpts_are_lean():
    (call,) = Segmenter().cut(with_calls(noise(30), (12, 14)))
    assert isinstance(call, Excerpt)
    assert call.above_db.nbytes + call.background_db.nbytes < 2 * 64 * 2.3 * PER_S
