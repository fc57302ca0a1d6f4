"""A field of view cut out of a picture, in shares of its sides."""

from __future__ import annotations

import math
from typing import TypeAlias

from raravis.errors import ParameterError
from raravis.windows import FloatArray

Crop: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom edge, in shares of width and height."""


def crop_of(text: str, name: str) -> Crop:
    """Reads "left,top,right,bottom", shares of the picture. Raises ParameterError."""
    try:
        left, top, right, bottom = map(float, text.split(","))
    except ValueError:
        left = right = top = bottom = math.nan
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ParameterError(
            f"{name} must be left,top,right,bottom in shares of the picture, such as "
            f'"0.1,0,0.9,1", got {text!r}'
        )
    return left, top, right, bottom


def cut_size(size: tuple[int, int], crop: Crop) -> tuple[int, int]:
    """(H, W) of what a crop leaves."""
    rows, columns = _kept(size, crop)
    return rows.stop - rows.start, columns.stop - columns.start


def cut(picture: FloatArray, crop: Crop) -> FloatArray:
    """What a crop leaves of a picture (C, H, W)."""
    return picture[:, *_kept((picture.shape[1], picture.shape[2]), crop)]


def _kept(size: tuple[int, int], crop: Crop) -> tuple[slice, slice]:
    """Rows and columns that a crop leaves, one at least."""
    left, top, right, bottom = crop
    ends = []
    for length, low, high in ((size[0], top, bottom), (size[1], left, right)):
        start = min(round(low * length), length - 1)
        ends.append(slice(start, max(start + 1, round(high * length))))
    return ends[0], ends[1]
