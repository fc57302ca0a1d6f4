"""Backblaze's daily snapshots of its disk drives: one table a day -> one series a drive.

Source: Backblaze Drive Stats, quarterly folders of 2026-01-01.csv and so on, with the columns
date, serial_number, model, capacity_bytes, failure, smart_1_normalized, smart_1_raw, ... .
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

import numpy as np
import pandas as pd

from raravis.errors import RecordingError
from raravis.series.rows import Series
from raravis.series.sheets import HeldSheet, counted
from raravis.series.tables import first_lines, read_table
from raravis.windows import Skipped


def is_snapshot(path: Path) -> bool:
    """Whether a file is a table of drives at one day."""
    if not path.name.lower().endswith((".csv", ".csv.gz")):
        return False
    try:
        lines, _ = first_lines(path, 1)
    except RecordingError:
        return False
    return bool(lines) and "serial_number" in lines[0] and "smart_" in lines[0]


def read_drives(paths: Sequence[Path]) -> tuple[dict[str, HeldSheet], list[Skipped]]:
    """The drives of daily tables by serial number, and what could not be used.

    A channel is a raw SMART value that some drive has; where a drive does not have it, it is NaN.
    A row is labelled where the drive failed that day. All drives are in memory at once: give a
    quarter of one model, rather than the whole fleet, where that is too much.
    """
    days, skipped = [], []
    for path in paths:
        try:
            days.append(_day(path))
        except RecordingError as error:
            skipped.append(Skipped(error.path, error.reason))
    if not days:
        return {}, skipped
    fleet = pd.concat(days, ignore_index=True).sort_values(["serial_number", "date"])
    raw = [name for name in fleet.columns if name.startswith("smart_")]
    raw = [name for name in raw if fleet[name].notna().any()]
    drives = {
        str(serial): HeldSheet(_series(rows, raw))
        for serial, rows in fleet.groupby("serial_number")
        if len(rows) > 1
    }
    once = fleet["serial_number"].nunique() - len(drives)
    if once:
        folder = str(paths[0].parent)
        skipped.append(Skipped(folder, f"{counted(once, 'drive')} seen on one day only"))
    return drives, skipped


def _day(path: Path) -> pd.DataFrame:
    frame, _ = read_table(path, ",", ".")
    missing = {"date", "serial_number", "failure"} - set(frame.columns)
    if missing:
        raise RecordingError(str(path), f"has no column {', '.join(sorted(missing))}")
    raw = [name for name in frame.columns if name.startswith("smart_") and name.endswith("_raw")]
    frame["date"] = pd.to_datetime(frame["date"], format="%Y-%m-%d", errors="coerce")
    if frame["date"].isna().any():
        raise RecordingError(str(path), "expected dates like 2026-01-31 in column 'date'")
    numbers = frame[raw].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    return pd.concat([frame[["date", "serial_number", "failure"]], numbers], axis=1)


def _series(rows: pd.DataFrame, channels: list[str]) -> Series:
    start = rows["date"].iloc[0]
    return Series(
        rows[channels].to_numpy(dtype=np.float64),
        (rows["date"] - start).dt.total_seconds().to_numpy(dtype=np.float64),
        tuple(channels),
        np.asarray(rows["failure"] == 1),
        start.to_pydatetime().replace(tzinfo=UTC),
    )
