"""Decibels made comparable: each band in its own measure, without slow background or loudness."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.ndimage import percentile_filter, uniform_filter1d

from raravis.errors import ParameterError
from raravis.learned import Learned
from raravis.windows import FloatArray

_LEAST_DEVIATION_DB = 0.1
_WINDOWS_AT_ONCE = 256


class Standardise(Learned):
    """Learns mean and deviation of each band as data pass by; then gives all bands one measure.

        standard = (dB - mean) / deviation

    count_      frames seen so far.
    mean_       (F,) in dB.
    deviation_  (F,) in dB; less than 0.1 dB counts as 0.1, lest a band that was always silent
                drowns all others when it is not.

    Source: Chan et al. 1979 for joining the statistics of parts.
    """

    def update(self, db: FloatArray) -> Self:
        """Learns from (F, T), or windows (N, F, T), more."""
        windows = db.reshape(-1, *db.shape[-2:])
        for at in range(0, len(windows), _WINDOWS_AT_ONCE):
            part = windows[at : at + _WINDOWS_AT_ONCE].astype(np.float64)
            count = part.shape[0] * part.shape[2]
            self._join(count, part.mean(axis=(0, 2)), part.var(axis=(0, 2)))
        return self

    def _join(self, count: int, mean: FloatArray, variance: FloatArray) -> None:
        """Takes in the statistics of so many frames more."""
        if not self.is_fitted:
            self.count_, self.mean_, self.deviation_ = count, mean, np.sqrt(variance)
            return
        total = self.count_ + count
        apart = mean - self.mean_
        squares = self.count_ * self.deviation_**2 + count * variance
        squares += apart**2 * self.count_ * count / total
        self.mean_ = self.mean_ + apart * count / total
        self.count_, self.deviation_ = total, np.sqrt(squares / total)

    def apply(self, db: FloatArray) -> FloatArray:
        """(..., F, T) dB -> standard deviations, float32."""
        mean, deviation = self.columns()
        return (db - mean) / deviation

    def invert(self, standard: FloatArray) -> FloatArray:
        """(..., F, T) standard deviations -> dB, float32."""
        mean, deviation = self.columns()
        return standard * deviation + mean

    def columns(self) -> tuple[FloatArray, FloatArray]:
        """Mean and deviation of each band as `apply` uses them, (F, 1) float32 each."""
        if not self.is_fitted:
            raise ParameterError(
                "Standardise has not learned yet: call update with some data first"
            )
        deviation = np.maximum(self.deviation_, _LEAST_DEVIATION_DB)
        return self.mean_[:, None].astype(np.float32), deviation[:, None].astype(np.float32)


def background_db(
    db: FloatArray, frames_per_s: float, window_s: float = 10.0, percentile: float = 20.0
) -> FloatArray:
    """The slow background of each band, (F, T) like `db`: wind, rain, traffic, the recorder's hiss.

    A running percentile of the band, smoothed over a second. Taken every 0.1 s, which is plenty
    for what is slow.

    window_s    length of time around each moment that tells its background.
    percentile  in [0, 100]; low, so that what calls for less than most of the time stays out.
    """
    step = background_step(frames_per_s)
    bands, frames = db.shape
    whole = np.pad(db, ((0, 0), (0, -frames % step)), mode="edge")
    coarse = whole.reshape(bands, -1, step).mean(axis=2)  # (F, T / step)
    around = max(1, round(window_s * frames_per_s / step)) | 1
    # row by row, as scipy's filter of one dimension is far faster than that of two
    slow = np.stack(
        [percentile_filter(band, percentile, size=around, mode="nearest") for band in coarse]
    )
    slow = uniform_filter1d(slow, max(1, round(frames_per_s / step)) | 1, axis=1, mode="nearest")
    return np.repeat(slow, step, axis=1)[:, :frames]


def without_loudness(windows: FloatArray) -> FloatArray:
    """Windows (N, F, T) in dB, each less its own mean: near and far look alike."""
    equal: FloatArray = windows - windows.mean(axis=(1, 2), keepdims=True)
    return equal


def background_step(frames_per_s: float) -> int:
    """Frames in about 0.1 s."""
    return max(1, round(frames_per_s / 10))
