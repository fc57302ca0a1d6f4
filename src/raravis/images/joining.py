"""Which picture of one camera belongs to which of another: by time, by position, or by name.

Each picture is used once. What has no partner stays out, and whoever joins says so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from raravis.windows import FloatArray

Pairs = list[tuple[int, int]]
"""Numbers of frames, of the first and of the second camera, in order of the first."""

RIVALS = 16

_POSITION = re.compile(r"_position(\d+)(?!\d)", re.IGNORECASE)
_SUFFIX = re.compile(r"(\.(jpe?g|png|tiff?|csv|gz|rgb|celsius|thermal|npy))+$", re.IGNORECASE)
_SIZE = re.compile(r"\d+x\d+|\d+bit")
_CAMERA_WORDS = frozenset(
    ["rgb", "optical", "visible", "vis", "colour", "color", "thermal", "celsius", "infrared", "ir",
     "left", "right", "radiometric", "camera", "cam", "image", "images", "img", "frame", "frames"]
)  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """One picture, as far as joining is concerned.

    recording, name  where it belongs and what it is called in it.
    time_s           when it was taken: seconds since 1970 where it is dated, else since the
                     recording began.
    """

    recording: str
    name: str
    time_s: float
    dated: bool


def all_dated(first: Sequence[Shot], second: Sequence[Shot]) -> bool:
    """Whether a clock tells when each of them was taken."""
    return all(shot.dated for shot in (*first, *second))


def nearest(first: FloatArray, second: FloatArray, tolerance_s: float) -> Pairs:
    """The pairs of times (n,) and (m,), seconds, that are nearest to each other: of all that lie
    within the tolerance the nearest are joined, then of what is left the nearest, and so on; of
    two as near, the earlier. A picture has at most RIVALS possible partners before and after it."""
    order = np.argsort(second, kind="stable")
    ordered = second[order]
    at = np.searchsorted(ordered, first)
    low = np.maximum(np.searchsorted(ordered, first - tolerance_s, side="left"), at - RIVALS)
    high = np.minimum(np.searchsorted(ordered, first + tolerance_s, side="right"), at + RIVALS)
    possible = [
        (abs(float(first[i] - second[j])), float(first[i]), i, int(j))
        for i in range(len(first))
        for j in order[low[i] : high[i]]
    ]
    taken_first, taken_second, pairs = set[int](), set[int](), []
    for _, _, i, j in sorted(possible):
        if i not in taken_first and j not in taken_second:
            taken_first.add(i)
            taken_second.add(j)
            pairs.append((i, j))
    return sorted(pairs)


def by_time(first: Sequence[Shot], second: Sequence[Shot], tolerance_s: float) -> Pairs:
    """Pairs that are nearest in time; without dates, in recordings of the same name."""
    if all_dated(first, second):
        return _nearest_of_same(first, second, lambda shot: "", tolerance_s)
    return _nearest_of_same(first, second, lambda shot: shot.recording, tolerance_s)


def by_position(first: Sequence[Shot], second: Sequence[Shot], tolerance_s: float) -> Pairs:
    """Pairs of the same `_position5` that are nearest in time; without dates, those whose position
    occurs once on either side of a recording, or once in all."""
    if all_dated(first, second):
        return _nearest_of_same(first, second, lambda shot: position(shot.name), tolerance_s)
    for key in (_recording_and_position, _position_alone):
        if pairs := _same([key(shot) for shot in first], [key(shot) for shot in second]):
            return pairs
    return []


def _nearest_of_same(
    first: Sequence[Shot],
    second: Sequence[Shot],
    key: Callable[[Shot], Hashable],
    tolerance_s: float,
) -> Pairs:
    """The nearest pairs in time among those with the same key; a key of None has none."""
    pairs: Pairs = []
    ours, theirs = _by_key(first, key), _by_key(second, key)
    for name in ours.keys() & theirs.keys() - {None}:
        times = (
            np.array([shots[i].time_s for i in numbers])
            for shots, numbers in ((first, ours[name]), (second, theirs[name]))
        )
        found = nearest(next(times), next(times), tolerance_s)
        pairs += [(ours[name][i], theirs[name][j]) for i, j in found]
    return sorted(pairs)


def _by_key(shots: Sequence[Shot], key: Callable[[Shot], Hashable]) -> dict[Hashable, list[int]]:
    numbers: dict[Hashable, list[int]] = {}
    for number, shot in enumerate(shots):
        numbers.setdefault(key(shot), []).append(number)
    return numbers


def by_name(first: Sequence[Shot], second: Sequence[Shot]) -> Pairs:
    """Pairs of the same name in the same recording; else of names that are the same without words
    for cameras, sizes and endings: "0123_left_336x252.celsius.csv" and "0123.rgb.jpg"; else of
    such names that occur once on either side, in whatever recording."""
    for key in (_whole, _without_words, _alone):
        if pairs := _same([key(shot) for shot in first], [key(shot) for shot in second]):
            return pairs
    return []


def position(name: str) -> int | None:
    """5 of "..._position5.jpg", or None."""
    found = _POSITION.search(name)
    return int(found[1]) if found else None


def _whole(shot: Shot) -> Hashable:
    return shot.recording, shot.name


def _without_words(shot: Shot) -> Hashable:
    return _plain(shot.recording), _plain(shot.name)


def _alone(shot: Shot) -> Hashable:
    return _plain(shot.name)


def _recording_and_position(shot: Shot) -> Hashable:
    found = position(shot.name)
    return None if found is None else (_plain(shot.recording), found)


def _position_alone(shot: Shot) -> Hashable:
    return position(shot.name)


def _plain(name: str) -> str:
    """A name without its endings and words for cameras."""
    words = re.split(r"[_\-./ ]+", _SUFFIX.sub("", name).lower())
    return "_".join(w for w in words if w not in _CAMERA_WORDS and not _SIZE.fullmatch(w))


def _same(first: Iterable[Hashable], second: Iterable[Hashable]) -> Pairs:
    """Pairs of keys that occur once on either side."""
    ours, theirs = list(first), list(second)
    often = Counter(ours), Counter(theirs)
    where = {key: j for j, key in enumerate(theirs) if often[1][key] == 1}
    return [
        (i, where[key])
        for i, key in enumerate(ours)
        if often[0][key] == 1 and key in where and key is not None
    ]
