"""The audio source: what it finds, how it cuts, and that every sample is the right one."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from raravis import sources
from raravis.errors import DataError, NothingToRead, ParameterError, RecordingError
from raravis.sources.audio import AudioSource
from real_data import real_data

RATE = 8000
CODINGS = {
    "u8.wav": ("WAV", "PCM_U8", 1e-2),
    "16.wav": ("WAV", "PCM_16", 1e-4),
    "24.wav": ("WAV", "PCM_24", 1e-6),
    "32.wav": ("WAV", "PCM_32", 1e-7),
    "float.wav": ("WAV", "FLOAT", 0),
    "double.wav": ("WAV", "DOUBLE", 0),
    "extensible.wav": ("WAVEX", "PCM_16", 1e-4),
    "16.flac": ("FLAC", "PCM_16", 1e-4),
    "24.flac": ("FLAC", "PCM_24", 1e-6),
    "16.aiff": ("AIFF", "PCM_16", 1e-4),
    "vorbis.ogg": ("OGG", "VORBIS", 0.1),
    "opus.ogg": ("OGG", "OPUS", 0.1),
    "layer3.mp3": ("MP3", "MPEG_LAYER_III", 0.1),
}


def chirp(seconds: float, rate_hz: int = RATE, seed: int = 0) -> np.ndarray:
    """A rising tone in soft noise, (S,) float32: no two stretches of it are alike."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    tone = 0.4 * np.sin(2 * np.pi * (200 * t + 20 * t**2))
    noise = 0.01 * np.random.default_rng(seed).normal(size=len(t))
    return (tone + noise).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate_hz: int = RATE, subtype: str = "FLOAT") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix.lower().lstrip(".").replace("aif", "aiff").replace("aifff", "aiff")
    soundfile.write(path, samples, rate_hz, format=kind.upper(), subtype=subtype)
    return path


def joined(source: AudioSource, **options: float) -> np.ndarray:
    """The first recording put together again from its blocks without their margins."""
    parts = []
    for block in source.blocks(0, **options):
        start = round(block.start_s * block.rate_hz) - block.first_sample
        stop = round(block.end_s * block.rate_hz) - block.first_sample
        parts.append(block.samples[start:stop])
    return np.concatenate(parts)


# --------------------------------------------------------------------------- formats


@pytest.mark.parametrize("name", CODINGS)
def test_every_coding_is_read(tmp_path, name):
    kind, subtype, tolerance = CODINGS[name]
    samples = chirp(3)
    soundfile.write(tmp_path / name, samples, RATE, format=kind, subtype=subtype)
    source = AudioSource(tmp_path)
    assert source.recordings[0].duration_s == 3
    assert len(source) == 5
    np.testing.assert_allclose(source.read(0, 1, 2), samples[RATE : 2 * RATE], atol=tolerance)


@pytest.mark.parametrize("name", CODINGS)
def test_a_stretch_is_the_same_however_it_is_reached(tmp_path, name):
    kind, subtype, _ = CODINGS[name]
    soundfile.write(tmp_path / name, chirp(20), RATE, format=kind, subtype=subtype)
    source = AudioSource(tmp_path)
    whole, _ = soundfile.read(tmp_path / name, dtype="float32")
    for start_s in (0, 0.1234, 7, 12.5, 19.9):
        stretch = source.read(0, start_s, start_s + 1)
        start = round(start_s * RATE)
        np.testing.assert_allclose(stretch, whole[start : start + RATE], atol=1e-6)
    np.testing.assert_allclose(joined(source, length_s=3, margin_s=0.5), whole, atol=1e-6)


