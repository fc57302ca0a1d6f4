"""From the scores of ordinary windows to p-values, an alarm level, and events.

A threshold is fitted on scores of mostly ordinary data. Then it says of any score how often an
ordinary window would score as high, and above which level a window raises an alarm. `find_events`
joins alarmed windows to events. A new threshold is one class in this file with
`@register("name")`: it only says which level, the rest is shared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np

from raravis.errors import ParameterError
from raravis.learned import Learned
from raravis.metrics import TOUCH_S
from raravis.registry import Registry
from raravis.windows import BoolArray, Event, FloatArray, IntArray, Recording, Windows

TAIL_SHARE = 0.1
FEWEST_IN_TAIL = 10
STEEPEST = 0.5  # Pareto shape: above, its variance is infinite and the fit below is invalid
SMALLEST = float(np.finfo(np.float64).tiny)


class Threshold(Learned, ABC):
    """How strange is too strange, learned from the scores of ordinary windows.

    Up to `start_`, the 90th percentile (at least 10 scores lie above it), the p-value of a score s
    is counted among the n ordinary scores; beyond, a generalised Pareto tail goes on for ever:

        p(s) = (1 + #{ordinary >= s}) / (n + 1)                       s <= start
        p(s) = (1 + #{ordinary > start}) / (n + 1) tail(x)            s > start
        tail(x) = (1 + shape x)^(-1 / shape)                          x = (s - start) / scale

    which for shape 0 is exp(-x). So p lies in (0, 1] and never grows with s. Scores that are not
    finite are left out of the fit; a NaN has p-value NaN and never alarms.

    Source: Pickands 1975, Annals of Statistics 3(1), for the tail; fitted by probability-weighted
    moments, Hosking & Wallis 1987, Technometrics 29(3). A negative shape, a tail that ends, is
    taken as 0: otherwise all that lies beyond the end would rank the same.
    """

    pareto = True  # False: the tail is exponential, whatever the scores

    def fit(self, scores: FloatArray, hours: float) -> Self:
        """Learns from the scores (N,) of ordinary windows that cover `hours` of recording."""
        scores = np.asarray(scores, dtype=np.float64)
        self.ordinary_ = np.sort(scores[np.isfinite(scores)])
        if not len(self.ordinary_):
            raise ParameterError(
                f"a threshold needs scores of ordinary windows, got {len(scores)}, none of them "
                "finite: are the recordings shorter than one window?"
            )
        if not hours > 0:
            raise ParameterError(f"hours covered by the scores must be positive, got {hours}")
        n = len(self.ordinary_)
        in_tail = min(max(round(TAIL_SHARE * n), FEWEST_IN_TAIL), n - 1)
        self.start_ = float(self.ordinary_[n - 1 - in_tail])
        excess = self.ordinary_[self.ordinary_ > self.start_] - self.start_
        self.start_share_ = (1 + len(excess)) / (n + 1)
        self.scale_, self.shape_ = _fit_tail(excess, self.pareto)
        self.level_ = self._level(float(hours))
        return self

    @abstractmethod
    def _level(self, hours: float) -> float:
        """The level above which a window alarms; everything else is learned by then."""

    def p_values(self, scores: FloatArray) -> FloatArray:
        """Share of ordinary windows that would score at least as high, (N,) in (0, 1]."""
        self._check_fitted()
        scores = np.asarray(scores, dtype=np.float64)
        n = len(self.ordinary_)
        counted = (1 + n - np.searchsorted(self.ordinary_, scores)) / (n + 1)
        beyond = np.maximum(self.start_share_ * np.exp(-self._decay(scores)), SMALLEST)
        p = np.where(scores > self.start_, beyond, counted)
        return np.where(np.isnan(scores), np.nan, p)

    def surprise(self, scores: FloatArray) -> FloatArray:
        """-log of the p-value, (N,) in nats; goes on where a p-value is too small for a float."""
        p = self.p_values(scores)
        beyond = self._decay(np.asarray(scores, dtype=np.float64)) - np.log(self.start_share_)
        return np.asarray(np.where(np.asarray(scores) > self.start_, beyond, -np.log(p)))

    def _decay(self, scores: FloatArray) -> FloatArray:
        """-log tail(x) >= 0 of scores (N,); 0 up to where the tail starts."""
        x = np.maximum(scores - self.start_, 0)
        x = np.divide(x, self.scale_, out=np.full_like(x, np.inf), where=np.isfinite(x))
        return np.asarray(x if self.shape_ == 0 else np.log1p(self.shape_ * x) / self.shape_)

    def level_at(self, p: float) -> float:
        """The lowest level that only scores with a p-value of at most `p` exceed."""
        self._check_fitted()
        if p >= self.start_share_:
            exceeding = int(p * (len(self.ordinary_) + 1) + 1e-9) - 1
            if exceeding >= len(self.ordinary_):
                return -np.inf
            return float(self.ordinary_[len(self.ordinary_) - 1 - exceeding])
        ratio = max(p, SMALLEST) / self.start_share_
        if self.shape_ == 0:
            return float(self.start_ - self.scale_ * np.log(ratio))
        return float(self.start_ + self.scale_ * (ratio**-self.shape_ - 1) / self.shape_)

    def alarms(self, scores: FloatArray) -> BoolArray:
        """Which windows are strange enough, (N,): those that score above `level_`."""
        self._check_fitted()
        return np.asarray(np.asarray(scores) > self.level_)

    def _check_fitted(self) -> None:
        if not self.is_fitted:
            raise ParameterError(
                f"this {type(self).__name__} threshold has learned nothing yet: call fit first"
            )


_registry: Registry[Threshold] = Registry("threshold", __name__)
register, names, get, create = (
    _registry.register,
    _registry.names,
    _registry.get,
    _registry.create,
)


@register("quantile")
class Quantile(Threshold):
    """Alarms above a quantile of the ordinary scores.

    q  in (0, 1): 0.99 alarms for one in a hundred ordinary windows.
    """

    def __init__(self, q: float = 0.99) -> None:
        if not 0 < q < 1:
            raise ParameterError(f"q must be in (0, 1), got {q}")
        self.q = q

    def _level(self, hours: float) -> float:
        return float(np.quantile(self.ordinary_, self.q))


@register("tail")
class Tail(Threshold):
    """Alarms where an ordinary window would score as high with a probability below p.

    p     in (0, 1): may be far below 1 / N, for the tail reaches beyond the scores seen.
    tail  "pareto" fits how heavy the tail is, "exponential" does not.
    """

    def __init__(self, p: float = 1e-3, tail: str = "pareto") -> None:
        if not 0 < p < 1:
            raise ParameterError(f"p must be in (0, 1), got {p}")
        if tail not in ("pareto", "exponential"):
            raise ParameterError(f"tail must be pareto or exponential, got {tail!r}")
        self.p = p
        self.tail = tail
        self.pareto = tail == "pareto"

    def _level(self, hours: float) -> float:
        return self.level_at(self.p)


@register("rate")
class Rate(Threshold):
    """Alarms so that ordinary data raise so many alarms per hour.

    per_hour  > 0: alarmed windows per hour. Neighbouring ones become one event, so that events
              are as many or fewer.
    """

    def __init__(self, per_hour: float = 30.0) -> None:
        if not per_hour > 0:
            raise ParameterError(f"per_hour must be positive, got {per_hour}")
        self.per_hour = per_hour

    def _level(self, hours: float) -> float:
        return self.level_at(self.per_hour * hours / len(self.ordinary_))


@register("margin")
class Margin(Threshold):
    """Alarms above the highest ordinary score by a margin.

        level = median + q (maximum - median)

    For a few hundred ordinary scores, of which no quantile far out is known: a score that was
    reached once while all was well will be reached again.

    q  > 0: 1 is the maximum itself.
    """

    def __init__(self, q: float = 2.5) -> None:
        if not q > 0:
            raise ParameterError(f"q must be positive, got {q}")
        self.q = q

    def _level(self, hours: float) -> float:
        median = float(np.median(self.ordinary_))
        return median + self.q * (float(self.ordinary_[-1]) - median)


def find_events(
    windows: Windows,
    scores: FloatArray,
    p_values: FloatArray,
    level: float,
    recordings: Sequence[Recording],
    merge_s: float = 0.0,
    names: Sequence[str] | None = None,
) -> list[Event]:
    """Events: runs of windows that score above `level`, strangest first.

    Alarmed windows (N,) of one recording that overlap, touch or lie at most `merge_s` seconds
    apart make one event, whether they come from a fixed grid or are segments of any length. It
    reaches from the first start to the last end; its peak is the middle of its strangest window,
    by whose name, out of (N,) `names`, it is called. With a negative `merge_s` windows that only
    touch stay apart.
    """
    if not len(windows) == len(scores) == len(p_values):
        raise ParameterError(
            "windows, scores and p-values must be of one length, got "
            f"{len(windows)}, {len(scores)}, {len(p_values)}"
        )
    events = []
    for rows in _runs(windows, np.flatnonzero(np.asarray(scores) > level), merge_s):
        peak = rows[np.argmax(scores[rows])]
        recording = recordings[int(windows.recording[peak])]
        start_s = float(windows.start_s[rows].min())
        event = Event(
            recording=recording.name,
            start_s=start_s,
            end_s=float(windows.end_s[rows].max()),
            peak_s=float(windows.start_s[peak] + windows.end_s[peak]) / 2,
            score=float(scores[peak]),
            p_value=float(p_values[peak]),
            start_time=recording.time_at(start_s),
            frame="" if names is None else names[peak],
        )
        events.append(event)
    return sorted(events, key=lambda event: -event.score)


def _runs(windows: Windows, rows: IntArray, merge_s: float) -> Iterator[IntArray]:
    """`rows` in groups whose windows hang together, in order of recording and time."""
    rows = rows[np.lexsort((windows.start_s[rows], windows.recording[rows]))]
    cuts = np.flatnonzero(np.diff(windows.recording[rows])) + 1
    for one in np.split(rows, cuts):
        if len(one):
            reached = np.maximum.accumulate(windows.end_s[one])
            gap = windows.start_s[one][1:] - reached[:-1]
            yield from np.split(one, np.flatnonzero(gap > merge_s + TOUCH_S) + 1)


def _fit_tail(excess: FloatArray, pareto: bool) -> tuple[float, float]:
    """Scale and shape of a generalised Pareto tail for the (n,) sorted excesses over its start.

    With a0 = E[x] and a1 = E[x (1 - F(x))]: shape = 2 - a0 / (a0 - 2 a1) and
    scale = 2 a0 a1 / (a0 - 2 a1). Exponential: scale = a0.
    """
    n = len(excess)
    if n == 0:
        return np.inf, 0.0  # all scores are the same: nothing is known of what lies beyond
    a0 = float(excess.mean())
    if not pareto or n < FEWEST_IN_TAIL:
        return a0, 0.0
    a1 = float((excess * np.arange(n - 1, -1, -1)).mean()) / (n - 1)
    shape = 2 - a0 / (a0 - 2 * a1)
    if not shape > 0:
        return a0, 0.0
    shape = min(shape, STEEPEST)
    return a0 * (1 - shape), shape
