"""What a model says of windows: the one form in which scorers, store and report see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from raravis.errors import ParameterError
from raravis.windows import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Encoded:
    """Windows as a model sees them.

    embedding  (B, D) float32: where each window lies in the model's space.
    terms      name -> (B,): scalar judgements, such as "reconstruction"; higher is stranger.
    """

    embedding: FloatArray
    terms: dict[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.embedding.ndim != 2:
            raise ParameterError(f"embedding must be (B, D), got shape {self.embedding.shape}")
        for name, values in self.terms.items():
            if values.shape != (len(self),):
                raise ParameterError(
                    f"term {name!r} must be ({len(self)},) like the embedding, got {values.shape}"
                )

    def __len__(self) -> int:
        return len(self.embedding)

    def __getitem__(self, rows: slice | IntArray | BoolArray) -> Encoded:
        return Encoded(self.embedding[rows], {k: v[rows] for k, v in self.terms.items()})

    @classmethod
    def concatenate(cls, parts: Sequence[Encoded]) -> Encoded:
        """All rows of `parts`, in order; `parts` must not be empty."""
        return cls(
            np.concatenate([p.embedding for p in parts]),
            {k: np.concatenate([p.terms[k] for p in parts]) for k in parts[0].terms},
        )
