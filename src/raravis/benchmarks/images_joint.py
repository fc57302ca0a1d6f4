"""What the terms of VICReg cost, and how good the embedding is that they teach.

loss     forward and backward of the three terms for two views of 128 rows and 8192 numbers each,
         ours through the Gram matrix beside the explicit D x D way, with the same values
step     learning a VICReg network by `Training.fit`, beside a bare loop that does nothing else
fashion  Fashion-MNIST: 20,000 pictures without labels are learned from. Then their labels tell
         those of the 5,000 test pictures by the nearest neighbours (kNN) and by a linear probe,
         both of `metrics.representation`; beside it the pixels themselves, and the same network
         as drawn, without learning

Settings are chosen on the last 4,000 of the training pictures (`on="held"`), never on the test
pictures. CPU-s are those of the process.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raravis import joint_terms, models
from raravis.blocks import seeded
from raravis.errors import DataError, ParameterError
from raravis.inference import Inference
from raravis.metrics.representation import effective_rank, knn_accuracy, linear_probe
from raravis.networks import Network
from raravis.progress import Progress, silent
from raravis.training import Training
from raravis.windows import FloatArray, IntArray

Row = dict[str, Any]
Pictures = tuple[FloatArray, IntArray]  # (N, 1, 28, 28) and their labels (N,)

PARTS = ("loss", "step", "fashion")
ROWS, WIDTH = 128, 8192
BATCH = 256
HELD = 4000  # training pictures that stand for test pictures while settings are chosen
NETWORK: Row = {
    "views": "crop",
    "augmentation": {
        "crop": (0.2, 1.0), "mirror": 0.5, "recolour": 0.8, "brightness": 0.8, "contrast": 0.8,
        "solarise": 0.2, "blur": 0.5, "blur_sigma": (0.1, 8.0),
    },
    "backbone": "resnet-small",
    "options": {"width": 32, "stem": "middle", "cells": 2},
    "projector": (256, 256),
}  # fmt: skip
TRAINING: Row = {
    "epochs": 20, "batch": BATCH, "learning_rate": 3e-3, "weight_decay": 1e-4, "validation": 0.0,
    "patience": 1000, "device": "cpu",
}  # fmt: skip


def run(
    data: Path | None,
    seeds: Sequence[int] = (0,),
    parts: Sequence[str] = (),
    quick: bool = False,
    on: str = "test",
    network: Row | None = None,
    training: Row | None = None,
    progress: Progress = silent,
) -> list[Row]:
    """Rows of figures, a part after the other.

    data    folder with images/fashion_mnist in it; needed for "fashion" alone.
    seeds   of first weights, views and the order of pictures, for "fashion".
    parts   of `PARTS`; none are all.
    quick   smaller sizes, to see that all works; the figures then say little.
    on      "test", or "held" to choose settings by.
    network, training
            settings for "fashion" instead of those in `NETWORK` and `TRAINING`.

    Raises DataError where the pictures are not there, ParameterError for an unknown part.
    """
    if unknown := sorted(set(parts) - set(PARTS)):
        raise ParameterError(f"parts must be of {', '.join(PARTS)}, got {', '.join(unknown)}")
    rows: list[Row] = []
    for number, part in enumerate(PARTS):
        progress(part, number, len(PARTS))
        if parts and part not in parts:
            continue
        if part == "loss":
            rows += loss(*((16, 512) if quick else (ROWS, WIDTH)), rounds=2 if quick else 5)
        elif part == "step":
            rows += step(*((2, 1) if quick else (8, 5)))
        else:
            rows += fashion(data, seeds, quick, on, network or {}, training or {})
    return rows


# ----------------------------------------------------------------- what the terms cost


def loss(rows: int, width: int, rounds: int) -> list[Row]:
    """CPU-s of forward and backward, ours and explicitly, in turn on one thread; least of several
    rounds. And how far value and gradient lie apart, relative to their size."""
    random = torch.Generator().manual_seed(0)
    views = [torch.randn(rows, width, generator=random) for _ in range(2)]
    ways = {"through the Gram matrix": by_terms, "explicit D x D": explicitly}
    best, answers = dict.fromkeys(ways, np.inf), {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(rounds):
            for name, way in ways.items():
                given = [view.clone().requires_grad_() for view in views]
                began_s = time.process_time()
                value = way(*given)
                value.backward()  # type: ignore[no-untyped-call]
                best[name] = min(best[name], time.process_time() - began_s)
                answers[name] = value.detach(), torch.cat([_gradient(view) for view in given])
    finally:
        torch.set_num_threads(threads)
    (ours, slope), (theirs, exact) = answers.values()
    return [
        {"part": "loss", "what": name, "rows": rows, "width": width, "cpu_s": seconds,
         "times less": best["explicit D x D"] / seconds}
        for name, seconds in best.items()
    ] + [
        {"part": "loss", "what": "relative difference of the values",
         "difference": abs(float(ours / theirs) - 1)},
        {"part": "loss", "what": "relative difference of the gradients",
         "difference": float((slope - exact).norm() / exact.norm())},
    ]  # fmt: skip


def by_terms(first: Tensor, second: Tensor) -> Tensor:
    """The loss with the paper's weights, as networks here make it."""
    spread = joint_terms.variance(first) + joint_terms.variance(second)
    crossed = joint_terms.covariance(first) + joint_terms.covariance(second)
    return 25 * joint_terms.invariance(first, second) + 12.5 * spread + crossed


