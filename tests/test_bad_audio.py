"""Files that are broken, empty, lying or no sound at all: each is named, and the rest is read."""

from __future__ import annotations

import os
import re
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from raravis.errors import NothingToRead, RecordingError
from raravis.sources.audio import AudioSource
from raravis.windows import Skipped

RATE = 8000
NOISE = (0.1 * np.random.default_rng(0).normal(size=2 * RATE)).astype(np.float32)
CODINGS = {
    "a.wav": ("WAV", "PCM_16"),
    "b.wav": ("WAV", "PCM_24"),
    "c.wav": ("WAV", "FLOAT"),
    "d.wav": ("WAVEX", "PCM_U8"),
    "e.wav": ("WAV", "IMA_ADPCM"),
    "f.flac": ("FLAC", "PCM_16"),
    "g.ogg": ("OGG", "VORBIS"),
    "h.ogg": ("OGG", "OPUS"),
    "i.mp3": ("MP3", "MPEG_LAYER_III"),
    "j.aiff": ("AIFF", "PCM_16"),
    "k.w64": ("W64", "PCM_16"),
}


def encoded(folder: Path, name: str, samples: np.ndarray = NOISE) -> bytes:
    """A sound file as bytes."""
    kind, subtype = CODINGS[name]
    path = folder / f"whole_{name}"
    soundfile.write(path, samples, RATE, format=kind, subtype=subtype)
    content = path.read_bytes()
    path.unlink()
    return content


def with_header(content: bytes, at: int, form: str, value: int) -> bytes:
    """The file with one field of its header changed."""
    changed = bytearray(content)
    struct.pack_into(form, changed, at, value)
    return bytes(changed)


@pytest.fixture
def folder(tmp_path):
    """A folder with one good recording, beside which the bad ones are laid."""
    soundfile.write(tmp_path / "good.wav", NOISE, RATE)
    return tmp_path


def only_skipped(folder: Path) -> Skipped:
    """What was skipped, where only one was, and the good recording was not."""
    source = AudioSource(folder)
    assert "good.wav" in [r.name for r in source.recordings]
    assert len(source[0]) == RATE
    assert len(source.skipped) == 1
    return source.skipped[0]


# --------------------------------------------------------------------------- what it is instead


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"^is empty$"),
        (b"dear diary, today no bird sang\n" * 100, r"^is text, not sound$"),
        (b"PK\x03\x04" + bytes(500), r"^is a ZIP archive, not sound$"),
        (b"\xff\xd8\xff\xe0" + bytes(500), r"^is a JPEG picture, not sound$"),
        (bytes(5000), r"^cannot be read as sound \(format not recognised\)$"),
        (b"RIFF\x00\x00\x00\x00WAVE", r"^cannot be read as sound \("),
        (b"fLaC" + bytes(100), r"^cannot be read as sound \("),
        (b"OggS" + bytes(100), r"^cannot be read as sound \("),
        (np.random.default_rng(0).bytes(100_000), r"^cannot be read as sound \(format not"),
    ],
)
@pytest.mark.parametrize("suffix", [".wav", ".mp3"])
def test_what_is_no_sound_is_skipped_and_named(folder, content, reason, suffix, capfd):
    (folder / f"bad{suffix}").write_bytes(content)
    skipped = only_skipped(folder)
    assert Path(skipped.path).name == f"bad{suffix}"
    assert re.search(reason, skipped.reason), skipped.reason
    assert capfd.readouterr() == ("", "")


def test_a_broken_link_is_skipped(folder):
    (folder / "link.wav").symlink_to(folder / "gone.wav")
    assert "is a link to" in only_skipped(folder).reason


def test_a_folder_called_like_a_recording_is_skipped(folder):
    (folder / "folder.wav").mkdir()
    assert only_skipped(folder).reason == "is a folder, not a recording"


