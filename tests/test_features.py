"""Mel bands, decibels, what makes them comparable, and the way back to sound."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from raravis.errors import ParameterError
from raravis.sound.features import FLOOR, LogMel, Standardise, background_db, without_loudness
from raravis.sound.mel import band_edges, hz_to_mel, mel_to_hz


def noise(seconds: float, rate_hz: int, seed: int = 0) -> np.ndarray:
    samples = 0.1 * np.random.default_rng(seed).normal(size=round(seconds * rate_hz))
    return samples.astype(np.float32)


def gusts(seconds: float, rate_hz: int) -> np.ndarray:
    """Noise that swells and fades twice a second."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    return (noise(seconds, rate_hz) * (1.1 - np.cos(4 * np.pi * t))).astype(np.float32)


def librosa_power(samples: np.ndarray, rate_hz: int, features: LogMel) -> np.ndarray:
    return librosa.feature.melspectrogram(
        y=samples,
        sr=rate_hz,
        n_fft=features.fft_at(rate_hz),
        hop_length=round(rate_hz / features.frames_per_s),
        n_mels=features.mels,
        fmin=features.low_hz,
        fmax=features.high_hz,
        htk=features.scale == "htk",
        pad_mode="constant",
    )


def naive_power(samples: np.ndarray, rate_hz: int, features: LogMel, frame: int) -> np.ndarray:
    """One frame, by the book and in double precision."""
    fft = features.fft_at(rate_hz)
    centre = int(np.floor(frame * rate_hz / features.frames_per_s + 0.5))
    padded = np.pad(samples.astype(np.float64), fft)
    around = padded[centre + fft // 2 : centre + fft // 2 + fft]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(fft) / fft)
    return features.bank(rate_hz) @ np.abs(np.fft.rfft(around * hann)) ** 2


# --------------------------------------------------------------------------- against librosa


@pytest.mark.slow  # librosa compiles itself for 20 s where it was never used before
@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize(
    ("rate_hz", "options"),
    [
        (22050, {}),
        (22000, {"mels": 128}),
        (16000, {"mels": 40, "low_hz": 0}),
        (44100, {"mels": 128, "fft": 4096}),
        (48000, {"mels": 128, "frames_per_s": 64, "high_hz": 15000}),
        (8000, {"mels": 20, "fft": 256, "frames_per_s": 100}),
    ],
)
def test_power_is_that_of_librosa(rate_hz, options, scale):
    features, samples = LogMel(scale=scale, **options), noise(2, rate_hz)
    frames = features.frames(2) + 1
    ours = features.power(samples, rate_hz, 0, 0, frames)
    theirs = librosa_power(samples, rate_hz, features)
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float32
    np.testing.assert_allclose(10 * np.log10(ours), 10 * np.log10(theirs), atol=1e-3)


@pytest.mark.parametrize("htk", [False, True])
def test_the_scale_of_pitch_is_that_of_librosa(htk):
    hz = np.array([0.0, 50, 999, 1000, 1001, 8000, 22050])
    scale = "htk" if htk else "slaney"
    np.testing.assert_allclose(hz_to_mel(hz, scale), librosa.hz_to_mel(hz, htk=htk))
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz, scale), scale), hz, atol=1e-9)
    edges = librosa.mel_frequencies(66, fmin=50, fmax=8000, htk=htk)
    np.testing.assert_allclose(band_edges(64, 50, 8000, scale), edges)


def test_decibels_have_one_floor_for_all():
    power = np.array([[1.0, 10, 1e-10, 1e-12, 0]], dtype=np.float32)
    np.testing.assert_allclose(LogMel().log(power), [[0, 10, -100, -100, -100]], atol=1e-5)
    assert power[0, -1] == 0  # what was given is left alone
    assert LogMel().log(np.zeros((1, 1), np.float32))[0, 0] == pytest.approx(10 * np.log10(FLOOR))


# --------------------------------------------------------------------------- frames


@pytest.mark.parametrize(
    ("rate_hz", "frames_per_s"), [(11025, 50.0), (22050, 64.0), (8000, 43.1), (16000, 100 / 3)]
)
def test_frames_stand_where_they_should_where_no_hop_divides_the_rate(rate_hz, frames_per_s):
    features, samples = LogMel(mels=20, frames_per_s=frames_per_s), noise(2, rate_hz)
    power = features.power(samples, rate_hz, 0, 0, 60)
    for frame in (0, 1, 7, 33, 59):
        expected = naive_power(samples, rate_hz, features, frame)
        np.testing.assert_allclose(power[:, frame], expected, rtol=1e-4)


