"""Scorers that read one term of the model as it is."""

from __future__ import annotations

from typing import Self

import numpy as np

from raravis import scorers
from raravis.encoded import Encoded
from raravis.errors import ParameterError
from raravis.scorers import Scorer
from raravis.windows import FloatArray


@scorers.register("term")
class Term(Scorer):
    """One of the model's own judgements, unchanged: the windows it was fitted on do not matter.

    term  name of the term, such as "reconstruction", the mean squared error of an autoencoder.
    """

    def __init__(self, term: str = "reconstruction") -> None:
        self.term = term
        self.needs = (term,)

    def fit(self, encoded: Encoded) -> Self:
        """Learns nothing; makes sure that the model gives the term."""
        self.score(encoded)
        return self

    def score(self, encoded: Encoded) -> FloatArray:
        """The term of each window, (N,), in the term's own unit."""
        if self.term not in encoded.terms:
            known = ", ".join(sorted(encoded.terms)) or "none"
            raise ParameterError(f"the model gives no term {self.term!r}: it gives {known}")
        return np.asarray(encoded.terms[self.term], dtype=np.float64)


@scorers.register("reconstruction")
class Reconstruction(Term):
    """How badly the model could reconstruct a window: the term "reconstruction".

    It sees what is complex or loud, which need not be what is rare.
    """

    def __init__(self) -> None:
        super().__init__("reconstruction")