def test_a_pipe_is_skipped_and_not_waited_for(folder):
    os.mkfifo(folder / "pipe.wav")
    assert only_skipped(folder).reason == "is no regular file, not a recording"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_skipped(folder):
    soundfile.write(folder / "secret.wav", NOISE, RATE)
    (folder / "secret.wav").chmod(0)
    (folder / "closed").mkdir(mode=0)
    (folder / "listed").mkdir()
    soundfile.write(folder / "listed" / "a.wav", NOISE, RATE)
    (folder / "listed").chmod(0o400)
    reasons = [s.reason for s in AudioSource(folder).skipped]
    assert reasons == [
        "cannot be looked into (Permission denied)",
        "cannot be opened (Permission denied)",
        "cannot be opened (Permission denied)",
    ]
    with pytest.raises(NothingToRead, match=r"a.wav: cannot be opened \(Permission denied\)"):
        AudioSource(folder / "listed" / "a.wav")
    for name in ("closed", "listed"):
        (folder / name).chmod(0o700)  # so that the folder can be cleared away


# --------------------------------------------------------------------------- headers that lie


@pytest.mark.parametrize("channels", [65, 1024])
def test_too_many_channels_are_refused_before_memory_is_asked_for(folder, channels):
    path = folder / "many.wav"
    soundfile.write(path, np.zeros((RATE * 2, channels), dtype=np.int16), RATE)
    tracemalloc.start()
    reason = only_skipped(folder).reason
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()
    assert reason.startswith(f"has {channels} channels, at most 64 are read")