def test_frames_do_not_drift_in_six_hours():
    frame = 6 * 3600 * 64 - 1
    centre = LogMel(frames_per_s=64).centres(22050, frame, frame + 1)[0]
    assert abs(centre - frame * 22050 / 64) <= 0.5


@pytest.mark.parametrize("rate_hz", [11025, 22050])
def test_a_block_on_its_own_gives_the_frames_of_the_whole(rate_hz):
    features, samples = LogMel(), noise(30, rate_hz)
    whole = features.power(samples, rate_hz, 0, 0, 1500)
    first = 9 * rate_hz
    block = features.power(samples[first : 21 * rate_hz], rate_hz, first, 500, 1000)
    np.testing.assert_allclose(block, whole[:, 500:1000], rtol=1e-5)


def test_frames_beyond_the_samples_see_zeros():
    features, samples = LogMel(), noise(1, 22050)
    power = features.power(samples, 22050, 0, -100, 200)
    assert np.count_nonzero(power[:, :98]) == 0
    assert np.count_nonzero(power[:, 152:]) == 0
    padded = features.power(np.pad(samples, 44100), 22050, -44100, -100, 200)
    np.testing.assert_allclose(power, padded, rtol=1e-5)
    assert features.power(samples, 22050, 0, 5, 5).shape == (64, 0)


def test_samples_that_may_not_be_written_to_are_heard_all_the_same():
    samples = noise(1, 22050)
    expected = LogMel().power(samples, 22050, 0, 0, 50)
    samples.flags.writeable = False
    np.testing.assert_array_equal(LogMel().power(samples, 22050, 0, 0, 50), expected)


def test_frames_are_counted_to_the_nearest():
    assert [LogMel().frames(s) for s in (1, 0.2, 25, 0.0299)] == [50, 10, 1250, 1]


@pytest.mark.parametrize(
    ("rate_hz", "fft"), [(8000, 512), (16000, 1024), (22050, 1024), (44100, 2048), (48000, 2048)]
)
def test_a_frame_is_the_power_of_two_that_spans_40_milliseconds(rate_hz, fft):
    assert LogMel().fft_at(rate_hz) == fft
    assert LogMel(fft=300).fft_at(rate_hz) == 300


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same_power():
    samples = noise(3, 22050)
    there = LogMel().power(samples, 22050, 0, 0, 150, device="cuda")
    np.testing.assert_allclose(there, LogMel().power(samples, 22050, 0, 0, 150), rtol=1e-4)


# --------------------------------------------------------------------------- crops


@pytest.mark.parametrize(("mels", "keep"), [(128, slice(64, 128)), (256, slice(128, 192))])
def test_kept_mels_are_those_rows_of_the_whole_bank(mels, keep):
    samples = noise(1, 22050)
    cropped = LogMel(mels=mels, keep_mels=f"{keep.start}:{keep.stop}")
    whole = LogMel(mels=mels, fft=4096).band_hz(22050)
    np.testing.assert_allclose(cropped.band_hz(22050), whole[keep])
    assert cropped.bands == 64
    bank = librosa.filters.mel(sr=22050, n_fft=4096, n_mels=mels, fmin=50)[keep]
    np.testing.assert_allclose(
        LogMel(mels=mels, fft=4096, keep_mels=cropped.keep_mels).bank(22050), bank, atol=1e-7
    )
    assert cropped.power(samples, 22050, 0, 0, 50).shape == (64, 50)


def test_hz_keeps_the_bands_whose_centre_lies_inside():
    whole, cropped = LogMel(mels=64), LogMel(mels=64, hz="2000:8000")
    centres = whole.band_hz(22050)
    inside = (centres >= 2000) & (centres <= 8000)
    assert 10 < inside.sum() < 60
    np.testing.assert_array_equal(cropped.band_hz(22050), centres[inside])
    samples = noise(1, 22050)
    np.testing.assert_allclose(
        cropped.power(samples, 22050, 0, 0, 50),
        whole.power(samples, 22050, 0, 0, 50)[inside],
        rtol=1e-4,
    )


