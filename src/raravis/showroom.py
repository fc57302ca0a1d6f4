"""Stretches of recordings to be seen and heard: as they are, and as a network expected them.

Pictures and sounds come from the recordings themselves, read again where they lie; a recording
that is no longer there gives none.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr

from raravis.errors import DataError, RecordingError
from raravis.layers import WindowLayer
from raravis.report import Clip, Picture
from raravis.senses.sound import SoundSense
from raravis.sources.audio import AudioSource
from raravis.windows import FloatArray, Recording

MARGIN_S = 0.2  # read before and after a stretch, so that the frames at its ends are whole


class Showroom:
    """Makes clips of a run's recordings.

    recordings  those of the run, in its order; a clip's `recording` is an index into them.
    """

    def __init__(self, sense: SoundSense, recordings: Sequence[Recording]) -> None:
        self.listener = sense.listener
        self.network = sense.layers.get("windows")
        self.source = _reopen(sense, recordings)
        there = self.source.recordings if self.source else []
        places = {recording.path: i for i, recording in enumerate(there)}
        self._place = {i: places[r.path] for i, r in enumerate(recordings) if r.path in places}

    def clip(self, recording: int, from_s: float, to_s: float, score: float) -> Clip:
        """A stretch as it was recorded; without picture and sound where it cannot be read."""
        samples = self._samples(recording, from_s, to_s)
        db = self._decibels(recording, from_s, to_s)
        if samples is None or db is None:
            return Clip(recording, from_s, to_s, score)
        picture = self._picture(db, from_s)
        return Clip(recording, from_s, to_s, score, picture, self._sound(samples, _gain(samples)))

    def expected(self, original: Clip) -> tuple[Clip, Picture] | None:
        """What the network expected instead of a clip, and where the two differ, in decibels;
        None where no network reconstructs or there is nothing to show it."""
        recording, from_s, to_s = original.recording, original.start_s, original.end_s
        samples = self._samples(recording, from_s, to_s)
        if samples is None or original.picture is None or not isinstance(self.network, WindowLayer):
            return None
        if not self.network.reconstructs:
            return None
        db = original.picture.db
        expected_db = self._reconstruct(self.network, db)
        heard = self.listener.features.to_sound(
            10 ** (expected_db / 10), like=samples, rate_hz=self.rate_hz
        )
        sound = self._sound(heard, _gain(samples))  # as loud beside the original as it was
        picture = self._picture(expected_db, from_s)
        error = self._picture(np.abs(db - expected_db), from_s)
        return Clip(recording, from_s, to_s, original.score, picture, sound), error

    @property
    def rate_hz(self) -> int:
        """The common rate at which the recordings are read."""
        return self.source.rate_hz if self.source else 0

    def _samples(self, recording: int, from_s: float, to_s: float) -> FloatArray | None:
        if self.source is None or recording not in self._place:
            return None
        try:
            return self.source.read(self._place[recording], from_s, to_s)
        except RecordingError:
            return None  # the report shows the event without picture and sound

    def _decibels(self, recording: int, from_s: float, to_s: float) -> FloatArray | None:
        """Log-mel (F, T) of a stretch, its first and last frames as whole as the others."""
        lead_s = min(MARGIN_S, from_s)
        samples = self._samples(recording, from_s - lead_s, to_s + MARGIN_S)
        if samples is None:
            return None
        features = self.listener.features
        frames, first = max(1, features.frames(to_s - from_s)), -round(lead_s * self.rate_hz)
        return features.log(features.power(samples, self.rate_hz, first, 0, frames))

    def _picture(self, db: FloatArray, from_s: float) -> Picture:
        return Picture(db, self.listener.band_hz, from_s, 1 / self.listener.features.frames_per_s)

    def _sound(self, samples: FloatArray, gain: float) -> bytes:
        return to_ogg(samples * gain, self.rate_hz)

    def _reconstruct(self, network: WindowLayer, db: FloatArray) -> FloatArray:
        """What the network expected instead of a spectrogram (F, T) of any length, window by
        window; the last is drawn back to the end."""
        frames = self.listener.clip_shape[1]
        padded = np.pad(db, ((0, 0), (0, max(0, frames - db.shape[1]))), mode="edge")
        starts = np.array([*range(0, padded.shape[1] - frames, frames), padded.shape[1] - frames])
        clips = self.listener.clips(10 ** (padded / 10), starts)  # (N, F, T)
        expected = np.empty_like(padded)
        for at, seen, clip in zip(starts, clips, network.reconstruct(clips), strict=True):
            span = slice(at, at + frames)
            expected[:, span] = padded[:, span] + clip - seen  # with what was taken off before
        return expected[:, : db.shape[1]]


def _reopen(sense: SoundSense, recordings: Sequence[Recording]) -> AudioSource | None:
    """The recordings that are still where they were, or None."""
    paths = [recording.path for recording in recordings if Path(recording.path).is_file()]
    try:
        return sense.open(paths) if paths else None
    except DataError:
        return None  # the report shows what the run knows, without pictures


def to_ogg(samples: FloatArray, rate_hz: int) -> bytes:
    """Samples (S,) within [-1, 1] as the bytes of an Opus file, at 24 or 48 kHz."""
    opus_hz = 24_000 if rate_hz <= 24_000 else 48_000
    resampled = soxr.resample(np.asarray(samples, dtype=np.float32), rate_hz, opus_hz)
    file = io.BytesIO()
    soundfile.write(file, np.clip(resampled, -1, 1), opus_hz, format="OGG", subtype="OPUS")
    return file.getvalue()


def _gain(samples: FloatArray) -> float:
    """What brings the loudest sample to 0.8, so that quiet field sounds can be heard."""
    return 0.8 / max(1e-4, float(np.abs(samples).max(initial=0.0)))
