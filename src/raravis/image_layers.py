"""What learns from pictures and judges them: a model in closed form, or a network.

Both judge the same frames, so their scores stand side by side in one layer of the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from raravis import models, scorers, thresholds
from raravis.blocks import seeded
from raravis.course import History
from raravis.encoded import Encoded
from raravis.errors import RunError
from raravis.images.decoding import resized
from raravis.images.sizes import ChannelScale
from raravis.inference import Inference
from raravis.journal import SILENT, Journal
from raravis.judges import Judge
from raravis.learned import State
from raravis.looking import Pictures, brightness, portions
from raravis.models import ImageModel
from raravis.networks import Network
from raravis.registry import parameters
from raravis.senses import prefixed, under
from raravis.sources import FrameBlock
from raravis.store import Rows
from raravis.training import Training
from raravis.windows import FloatArray

Options = dict[str, Any]
DENSITY = ("knn", "mahalanobis")  # how alone a picture is in the model's space


class Judges:
    """Judges of what one model has seen: its main scorer, each of its terms, and where asked for
    how alone a picture is among those that were learned from.

    main       label -> name and options of the scorer that makes the score; empty where another
               model's does.
    density    whether to judge by `DENSITY` as well.
    """

    def __init__(self, main: dict[str, Options], threshold: Options, density: bool) -> None:
        self.main, self.threshold, self.density = main, threshold, density
        self.judges: dict[str, Judge] = {}

    def fit(self, encoded: Encoded, hours: float) -> None:
        """Learns from pictures as if each had been new, which stand for `hours`."""
        self._make(sorted(encoded.terms))
        for judge in self.judges.values():
            judge.fit(encoded, hours)

    def _make(self, terms: Sequence[str]) -> None:
        chosen = {term: {"name": "term", "term": term} for term in terms}
        if self.density:
            chosen |= {name: {"name": name} for name in DENSITY}
        for label, table in (chosen | self.main).items():
            options = {key: value for key, value in table.items() if key != "name"}
            scorer = scorers.create(str(table["name"]), **options)
            limits = {key: value for key, value in self.threshold.items() if key != "name"}
            self.judges[label] = Judge(scorer, thresholds.create(self.threshold["name"], **limits))

    def judge(self, encoded: Encoded) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Scores (N,) and p-values (N,) of each judge."""
        return {label: judge.judge(encoded) for label, judge in self.judges.items()}

    def state(self) -> State:
        """Everything learned, as arrays."""
        states = {label: judge.state() for label, judge in self.judges.items()}
        return {f"{label}.{k}": a for label, state in states.items() for k, a in state.items()}

    def restore(self, state: State) -> None:
        """The inverse of `state`."""
        labels = dict.fromkeys(name.partition(".")[0] for name in state)
        self._make([label for label in labels if label not in self.main and label not in DENSITY])
        for label, judge in self.judges.items():
            judge.restore(under(label, state))


class PictureLayer:
    """Pictures as they are, of any size, seen by a model in closed form.

    model  name and options of an `ImageModel`.
    split  channels of the first camera.
    """

    name = "pictures"

    def __init__(
        self, model: Options, main: dict[str, Options], threshold: Options, split: int
    ) -> None:
        self.model: ImageModel = _made(model, {"split": split})
        self.judges = Judges(main, threshold, density=False)

    def learn(self, pictures: Pictures, hours: float, journal: Journal = SILENT) -> None:
        """Fits the model, then the judges to what it says of pictures it has not seen."""
        journal.progress("remembering pictures", 0, 1)
        self.model.fit(pictures)
        ordinary = self.model.ordinary(pictures)
        self.judges.fit(_with_brightness(ordinary, pictures), hours)
        journal.progress("remembering pictures", 1, 1)

    def judge(self, block: FrameBlock) -> dict[str, Rows]:
        """Rows of the frames of a block."""
        encoded = _with_brightness(self.model.encode(block.pictures), block.pictures)
        scores = self.judges.judge(encoded)
        return {"windows": Rows(block.windows, scores, encoded.embedding, block.names)}

    def state(self) -> State:
        """Everything learned, as arrays."""
        return prefixed("model", self.model.state()) | prefixed("judges", self.judges.state())

    def restore(self, state: State) -> None:
        """The inverse of `state`."""
        self.model.restore(under("model", state))
        self.judges.restore(under("judges", state))


