"""Defects of magnetic tiles, found by what learned from tiles without any.

Half of the normal tiles, by the tile's number, are learned from; the other half and all tiles with
a defect are judged, each picture by itself. Every seed draws another half and, where a method has
some, other first weights. Intervals are 95 %: percentiles of draws of other test pictures, the
mean over the seeds, as all seeds share the tiles with a defect.

image AUROC  a tile with a defect against a normal one.
pixel AUROC  a pixel of a defect against all others of all test pictures, every 2nd each way.
pixel PRO    mean share of a defect's connected pixels that is found, averaged over false-alarm
             rates of pixels up to 0.3 (Bergmann et al. 2020, arXiv:1911.02357).

Beside the members of the default stand a convolutional autoencoder, PCA and nearest neighbours on
pixels, brightness and its deviation, and chance.

Source: Huang, Qiu & Yuan 2018, The Visual Computer, doi:10.1007/s00371-018-1588-5.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import label
from sklearn.decomposition import PCA

from raravis import metrics, models, scorers
from raravis.blocks import seeded
from raravis.comparison.noise import t_interval
from raravis.encoded import Encoded
from raravis.errors import DataError
from raravis.inference import Inference
from raravis.models import ImageModel
from raravis.progress import Progress, silent
from raravis.training import Training
from raravis.windows import BoolArray, FloatArray

Row = dict[str, Any]
Pictures = list[FloatArray]

DEFECTS = ("Blowhole", "Break", "Crack", "Fray", "Uneven")
DEFAULT = "pictures"  # the scorer
SIZE = 64  # pixels of a side, to which methods that need one size bring a picture
COMPONENTS = 16
EPOCHS = 30
FALSE_ALARMS = np.linspace(0, 0.3, 31)[1:]
EVERY = 2  # pixels of a heat map
ROUNDS = 300


def run(
    data: Path, seeds: Sequence[int] = (0, 1, 2, 3, 4), progress: Progress = silent
) -> list[Row]:
    """A row of figures for each method, means over the seeds.

    data   the folder with images/magnetic_tile in it.
    seeds  of the halves and of first weights; at least two.

    Raises DataError where the tiles are not there.
    """
    tiles = data / "images" / "magnetic_tile"
    normal = sorted((tiles / "MT_Free").glob("*.jpg"))
    defects = [path for kind in DEFECTS for path in sorted((tiles / f"MT_{kind}").glob("*.jpg"))]
    if not normal or not defects:
        raise DataError(
            f"expected magnetic tiles in {tiles}/MT_Free and MT_Blowhole, found none: give the "
            "folder that holds images/ by --data"
        )
    rows = []
    for done, seed in enumerate(seeds):
        progress("magnetic tiles", done, len(seeds))
        learned, fresh = halves(normal, seed)
        rows += split(learned, fresh, defects, seed)
    methods = dict.fromkeys(row["method"] for row in rows)
    return [_over_seeds([row for row in rows if row["method"] == name]) for name in methods]


def halves(normal: Sequence[Path], seed: int) -> tuple[list[Path], list[Path]]:
    """Two halves of the pictures; all exposures of a tile are in the same."""
    numbers = sorted({path.stem.rpartition("_")[2] for path in normal})
    chosen = set(np.random.default_rng(seed).permutation(numbers)[: len(numbers) // 2].tolist())
    is_chosen = [path.stem.rpartition("_")[2] in chosen for path in normal]
    pairs = list(zip(normal, is_chosen, strict=True))
    return [p for p, inside in pairs if inside], [p for p, inside in pairs if not inside]


def split(
    learned: Sequence[Path], fresh: Sequence[Path], defects: Sequence[Path], seed: int
) -> list[Row]:
    """Figures of every method on one split."""
    ordinary = [picture(path) for path in learned]
    judged = [picture(path) for path in [*fresh, *defects]]
    kinds = np.array(["Free"] * len(fresh) + [path.parent.name[3:] for path in defects])
    masks = [np.zeros(tile.shape[1:], dtype=bool) for tile in judged[: len(fresh)]]
    masks += [picture(path.with_suffix(".png"))[0] > 0.5 for path in defects]
    rows = []
    methods = {"image-blocks": blocks, "conv-ae": autoencoder, "dumb": dumb}
    for method in methods.values():
        began_s = time.process_time()
        scores, heats = method(ordinary, judged, seed)
        cpu_s = time.process_time() - began_s
        for name, values in scores.items():
            row = {"method": name, "cpu_s": cpu_s, **image_figures(kinds, values, seed)}
            if name in heats:
                row |= pixel_figures(masks, heats[name])
            rows.append(row)
    return rows


def picture(path: Path) -> FloatArray:
    """A grey picture or mask, (1, H, W) in [0, 1]."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), dtype=np.float32)[None] / 255


