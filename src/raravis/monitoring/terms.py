"""The terms of a trained model over time, of windows and of batches."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from raravis.detector import Detector
from raravis.encoded import Encoded
from raravis.errors import NothingToRead, ParameterError
from raravis.inference import Inference
from raravis.progress import Progress, silent
from raravis.sources import Source
from raravis.viewing import Seen, View, portions, views
from raravis.windows import FloatArray

BEFORE, AFTER = "before", "after"
PLACE = ("side", "number", "recording", "frame", "start_s", "end_s", "time")
SIMPLE = ("brightness", "loudness")  # told of the window itself, without a model


@dataclass(frozen=True)
class Watched:
    """What was seen over time.

    windows  a row for each: side ("before" or "after" the switch), number, recording, frame,
             start_s, end_s, time where a clock is known, and a column for each quantity.
    batches  a row for each batch of `batch` windows that follow each other: side, number of its
             first window, time, and a column for each quantity. Windows left over at the end of a
             side are in no batch.
    layer    that was looked at.
    batch    windows in a batch.
    """

    windows: pd.DataFrame
    batches: pd.DataFrame
    layer: str
    batch: int

    @property
    def of_windows(self) -> list[str]:
        """The quantities of windows."""
        return [name for name in self.windows if name not in PLACE]

    @property
    def of_batches(self) -> list[str]:
        """The quantities of batches."""
        return [name for name in self.batches if name not in PLACE]

    @property
    def switch(self) -> int | None:
        """Number of the first window after the switch; None where there was none."""
        after = self.windows["number"][self.windows["side"] == AFTER]
        return None if after.empty else int(after.iloc[0])


def watch(
    detector: Detector,
    before: Source,
    after: Source | None = None,
    *,
    batch: int = 64,
    layer: str | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Watched:
    """Every term of every window and batch, first of one source, then of another.

    Of windows: the model's terms and their sum, what the judges of the run make of its embedding
    (such as "knn", how alone it is), and what is simplest of all, brightness or loudness. Of
    batches: the terms as the network has them of a whole batch, and the means of all else. Nothing
    is learned.

    batch  >= 2 windows. What couples windows, such as covariance, depends on it.
    layer  of the run; None is its network, or what it has.
    seed   of what the network draws, such as views.

    Raises NothingToRead where a side has no window, ParameterError for series.
    """
    if batch < 2:
        raise ParameterError(f"batch must be >= 2, got {batch}")
    name, view = next(iter(views(detector, layer).items()))
    sides = []
    for side, source in ((BEFORE, before), (AFTER, after)):
        if source is not None:
            seen = portions(detector, source, name, progress)
            sides.append(_Side(side, view, source, batch, seed).read(seen))
    windows = pd.concat([side.windows for side in sides], ignore_index=True)
    windows.insert(1, "number", np.arange(len(windows)))
    batches = pd.concat(
        [side.batches.assign(number=side.batches["number"] + first)
         for side, first in zip(sides, (0, len(sides[0].windows)), strict=False)],
        ignore_index=True,
    )  # fmt: skip
    return Watched(windows, batches, name, batch)


class _Side:
    """One side of the switch, read portion by portion."""

    def __init__(self, side: str, view: View, source: Source, batch: int, seed: int) -> None:
        self.side, self.view, self.source = side, view, source
        self.batch, self.seed = batch, seed
        self.windows, self.batches = pd.DataFrame(), pd.DataFrame()
        self._of_batches: list[dict[str, float]] = []
        self._waiting: FloatArray | None = None
        self._inference: Inference | None = None
        if view.network is not None:
            self._inference = copy.copy(view.network[0])  # the same weights, batches of our size
            self._inference.batch = batch

    def read(self, seen: Iterator[Seen]) -> _Side:
        """Reads it all."""
        tables = []
        for portion in seen:
            tables.append(_placed(portion, self.source, self.side))
            quantities = _quantities(self.view, self.view.encode(portion.things))
            tables[-1] = pd.concat([tables[-1], pd.DataFrame(quantities)], axis=1)
            self._take(portion.things)
        if not tables:
            reasons = "; ".join(f"{s.path}: {s.reason}" for s in self.source.skipped[:3])
            raise NothingToRead(f"no window could be read {self.side} the switch: {reasons}")
        self.windows = pd.concat(tables, ignore_index=True)
        self.batches = self._batches()
        return self

    def _take(self, things: Any) -> None:
        """Gives whole batches to the network, and keeps what is left until more comes."""
        if self._inference is None or self.view.network is None:
            return
        new = self.view.network[1](things)  # (n, C, H, W)
        held = new if self._waiting is None else np.concatenate([self._waiting, new])
        whole = len(held) - len(held) % self.batch
        for start in range(0, whole, self.batch):
            seed = self.seed + len(self._of_batches)  # of each batch its own
            part = held[start : start + self.batch]
            self._of_batches += self._inference.batch_terms(part, seed)
        self._waiting = held[whole:]

    def _batches(self) -> pd.DataFrame:
        """Means of windows, and over them what the network says of whole batches."""
        count = len(self.windows) // self.batch
        whole = self.windows.iloc[: count * self.batch]
        number = np.arange(len(whole)) // self.batch
        quantities = [name for name in whole if name not in PLACE]
        table = whole[quantities].groupby(number).mean()
        told = pd.DataFrame(self._of_batches, dtype=float)
        for name in told:
            table[name] = told[name]
        table.insert(0, "time", whole["time"].iloc[:: self.batch].to_numpy())
        table.insert(0, "number", np.arange(count) * self.batch)
        table.insert(0, "side", self.side)
        return table


def _quantities(view: View, encoded: Encoded) -> dict[str, FloatArray]:
    """Terms of each window, and what the judges make of its embedding."""
    terms = dict(encoded.terms)
    simple = {name: terms.pop(name) for name in SIMPLE if name in terms}
    others = [name for name in view.judges if name not in terms and name not in simple]
    judged = {name: view.judges[name].judge(encoded)[0] for name in others}
    return {**terms, **judged, **simple}


def _placed(seen: Seen, source: Source, side: str) -> pd.DataFrame:
    """Where the windows lie, and when they were where a clock is known."""
    recordings = [source.recordings[number] for number in seen.windows.recording]
    times = [r.time_at(float(s)) for r, s in zip(recordings, seen.windows.start_s, strict=True)]
    return pd.DataFrame(
        {
            "side": side,
            "recording": [recording.name for recording in recordings],
            "frame": seen.names,
            "start_s": seen.windows.start_s,
            "end_s": seen.windows.end_s,
            "time": [time.isoformat(timespec="milliseconds") if time else "" for time in times],
        }
    )