class FrameLayer:
    """Pictures of one size, seen by a network.

    model  name and options of a network; its shape is added here, and where it has two branches
           how many channels are the first one's.
    shape  (C, h, w) of what the network sees.
    split  channels of the first camera.
    """

    name = "frames"

    def __init__(
        self,
        model: Options,
        main: dict[str, Options],
        threshold: Options,
        shape: tuple[int, int, int],
        split: int,
        training: Options,
        seed: int,
    ) -> None:
        self.shape = shape
        with seeded(seed):  # the first weights follow the seed alone
            self.network: Network = _made(model, {"shape": shape, "split": split})
        self.training = Training(**{"seed": seed, **training})
        self.judges = Judges(main, threshold, density=True)
        self.scale = ChannelScale()
        self.inference: Inference | None = None
        self.history = History()

    def learn(self, pictures: Pictures, hours: float, journal: Journal = SILENT) -> None:
        """Learns the scale of the pictures, trains the network, fits the judges."""
        frames = np.empty((len(pictures), *self.shape), dtype=np.float16)  # half the memory
        self.scale.learn(pictures)
        for number, picture in enumerate(pictures):
            frames[number] = self.scale.apply(resized(picture, *self.shape[1:]))
        self.history = self.training.fit(self.network, frames, journal=journal.within(self.name))
        self.inference = Inference(self.network)
        parts = [self.encode(part) for part in portions(pictures)]
        self.judges.fit(Encoded.concatenate(parts), hours)

    def frames(self, pictures: Sequence[FloatArray]) -> FloatArray:
        """Pictures (C, H, W) as the network sees them, (N, C, h, w)."""
        same = [resized(picture, *self.shape[1:]) for picture in pictures]
        return self.scale.apply(np.stack(same) if same else np.empty((0, *self.shape)))

    def encode(self, pictures: Sequence[FloatArray]) -> Encoded:
        """Pictures -> code, the network's terms and brightness."""
        return _with_brightness(self.running.encode(self.frames(pictures)), pictures)

    def reconstruct(self, pictures: Sequence[FloatArray]) -> FloatArray:
        """What the network expected instead, (N, C, h, w) in the unit of the pictures."""
        return self.scale.invert(self.running.reconstruct(self.frames(pictures)))

    def heats(self, pictures: Sequence[FloatArray]) -> dict[str, FloatArray]:
        """How strange each place of each picture is to the network, name -> (N, h, w)."""
        return self.running.heats(self.frames(pictures))

    @property
    def running(self) -> Inference:
        """The trained network. Raises RunError where it has not been trained."""
        if self.inference is None:
            raise RunError("the network is not trained: call fit first, or load a run")
        return self.inference

    def judge(self, block: FrameBlock) -> dict[str, Rows]:
        """Rows of the frames of a block."""
        encoded = self.encode(block.pictures)
        scores = self.judges.judge(encoded)
        return {"windows": Rows(block.windows, scores, encoded.embedding, block.names)}

    def state(self) -> State:
        """Everything learned, as arrays."""
        weights = {k: v.detach().cpu().numpy() for k, v in self.network.state_dict().items()}
        learned = prefixed("scale", self.scale.state()) | prefixed("judges", self.judges.state())
        return prefixed("network", weights) | learned

    def restore(self, state: State) -> None:
        """The inverse of `state`. Raises RunError where the weights fit another network."""
        weights = {k: torch.from_numpy(v) for k, v in under("network", state).items()}
        try:
            self.network.load_state_dict(weights)
        except RuntimeError as error:
            raise RunError(f"the saved weights fit another network: {error}") from error
        self.scale.restore(under("scale", state))
        self.inference = Inference(self.network)
        self.judges.restore(under("judges", state))


def _made(model: Options, known: Options) -> Any:
    """The model that a table names, told what it wants to know of what is `known`."""
    wanted = parameters(models.get(model["name"]))
    options = {key: value for key, value in model.items() if key != "name"}
    given = {key: value for key, value in known.items() if key in wanted}
    return models.create(model["name"], **{**options, **given})


def _with_brightness(encoded: Encoded, pictures: Sequence[FloatArray]) -> Encoded:
    return Encoded(encoded.embedding, {**encoded.terms, "brightness": brightness(pictures)})
