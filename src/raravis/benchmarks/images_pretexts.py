"""One class is ordinary, all others are strange: what games with known answers and rebuilding find.

For each class in turn, networks learn from training pictures of it alone and then rank other
pictures, of this class and of all others. Asked is AUROC, by each score that a network gives.

data      fashion   Fashion-MNIST, 28 x 28, grey; 1,500 pictures of the class
          cifar10   CIFAR-10, 32 x 32, in colours; 400 pictures of the class
learners  pixels    none: the pictures themselves
          random    the backbone of rotation, as drawn, without learning
          conv-ae, vit-ae, vit-ae masked (0.75 hidden, with rotation token), rotation, jigsaw
scores    a term of the network by its name; or the distance to the 10 nearest (`scorers.KNN`, not
          rescaled) of an embedding: "code knn" of the code, "attention knn" of where heads look

Each learner has the steps that took 60 CPU-s on one thread of the machine on which they were
counted (`STEPS`), times `share`; how long they took, every row says.
docs/transformers.md tells what came of it.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raravis import metrics, models, scorers
from raravis.blocks import seeded
from raravis.encoded import Encoded
from raravis.errors import DataError, ParameterError
from raravis.images.decoding import decode
from raravis.inference import Inference
from raravis.progress import Progress, silent
from raravis.training import Training
from raravis.windows import FloatArray, IntArray

Row = dict[str, Any]
Pictures = tuple[FloatArray, IntArray]  # (N, C, H, W) in [0, 1], and their classes (N,)
LEARNED = {"fashion": 1500, "cifar10": 400}
OTHERS = 50  # pictures of each other class that are ranked
HELD = 300  # pictures of the class itself that are ranked, at most
LEARNERS: dict[str, tuple[str, Row]] = {
    "conv-ae": ("conv-ae", {}),
    "vit-ae": ("vit-ae", {}),
    "vit-ae masked": ("vit-ae", {"masked": 0.75, "rotation": True}),
    "rotation": ("rotation", {}),
    "jigsaw": ("jigsaw", {}),
}
STEPS = {"conv-ae": 1700, "vit-ae": 100, "vit-ae masked": 150, "rotation": 120, "jigsaw": 550}


def run(
    data: Path,
    seeds: Sequence[int] = (0,),
    parts: Sequence[str] = (),
    classes: Sequence[int] = tuple(range(10)),
    share: float = 1.0,
    on: str = "test",
    progress: Progress = silent,
) -> list[Row]:
    """Rows of figures: mean AUROC over classes and seeds, by data set, learner and score.

    data     folder with images/fashion_mnist and images/cifar10 in it.
    seeds    of first weights and of what is drawn while learning.
    parts    which data sets and learners, by name; none are all.
    classes  that are ordinary in turn, by number.
    share    > 0, of the steps.
    on       "test" ranks test pictures; "train" held-out training pictures, to develop with.

    Raises DataError where the data are not there, ParameterError for an unknown part.
    """
    known = [*LEARNED, *LEARNERS]
    if unknown := sorted(set(parts) - set(known)):
        raise ParameterError(f"parts must be of {', '.join(known)}, got {', '.join(unknown)}")
    if on not in ("test", "train"):
        raise ParameterError(f"on must be test or train, got {on!r}")
    sets = [name for name in LEARNED if name in parts or not set(parts) & set(LEARNED)]
    learners = [name for name in LEARNERS if name in parts or not set(parts) & set(LEARNERS)]
    threads, rows = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for number, name in enumerate(sets):
            known_pictures, fresh = load(data, name)
            ranked = fresh if on == "test" else None
            for done, kind in enumerate(classes):
                progress("one class", number + done / len(classes), len(sets))
                task = OneClass(known_pictures, ranked, kind, LEARNED[name])
                for seed in seeds:
                    about = {"data": name, "class": kind, "seed": seed}
                    rows += [{**about, **row} for row in figures(task, learners, seed, share)]
    finally:
        torch.set_num_threads(threads)
    return means(rows)


class OneClass:
    """Pictures of one class to learn from, and pictures to rank, some of which are strange.

    known  pictures of all classes to learn from.
    fresh  pictures to rank; None takes those that were not learned from.
    kind   the ordinary class.
    count  pictures to learn from.

    Values are scaled by mean and deviation of what is learned from.
    """

    def __init__(self, known: Pictures, fresh: Pictures | None, kind: int, count: int) -> None:
        rows = np.flatnonzero(known[1] == kind)
        learned, left = rows[:count], rows[count:]
        if fresh is None:
            if not len(left):
                raise DataError(f"class {kind} has {len(rows)} pictures, all are learned from")
            ranked = np.concatenate([left, np.flatnonzero(known[1] != kind)])
            fresh = known[0][ranked], known[1][ranked]
        chosen = [
            np.flatnonzero(fresh[1] == other)[: HELD if other == kind else OTHERS]
            for other in np.unique(fresh[1])
        ]
        wanted = np.concatenate(chosen)
        mean, deviation = known[0][learned].mean(), known[0][learned].std()
        self.learned: FloatArray = (known[0][learned] - mean) / deviation
        self.ranked: FloatArray = (fresh[0][wanted] - mean) / deviation
        self.is_strange = fresh[1][wanted] != kind

    def auroc(self, scores: FloatArray) -> float:
        """How surely a strange picture scores higher than an ordinary one."""
        return metrics.auroc(self.is_strange, scores)

    def nearest(self, learned: FloatArray, ranked: FloatArray) -> float:
        """AUROC of the distance to the nearest in an embedding."""
        knn = scorers.create("knn", rescale=False).fit(Encoded(learned))
        return self.auroc(knn.score(Encoded(ranked)))


def figures(
    task: OneClass, learners: Sequence[str], seed: int, share: float = 1.0
) -> Iterator[Row]:
    """AUROC of every learner and score on one task."""
    flat = (task.learned.reshape(len(task.learned), -1), task.ranked.reshape(len(task.ranked), -1))
    yield {"learner": "pixels", "score": "knn", "auroc": task.nearest(*flat), "cpu_s": 0.0}
    with seeded(seed):
        drawn = models.create("rotation", shape=task.learned.shape[1:])
    yield from judged(task, "random", Inference(drawn, device="cpu"), 0.0)
    for name in learners:
        began_s = time.process_time()
        model, options = LEARNERS[name]
        with seeded(seed):
            network = models.create(model, shape=task.learned.shape[1:], **options)
        steps = max(1, round(share * STEPS[name]))
        training = Training(epochs=steps, max_steps=steps, validation=0, patience=steps, seed=seed,
                            device="cpu")  # fmt: skip
        training.fit(network, task.learned)
        cpu_s = time.process_time() - began_s
        yield from judged(task, name, Inference(network, device="cpu"), cpu_s)


def judged(task: OneClass, learner: str, network: Inference, cpu_s: float) -> Iterator[Row]:
    """AUROC of every term and every embedding of one network."""
    about = {"learner": learner, "cpu_s": cpu_s}
    if learner != "random":  # an untaught head guesses
        for term, values in network.encode(task.ranked).terms.items():
            yield {**about, "score": term, "auroc": task.auroc(values)}
    learned, ranked = (network.embeddings(windows) for windows in (task.learned, task.ranked))
    for name in learned:
        score = f"{'code' if name == 'embedding' else name} knn"
        yield {**about, "score": score, "auroc": task.nearest(learned[name], ranked[name])}


def means(rows: list[Row]) -> list[Row]:
    """Over classes and seeds, by data set, learner and score: the mean, the least and the most."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["data"], row["learner"], row["score"]), []).append(row)
    found = []
    for (data, learner, score), group in groups.items():
        values = np.array([row["auroc"] for row in group])
        found.append({
            "data": data, "learner": learner, "score": score, "fits": len(values),
            "auroc": float(values.mean()), "least": float(values.min()),
            "most": float(values.max()),
            "cpu_s": float(np.mean([row["cpu_s"] for row in group])),
        })  # fmt: skip
    return found


# ----------------------------------------------------------------- the data


def load(data: Path, name: str) -> tuple[Pictures, Pictures]:
    """Training and test pictures of one data set."""
    if name == "fashion":
        return _fashion(data / "images/fashion_mnist/fashion_mnist.npz")
    folder = data / "images/cifar10"
    return _cifar(folder / "train.zip"), _cifar(folder / "test.zip")


def _fashion(path: Path) -> tuple[Pictures, Pictures]:
    if not path.is_file():
        raise DataError(f"expected {path}, found none: give the folder that holds it by --data")
    with np.load(path) as held:
        train, test = (
            (held[f"x_{part}"][:, None].astype(np.float32) / 255, held[f"y_{part}"].astype(int))
            for part in ("train", "test")
        )
    return train, test


def _cifar(path: Path) -> Pictures:
    if not path.is_file():
        raise DataError(f"expected {path}, found none: give the folder that holds it by --data")
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        pictures = np.stack([decode(archive.read(name), name, "colour", 512) for name in names])
    kinds = [name.split("/")[-2] for name in names]
    return pictures.astype(np.float32), np.unique(kinds, return_inverse=True)[1]
