"""Charts of channels for the page: thinned to what a screen can show, without losing a spike."""

from __future__ import annotations

import numpy as np

from raravis.errors import ParameterError
from raravis.report.columns import Json, number, pack_from_base
from raravis.report.contents import Chart, Line
from raravis.windows import FloatArray

MOST_MOMENTS = 700


def check_chart(chart: Chart, rank: int) -> None:
    """Raises ParameterError where the columns of the chart of event `rank` differ in length."""
    rows = len(chart.time_s)
    columns = {"score": chart.score} | {line.name: line.value for line in chart.lines}
    for name, column in columns.items():
        if len(column) != rows:
            raise ParameterError(
                f"{name!r} in the chart of event {rank} must have one value for each of {rows} "
                f"moments, got {len(column)}"
            )


def pack_chart(chart: Chart, most: int = MOST_MOMENTS) -> Json:
    """A chart of at most about `most` moments."""
    run = max(1, -(-2 * len(chart.time_s) // most)) if len(chart.time_s) > most else 1
    return {
        "time_s": pack_from_base(_moments(chart.time_s, run)),
        "lines": [_pack_line(line, run) for line in chart.lines],
        "score": pack_from_base(extremes(chart.score, run)),
        "known": [[float(from_s), float(to_s)] for from_s, to_s in chart.known],
        "run": run,
    }


def _pack_line(line: Line, run: int) -> Json:
    return {
        "name": line.name,
        "value": pack_from_base(extremes(line.value, run)),
        "low": None if line.low is None else number(line.low),
        "high": None if line.high is None else number(line.high),
        "share": None if line.share is None else number(line.share),
    }


def extremes(values: FloatArray, run: int) -> FloatArray:
    """The lowest and the highest of every `run` values (n,), in the order in which they come; NaN
    where there are none. All values as they are where `run` is 1."""
    if run == 1:
        return values
    runs = _in_runs(values, run)
    missing = np.isnan(runs)
    at = np.stack(
        [np.where(missing, np.inf, runs).argmin(1), np.where(missing, -np.inf, runs).argmax(1)], 1
    )
    return np.take_along_axis(runs, np.sort(at, axis=1), axis=1).ravel()


def _moments(time_s: FloatArray, run: int) -> FloatArray:
    """Two moments for every `run` of (n,): its first, and its middle one."""
    if run == 1:
        return time_s
    first = np.arange(0, len(time_s), run)
    middle = np.minimum(first + run // 2, len(time_s) - 1)
    return np.stack([time_s[first], time_s[middle]], axis=1).ravel()


def _in_runs(values: FloatArray, run: int) -> FloatArray:
    """Values (n,) as (ceil(n / run), run), the end filled up with NaN."""
    padded = np.full(-(-len(values) // run) * run, np.nan)
    padded[: len(values)] = values
    return padded.reshape(-1, run)