def test_a_tone_shows_in_its_band_only():
    tone = np.sin(2 * np.pi * 3000 * np.arange(22050) / 22050).astype(np.float32)
    power = LogMel().power(tone, 22050, 0, 20, 30).mean(axis=1)
    assert abs(LogMel().band_hz(22050)[power.argmax()] - 3000) < 150
    assert np.sort(power)[-4] < 1e-3 * power.max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mels": 0}, r"mels must be at least 1, .* got 0, 50.0 and None"),
        ({"frames_per_s": 0}, r"frames_per_s above 0"),
        ({"scale": "bark"}, r"scale must be one of slaney, htk, got 'bark'"),
        ({"keep_mels": "64:128"}, r"keep_mels must lie within 0:64, .*, got '64:128'"),
        ({"keep_mels": "1.5:3"}, r"keep_mels must lie within 0:64"),
        ({"keep_mels": "upper"}, r'keep_mels must be two ascending numbers such as "64:128", got'),
        ({"hz": "8000:2000"}, r"hz must be two ascending numbers"),
        ({"hz": "1:2", "keep_mels": "1:2"}, r"give keep_mels or hz, not both"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        LogMel(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low_hz": 5000}, r"bands must lie in 0 <= low_hz < high_hz <= 4000 .*, got 5000 to 4000"),
        ({"high_hz": 8000}, r"got 50 to 8000"),
        ({"hz": "5000:6000"}, r"no band has its centre within hz 5000:6000: the 64 bands"),
        (
            {"mels": 512},
            r"of the bands, the first at \d+ Hz, fall between the lines of an FFT of 512",
        ),
    ],
)
def test_bands_that_the_rate_cannot_give_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        LogMel(**options).power(noise(1, 8000), 8000, 0, 0, 50)


def test_how_many_bands_lie_in_hz_only_the_rate_tells():
    with pytest.raises(ParameterError, match=r"depends on the rate: use band_hz"):
        _ = LogMel(hz="2000:8000").bands


# --------------------------------------------------------------------------- comparable decibels


def test_the_background_of_steady_noise_is_its_level_and_calls_stay_out_of_it():
    rng = np.random.default_rng(0)
    db = -60 + rng.normal(size=(3, 3000)).astype(np.float32)
    db[1] += 10
    db[:, 1500:1540] += 30  # a call of 0.8 s
    background = background_db(db, frames_per_s=50)
    assert background.shape == db.shape
    np.testing.assert_allclose(background.mean(axis=1), [-60.4, -50.4, -60.4], atol=0.2)
    assert np.ptp(background, axis=1).max() < 1.5


def test_the_background_follows_slow_wind():
    wind = np.linspace(-70, -40, 6000)[None].astype(np.float32)  # 30 dB in two minutes
    apart = wind - background_db(wind, frames_per_s=50)
    assert 0 < apart[:, 500:-500].min() <= apart[:, 500:-500].max() < 2


def test_the_background_of_a_block_is_that_of_the_whole():
    features = LogMel(background=True)
    samples = noise(60, 8000) * np.linspace(0.1, 1, 480000, dtype=np.float32)
    power = features.power(samples, 8000, 0, 0, 3000)
    whole, block = features.decibels(power), features.decibels(power[:, 700:2300])
    np.testing.assert_allclose(block[:, 300:1300], whole[:, 1000:2000], atol=1e-3)
    assert abs(np.median(whole)) < 3


def test_decibels_without_options_are_the_plain_logarithm():
    features, samples = LogMel(), noise(2, 8000)
    power = features.power(samples, 8000, 0, 10, 90)
    np.testing.assert_array_equal(features.decibels(power), features.log(power))


def test_loudness_is_taken_off_window_by_window():
    windows = np.random.default_rng(0).normal(size=(4, 8, 10)).astype(np.float32)
    louder = windows + np.arange(4)[:, None, None] * 20
    np.testing.assert_allclose(without_loudness(louder), without_loudness(windows), atol=1e-5)


def test_windows_are_cut_at_their_frames_and_made_equally_loud_where_asked():
    db = np.arange(20, dtype=np.float32).reshape(2, 10)
    cut = LogMel().cut(db, np.array([0, 3, 7]), 3)
    np.testing.assert_array_equal(cut[1], [[3, 4, 5], [13, 14, 15]])
    equal = LogMel(loudness=True).cut(db, np.array([0, 3, 7]), 3)
    np.testing.assert_allclose(equal, cut - cut.mean(axis=(1, 2), keepdims=True))


