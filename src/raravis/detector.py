"""The face of raravis: learn from recordings, score recordings, say what is rare.

A detector is configuration (nested tables), the layers that learned, and the run folder to which
it writes. The defaults are those that were measured to find most; see docs/finding.md.
"""

from __future__ import annotations

import importlib.metadata
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pandas as pd
import tomli_w
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from raravis import models, scorers, thresholds
from raravis.configuration import complete, read_toml
from raravis.durable import write_atomically
from raravis.errors import ParameterError, RecordingError, RunError
from raravis.layers import SegmentLayer, WindowLayer, joined
from raravis.listening import Listener, skip, take_lesson
from raravis.models import ClosedForm
from raravis.networks import Network
from raravis.progress import Progress, silent
from raravis.registry import parameters
from raravis.segments import Segmenter
from raravis.sound.features import LogMel
from raravis.sources import SoundSource as Source
from raravis.sources.audio import AudioSource
from raravis.store import Rows, Store
from raravis.thresholds import find_events
from raravis.training import Training
from raravis.windows import Event

Options = dict[str, Any]
Paths = str | Path | Sequence[str | Path]
FORMAT = 1  # of model.toml; raised when what is written could not be read by an older raravis
MERGE_S = 1.0  # alarms closer than this are one event

# What stands beside the main scorer on fixed windows: a network's own judgements, and loudness.
BESIDE: dict[str, Options] = {
    "reconstruction": {"name": "reconstruction"},
    "knn": {"name": "knn"},
    "mahalanobis": {"name": "mahalanobis"},
    "loudness": {"name": "term", "term": "loudness"},
}


