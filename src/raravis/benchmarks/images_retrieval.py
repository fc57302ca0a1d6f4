"""Whether partners find each other: a present its future, an optical picture its thermal one.

    skies    drifting clouds, made here: two frames are the present, and two frames 4, 8 and 12
             later its futures; each has a wind of its own
    sound    seconds of one recorder's day (audio/field_24h): a second is the present, and those
             1, 1.5 and 2 s later its futures; every fourth recording is tested on
    thermal  optical and infrared pictures of roads (images/rgb_thermal_roadscene). Tested on are
             "stretches", every third of twelve in order of names, or the "last third", which is
             mostly night while what is learned from is mostly day; their neighbours are left out,
             so that frames of one drive do not stand on both sides

Of a present, the future that was foretold is compared with candidates: those of the same recording
that share no moment with the present ("same recording"), or the true one among those of all other
recordings ("others"). `predictive` is compared with what needs no learning of time: its own
embedding of the present ("persistence", which is at home where nothing changes), the pixels of the
present ("pixels"), of skies the pixels shifted on as they moved from the first frame of the present
to the second ("advection"), and persistence by an untaught network. Of pairs, `vicreg-pair` is
compared with the correlation of grey values and of gradients, and with an untaught network.

Intervals are 95 %, by drawing recordings again (of pairs, pairs). The settings were tried on skies
of other seeds, and on the 24 pairs before the last third; "stretches" was added when the last third
had been seen to lie in another light than what is learned from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raravis import models
from raravis.blocks import seeded
from raravis.errors import DataError, ParameterError
from raravis.images.decoding import decode, resized
from raravis.images.drifting import drifting_clouds, moved_on
from raravis.inference import Inference
from raravis.metrics.retrieval import Places, mean_interval, retrieve
from raravis.models.predictive import Foretold
from raravis.networks import Network
from raravis.progress import Progress, silent
from raravis.sound.features import LogMel, Standardise
from raravis.sources.audio import AudioSource
from raravis.training import Training
from raravis.windows import BoolArray, FloatArray, IntArray

Row = dict[str, Any]
Key = tuple[str, str, str, str]  # as NAMES
Found = tuple[Key, Places, IntArray]  # and of each query, what is drawn together

NAMES = ("part", "candidates", "case", "method")
PARTS = ("skies", "sound", "thermal")
TOP = 5
MOST = 64  # windows that a network sees at once
TRAINING: Row = {"validation": 0.0, "weight_decay": 1e-4, "patience": 1000}
QUIETLY: Row = {"device": "cpu", "precision": "float32"}


def run(
    data: Path | None,
    seeds: Sequence[int] = (0, 1, 2),
    parts: Sequence[str] = (),
    quick: bool = False,
    progress: Progress = silent,
) -> list[Row]:
    """Rows of figures: one for each part, candidates, case and method, over all seeds.

    data   folder with images/ and audio/ in it; skies need none.
    seeds  of first weights and batches, and of skies: each makes its own.
    parts  which, by name; none are all.
    quick  on a little, for a look whether it runs.

    Raises DataError where the data are not there, ParameterError for an unknown part.
    """
    if unknown := sorted(set(parts) - set(PARTS)):
        raise ParameterError(f"parts must be of {', '.join(PARTS)}, got {', '.join(unknown)}")
    wanted = [part for part in PARTS if not parts or part in parts]
    found: list[Found] = []
    for number, part in enumerate(wanted):
        for seed in seeds:
            progress(f"{part}, seed {seed}", number * len(seeds) + seed, len(wanted) * len(seeds))
            if part == "thermal":
                found += thermal(_folder(data, "images/rgb_thermal_roadscene"), seed, quick)
            elif part == "sound":
                found += futures(part, sounds(_folder(data, "audio/field_24h"), quick), seed, quick)
            else:
                found += futures(part, skies(seed, quick), seed, quick)
    return figures(found, len(seeds))


def figures(found: Sequence[Found], seeds: int) -> list[Row]:
    """One row for each key, with the queries of all seeds."""
    rows = []
    for key in dict.fromkeys(key for key, _, _ in found):
        same = [(places, groups) for other, places, groups in found if other == key]
        names = ("nearer", "tied", "candidates")
        places = Places(*(np.concatenate([getattr(p, name) for p, _ in same]) for name in names))
        low, high = mean_interval(places.hits(), np.concatenate([groups for _, groups in same]))
        rows.append(
            {
                **dict(zip(NAMES, key, strict=True)),
                "top-1": places.top(),
                "from": low,
                "to": high,
                "chance": places.chance(),
                f"top-{TOP}": places.top(TOP),
                "median rank": places.median_rank,
                "of": float(np.median(places.candidates)),
                "queries": len(places),
                "seeds": seeds,
            }
        )
    return rows


def taught(name: str, windows: FloatArray, options: Row, training: Row, seed: int) -> Network:
    """A network that has learned from windows; on one thread, so that many can run beside it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network = fresh(name, windows, options, seed)
        Training(seed=seed, **QUIETLY, **TRAINING, **training).fit(network, windows)
    finally:
        torch.set_num_threads(threads)
    return network


