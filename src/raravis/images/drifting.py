"""Clouds that drift, made from nothing, and the simplest forecast of them: they go on as they went.

Both are for measuring what foretells: of these skies it is known how far they can be foretold.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import shift

from raravis.windows import FloatArray

STEEPNESS = 1.8  # of the fall of amplitude with spatial frequency
CHANGE = 200  # frames in which the clouds have become others, and themselves again
NOISE = 0.02


def drifting_clouds(random: np.random.Generator, frames: int, side: int) -> FloatArray:
    """A film of clouds that drift evenly over a camera and slowly change, (frames, side, side).

    Light in [0, 1], with noise. The wind is 0.5 to 1.5 pixels a frame, in any direction. The sky is
    a torus four times as wide as what is seen.
    """
    wide = 4 * side
    rows, columns = np.meshgrid(np.fft.fftfreq(wide), np.fft.fftfreq(wide), indexing="ij")
    fall = np.maximum(np.hypot(rows, columns), 1 / wide) ** -STEEPNESS
    fields = np.fft.fft2(random.normal(size=(2, wide, wide))) * fall
    fields /= np.fft.ifft2(fields).real.std(axis=(1, 2), keepdims=True)
    speed, heading, cover = random.uniform([0.5, 0.0, -0.5], [1.5, 2 * np.pi, 0.5])
    seen = np.empty((frames, side, side))
    for frame in range(frames):
        turn = 2 * np.pi * frame / CHANGE  # how far one field has become the other
        far = speed * frame * (rows * np.sin(heading) + columns * np.cos(heading))
        mixed = (np.cos(turn) * fields[0] + np.sin(turn) * fields[1]) * np.exp(-2j * np.pi * far)
        seen[frame] = np.fft.ifft2(mixed).real[:side, :side]
    light = 0.5 + 0.3 * (seen + cover) + random.normal(0, NOISE, seen.shape)
    return np.asarray(np.clip(light, 0, 1), dtype=np.float32)


def drift(first: FloatArray, second: FloatArray) -> tuple[float, float]:
    """How many pixels down and to the right a picture (H, W) has moved until the second.

    Source: Kuglin & Hines 1975 (phase correlation), under a Hann window; between pixels by the
    parabola through the peak and its neighbours.
    """
    window = np.outer(*(np.hanning(side + 2)[1:-1] for side in first.shape))
    spectra = [np.fft.fft2((picture - picture.mean()) * window) for picture in (first, second)]
    across = spectra[1] * spectra[0].conj()
    peaks = np.fft.ifft2(across / np.maximum(np.abs(across), 1e-9)).real
    row, column = np.unravel_index(int(peaks.argmax()), peaks.shape)
    return _place(peaks[:, column], int(row)), _place(peaks[row], int(column))


def moved_on(frames: FloatArray, steps: float) -> FloatArray:
    """Frames (T, H, W), each moved on by so many times the drift from the first to the last.

    What comes in at the border is unknown, and gets the mean.
    """
    far = np.array(drift(frames[0], frames[-1])) * steps
    moved = [shift(frame, far, order=1, cval=float(frame.mean())) for frame in frames]
    return np.stack(moved)


def _place(line: FloatArray, peak: int) -> float:
    """Where the peak of a line that wraps around lies, less than half a line from 0."""
    count = len(line)
    before, at, after = line[peak - 1], line[peak], line[(peak + 1) % count]
    bend = before - 2 * at + after
    beside = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float((peak + count // 2) % count - count // 2 + beside)
