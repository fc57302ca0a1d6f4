"""The face of raravis: learn from recordings, score recordings, say what is rare.

A detector is configuration (nested tables), a sense that learned, and the run folder to which it
writes. The defaults are those that were measured to find most; see docs/finding.md.
"""

from __future__ import annotations

import importlib.metadata
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import pandas as pd
import tomli_w
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from raravis import senses
from raravis.configuration import read_toml
from raravis.durable import write_atomically
from raravis.errors import ParameterError, RecordingError, RunError
from raravis.folders import find_files
from raravis.journal import Journal
from raravis.learned import State
from raravis.left_out import LeftOut
from raravis.progress import Progress, silent
from raravis.registry import check_options
from raravis.senses import Options, Paths, Sense
from raravis.sources import FrameSource, RowSource, Source
from raravis.store import Rows, Store
from raravis.thresholds import find_events
from raravis.windows import Event, FloatArray

FORMAT = 1  # of model.toml; raised when what is written could not be read by an older raravis
KINDS = ("sound", "series", "images")  # where nothing tells them apart, the first is meant

# Recording and where to begin -> (scored until, rows by layer) of each block, in order.
Judged: TypeAlias = Callable[[int, float], Iterator[tuple[float, dict[str, Rows]]]]
# Who judges: a detector, a source and where each of its recordings begins -> what answers for it.
# Recordings are asked for in order; one that breaks raises RecordingError.
Crew: TypeAlias = Callable[["Detector", Source, Sequence[float]], AbstractContextManager[Judged]]


