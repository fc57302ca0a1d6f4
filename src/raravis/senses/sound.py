"""Hearing: sound events described in closed form, and fixed windows seen by a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from raravis import models, scorers, thresholds
from raravis.caching.building import Order
from raravis.caching.coding import Coding
from raravis.caching.opening import opened
from raravis.caching.reading import Cache
from raravis.configuration import complete
from raravis.errors import ParameterError
from raravis.journal import SILENT, Journal
from raravis.layers import SegmentLayer, WindowLayer, joined
from raravis.learned import State
from raravis.left_out import LeftOut, too_short
from raravis.listening import BLOCK_S, Lesson, Listener, take_lesson
from raravis.models import ClosedForm
from raravis.networks import Network
from raravis.registry import parameters
from raravis.segments import Segmenter
from raravis.senses import Options, Paths, Sense, completed, named, prefixed, register, under
from raravis.sound.audiofile import SUFFIXES
from raravis.sound.features import LogMel
from raravis.sources import SoundSource
from raravis.sources.audio import AudioSource
from raravis.store import Rows
from raravis.tracking.told import places
from raravis.training import Training
from raravis.windows import FloatArray, Windows

MERGE_S = 1.0  # alarms closer than this are one event
PIECE = 6  # blocks that one process judges in a row, so that a file is not opened for each

# Settings of the source that determine what its windows are; its rate is known once it is open.
CUT = ("window_s", "hop_s", "channel", "timezone", "between")

# What stands beside the main scorer on fixed windows, and beside a network's own terms.
BESIDE: dict[str, Options] = {
    "knn": {"name": "knn"},
    "mahalanobis": {"name": "mahalanobis"},
    "loudness": {"name": "term", "term": "loudness"},
}

# What a joint embedding is made of here, unless it is told otherwise: it learns what two moments
# have in common, and a sound at another pitch is another sound.
OF_SOUND = {"views": "halves", "backbone": "spectrogram-cnn"}


@register("sound")
class SoundSense(Sense):
    """Recordings of sound.

    model      "sound-events" (whole sound events, in closed form; finds most) or a network such
               as "conv-ae" or "vicreg". A name, or a table {"name": "conv-ae", "latent": 10}.
    scorer     what makes the score; by default "rarity" for sound events, "ensemble" for networks
               that reconstruct, "knn" for others.
    explainer  the network that shows, beside sound events, what was expected instead; "none" for
               none. Where the model is a network, it explains itself.
    threshold  "rate" (per_hour=30), "quantile" or "tail"; a name, or a table.
    source, features, segments, training
               options of `AudioSource`, `LogMel`, `Segmenter` and `Training`.
    learn      how much is learned from at most: hours of recording, and a sample of so many
               segments and windows. More recordings cost no more memory.
    seed       of everything random; the same seed gives the same numbers.
    """

    suffixes = SUFFIXES
    merge_s = MERGE_S

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
        model, explainer = named(model, "sound-events"), named(explainer, "conv-ae")
        closed_form = _is_a(ClosedForm, model["name"])
        usual = "rarity" if closed_form else _usual_scorer(model["name"])
        features = complete(LogMel, features or {}, "features")
        segments = {**(segments or {}), "frames_per_s": features["frames_per_s"]}
        explained = closed_form and explainer["name"] != "none"
        self.config = {
            "model": _completed_model(model, "model", seed),
            "scorer": completed(scorers, named(scorer or {}, usual), "scorer", seed),
            "explainer": _completed_model(explainer, "explainer", seed) if explained else "none",
            "threshold": completed(thresholds, named(threshold, "rate"), "threshold", seed),
            "source": complete(AudioSource, source or {}, "source"),
            "features": features,
            "segments": complete(Segmenter, segments, "segments"),
            "training": complete(Training, {"seed": seed, **(training or {})}, "training"),
            "learn": complete(_learn, learn or {}, "learn"),
            "seed": seed,
        }
        self.main_layer = "segments" if closed_form else "windows"
        self.network = self.config["explainer"] if closed_form else self.config["model"]
        self.left_out = LeftOut()
        _check_network(self.network)

    @property
    def scorer(self) -> str:
        """Name of the scorer that makes the score."""
        return str(self.config["scorer"]["name"])

    @property
    def level(self) -> float:
        """The score from which on a window of the main layer raises an alarm."""
        return float(self.layers[self.main_layer].judges[self.scorer].level)

    def p_values(self, scores: FloatArray) -> FloatArray:
        """Share of ordinary windows of the main layer that would score at least as high, (N,)."""
        p_values: FloatArray = self.layers[self.main_layer].judges[self.scorer].p_values(scores)
        return p_values

    def open(self, paths: Paths) -> AudioSource:
        """The recordings under `paths` (files or folders), cut as this detector cuts them."""
        several = [paths] if isinstance(paths, str | Path) else list(paths)
        return AudioSource(several, **self.config["source"])

    def learn(self, source: SoundSource, journal: Journal = SILENT) -> None:
        """Learns from a bounded, even sample of the recordings; a network learns from all windows
        where the journal names a cache of them."""
        self._build(source.rate_hz)
        self._say_what_is_pruned(journal)
        cache = self._cache(source, journal)
        lesson = self._lesson(source, journal, cache)
        windows = lesson.windows if cache is None else cache.places
        told = replace(journal, places=places(windows, source.recordings))
        for layer in self.layers.values():
            if cache is not None and isinstance(layer, WindowLayer):
                layer.learn(lesson, told, cache)
            else:
                layer.learn(lesson, told)
        self.left_out = self._left_out(windows, source, journal)
        # what was learned holds at this rate, whatever rates are scored later
        self.config["source"]["rate_hz"] = source.rate_hz

    def cache_order(self, source: SoundSource, dtype: str = "float16") -> Order:
        """What a cache of the fixed windows of these recordings must hold.

        dtype  "float16" or "uint8", in which it is written where it is not there yet.
        """
        features = self.config["features"]
        cut = {name: self.config["source"][name] for name in CUT if name in self.config["source"]}
        return Order(
            source,
            Listener(LogMel(**features), None, cut["window_s"], source.rate_hz),
            {"source": {**cut, "rate_hz": source.rate_hz}, "features": features},
            Coding.of(dtype, centred=features["background"] or features["loudness"]),
            self.config["training"]["validation"],
        )

    def _cache(self, source: SoundSource, journal: Journal) -> Cache | None:
        """The cache that the journal names, built where it is not there yet."""
        if journal.cache is None:
            return None
        if "windows" not in self.layers:
            journal.remark(
                f"{journal.cache} is not used: nothing here learns from fixed windows; choose "
                "--model conv-ae, or an --explainer"
            )
            return None
        cache = opened(journal.cache, self.cache_order(source), journal.progress)
        known = {(skipped.path, skipped.reason) for skipped in source.skipped}
        source.skipped += [s for s in cache.skipped if (s.path, s.reason) not in known]
        return cache

    def _lesson(self, source: SoundSource, journal: Journal, cache: Cache | None) -> Lesson:
        """What layers learn from; where nobody asks for sound events, a cache has heard it all."""
        settings = {**self.config["learn"], "seed": self.config["seed"]}
        if cache is not None and "segments" not in self.layers:
            return cache.lesson(settings["windows"], settings["seed"])
        return take_lesson(self.listener, source, **settings, progress=journal.progress)

    def _say_what_is_pruned(self, journal: Journal) -> None:
        """Tells whoever asked for pruning what it does not reach."""
        if self.config["training"]["prune"] == "none" or self.main_layer != "segments":
            return
        what = (
            f"only the windows of {self.network['name']}, which shows what was expected"
            if isinstance(self.network, dict)
            else "nothing here"
        )
        journal.remark(
            f"pruning leaves out of training what a network finds strange, so it concerns {what}: "
            "sound events are judged by how many others are like them, and all of them are "
            "counted. With --model conv-ae it concerns the judge itself"
        )

    def _left_out(self, windows: Windows, source: SoundSource, journal: Journal) -> LeftOut:
        """What the network left out of the windows that it learned from."""
        layer = self.layers.get("windows")
        training, name = self.config["training"], self.network["name"] if layer else ""
        if layer is None or training["prune"] == "none":
            return LeftOut()
        if not layer.history.looks:
            journal.remark(too_short(name, len(layer.history), training["prune_first"]))
            return LeftOut()
        columns = layer.history.left_out
        return LeftOut.by(
            name,
            training["prune"],
            layer.history.looks,
            windows[np.array(columns["row"], dtype=int)],
            columns,
            source.recordings,
        )

    def judged(
        self, source: SoundSource, recording: int, from_s: float
    ) -> Iterator[tuple[float, dict[str, Rows]]]:
        """(scored until, rows by layer) for each block of one recording from `from_s` on."""
        for block, windows in self.listener.blocks(source, recording, from_s):
            heard = self.listener.hear(block, windows)
            yield block.end_s, joined([layer.judge(heard) for layer in self.layers.values()])

    def pieces(
        self, source: SoundSource, recording: int, from_s: float
    ) -> list[tuple[float, float]]:
        """Half hours or so, for every block is heard by itself; see `Sense.pieces`."""
        spans = list(source.spans(recording, from_s, BLOCK_S))
        parts = [spans[first : first + PIECE] for first in range(0, len(spans), PIECE)]
        return [(part[0][0], part[-1][1]) for part in parts]

    def state(self) -> State:
        """Everything learned, as arrays."""
        parts = [prefixed(name, layer.state()) for name, layer in self.layers.items()]
        return {name: array for part in parts for name, array in part.items()}

    def restore(self, state: State) -> None:
        """The inverse of `state`."""
        self._build(self.config["source"]["rate_hz"])
        for name, layer in self.layers.items():
            layer.restore(under(name, state))

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
        self.layers = {}
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


def _learn(hours: float = 24.0, segments: int = 2000, windows: int = 4096) -> None:
    """The settings of [learn]: their names and defaults."""


def _completed_model(model: Options, what: str, seed: int) -> Options:
    """A model's table with all it needs, and what suits spectrograms where it says nothing else."""
    taken = parameters(models.get(model["name"]))
    usual = {key: value for key, value in OF_SOUND.items() if key in taken}
    return completed(models, usual | model, what, seed)


def _usual_scorer(model: str) -> str:
    cls: Any = models.get(model)
    rebuilds = getattr(cls, "reconstruct", None) is not Network.reconstruct
    return "ensemble" if rebuilds else "knn"


def _check_network(model: str | Options) -> None:
    """Raises ParameterError where fixed windows were to be seen by what is no network."""
    if isinstance(model, dict) and not _is_a(Network, model["name"]):
        raise ParameterError(
            f"fixed windows need a network, and {model['name']} is none: try conv-ae"
        )


def _is_a(kind: type, model: str) -> bool:
    cls = models.get(model)
    return isinstance(cls, type) and issubclass(cls, kind)