@pytest.mark.parametrize("kilobits", [16, 64])
def test_mp3_of_few_bits_is_cut_sample_for_sample(tmp_path, kilobits):
    # Frames of such files borrow bits from many frames before: a plain seek decodes them wrongly.
    rng = np.random.default_rng(0)
    level = 1 - kilobits / 320
    path = tmp_path / "low.mp3"
    with soundfile.SoundFile(
        path, "w", 22050, 1, "MPEG_LAYER_III", format="MP3", compression_level=level
    ) as file:
        file.write(0.1 * rng.normal(size=22050 * 20))
    whole, _ = soundfile.read(path, dtype="float32")
    source = AudioSource(path)
    for start in rng.integers(0, 18 * 22050, size=20):
        stretch = source.read(0, start / 22050, (start + 3000) / 22050)
        np.testing.assert_allclose(stretch, whole[start : start + 3000], atol=1e-6)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_is_cut_sample_for_sample_to_its_end(tmp_path, subtype):
    # libsndfile's own seek misses in the last page, and now and then from an open file.
    samples = 0.1 * np.random.default_rng(0).normal(size=RATE * 30)
    soundfile.write(tmp_path / "a.ogg", samples, RATE, format="OGG", subtype=subtype)
    whole, _ = soundfile.read(tmp_path / "a.ogg", dtype="float32")
    source = AudioSource(tmp_path, window_s=0.1)
    for start in [*np.random.default_rng(1).integers(0, len(whole) - 800, 15), len(whole) - 800]:
        stretch = source.read(0, start / RATE, (start + 800) / RATE)
        np.testing.assert_allclose(stretch, whole[start : start + 800], atol=1e-6)


def test_decoders_keep_quiet(tmp_path, capfd):
    soundfile.write(tmp_path / "a.mp3", chirp(20), RATE)
    joined(AudioSource(tmp_path), length_s=3, margin_s=0.5)
    assert capfd.readouterr() == ("", "")


def test_a_flac_that_is_called_wav_is_read_all_the_same(tmp_path):
    soundfile.write(tmp_path / "a.flac", chirp(2), RATE)
    (tmp_path / "a.flac").rename(tmp_path / "a.wav")
    assert AudioSource(tmp_path).recordings[0].duration_s == 2


# --------------------------------------------------------------------------- collections


