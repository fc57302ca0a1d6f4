"""What goes into a store and comes out of it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raravis.errors import ParameterError
from raravis.windows import FloatArray, Windows


@dataclass(frozen=True)
class Rows:
    """What one append adds to one layer.

    windows    (N,) stretches of the recording; their `recording` column is not looked at.
    scores     scorer -> (score (N,), p_value (N,)).
    embedding  (N, D), kept as float16; None in a layer that has no embeddings.
    names      (N,) of the windows, where they have names: those of pictures.
    """

    windows: Windows
    scores: Mapping[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    embedding: FloatArray | None = None
    names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        scores = [column for pair in self.scores.values() for column in pair]
        columns = [self.embedding, self.names, *scores]
        for column in (column for column in columns if column is not None):
            if len(column) != len(self.windows):
                raise ParameterError(
                    f"every column must have {len(self.windows)} rows, as many as there are "
                    f"windows, got {len(column)}"
                )

    @property
    def dim(self) -> int:
        """D of the embedding, 0 where there is none."""
        return 0 if self.embedding is None else int(self.embedding.shape[1])