def explicitly(first: Tensor, second: Tensor) -> Tensor:
    """The same through the covariance matrix, (D, D), of each view."""
    whole = 25 * (first - second).square().mean()
    for view in (first, second):
        lacking = 1 - (view.var(dim=0) + joint_terms.EPSILON).sqrt()
        centred = view - view.mean(dim=0)
        matrix = centred.T @ centred / (len(view) - 1)
        crossed = matrix.square().sum() - matrix.diagonal().square().sum()
        whole = whole + 12.5 * lacking.clamp_min(0).mean() + crossed / view.shape[1]
    return whole


def _gradient(view: Tensor) -> Tensor:
    return view.new_zeros(0) if view.grad is None else view.grad


def step(batches: int, rounds: int) -> list[Row]:
    """Pictures per CPU-s of learning, ours and by a bare loop, in turn on one thread; the best of
    several rounds."""
    random = np.random.default_rng(0)
    windows = random.normal(size=(batches * BATCH, 1, 28, 28)).astype(np.float32)
    with seeded(0):
        network: Network = models.create("vicreg", shape=windows.shape[1:], **NETWORK)
    twins = [copy.deepcopy(network) for _ in range(3)]
    options = {**TRAINING, "epochs": 1}
    tasks: dict[str, Callable[[], object]] = {
        "bare float32 loop": lambda: bare_loop(network, windows),
        "bare float32 loop, channels-last": lambda: bare_loop(_channels_last(twins[0]), windows),
        "Training.fit in float32 (target >= 1/1.1)": (
            lambda: Training(**options, precision="float32").fit(twins[1], windows)
        ),
        "Training.fit": lambda: Training(**options).fit(twins[2], windows),
    }
    best = dict.fromkeys(tasks, np.inf)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(rounds + 1):  # the first makes what is made once
            for name, task in tasks.items():
                began_s = time.process_time()
                task()
                best[name] = min(best[name], time.process_time() - began_s)
    finally:
        torch.set_num_threads(threads)
    bare = best["bare float32 loop"]
    return [
        {"part": "step", "what": name, "pictures_per_cpu_s": round(len(windows) / seconds),
         "ratio": bare / seconds}
        for name, seconds in best.items()
    ]  # fmt: skip