class Detector:
    """Finds what is rare in unlabelled recordings.

    model     what sees; a name, or a table {"name": "conv-ae", "latent": 10}. By default what was
              measured to find most: "sound-events" in sound, an ensemble in series.
    scorer    what judges what a model of sound has seen.
    kind      "sound", "series" or "images", which the recordings tell by default, once there are
              any; or "pairs" of images, which must be said.
    settings  all others of the kind's sense, such as threshold="tail": see
              `raravis.senses.sound.SoundSense`, `series.SeriesSense`, `images.ImageSense`.

    Raises ParameterError for a setting that is out of range or that no kind knows.
    """

    def __init__(
        self,
        model: Any = None,
        scorer: Any = None,
        kind: str | None = None,
        **settings: Any,
    ) -> None:
        given = {"model": model, "scorer": scorer, **settings}
        self._given = {name: value for name, value in given.items() if value is not None}
        kinds = (kind,) if kind else KINDS
        self._senses = _senses(kinds, self._given)
        self.is_fitted = False
        self._events: list[Event] = []

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A detector from nested tables, as in run.toml. Raises ParameterError for unknown ones."""
        return cls(**config)

    @classmethod
    def for_recordings(cls, paths: Paths, config: Mapping[str, Any]) -> Self:
        """A detector for the kind of recordings that lies in `paths`, unless the nested tables
        name one. Raises ParameterError for settings that this kind does not know."""
        return cls(**{"kind": _kind_of(paths, KINDS), **config})

    @property
    def kind(self) -> str:
        """Of recordings: "sound", "series", "images" or "pairs"."""
        return next(iter(self._senses))

    @property
    def sense(self) -> Sense:
        """What opens, learns from and judges the recordings."""
        return self._senses[self.kind]

    @property
    def config(self) -> Options:
        """Every setting."""
        return {"kind": self.kind, **self.sense.config}

    @property
    def scorer(self) -> str:
        """Name of the scorer that makes the score."""
        return self.sense.scorer

    # --- learning ----------------------------------------------------------------------------

    def open(self, paths: Paths) -> Any:
        """The recordings under `paths` (files or folders), cut as this detector cuts them."""
        if len(self._senses) > 1:
            self._settle(_kind_of(paths, list(self._senses)))
        return self.sense.open(paths)

    def _settle(self, kind: str) -> None:
        self._senses = {kind: self._senses.get(kind) or _senses((kind,), self._given)[kind]}

    def fit(
        self, paths: Paths | Source, progress: Progress = silent, journal: Journal | None = None
    ) -> Self:
        """Learns what is ordinary in recordings; needs no labels.

        journal  where its traces are kept, from which learning that was cut off goes on; it has
                 a `progress` of its own.
        """
        source = paths if isinstance(paths, Source) else self.open(paths)
        if len(self._senses) > 1:
            self._settle(_kind_of_source(source))
        self.sense.learn(source, journal or Journal(progress))
        self.is_fitted = True
        return self

    # --- scoring -----------------------------------------------------------------------------

    def score(
        self,
        paths: Paths | Source,
        run: str | Path | None = None,
        progress: Progress = silent,
        crew: Crew | None = None,
    ) -> pd.DataFrame:
        """Scores every window: a table (recording, start_s, end_s, score, p_value).

        run   folder to which scores and embeddings are written block by block as they come. What
              it holds already is not scored again, so a run that was cut off goes on.
        crew  who judges; see `raravis.spreading.crew`. None is this process alone. The numbers
              are the same.
        """
        if not self.is_fitted:
            raise RunError("the detector has learned nothing yet: call fit first, or load a run")
        if run is None:
            with tempfile.TemporaryDirectory() as folder:
                return self.score(paths, folder, progress, crew)
        source = paths if isinstance(paths, Source) else self.open(paths)
        with Store.open_or_create(run) as store:
            self.judge_into(store, source, progress, crew)
            self.conclude(store, source.remarks)
            return store.table("windows", self.scorer)

    def judge_into(
        self,
        store: Store,
        source: Source,
        progress: Progress = silent,
        crew: Crew | None = None,
    ) -> None:
        """Scores every window into a store, recording by recording, and lists what was skipped."""
        known = {recording.name: scored_s for recording, scored_s in store.recordings()}
        starts = [known.get(recording.name, 0.0) for recording in source.recordings]
        total_s = sum(recording.duration_s for recording in source.recordings)
        before_s = 0.0
        with (crew or alone)(self, source, starts) as judged:
            for index, recording in enumerate(source.recordings):
                try:
                    store.add_recording(recording)
                    if store.scored_until(recording) < recording.duration_s:
                        for until_s, rows in judged(index, store.scored_until(recording)):
                            store.append(recording, until_s, rows)
                            progress("scoring", before_s + until_s, total_s)
                        store.append(recording, recording.duration_s, {})
                except RecordingError as error:
                    source.skip(error)
                before_s += recording.duration_s
                progress("scoring", before_s, total_s)
        for skipped in source.skipped:
            store.skip(skipped)

    def conclude(self, store: Store, remarks: Sequence[str] = ()) -> None:
        """Finds the events in what a store holds, and writes them and run.toml beside it.

        remarks  on how the recordings were read.
        """
        self._events = self._find_events(store)
        store.replace_events(self._events)
        self._write_summary(store, remarks)

    def _find_events(self, store: Store) -> list[Event]:
        sense = self.sense
        windows = store.windows(sense.main_layer)
        scores, p_values = store.scores(sense.main_layer, sense.scorer)
        recordings = [recording for recording, _ in store.recordings()]
        return find_events(
            windows,
            scores,
            p_values,
            sense.level,
            recordings,
            merge_s=sense.merge_s,
            names=store.names(sense.main_layer),
        )

    @property
    def channels(self) -> tuple[str, ...] | None:
        """Names of the channels of a series, in order, once they are known."""
        channels = self.config["source"].get("channels")
        return None if channels is None else tuple(channels)

    def begin(self, channels: Sequence[str]) -> Callable[..., Any]:
        """Makes ready for rows of these channels as they come; returns `update`."""
        self.sense.begin(tuple(channels))
        return self.update

    def update(self, rows: FloatArray, times: Any = None) -> Any:
        """Judges new rows of a series as they come: score, p-value and alarm of each; see
        `raravis.row_layer.Verdict`. What comes later changes nothing that was said.

        rows   (n, C), or (C,) for one row.
        times  (n,) wall-clock times or seconds; None where nothing tells them.
        """
        verdict = self.sense.update(rows, times)
        self.is_fitted = True
        return verdict

    def events(self) -> pd.DataFrame:
        """What is rare in the recordings scored last, strangest first: a table (rank, recording,
        start_s, end_s, start_time, peak_s, score, p_value)."""
        return events_table(self._events)

    # --- the run folder ------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Writes model.toml and model.safetensors, from which `load` makes this detector again, and
        what was left out of learning, if anything was, as pruned.csv."""
        if not self.is_fitted:
            raise RunError("nothing to save: the detector has learned nothing yet, call fit first")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # safetensors writes arrays as they lie in memory, and networks keep theirs channels last
        state = {name: np.asarray(a, order="C") for name, a in self.sense.state().items()}
        write_atomically(folder / "model.safetensors", save(state))
        self.sense.left_out.write(folder)
        table = {"format": FORMAT, "detector": self.config, **self._pruned()}
        write_atomically(folder / "model.toml", tomli_w.dumps(table))

    def _pruned(self) -> Options:
        """What each look for windows to leave out of learning brought, where there was one."""
        return {"pruned": list(looks)} if (looks := self.sense.left_out.looks) else {}

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """A saved detector. Raises RunError for a folder that is missing, broken or foreign."""
        table = read_model_toml(Path(folder))
        try:
            detector = cls.learned(table["detector"], load_file(Path(folder) / "model.safetensors"))
            detector.sense.left_out = LeftOut.read(Path(folder), table.get("pruned", []))
        except (OSError, SafetensorError, ParameterError, KeyError) as error:
            raise RunError(f"the model in {folder} is broken: {error}") from error
        return detector

    @classmethod
    def learned(cls, config: Mapping[str, Any], state: State) -> Self:
        """A detector that has learned: the `config` of another, and the `state` of its sense."""
        detector = cls.from_config({"kind": "sound", **config})
        detector.sense.restore(state)
        detector.is_fitted = True
        return detector

    def _write_summary(self, store: Store, remarks: Sequence[str]) -> None:
        """run.toml: configuration, versions, what was read and what could not be; events.csv."""
        packages = ("raravis", "numpy", "torch", "soundfile", "soxr")
        summary = {
            "detector": self.config,
            "versions": {name: importlib.metadata.version(name) for name in packages}
            | {"python": platform.python_version()},
            "read": [
                {
                    "recording": r.name,
                    "path": r.path,
                    "duration_s": r.duration_s,
                    "rate_hz": r.rate_hz,
                }
                for r, _ in store.recordings()
            ],
            "skipped": [{"path": s.path, "reason": s.reason} for s in store.skipped()],
            "remarks": list(remarks),
            **self._pruned(),
        }
        events = events_table(self._events)
        write_atomically(store.folder / "run.toml", tomli_w.dumps(summary))
        write_atomically(store.folder / "events.csv", events.to_csv(index=False))


