"""The two ways in which a detector cuts recordings and sees them.

A layer learns from a `Lesson` and judges what was `Heard`, giving rows for the store:

    "segments"  whole sound events -> descriptors -> how rare among mutual neighbours
    "windows"   fixed windows -> a network -> reconstruction error, neighbours, ...

A layer has one model, and any number of judges by the name of their scorer. Its learned arrays go
out by `state` and come back by `restore`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from raravis import models, scorers, thresholds
from raravis.blocks import seeded
from raravis.caching.reading import Cache, CachedWindows
from raravis.course import History
from raravis.encoded import Encoded
from raravis.errors import RunError
from raravis.inference import Inference
from raravis.journal import SILENT, Journal
from raravis.judges import Judge
from raravis.learned import State
from raravis.listening import Heard, Lesson
from raravis.networks import Network
from raravis.registry import check_options
from raravis.segments import spread
from raravis.sound.features import Standardise
from raravis.store import Rows
from raravis.training import Training
from raravis.windows import FloatArray, Windows

Options = dict[str, Any]


def make_judges(chosen: dict[str, Options], threshold: Options) -> dict[str, Judge]:
    """A judge for each scorer, all with the same kind of threshold; tables give their names."""
    return {
        label: Judge(_create(scorers, scorer), _create(thresholds, threshold))
        for label, scorer in chosen.items()
    }


def _create(registry: Any, member: Options) -> Any:
    """What a table names, with the table's other entries as options."""
    return registry.create(member["name"], **{k: v for k, v in member.items() if k != "name"})


def _prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}.{name}": array for name, array in state.items()}


def _under(prefix: str, state: State) -> State:
    return {k.removeprefix(f"{prefix}."): v for k, v in state.items() if k.startswith(f"{prefix}.")}


def _restore_judges(judges: dict[str, Judge], state: State) -> None:
    for name, judge in judges.items():
        judge.restore(_under(f"judge.{name}", state))


def _portions(clips: FloatArray, size: int = 512) -> Iterator[FloatArray]:
    """Views of so many clips at a time, so that nothing is held several times over."""
    return (clips[start : start + size] for start in range(0, len(clips), size))


class SegmentLayer:
    """Sound events, described in closed form.

    model      name and options of a closed-form model of excerpts.
    chosen     label -> name and options of a scorer.
    threshold  name and options.
    """

    name = "segments"

    def __init__(self, model: Options, chosen: dict[str, Options], threshold: Options) -> None:
        self.model = _create(models, model)
        self.judges = make_judges(chosen, threshold)

    def learn(self, lesson: Lesson, journal: Journal = SILENT) -> None:
        """Fits descriptors and judges. Raises NothingToRead where no event was heard."""
        journal.progress("describing sound events", 0, 1)
        self.model.fit(lesson.excerpts)
        encoded = self.model.encode(lesson.excerpts)
        for judge in self.judges.values():
            judge.fit(encoded, lesson.hours)
        journal.progress("describing sound events", 1, 1)

    def judge(self, heard: Heard) -> dict[str, Rows]:
        """Rows of both layers: the events that the block owns, and their scores spread over its
        fixed windows."""
        encoded = self.model.encode(heard.excerpts)
        events = Windows.of(
            heard.block.recording,
            [e.start_s for e in heard.excerpts],
            [e.end_s for e in heard.excerpts],
        )
        own: dict[str, tuple[FloatArray, FloatArray]] = {}
        grid: dict[str, tuple[FloatArray, FloatArray]] = {}
        for name, judge in self.judges.items():
            scores, p_values = judge.judge(encoded)
            own[name] = scores[heard.owned], p_values[heard.owned]
            on_windows = spread(heard.windows, events, scores)
            grid[name] = on_windows, judge.p_values(on_windows)
        return {
            "segments": Rows(events[heard.owned], own, encoded.embedding[heard.owned]),
            "windows": Rows(heard.windows, grid),
        }

    def state(self) -> State:
        """Everything learned, as arrays."""
        state = _prefixed("model", self.model.state())
        for name, judge in self.judges.items():
            state |= _prefixed(f"judge.{name}", judge.state())
        return state

    def restore(self, state: State) -> None:
        """The inverse of `state`."""
        self.model.restore(_under("model", state))
        _restore_judges(self.judges, state)


