"""A pumping station made from nothing: the built-in series of `raravis demo` and of the tests.

Eight sensors follow one load, each in its own way, through days and weeks. Six faults are planted
in the last 60 % of the time; most of them stay within what each sensor shows anyway. Every call
with the same arguments gives the same rows. To add a fault, write a function
`(plant, rows, rng) -> None` that changes the rows of its channel, and name it in `FAULTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from raravis.errors import ParameterError
from raravis.series.rows import Series
from raravis.windows import FloatArray

START = datetime(2026, 5, 4, tzinfo=UTC)  # a Monday
ORDINARY = 0.4
"""Share of the time, from the start, in which nothing is wrong."""

CHANNELS = (
    "water_temperature_c",
    "bearing_temperature_c",
    "inlet_pressure_bar",
    "outlet_pressure_bar",
    "flow_m3_h",
    "vibration_mm_s",
    "motor_current_a",
    "voltage_v",
)


@dataclass(frozen=True)
class Fault:
    """Something that was made to go wrong: when, what, and the channel that shows it best."""

    start_s: float
    end_s: float
    kind: str
    channel: str


def plant(hours: float = 48, interval_s: float = 60, seed: int = 0) -> tuple[Series, list[Fault]]:
    """Rows of a pumping station with their labels, and what is wrong in them, in order of time.

    hours       at least 48, so that the ordinary part shows the highest load.
    interval_s  in (0, 300]: the shortest fault lasts a few minutes.
    """
    if hours < 48:
        raise ParameterError(f"hours must be at least 48, got {hours}")
    if not 0 < interval_s <= 300:
        raise ParameterError(f"interval_s must be in (0, 300], got {interval_s}")
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(hours * 3600 / interval_s)) * float(interval_s)
    slots = _slots(len(time_s), rng)
    load = _load(time_s, slots["shifted rhythm"], rng)
    values = _sensors(time_s, load, rng)
    labels = np.zeros(len(time_s), dtype=bool)
    faults = []
    for kind, (channel, change) in FAULTS.items():
        rows = slots[kind]
        change(values[:, CHANNELS.index(channel)], rows, rng)
        labels[rows] = True
        faults.append(
            Fault(time_s[rows.start].item(), rows.stop * float(interval_s), kind, channel)
        )
    return Series(values, time_s, CHANNELS, labels, START), faults


def write_csv(path: str | Path, series: Series) -> None:
    """Rows as a text table: timestamp, channels, and anomaly (0 or 1) where labels are known."""
    start = series.start_time
    times = [
        time_s if start is None else (start + timedelta(seconds=time_s)).isoformat()
        for time_s in series.time_s.tolist()
    ]
    frame = pd.DataFrame(series.values, columns=list(series.channels))
    frame.insert(0, "timestamp", times)
    if series.labels is not None:
        frame["anomaly"] = series.labels.astype(int)
    frame.to_csv(path, index=False)


# --- the station -------------------------------------------------------------------------------


def _load(time_s: FloatArray, shifted: slice, rng: np.random.Generator) -> FloatArray:
    """How much water is wanted, (n,), about 0 to 1.2: by day and week, and in steps of a valve.

    shifted  rows in which the station runs by a clock that is five hours off.
    """
    hour = time_s / 3600
    hour[shifted] += 5
    of_day = hour % 24
    peaks = np.exp(-(((of_day - 8) / 2.5) ** 2)) + 0.9 * np.exp(-(((of_day - 19) / 3) ** 2))
    weekend = np.where(hour // 24 % 7 >= 5, 0.8, 1.0)
    steps = rng.normal(0, 0.07, int(hour[-1]) * 2 + 12)
    bounds = np.cumsum(rng.uniform(0.4, 2.0, len(steps)))
    wanted = weekend * (0.25 + 0.6 * peaks) + steps[np.searchsorted(bounds, time_s / 3600)]
    return _lagged(wanted, 300, time_s)


def _sensors(time_s: FloatArray, load: FloatArray, rng: np.random.Generator) -> FloatArray:
    """What the eight sensors show at a load, (n, 8)."""
    hour = time_s / 3600
    outside = 14 + 5 * np.sin(2 * np.pi * (hour - 9) / 24)  # °C, warmest at 15 h
    noise = rng.normal(size=(len(time_s), len(CHANNELS)))
    wander = _lagged(rng.normal(size=noise.shape), 1800, time_s)
    wander /= wander.std(axis=0)
    values = np.column_stack(
        [
            11 + 0.15 * (outside - 14),
            30 + 0.5 * (outside - 14) + 22 * _lagged(load, 2400, time_s),
            2.1 - 0.5 * load,
            5.6 - 1.1 * load**2,
            10 + 160 * load,
            1.1 + 0.9 * load,
            12 + 31 * load,
            402 - 5 * load + 1.5 * np.sin(2 * np.pi * (hour - 4) / 24),
        ]
    )
    spread = np.array([0.06, 0.3, 0.015, 0.03, 1.8, 0.07, 0.4, 0.5])
    return np.asarray(values + spread * (noise + 0.7 * wander))


def _lagged(values: FloatArray, lag_s: float, time_s: FloatArray) -> FloatArray:
    """Values (n, ...) as a slow thing follows them: a low-pass of one pole."""
    keep = float(np.exp(-(time_s[1] - time_s[0]) / lag_s))
    start = keep * values[:1]
    lagged, _ = lfilter([1 - keep], [1, -keep], values, axis=0, zi=start)
    return np.asarray(lagged)


# --- what goes wrong ---------------------------------------------------------------------------


def _slots(rows: int, rng: np.random.Generator) -> dict[str, slice]:
    """Rows of each fault: they share the last part of the time, with quiet between them."""
    first, room = int(rows * (ORDINARY + 0.02)), rows * 0.57 / len(FAULTS)
    slots = {}
    for i, kind in enumerate(FAULTS):
        length = max(3, int(room * _LENGTHS[kind]))
        start = first + int(room * i + rng.uniform(0.05, 0.9) * (0.8 * room - length))
        slots[kind] = slice(start, start + length)
    return slots


def spike(sensor: FloatArray, rows: slice, rng: np.random.Generator) -> None:
    """The pressure jumps for a few minutes."""
    sensor[rows] += 0.8 * rng.choice([-1, 1])


def drift(sensor: FloatArray, rows: slice, rng: np.random.Generator) -> None:
    """The bearing grows slowly warmer."""
    sensor[rows] += 8 * np.linspace(0, 1, len(sensor[rows])) ** 0.7


def stuck(sensor: FloatArray, rows: slice, rng: np.random.Generator) -> None:
    """The sensor goes on showing its last value."""
    sensor[rows] = sensor[rows.start - 1]


def broken_correlation(sensor: FloatArray, rows: slice, rng: np.random.Generator) -> None:
    """The motor draws a current that the load does not ask for: its own past turned around."""
    length = len(sensor[rows])
    sensor[rows] = sensor[rows.start - 2 * length : rows.start - length][::-1]


def hunting(sensor: FloatArray, rows: slice, rng: np.random.Generator) -> None:
    """The regulator swings around what it should hold."""
    turns = np.arange(len(sensor[rows])) / 5
    sensor[rows] += 0.25 * np.sin(2 * np.pi * turns) + rng.normal(0, 0.15, len(turns))


def shifted_rhythm(sensor: FloatArray, rows: slice, rng: np.random.Generator) -> None:
    """The whole station follows a clock that is off; `_load` has seen to it."""


FAULTS: dict[str, tuple[str, Callable[[FloatArray, slice, np.random.Generator], None]]] = {
    "spike": ("outlet_pressure_bar", spike),
    "drift": ("bearing_temperature_c", drift),
    "stuck sensor": ("flow_m3_h", stuck),
    "broken correlation": ("motor_current_a", broken_correlation),
    "hunting": ("vibration_mm_s", hunting),
    "shifted rhythm": ("flow_m3_h", shifted_rhythm),
}
_LENGTHS = {
    "spike": 0.02,
    "drift": 0.4,
    "stuck sensor": 0.25,
    "broken correlation": 0.3,
    "hunting": 0.2,
    "shifted rhythm": 0.35,
}  # in shares of the room that each fault has
