"""A cache holds what listening gives, is never stale, and ends the same however it was built."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from raravis.caching import building, reading
from raravis.caching.building import Order, Part, build
from raravis.caching.coding import Coding
from raravis.caching.joining import HELD_BACK, held_back, join
from raravis.caching.opening import opened, written
from raravis.caching.reading import Cache
from raravis.errors import NothingToRead, ParameterError, RunError
from raravis.journal import Journal
from raravis.listening import take_lesson
from raravis.progress import Progress
from raravis.senses.sound import SoundSense
from raravis.sound.features import Standardise
from raravis.training import Training
from raravis.windows import FloatArray

RATE_HZ = 4000
LENGTHS_S = {"a": 331.0, "b": 4.5, "c": 320.3, "d": 2.0, "e": 3.2}
SETTINGS = {
    "model": {"name": "conv-ae", "width": 4, "latent": 4},
    "features": {"mels": 8, "frames_per_s": 20.0},
    "training": {"epochs": 1, "max_steps": 3, "device": "cpu", "precision": "float32"},
    "learn": {"windows": 32},
}


def write(path: Path, seconds: float, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(scale=0.1, size=round(seconds * RATE_HZ))
    loud = 1 + np.sin(np.arange(len(noise)) / 5000)
    soundfile.write(path, (noise * loud).astype(np.float32) / 2, RATE_HZ)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """Five recordings, two of them of more than one block."""
    folder = tmp_path_factory.mktemp("recordings")
    for seed, (name, seconds) in enumerate(LENGTHS_S.items()):
        write(folder / f"{name}.wav", seconds, seed)
    return folder


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    """One recording of half a minute."""
    folder = tmp_path_factory.mktemp("short")
    write(folder / "short.wav", 30, 7)
    return folder


@pytest.fixture(autouse=True)
def small_shards(monkeypatch) -> None:
    """A shard takes less than one long block, so that a cache has several."""
    monkeypatch.setattr(building, "SHARD_BYTES", 50_000)


def order_of(folder: Path, dtype: str = "float16", **settings) -> Order:
    sense = SoundSense(**{**SETTINGS, **settings})
    return sense.cache_order(sense.open(folder), dtype)


def cache_of(folder: Path, cache: Path, dtype: str = "float16", **settings) -> Cache:
    order = order_of(folder, dtype, **settings)
    made = written(cache, order, Part())
    assert isinstance(made, Cache)
    return made


@pytest.fixture(scope="module")
def cache(recordings, tmp_path_factory) -> Cache:
    folder = tmp_path_factory.mktemp("cache") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "SHARD_BYTES", 50_000)
        return cache_of(recordings, folder)


def heard(folder: Path, **settings) -> FloatArray:
    """All clips as listening gives them, (N, F, T) float32."""
    order = order_of(folder, **settings)
    source, listener = order.source, order.listener
    blocks = [pair for r in range(len(source.recordings)) for pair in listener.blocks(source, r)]
    return np.concatenate([listener.hear(block, windows).clips for block, windows in blocks])


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- what is in it -------------------------------------------------------------------------------


def test_a_cache_gives_back_the_clips_that_were_heard(recordings, cache):
    clips = heard(recordings)
    assert len(cache) == len(clips) > 1000 and len(cache.shards.paths) >= 3
    rows = np.random.default_rng(0).permutation(len(clips))
    kept = cache.kept(rows)
    assert kept.dtype == np.float16 and kept.shape == (len(clips), 1, 8, 20)
    np.testing.assert_array_equal(kept[:, 0], clips.astype(np.float16)[rows])


def test_the_index_says_where_each_window_lies(recordings, cache):
    windows = order_of(recordings).source.windows
    np.testing.assert_array_equal(cache.index["recording"], windows.recording)
    np.testing.assert_array_equal(cache.index["start_s"], windows.start_s)
    np.testing.assert_allclose(cache.places.end_s, windows.end_s)
    assert cache.recordings == ["a.wav", "b.wav", "c.wav", "d.wav", "e.wav"]


def test_shards_are_plain_arrays_at_the_offsets_of_the_index(cache):
    """So that anybody can read a cache without raravis."""
    files = [cache.folder / shard["file"] for shard in cache.table["shards"]]
    whole = np.concatenate([np.load(file) for file in files])
    np.testing.assert_array_equal(whole[cache.index["offset"]], cache.kept(np.arange(len(cache))))


def test_a_cached_sample_is_what_listening_would_have_sampled(recordings, cache):
    sense = SoundSense(**SETTINGS)
    source = sense.open(recordings)
    sense._build(source.rate_hz)
    lesson = take_lesson(sense.listener, source, hours=24, segments=0, windows=64, seed=0)
    ours = cache.lesson(64, 0)
    np.testing.assert_array_equal(ours.clips, lesson.clips)
    np.testing.assert_array_equal(ours.windows.start_s, lesson.windows.start_s)
    assert ours.clip_hours == pytest.approx(lesson.clip_hours)


def test_windows_are_standardised_as_the_clips_would_be(recordings, cache):
    clips = heard(recordings).astype(np.float16)
    scale = Standardise().update(clips)
    ours = cache.scale()
    np.testing.assert_allclose(ours.mean_, scale.mean_, rtol=1e-9)
    np.testing.assert_allclose(ours.deviation_, scale.deviation_, rtol=1e-7)
    windows = cache.windows(scale, 0.15)
    assert windows.shape == (len(clips), 1, 8, 20) and windows.ndim == 4
    everything = windows[:]
    assert everything.dtype == np.float32
    np.testing.assert_array_equal(everything[:, 0], scale.apply(clips))


def test_windows_are_asked_for_as_of_an_array(cache):
    windows = cache.windows(cache.scale(), 0.15)
    everything = windows[:]
    picks = np.array([5, 900, 901, 902, 5, -1])
    mask = np.arange(len(windows)) % 7 == 0
    for wanted in (picks, mask, slice(3, 9), slice(None, None, 5), 12, -2, picks[:0]):
        np.testing.assert_array_equal(windows[wanted], everything[wanted])
    with pytest.raises(IndexError, match=rf"windows 0 to {len(windows)} of {len(windows)}"):
        windows[np.array([0, len(windows)])]
    with pytest.raises(IndexError, match="a mask of"):
        windows[np.ones(3, dtype=bool)]


def test_more_shards_than_may_be_open_are_read_all_the_same(cache, monkeypatch):
    monkeypatch.setattr(reading, "MOST_OPEN", 1)
    again = Cache.open(cache.folder)
    rows = np.random.default_rng(1).permutation(len(cache))
    np.testing.assert_array_equal(again.kept(rows), cache.kept(rows))
    assert len(again.shards._open) == 1


def test_bytes_are_off_by_half_a_step_at_most(recordings, tmp_path):
    cache = cache_of(recordings, tmp_path / "cache", "uint8")
    clips = heard(recordings)
    assert cache.coding.error == pytest.approx(70 / 255) and cache.table["beyond"] == 0
    values = cache.tensor(np.arange(len(cache)))[:, 0].numpy()
    apart = np.abs(values - clips).max()
    assert 0.9 * cache.coding.error < apart <= cache.coding.error + 1e-4
    halves = np.abs(clips.astype(np.float16).astype(np.float32) - clips).max()
    assert halves <= Coding().error


def test_bytes_that_could_not_say_a_value_are_counted():
    coding = Coding.of("uint8", centred=False)
    kept, beyond = coding.encode(np.array([-100.0, 40.0, 41.0, -120.0]))
    assert beyond == 2 and kept.tolist() == [0, 255, 255, 0]
    np.testing.assert_allclose(coding.decode(kept), [-100, 40, 40, -100], atol=1e-4)
    assert Coding.of("uint8", centred=True).low == -70
    with pytest.raises(ParameterError, match="kept as float16 or uint8, not as 'int4'"):
        Coding.of("int4", centred=False)


# --- what is held back ---------------------------------------------------------------------------


def test_of_one_recording_the_last_windows_are_held_back_as_training_does():
    for count, share in ((100, 0.15), (7, 0.3), (9, 0.0)):
        held = held_back(np.zeros(count, dtype=np.int32), share)
        windows = np.zeros((count, 1, 2, 2), dtype=np.float32)
        learned, back = Training(validation=share, batch=2).split(windows)
        np.testing.assert_array_equal(np.flatnonzero(held), back)
        np.testing.assert_array_equal(np.flatnonzero(~held), learned)


def test_of_many_recordings_the_end_of_each_is_held_back():
    recording = np.repeat([0, 1, 2], [20, 40, 10])
    held = held_back(recording, 0.1)
    assert np.flatnonzero(held).tolist() == [18, 19, 56, 57, 58, 59, 69]


def test_of_recordings_of_one_window_every_so_manieth_is_held_back():
    held = held_back(np.arange(100), 0.2)
    assert held.sum() == 20 and np.diff(np.flatnonzero(held)).max() <= 6


def test_training_keeps_to_what_windows_hold_back(cache):
    windows = cache.windows(cache.scale(), 0.15)
    learned, back = Training().split(windows)
    np.testing.assert_array_equal(cache.index["split"] == HELD_BACK, windows.held_back)
    np.testing.assert_array_equal(back, np.flatnonzero(windows.held_back))
    np.testing.assert_array_equal(learned, np.flatnonzero(~windows.held_back))
    assert len(back) == round(0.15 * len(cache))


# --- learning from it ----------------------------------------------------------------------------


def test_a_network_learns_from_all_windows_and_judges_from_the_sample(short, tmp_path):
    sense = SoundSense(**SETTINGS)
    sense.learn(sense.open(short), Journal(cache=tmp_path / "cache"))  # built by the way
    layer = sense.layers["windows"]
    cache = Cache.open(tmp_path / "cache")
    np.testing.assert_array_equal(layer.standardise.mean_, cache.scale().mean_)
    assert layer.standardise.count_ == len(cache) * 20
    assert layer.judges["knn"].level > 0


def test_an_explainer_learns_from_the_cache_and_sound_events_from_the_sound(short, tmp_path):
    plain = {**SETTINGS, "model": "sound-events", "explainer": SETTINGS["model"]}
    with_cache, without = SoundSense(**plain), SoundSense(**plain)
    with_cache.learn(with_cache.open(short), Journal(cache=tmp_path / "cache"))
    without.learn(without.open(short))
    assert with_cache.level == without.level
    counts = [sense.layers["windows"].standardise.count_ for sense in (with_cache, without)]
    assert counts[0] > counts[1] == 32 * 20


def test_where_nothing_learns_from_windows_the_cache_is_left_alone(short, tmp_path):
    remarks: list[str] = []
    sense = SoundSense(**{**SETTINGS, "model": "sound-events", "explainer": "none"})
    journal = Journal(cache=tmp_path / "cache", remark=remarks.append)
    sense.learn(sense.open(short), journal)
    assert "nothing here learns from fixed windows" in remarks[0]
    assert not (tmp_path / "cache").exists()


# --- broken off ----------------------------------------------------------------------------------


class Killed(Exception):  # noqa: N818  what the tests raise in place of a power cut
    pass


def killed_after(blocks: int) -> Progress:
    left = [blocks]

    def progress(step: str, done: float, total: float) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    return progress


@pytest.mark.parametrize("blocks", range(8))
def test_broken_off_anywhere_it_ends_with_the_same_bytes(blocks, recordings, cache, tmp_path):
    with pytest.raises(Killed):
        opened(tmp_path / "c", order_of(recordings), killed_after(blocks))
    assert not (tmp_path / "c/cache.toml").exists()
    opened(tmp_path / "c", order_of(recordings))
    assert contents(tmp_path / "c") == contents(cache.folder)


@pytest.mark.parametrize("writes", range(0, 12, 2))
def test_on_a_full_disk_what_is_there_is_whole(writes, recordings, cache, tmp_path, monkeypatch):
    left, sync = [writes], os.fsync

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"disk full.*it goes on where it stopped"):
        opened(tmp_path / "c", order_of(recordings))
    assert set(contents(tmp_path / "c")) <= set(contents(cache.folder))
    monkeypatch.setattr(os, "fsync", sync)
    opened(tmp_path / "c", order_of(recordings))
    assert contents(tmp_path / "c") == contents(cache.folder)


def test_a_recording_that_changed_while_the_cache_was_half_built_is_noticed(recordings, tmp_path):
    folder = tmp_path / "r"
    shutil.copytree(recordings, folder)
    with pytest.raises(Killed):
        opened(tmp_path / "c", order_of(folder), killed_after(2))
    write(folder / "a.wav", LENGTHS_S["a"], 99)
    with pytest.raises(RunError, match=r"c is stale: a.wav has another content; .*delete"):
        opened(tmp_path / "c", order_of(folder))


def test_two_processes_do_not_build_the_same_part(recordings, tmp_path):
    def meanwhile(step: str, done: float, total: float) -> None:
        with pytest.raises(RunError, match="is being built by another process: wait for it"):
            build(tmp_path / "c", order_of(recordings), Part())
        raise Killed

    with pytest.raises(Killed):
        build(tmp_path / "c", order_of(recordings), Part(), meanwhile)


# --- broken recordings ---------------------------------------------------------------------------


def test_a_recording_that_breaks_is_used_until_there_and_listed(recordings, tmp_path, monkeypatch):
    from raravis.errors import RecordingError
    from raravis.sources.audio import AudioSource

    order, blocks = order_of(recordings), AudioSource.blocks

    def breaking(self, recording, from_s=0.0, *more):
        for block in blocks(self, recording, from_s, *more):
            if recording == 2 and block.start_s >= 300:
                raise RecordingError("c.wav", "breaks after 300 s")
            yield block

    monkeypatch.setattr(AudioSource, "blocks", breaking)
    cache = opened(tmp_path / "c", order)
    windows = order.source.windows
    lost = (windows.recording == 2) & (windows.start_s >= 300)
    assert lost.any() and len(cache) == len(windows) - lost.sum()
    assert [(s.path, s.reason) for s in cache.skipped] == [("c.wav", "breaks after 300 s")]


def test_where_nothing_can_be_read_that_is_said(recordings, tmp_path):
    folder = tmp_path / "r"
    folder.mkdir()
    write(folder / "a.wav", 3, 0)
    order = order_of(folder)
    (folder / "a.wav").unlink()
    with pytest.raises(NothingToRead, match=r"no window could be read.*a.wav: cannot be read"):
        opened(tmp_path / "c", order)


# --- stale ---------------------------------------------------------------------------------------


def touched(folder: Path) -> None:
    os.utime(folder / "a.wav", ns=(1, 1))


def changed(folder: Path) -> None:
    with (folder / "a.wav").open("r+b") as file:  # one sample, the size stays
        file.seek(5000)
        file.write(b"\x01\x7f")


def longer(folder: Path) -> None:
    write(folder / "b.wav", 5.5, 0)


def gone(folder: Path) -> None:
    (folder / "d.wav").unlink()


def new(folder: Path) -> None:
    write(folder / "f.wav", 3, 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed, "a.wav has another content"),
        (longer, "b.wav has another content"),
        (gone, "d.wav is gone"),
        (new, "f.wav is new"),
    ],
)
def test_a_cache_of_other_recordings_is_stale(
    change: Callable[[Path], None], said: str, recordings, cache, tmp_path
):
    shutil.copytree(recordings, tmp_path / "r")
    change(tmp_path / "r")
    with pytest.raises(RunError, match=rf"is stale: {said}; give the settings and recordings"):
        opened(cache.folder, order_of(tmp_path / "r"))


def test_a_copy_of_the_same_content_is_no_other_recording(recordings, cache, tmp_path):
    shutil.copytree(recordings, tmp_path / "r")
    touched(tmp_path / "r")
    assert len(opened(cache.folder, order_of(tmp_path / "r"))) == len(cache)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"features": {"mels": 8, "frames_per_s": 10.0}}, r"frames_per_s 20.0 \(here 10.0\)"),
        ({"source": {"hop_s": 1.0}}, r"source.hop_s 0.5 \(here 1.0\)"),
        ({"source": {"window_s": 2.0}}, r"source.window_s 1.0 \(here 2.0\)"),
        ({"source": {"rate_hz": 2000}}, r"source.rate_hz 4000 \(here 2000\)"),
    ],
)
def test_a_cache_of_other_settings_is_stale(settings, said, recordings, cache):
    with pytest.raises(RunError, match=rf"is stale: .*{said}.*name another folder"):
        opened(cache.folder, order_of(recordings, **settings))


def test_settings_that_leave_the_windows_alone_leave_the_cache_alone(recordings, cache):
    other = {"model": "lstm-ae", "training": {"validation": 0.3}, "seed": 5}
    assert len(opened(cache.folder, order_of(recordings, **{**other, "model": "conv-ae"}))) > 0
    assert cache.windows(cache.scale(), 0.3).held_back.sum() == round(0.3 * len(cache))


def test_a_cache_of_another_type_serves_learning_and_is_not_written_over(recordings, cache):
    assert opened(cache.folder, order_of(recordings, "uint8")).coding.dtype == "float16"
    with pytest.raises(RunError, match=r"stale: its windows are float16 \(here uint8\)"):
        written(cache.folder, order_of(recordings, "uint8"), Part())


def test_a_cache_of_another_format_is_refused(recordings, cache, tmp_path):
    shutil.copytree(cache.folder, tmp_path / "c")
    note = tmp_path / "c/cache.toml"
    note.write_text(note.read_text().replace("format = 1", "format = 9"))
    with pytest.raises(RunError, match=r"has format 9, and this raravis reads 1: delete it"):
        opened(tmp_path / "c", order_of(recordings))


def test_a_folder_of_something_else_is_not_written_into(recordings, tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(RunError, match=r"holds other files \(letters.txt\): name a new folder"):
        opened(tmp_path, order_of(recordings))


@pytest.mark.parametrize("harm", ["missing", "shorter", "another"])
def test_a_cache_that_lost_a_shard_is_called_broken(harm, cache, tmp_path):
    shutil.copytree(cache.folder, tmp_path / "c")
    shard = tmp_path / "c" / cache.table["shards"][0]["file"]
    if harm == "missing":
        shard.unlink()
    elif harm == "shorter":
        os.truncate(shard, 5000)
    else:
        np.save(shard, np.zeros(3))
    with pytest.raises(RunError, match=r"c is broken: 00000.npy .*delete it to build it anew"):
        Cache.open(tmp_path / "c")


def test_a_shard_that_shrinks_while_it_is_read_is_noticed(cache, tmp_path):
    shutil.copytree(cache.folder, tmp_path / "c")
    again = Cache.open(tmp_path / "c")
    os.truncate(tmp_path / "c" / cache.table["shards"][0]["file"], 5000)
    with pytest.raises(RunError, match="a shard has become shorter"):
        again.kept(np.arange(100))


# --- in parts ------------------------------------------------------------------------------------


def test_parts_built_in_any_order_are_the_same_cache(recordings, cache, tmp_path):
    for part in ("3/3", "1/3"):
        missing = written(tmp_path / "c", order_of(recordings), Part.parse(part))
    assert missing == [2]
    with pytest.raises(RunError, match=r"part 2/3 missing or unfinished; .* --shard 2/3"):
        opened(tmp_path / "c", order_of(recordings))
    joined = written(tmp_path / "c", order_of(recordings), Part(2, 3))
    assert isinstance(joined, Cache)
    rows = np.arange(len(cache))
    np.testing.assert_array_equal(joined.kept(rows), cache.kept(rows))
    for column in ("recording", "start_s", "split"):
        np.testing.assert_array_equal(joined.index[column], cache.index[column])
    np.testing.assert_allclose(joined.scale().mean_, cache.scale().mean_, rtol=1e-12)
    assert joined.table["recordings"] == cache.table["recordings"]


def test_more_parts_than_recordings_leave_some_empty(recordings, cache, tmp_path):
    for number in range(1, 8):
        made = written(tmp_path / "c", order_of(recordings), Part(number, 7))
    assert isinstance(made, Cache) and len(made) == len(cache)


def test_the_first_to_open_joins_what_nobody_joined(recordings, cache, tmp_path):
    for number in (1, 2):
        build(tmp_path / "c", order_of(recordings), Part(number, 2))
    assert len(opened(tmp_path / "c", order_of(recordings))) == len(cache)


def test_parts_must_agree(recordings, tmp_path):
    build(tmp_path / "c", order_of(recordings), Part(1, 2))
    with pytest.raises(RunError, match=r"was divided otherwise: it holds part-01-of-02"):
        build(tmp_path / "c", order_of(recordings), Part(1, 3))
    build(tmp_path / "c", order_of(recordings, "uint8"), Part(2, 2))
    with pytest.raises(RunError, match=r"stale: part-02-of-02 has coding.dtype float16 \(here ui"):
        join(tmp_path / "c", 0.15)


def test_parts_are_named_as_people_count():
    assert Part.parse("3/16") == Part(3, 16) and str(Part(3, 16)) == "3/16"
    with pytest.raises(ParameterError, match="expected a part such as 3/16, got '3'"):
        Part.parse("3")
    with pytest.raises(ParameterError, match="from 1/16 to 16/16, got 0/16"):
        Part.parse("0/16")
