"""Bands that are spaced as pitch is heard: where they lie, and how much each FFT line counts."""

from __future__ import annotations

import numpy as np

from raravis.errors import ParameterError
from raravis.windows import FloatArray

SCALES = ("slaney", "htk")

_LINEAR_HZ = 200 / 3
"""Slaney's scale: one mel is this many Hz up to 1000 Hz, and 6.4 ^ (1 / 27) times beyond."""
_LINEAR_UP_TO_HZ = 1000.0
_LINEAR_UP_TO_MEL = _LINEAR_UP_TO_HZ / _LINEAR_HZ
_LOG_STEP = np.log(6.4) / 27


def hz_to_mel(hz: FloatArray, scale: str) -> FloatArray:
    """Pitch in mel. Source: Slaney 1998, Auditory Toolbox; O'Shaughnessy 1987 for "htk"."""
    if scale == "htk":
        return 2595 * np.log10(1 + hz / 700)
    above = _LINEAR_UP_TO_MEL + np.log(np.maximum(hz, 1e-9) / _LINEAR_UP_TO_HZ) / _LOG_STEP
    return np.where(hz < _LINEAR_UP_TO_HZ, hz / _LINEAR_HZ, above)


def mel_to_hz(mel: FloatArray, scale: str) -> FloatArray:
    """The inverse of `hz_to_mel`."""
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    above = _LINEAR_UP_TO_HZ * np.exp(_LOG_STEP * (mel - _LINEAR_UP_TO_MEL))
    return np.where(mel < _LINEAR_UP_TO_MEL, mel * _LINEAR_HZ, above)


def band_edges(mels: int, low_hz: float, high_hz: float, scale: str) -> FloatArray:
    """Edges of `mels` bands in Hz, (mels + 2,): band i rises from edge i and falls to i + 2."""
    low, high = hz_to_mel(np.array([low_hz, high_hz]), scale)
    return mel_to_hz(np.linspace(low, high, mels + 2), scale)


def triangles(edges: FloatArray, fft: int, rate_hz: int) -> FloatArray:
    """Weight of each FFT line in each band, (F, fft / 2 + 1) float32; bands of unit area.

    edges  of F bands, (F, 3): where each begins, peaks and ends, in Hz.

    Raises ParameterError where a band falls between two lines.
    """
    low, peak, high = edges.T[:, :, None]  # (F, 1) each
    lines_hz = np.arange(fft // 2 + 1) * rate_hz / fft
    rising, falling = (lines_hz - low) / (peak - low), (high - lines_hz) / (high - peak)
    weights = np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
    empty = np.flatnonzero(weights.max(axis=1) == 0)
    if len(empty):
        raise ParameterError(
            f"{len(empty)} of the bands, the first at {edges[empty[0], 1]:.0f} Hz, fall between "
            f"the lines of an FFT of {fft} at {rate_hz} Hz: ask for fewer mels or a larger fft, or "
            "keep only higher bands"
        )
    bank: FloatArray = weights.astype(np.float32)
    return bank
