"""Which windows are left out of training, because they are so strange that they are no example of
what is ordinary.

A rule says above which loss a window is left out; `Pruning` says when, and bounds how many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from raravis.errors import ParameterError
from raravis.windows import BoolArray, FloatArray

Rule = Callable[[FloatArray, float], float]
"""(losses of the kept windows, the rule's number) -> the loss above which a window is left out."""


def zscore(losses: FloatArray, deviations: float) -> float:
    """So many standard deviations above the mean."""
    return float(losses.mean() + deviations * losses.std())


def quantile(losses: FloatArray, share: float) -> float:
    """So great a share of the windows is kept."""
    return float(np.quantile(losses, share))


def mad(losses: FloatArray, deviations: float) -> float:
    """So many robust standard deviations above the median."""
    median = np.median(losses)
    return float(median + deviations * 1.4826 * np.median(np.abs(losses - median)))


RULES: dict[str, tuple[Rule, float]] = {
    "zscore": (zscore, 3.0),
    "quantile": (quantile, 0.99),
    "mad": (mad, 5.0),
}


@dataclass(frozen=True)
class Decision:
    """What a look at the losses brought.

    kept   (N,) which windows are learned from now.
    level  the loss above which a window is left out.
    """

    kept: BoolArray
    level: float


@dataclass(frozen=True)
class Pruning:
    """When and by which rule windows are left out.

    rule     "zscore:3", "quantile:0.99", "mad:5" or "tail:1e-3"; without a number, the usual one.
    every    epochs from one look to the next, >= 1.
    first    epochs before the first look, >= 1.
    least    share in (0, 1] of the windows that is kept in any case.
    readmit  whether windows that have turned ordinary come back.
    """

    rule: str = "zscore:3"
    every: int = 5
    first: int = 5
    least: float = 0.8
    readmit: bool = True

    def __post_init__(self) -> None:
        _parse(self.rule)

    def due(self, epochs: int) -> bool:
        """Whether windows are looked at after so many epochs."""
        return epochs >= self.first and (epochs - self.first) % self.every == 0

    def decide(self, losses: FloatArray, kept: BoolArray) -> Decision:
        """Which windows are kept, by the losses (N,) of all and what was kept (N,) until now."""
        rule, number = _parse(self.rule)
        level = rule(losses[kept], number)
        ordinary = losses <= level
        if not self.readmit:
            ordinary &= kept
        fewest = int(np.ceil(self.least * len(losses)))
        if ordinary.sum() < fewest:
            ordinary = np.zeros(len(losses), dtype=bool)
            ordinary[np.argsort(losses, kind="stable")[:fewest]] = True
            level = float(losses[ordinary].max())
        return Decision(ordinary, level)


def _parse(text: str) -> tuple[Rule, float]:
    name, _, number = text.partition(":")
    if name not in RULES:
        raise ParameterError(f"unknown rule {name!r} for pruning: choose one of {', '.join(RULES)}")
    rule, usual = RULES[name]
    return rule, float(number) if number else usual


def parse(rule: str, **options: Any) -> Pruning | None:
    """Pruning by settings; None where the rule is "none"."""
    return None if rule == "none" else Pruning(rule, **options)
