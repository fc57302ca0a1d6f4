"""Pictures for the page: frames and their heat as WebP, and thumbnails on one sheet.

What is measured in degrees Celsius goes as grey levels, with which temperature is black and which
is white, and is coloured where it is shown. Heat goes as a coloured veil that is clear where
nothing is stranger than usual.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from PIL import Image

from raravis.errors import ParameterError
from raravis.report.columns import Json, pack_array
from raravis.report.contents import Frame, Thumbnails, View
from raravis.windows import FloatArray, IntArray

SIDE = 480  # pixels, of the longer side of what is shown large
HEAT_SIDE = 160
NEIGHBOUR_SIDE = 192
MOST_THUMBNAILS = 1_200
LARGEST_SHEET = 16_000  # pixels; WebP ends at 16,383
CHANNELS = {"colour": 3, "grey": 1, "celsius": 1}
HEAT = np.array([[255, 233, 150], [255, 160, 50], [232, 60, 20], [176, 10, 40]], dtype=np.float64)
"""Colours of the veil from where it begins to where it is thickest."""

# Bytes -> base64 where there is room for them, else None.
Take: TypeAlias = Callable[[bytes], str | None]


def check_frame(frame: Frame, rank: int) -> None:
    """Raises ParameterError where what is shown of event `rank` is not made of pictures."""
    for view in frame.views:
        channels = CHANNELS.get(view.camera)
        for name, picture in (("picture", view.picture), ("expected", view.expected)):
            if picture is not None and (np.ndim(picture) != 3 or len(picture) != channels):
                raise ParameterError(
                    f"{name} {frame.name!r} of event {rank} must be (C, H, W) with C = "
                    f"{channels} for camera {view.camera!r} (one of {', '.join(CHANNELS)}), "
                    f"got {np.shape(picture)}"
                )
        if view.heat is not None and np.ndim(view.heat) != 2:
            raise ParameterError(
                f"heat of {frame.name!r} of event {rank} must be (h, w), got {np.shape(view.heat)}"
            )


def frame_facts(frame: Frame) -> Json:
    """A frame without its pictures."""
    return {"name": frame.name, "views": [_view_facts(view) for view in frame.views]}


def _view_facts(view: View) -> Json:
    low, high = celsius_range(view)
    return {
        "camera": view.camera,
        "size": [int(view.picture.shape[2]), int(view.picture.shape[1])],
        "low": low,
        "high": high,
        "picture": None,
        "expected": None,
        "heat": None,
    }


def celsius_range(view: View) -> tuple[float | None, float | None]:
    """Between which temperatures nearly all of a thermal picture lies, and what was expected
    instead, in tenths; else None."""
    if view.camera != "celsius":
        return None, None
    both = [view.picture] if view.expected is None else [view.picture, view.expected]
    known = [values[np.isfinite(values)] for values in both]
    ends = [np.percentile(values, [0.2, 99.8]) for values in known if values.size]
    if not ends:
        return 0.0, 1.0
    low = math.floor(10 * min(float(end[0]) for end in ends)) / 10
    high = math.ceil(10 * max(float(end[1]) for end in ends)) / 10
    return low, max(high, round(low + 0.5, 1))


def add_picture(frame: Frame, target: Json, take: Take) -> int:
    """Embeds what was seen, and its heat; returns how many pictures found no room."""
    missed = 0
    for view, facts in zip(frame.views, target["views"], strict=True):
        facts["picture"] = take(_to_webp(view.picture, facts, SIDE))
        veil = None if view.heat is None else heat_veil(view.heat, view.usual)
        facts["heat"] = None if veil is None else take(_saved(veil, 70))
        missed += (facts["picture"] is None) + (veil is not None and facts["heat"] is None)
    return missed


def add_expected(frame: Frame, target: Json, take: Take) -> int:
    """Embeds what was expected, on the scale of what was seen."""
    missed = 0
    for view, facts in zip(frame.views, target["views"], strict=True):
        if view.expected is not None:
            facts["expected"] = take(_to_webp(view.expected, facts, SIDE))
            missed += facts["expected"] is None
    return missed


def add_neighbour(frame: Frame, target: Json, like: Json | None, take: Take) -> int:
    """Embeds a small picture, thermal ones on the scale of the frame `like`."""
    missed = 0
    for place, (view, facts) in enumerate(zip(frame.views, target["views"], strict=True)):
        if like is not None and place < len(like["views"]):
            facts["low"], facts["high"] = (like["views"][place][key] for key in ("low", "high"))
        facts["picture"] = take(_to_webp(view.picture, facts, NEIGHBOUR_SIDE))
        missed += facts["picture"] is None
    return missed


def heat_veil(heat: FloatArray, usual: float) -> Image.Image | None:
    """Heat (h, w) as a veil that grows thicker and redder from `usual` to the hottest place; None
    where no place is stranger than usual."""
    heat = np.nan_to_num(np.asarray(heat, dtype=np.float32), nan=usual)
    hottest = float(heat.max(initial=-np.inf))
    if not hottest > usual:
        return None
    image = Image.fromarray(np.clip((heat - usual) / (hottest - usual), 0, 1))
    width, height = _fitted(image.size, HEAT_SIDE)
    share = np.clip(np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)), 0, 1)
    place = share * (len(HEAT) - 1)
    from_ = np.minimum(place.astype(int), len(HEAT) - 2)
    rgb = HEAT[from_] + (HEAT[from_ + 1] - HEAT[from_]) * (place - from_)[..., None]  # (h, w, 3)
    alpha = 255 * np.minimum(1, 1.6 * share**0.8)
    return Image.fromarray(np.dstack([rgb, alpha]).astype(np.uint8))


def _to_webp(picture: FloatArray, facts: Json, side: int) -> bytes:
    """(C, H, W) at most `side` large; degrees Celsius as grey levels from low to high."""
    values = np.nan_to_num(np.asarray(picture, dtype=np.float32), nan=facts["low"] or 0.0)
    if facts["low"] is not None:
        values = (values - facts["low"]) / (facts["high"] - facts["low"])
    levels = np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
    image = Image.fromarray(levels[0] if len(levels) == 1 else np.moveaxis(levels, 0, 2))
    return _saved(image.resize(_fitted(image.size, side), Image.Resampling.LANCZOS), 78)


def _fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(width, height) no longer than `side`, in the same form; small pictures stay as they are."""
    share = min(1.0, side / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def _saved(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=quality, method=4)
    return file.getvalue()


# --- thumbnails ----------------------------------------------------------------------------------


def check_thumbnails(thumbnails: Thumbnails, points: int) -> None:
    """Raises ParameterError where thumbnails do not belong to these points, or are too many."""
    rows, shape = np.asarray(thumbnails.rows), np.shape(thumbnails.pictures)
    if len(shape) != 4 or shape[3] != 3 or shape[0] != len(rows):
        raise ParameterError(
            f"thumbnails must be ({len(rows)}, h, w, 3), one for each row, got {shape}"
        )
    if len(rows) > MOST_THUMBNAILS:
        raise ParameterError(
            f"a page holds at most {MOST_THUMBNAILS:,} thumbnails, got {len(rows):,}: show fewer"
        )
    if len(rows) and (rows[0] < 0 or rows[-1] >= points or (np.diff(rows) <= 0).any()):
        raise ParameterError(f"rows of thumbnails must rise within 0 .. {points - 1}")


def pack_thumbnails(thumbnails: Thumbnails, shown: IntArray) -> Json | None:
    """All thumbnails on one sheet; `shown` (M,) are the points that the page holds, rising."""
    keep = np.isin(thumbnails.rows, shown)
    pictures = np.asarray(thumbnails.pictures, dtype=np.uint8)[keep]  # (K, h, w, 3)
    count, height, width = pictures.shape[:3]
    if not count:
        return None
    columns = max(1, min(count, LARGEST_SHEET // width, round(math.sqrt(count * height / width))))
    lines = -(-count // columns)
    cells = np.zeros((lines * columns, height, width, 3), dtype=np.uint8)
    cells[:count] = pictures
    sheet = cells.reshape(lines, columns, height, width, 3).swapaxes(1, 2)
    sheet = sheet.reshape(lines * height, columns * width, 3)
    return {
        "rows": pack_array(np.searchsorted(shown, thumbnails.rows[keep]), "u4"),
        "sheet": base64.b64encode(_saved(Image.fromarray(sheet), 72)).decode("ascii"),
        "columns": columns,
        "width": width,
        "height": height,
    }