def test_folders_are_searched_through_and_named_from_where_one_stands(tmp_path):
    for name in ("b/2.WAV", "b/deep/3.Wav", "a.wav", "c.AIFF"):
        write(tmp_path / name, chirp(1), subtype="PCM_16")
    for name in (".hidden.wav", "._a.wav", ".trash/x.wav", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("nothing to hear")
    source = AudioSource(tmp_path)
    assert [r.name for r in source.recordings] == ["a.wav", "b/2.WAV", "b/deep/3.Wav", "c.AIFF"]
    assert source.skipped == []


def test_names_stay_unique_where_folders_hold_the_same_ones(tmp_path):
    for name in ("north/a.wav", "south/a.wav", "south/b.wav"):
        write(tmp_path / name, chirp(1))
    source = AudioSource([tmp_path / "north", tmp_path / "south"])
    assert [r.name for r in source.recordings] == ["b.wav", "north/a.wav", "south/a.wav"]


def test_nothing_is_read_twice(tmp_path):
    path = write(tmp_path / "a.wav", chirp(1))
    assert len(AudioSource([tmp_path, path, path]).recordings) == 1


def test_folders_that_link_in_a_circle_are_searched_once(tmp_path):
    write(tmp_path / "in" / "a.wav", chirp(1))
    (tmp_path / "in" / "again").symlink_to(tmp_path)
    assert len(AudioSource(tmp_path).recordings) == 1


def test_a_file_is_taken_whatever_it_is_called(tmp_path):
    write(tmp_path / "a.wav", chirp(1)).rename(tmp_path / "recording.bin")
    assert len(AudioSource(tmp_path / "recording.bin")) == 1


def test_recordings_come_in_order_of_time_then_name(tmp_path):
    for name in ("z_20190522_040000.wav", "a_20190522_050000.wav", "no_time.wav", "also.wav"):
        write(tmp_path / name, chirp(1))
    source = AudioSource(tmp_path)
    assert [r.name[0] for r in source.recordings] == ["z", "a", "a", "n"]
    assert source.recordings[0].time_at(0.5) == datetime(2019, 5, 22, 4, 0, 0, 500000, UTC)
    assert source.recordings[3].start_time is None


def test_the_header_of_audiomoth_tells_the_time_before_the_name_does(tmp_path):
    with soundfile.SoundFile(tmp_path / "20190522_060000.WAV", "w", RATE, 1, "PCM_16") as file:
        file.comment = "Recorded at 06:00:00 22/05/2019 (UTC+2) by AudioMoth 24F31901"
        file.write(chirp(1))
    assert AudioSource(tmp_path).recordings[0].start_time == datetime(2019, 5, 22, 4, tzinfo=UTC)


def test_is_made_by_name():
    assert sources.get("audio") is AudioSource
    with pytest.raises(
        ParameterError, match=r"source 'audio' has no setting 'hop': it has paths, "
    ):
        sources.create("audio", hop=1)


# --------------------------------------------------------------------------- windows


@pytest.mark.parametrize(
    ("seconds", "window_s", "hop_s", "count"),
    [(10, 1, 0.5, 19), (10, 0.2, 0.2, 50), (60, 25, 25, 2), (1, 1, 0.5, 1), (10.3, 1, 1, 10)],
)
def test_windows_are_counted_as_far_as_they_fit(tmp_path, seconds, window_s, hop_s, count):
    write(tmp_path / "a.wav", chirp(seconds))
    source = AudioSource(tmp_path, window_s, hop_s)
    assert len(source) == len(source.windows) == count
    np.testing.assert_allclose(source.windows.start_s, np.arange(count) * hop_s, atol=1e-9)
    np.testing.assert_allclose(source.windows.end_s - source.windows.start_s, window_s, atol=1e-9)


def test_a_window_is_the_stretch_between_its_times(tmp_path):
    for name in ("a.wav", "b.wav"):
        write(tmp_path / name, chirp(3, seed=ord(name[0])))
    source = AudioSource(tmp_path, window_s=0.7, hop_s=0.31)
    windows = source.windows
    for i in range(len(source)):
        same = source.read(int(windows.recording[i]), windows.start_s[i], windows.end_s[i])
        np.testing.assert_array_equal(source[i], same)
    np.testing.assert_array_equal(source[-1], source[len(source) - 1])
    with pytest.raises(IndexError, match="window 16 of 16"):
        source[len(source)]


def silence(path: Path, seconds: int, rate_hz: int) -> None:
    """A long 16-bit WAV of zeros that takes next to no space on disk."""
    soundfile.write(path, np.zeros(1), rate_hz, "PCM_16")
    size = seconds * rate_hz * 2
    with path.open("r+b") as file:
        for at, value in ((4, size + 36), (40, size)):
            file.seek(at)
            file.write(struct.pack("<I", value))
        file.truncate(44 + size)


def test_windows_do_not_drift_in_six_hours(tmp_path):
    # 22050 / 64 is no whole number: a rounded hop would lose 5 windows in 6 hours.
    rate, hop_s, seconds = 22050, 1 / 64, 6 * 3600
    silence(tmp_path / "long.wav", seconds, rate)
    source = AudioSource(tmp_path, window_s=hop_s, hop_s=hop_s)
    starts = source.windows.start_s
    assert len(starts) == seconds * 64
    assert np.abs(starts - np.arange(len(starts)) * hop_s).max() < 0.501 / rate
    assert starts[-64] == seconds - 1


# --------------------------------------------------------------------------- channels, rates


def test_channels_are_mixed_down_or_picked(tmp_path):
    left, right = chirp(2, seed=1), -0.5 * chirp(2, seed=2)
    write(tmp_path / "a.wav", np.stack([left, right], axis=1))
    mixed = AudioSource(tmp_path).read(0, 0, 2)
    np.testing.assert_allclose(mixed, (left + right) / 2, atol=1e-7)
    np.testing.assert_array_equal(AudioSource(tmp_path, channel=1).read(0, 0, 2), right)
    assert AudioSource(tmp_path).recordings[0].channels == 2


def test_the_most_common_rate_is_taken_and_the_others_are_resampled(tmp_path):
    for name, rate in (("a.wav", 8000), ("b.wav", 8000), ("c.wav", 11025)):
        write(tmp_path / name, chirp(2, rate), rate)
    source = AudioSource(tmp_path)
    assert (source.rate_hz, source.resampled) == (8000, ["c.wav"])
    assert {len(source[i]) for i in range(len(source))} == {8000}
    assert AudioSource(tmp_path, rate_hz=11025).resampled == ["a.wav", "b.wav"]


def test_of_two_equally_common_rates_the_one_with_more_sound_is_taken(tmp_path):
    write(tmp_path / "a.wav", chirp(2, 11025), 11025)
    write(tmp_path / "b.wav", chirp(5, 8000), 8000)
    assert AudioSource(tmp_path).rate_hz == 8000


@pytest.mark.parametrize(
    ("rate", "to"), [(11025, 8000), (8000, 22050), (48000, 22050), (8000, 500)]
)
def test_blocks_resample_like_the_whole_file_at_once(tmp_path, rate, to):
    samples = chirp(13.4, rate)
    write(tmp_path / "a.wav", samples, rate)
    source = AudioSource(tmp_path, rate_hz=to)
    whole = soxr.resample(samples, rate, to, "HQ")
    again = joined(source, length_s=4, margin_s=1)
    assert len(again) == len(whole)
    assert np.abs(again - whole).max() < 1e-5 * np.abs(whole).max()  # -100 dB


def test_resampling_lets_nothing_alias(tmp_path):
    tone = np.sin(2 * np.pi * 0.55 * 8000 * np.arange(24000) / 24000)  # above half of 8000 Hz
    write(tmp_path / "a.wav", tone.astype(np.float32), 24000)
    heard = AudioSource(tmp_path, window_s=0.5, rate_hz=8000).read(0, 0.25, 0.75)
    assert 20 * np.log10(np.abs(heard).max()) < -100


# --------------------------------------------------------------------------- blocks


def test_blocks_lie_on_a_grid_and_cover_everything_once(tmp_path):
    write(tmp_path / "a.wav", chirp(25.5))
    blocks = list(AudioSource(tmp_path).blocks(0, length_s=10, margin_s=2))
    assert [(b.start_s, b.end_s) for b in blocks] == [(0, 10), (10, 20), (20, 25.5)]
    assert [b.first_sample for b in blocks] == [0, 8 * RATE, 18 * RATE]
    assert [len(b.samples) for b in blocks] == [12 * RATE, 14 * RATE, 7.5 * RATE]
    assert {b.samples.dtype for b in blocks} == {np.dtype("float32")}


@pytest.mark.parametrize(
    ("name", "tolerance"), [("a.wav", 0), ("a.flac", 0), ("a.ogg", 0), ("a.mp3", 1e-6)]
)
def test_blocks_taken_up_again_at_a_border_are_the_same(tmp_path, name, tolerance):
    soundfile.write(tmp_path / name, chirp(25, 44100), 44100)
    source = AudioSource(tmp_path, rate_hz=RATE)
    first = list(source.blocks(0, length_s=10, margin_s=2))
    again = list(source.blocks(0, from_s=10, length_s=10, margin_s=2))
    assert [b.start_s for b in again] == [10, 20]
    for a, b in zip(first[1:], again, strict=True):
        np.testing.assert_allclose(a.samples, b.samples, rtol=0, atol=tolerance)


def test_blocks_refuse_lengths_that_make_no_sense(tmp_path):
    write(tmp_path / "a.wav", chirp(1))
    with pytest.raises(ParameterError, match=r"blocks need length_s >= 1 and margin_s >= 0, got 0"):
        next(AudioSource(tmp_path).blocks(0, length_s=0))


# --------------------------------------------------------------------------- parts of the day


def test_between_keeps_windows_and_blocks_of_that_part_of_the_day(tmp_path):
    write(tmp_path / "20190522_035950.wav", chirp(30))
    write(tmp_path / "20190522_120000.wav", chirp(30))
    source = AudioSource(tmp_path, between="04:00-04:00:15")
    assert [r.name for r in source.recordings] == ["20190522_035950.wav"]
    assert (source.windows.start_s[0], source.windows.end_s[-1]) == (10, 25)
    assert len(source) == 29
    np.testing.assert_array_equal(source[0], source.read(0, 10, 11))
    blocks = list(source.blocks(0, length_s=20, margin_s=2))
    assert [(b.start_s, b.end_s) for b in blocks] == [(10, 20), (20, 25)]
    assert blocks[0].first_sample == 8 * RATE


def test_between_goes_by_the_clock_of_the_time_zone(tmp_path):
    write(tmp_path / "20190522T040000Z.wav", chirp(2))  # six o'clock in Berlin
    assert len(AudioSource(tmp_path, between="06:00-07:00", timezone="Europe/Berlin")) == 3
    with pytest.raises(NothingToRead, match=r"of 1 none lies in the part of the day .* UTC"):
        AudioSource(tmp_path, between="06:00-07:00")


def test_between_skips_recordings_whose_start_is_not_known(tmp_path):
    write(tmp_path / "20190522_040000.wav", chirp(2))
    write(tmp_path / "unknown.wav", chirp(2))
    source = AudioSource(tmp_path, between="04:00-05:00")
    assert [Path(s.path).name for s in source.skipped] == ["unknown.wav"]
    assert "--between" in source.skipped[0].reason
    assert "--timezone" in source.skipped[0].reason


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_s": 0}, r"window_s must be a positive number of seconds, got 0"),
        ({"hop_s": float("nan")}, r"hop_s must be a positive number of seconds, got nan"),
        ({"hop_s": 1e-6}, r"at least one sample, 0.000125 s at 8000 Hz, got 1.0 and 1e-06"),
        ({"rate_hz": 50}, r"rate_hz must be at least 100, got 50"),
        ({"channel": -1}, r"channel must be 0 or more, got -1"),
        ({"between": "dawn"}, r"between must be two times of day"),
        ({"timezone": "Atlantis"}, r"timezone 'Atlantis' is unknown"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, options, message):
    write(tmp_path / "a.wav", chirp(1))
    with pytest.raises(ParameterError, match=message):
        AudioSource(tmp_path, **options)


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere does not exist: name a recording"):
        AudioSource(tmp_path / "nowhere")


def test_a_channel_that_is_not_there_skips_the_file(tmp_path):
    write(tmp_path / "mono.wav", chirp(1))
    write(tmp_path / "stereo.wav", np.stack([chirp(1)] * 2, axis=1))
    source = AudioSource(tmp_path, channel=1)
    assert [s.reason for s in source.skipped] == [
        "has 1 channel(s), so there is no channel 1 (they count from 0)"
    ]
    with pytest.raises(RecordingError, match=r"mono.wav: has 1 channel\(s\)"):
        AudioSource(tmp_path, channel=1, strict=True)


# --------------------------------------------------------------------------- real recordings


@pytest.mark.slow
def test_a_day_of_a_real_recorder():
    source = AudioSource(real_data() / "audio" / "field_24h")
    assert (len(source.recordings), source.rate_hz, len(source)) == (48, 22000, 48 * 19)
    assert source.recordings[9].start_time == datetime(2019, 5, 22, 4, 30, tzinfo=UTC)
    assert source.skipped == []


@pytest.mark.slow
def test_real_recordings_of_many_kinds_are_read_in_blocks_as_at_once():
    source = AudioSource(real_data() / "audio" / "field_misc")
    assert source.skipped == []
    assert len(source.resampled) == 6
    for number, recording in enumerate(source.recordings):
        whole = source.read(number, 0, recording.duration_s)
        for block in source.blocks(number, length_s=7, margin_s=1):
            part = whole[block.first_sample :][: len(block.samples)]
            np.testing.assert_allclose(block.samples, part, atol=1e-5 * np.abs(whole).max())