def _channels_last(network: Network) -> Network:
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def bare_loop(network: Network, windows: FloatArray) -> None:
    """One pass as one would write it first: both views, the loss, a step; nothing is remembered,
    noted or looked after."""
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=TRAINING["learning_rate"], weight_decay=TRAINING["weight_decay"]
    )
    network.train()
    branch, views = network.branch, network.views
    for rows in torch.randperm(len(windows)).split(BATCH):  # type: ignore[no-untyped-call]
        first, second = views.drawn(torch.from_numpy(windows[rows.numpy()]))  # type: ignore
        vectors = branch.vectors(torch.cat([first, second]))  # type: ignore[operator, union-attr]
        value = by_terms(*branch.projected(vectors).chunk(2))  # type: ignore[operator, union-attr]
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


# ----------------------------------------------------------------- how good the embedding is


def fashion(
    data: Path | None, seeds: Sequence[int], quick: bool, on: str, changed: Row, learning: Row
) -> Iterator[Row]:
    """Accuracy of what tells kinds of clothing apart: pixels, a random network, VICReg.

    changed, learning  settings of the network and of training instead of the usual ones.
    """
    known, asked = load(data, on)
    if quick:
        known, asked = (known[0][:600], known[1][:600]), (asked[0][:300], asked[1][:300])
    flat = [pictures.reshape(len(pictures), -1) for pictures, _ in (known, asked)]
    yield {"what": "pixels", **_judged(flat[0], known[1], flat[1], asked[1])}
    options = {**TRAINING, **({"epochs": 1} if quick else {}), **learning}
    for seed in seeds:
        with seeded(seed):
            network: Network = models.create(
                "vicreg", shape=known[0].shape[1:], **NETWORK | changed
            )
        network.eval()
        yield {"what": "random network", "seed": seed, **_of(network, known, asked)}
        began_s, cpu_s = time.perf_counter(), time.process_time()
        Training(**options, seed=seed).fit(network, known[0])
        spent = {
            "epochs": options["epochs"],
            "wall_s": time.perf_counter() - began_s,
            "cpu_s": time.process_time() - cpu_s,
            "threads": torch.get_num_threads(),
        }
        yield {"what": "VICReg", "seed": seed, **spent, **_of(network, known, asked)}


def _of(network: Network, known: Pictures, asked: Pictures) -> Row:
    inference = Inference(network, batch=256, device="cpu", precision="float32")
    codes = [inference.encode(pictures).embedding for pictures, _ in (known, asked)]
    return _judged(codes[0], known[1], codes[1], asked[1])


def _judged(train: FloatArray, labels: IntArray, test: FloatArray, wanted: IntArray) -> Row:
    probe = linear_probe(train, labels, test, wanted)
    return {
        "part": "fashion",
        "kNN": knn_accuracy(train, labels, test, wanted),
        "linear probe": probe.top1,
        "top 5": probe.top5,
        "rank": effective_rank(test),
        "width": test.shape[1],
    }


def load(data: Path | None, on: str = "test") -> tuple[Pictures, Pictures]:
    """Pictures to learn from and to be asked for, on the scale of those learned from."""
    path = None if data is None else data / "images" / "fashion_mnist" / "fashion_mnist.npz"
    if path is None or not path.is_file():
        raise DataError(
            "the pictures of Fashion-MNIST are needed: give the folder that has "
            f"images/fashion_mnist/fashion_mnist.npz in it by --data; got {data}"
        )
    if on not in ("test", "held"):
        raise ParameterError(f"on must be test or held, got {on!r}")
    with np.load(path) as held:
        known, asked = ((held[f"x_{s}"], held[f"y_{s}"]) for s in ("train", "test"))
    if on == "held":
        known, asked = (tuple(a[s] for a in known) for s in (np.s_[:-HELD], np.s_[-HELD:]))
    mean, deviation = known[0].mean(), known[0].std()
    (first, labels), (second, wanted) = (
        (((x - mean) / deviation)[:, None].astype(np.float32), y) for x, y in (known, asked)
    )
    return (first, labels), (second, wanted)
