"""Pairs of pictures, each camera's held against what is remembered of that camera alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, overload

import numpy as np

from raravis import models
from raravis.encoded import Encoded
from raravis.errors import ParameterError
from raravis.learned import State
from raravis.models import ImageModel
from raravis.windows import FloatArray

LEAST = 1e-6  # deviation of what a camera usually says, at least


class _Camera(Sequence[FloatArray]):
    """The channels of one camera of a sequence of pairs."""

    def __init__(self, pairs: Sequence[FloatArray], channels: slice) -> None:
        self._pairs, self._channels = pairs, channels

    def __len__(self) -> int:
        return len(self._pairs)

    @overload
    def __getitem__(self, index: int) -> FloatArray: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[FloatArray]: ...

    def __getitem__(self, index: int | slice) -> FloatArray | Sequence[FloatArray]:
        if isinstance(index, slice):
            return _Camera(self._pairs[index], self._channels)
        return self._pairs[index][self._channels]


@models.register("pair-blocks")
class PairBlocks(ImageModel):
    """A memory of blocks for each of two cameras, and of both the one that is surprised most.

        term      = the larger of what the two say, each in deviations of what it usually says
        embedding = what describes the one's picture as a whole, then the other's

    What is strange to the thermal camera alone is one channel in four: a single memory of all
    channels hardly sees it.

    split     channels of the first camera; those from there on are the second's.
    settings  of each memory: see `ImageBlocks`.
    """

    def __init__(
        self, split: int = 1, side: int = 24, shorter: int = 128, memory: int = 6000, seed: int = 0
    ) -> None:
        if split < 1:
            raise ParameterError(f"split must be >= 1, got {split}")
        self.split = split
        settings = {"side": side, "shorter": shorter, "memory": memory, "seed": seed}
        self._models: list[ImageModel] = [
            models.create("image-blocks", **settings) for _ in range(2)
        ]

    def _cameras(self, pairs: Sequence[FloatArray]) -> list[_Camera]:
        return [_Camera(pairs, part) for part in (slice(self.split), slice(self.split, None))]

    def fit(self, pictures: Sequence[FloatArray]) -> Self:
        """Learns each camera by itself, and what it usually says.

        Raises ParameterError where pictures have no second camera, and what `ImageBlocks` raises.
        """
        if len(pictures) and len(pictures[0]) <= self.split:
            raise ParameterError(
                f"pairs of pictures need more than the {self.split} channels of the first camera, "
                f"got {len(pictures[0])}"
            )
        for model, pictures_of in zip(self._models, self._cameras(pictures), strict=True):
            model.fit(pictures_of)
        said = [encoded.terms for encoded in self._ordinary(pictures)]
        terms = sorted(said[0].keys() & said[1].keys())
        values = np.array([[of[term] for term in terms] for of in said])  # (2, terms, N)
        self.usual_ = values.mean(axis=2)
        self.deviation_ = np.maximum(values.std(axis=2), LEAST)
        return self

    def encode(self, pictures: Sequence[FloatArray]) -> Encoded:
        """Embedding (N, D) of both, and the terms of the one that is surprised most."""
        cameras = zip(self._models, self._cameras(pictures), strict=True)
        return self._together([model.encode(pictures_of) for model, pictures_of in cameras])

    def ordinary(self, pictures: Sequence[FloatArray]) -> Encoded:
        """As `encode`, of the pairs that `fit` saw."""
        return self._together(self._ordinary(pictures))

    def _ordinary(self, pictures: Sequence[FloatArray]) -> list[Encoded]:
        cameras = zip(self._models, self._cameras(pictures), strict=True)
        return [model.ordinary(pictures_of) for model, pictures_of in cameras]

    def _together(self, said: Sequence[Encoded]) -> Encoded:
        terms = sorted(said[0].terms.keys() & said[1].terms.keys())
        surprised = {
            term: np.max(
                [
                    (encoded.terms[term] - self.usual_[camera, number])
                    / self.deviation_[camera, number]
                    for camera, encoded in enumerate(said)
                ],
                axis=0,
            )
            for number, term in enumerate(terms)
        }
        return Encoded(np.concatenate([e.embedding for e in said], axis=1), surprised)

    def heat(self, picture: FloatArray) -> FloatArray:
        """How strange each place is to the camera that finds it strangest, (H, W)."""
        return np.asarray(np.maximum(*self.heats(picture)))

    def heats(self, picture: FloatArray) -> list[FloatArray]:
        """How strange each place is to each camera, (H, W), in units of what is usual for it."""
        cameras = zip(self._models, self._cameras([picture]), self.usual_, strict=True)
        return [
            model.heat(own[0]) / max(float(np.abs(usual).mean()), LEAST)
            for model, own, usual in cameras
        ]

    def state(self) -> State:
        """What both memories learned, and what they usually say."""
        parts = [
            {f"camera{number}.{name}": array for name, array in model.state().items()}
            for number, model in enumerate(self._models)
        ]
        return {**super().state(), **parts[0], **parts[1]}

    def restore(self, state: State) -> Self:
        """The inverse of `state`."""
        for number, model in enumerate(self._models):
            start = f"camera{number}."
            model.restore({k[len(start) :]: a for k, a in state.items() if k.startswith(start)})
        return super().restore({k: a for k, a in state.items() if not k.startswith("camera")})