class Detector:
    """Finds what is rare in unlabelled recordings.

    model      "sound-events" (whole sound events, in closed form; finds most) or a network such
               as "conv-ae". A name, or a table {"name": "conv-ae", "latent": 10}.
    scorer     what makes the score; by default "rarity" for sound events, "ensemble" for networks.
    explainer  the network that shows, beside sound events, what was expected instead; "none" for
               none. Where the model is a network, it explains itself.
    threshold  "rate" (per_hour=30), "quantile" or "tail"; a name, or a table.
    source, features, segments, training
               options of `AudioSource`, `LogMel`, `Segmenter` and `Training`.
    learn      how much is learned from at most: hours of recording, and a sample of so many
               segments and windows. More recordings cost no more memory.
    seed       of everything random; the same seed gives the same numbers.
    """

    def __init__(
        self,
        model: str | Options = "sound-events",
        scorer: str | Options | None = None,
        explainer: str | Options = "conv-ae",
        threshold: str | Options = "rate",
        source: Options | None = None,
        features: Options | None = None,
        segments: Options | None = None,
        training: Options | None = None,
        learn: Options | None = None,
        seed: int = 0,
    ) -> None:
        model, explainer = _named(model, "sound-events"), _named(explainer, "conv-ae")
        closed_form = _is_a(ClosedForm, model["name"])
        usual = "rarity" if closed_form else "ensemble"
        features = complete(LogMel, features or {}, "features")
        segments = {**(segments or {}), "frames_per_s": features["frames_per_s"]}
        explained = closed_form and explainer["name"] != "none"
        self.config: Options = {
            "model": _complete(models, model, "model", seed),
            "scorer": _complete(scorers, _named(scorer or {}, usual), "scorer", seed),
            "explainer": _complete(models, explainer, "explainer", seed) if explained else "none",
            "threshold": _complete(thresholds, _named(threshold, "rate"), "threshold", seed),
            "source": complete(AudioSource, source or {}, "source"),
            "features": features,
            "segments": complete(Segmenter, segments, "segments"),
            "training": complete(Training, {"seed": seed, **(training or {})}, "training"),
            "learn": complete(_learn, learn or {}, "learn"),
            "seed": seed,
        }
        self.main_layer = "segments" if closed_form else "windows"
        self.is_fitted = False
        self._events: list[Event] = []
        self.network = self.config["explainer"] if closed_form else self.config["model"]
        _check_network(self.network)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A detector from nested tables, as in run.toml. Raises ParameterError for unknown ones."""
        complete(cls, config, "the configuration")
        return cls(**config)

    def _build(self, rate_hz: int) -> None:
        """Makes what listens and the layers, for recordings of one rate."""
        config = self.config
        closed_form = self.main_layer == "segments"
        main = {self.scorer: config["scorer"]}
        self.listener = Listener(
            LogMel(**config["features"]),
            Segmenter(**config["segments"]) if closed_form else None,
            config["source"]["window_s"],
            rate_hz,
        )
        self.layers: dict[str, SegmentLayer | WindowLayer] = {}
        if closed_form:
            self.layers["segments"] = SegmentLayer(config["model"], main, config["threshold"])
        if self.network != "none":
            self.layers["windows"] = WindowLayer(
                self.network,
                BESIDE if closed_form else BESIDE | main,
                config["threshold"],
                self.listener.clip_shape,
                config["training"],
                config["seed"],
            )

    @property
    def scorer(self) -> str:
        """Name of the scorer that makes the score."""
        return str(self.config["scorer"]["name"])

    # --- learning ----------------------------------------------------------------------------

    def open(self, paths: Paths) -> AudioSource:
        """The recordings under `paths` (files or folders), cut as this detector cuts them."""
        several = [paths] if isinstance(paths, str | Path) else list(paths)
        return AudioSource(several, **self.config["source"])

    def fit(self, paths: Paths | Source, progress: Progress = silent) -> Self:
        """Learns what is ordinary in recordings; needs no labels."""
        source = paths if isinstance(paths, Source) else self.open(paths)
        self._build(source.rate_hz)
        lesson = take_lesson(
            self.listener,
            source,
            **self.config["learn"],
            seed=self.config["seed"],
            progress=progress,
        )
        for layer in self.layers.values():
            layer.learn(lesson, progress)
        # what was learned holds at this rate, whatever rates are scored later
        self.config["source"]["rate_hz"] = source.rate_hz
        self.is_fitted = True
        return self

    # --- scoring -----------------------------------------------------------------------------

    def score(
        self, paths: Paths | Source, run: str | Path | None = None, progress: Progress = silent
    ) -> pd.DataFrame:
        """Scores every window: a table (recording, start_s, end_s, score, p_value).

        run  folder to which scores and embeddings are written block by block as they come. What
             it holds already is not scored again, so a run that was cut off goes on.
        """
        if not self.is_fitted:
            raise RunError("the detector has learned nothing yet: call fit first, or load a run")
        source = paths if isinstance(paths, Source) else self.open(paths)
        if run is not None:
            return self._score_into(Path(run), source, progress)
        with tempfile.TemporaryDirectory() as folder:
            return self._score_into(Path(folder), source, progress)

    def _score_into(self, folder: Path, source: Source, progress: Progress) -> pd.DataFrame:
        with Store.open_or_create(folder) as store:
            total_s = sum(recording.duration_s for recording in source.recordings)
            before_s = 0.0
            for index, recording in enumerate(source.recordings):
                try:
                    store.add_recording(recording)
                    for until_s, rows in self._judged(source, index, store.scored_until(recording)):
                        store.append(recording, until_s, rows)
                        progress("scoring", before_s + until_s, total_s)
                except RecordingError as error:
                    skip(source, error)
                before_s += recording.duration_s
            progress("scoring", total_s, total_s)
            for skipped in source.skipped:
                store.skip(skipped)
            self._events = self._find_events(store)
            store.replace_events(self._events)
            self._write_summary(folder, store)
            return store.table("windows", self.scorer)

    def _judged(
        self, source: Source, recording: int, from_s: float
    ) -> Iterator[tuple[float, dict[str, Rows]]]:
        """(scored until, rows by layer) for each block of one recording from `from_s` on."""
        duration_s = source.recordings[recording].duration_s
        if from_s >= duration_s:
            return
        for block, windows in self.listener.blocks(source, recording, from_s):
            heard = self.listener.hear(block, windows)
            yield block.end_s, joined([layer.judge(heard) for layer in self.layers.values()])
        yield duration_s, {}

    def _find_events(self, store: Store) -> list[Event]:
        windows = store.windows(self.main_layer)
        scores, p_values = store.scores(self.main_layer, self.scorer)
        level = self.layers[self.main_layer].judges[self.scorer].level
        recordings = [recording for recording, _ in store.recordings()]
        return find_events(windows, scores, p_values, level, recordings, merge_s=MERGE_S)

    def events(self) -> pd.DataFrame:
        """What is rare in the recordings scored last, strangest first: a table (rank, recording,
        start_s, end_s, start_time, peak_s, score, p_value)."""
        return events_table(self._events)

    # --- the run folder ------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Writes model.toml and model.safetensors, from which `load` makes this detector again."""
        if not self.is_fitted:
            raise RunError("nothing to save: the detector has learned nothing yet, call fit first")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            f"{layer}.{name}": array
            for layer, learned in self.layers.items()
            for name, array in learned.state().items()
        }
        write_atomically(folder / "model.safetensors", save(arrays))
        write_atomically(
            folder / "model.toml", tomli_w.dumps({"format": FORMAT, "detector": self.config})
        )

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """A saved detector. Raises RunError for a folder that is missing, broken or foreign."""
        table = read_model_toml(Path(folder))
        try:
            detector = cls.from_config(table["detector"])
            detector._build(detector.config["source"]["rate_hz"])
            arrays = load_file(Path(folder) / "model.safetensors")
        except (OSError, SafetensorError, ParameterError, KeyError) as error:
            raise RunError(f"the model in {folder} is broken: {error}") from error
        for layer, learned in detector.layers.items():
            start = f"{layer}."
            learned.restore(
                {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
            )
        detector.is_fitted = True
        return detector

    def _write_summary(self, folder: Path, store: Store) -> None:
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
        }
        write_atomically(folder / "run.toml", tomli_w.dumps(summary))
        write_atomically(folder / "events.csv", events_table(self._events).to_csv(index=False))


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
    """Events, ranked as they come, as a table."""
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
    return pd.DataFrame(rows, columns=columns)


