"""Looking: pictures judged by what is remembered of ordinary ones, in closed form or by a network.

Pairs of pictures, of an optical and a thermal camera say, are one picture with the channels of
both, so that everything that looks at pictures looks at pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from raravis import models, scorers, sources, thresholds
from raravis.configuration import complete
from raravis.errors import ParameterError
from raravis.image_layers import FrameLayer, PictureLayer
from raravis.images.albums import SUFFIXES
from raravis.images.sizes import size_within
from raravis.journal import SILENT, Journal
from raravis.layers import joined
from raravis.learned import State
from raravis.left_out import LeftOut, too_short
from raravis.looking import Pictures, take_pictures
from raravis.models import ImageModel
from raravis.networks import Network
from raravis.senses import Options, Paths, Sense, completed, named, prefixed, register, under
from raravis.sources import CHANNELS, FrameSource
from raravis.store import Rows
from raravis.tracking.told import places
from raravis.training import Training
from raravis.windows import FloatArray, Windows

APART = -0.5  # seconds: frames without a clock that touch are still events of their own
ALARMS = 0.005  # share of ordinary frames that may alarm: one or two a day of a frame in 5 minutes


@register("images")
class ImageSense(Sense):
    """Folders, archives and cameras full of pictures.

    model      "image-blocks" (a memory of blocks, in closed form; finds most) or a network, such as
               "conv-ae", "vit-ae" or "vicreg". A name, or a table {"name": "vicreg", ...}.
    scorer     what makes the score; by default what was measured to find most with the model.
    explainer  the network that shows, beside a closed form, what was expected instead; "none" for
               none. Where the model is a network, it explains itself.
    threshold  "tail" (p=0.005), "quantile" or "rate" (per_hour=..., for frames that are dated).
    source, training
               options of `ImageSource` (of pairs, `PairSource`) and `Training`.
    frames     what networks see: pictures whose longer side is `side` pixels at most.
    learn      how much is learned from: of each recording the share `first` from its beginning,
               at most so many `frames` by a network and `pictures` by a closed form, spread evenly.
    merge      alarmed frames of a dated recording at most so many frames apart are one event.
    form       of the pictures that were learned from; settled by learning.
    seed       of everything random; the same seed gives the same numbers.
    """

    suffixes: tuple[str, ...] = SUFFIXES
    opens = "images"
    usual = "image-blocks"

    def __init__(
        self,
        model: str | Options | None = None,
        scorer: str | Options | None = None,
        explainer: str | Options = "conv-ae",
        threshold: str | Options = "tail",
        source: Options | None = None,
        frames: Options | None = None,
        training: Options | None = None,
        learn: Options | None = None,
        merge: int = 1,
        form: Options | None = None,
        seed: int = 0,
    ) -> None:
        model, explainer = named(model or {}, self.usual), named(explainer, "conv-ae")
        closed_form = _is_a(ImageModel, model["name"])
        explained = closed_form and explainer["name"] != "none"
        usual = "rate" if isinstance(threshold, dict) and "per_hour" in threshold else "tail"
        threshold = named(threshold, usual)
        if threshold["name"] == "tail":
            threshold = {"p": ALARMS, **threshold}
        self.config = {
            "model": completed(models, model, "model", seed),
            "scorer": completed(scorers, _scorer(scorer, model["name"]), "scorer", seed),
            "explainer": completed(models, explainer, "explainer", seed) if explained else "none",
            "threshold": completed(thresholds, threshold, "threshold", seed),
            "source": complete(sources.get(self.opens), source or {}, "source"),
            "frames": complete(_frames, frames or {}, "frames"),
            "training": complete(Training, {"seed": seed, **(training or {})}, "training"),
            "learn": complete(_learn, learn or {}, "learn"),
            "merge": merge,
            "form": complete(_form, form or {}, "form"),
            "seed": seed,
        }
        self.network = self.config["explainer"] if closed_form else self.config["model"]
        self.layers = {}
        self.left_out = LeftOut()
        self._closed_form = closed_form
        _check_network(self.network)

    @property
    def scorer(self) -> str:
        """Name of the scorer that makes the score; of one that reads a term, the term's."""
        table = self.config["scorer"]
        return str(table["term"] if table["name"] == "term" else table["name"])

    @property
    def _main(self) -> Any:
        """The judge that makes the score."""
        return next(iter(self.layers.values())).judges.judges[self.scorer]

    @property
    def level(self) -> float:
        """The score above which a frame raises an alarm."""
        return float(self._main.level)

    def p_values(self, scores: FloatArray) -> FloatArray:
        """Share of ordinary frames that would score at least as high, (N,)."""
        p_values: FloatArray = self._main.p_values(scores)
        return p_values

    @property
    def merge_s(self) -> float:
        """Alarms closer than this are one event; frames without a clock stay apart."""
        return float(self.config["merge"] * self._interval_s) if self._interval_s else APART

    @property
    def _interval_s(self) -> float:
        return float(self.config["form"]["interval_s"])

    def open(self, paths: Paths) -> FrameSource:
        """The pictures under `paths` (folders, files or archives), as those that were learned from:
        colour as grey where it was grey."""
        several = [paths] if isinstance(paths, str | Path) else list(paths)
        options = self._as_learned(self.config["form"]["cameras"])
        source: FrameSource = sources.create(self.opens, paths=several, **options)  # type: ignore[assignment]
        return source

    def _as_learned(self, cameras: Sequence[str]) -> Options:
        """The settings of the source; what most pictures are is no question any more once it is
        known what was learned from."""
        names = ("colour",) if "colour" in self.config["source"] else ("colour_1", "colour_2")
        known = dict(zip(names, cameras, strict=False))
        source: Options = self.config["source"]
        return source | {k: v for k, v in known.items() if source[k] == "auto"}

    # --- learning ----------------------------------------------------------------------------

    def learn(self, source: FrameSource, journal: Journal = SILENT) -> None:
        """Learns from a bounded, even sample of the frames that may be learned from."""
        self._know(source)
        self._build()
        self._remark(journal)
        settings = self.config["learn"]
        most = settings["frames"] if self.network != "none" else settings["pictures"]
        pictures, windows = take_pictures(source, most, settings["first"], journal.progress)
        told = replace(journal, places=places(windows, source.recordings), upright=True)
        for layer in self.layers.values():
            if isinstance(layer, PictureLayer):
                some = pictures.some(settings["pictures"])
                layer.learn(some, self._hours(some), told)
            else:
                layer.learn(pictures, self._hours(pictures), told)
        self.left_out = self._left_out(windows, source, journal)

    def _know(self, source: FrameSource) -> None:
        """Settles what form the pictures have: what was learned holds for these."""
        dated = all(recording.start_time is not None for recording in source.recordings)
        self.config["form"] = {
            "cameras": list(source.cameras),
            "interval_s": float(source.interval_s) if dated else 0.0,
            "size": list(source.size),
        }

    def _hours(self, pictures: Pictures) -> float:
        """Time that so many frames stand for; without a clock, a second each."""
        return len(pictures) * (self._interval_s or 1.0) / 3600

    def _remark(self, journal: Journal) -> None:
        """Tells whoever asked for it what does not concern pictures."""
        if journal.cache is not None:
            journal.remark("pictures are read where they lie: the cache is not used")
        if self.config["training"]["prune"] != "none" and self._closed_form:
            journal.remark(
                "pruning leaves out of training what a network finds strange, so it does not "
                f"concern {self.config['model']['name']}, which makes the score; with --model "
                "conv-ae it concerns the judge itself"
            )

    def _left_out(self, windows: Windows, source: FrameSource, journal: Journal) -> LeftOut:
        """What the network left out of the frames that it learned from."""
        layer, training = self.layers.get("frames"), self.config["training"]
        if layer is None or training["prune"] == "none":
            return LeftOut()
        name = self.network["name"]
        if not layer.history.looks:
            journal.remark(too_short(name, len(layer.history), training["prune_first"]))
            return LeftOut()
        columns = layer.history.left_out
        rows = windows[np.array(columns["row"], dtype=int)]
        looks, rule = layer.history.looks, training["prune"]
        return LeftOut.by(name, rule, looks, rows, columns, source.recordings)

    def _build(self) -> None:
        """Makes the layers, for pictures of the form that is known."""
        config, form = self.config, self.config["form"]
        main = {self.scorer: config["scorer"]}
        self.layers = {}
        if self._closed_form:
            split = CHANNELS[form["cameras"][0]]
            self.layers["pictures"] = PictureLayer(
                config["model"], main, config["threshold"], split
            )
        if self.network != "none":
            tall, wide = form["size"]
            size = size_within((tall, wide), config["frames"]["side"])
            self.layers["frames"] = FrameLayer(
                self.network,
                {} if self._closed_form else main,
                config["threshold"],
                (sum(CHANNELS[camera] for camera in form["cameras"]), *size),
                CHANNELS[form["cameras"][0]],
                config["training"],
                config["seed"],
            )

    # --- judging -----------------------------------------------------------------------------

    def judged(
        self, source: FrameSource, recording: int, from_s: float
    ) -> Iterator[tuple[float, dict[str, Rows]]]:
        """(scored until, rows by layer) for each block of one recording from `from_s` on."""
        for block in source.blocks(recording, from_s):
            if block.names:
                rows = joined([layer.judge(block) for layer in self.layers.values()])
                yield block.end_s, rows

    def state(self) -> State:
        """Everything learned, as arrays."""
        parts = [prefixed(name, layer.state()) for name, layer in self.layers.items()]
        return {name: array for part in parts for name, array in part.items()}

    def restore(self, state: State) -> None:
        """The inverse of `state`."""
        self._build()
        for name, layer in self.layers.items():
            layer.restore(under(name, state))


