"""When it helps to leave strange windows out of training, and when it hurts.

Windows of common kinds are learned from, and among them 0, 1, 5 or 10 % of a rare kind, without
labels. Asked is how well the network then ranks the rare kind: among the very windows it learned
from ("learned", what users of recordings without labels have), and among fresh ones, of which 5 %
are rare ("fresh"). Every seed draws its own kinds, windows and first weights; all rules see the
same ones, so that differences are paired. Intervals are 95 %, Student's t over the seeds.

data      fashion, smd, mnist, esc10 and foreign; see `contamination`. The last was added when the
          others had been begun, to see pruning where the rare stands far off; it settles nothing.
settings  dense     dense-ae, 1000 windows, 20 epochs
          conv      conv-ae, 500 windows, 20 epochs
          heart     dense-ae with 64 numbers of code, 200 windows, 60 epochs to the end: few
                    windows, learned by heart
scores    reconstruction    the error of the network
          knn               distance to the 10 nearest codes, rescaled (`scorers.KNN`)

A rule for the default was written down before the grid was run: pruning is the default if, with
5 % of rare windows learned from, AP of the reconstruction error rises against "none", on average
over fashion, smd, mnist and esc10 and the settings dense and conv, with an interval above 0; and if
with 0 % the same average over fresh windows does not fall with an interval below 0. zscore:3 is
asked first. When to look is chosen on fashion and smd and confirmed on mnist and esc10.
docs/pruning.md tells what came of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA

from raravis import metrics, models, scorers
from raravis.blocks import seeded
from raravis.comparison.noise import t_interval
from raravis.contamination import DATA, Case, Drawing
from raravis.encoded import Encoded
from raravis.errors import ParameterError
from raravis.inference import Inference
from raravis.progress import Progress, silent
from raravis.training import Training
from raravis.windows import BoolArray, FloatArray

Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """A network, how many windows it learns from and how, and which rules are tried with which
    share of rare ones."""

    model: str
    options: Row
    windows: int
    training: Row
    tried: dict[float, tuple[str, ...]]


EARLY = "zscore:3, first 2, every 2"
LABELS = "by label"  # all rare windows are left out from the beginning: the most there is to win
RULES: dict[str, Row] = {
    "none": {"prune": "none"},
    "zscore:3": {"prune": "zscore:3"},
    "quantile:0.99": {"prune": "quantile:0.99"},
    "mad:5": {"prune": "mad:5"},
    "tail:1e-3": {"prune": "tail:1e-3"},
    EARLY: {"prune": "zscore:3", "prune_first": 2, "prune_every": 2},
    LABELS: {"prune": "none"},
}
SOME = ("none", "zscore:3", "mad:5")
SETTINGS = {
    "dense": Setting(
        "dense-ae", {"hidden": (128,), "latent": 16}, 1000,
        {"epochs": 20, "learning_rate": 2e-3},
        {0.0: tuple(RULES)[:-1], 0.01: SOME, 0.05: tuple(RULES), 0.1: SOME},
    ),
    "conv": Setting(
        "conv-ae", {"width": 4, "latent": 16}, 500,
        {"epochs": 20, "batch": 32, "learning_rate": 2e-3},
        dict.fromkeys((0.0, 0.05), ("none", "zscore:3")),
    ),
    "heart": Setting(
        "dense-ae", {"hidden": (256,), "latent": 64}, 200,
        {"epochs": 60, "batch": 16, "validation": 0.0},
        {0.05: ("none", "zscore:3", EARLY)},
    ),
}  # fmt: skip


def run(
    data: Path,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    parts: Sequence[str] = (),
    out: Path | None = None,
    progress: Progress = silent,
) -> list[Row]:
    """Rows of figures: one for each data set, setting, share of rare, rule, question and score.

    data   folder with images/, audio/esc10 and smd/ in it.
    seeds  of kinds, windows and first weights; at least two.
    parts  which data sets and settings, by name; none are all.
    out    folder for fits.csv, the figures of every single fit.

    Raises DataError where the data are not there, ParameterError for an unknown part.
    """
    known = [*DATA, *SETTINGS]
    if unknown := sorted(set(parts) - set(known)):
        raise ParameterError(f"parts must be of {', '.join(known)}, got {', '.join(unknown)}")
    sets = {n: DATA[n] for n in DATA if n in parts or not set(parts) & set(DATA)}
    settings = {n: SETTINGS[n] for n in SETTINGS if n in parts or not set(parts) & set(SETTINGS)}
    threads, rows = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for some in _fits(data, sets, settings, seeds, progress):
            rows += some
            if out is not None:  # as it goes, for it takes a while
                out.mkdir(parents=True, exist_ok=True)
                pd.DataFrame(rows).to_csv(out / "fits.csv", index=False)
    finally:
        torch.set_num_threads(threads)
    return figures(pd.DataFrame(rows))


def _fits(
    data: Path,
    sets: dict[str, Drawing],
    settings: dict[str, Setting],
    seeds: Sequence[int],
    progress: Progress,
) -> Iterator[list[Row]]:
    """The figures of every fit, and of the baselines on the same windows."""
    draws = {name: prepare(data) for name, prepare in sets.items()}
    cases = [
        (seed, name, label, share)
        for seed in seeds
        for name in sets
        for label, setting in settings.items()
        for share in setting.tried
    ]
    for done, (seed, name, label, share) in enumerate(cases):
        progress(f"{name}, {label}", done, len(cases))
        setting = settings[label]
        case = Case.of(draws[name](seed), setting.windows, share, seed)
        rows = [*baselines(case, seed)]
        for rule in setting.tried[share]:
            rows += fit(case, setting, rule, seed)
        yield [{"data": name, "setting": label, "share": share, "seed": seed, **r} for r in rows]


# ----------------------------------------------------------------- one fit


def fit(case: Case, setting: Setting, rule: str, seed: int) -> Iterator[Row]:
    """Figures of one network that learned under one rule, by each score and question."""
    began_s = time.process_time()
    with seeded(seed):
        network = models.create(setting.model, shape=case.learned.shape[1:], **setting.options)
    options = {**setting.training, **RULES[rule]}
    training = Training(seed=seed, device="cpu", precision="float32", **options)
    given = ~case.is_rare if rule == LABELS else np.ones(len(case.learned), dtype=bool)
    history = training.fit(network, case.learned[given])
    left_out = ~given
    left_out[np.flatnonzero(given)[np.asarray(history.left_out["row"], dtype=int)]] = True
    about = {
        "rule": rule,
        "rare left out": float(left_out[case.is_rare].mean()) if case.is_rare.any() else None,
        "common left out": float(left_out[~case.is_rare].mean()),
        "epochs": len(history),
        "cpu_s": time.process_time() - began_s,
    }
    judge = Inference(network, batch=256, device="cpu", precision="float32")
    known = judge.encode(case.learned)
    knn = scorers.create("knn").fit(Encoded(known.embedding))
    for question, (windows, is_rare) in case.questions.items():
        encoded = judge.encode(windows)
        scores = {
            "reconstruction": encoded.terms["reconstruction"],
            "knn": knn.score(Encoded(encoded.embedding)),
        }
        for name, score in scores.items():
            yield {**about, "question": question, "score": name, **_ranked(is_rare, score)}


def baselines(case: Case, seed: int) -> Iterator[Row]:
    """Figures of what knows next to nothing: chance, the mean value, PCA and kNN on the values."""
    flat = case.learned.reshape(len(case.learned), -1)
    pca = PCA(16, svd_solver="randomized", random_state=seed).fit(flat)
    knn = scorers.create("knn").fit(Encoded(flat))
    random = np.random.default_rng([seed, 3])
    for question, (windows, is_rare) in case.questions.items():
        values = windows.reshape(len(windows), -1)
        left = values - pca.inverse_transform(pca.transform(values))
        scores = {
            "random": random.random(len(values)),
            "mean value": values.mean(axis=1),
            "PCA": np.square(left).mean(axis=1),
            "kNN": knn.score(Encoded(values)),
        }
        for name, score in scores.items():
            yield {"rule": "none", "question": question, "score": name, **_ranked(is_rare, score)}


def _ranked(is_rare: BoolArray, score: FloatArray) -> Row:
    return {
        "AP": metrics.average_precision(is_rare, score),
        "AUROC": metrics.auroc(is_rare, score),
    }


# ----------------------------------------------------------------- from fits to figures


ALL = "all"
JUDGED = ("dense", "conv")  # settings that settle the default
SAME = ["data", "setting", "share", "seed", "question", "score"]
MEASURES = ["AP", "AUROC"]


def figures(fits: pd.DataFrame) -> list[Row]:
    """Means over seeds, and by how much a rule raises them against "none", with intervals.

    Data and settings stand alone, each setting over all data, and what settles the default over
    all data and its settings: the mean of a seed over all these counts as one value.
    """
    without = fits[fits["rule"] == "none"][[*SAME, *MEASURES]]
    paired = fits.merge(without, on=SAME, suffixes=("", " of none"))
    whole = paired[paired["data"] != "foreign"].assign(data=ALL)
    judged = whole[whole["setting"].isin(JUDGED)].assign(setting=" and ".join(JUDGED))
    groups = ["data", "setting", "share", "question", "score", "rule"]
    tables = [paired, whole, judged] if fits["data"].nunique() > 1 else [paired]
    return [
        {**dict(zip(groups, names, strict=True)), **_over_seeds(group)}
        for table in tables
        for names, group in table.groupby(groups, sort=False)
    ]


def _over_seeds(group: pd.DataFrame) -> Row:
    """Means of one group of fits, and its differences from "none" with their intervals."""
    numbers = [column for column in group.columns if column not in {*SAME, "rule"}]
    seeds = group.groupby("seed")[numbers].mean()
    row: Row = {measure: float(seeds[measure].mean()) for measure in MEASURES}
    row["seeds"] = len(seeds)
    if group["rule"].iloc[0] == "none":
        return row
    for measure in MEASURES:
        gain = seeds[measure] - seeds[f"{measure} of none"]
        interval = t_interval(gain.tolist())
        row[f"{measure} gained"] = float(gain.mean())
        if interval is not None:
            row[f"{measure} from"], row[f"{measure} to"] = interval
    for kind in ("rare", "common"):
        share = seeds[f"{kind} left out"].mean()
        row[f"{kind} left out"] = None if np.isnan(share) else float(share)
    return row
