"""How well a detector with some settings finds what is known to be rare.

Without labels, what is known to be rare was made so, from the user's own recordings (`sound`,
`series`). The figure is the mean over the parts. It cannot be won by rebuilding
everything: who rebuilds everything tells nothing apart. With labels, the figure is the average
precision over the recordings as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raravis.configuration import Table
from raravis.detector import Detector
from raravis.errors import DataError
from raravis.evaluation import Known, judge, judge_rows, labelled_events, read_events
from raravis.evaluation import inside as overlapping
from raravis.metrics import auroc, average_precision, event_scores
from raravis.scanning import material, series, sound
from raravis.scanning.material import Part
from raravis.senses import Paths
from raravis.sources import RowSource, Source
from raravis.windows import FloatArray, Windows

NAMES = {
    "sound": "AUROC of what was made rare",
    "series": "average precision of what was made rare",
}
NAME_LABELLED = "average precision by labels"
OPENED = ("channel", "channels", "between", "time", "labels", "separator", "decimal")
"""Settings of a source that were heeded when the parts were written."""


class Objective(ABC):
    """What a trial is judged by.

    name   of the figure, in words.
    kind   of recordings.
    steps  parts that a figure is the mean of.
    """

    name: str
    kind: str
    steps: int

    @abstractmethod
    def figures(self, config: Table) -> Iterator[float]:
        """The figure of each part in turn, in [0, 1], for a detector with these settings.

        Raises ParameterError for settings that are out of range, DataError where nothing could be
        learned with them.
        """


@dataclass(frozen=True)
class Made(Objective):
    """How well what was made rare in parts of the user's own recordings is told from the rest: for
    sound events by AUROC, for rows by average precision.

    With a few rare events average precision hangs on one or two of them; AUROC asks all.
    """

    parts: list[Part]
    kind: str

    @property
    def name(self) -> str:  # type: ignore[override]
        return NAMES[self.kind]

    @property
    def steps(self) -> int:  # type: ignore[override]
        return len(self.parts)

    def figures(self, config: Table) -> Iterator[float]:
        """See `Objective`."""
        for part in self.parts:
            detector = Detector.from_config(self._settings(config)).fit(part.learn)
            scores = _scores(detector, part, self.kind)
            known = np.isfinite(scores) | (scores == -np.inf)
            metric = average_precision if self.kind == "series" else auroc
            yield metric(part.rare[known], scores[known])

    def _settings(self, config: Table) -> Table:
        """Those of a detector for the parts, which are opened by what they are."""
        source = {k: v for k, v in config.get("source", {}).items() if k not in OPENED}
        return quick({**config, "source": source}, self.kind)


def quick(config: Table, kind: str) -> Table:
    """Settings without the network that only explains: it has no say in the score."""
    explainer = {"explainer": "none"} if kind == "sound" else {}
    return {**config, **explainer, "kind": kind}


def _scores(detector: Detector, part: Part, kind: str) -> FloatArray:
    """The score of each event of a part, (E,)."""
    table = detector.score(part.judge)
    scores = table["score"].to_numpy(float)
    if kind == "series":
        if len(scores) != len(part.events):
            raise DataError(
                f"{part.judge} has {len(part.events)} rows, but {len(scores)} were judged: write "
                "it anew with --overwrite"
            )
        return np.asarray(scores)
    windows = Windows.of(0, table["start_s"], table["end_s"])
    return event_scores(windows, scores, part.events)


def make(paths: Paths, config: Table, folder: Path, seed: int) -> Made:
    """The objective without labels: writes the parts to `folder`, or reads those that are there.

    Raises DataError where the recordings hold too little to make anything rare in.
    """
    detector = Detector.for_recordings(paths, config)
    if not (folder / material.INDEX).exists():
        source = detector.open(paths)
        (series if detector.kind == "series" else sound).make(source, folder, seed)
    return Made(material.read_index(folder), detector.kind)


class Labelled(Objective):
    """Average precision of the known events in the recordings, learned from as they are.

    events  a CSV file, see `raravis.evaluation.read_events`; None where the series' own files say
            which rows are anomalous.
    """

    name = NAME_LABELLED
    steps = 1

    def __init__(self, paths: Paths, config: Table, events: Path | None) -> None:
        detector = Detector.for_recordings(paths, config)
        self.paths, self.kind = paths, detector.kind
        source = detector.open(paths)
        self.recordings = source.recordings
        self.known = _known(source, events)
        self.hours = sum(recording.duration_s for recording in source.recordings) / 3600

    def figures(self, config: Table) -> Iterator[float]:
        """See `Objective`."""
        detector = Detector.from_config(quick(config, self.kind))
        table = detector.fit(self.paths).score(self.paths)
        numbers = {recording.name: index for index, recording in enumerate(self.recordings)}
        windows = Windows(
            table["recording"].map(numbers).to_numpy(np.int32),
            table["start_s"].to_numpy(float),
            table["end_s"].to_numpy(float),
        )
        scores = table["score"].to_numpy(float)
        if self.kind == "series":
            labels = overlapping(windows, self.known.events)
            row = judge_rows("", windows, scores, labels, ())
        else:
            row = judge("", windows, scores, self.known, self.hours, (60.0,))
        if row.get("ap") is None:
            raise DataError("the known events leave nothing to tell apart: all or none are rare")
        yield float(row["ap"])


def _known(source: Source, events: Path | None) -> Known:
    if events is not None:
        return read_events(events, source.recordings)
    if isinstance(source, RowSource):
        return labelled_events(source, source.recordings)
    raise DataError("sound has no labels of its own: give a CSV file, --labels EVENTS.csv")