def fresh(name: str, windows: FloatArray, options: Row, seed: int) -> Network:
    """A network that has learned nothing."""
    with seeded(seed):
        network: Network = models.create(name, shape=windows.shape[1:], **options)
    return network.eval()


# ----------------------------------------------------------------- the future of a present


@dataclass(frozen=True)
class Moments:
    """Windows that bring their futures, to learn from and to be tested on.

    learned    (N, C, H, W), and tested (M, C, H, W), of other recordings.
    options    of the network that foretells.
    training   of `Training`.
    recording  (M,) of each tested window, and start (M,) of its present, in units of offsets.
    length     of a present, in the same: a candidate that begins nearer to it shares a moment.
    units      what an offset is called, such as "{:g} frames", and per, how many make one of it.
    """

    learned: FloatArray
    tested: FloatArray
    options: Row
    training: Row
    recording: IntArray
    start: FloatArray
    length: float
    units: str
    per: float = 1.0


def futures(part: str, moments: Moments, seed: int, quick: bool) -> Iterator[Found]:
    """Where the true futures came, by every method, offset and set of candidates."""
    training = {**moments.training, **({"epochs": 2} if quick else {})}
    untaught = fresh("predictive", moments.learned, moments.options, seed)
    network = taught("predictive", moments.learned, moments.options, training, seed)
    offsets = moments.options["offsets"]
    for index, offset in enumerate(offsets):
        foretold, still = (foretell(n, moments.tested, offset) for n in (network, untaught))
        now, later = pixels(moments, index)
        asked = {
            "predictive": (foretold.predicted.numpy(), foretold.true.numpy()),
            "persistence": (foretold.present.numpy(), foretold.true.numpy()),
            "persistence, untaught": (still.present.numpy(), still.true.numpy()),
            "pixels": (centred(now), centred(later)),
        }
        if part == "skies":
            moved = np.stack([moved_on(pair, offset / SKY_STEP) for pair in now])
            asked["advection"] = (centred(moved), centred(later))
        groups = moments.recording + 10_000 * seed if part == "skies" else moments.recording
        for candidates, among in candidate_sets(moments, offset).items():
            for method, (queries, answers) in asked.items():
                key = (part, candidates, moments.units.format(offset / moments.per), method)
                yield key, retrieve(queries, answers, among=among), groups


