"""What the training loop and inference gain over plain PyTorch, with the same network.

All figures are windows per CPU-second of one thread. The contestants run in turn, several rounds,
and the best of each counts, so that a busy machine changes the ratios little.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from raravis import models
from raravis.inference import Inference
from raravis.networks import Hardware, Network
from raravis.training import Training
from raravis.windows import FloatArray

Row = dict[str, Any]
BATCH = 64


def run(
    shape: tuple[int, int, int] = (1, 64, 50), model: str = "conv-ae", rounds: int = 5
) -> list[Row]:
    """Training and inference of one network on windows (C, H, W), ours beside the bare loop."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network: Network = models.create(model, shape=shape)
        windows = patterns(8 * BATCH, shape)
        return [
            {
                "what": "parameters of the network",
                "count": sum(p.numel() for p in network.parameters()),
            },
            {
                "what": "bfloat16 is a machine instruction here",
                "holds": Hardware.choose("cpu").bfloat16,
            },
            *_training(network, windows, rounds),
            *_inference(network.eval(), windows, rounds),  # by now it has learned
        ]
    finally:
        torch.set_num_threads(threads)


def _training(network: Network, windows: FloatArray, rounds: int) -> list[Row]:
    def ours(learner: Network, precision: str) -> Callable[[], object]:
        training = Training(epochs=1, batch=BATCH, validation=0, device="cpu", precision=precision)
        return lambda: training.fit(learner, windows)

    bare, second = copy.deepcopy(network), copy.deepcopy(network)
    return _compare(
        {
            "training, bare float32 loop": lambda: bare_loop(bare, windows),
            "training, ours in float32 (target >= 0.95 x)": ours(second, "float32"),
            "training, ours (target >= 2 x where bfloat16 is an instruction)": ours(
                network, "auto"
            ),
        },
        len(windows),
        rounds,
    )


def _inference(network: Network, windows: FloatArray, rounds: int) -> list[Row]:
    bare = copy.deepcopy(network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    plain = Inference(network, BATCH, "cpu", "float32")
    fast = Inference(network, BATCH, "cpu")
    rows = _compare(
        {
            "inference, eager float32": lambda: eager(bare, windows),
            "inference, folded float32": lambda: plain.encode(windows),
            "inference, ours": lambda: fast.encode(windows),
        },
        len(windows),
        rounds,
    )
    exact = eager(bare, windows)
    error = np.abs(fast.encode(windows).terms["reconstruction"] / exact - 1)
    return [
        *rows,
        {"what": "inference, ours: relative error of a score, mean", "error": float(error.mean())},
        {"what": "inference, ours: relative error of a score, most", "error": float(error.max())},
    ]


def patterns(count: int, shape: tuple[int, int, int]) -> FloatArray:
    """Windows (count, C, H, W) with something to learn: ripples of many slopes under noise."""
    random = np.random.default_rng(0)
    channels, height, width = shape
    slopes = random.uniform(-0.5, 0.5, size=(2, count, channels, 1, 1))
    ripples = np.sin(slopes[0] * np.arange(height)[:, None] + slopes[1] * np.arange(width))
    noise = random.normal(scale=0.3, size=(count, *shape))
    windows: FloatArray = (ripples + noise).astype(np.float32)
    return windows


def _compare(tasks: dict[str, Callable[[], object]], windows: int, rounds: int) -> list[Row]:
    """Windows per CPU-second of each task, and how much faster than the first it is."""
    best = dict.fromkeys(tasks, float("inf"))
    for task in tasks.values():
        task()  # the first run of each makes what is made once
    for _ in range(rounds):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            best[name] = min(best[name], time.process_time() - start)
    first = next(iter(best.values()))
    return [
        {"what": name, "windows_per_cpu_s": round(windows / s), "ratio": round(first / s, 2)}
        for name, s in best.items()
    ]


def bare_loop(network: Network, windows: FloatArray) -> None:
    """One pass as one would write it first: float32, PyTorch's own order of axes, plain Adam."""
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    network.train()
    order = torch.randperm(len(windows))
    for rows in order.split(BATCH):  # type: ignore[no-untyped-call]
        loss = network.loss(torch.from_numpy(windows[rows.numpy()]))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def eager(network: Network, windows: FloatArray) -> FloatArray:
    """Reconstruction errors as one would get them first."""
    with torch.no_grad():
        batches = torch.from_numpy(windows).split(BATCH)  # type: ignore[no-untyped-call]
        return np.concatenate([network.encode(b).terms["reconstruction"].numpy() for b in batches])