class WindowLayer:
    """Fixed windows, seen by a network.

    model      name and options of a network; its shape (1, F, T) is added here.
    chosen     label -> name and options of a scorer; each term of the network that none of them
               judges has a judge of its own beside.
    shape      (F, T) of a clip.
    """

    name = "windows"

    def __init__(
        self,
        model: Options,
        chosen: dict[str, Options],
        threshold: Options,
        shape: tuple[int, int],
        training: Options,
        seed: int,
    ) -> None:
        self.shape = shape
        with seeded(seed):  # the first weights follow the seed alone
            self.network: Network = _create(models, {**model, "shape": (1, *shape)})
        check_options(Training, training, "training")
        self.training = Training(**{"seed": seed, **training})
        self.judges = make_judges(chosen, threshold)
        self.threshold = threshold
        self.standardise = Standardise()
        self.inference: Inference | None = None
        self.history = History()

    def learn(self, lesson: Lesson, journal: Journal = SILENT, cache: Cache | None = None) -> None:
        """Learns the scale of the clips, trains the network, fits the judges.

        cache  whose windows the network learns from, all of them; None is the lesson's clips.
        """
        windows = self._from_lesson(lesson) if cache is None else self._from_cache(cache)
        self.history = self.training.fit(self.network, windows, journal=journal.within(self.name))
        self.inference = Inference(self.network)
        encoded = Encoded.concatenate([self.encode(part) for part in _portions(lesson.clips)])
        self._judge_terms(sorted(encoded.terms))
        for judge in self.judges.values():
            judge.fit(encoded, lesson.clip_hours)

    def _judge_terms(self, labels: Iterable[str]) -> None:
        """Adds judges of terms that have none yet."""
        terms = {label: {"name": "term", "term": label} for label in labels}
        new = {label: table for label, table in terms.items() if label not in self.judges}
        self.judges |= make_judges(new, self.threshold)

    def _from_lesson(self, lesson: Lesson) -> FloatArray:
        """Standardised clips, (N, 1, F, T)."""
        self.standardise.update(lesson.clips)
        clips = lesson.clips[:, None].copy()  # float16, half the memory
        for part in _portions(clips):
            part[...] = self.standardise.apply(part)
        return clips

    def _from_cache(self, cache: Cache) -> CachedWindows:
        """All windows of a cache, standardised when they are read."""
        self.standardise = cache.scale()
        return cache.windows(self.standardise, self.training.validation)

    def encode(self, clips: FloatArray) -> Encoded:
        """Clips (N, F, T) in dB -> code, reconstruction error and loudness."""
        if self.inference is None:
            raise RunError("the network is not trained: call fit first, or load a run")
        encoded = self.inference.encode(self.standardise.apply(clips)[:, None])
        loudness = clips.mean(axis=(1, 2), dtype=np.float64)
        return Encoded(encoded.embedding, {**encoded.terms, "loudness": loudness})

    @property
    def reconstructs(self) -> bool:
        """Whether the network says what it expected instead."""
        return type(self.network).reconstruct is not Network.reconstruct

    def reconstruct(self, clips: FloatArray) -> FloatArray:
        """What the network expected instead of clips (N, F, T) in dB; the same shape and unit."""
        if self.inference is None:
            raise RunError("the network is not trained: call fit first, or load a run")
        expected = self.inference.reconstruct(self.standardise.apply(clips)[:, None])
        return self.standardise.invert(expected[:, 0])

    def judge(self, heard: Heard) -> dict[str, Rows]:
        """Rows of the fixed windows that start in the block."""
        encoded = self.encode(heard.clips)
        judged = {name: judge.judge(encoded) for name, judge in self.judges.items()}
        return {"windows": Rows(heard.windows, judged, encoded.embedding)}

    def state(self) -> State:
        """Everything learned, as arrays."""
        weights = {k: v.detach().cpu().numpy() for k, v in self.network.state_dict().items()}
        state = _prefixed("network", weights) | _prefixed("standardise", self.standardise.state())
        for name, judge in self.judges.items():
            state |= _prefixed(f"judge.{name}", judge.state())
        return state

    def restore(self, state: State) -> None:
        """The inverse of `state`. Raises RunError where the weights fit another network."""
        weights = {k: torch.from_numpy(v) for k, v in _under("network", state).items()}
        try:
            self.network.load_state_dict(weights)
        except RuntimeError as error:
            raise RunError(f"the saved weights fit another network: {error}") from error
        self.standardise.restore(_under("standardise", state))
        self.inference = Inference(self.network)
        self._judge_terms(dict.fromkeys(n.split(".")[1] for n in state if n.startswith("judge.")))
        _restore_judges(self.judges, state)


def joined(parts: list[dict[str, Rows]]) -> dict[str, Rows]:
    """Rows that several layers gave for the same block: scores side by side."""
    together: dict[str, Rows] = {}
    for rows in (item for part in parts for item in part.items()):
        name, new = rows
        old = together.get(name)
        if old is None:
            together[name] = new
        else:
            embedding = old.embedding if old.embedding is not None else new.embedding
            together[name] = Rows(old.windows, {**old.scores, **new.scores}, embedding, old.names)
    return together
