"""Spectrograms as small pictures: decibels -> few levels -> PNG bytes.

A picture is stored as grey levels and coloured where it is shown, so that one stored picture serves
any colour table and any contrast. `level = 0` is `low_db` and below, `level = levels - 1` is
`high_db` and above.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from raravis.errors import ParameterError
from raravis.windows import FloatArray, IntArray

COLOURS: dict[str, tuple[str, ...]] = {
    "magma": (
        "#000004", "#0b0924", "#20114b", "#3b0f70", "#57157e", "#721f81", "#8c2981", "#a8327d",
        "#c43c75", "#de4968", "#f1605d", "#fa7f5e", "#fe9f6d", "#febf84", "#fddea0", "#fcfdbf",
    ),
    "viridis": (
        "#440154", "#481a6c", "#472f7d", "#414487", "#39568c", "#31688e", "#2a788e", "#23888e",
        "#1f988b", "#22a884", "#35b779", "#54c568", "#7ad151", "#a5db36", "#d2e21b", "#fde725",
    ),
    "ink": ("#fbfaf7", "#d9d8d4", "#b4b4b0", "#8d8e8b", "#676967", "#434644", "#242725", "#0c0f0d"),
}  # fmt: skip
"""Colour tables from quiet to loud, evenly spaced stops to interpolate between.

Source: magma and viridis by van der Walt and Smith for matplotlib (CC0), sampled at 16 places."""


def to_levels(db: FloatArray, low_db: float, high_db: float, levels: int = 32) -> IntArray:
    """Decibels (F, T) as whole levels 0 ... levels - 1 (F, T) uint8; what is not finite is 0."""
    if not low_db < high_db:
        raise ParameterError(f"low_db must be below high_db, got {low_db} and {high_db}")
    if not 2 <= levels <= 256:
        raise ParameterError(f"levels must be in [2, 256], got {levels}")
    scaled = (np.nan_to_num(db, nan=low_db) - low_db) / (high_db - low_db) * (levels - 1)
    whole: IntArray = np.rint(np.clip(scaled, 0, levels - 1)).astype(np.uint8)
    return whole


def to_png(levels: IntArray) -> bytes:
    """Levels (F, T) uint8, band 0 the lowest -> a grey PNG whose top row is the highest band."""
    if levels.ndim != 2 or 0 in levels.shape:
        raise ParameterError(f"a picture needs bands x frames, got an array of {levels.shape}")
    png = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(levels[::-1])).save(png, "PNG", optimize=True)
    return png.getvalue()


def from_png(png: bytes) -> IntArray:
    """The levels (F, T) uint8 that `to_png` was given."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("L"))[::-1]


def shrink_frames(db: FloatArray, most: int) -> tuple[FloatArray, int]:
    """At most about `most` frames: means of `step` neighbours; returns (F, T / step) and `step`."""
    step = max(1, -(-db.shape[1] // most))
    if step == 1:
        return db, 1
    whole = db.shape[1] // step * step
    shrunk: FloatArray = db[:, :whole].reshape(db.shape[0], -1, step).mean(axis=2)
    return shrunk, step