@contextmanager
def alone(detector: Detector, source: Source, starts: Sequence[float]) -> Iterator[Judged]:
    """The crew of this one process."""
    yield partial(detector.sense.judged, source)


def read_model_toml(folder: Path) -> Options:
    """How the model in a run folder was made. Raises RunError where it is missing or foreign."""
    path = folder / "model.toml"
    if not path.is_file():
        raise RunError(
            f"{folder} holds no raravis model (no model.toml): make one with "
            f"`raravis fit RECORDINGS --out {folder}`"
        )
    try:
        table = read_toml(path)
    except ParameterError as error:
        raise RunError(f"the model in {folder} is broken: {error}") from error
    if table.get("format") != FORMAT or "detector" not in table:
        raise RunError(
            f"{path} is not a model that this raravis can read: expected format = {FORMAT}, "
            f"got {table.get('format')!r}; train it anew"
        )
    return table


def events_table(events: Sequence[Event]) -> pd.DataFrame:
    """Events, ranked as they come, as a table; pictures with the name of the strangest frame."""
    columns = ["rank", "recording", "start_s", "end_s", "start_time", "peak_s", "score", "p_value"]
    rows = [
        (
            rank,
            e.recording,
            round(e.start_s, 3),
            round(e.end_s, 3),
            e.start_time.isoformat(timespec="milliseconds") if e.start_time else "",
            round(e.peak_s, 3),
            e.score,
            e.p_value,
        )
        for rank, e in enumerate(events, 1)
    ]
    table = pd.DataFrame(rows, columns=columns)
    if any(event.frame for event in events):
        table.insert(2, "frame", [event.frame for event in events])
    return table


def _senses(kinds: Sequence[str], settings: Options) -> dict[str, Sense]:
    """The senses that can be made with these settings, by kind; the first one's complaint where
    there is none."""
    made: dict[str, Sense] = {}
    refused: list[ParameterError] = []
    for kind in kinds:
        try:
            check_options(senses.get(kind), settings, "the configuration")
            made[kind] = senses.create(kind, **settings)
        except ParameterError as error:
            refused.append(error)
    if not made:
        raise refused[0]
    return made


def _kind_of(paths: Paths, possible: Sequence[str]) -> str:
    """Which kind of recordings lies in `paths`: the one of which there are most files."""
    several = [paths] if isinstance(paths, str | Path) else paths
    suffixes = {kind: senses.get(kind).suffixes for kind in possible}  # type: ignore[attr-defined]
    found, _ = find_files([Path(path) for path in several], sum(suffixes.values(), ()))
    counts = dict.fromkeys(possible, 0)
    for file in found:  # by the longest ending: a .celsius.csv is a picture, another .csv a series
        ending = {kind: _ending(file.path.name, suffixes[kind]) for kind in possible}
        counts[max(possible, key=ending.__getitem__)] += 1
    return max(counts, key=lambda kind: counts[kind])


def _ending(name: str, suffixes: Sequence[str]) -> int:
    """Length of the longest of `suffixes` with which a file's name ends."""
    return max((len(s) for s in suffixes if name.lower().endswith(s)), default=0)


def _kind_of_source(source: Source) -> str:
    """The kind whose recordings a source opens."""
    if isinstance(source, FrameSource):
        return "images" if len(source.cameras) == 1 else "pairs"
    return "series" if isinstance(source, RowSource) else "sound"
