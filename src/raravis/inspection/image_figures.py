"""Figures of pictures: examples, brightness over time and over the day."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from raravis.images.decoding import resized
from raravis.inspection.figures import LINE, RARE, SOFT, WIDTH
from raravis.inspection.images import FrameView
from raravis.windows import FloatArray

ACROSS = 8  # examples in a row
TILE = 160  # width of an example, pixels


def over_time(view: FrameView) -> Figure:
    """Mean of every frame over time, or in order, and the range of its values."""
    cameras = view.source.cameras
    figure = Figure(figsize=(WIDTH, 2.4 * len(cameras) + 0.3), layout="constrained")
    axes = figure.subplots(len(cameras), 1, sharex=True, squeeze=False)[:, 0]
    x, label = _places(view)
    for camera, axis in enumerate(axes):
        low, mean, high = (
            [values[camera] for values in three]
            for three in zip(*((k.low, k.mean, k.high) for k in view.looks), strict=True)
        )
        axis.vlines(x, low, high, color=SOFT, linewidth=0.6, alpha=0.6)
        axis.plot(x, mean, ".", color=LINE, markersize=4)
        odd = [
            i for i, look in enumerate(view.looks) if view.is_dark(look) or view.is_glaring(look)
        ]
        if odd and camera == 0:
            axis.plot([x[i] for i in odd], [mean[i] for i in odd], "x", color=RARE)
        axis.set_ylabel("°C" if cameras[camera] == "celsius" else "brightness")
    axes[-1].set_xlabel(label)
    return figure


def over_the_day(view: FrameView) -> Figure | None:
    """Mean of every frame of the first camera by the clock; None where no recording is dated."""
    timed = [
        (at, look.mean[0])
        for look in view.looks
        if (at := view.source.recordings[look.recording].time_at(look.start_s)) is not None
    ]
    if not timed:
        return None
    hours = [at.hour + at.minute / 60 + at.second / 3600 for at, _ in timed]
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    axis = figure.subplots()
    axis.plot(hours, [mean for _, mean in timed], ".", color=LINE, markersize=4)
    axis.set_xticks(range(0, 25, 3), [f"{hour:02d}:00" for hour in range(0, 25, 3)])
    axis.set_ylabel("°C" if view.source.cameras[0] == "celsius" else "brightness")
    return figure


def examples(view: FrameView) -> Figure:
    """Some of the pictures, evenly spread; of pairs, the second camera below the first."""
    tiles = [_tile(view, picture) for picture in view.examples]
    rows = math.ceil(len(tiles) / ACROSS)
    figure = Figure(
        figsize=(WIDTH, 1.4 * rows * max(1.0, len(view.cameras) * 0.85)), layout="constrained"
    )
    axes = figure.subplots(rows, ACROSS, squeeze=False).ravel().tolist()
    for axis in axes:
        axis.set_axis_off()
    for axis, tile in zip(axes, tiles, strict=False):
        axis.imshow(tile, interpolation="nearest")
    return figure


def _tile(view: FrameView, picture: FloatArray) -> FloatArray:
    """A picture (C, H, W) small and in colours (H, W, 3), one camera below the other."""
    height = max(1, round(TILE * picture.shape[1] / picture.shape[2]))
    small = resized(picture, height, TILE)
    shown = [_visible(view, camera, small[part]) for camera, part in enumerate(view.cameras)]
    return np.concatenate(shown).clip(0, 1)


def _visible(view: FrameView, camera: int, picture: FloatArray) -> FloatArray:
    """One camera's channels as (H, W, 3) in [0, 1]; temperatures from the coldest to the hottest
    of all frames but the outermost hundredth."""
    if view.source.cameras[camera] == "celsius":
        low = float(np.quantile([look.low[camera] for look in view.looks], 0.01))
        high = float(np.quantile([look.high[camera] for look in view.looks], 0.99))
        picture = (picture - low) / max(high - low, 1e-6)
    return np.repeat(picture, 3 // len(picture), axis=0).transpose(1, 2, 0)


def _places(view: FrameView) -> tuple[list[Any], str]:
    """Where each frame stands on the x axis, and what that axis is called."""
    recordings = view.source.recordings
    times = [recordings[look.recording].time_at(look.start_s) for look in view.looks]
    if all(time is not None for time in times):
        return times, ""
    return list(range(len(times))), "frame"
