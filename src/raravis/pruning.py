"""Which windows are left out of training, because they are so strange that they are no example of
what is ordinary.

A rule says above which loss a window is left out; `Pruning` says when, and bounds how many. A new
rule is one function and its line in `RULES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from raravis.errors import ParameterError
from raravis.thresholds import Tail
from raravis.windows import BoolArray, FloatArray


def zscore(losses: FloatArray, deviations: float) -> float:
    """So many standard deviations above the mean."""
    return float(losses.mean() + deviations * losses.std())


def quantile(losses: FloatArray, share: float) -> float:
    """So great a share of the windows is kept."""
    return float(np.quantile(losses, share))


def mad(losses: FloatArray, deviations: float) -> float:
    """So many robust standard deviations (1.4826 median distances) above the median.

    Where half of the losses are one and the same, it knows no scale, and leaves nothing out.
    """
    median = np.median(losses)
    distance = np.median(np.abs(losses - median))
    return float(median + deviations * 1.4826 * distance) if distance > 0 else math.inf


def tail(losses: FloatArray, p: float) -> float:
    """What an ordinary window exceeds with probability p: by the tail of `thresholds.Tail`."""
    return float(Tail(p).fit(losses, hours=1.0).level_)


@dataclass(frozen=True)
class Rule:
    """One way to say which loss is too high.

    level   (losses of some windows, the rule's number) -> the loss above which one is left out.
    usual   the number where none is given.
    low, high
            the number lies between them, neither being one.
    words   what the level is; "{}" stands for the number.
    of_all  the losses of all windows are looked at, not of those alone that are kept.
    """

    level: Callable[[FloatArray, float], float]
    usual: float
    low: float
    high: float
    words: str
    of_all: bool = False


RULES: dict[str, Rule] = {
    "zscore": Rule(zscore, 3.0, 0.0, math.inf, "mean + {} deviations"),
    "quantile": Rule(quantile, 0.99, 0.0, 1.0, "the quantile {} of all", of_all=True),
    "mad": Rule(mad, 5.0, 0.0, math.inf, "median + {} robust deviations"),
    "tail": Rule(tail, 1e-3, 0.0, 1.0, "the loss exceeded with p = {} by the tail"),
}


@dataclass(frozen=True)
class Decision:
    """What a look at the losses brought.

    kept   (N,) which windows are learned from now.
    level  the loss above which a window is left out.
    why    the same in words, such as "loss above 0.83 = mean + 3 deviations".
    """

    kept: BoolArray
    level: float
    why: str


@dataclass(frozen=True)
class Pruning:
    """When and by which rule windows are left out.

    rule     "zscore:3", "quantile:0.99", "mad:5" or "tail:1e-3"; without a number, the usual one.
    every    epochs from one look to the next, >= 1.
    first    epochs before the first look, >= 1.
    least    share in (0, 1] of the windows that is kept in any case: those of the lowest losses.
    readmit  whether windows that have turned ordinary come back.

    "zscore", "mad" and "tail" look at the losses of the windows kept until now, so that each look
    sees better: where 10 % lie 5 deviations off, zscore:3 of all windows leaves out 17 % of them
    for good, as they blow up the deviation; of those kept, 17 % at first and 97 % in the end. Yet
    looking again does not eat up the ordinary, as the level settles: of Gaussian losses 0.1 % is
    left out after 20 looks, of log-normal ones (shape 0.5) 1.4 % at first and 3.1 % in the end.
    "quantile" looks at all windows: of those kept it would take as many again at every look.

    Without `readmit` every look adds to what is left out, down to `least`.

    Source: iterated clipping, as "sigma clipping" is known in astronomy; ours clips one side.
    """

    rule: str = "zscore:3"
    every: int = 5
    first: int = 5
    least: float = 0.8
    readmit: bool = True

    def __post_init__(self) -> None:
        _parse(self.rule)
        if self.every < 1 or self.first < 1:
            raise ParameterError(
                "epochs between looks (every) and before the first must be >= 1, got "
                f"{self.every} and {self.first}"
            )
        if not 0 < self.least <= 1:
            raise ParameterError(
                f"the share that is kept at least must be in (0, 1], got {self.least}"
            )

    def due(self, epochs: int) -> bool:
        """Whether windows are looked at after so many epochs."""
        return epochs >= self.first and (epochs - self.first) % self.every == 0

    def decide(self, losses: FloatArray, kept: BoolArray) -> Decision:
        """Which windows are kept, by the losses (N,) of all and what was kept (N,) until now.

        Windows of one loss share one fate. A loss that is not a finite number is the strangest.
        """
        rule, number = _parse(self.rule)
        losses = np.where(np.isfinite(losses), losses, np.inf)
        may_stay = np.ones(len(losses), dtype=bool) if self.readmit else kept
        looked_at = losses[(rule.of_all | kept) & np.isfinite(losses)]
        level = rule.level(looked_at, number) if len(looked_at) else math.inf
        why = f"loss above {level:.4g} = {rule.words.format(f'{number:g}')}"
        fewest = min(math.ceil(self.least * len(losses)), int(may_stay.sum()))
        lowest = float(np.partition(losses[may_stay], fewest - 1)[fewest - 1]) if fewest else level
        if level < lowest:
            level = lowest
            why = f"loss above {level:.4g}, the highest of the {self.least:.4g} kept at least"
        return Decision(may_stay & (losses <= level), level, why)


def _parse(text: str) -> tuple[Rule, float]:
    """The rule named in "name:number", and its number."""
    name, colon, given = text.partition(":")
    if name not in RULES:
        raise ParameterError(f"unknown rule {name!r} for pruning: choose one of {', '.join(RULES)}")
    rule = RULES[name]
    try:
        number = float(given) if colon else rule.usual
    except ValueError:
        number = math.nan
    if not rule.low < number < rule.high:
        bounds = "above 0" if rule.high == math.inf else f"between {rule.low:g} and {rule.high:g}"
        raise ParameterError(
            f"the rule {name} for pruning takes a number {bounds}, such as {name}:{rule.usual:g}, "
            f"got {text!r}"
        )
    return rule, number


def parse(rule: str, **options: Any) -> Pruning | None:
    """Pruning by settings; None where the rule is "none"."""
    return None if rule == "none" else Pruning(rule, **options)