@register("pairs")
class PairSense(ImageSense):
    """Pictures of two cameras that belong together, such as optical and thermal ones of one sky.

    Settings are those of pictures; `source` has the options of `PairSource`, and the model is
    "pair-blocks", a memory for each camera, by default.
    """

    suffixes = ()  # pairs are asked for by name, files do not tell
    opens = "pairs"
    usual = "pair-blocks"


def _form(
    cameras: Sequence[str] = (), interval_s: float = 0.0, size: Sequence[int] = (0, 0)
) -> None:
    """What [form] holds: see `FrameSource`; interval_s is 0 where frames are not dated."""


def _frames(side: int = 64) -> None:
    """The settings of [frames]: their names and defaults."""


def _learn(frames: int = 4096, pictures: int = 1000, first: float = 1.0) -> None:
    """The settings of [learn]: their names and defaults."""


def _scorer(scorer: str | Options | None, model: str) -> Options:
    """The scorer's table; by default what was measured to find most with this model."""
    if _is_a(ImageModel, model):
        usual = "pictures"
    elif _reconstructs(model):
        usual = "ensemble"
    else:
        usual = "knn"
    return named(scorer or {}, usual)


def _reconstructs(model: str) -> bool:
    cls: Any = models.get(model)
    return getattr(cls, "reconstruct", None) is not Network.reconstruct


def _is_a(kind: type, model: str) -> bool:
    cls = models.get(model)
    return isinstance(cls, type) and issubclass(cls, kind)


def _check_network(model: str | Options) -> None:
    """Raises ParameterError where pictures were to be seen by what cannot see them."""
    if isinstance(model, dict) and not _is_a(Network, model["name"]):
        raise ParameterError(
            f"pictures need image-blocks or a network, and {model['name']} is neither: try conv-ae"
        )