# ----------------------------------------------------------------- methods

Answer = tuple[dict[str, FloatArray], dict[str, Pictures]]
Method = Callable[[Pictures, Pictures, int], Answer]


def blocks(ordinary: Pictures, judged: Pictures, seed: int) -> Answer:
    """The default for pictures, its members, and where they see something."""
    model: ImageModel = models.create("image-blocks", seed=seed).fit(ordinary)
    known, new = model.ordinary(ordinary), model.encode(judged)
    scores = dict(new.terms)
    scores["whole"] = scorers.create("knn", k=5, rescale=False).fit(known).score(new)
    scores["default"] = scorers.create(DEFAULT).fit(known).score(new)
    return scores, {"default": [model.heat(tile) for tile in judged]}


def autoencoder(ordinary: Pictures, judged: Pictures, seed: int) -> Answer:
    """The reconstruction error of conv-ae on tiles brought to 64 x 64, mean 0 and deviation 1."""
    known, new = _normalised(ordinary), _normalised(judged)
    with seeded(seed):
        network = models.create("conv-ae", shape=known.shape[1:], width=16)
    Training(seed=seed, device="cpu", precision="float32", epochs=EPOCHS, batch=16).fit(
        network, known
    )
    encoded = Inference(network, batch=64, device="cpu", precision="float32").encode(new)
    return {"conv-ae reconstruction": encoded.terms["reconstruction"]}, {}


def dumb(ordinary: Pictures, judged: Pictures, seed: int) -> Answer:
    """What knows next to nothing of pictures."""
    known, new = (_normalised(p).reshape(len(p), -1) for p in (ordinary, judged))
    components = min(COMPONENTS, len(known) - 1)
    pca = PCA(components, svd_solver="randomized", random_state=seed).fit(known)
    left = new - pca.inverse_transform(pca.transform(new))
    scores = {
        "kNN of pixels": scorers.create("knn", rescale=False)
        .fit(Encoded(known))
        .score(Encoded(new)),
        "PCA reconstruction": np.square(left).mean(axis=1),
        "brightness": np.array([tile.mean() for tile in judged]),
        "deviation of brightness": np.array([tile.std() for tile in judged]),
        "random": np.random.default_rng([seed, 1]).random(len(judged)),
    }
    return scores, {}


def _normalised(pictures: Pictures) -> FloatArray:
    """Pictures (N, 1, 64, 64), each of mean 0 and deviation 1."""
    small = [Image.fromarray(p[0]).resize((SIZE, SIZE), Image.Resampling.BOX) for p in pictures]
    cells = np.stack([np.asarray(image, dtype=np.float32) for image in small])[:, None]
    cells -= cells.mean(axis=(2, 3), keepdims=True)
    cells /= cells.std(axis=(2, 3), keepdims=True) + 1e-3
    return cells


# ----------------------------------------------------------------- figures


def image_figures(kinds: np.ndarray[Any, Any], scores: FloatArray, seed: int) -> Row:
    """AUROC of all defects and of each kind, with its interval."""
    is_defect = kinds != "Free"
    low, high = metrics.bootstrap_interval(
        metrics.auroc, is_defect, scores, rounds=ROUNDS, seed=seed
    )
    row: Row = {"image AUROC": metrics.auroc(is_defect, scores), "from": low, "to": high}
    for kind in DEFECTS:
        rows = ~is_defect | (kinds == kind)
        row[kind] = metrics.auroc(is_defect[rows], scores[rows])
    return row


def pixel_figures(masks: Sequence[BoolArray], heats: Pictures) -> Row:
    """AUROC and PRO of the pixels of all test pictures."""
    small = [mask[::EVERY, ::EVERY] for mask in masks]
    heats = [heat[::EVERY, ::EVERY] for heat in heats]
    wanted = np.concatenate([mask.ravel() for mask in small])
    values = np.concatenate([heat.ravel() for heat in heats])
    levels = np.quantile(values[~wanted], 1 - FALSE_ALARMS)
    found = []
    for mask, heat in zip(small, heats, strict=True):
        regions, count = label(mask)
        for region in range(1, count + 1):
            inside = heat[regions == region]
            found.append([(inside > level).mean() for level in levels])
    return {
        "pixel AUROC": metrics.auroc(wanted, values),
        "pixel PRO": float(np.mean(found)),
    }


def _over_seeds(rows: list[Row]) -> Row:
    """Means over the seeds, and the interval in which the mean over all splits lies."""
    row: Row = {"method": rows[0]["method"], "seeds": len(rows)}
    row |= {name: float(np.mean([r[name] for r in rows])) for name in rows[0] if name != "method"}
    over = t_interval([r["image AUROC"] for r in rows])
    if over is not None:
        row["split from"], row["split to"] = over
    return row
