"""One class of pictures is ordinary, each in turn: how well are the others told from it?

A method learns from pictures of one class, without seeing any other, and judges test pictures of
all classes. AUROC, mean over the ten classes; every seed draws other pictures to learn from and to
test on, and other first weights. Intervals are 95 %, Student's t over the seeds.

cifar    CIFAR-10, colour, 32 x 32: airplanes, cars, birds ... 500 to learn from in each class.
fashion  Fashion-MNIST, grey, 28 x 28: kinds of clothing.

Beside the default stand two networks, the convolutional autoencoder and Deep SVDD,
and what knows next to nothing: PCA and nearest neighbours on pixels, brightness, chance.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.decomposition import PCA
from torch import Tensor, nn

from raravis import metrics, models, scorers
from raravis.blocks import seeded
from raravis.comparison.noise import t_interval
from raravis.encoded import Encoded
from raravis.errors import DataError, ParameterError
from raravis.inference import Inference
from raravis.models import ImageModel
from raravis.progress import Progress, silent
from raravis.training import Training
from raravis.windows import FloatArray, IntArray

Row = dict[str, Any]
Pictures = tuple[FloatArray, IntArray]
Method = Callable[[FloatArray, FloatArray, int], dict[str, FloatArray]]

CLASSES = 10
DEFAULT = "pictures"  # the scorer
COMPONENTS = 32
STEPS = 200  # of a network: batches of 64
BATCH = 64


def run(
    data: Path,
    seeds: Sequence[int] = (0, 1),
    parts: Sequence[str] = (),
    learned: int = 500,
    tested: int = 1000,
    progress: Progress = silent,
) -> list[Row]:
    """A row of figures for each data set and method: AUROC and its interval.

    data     the folder with images/cifar10 and images/fashion_mnist in it.
    seeds    of pictures and first weights; at least two.
    parts    which data sets; none are both.
    learned  pictures of a class at most.
    tested   pictures of all classes together at most.

    Raises DataError where the pictures are not there, ParameterError for an unknown part.
    """
    if unknown := sorted(set(parts) - set(DATA)):
        raise ParameterError(f"parts must be of {', '.join(DATA)}, got {', '.join(unknown)}")
    threads, rows = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for name in parts or DATA:
            learnable, testable = DATA[name](data / "images")
            for done, seed in enumerate(seeds):
                for ordinary in range(CLASSES):
                    progress(name, done * CLASSES + ordinary, len(seeds) * CLASSES)
                    known = _some(learnable, seed, learned, ordinary)
                    new, kinds = testable[0], testable[1]
                    chosen = np.random.default_rng([seed, 1]).permutation(len(new))[:tested]
                    about = {"data": name, "seed": seed, "class": ordinary}
                    answers = judge(known, new[chosen], kinds[chosen] != ordinary, seed)
                    rows += [{**about, **answer} for answer in answers]
    finally:
        torch.set_num_threads(threads)
    return figures(rows)


def _some(pictures: Pictures, seed: int, most: int, kind: int) -> FloatArray:
    """Some pictures of one class, in random order."""
    rows = np.random.default_rng([seed, 0, kind]).permutation(np.flatnonzero(pictures[1] == kind))
    return np.asarray(pictures[0][rows[:most]])


def judge(known: FloatArray, new: FloatArray, is_other: Any, seed: int) -> list[Row]:
    """AUROC of every method that learned from `known`, on `new` pictures."""
    rows = []
    for method in METHODS:
        began_s = time.process_time()
        scores = method(known, new, seed)
        cpu_s = time.process_time() - began_s
        for name, values in scores.items():
            rows.append({"method": name, "AUROC": metrics.auroc(is_other, values), "cpu_s": cpu_s})
    return rows


def figures(rows: Sequence[Row]) -> list[Row]:
    """Means over classes and seeds, with the interval of the mean over classes."""
    groups = dict.fromkeys((row["data"], row["method"]) for row in rows)
    table = []
    for data, method in groups:
        some = [row for row in rows if (row["data"], row["method"]) == (data, method)]
        seeds = sorted({row["seed"] for row in some})
        means = [float(np.mean([r["AUROC"] for r in some if r["seed"] == s])) for s in seeds]
        row: Row = {"data": data, "method": method, "AUROC": float(np.mean(means))}
        interval = t_interval(means)
        if interval is not None:
            row["from"], row["to"] = interval
        kinds = [
            np.mean([r["AUROC"] for r in some if r["class"] == kind]) for kind in range(CLASSES)
        ]
        row |= {"lowest class": float(min(kinds)), "seeds": len(seeds)}
        table.append({**row, "cpu_s": float(np.mean([r["cpu_s"] for r in some]))})
    return table


# ----------------------------------------------------------------- pictures


def cifar(images: Path) -> tuple[Pictures, Pictures]:
    """CIFAR-10 to learn from and to test on: pictures (N, 3, 32, 32) in [0, 1], classes (N,)."""
    parts = []
    for name in ("train", "test"):
        path = images / "cifar10" / f"{name}.zip"
        if not path.is_file():
            raise DataError(f"expected CIFAR-10 in {path}: give the folder that holds images/")
        with zipfile.ZipFile(path) as archive:
            names = sorted(n for n in archive.namelist() if n.endswith(".jpg"))
            pixels = [
                np.asarray(Image.open(io.BytesIO(archive.read(n))).convert("RGB")) for n in names
            ]
        kinds = np.unique([n.split("/")[-2] for n in names], return_inverse=True)[1]
        parts.append((np.stack(pixels).transpose(0, 3, 1, 2).astype(np.float32) / 255, kinds))
    return parts[0], parts[1]


def fashion(images: Path) -> tuple[Pictures, Pictures]:
    """Fashion-MNIST: pictures (N, 1, 28, 28) in [0, 1], classes (N,)."""
    path = images / "fashion_mnist" / "fashion_mnist.npz"
    if not path.is_file():
        raise DataError(f"expected Fashion-MNIST in {path}: give the folder that holds images/")
    with np.load(path) as arrays:
        return tuple(  # type: ignore[return-value]
            (arrays[f"x_{name}"][:, None].astype(np.float32) / 255, arrays[f"y_{name}"])
            for name in ("train", "test")
        )


DATA: dict[str, Callable[[Path], tuple[Pictures, Pictures]]] = {"cifar": cifar, "fashion": fashion}


# ----------------------------------------------------------------- methods


def blocks(known: FloatArray, new: FloatArray, seed: int) -> dict[str, FloatArray]:
    """The default for pictures; they are small, so the whole alone judges."""
    model: ImageModel = models.create("image-blocks", seed=seed).fit(list(known))
    learned, judged = model.ordinary(list(known)), model.encode(list(new))
    return {"default": scorers.create(DEFAULT).fit(learned).score(judged)}


def autoencoder(known: FloatArray, new: FloatArray, seed: int) -> dict[str, FloatArray]:
    """The reconstruction error of conv-ae."""
    with seeded(seed):
        network = models.create("conv-ae", shape=known.shape[1:], width=16)
    epochs = -(-STEPS * BATCH // len(known))
    training = Training(
        seed=seed, device="cpu", precision="float32", epochs=epochs, batch=BATCH, max_steps=STEPS
    )
    training.fit(network, known)
    encoded = Inference(network, batch=256, device="cpu", precision="float32").encode(new)
    return {"conv-ae reconstruction": encoded.terms["reconstruction"]}


def deep_svdd(known: FloatArray, new: FloatArray, seed: int) -> dict[str, FloatArray]:
    """Squared distance of a network's code from a fixed centre, which it learned to make small.

    No bias anywhere, or the code could be constant; the centre is the mean of the first codes, its
    numbers at least 0.1 in size. Pixels are brought to [-1, 1] by the ordinary pictures' extremes.

    Source: Ruff et al. 2018, ICML, "Deep one-class classification": the one-class loss with weight
    decay, and their small LeNet; without their autoencoder's first weights.
    """
    low, high = known.min(), known.max()
    inputs, tests = (torch.from_numpy(2 * (p - low) / (high - low) - 1) for p in (known, new))
    with seeded(seed):
        network = _lenet(known.shape[1])
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-6)
        with torch.no_grad():
            centre = network.eval()(inputs).mean(dim=0)
            centre = torch.where(centre.abs() < 0.1, centre.sign() * 0.1, centre)
        network.train()
        for step in range(STEPS):
            if step == STEPS * 2 // 3:
                optimiser.param_groups[0]["lr"] = 1e-4
            batch = inputs[torch.randint(len(inputs), (BATCH,))]
            loss = (network(batch) - centre).square().sum(dim=1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        network.eval()
        codes: Tensor = torch.cat([network(part) for part in torch.split(tests, 256)])
    return {"Deep SVDD": (codes - centre).square().sum(dim=1).numpy()}


def _lenet(channels: int) -> nn.Module:
    """Three convolutions and a linear layer, all without bias."""
    layers: list[nn.Module] = []
    for before, after in ((channels, 16), (16, 32), (32, 64)):
        layers += [
            nn.Conv2d(before, after, kernel_size=5, padding=2, bias=False),
            nn.BatchNorm2d(after, affine=False),
            nn.LeakyReLU(),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(64, bias=False))


def dumb(known: FloatArray, new: FloatArray, seed: int) -> dict[str, FloatArray]:
    """What knows next to nothing of pictures."""
    flat, judged = (p.reshape(len(p), -1) for p in (known, new))
    components = min(COMPONENTS, len(flat) - 1)
    pca = PCA(components, svd_solver="randomized", random_state=seed).fit(flat)
    left = judged - pca.inverse_transform(pca.transform(judged))
    neighbours = scorers.create("knn", rescale=False).fit(Encoded(flat))
    return {
        "kNN of pixels": neighbours.score(Encoded(judged)),
        "PCA reconstruction": np.square(left).mean(axis=1),
        "brightness": judged.mean(axis=1),
        "random": np.random.default_rng([seed, 2]).random(len(judged)),
    }


METHODS: tuple[Method, ...] = (blocks, autoencoder, deep_svdd, dumb)
