"""Windows of common kinds with a few of a rare kind among them, out of public data, to measure what
learning from the rare does.

    fashion   Fashion-MNIST: three common kinds of clothing, one rare
    smd       Server Machine Dataset, machine-2-1: 16 minutes of 38 measures; faults are rare
    mnist     MNIST: three common digits, one rare
    esc10     ESC-10: seconds of six common kinds of sound, one rare
    foreign   MNIST: three common digits; rare is clothing of any kind

A new one is a function in `DATA`: the folder of the data -> what draws pools by a seed. Fresh
windows are of recordings, pictures, stretches or faults that are not learned from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from raravis.errors import DataError
from raravis.metrics import labelled_runs
from raravis.series.rows import strided
from raravis.sound.features import LogMel
from raravis.windows import BoolArray, FloatArray, IntArray

FRESH, FRESH_RARE = 400, 20  # windows, and how many of them are rare
COMMON_KINDS, COMMON_SOUNDS = 3, 6
MINUTES, HOP, STRETCH = 16, 4, 512  # rows of a series: a window, from window to window, a stretch
QUIET_DB = 40.0  # below the loudest moment of its clip, a window of sound holds nothing


@dataclass(frozen=True)
class Pools:
    """Windows (n, C, H, W) to draw from: to learn from, and fresh ones of other recordings."""

    common: FloatArray
    rare: FloatArray
    fresh_common: FloatArray
    fresh_rare: FloatArray


@dataclass(frozen=True)
class Case:
    """Windows (N, C, H, W) to learn from and fresh ones, brought to mean 0 and deviation 1 by the
    former, and which of both are rare, (N,)."""

    learned: FloatArray
    is_rare: BoolArray
    fresh: FloatArray
    is_fresh_rare: BoolArray

    @classmethod
    def of(cls, pools: Pools, windows: int, share: float, seed: int) -> Case:
        """So many windows of the pools, of which that share is rare, in random order."""
        random = np.random.default_rng([seed, 1])
        rare = round(share * windows)
        learned, is_rare = _mixed(pools.common, pools.rare, windows - rare, rare, random)
        random = np.random.default_rng([seed, 2])  # the same fresh ones for every share
        fresh, is_fresh_rare = _mixed(
            pools.fresh_common, pools.fresh_rare, FRESH - FRESH_RARE, FRESH_RARE, random
        )
        mean, deviation = learned.mean(), learned.std()
        return cls((learned - mean) / deviation, is_rare, (fresh - mean) / deviation, is_fresh_rare)

    @property
    def questions(self) -> dict[str, tuple[FloatArray, BoolArray]]:
        """What is asked: windows by name, and which are rare; no ranking without rare ones."""
        asked = {"learned": (self.learned, self.is_rare), "fresh": (self.fresh, self.is_fresh_rare)}
        return {name: (windows, rare) for name, (windows, rare) in asked.items() if rare.any()}


def _mixed(
    common: FloatArray, rare: FloatArray, commons: int, rares: int, random: np.random.Generator
) -> tuple[FloatArray, BoolArray]:
    if len(common) < commons or len(rare) < rares:
        raise DataError(
            f"expected {commons} common and {rares} rare windows, the data hold {len(common)} and "
            f"{len(rare)}"
        )
    drawn = np.concatenate(
        [
            common[random.permutation(len(common))[:commons]],
            rare[random.permutation(len(rare))[:rares]],
        ]
    ).astype(np.float32)
    order = random.permutation(len(drawn))
    return drawn[order], (np.arange(len(drawn)) >= commons)[order]


Draw = Callable[[int], Pools]
Drawing = Callable[[Path], Draw]


def _held(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"expected {path}, found none: give the folder that holds it by --data")
    with np.load(path) as held:
        return {name: held[name] for name in held.files}


def fashion(data: Path) -> Draw:
    """Clothing: learned from are training pictures, fresh are test pictures."""
    held = _held(data / "images/fashion_mnist/fashion_mnist.npz")
    known, fresh = (held["x_train"], held["y_train"]), (held["x_test"], held["y_test"])

    def draw(seed: int) -> Pools:
        return _of_kinds(known, fresh, np.random.default_rng([seed, 0]))

    return draw


def mnist(data: Path) -> Draw:
    """Digits, a random third of which is fresh."""
    held = _held(data / "images/mnist/mnist_t10k_first7000.npz")

    def draw(seed: int) -> Pools:
        random = np.random.default_rng([seed, 0])
        is_fresh = random.random(len(held["y"])) < 1 / 3
        known, fresh = ((held["x"][s], held["y"][s]) for s in (~is_fresh, is_fresh))
        return _of_kinds(known, fresh, random)

    return draw


def foreign(data: Path) -> Draw:
    """Three digits, and among them clothing of all kinds, which stands far off."""
    digits, clothing = mnist(data), _held(data / "images/fashion_mnist/fashion_mnist.npz")
    known, fresh = (clothing[name][:, None].astype(np.float32) for name in ("x_train", "x_test"))

    def draw(seed: int) -> Pools:
        return replace(digits(seed), rare=known, fresh_rare=fresh)

    return draw


def _of_kinds(
    known: tuple[FloatArray, IntArray],
    fresh: tuple[FloatArray, IntArray],
    random: np.random.Generator,
) -> Pools:
    """Pictures (n, H, W) of kinds (n,): some kinds are common, one is rare."""
    kinds = random.permutation(np.unique(known[1]))
    common, rare = kinds[:COMMON_KINDS], kinds[COMMON_KINDS]
    pools = [
        pictures[np.isin(labels, wanted)][:, None].astype(np.float32)
        for pictures, labels in (known, fresh)
        for wanted in (common, rare)
    ]
    return Pools(*pools)


def smd(data: Path) -> Draw:
    """A server: which stretches of ordinary minutes and which faults are fresh, the seed says."""
    held = _held(data / "smd/machine-2-1.npz")
    labels = held["test_label"].astype(bool)
    windows = strided(held["test"], MINUTES)[::HOP][:, :, :, None]  # (N, C, minutes, 1)
    starts = np.arange(0, len(labels) - MINUTES + 1, HOP)
    faulty = _rows_of_windows(labels).mean(axis=1)
    events = labelled_runs(labels)

    def draw(seed: int) -> Pools:
        random = np.random.default_rng([seed, 0])
        stretch = starts // STRETCH
        whole = starts % STRETCH + MINUTES <= STRETCH  # no window in two stretches
        fresh_stretch = (random.permutation(stretch.max() + 1) % 2 == 0)[stretch]
        longest_first = events[np.argsort(events[:, 0] - events[:, 1])]
        fresh_fault = np.zeros(len(labels), dtype=bool)
        for number in range(0, len(events), 2):  # of every two faults alike in length, one
            pair = longest_first[number : number + 2]
            start, end = pair[random.integers(len(pair))]
            fresh_fault[start:end] = True
        common, rare = (faulty == 0) & whole, faulty >= 0.5
        fresh = _rows_of_windows(fresh_fault).any(axis=1)
        known = _rows_of_windows(labels & ~fresh_fault).any(axis=1)
        return Pools(
            windows[common & ~fresh_stretch],
            windows[rare & known & ~fresh],
            windows[common & fresh_stretch],
            windows[rare & fresh & ~known],
        )

    return draw


def _rows_of_windows(flags: BoolArray) -> BoolArray:
    """What flags (n,) of rows say in each window, (N, minutes)."""
    windows: BoolArray = strided(flags[:, None].astype(np.float64), MINUTES)[::HOP, 0] > 0
    return windows


def esc10(data: Path) -> Draw:
    """Sounds of a second: one fold is fresh, so that no recording is in both."""
    features = LogMel(mels=32, frames_per_s=25)
    clips: list[tuple[FloatArray, str, int]] = []  # windows, kind, fold
    for path in sorted((data / "audio/esc10").glob("*/*.ogg")):
        clips.append((_seconds(path, features), path.parent.name, int(path.name.split("-")[0])))
    if not clips:
        raise DataError(f"expected clips in {data}/audio/esc10/KIND, found none: get ESC-10")
    kinds, folds = sorted({kind for _, kind, _ in clips}), sorted({fold for *_, fold in clips})

    def draw(seed: int) -> Pools:
        order = np.random.default_rng([seed, 0]).permutation(len(kinds))
        common = {kinds[k] for k in order[:COMMON_SOUNDS]}
        rare = {kinds[order[COMMON_SOUNDS]]}
        fresh = {folds[seed % len(folds)]}
        pools = [
            np.concatenate([w for w, kind, fold in clips if kind in wanted and fold in within])
            for within in (set(folds) - fresh, fresh)
            for wanted in (common, rare)
        ]
        return Pools(*pools)

    return draw


def _seconds(path: Path, features: LogMel) -> FloatArray:
    """Decibels of the seconds of a clip that hold sound, one every quarter, (n, 1, 32, 25)."""
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    frames = features.frames(len(mono) / rate_hz)
    db = features.log(features.power(mono, rate_hz, 0, 0, frames))
    one_s = features.frames(1.0)
    windows = features.cut(db, np.arange(0, frames - one_s + 1, one_s // 4), one_s)
    loudest = windows.max(axis=(1, 2))
    kept: FloatArray = windows[loudest > loudest.max() - QUIET_DB]
    return kept[:, None]


DATA: dict[str, Drawing] = {
    "fashion": fashion,
    "smd": smd,
    "mnist": mnist,
    "esc10": esc10,
    "foreign": foreign,
}
