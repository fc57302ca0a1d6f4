"""The map for the page: places of points as columns, and their thumbnails."""

from __future__ import annotations

import numpy as np

from raravis.errors import ParameterError
from raravis.report.columns import Json, number, pack_array
from raravis.report.contents import Points
from raravis.report.frames import check_thumbnails, pack_thumbnails
from raravis.windows import FloatArray, IntArray

MOST_POINTS = 200_000


def check_points(points: Points, recordings: int) -> None:
    rows = len(points.coords)
    if points.coords.shape != (rows, 3) or not np.isfinite(points.coords).all():
        raise ParameterError(f"coords must be finite and (N, 3), got {points.coords.shape}")
    for name in ("cluster", "recording", "start_s", "end_s", "score"):
        if len(getattr(points, name)) != rows:
            raise ParameterError(
                f"{name} must have one value for each of {rows} points, "
                f"got {len(getattr(points, name))}"
            )
    if rows and not 0 <= points.cluster.min() <= points.cluster.max() <= 254:
        raise ParameterError(f"cluster must be in [0, 254], got {points.cluster.max()}")
    if rows and not 0 <= points.recording.min() <= points.recording.max() < recordings:
        raise ParameterError(
            f"a point names recording {points.recording.max()}, there are {recordings}"
        )
    if points.thumbnails is not None:
        check_thumbnails(points.thumbnails, rows)


def pack_points(points: Points) -> Json:
    """Coordinates as 16-bit places on one scale for all three axes, so that angles stay true."""
    rows = _rows_to_show(points.score, MOST_POINTS)
    coords = np.asarray(points.coords, dtype=np.float64)[rows]
    low = coords.min(axis=0) if len(rows) else np.zeros(3)
    span = float((coords - low).max()) if len(rows) else 1.0
    places = np.rint((coords - low) / (span or 1.0) * 65535)
    return {
        "coords": pack_array(places, "u2"),
        "cluster": pack_array(points.cluster[rows], "u1"),
        "recording": pack_array(points.recording[rows], "u4"),
        "start_s": pack_array(points.start_s[rows], "f4"),
        "end_s": pack_array(points.end_s[rows], "f4"),
        "score": pack_array(points.score[rows], "f4"),
        "explained": [number(share) for share in points.explained],
        "groups": list(points.groups),
        "total": len(points.coords),
        "thumbnails": points.thumbnails and pack_thumbnails(points.thumbnails, rows),
    }


def _rows_to_show(score: FloatArray, most: int) -> IntArray:
    """All rows, or the strangest twentieth of `most` and an even choice of the others; sorted."""
    if len(score) <= most:
        return np.arange(len(score))
    order = np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable")
    strange, others = order[: most // 20], np.sort(order[most // 20 :])
    even = np.linspace(0, len(others) - 1, most - len(strange)).astype(np.int64)
    return np.sort(np.concatenate([strange, others[even]]))
