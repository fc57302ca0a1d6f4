"""Which score of which model finds what: one kind is learned, then others follow.

    cifar      an animal; others are a vehicle                    (32 x 32, colour)
    fashion    one kind of clothing; others are all other kinds   (28 x 28, grey)
    tiles      faultless magnetic tiles; others have defects      (64 x 64, grey)
    fog, snow  whole-sky frames; others are the held-back frames with fog, or snow, made on them
    sounds     seconds of six kinds of sound; others are a seventh (32 bands x 25 frames)

Three models learn from the same pictures: a joint embedding (VICReg), an autoencoder, and a memory
of blocks. Each score is asked twice: does one window of the others score higher than one that was
held back ("window"), and does a batch of them score higher than a batch of those ("batch 16",
"batch 64"; no window is in two batches, and where there are not two of each side, there is no
figure). What knows next to nothing stands beside: brightness, neighbours among raw pixels, how much
pixels vary within a batch ("spread"), the joint network after a single step, and chance. Nothing is
chosen by these labels.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter

from raravis import metrics, models, scorers
from raravis.blocks import seeded
from raravis.contamination import esc10
from raravis.encoded import Encoded
from raravis.errors import DataError, ParameterError
from raravis.images.decoding import decode, resized
from raravis.images.sizes import ChannelScale
from raravis.inference import Inference
from raravis.looking import brightness
from raravis.networks import Network
from raravis.progress import Progress, silent
from raravis.training import Training
from raravis.windows import BoolArray, FloatArray, IntArray

Row = dict[str, Any]
Pictures = list[FloatArray]
Scores = dict[str, FloatArray]

ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
VEHICLES = ("airplane", "automobile", "ship", "truck")
LEARNED, HELD = 500, 1280  # windows at most, of kinds that have more
LEARNED_ANIMALS = 300
SIDE = 64  # of tiles and skies, as networks see them
SMALL = 32  # pixels of the longer side; larger pictures are made four times smaller at once
BATCHES = (16, 64)
MOST_BATCHES = 20  # of each side
ROUNDS = 300  # of the bootstrap
STEPS = 150  # that a network learns
UNTAUGHT = "1 step"  # what terms tell without learning
REBUILDING = {"latent": 32, "width": 16}


@dataclass(frozen=True)
class Case:
    """Pictures (C, H, W) of one kind to learn from, some that were held back, and others.

    is_sound  they are spectrograms: views are halves in time, and there is no memory of blocks.
    size      (h, w) in which networks see them.
    """

    learned: Pictures
    before: Pictures
    after: Pictures
    size: tuple[int, int]
    is_sound: bool = False

    def frames(self, pictures: Pictures) -> FloatArray:
        """Pictures as networks see them, (N, C, h, w), on the scale of what is learned."""
        scale = ChannelScale().learn(self.learned)
        return scale.apply(np.stack([resized(picture, *self.size) for picture in pictures]))


Draw = Callable[[int], Case]


def run(
    data: Path,
    seeds: Sequence[int] = (0, 1, 2),
    parts: Sequence[str] = (),
    out: Path | None = None,
    progress: Progress = silent,
    steps: int = STEPS,
) -> list[Row]:
    """Rows of figures: one for each data set, model, score and question; means over seeds.

    "AUROC" is how often one of the others scores higher than a held-back one: below 1/2, the score
    falls. "low" and "high" hold 95 % of what other windows of the same kinds would give; "least"
    and "most" are the seeds'.

    data   folder with images/ and audio/esc10 in it.
    seeds  of kinds, of what is held back, and of first weights.
    parts  which data sets; none are all.
    out    folder for scores.csv, the figures of every single case, as they come.
    steps  that each network learns.

    Raises DataError where the data are not there, ParameterError for an unknown part.
    """
    if unknown := sorted(set(parts) - set(DATA)):
        raise ParameterError(f"parts must be of {', '.join(DATA)}, got {', '.join(unknown)}")
    chosen = [name for name in DATA if not parts or name in parts]
    threads, rows = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for done, (name, seed) in enumerate((n, s) for n in chosen for s in seeds):
            progress("scores", done, len(chosen) * len(seeds))
            own = measure(DATA[name](data)(seed), seed, steps)
            rows += [{"data": name, "seed": seed, **row} for row in own]
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                pd.DataFrame(rows).to_csv(out / "scores.csv", index=False)
    finally:
        torch.set_num_threads(threads)
    return _over_seeds(rows)


# ----------------------------------------------------------------- one case


def measure(case: Case, seed: int, steps: int = STEPS) -> Iterator[Row]:
    """Figures of every model and score on one case."""
    both = [*case.before, *case.after]
    is_other = np.repeat([False, True], [len(case.before), len(case.after)])
    seen = case.frames(both)
    random = np.random.default_rng([seed, 7])
    simple = {"brightness": brightness(both), "random": random.random(len(both))}
    yield from _asked("none", simple, is_other, None, seen, seed)
    if not case.is_sound:
        blocks = models.create("image-blocks", seed=seed).fit(case.learned)
        patches = {"patches": blocks.encode(both).terms["patches"]}
        yield from _asked("image-blocks", patches, is_other, None, seen, seed)
    pixels = _density(case.frames(case.learned).reshape(len(case.learned), -1),
                      seen.reshape(len(seen), -1), ("knn",))  # fmt: skip
    yield from _asked("pixels", pixels, is_other, None, seen, seed)
    joint = {
        "backbone": "resnet-small",
        "options": {"width": 8, "stem": "small" if max(case.size) <= SMALL else "large"},
        "projector": [128, 128],
        "views": "halves" if case.is_sound else "crop",
    }
    for label, name, options, taught in (
        (f"vicreg, {UNTAUGHT}", "vicreg", joint, 1),
        ("vicreg", "vicreg", joint, steps),
        ("conv-ae", "conv-ae", REBUILDING, steps),
    ):
        inference = _taught(name, options, case, seed, taught)
        learned = inference.encode(case.frames(case.learned))
        encoded = inference.encode(seen)
        scores = encoded.terms | _density(learned.embedding, encoded.embedding)
        yield from _asked(label, scores, is_other, inference, seen, seed)


def _taught(name: str, options: Row, case: Case, seed: int, steps: int) -> Inference:
    frames = case.frames(case.learned)
    with seeded(seed):
        network: Network = models.create(name, shape=frames.shape[1:], **options)
    training = Training(epochs=steps, max_steps=steps, batch=min(64, len(frames)), validation=0.0,
                        patience=steps, seed=seed, device="cpu", precision="float32")  # fmt: skip
    training.fit(network, frames)
    return Inference(network, device="cpu", precision="float32")


def _density(
    learned: FloatArray, seen: FloatArray, names: Sequence[str] = ("knn", "mahalanobis")
) -> Scores:
    """How alone each is among what was learned from."""
    made = {name: scorers.create(name).fit(Encoded(learned)) for name in names}
    return {name: np.asarray(scorer.score(Encoded(seen))) for name, scorer in made.items()}


def _asked(
    model: str,
    scores: Scores,
    is_other: BoolArray,
    network: Inference | None,
    seen: FloatArray,
    seed: int,
) -> Iterator[Row]:
    """Figures of the scores of one model, window by window and batch by batch."""
    for name, score in scores.items():
        yield {"model": model, "score": name, "per": "window", **_ranked(is_other, score, seed)}
    for size in BATCHES:
        batches, others = _batches(is_other, size, seed)
        if min(others.sum(), (~others).sum()) < 2:
            continue
        means = {name: score[batches].mean(axis=1) for name, score in scores.items()}
        if model == "pixels":
            means["spread"] = np.array([seen[batch].std(axis=0).mean() for batch in batches])
        if network is not None:
            told = [network_terms(network, seen[batch]) for batch in batches]
            means |= {name: np.array([terms[name] for terms in told]) for name in told[0]}
        for name, values in means.items():
            row = {"model": model, "score": name, "per": f"batch {size}"}
            yield row | _ranked(others, values, seed)


def network_terms(network: Inference, batch: FloatArray) -> dict[str, float]:
    """Terms of one whole batch."""
    network.batch = len(batch)
    return network.batch_terms(batch)[0]


def _batches(is_other: BoolArray, size: int, seed: int) -> tuple[IntArray, BoolArray]:
    """Rows (K, size) of batches of one side each, and which are of others, (K,)."""
    random = np.random.default_rng([seed, 8])
    rows, others = [], []
    for side in (False, True):
        order = random.permutation(np.flatnonzero(is_other == side))
        for number in range(min(len(order) // size, MOST_BATCHES)):
            rows.append(order[number * size : (number + 1) * size])
            others.append(side)
    return np.array(rows, dtype=int), np.array(others, dtype=bool)


def _ranked(is_other: BoolArray, score: FloatArray, seed: int) -> Row:
    low, high = metrics.bootstrap_interval(metrics.auroc, is_other, score, rounds=ROUNDS, seed=seed)
    return {"AUROC": metrics.auroc(is_other, score), "low": low, "high": high, "rows": len(score)}


def _over_seeds(rows: list[Row]) -> list[Row]:
    """Means over seeds. The interval of a mean is narrower than that of one seed by the root of
    their number, for windows are drawn anew for each."""
    found = []
    keys = ["data", "model", "score", "per"]
    for names, group in pd.DataFrame(rows).groupby(keys, sort=False):
        mean = float(group["AUROC"].mean())
        row = {**dict(zip(keys, names, strict=True)), "AUROC": mean}
        reach = float(np.sqrt(np.square(group["high"] - group["low"]).sum()) / 2 / len(group))
        row |= {"low": max(0.0, mean - reach), "high": min(1.0, mean + reach)}
        row |= {"least": float(group["AUROC"].min()), "most": float(group["AUROC"].max())}
        found.append({**row, "seeds": len(group)})
    return found


# ----------------------------------------------------------------- the data


def cifar(data: Path) -> Draw:
    """One animal is learned, from some of its pictures; others are one vehicle."""
    folder = data / "images/cifar10"

    def draw(seed: int) -> Case:
        random = np.random.default_rng([seed, 0])
        animal, vehicle = random.choice(ANIMALS), random.choice(VEHICLES)
        ours, others = (
            _zipped(folder / "train.zip", kind) + _zipped(folder / "test.zip", kind)
            for kind in (animal, vehicle)
        )
        return Case(ours[:LEARNED_ANIMALS], ours[LEARNED_ANIMALS:], others, (32, 32))

    return draw


def fashion(data: Path) -> Draw:
    """One kind of clothing is learned, from some of its pictures; others are all other kinds."""
    path = data / "images/fashion_mnist/fashion_mnist.npz"
    if not path.is_file():
        raise DataError(f"expected {path}, found none: give the folder that holds it by --data")
    with np.load(path) as held:
        arrays = {name: held[name] for name in held.files}

    def draw(seed: int) -> Case:
        random = np.random.default_rng([seed, 0])
        kind = random.permutation(10)[0]
        pictures = np.concatenate([arrays["x_train"], arrays["x_test"]])[:, None]
        is_kind = np.concatenate([arrays["y_train"], arrays["y_test"]]) == kind
        ours, others = (random.permutation(np.flatnonzero(rows)) for rows in (is_kind, ~is_kind))
        chosen = (ours[:LEARNED], ours[LEARNED : LEARNED + HELD], others[:HELD])
        learned, before, after = (list(pictures[rows].astype(np.float32) / 255) for rows in chosen)
        return Case(learned, before, after, (28, 28))

    return draw


def tiles(data: Path) -> Draw:
    """Half of the faultless tiles is learned, by the tile's number, so that no tile is in both."""
    folder = data / "images/magnetic_tile"
    free, defects = _read(folder, "MT_Free/*.jpg", "grey"), _read(folder, "MT_[!F]*/*.jpg", "grey")
    defects |= _read(folder, "MT_Fray/*.jpg", "grey")

    def draw(seed: int) -> Case:
        numbers = sorted({_number(name) for name in free})
        chosen = set(np.random.default_rng([seed, 0]).permutation(numbers)[: len(numbers) // 2])
        learned = [picture for name, picture in free.items() if _number(name) in chosen]
        before = [picture for name, picture in free.items() if _number(name) not in chosen]
        return Case(learned, before, list(defects.values()), (SIDE, SIDE))

    return draw


def _number(name: str) -> int:
    found = re.search(r"num_(\d+)", name)
    if found is None:
        raise DataError(f"expected tiles called exp1_num_123.jpg, got {name}")
    return int(found[1])


def skies(data: Path, spoil: Callable[[FloatArray, np.random.Generator], FloatArray]) -> Draw:
    """Half of the skies is learned; others are the other half, spoilt."""
    frames = list(_read(data / "images/sky_wsiseg", "image/*.jpg", "colour", 2 * SIDE).values())

    def draw(seed: int) -> Case:
        random = np.random.default_rng([seed, 0])
        order = random.permutation(len(frames))
        learned, held = np.split(order, [len(order) // 2])
        before = [frames[number] for number in held]
        after = [spoil(frame, random) for frame in before]
        return Case([frames[number] for number in learned], before, after, (SIDE, SIDE))

    return draw


def with_fog(picture: FloatArray, random: np.random.Generator) -> FloatArray:
    """A picture (C, H, W) in [0, 1] behind drifting fog, which lets half of it through or more."""
    drift = gaussian_filter(random.normal(size=picture.shape[1:]), min(picture.shape[1:]) / 8)
    thick = 0.35 + 0.15 * drift / np.abs(drift).max()  # (H, W), in 0.2 .. 0.5
    return np.asarray(picture * (1 - thick) + 0.75 * thick, dtype=np.float32)


def with_snow(picture: FloatArray, random: np.random.Generator) -> FloatArray:
    """A picture (C, H, W) in [0, 1] with flakes on 2 % of it, in front of everything."""
    flakes = gaussian_filter((random.random(picture.shape[1:]) < 0.005).astype(np.float32), 0.7)
    cover = np.clip(3 * flakes, 0, 0.9)
    return np.asarray(picture * (1 - cover) + 0.95 * cover, dtype=np.float32)


def sounds(data: Path) -> Draw:
    """Seconds of six kinds of sound; one fold is held back; others are a seventh kind in it."""
    draw_pools = esc10(data)

    def draw(seed: int) -> Case:
        pools, random = draw_pools(seed), np.random.default_rng([seed, 4])
        learned, before, after = (
            list(windows[random.permutation(len(windows))[:most]].astype(np.float32))
            for windows, most in (
                (pools.common, LEARNED), (pools.fresh_common, HELD), (pools.fresh_rare, HELD),
            )
        )  # fmt: skip
        return Case(learned, before, after, learned[0].shape[1:], is_sound=True)

    return draw


def _read(folder: Path, pattern: str, camera: str, longest: int = 512) -> dict[str, FloatArray]:
    found = {
        str(path.relative_to(folder)): decode(path, path.name, camera, longest)
        for path in sorted(folder.glob(pattern))
    }
    if not found:
        raise DataError(f"expected pictures {pattern} in {folder}, found none: get them first")
    return found


def _zipped(path: Path, kind: str) -> Pictures:
    if not path.is_file():
        raise DataError(f"expected {path}, found none: give the folder that holds it by --data")
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith(f"{kind}/"))
        return [decode(archive.read(name), name, "colour", 512) for name in names]


DATA: dict[str, Callable[[Path], Draw]] = {
    "cifar": cifar,
    "fashion": fashion,
    "tiles": tiles,
    "fog": lambda data: skies(data, with_fog),
    "snow": lambda data: skies(data, with_snow),
    "sounds": sounds,
}
