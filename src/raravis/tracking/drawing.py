"""Windows as pictures for those who follow a training: each one, and beside what was rebuilt."""

from __future__ import annotations

import numpy as np

from raravis.pictures import COLOURS
from raravis.windows import FloatArray, IntArray

SIDE = 128  # pixels that the longer side of a pictured window has at least
MOST = 512  # and at most
LITTLE = 48  # and at most on the map
GAP = 4  # pixels between windows


def as_plane(window: FloatArray, upright: bool = False) -> FloatArray:
    """A window (C, H, W) as one plane (h, w), drawn as people know it.

    Where W is 1 it is a stretch of a series: channels downwards, time to the right. Otherwise row 0
    is the lowest band, and stands at the bottom; several channels stand below each other.

    upright  it is a picture: row 0 is the top, and of three channels or more the first three are
             colours, (h, w, 3); a fourth stands below them.
    """
    if upright and len(window) >= 3:
        grey = [plane[..., None].repeat(3, axis=2) for plane in window[3:]]
        plane = np.concatenate([window[:3].transpose(1, 2, 0), *grey])  # (h, W, 3)
    elif upright:
        plane = window.reshape(-1, window.shape[2])  # (C H, W)
    elif window.shape[2] == 1:
        plane = window[:, :, 0]  # (C, H)
    else:
        plane = window[:, ::-1].reshape(-1, window.shape[2])  # (C H, W)
    return plane.astype(np.float32)


def as_picture(window: FloatArray, upright: bool = False) -> IntArray:
    """A small grey picture (h, w) uint8 of a window (C, H, W), for the map."""
    plane = as_plane(window, upright)
    if plane.ndim == 3:
        plane = plane.mean(axis=2)
    steps = [max(1, -(-side // LITTLE)) for side in plane.shape]
    plane = plane[:: steps[0], :: steps[1]]
    low, high = float(plane.min()), float(plane.max())
    grey: IntArray = ((plane - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    return grey


def compared(originals: FloatArray, rebuilt: FloatArray, upright: bool = False) -> IntArray:
    """Windows (B, C, H, W) in a row, and below each what was rebuilt of it; (h, w, 3) uint8.

    The colours mean the same in all of them: from the 1st to the 99th percentile of the originals.
    """
    low, high = np.percentile(originals, [1, 99])
    rows = [
        [_coloured(as_plane(window, upright), float(low), float(high)) for window in windows]
        for windows in (originals, rebuilt)
    ]
    return _stacked([_stacked(row, axis=1) for row in rows], axis=0)


def _coloured(plane: FloatArray, low: float, high: float) -> IntArray:
    """A plane (h, w), or one of colours (h, w, 3), as pixels (h', w', 3), enlarged by a whole
    number."""
    steps = [max(1, -(-side // MOST)) for side in plane.shape[:2]]
    plane = np.nan_to_num(plane[:: steps[0], :: steps[1]], nan=low)
    shares = np.clip((plane - low) / max(high - low, 1e-9), 0, 1)
    if plane.ndim == 3:
        pixels = 255 * shares
    else:
        stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLOURS["magma"]])
        where, places = shares * (len(stops) - 1), np.arange(len(stops))
        pixels = np.stack([np.interp(where, places, stops[:, i]) for i in range(3)], axis=-1)
    times = max(1, round(SIDE / max(plane.shape)))
    large: IntArray = pixels.astype(np.uint8).repeat(times, axis=0).repeat(times, axis=1)
    return large


def _stacked(pictures: list[IntArray], axis: int) -> IntArray:
    """Pictures of one size beside (axis 1) or below (axis 0) each other, white between them."""
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    white = np.full(shape, 255, dtype=np.uint8)
    parts = [part for picture in pictures for part in (white, picture)][1:]
    return np.concatenate(parts, axis=axis)