def test_standardise_learns_the_same_in_parts_as_at_once():
    db = np.random.default_rng(0).normal(-50, [[[3.0], [7]]], size=(600, 2, 20)).astype(np.float32)
    at_once = Standardise().update(db)
    in_parts = Standardise()
    for part in (db[:1], db[1:400], db[400:, :, :7], db[400:, :, 7:]):
        in_parts.update(part)
    in_parts_2d = Standardise()
    for window in db:
        in_parts_2d.update(window)
    for standardise in (at_once, in_parts, in_parts_2d):
        assert standardise.count_ == 12000
        np.testing.assert_allclose(standardise.mean_, db.mean(axis=(0, 2)), atol=1e-4)
        np.testing.assert_allclose(standardise.deviation_, db.std(axis=(0, 2)), rtol=1e-5)


def test_standardise_gives_mean_zero_and_deviation_one_and_back():
    db = np.random.default_rng(0).normal(-50, 7, size=(50, 4, 20)).astype(np.float32)
    standardise = Standardise().update(db)
    standard = standardise.apply(db)
    assert standard.dtype == np.float32
    np.testing.assert_allclose(standard.mean(axis=(0, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(standard.std(axis=(0, 2)), 1, atol=1e-4)
    np.testing.assert_allclose(standardise.invert(standard), db, atol=1e-3)


def test_standardise_by_hand():
    standardise = Standardise().update(np.array([[1.0, 3], [5, 5]]))
    np.testing.assert_array_equal(standardise.mean_, [2, 5])
    np.testing.assert_array_equal(standardise.deviation_, [1, 0])
    # the band that never changed is measured in 0.1 dB
    np.testing.assert_allclose(standardise.apply(np.array([[4.0], [6]])), [[2], [10]], rtol=1e-5)


def test_standardise_is_saved_and_restored():
    standardise = Standardise().update(np.random.default_rng(0).normal(size=(3, 40)))
    again = Standardise().restore(standardise.state())
    assert sorted(standardise.state()) == ["count_", "deviation_", "mean_"]
    np.testing.assert_array_equal(again.mean_, standardise.mean_)
    assert again.update(np.zeros((3, 10))).count_ == 50


def test_standardise_refuses_before_it_has_learned():
    with pytest.raises(ParameterError, match=r"Standardise has not learned yet: call update"):
        Standardise().apply(np.zeros((3, 4)))


# --------------------------------------------------------------------------- back to sound


def consistency_db(features: LogMel, power: np.ndarray, sound: np.ndarray, rate_hz: int) -> float:
    """Mean difference between the bands of a sound and those it was made from, in dB."""
    heard = features.power(sound, rate_hz, 0, 0, power.shape[1])
    return float(np.abs(features.log(heard) - features.log(power)).mean())


@pytest.mark.parametrize("rate_hz", [22050, 11025])
def test_sound_with_its_own_phase_has_the_power_it_was_made_from(rate_hz):
    features, samples = LogMel(), gusts(4, rate_hz)
    power = features.power(samples, rate_hz, 0, 0, 200)
    sound = features.to_sound(power, rate_hz, like=samples)
    assert sound.shape == samples.shape
    assert sound.dtype == np.float32
    assert consistency_db(features, power, sound, rate_hz) < 1
    assert np.corrcoef(sound, samples)[0, 1] > 0.9


def test_sound_without_a_model_finds_phases_that_fit():
    features, samples = LogMel(), gusts(2, 22050)
    power = features.power(samples, 22050, 0, 0, 100)
    sound = features.to_sound(power, 22050)
    assert consistency_db(features, power, sound, 22050) < 1
    np.testing.assert_array_equal(sound, features.to_sound(power, 22050))  # same seed
    assert not np.array_equal(sound, features.to_sound(power, 22050, seed=1))


def test_sound_of_cropped_bands_is_silent_elsewhere():
    features, samples = LogMel(mels=128, keep_mels="64:128"), noise(2, 22050)
    power = features.power(samples, 22050, 0, 0, 100)
    sound = features.to_sound(power, 22050, like=samples)
    low, high = LogMel(mels=128), features
    lowest = low.power(sound, 22050, 0, 10, 90)[:50].mean()
    assert lowest < 1e-4 * high.power(sound, 22050, 0, 10, 90).mean()


def test_sound_of_silence_is_silence():
    sound = LogMel().to_sound(np.zeros((64, 50), np.float32), 22050, like=noise(1, 22050))
    np.testing.assert_array_equal(sound, np.zeros(22050))


def test_a_shorter_model_gives_sound_of_the_whole_length():
    power = LogMel().power(noise(2, 22050), 22050, 0, 0, 100)
    assert len(LogMel().to_sound(power, 22050, like=noise(1.5, 22050))) == 44100
