"""Why a stretch of a series is thought rare, in plain sentences: only what can be read off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raravis.report.page import duration_words
from raravis.windows import BoolArray, FloatArray

LEAST_BEFORE = 20  # rows that must stand before an event to be compared with
LEAST_STILL = 8  # rows without any change that are worth a word
TOGETHER = 0.9  # correlation from which on two channels go together
FAR = 0.99  # share of the rows before that lay nearer to the line along which two channels go
SPREAD = 0.2  # of the score, below which not even the first channel is said to have made it


NEWS = {
    "value": "the value itself",
    "squeezed": "its order of magnitude",
    "calendar": "the value at this hour of the day or the week",
    "level": "its level over hours or days",
    "activity": "how often it jumps",
}
"""The families of `raravis.novelty`, in words."""


@dataclass(frozen=True)
class Companion:
    """Another channel, with which a channel goes: its values (n,) during an event and before."""

    name: str
    during: FloatArray
    before: FloatArray


@dataclass(frozen=True)
class Course:
    """A channel during an event, and before it.

    during, before  (n,) values in order of time; NaN where one is missing.
    before_s        how long `before` lasts.
    low, high       ordinary range; NaN where nothing was learned.
    companion       the channel with which it went before, if any did.
    """

    name: str
    during: FloatArray
    before: FloatArray
    before_s: float
    low: float
    high: float
    companion: Companion | None = None


def what_it_did(course: Course) -> str:
    """The first of these that is true: it has no values, stood still, left all that was before,
    moved apart from its companion, leapt, shook or calmed, lies outside its ordinary range; else
    where it lay."""
    during, before = _known(course.during), _known(course.before)
    if not len(during):
        return f"{course.name} has no values there."
    if len(before) >= LEAST_BEFORE:
        for look in (_stood_still, _went_beyond, _moved_apart, _leapt, _shook_or_calmed):
            said = look(course, during, before)
            if said:
                return f"{course.name} {said}."
    return f"{course.name} {_lay(course, during)}."


def _stood_still(course: Course, during: FloatArray, before: FloatArray) -> str:
    still, at = _longest_still(during)
    usual, _ = _longest_still(before)
    if still < max(LEAST_STILL, usual + 1, len(during) / 4):
        return ""
    longest = f"at most {usual} rows long before" if usual > 1 else "which it never did before"
    return f"stood still at {_figure(during[at], course)} for {still:,} rows, {longest}"


def _went_beyond(course: Course, during: FloatArray, before: FloatArray) -> str:
    highest, lowest = before.max(), before.min()
    high, low = _figure(during.max(), course), _figure(during.min(), course)
    ago = f"everything in the {duration_words(course.before_s)} before"
    if during.max() > highest and during.min() < lowest:
        return f"swung between {low} and {high}, beyond {ago}"
    if during.max() > highest:
        return f"rose to {high}, above {ago} (at most {_figure(highest, course)})"
    if during.min() < lowest:
        return f"fell to {low}, below {ago} (at least {_figure(lowest, course)})"
    return ""


def _moved_apart(course: Course, during: FloatArray, before: FloatArray) -> str:
    """From the line along which it went with its companion, further than nearly ever before."""
    if course.companion is None:
        return ""
    both = np.isfinite(course.before) & np.isfinite(course.companion.before)
    x, y = course.companion.before[both], course.before[both]
    slope = float(np.mean((x - x.mean()) * (y - y.mean())) / np.var(x))
    usual = np.quantile(np.abs(y - y.mean() - slope * (x - x.mean())), FAR)
    apart = course.during - y.mean() - slope * (course.companion.during - x.mean())
    middle = float(np.nanmedian(apart)) if np.isfinite(apart).any() else 0.0
    if abs(middle) <= usual:
        return ""
    much = f"{_figure(abs(middle), course)} {'higher' if middle > 0 else 'lower'}"
    return (
        f"moved apart from {course.companion.name}, with which it went before: "
        f"it was {much} than that lets expect"
    )


def _leapt(course: Course, during: FloatArray, before: FloatArray) -> str:
    path = np.concatenate([before[-1:], during])
    steps = np.diff(path)
    at = int(np.abs(steps).argmax())
    if np.abs(steps[at]) <= np.abs(np.diff(before)).max():
        return ""
    from_, to = _figure(path[at], course), _figure(path[at + 1], course)
    return (
        f"went from {from_} to {to} at once, its largest step in {duration_words(course.before_s)}"
    )


def _shook_or_calmed(course: Course, during: FloatArray, before: FloatArray) -> str:
    if len(during) < LEAST_STILL:
        return ""
    usual = np.abs(np.diff(before)).mean()
    ratio = np.abs(np.diff(during)).mean() / usual if usual > 0 else 1.0
    if ratio >= 2:
        times = f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"
        return f"moved {times} times as far from row to row as before"
    if ratio <= 1 / 3:
        return f"hardly moved: {ratio:.0%} as far from row to row as before"
    return ""


def _lay(course: Course, during: FloatArray) -> str:
    low, high = _figure(during.min(), course), _figure(during.max(), course)
    usual = f"its ordinary range of {_figure(course.low, course)} to {_figure(course.high, course)}"
    where = f"was {low}" if low == high else f"lay between {low} and {high}"
    middle = np.median(during)
    if math.isnan(course.low):
        return f"{where}, not beyond what was before: how it came there is unusual"
    if middle > course.high or middle < course.low:
        return f"{where}, mostly {'above' if middle > course.high else 'below'} {usual}"
    within = ((during >= course.low) & (during <= course.high)).all()
    inside = "within" if within else "mostly within"
    return f"{where}, {inside} {usual}: how it came there is unusual"


def _longest_still(values: FloatArray) -> tuple[int, int]:
    """How many rows the longest run of equal values (n,) has, and where it begins."""
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    lengths = np.diff(ends, prepend=-1)
    longest = int(lengths.argmax())
    return int(lengths[longest]), int(ends[longest] - lengths[longest] + 1)


def _known(values: FloatArray) -> FloatArray:
    return values[np.isfinite(values)]


def _figure(value: float, course: Course) -> str:
    """A value as fine as a hundredth of its channel's ordinary range, else of all its values."""
    spread = course.high - course.low
    if math.isnan(spread):
        spread = float(np.ptp(_known(np.concatenate([course.before, course.during]))))
    if not spread > 0:
        return f"{value:.4g}"
    digits = min(9, max(0, 2 - math.floor(math.log10(spread))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def goes_with(values: FloatArray, channel: int) -> int | None:
    """The channel with which one of values (n, C) is correlated most, if by .9 or more."""
    known = np.isfinite(values) & np.isfinite(values[:, channel : channel + 1])  # (n, C)
    count = known.sum(axis=0)
    if count[channel] < LEAST_BEFORE:
        return None
    x = np.where(known, values, 0.0)
    y = np.where(known, values[:, channel : channel + 1], 0.0)
    x = np.where(known, x - x.sum(axis=0) / np.maximum(count, 1), 0.0)
    y = np.where(known, y - y.sum(axis=0) / np.maximum(count, 1), 0.0)
    length = np.sqrt(np.square(x).sum(axis=0) * np.square(y).sum(axis=0))
    alike = np.abs((x * y).sum(axis=0)) / np.maximum(length, 1e-300)
    alike[channel] = 0.0
    alike[count < LEAST_BEFORE] = 0.0
    nearest = int(alike.argmax())
    return nearest if alike[nearest] >= TOGETHER else None


# --- what the run says -----------------------------------------------------------------------


def shares_said(shares: FloatArray, channels: Sequence[str], telling: Sequence[int]) -> str:
    """Which channels made how much of the score; `telling` are those to name."""
    named = [f"{percent(float(shares[c]))} from {channels[c]}" for c in telling]
    parts = joined([named[0].replace(" from ", " of the score is from ", 1), *named[1:]])
    if shares[telling[0]] < SPREAD:
        return f"Many of the {len(channels)} channels take part: {parts}."
    return f"{parts}."


def labels_said(labels: BoolArray) -> str:
    """How much of an event its recording's own labels (n,) call anomalous."""
    if not labels.any():
        return "The labels in the file call none of it anomalous."
    return f"The labels in the file call {percent(float(labels.mean()))} of it anomalous."


def models_said(alarmed: Mapping[str, bool]) -> str:
    """Which models of an ensemble raise the alarm on their own."""
    names = [name for name, raised in alarmed.items() if raised]
    if len(names) == len(alarmed):
        return f"All {len(names)} models raise the alarm, each on its own."
    if not names:
        return f"None of the {len(alarmed)} models raises the alarm alone; together they do."
    raises = "raises" if len(names) == 1 else "raise"
    return f"{len(names)} of {len(alarmed)} models {raises} the alarm alone: {joined(names)}."


def news_said(families: Mapping[str, float]) -> str:
    """What a chain found new in a row: its ways of looking, the largest first."""
    whole = sum(families.values())
    largest = sorted(families.items(), key=lambda item: -item[1])[:3]
    parts = [f"{NEWS[name]} ({percent(news / whole)})" for name, news in largest if news > 0]
    return f"What is new is {joined(parts)}." if parts else "Nothing in it is new by itself."


def joined(words: Sequence[str]) -> str:
    """Such as "a, b and c"."""
    return " and ".join([*([", ".join(words[:-1])] if len(words) > 1 else []), *words[-1:]])


def percent(share: float) -> str:
    """A share as whole percent, 100 only where it is all."""
    return f"{share:.0%}" if share in (0, 1) else f"{min(0.99, max(0.01, share)):.0%}"
