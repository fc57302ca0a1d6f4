"""A scorer with the threshold that was learned from its scores: strangeness and its p-value."""

from __future__ import annotations

import numpy as np

from raravis.encoded import Encoded
from raravis.learned import Learned
from raravis.scorers import Scorer
from raravis.thresholds import Threshold
from raravis.windows import FloatArray


class Judge(Learned):
    """Judges how strange windows are, and how often an ordinary window is as strange."""

    def __init__(self, scorer: Scorer, threshold: Threshold) -> None:
        self.scorer_ = scorer
        self.threshold_ = threshold

    def fit(self, encoded: Encoded, hours: float) -> Judge:
        """Learns from mostly ordinary windows that stand for `hours` of recording."""
        self.scorer_.fit(encoded)
        scores = self.scorer_.ordinary_scores(encoded)
        if not len(scores):
            scores = np.zeros(1)  # nothing happened, so whatever happens later is strange
        self.threshold_.fit(scores, hours)
        return self

    def judge(self, encoded: Encoded) -> tuple[FloatArray, FloatArray]:
        """Scores (N,), higher is stranger, and p-values (N,) in (0, 1]."""
        scores = self.scorer_.score(encoded)
        return scores, self.p_values(scores)

    def p_values(self, scores: FloatArray) -> FloatArray:
        """Share of ordinary windows that would score at least as high, (N,)."""
        return self.threshold_.p_values(scores)

    @property
    def level(self) -> float:
        """The score from which on a window raises an alarm."""
        return float(self.threshold_.level_)