# --- settings ----------------------------------------------------------------------------------


def _learn(hours: float = 24.0, segments: int = 2000, windows: int = 4096) -> None:
    """The settings of [learn]: their names and defaults."""


def _named(member: str | Options, default: str = "") -> Options:
    """A member as a table with its name; `default` where a table gives none."""
    table = {"name": member} if isinstance(member, str) else {"name": default, **member}
    if not table["name"]:
        raise ParameterError(f"expected a name, such as name=conv-ae, among {sorted(table)}")
    return table


def _options(member: Options) -> Options:
    return {key: value for key, value in member.items() if key != "name"}


def _check_network(model: str | Options) -> None:
    """Raises ParameterError where fixed windows were to be seen by what is no network."""
    if isinstance(model, dict) and not _is_a(Network, model["name"]):
        raise ParameterError(
            f"fixed windows need a network, and {model['name']} is none: try conv-ae"
        )


def _is_a(kind: type, model: str) -> bool:
    cls = models.get(model)
    return isinstance(cls, type) and issubclass(cls, kind)


def _complete(registry: Any, member: Options, what: str, seed: int) -> Options:
    """A member's table with all its defaults, so that a saved run states every setting; where it
    draws at random, it follows the detector's seed unless it has one of its own."""
    cls = registry.get(member["name"])
    own = {"seed": seed} if "seed" in parameters(cls) else {}
    complete_ = complete(cls, {**own, **_options(member)}, f"{what} {member['name']!r}")
    return {"name": member["name"], **complete_}
