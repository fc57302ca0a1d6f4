"""Listening: bounded samples of what was heard, and blocks that tile a recording."""

import numpy as np
import pytest
import soundfile

from raravis.listening import Listener, Sampler, blocks_with_windows, spread_evenly, take_lesson
from raravis.segments import Segmenter
from raravis.sound.features import LogMel
from raravis.sound.synthesis import RATE_HZ, dawn_chorus
from raravis.sources.audio import AudioSource


@pytest.fixture(scope="module")
def chorus(tmp_path_factory):
    """A folder with a recording of eleven minutes: three blocks."""
    folder = tmp_path_factory.mktemp("chorus")
    samples, _ = dawn_chorus(minutes=11, seed=3)
    soundfile.write(folder / "chorus.wav", samples, RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def listener():
    return Listener(LogMel(), Segmenter(), 1.0, RATE_HZ)


def test_a_sampler_keeps_everything_while_there_is_room():
    sampler = Sampler[int](10, seed=0)
    sampler.add([1, 2, 3])
    sampler.add([4])
    assert sampler.sample() == [1, 2, 3, 4]
    assert sampler.share == 1.0


def test_a_full_sampler_keeps_an_even_share_in_order():
    sampler = Sampler[int](1000, seed=0)
    for start in range(0, 100_000, 500):
        sampler.add(list(range(start, start + 500)))
    kept = sampler.sample()
    assert len(kept) == 1000
    assert kept == sorted(kept)
    assert sampler.share == 0.01
    assert abs(np.mean(kept) - 50_000) < 3000


def test_a_sample_does_not_depend_on_the_portions():
    whole, portions = Sampler[int](20, seed=4), Sampler[int](20, seed=4)
    whole.add(list(range(300)))
    for start in range(0, 300, 7):
        portions.add(list(range(start, min(300, start + 7))))
    assert whole.sample() == portions.sample()


def test_spreading_evenly_takes_both_ends():
    assert spread_evenly(5, 10) == [0, 1, 2, 3, 4]
    assert spread_evenly(101, 3) == [0, 50, 100]
    assert spread_evenly(0, 3) == []


def test_blocks_tile_a_recording_and_share_out_its_windows(chorus, listener):
    source = AudioSource(chorus)
    blocks = list(listener.blocks(source, 0))
    assert [block.start_s for block, _ in blocks] == [0.0, 300.0, 600.0]
    assert blocks_with_windows(source) == [(0, 0.0, 600), (0, 300.0, 600), (0, 600.0, 119)]
    together = np.concatenate([windows.start_s for _, windows in blocks])
    np.testing.assert_array_equal(together, source.windows.start_s)


def test_a_clip_is_the_same_whichever_block_it_is_heard_in(chorus, listener):
    source = AudioSource(chorus)
    (block, windows), (later, more), _ = listener.blocks(source, 0)
    heard, again = listener.hear(block, windows), listener.hear(later, more)
    assert heard.clips.shape == (600, 64, 50)
    # the second half of a window is the first half of the next; the last one lies in the margin
    np.testing.assert_allclose(heard.clips[-1][:, 25:48], again.clips[0][:, :23], atol=1e-3)


def test_every_sound_event_is_owned_by_one_block(chorus, listener):
    owned = []
    for block, windows in listener.blocks(AudioSource(chorus), 0):
        heard = listener.hear(block, windows)
        owned += [e.start_s for e, own in zip(heard.excerpts, heard.owned, strict=True) if own]
    assert len(owned) > 60
    assert np.diff(owned).min() > 0.05


def test_a_lesson_is_bounded_and_knows_for_how_much_it_stands(chorus, listener):
    lesson = take_lesson(listener, AudioSource(chorus), hours=24, segments=30, windows=200, seed=0)
    assert len(lesson.excerpts) == 30
    assert lesson.clips.shape == (200, 64, 50)
    assert lesson.clip_hours == pytest.approx(11 / 60 * 200 / 1319, rel=0.01)
    assert 0.01 < lesson.hours < 0.1
    starts = [e.start_s for e in lesson.excerpts]
    assert starts == sorted(starts)


def test_a_broken_recording_is_skipped_and_the_others_are_heard(chorus, listener, tmp_path):
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes((chorus / "chorus.wav").read_bytes()[: 60 * 2 * RATE_HZ])
    source = AudioSource(tmp_path)
    before = len(source.skipped)
    (tmp_path / "a.wav").unlink()
    lesson = take_lesson(listener, source, hours=24, segments=30, windows=50, seed=0)
    assert 10 < len(lesson.clips) < 40  # the share of fifty that falls to the other
    assert [s.path for s in source.skipped[before:]] == [str(tmp_path / "a.wav")]