def test_64_channels_are_read_in_bounded_memory(tmp_path):
    soundfile.write(tmp_path / "many.wav", np.ones((RATE * 60, 64), dtype=np.int16), RATE)
    source = AudioSource(tmp_path)
    tracemalloc.start()
    block = next(source.blocks(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32e6  # the block alone, decoded at once, takes 123 MB
    np.testing.assert_allclose(block.samples, 1 / 32768)


@pytest.mark.parametrize(
    ("at", "form", "value", "reason"),
    [
        (24, "<I", 0, r"cannot be read as sound"),  # rate
        (24, "<I", 1, r"says it was sampled at 1 Hz; at least 100 Hz is sound"),
        (24, "<I", 2**32 - 1, r"cannot be read as sound"),
        (22, "<H", 0, r"cannot be read as sound \(channel count is zero\)"),
        (22, "<H", 1024, r"has 1024 channels"),
        (40, "<I", 0, r"its header says that no samples follow \(32044 bytes on disk\)"),
    ],
)
def test_impossible_headers_are_refused(folder, at, form, value, reason):
    content = with_header(encoded(folder, "a.wav"), at, form, value)
    (folder / "lies.wav").write_bytes(content)
    assert re.match(reason, only_skipped(folder).reason)


@pytest.mark.parametrize("name", ["a.wav", "c.wav", "f.flac", "i.mp3", "j.aiff"])
def test_what_was_cut_short_is_used_as_far_as_it_goes_and_listed(folder, name):
    content = encoded(folder, name)
    path = folder / f"cut_{name}"
    path.write_bytes(content[: len(content) * 3 // 4])
    source = AudioSource(folder)
    cut = next(r for r in source.recordings if r.name == path.name)
    assert 1 < cut.duration_s < 1.8
    number = source.recordings.index(cut)
    np.testing.assert_allclose(source.read(number, 0, 1), NOISE[:RATE], atol=0.2)
    assert sum(len(b.samples) for b in source.blocks(number, margin_s=0)) == round(
        cut.duration_s * RATE
    )
    assert [Path(s.path).name for s in source.skipped] == [path.name]
    assert re.match(
        r"ends after 1\.\d\d s where its header promises 2\.0\d; what is there is used",
        source.skipped[0].reason,
    )


def test_a_header_that_promises_a_day_is_not_believed(folder):
    content = with_header(encoded(folder, "a.wav"), 40, "<I", 86400 * RATE * 2)
    (folder / "lies.wav").write_bytes(content)
    source = AudioSource(folder)
    assert {r.duration_s for r in source.recordings} == {2.0}
    assert "ends after 2.00 s where its header promises 86400.00" in source.skipped[0].reason


@pytest.mark.parametrize("promised", [b"\x0f\xff\xff\xff\xff", b"\x00\x00\x00\x00\x00"])
def test_a_flac_that_does_not_know_its_length_is_read_to_its_end(tmp_path, promised):
    # 36 bits of the header hold it; zero is what an encoder writes that cannot go back.
    content = bytearray(encoded(tmp_path, "f.flac"))
    content[21] = content[21] & 0xF0 | promised[0]
    content[22:26] = promised[1:]
    (tmp_path / "a.flac").write_bytes(content)
    source = AudioSource(tmp_path)
    assert 2 - 2 / RATE <= source.recordings[0].duration_s <= 2
    np.testing.assert_allclose(source[0], NOISE[:RATE], atol=1e-4)


def test_a_wav_streamed_without_a_length_is_whole(folder):
    # ffmpeg, writing into a pipe, puts the largest number there is.
    content = with_header(encoded(folder, "a.wav"), 40, "<I", 2**32 - 1)
    (folder / "streamed.wav").write_bytes(with_header(content, 4, "<I", 2**32 - 1))
    source = AudioSource(folder)
    assert ([r.duration_s for r in source.recordings], source.skipped) == ([2.0, 2.0], [])


# --------------------------------------------------------------------------- samples


def test_samples_that_are_no_numbers_become_zero_and_are_listed_once(tmp_path):
    samples = NOISE.copy()
    samples[[10, 20, 30, 40]] = [np.nan, np.inf, -np.inf, 1e30]
    soundfile.write(tmp_path / "nan.wav", samples, RATE, subtype="FLOAT")
    source = AudioSource(tmp_path)
    read = source.read(0, 0, 2)
    samples[[10, 20, 30, 40]] = 0
    np.testing.assert_array_equal(read, samples)
    list(source.blocks(0))
    assert len(source.skipped) == 1
    assert source.skipped[0].reason.startswith("has samples that are no numbers")
    with pytest.raises(RecordingError, match=r"nan.wav: has samples that are no numbers"):
        AudioSource(tmp_path, strict=True).read(0, 0, 1)


def test_silence_is_a_recording_like_any_other(tmp_path):
    soundfile.write(tmp_path / "silent.flac", np.zeros(2 * RATE), RATE)
    source = AudioSource(tmp_path)
    assert source.skipped == []
    np.testing.assert_array_equal(source[1], np.zeros(RATE))


def test_what_is_shorter_than_a_window_is_skipped(folder):
    soundfile.write(folder / "short.wav", NOISE[:3000], RATE)
    assert only_skipped(folder).reason == "lasts 0.375 s, shorter than one window of 1 s"


# --------------------------------------------------------------------------- while reading


def test_a_file_that_disappears_is_reported_when_it_is_read(folder):
    source = AudioSource(folder)
    (folder / "good.wav").unlink()
    attempts = (lambda: source[0], lambda: source.read(0, 0, 1), lambda: list(source.blocks(0)))
    for attempt in attempts:
        with pytest.raises(RecordingError, match=r"good.wav: cannot be opened \(No such file"):
            attempt()


def test_a_file_that_shrinks_is_reported_when_it_is_read(folder):
    source = AudioSource(folder)
    os.truncate(folder / "good.wav", 10_000)
    with pytest.raises(RecordingError, match=r"good.wav: cannot be decoded between"):
        source.read(0, 1, 2)


@pytest.mark.parametrize("name", ["f.flac", "g.ogg", "i.mp3"])
def test_damage_in_the_middle_is_reported_where_it_lies(tmp_path, name):
    content = bytearray(encoded(tmp_path, name, np.tile(NOISE, 50)))
    middle = len(content) // 2
    content[middle : middle + 1500] = np.random.default_rng(1).bytes(1500)
    (tmp_path / name).write_bytes(content)
    source = AudioSource(tmp_path)
    assert len(source.read(0, 0, 5)) == 5 * RATE
    if source.skipped:  # an MP3 whose end cannot be reached any more counts as cut short
        assert "what is there is used" in source.skipped[0].reason
    else:
        with pytest.raises(RecordingError, match=r"cannot be decoded between"):
            source.read(0, 40, 60)


# --------------------------------------------------------------------------- strict, and nothing


def test_strict_raises_at_the_first_bad_file(folder):
    (folder / "bad.wav").write_bytes(b"")
    with pytest.raises(RecordingError, match=r"bad.wav: is empty") as caught:
        AudioSource(folder, strict=True)
    assert Path(caught.value.path).name == "bad.wav"


def test_strict_raises_for_what_is_only_in_part_there(folder):
    (folder / "cut.wav").write_bytes(encoded(folder, "a.wav")[:30000])
    with pytest.raises(RecordingError, match=r"cut.wav: ends after 1.87 s"):
        AudioSource(folder, strict=True)


def test_nothing_to_read_says_what_was_looked_for_and_why_not(tmp_path):
    for i in range(5):
        (tmp_path / f"{i}.wav").write_bytes(b"")
    with pytest.raises(
        NothingToRead,
        match=r"no recording to read in .*: looked for \.wav, \.flac, .*\. "
        r"Skipped: 0.wav: is empty; 1.wav: is empty; 2.wav: is empty and 2 more\.",
    ):
        AudioSource(tmp_path)


def test_an_empty_folder_is_nothing_to_read(tmp_path):
    with pytest.raises(NothingToRead, match=r"no recording to read in .*: looked for \.wav"):
        AudioSource(tmp_path)


# --------------------------------------------------------------------------- anything at all


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(0, len(content))]


def flip_anywhere(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for at in rng.integers(0, len(content), size=rng.integers(1, 30)):
        changed[at] = rng.integers(0, 256)
    return bytes(changed)


def flip_in_header(content: bytes, rng: np.random.Generator) -> bytes:
    return flip_anywhere(content[:100], rng) + content[100:]


def lie_in_header(content: bytes, rng: np.random.Generator) -> bytes:
    lies = [0, 1, 2**24, 2**31 - 1, 2**31, 2**32 - 16, 2**32 - 1]
    form = str(rng.choice(["<I", ">I"]))
    return with_header(content, int(rng.integers(0, 90)), form, int(rng.choice(lies)))


def insert(content: bytes, rng: np.random.Generator) -> bytes:
    at = rng.integers(0, len(content))
    return content[:at] + rng.bytes(int(rng.integers(1, 5000))) + content[at:]


def remove(content: bytes, rng: np.random.Generator) -> bytes:
    at = rng.integers(0, len(content))
    return content[:at] + content[at + rng.integers(1, 3000) :]


def read_through(path: Path) -> None:
    """Reads all there is, and checks that it is sound."""
    source = AudioSource(path, window_s=0.1, hop_s=0.1)
    for block in source.blocks(0, length_s=1, margin_s=0.1):
        assert block.samples.dtype == np.float32
        assert np.isfinite(block.samples).all()
        assert block.end_s < 60
    source[len(source) - 1]


@pytest.mark.parametrize("name", CODINGS)
@pytest.mark.parametrize(
    "harm", [cut, flip_anywhere, flip_in_header, lie_in_header, insert, remove]
)
def test_whatever_befalls_a_file_it_is_read_or_refused(
    tmp_path, name, harm: Callable[[bytes, np.random.Generator], bytes], capfd
):
    rng = np.random.default_rng(sum(map(ord, name + harm.__name__)))
    content = encoded(tmp_path, name)
    path = tmp_path / name
    tracemalloc.start()
    for _ in range(12):
        path.write_bytes(harm(content, rng))
        try:
            read_through(path)
        except (RecordingError, NothingToRead) as error:
            assert name in str(error)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32e6
    assert capfd.readouterr() == ("", "")