def foretell(network: Any, windows: FloatArray, offset: float) -> Foretold:
    """What is foretold for all windows."""
    with torch.inference_mode():
        parts = [
            network.foretell(torch.from_numpy(windows[start : start + MOST]), offset)
            for start in range(0, len(windows), MOST)
        ]
    names = ("predicted", "true", "present")
    return Foretold(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def candidate_sets(moments: Moments, offset: float) -> dict[str, BoolArray]:
    """Which futures count for which present, (M, M): of the same recording, or of all others."""
    same = moments.recording[:, None] == moments.recording
    # a candidate that shares a moment with the present is known not to be the future
    apart = np.abs(moments.start[:, None] - (moments.start + offset)) >= moments.length
    true = np.eye(len(same), dtype=bool)
    return {"same recording": (same & apart) | true, "others": ~same | true}


def pixels(moments: Moments, index: int) -> tuple[FloatArray, FloatArray]:
    """The present and one future of each tested window, as they are."""
    windows, offset = moments.tested, moments.options["offsets"][index]
    if "split" in moments.options:
        split = moments.options["split"]
        first = (1 + index) * split
        return windows[:, :split], windows[:, first : first + split]
    length = round(moments.length)
    return windows[..., :length], windows[..., int(offset) : int(offset) + length]


def centred(pictures: FloatArray) -> FloatArray:
    """Pictures as rows without their mean, whose cosine is their correlation."""
    rows = pictures.reshape(len(pictures), -1)
    return np.asarray(rows - rows.mean(axis=1, keepdims=True))


# ----------------------------------------------------------------- skies and sounds

SKY_SIDE, SKY_FRAMES, SKY_STEP = 32, 64, 2
SKY_OFFSETS = (4.0, 8.0, 12.0)


def skies(seed: int, quick: bool = False) -> Moments:
    """Sequences of skies: 240 short ones to learn from, for there are many winds, and 8 others to
    be tested on."""
    random = np.random.default_rng([seed, 79])
    learned, tested = (8, 2) if quick else (240, 8)
    moments = np.arange(SKY_STEP, SKY_FRAMES - int(max(SKY_OFFSETS)))
    lags = np.array([[of - SKY_STEP, of] for of in (0, *SKY_OFFSETS)], dtype=int).ravel()

    def windows(some: IntArray) -> FloatArray:
        film = drifting_clouds(random, SKY_FRAMES, SKY_SIDE)
        return np.stack([(film[moment + lags] - 0.5) / 0.3 for moment in some])

    few, fewest = moments[::4], moments[::10]
    return Moments(
        learned=np.concatenate([windows(fewest) for _ in range(learned)]),
        tested=np.concatenate([windows(few) for _ in range(tested)]),
        options={"split": 2, "offsets": SKY_OFFSETS, "options": {"width": 16}, "embedding": 64},
        training={"epochs": 30, "learning_rate": 2e-3},
        recording=np.repeat(np.arange(tested), len(few)),
        start=np.tile(few, tested).astype(float),
        length=SKY_STEP + 1.0,
        units="{:g} frames",
    )


RATE_HZ, FRAMES_PER_S, BANDS, CLIP_S = 22_050, 32, 32, 3


def sounds(folder: Path, quick: bool = False) -> Moments:
    """Clips of 3 s of a recorder's day; every fourth recording is for testing."""
    features = LogMel(mels=BANDS, frames_per_s=FRAMES_PER_S)
    source = AudioSource([folder], rate_hz=RATE_HZ)
    films: list[list[FloatArray]] = [[], []]
    for number, recording in enumerate(source.recordings[: 8 if quick else None]):
        samples = source.read(number, 0.0, recording.duration_s)
        frames = int(recording.duration_s * FRAMES_PER_S)
        power = features.power(samples, RATE_HZ, 0, 0, frames)
        films[number % 4 == 3].append(features.decibels(power))
    scale = Standardise()
    for film in films[0]:
        scale.update(film)
    clip, hops = CLIP_S * FRAMES_PER_S, (FRAMES_PER_S // 4, FRAMES_PER_S)
    learned, tested = (
        [features.cut(scale.apply(f), np.arange(0, f.shape[1] - clip + 1, hop), clip) for f in some]
        for some, hop in zip(films, hops, strict=True)
    )
    return Moments(
        learned=np.concatenate(learned)[:, None],
        tested=np.concatenate(tested)[:, None],
        options={
            "context": 1 / CLIP_S, "offsets": (32, 48, 64), "options": {"width": 16},
            "embedding": 64,
        },
        training={"epochs": 20, "learning_rate": 2e-3},
        recording=np.repeat(np.arange(len(tested)), [len(some) for some in tested]),
        start=np.concatenate([hops[1] * np.arange(len(some)) for some in tested]).astype(float),
        length=float(FRAMES_PER_S),
        units="{:g} s",
        per=FRAMES_PER_S,
    )  # fmt: skip


# ----------------------------------------------------------------- optical and thermal pictures

SPLITS = ("stretches", "last third")
SIZE = (48, 80)
COPIES = 12  # cuts of each pair to learn from, both pictures alike
LARGEST = 160  # pixels of the longer side that cuts are made of
PAIR: Row = {
    "split": 3, "projector": (256, 256), "backbone": "resnet-small",
    "options": {"stem": "middle", "width": 24, "cells": 4},  # cells tell where things are
}  # fmt: skip
PAIR_TRAINING: Row = {"epochs": 20, "learning_rate": 2e-3}


def thermal(folder: Path, seed: int, quick: bool = False) -> Iterator[Found]:
    """Where the thermal partners of optical pictures came, and the other way round."""
    paths = sorted((folder / "visible").glob("*.jpg"))
    pairs = [
        (decode(path, path.name, "colour", LARGEST), decode(other, path.name, "grey", LARGEST))
        for path in paths[:: 3 if quick else 1]
        for other in [folder / "infrared" / path.name]
    ]
    whole = np.stack([windowed(pair) for pair in pairs])
    grey = whole[:, : PAIR["split"]].mean(axis=1), whole[:, PAIR["split"]]
    plain = {
        "grey values": (centred(grey[0]), centred(grey[1])),
        "grey values, inverted": (centred(grey[0]), -centred(grey[1])),
        "gradients": (centred(steepness(grey[0])), centred(steepness(grey[1]))),
    }
    training = {**PAIR_TRAINING, **({"epochs": 1} if quick else {})}
    for case in SPLITS:
        known, tested = held_out(len(pairs), case)
        random, some = np.random.default_rng([seed, 78]), np.flatnonzero(known)
        cuts = np.stack(
            [cut(pairs[i], random) for _ in range(2 if quick else COPIES) for i in some]
        )
        asked = plain | {
            "vicreg-pair": shared(taught("vicreg-pair", cuts, PAIR, training, seed), whole, known),
            "untaught": shared(fresh("vicreg-pair", cuts, PAIR, seed), whole, known),
        }
        for method, sides in asked.items():
            optical, infrared = (side[tested] for side in sides)
            for way, queries, answers in (
                ("optical to thermal", optical, infrared),
                ("thermal to optical", infrared, optical),
            ):
                places = retrieve(queries, answers)
                yield ("thermal", way, case, method), places, np.flatnonzero(tested)


def held_out(count: int, case: str) -> tuple[BoolArray, BoolArray]:
    """Which of so many pairs are learned from, and which are tested on, (count,) each."""
    number = np.arange(count)
    if case == "stretches":
        tested = number // max(1, count // 12) % 3 == 2
    else:
        tested = number >= round(count * 2 / 3)
    return np.convolve(tested, np.ones(3), mode="same") == 0, tested


def shared(network: Network, whole: FloatArray, known: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Embeddings of both cameras in what they share, less their means over what was learned."""
    found = Inference(network, **QUIETLY).embeddings(whole)
    first, second = (found[f"projector_{number}"] for number in (1, 2))
    return first - first[known].mean(axis=0), second - second[known].mean(axis=0)


def cut(pair: Sequence[FloatArray], random: np.random.Generator) -> FloatArray:
    """The same half to whole of both pictures, every other time mirrored, as one window."""
    side = np.sqrt(random.uniform(0.5, 1.0))
    corner, is_mirrored = random.uniform(0, 1 - side, 2), random.random() < 0.5
    parts = []
    for picture in pair:
        borders = np.rint(np.outer([0, side], picture.shape[1:]) + corner * picture.shape[1:])
        (top, left), (bottom, right) = borders.astype(int)
        part = picture[:, top:bottom, left:right]
        parts.append(part[..., ::-1] if is_mirrored else part)
    return windowed(parts)


def windowed(pair: Sequence[FloatArray]) -> FloatArray:
    """Both pictures at one size, laid on each other, each channel with mean 0 and deviation 1."""
    laid = np.concatenate([resized(picture, *SIZE) for picture in pair])
    spread = laid.std(axis=(1, 2), keepdims=True)
    return np.asarray((laid - laid.mean(axis=(1, 2), keepdims=True)) / np.maximum(spread, 1e-3))


def steepness(pictures: FloatArray) -> FloatArray:
    """How steeply grey values (N, H, W) change at each place."""
    return np.asarray(np.hypot(*np.gradient(pictures, axis=(1, 2))))


def _folder(data: Path | None, name: str) -> Path:
    if data is None or not (data / name).is_dir():
        raise DataError(f"this part needs {name}: give the folder that holds it by --data")
    return data / name
