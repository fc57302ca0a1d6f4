"""What is said of a picture, in plain sentences: where it is strange, and how it differs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from raravis.explain.reasons import joined
from raravis.windows import FloatArray

EVERYWHERE = 0.5  # of the picture, from which on no place is named
MOST_OF = 0.8  # of what is above usual, that lies in what is named
TELLING = 0.9  # share of frames from which on a score is told with its figure
FAR = 0.99  # share of frames from which on brightness or warmth is worth a word
SCORES = {
    "pictures": "its strangest places and the whole of it together",
    "patches": "its strangest places",
    "within": "places that are unlike the rest of the picture",
    "reconstruction": "what the network could not reconstruct",
    "knn": "how alone it is among the embeddings",
    "mahalanobis": "its distance from the middle of the embeddings",
    "ensemble": "all members together",
}
"""What the scores of pictures look at, in words."""

THIRDS = {
    (0, 0): "in the upper left", (0, 1): "at the top", (0, 2): "in the upper right",
    (1, 0): "on the left", (1, 1): "in the middle", (1, 2): "on the right",
    (2, 0): "in the lower left", (2, 1): "at the bottom", (2, 2): "in the lower right",
    (0, None): "at the top", (1, None): "half-way down", (2, None): "at the bottom",
    (None, 0): "on the left", (None, 1): "half-way across", (None, 2): "on the right",
}  # fmt: skip
"""Thirds from the top and from the left, in words; None where it reaches over several."""


def where_said(heat: FloatArray, usual: float) -> str:
    """Which part of a picture is stranger than `usual`, from its heat (h, w): where at least half
    the excess of the hottest place is reached."""
    excess = np.maximum(np.nan_to_num(heat, nan=usual) - usual, 0.0)
    if not excess.any():
        return "No single place stands out: the frame as a whole is unlike the others."
    hottest = np.where(excess >= excess.max() / 2, excess, 0.0)
    across, down = (_third(hottest.sum(axis=axis)) for axis in (0, 1))
    place, much = THIRDS.get((down, across)), _much(float((hottest > 0).mean()))
    if (excess > 0).mean() > EVERYWHERE:
        most = f"; most so {place}, {much} of the picture" if place else ""
        return f"Most of the picture is stranger than usual{most}."
    if place is None:
        return f"What stands out most is spread over the picture, {much} of it."
    return f"What stands out most lies {place}, {much} of the picture."


def _much(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "less than 1%"


def _third(profile: FloatArray) -> int | None:
    """In which third, or else in which half, most of a profile (n,) lies: 0, 1 or 2; None where it
    reaches over several."""
    total, half = float(profile.sum()), len(profile) // 2
    bounds = np.linspace(0, len(profile), 4).round().astype(int)
    sums = [float(profile[a:b].sum()) for a, b in pairwise(bounds)]
    if max(sums) >= MOST_OF * total:
        return int(np.argmax(sums))
    if float(profile[:half].sum()) >= MOST_OF * total:
        return 0
    return 2 if float(profile[len(profile) - half :].sum()) >= MOST_OF * total else None


def ranks_said(shares: Mapping[str, float]) -> str:
    """What share of the other frames scores lower, for each score; the most telling first."""
    named = sorted(shares.items(), key=lambda pair: -pair[1])
    high = [(name, share) for name, share in named if share >= TELLING] or named[:1]
    (first, most), *others = high
    said = f"It is stranger than {_share(most)} by {SCORES.get(first, first)}"
    said += "".join(f", than {_share(s, '')} by {SCORES.get(name, name)}" for name, s in others)
    rest = [SCORES.get(name, name) for name, _ in named[len(high) :]]
    return f"{said}; less so by {joined(rest)}." if rest else f"{said}."


def _share(share: float, of: str = " of the others") -> str:
    """Such as "98.2% of the others"."""
    if share >= 0.9995:
        return "all others" if share == 1 else "nearly all others"
    return f"{share:.1%}{of}" if share > 0.9 else f"{share:.0%}{of}"


def extreme_said(share_below: float, more: str, less: str) -> str:
    """Of a value lower in this share of the other frames: "It is darker than 99.4% of the others.";
    empty where it is nothing special."""
    if share_below >= FAR:
        return f"It is {more} than {_share(share_below)}."
    if share_below <= 1 - FAR:
        return f"It is {less} than {_share(1 - share_below)}."
    return ""
