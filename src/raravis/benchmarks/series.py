"""Series with known faults: one default for all, beside what anybody would try first.

Each recording has rows that are learned from and rows that are judged, all scaled alike by
`Scaling`; every detector sees the same rows, and those of raravis see no row before it comes. What
counts is VUS-PR and AUROC of each recording, the mean over the recordings of a group, and the mean
over the five groups of many channels.

    raravis    the default of `row_ensemble`
    members    its members, each alone
    baselines  random, always normal, Mahalanobis, PCA with T2 + Q
    pyod       PyOD's KNN, AutoEncoder, IForest and PCA, row by row with their own defaults
    networks   autoencoders of windows, each alone and as one more member of the default

A new detector is a line in `_detectors`, a new group one in `GROUPS`.
"""

from __future__ import annotations

import csv
import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raravis import metrics
from raravis.errors import DataError, ParameterError
from raravis.models import RowModel, row_scores
from raravis.progress import Progress, silent
from raravis.row_ensemble import closed_form, default_members, member_names
from raravis.row_networks import make_members
from raravis.series.rows import Scaling, filled
from raravis.sources.series import SeriesSource
from raravis.windows import BoolArray, FloatArray

Row = dict[str, Any]
Scores = dict[str, FloatArray]
Judge = Callable[[FloatArray, FloatArray, int], Scores]
"""(learned rows (m, C), judged rows (n, C), seed) -> scores (n,) by the name of their line."""


@dataclass(frozen=True)
class Group:
    """Recordings of one origin.

    paths       patterns of their files under the folder of the data.
    spacecraft  which of the recordings that share a folder are meant; "" all.
    learned     rows that are learned from, where the files do not say it.
    until       rows that are looked at; 0 all.
    """

    paths: tuple[str, ...]
    spacecraft: str = ""
    learned: int = 0
    until: int = 0


GROUPS = {
    "SMD": Group(("smd/*.npz",)),
    "ASD": Group(("asd/*.npz",)),
    "SMAP": Group(("smap_msl/*.npz",), spacecraft="SMAP"),
    "MSL": Group(("smap_msl/*.npz",), spacecraft="MSL"),
    "SKAB": Group(("skab/valve*/*.csv*", "skab/other/*.csv*"), learned=400),
    "UCR": Group(("ucr_anomaly/*.txt",)),
    "ECG": Group(("ecg_mba/*.npz",), learned=20_000, until=80_000),
}
FIVE = ("SMD", "ASD", "SMAP", "MSL", "SKAB")
NETWORKS = ("dense-ae", "conv1d-ae", "lstm-ae", "vae")
PYOD = {"KNN": "knn", "AutoEncoder": "auto_encoder", "IForest": "iforest", "PCA": "pca"}
"""Class and module of PyOD's detectors."""

SHARED = ("SMD", "SMAP", "MSL")  # groups of which TSB-AD has recordings too
TSB_AD = "reference_results/tsb_ad/multi_mergedTable_VUS-PR.csv.gz"


@dataclass(frozen=True)
class Set:
    """One recording: scaled rows to learn from (m, C) and to judge (n, C), and labels (n,)."""

    group: str
    name: str
    learned: FloatArray
    rest: FloatArray
    labels: BoolArray


def sets(data: Path, groups: Sequence[str] = tuple(GROUPS)) -> Iterator[Set]:
    """All recordings of these groups under `data` in which something is labelled."""
    for name in groups:
        group = GROUPS[name]
        for path in sorted(path for pattern in group.paths for path in data.glob(pattern)):
            if not group.spacecraft or group.spacecraft == _spacecraft(path):
                read = _read(name, group, path)
                if read.labels.any():
                    yield read


def _spacecraft(path: Path) -> str:
    with (path.parent / "labeled_anomalies.csv").open() as file:
        return next(
            (r["spacecraft"] for r in csv.DictReader(file) if r["chan_id"] == path.stem), ""
        )


def _read(name: str, group: Group, path: Path) -> Set:
    source = SeriesSource(path)
    series = source.read(0, 0, group.until or source.rows[0])
    learned = group.learned or source.learn_until[0]
    if series.labels is None or learned is None:
        raise DataError(f"{path}: expected labels, and rows that are set apart for learning")
    scaling = Scaling().fit([series.values[:learned]])
    rows = filled(scaling.apply(series.values))
    title = path.name.split(".")[0] if name != "SKAB" else f"{path.parent.name}-{path.name[:-7]}"
    return Set(name, title, rows[:learned], rows[learned:], series.labels[learned:])


# ----------------------------------------------------------------- detectors


def judged(model: RowModel, learned: FloatArray, rest: FloatArray) -> FloatArray:
    """Scores of the judged rows (n,) by a model that learns from the others."""
    model.fit([learned])
    return row_scores(model.contributions(_with_context(model, learned, rest)))


def _with_context(model: RowModel, learned: FloatArray, rest: FloatArray) -> FloatArray:
    return np.vstack([learned[len(learned) - model.context :], rest])


def _detectors() -> dict[str, dict[str, Judge]]:
    """By part, then by name; a judge may give several lines."""
    return {
        "raravis": {"raravis": _default},
        "members": {f"member {number}": _member(number) for number in range(4)},
        "baselines": {
            "random": lambda _, rest, seed: {
                "random": np.random.default_rng(seed).random(len(rest))
            },
            "always normal": lambda _, rest, __: {"always normal": np.zeros(len(rest))},
            "Mahalanobis": _alone("Mahalanobis", "mahalanobis"),
            "PCA, T2 + Q": _alone("PCA, T2 + Q", "pca"),
        },
        "pyod": {name: _pyod(name) for name in PYOD},
        "networks": {name: _network(name) for name in NETWORKS},
    }


def _default(learned: FloatArray, rest: FloatArray, seed: int) -> Scores:
    return {"raravis": judged(closed_form(_tables(learned, seed)), learned, rest)}


def _tables(learned: FloatArray, seed: int) -> list[dict[str, Any]]:
    drawn = ("window-pca", "knn")
    tables = default_members(learned.shape[1])
    return [{**table, "seed": seed} if table["name"] in drawn else table for table in tables]


def _member(number: int) -> Judge:
    def judge(learned: FloatArray, rest: FloatArray, seed: int) -> Scores:
        tables = _tables(learned, seed)
        name = f"{member_names(tables)[number]} alone"
        return {name: judged(closed_form([tables[number]]), learned, rest)}

    return judge


def _alone(line: str, model: str) -> Judge:
    return lambda learned, rest, _: {line: judged(closed_form([{"name": model}]), learned, rest)}


def _network(name: str) -> Judge:
    def judge(learned: FloatArray, rest: FloatArray, seed: int) -> Scores:
        channels = learned.shape[1]
        tables = [*_tables(learned, seed), {"name": name}]
        named = dict(zip(member_names(tables), tables, strict=True))
        ensemble = make_members(named, channels, {"device": "cpu"}, seed).fit([learned])
        members = ensemble.member_scores(_with_context(ensemble, learned, rest))
        together = np.mean(list(members.values()), axis=0)
        return {f"{name} alone": members[name], f"raravis with {name}": together}

    return judge


def _pyod(name: str) -> Judge:
    def judge(learned: FloatArray, rest: FloatArray, seed: int) -> Scores:
        module = importlib.import_module(f"pyod.models.{PYOD[name]}")
        drawn = {} if name == "KNN" else {"random_state": seed}
        quiet = {"verbose": 0} if name == "AutoEncoder" else {}
        with warnings.catch_warnings():  # its PCA divides by the deviation of still channels
            warnings.simplefilter("ignore")
            detector = getattr(module, name)(**drawn, **quiet).fit(learned)
            scores = np.asarray(detector.decision_function(rest), dtype=np.float64)
        return {f"PyOD {name}": np.nan_to_num(scores)}

    return judge


# ----------------------------------------------------------------- measuring


def run(
    data: Path,
    seeds: Sequence[int] = (0,),
    parts: Sequence[str] = (),
    out: Path | None = None,
    progress: Progress = silent,
) -> list[Row]:
    """For each detector a row of VUS-PR and one of AUROC: mean of the five groups, each group, and
    the CPU seconds that learning and judging one recording took.

    data   folder with smd, asd, smap_msl, skab, ucr_anomaly and ecg_mba in it, or some of them.
    seeds  of everything drawn; figures are means over them.
    parts  of detectors and of groups, by name; where none of a kind is named, all of it.
    out    folder for one CSV file for each recording: label and scores of every judged row.

    Raises DataError where no recording is there, ParameterError for an unknown part.
    """
    detectors, groups = _chosen(parts)
    found = list(sets(data, groups))
    if not found:
        raise DataError(f"expected series such as {data}/smd/*.npz, found none: name their folder")
    missing = [] if importlib.util.find_spec("pyod") else [n for n in detectors if n in PYOD]
    jobs = {name: judge for name, judge in detectors.items() if name not in missing}
    figures: list[Row] = []
    for number, one in enumerate(found):
        progress("recordings", number, len(found))
        figures += _measured(one, jobs, seeds, out)
    notes = [{"detector": f"PyOD {name}: not installed"} for name in missing]
    return [*_table(figures), *notes, *published(data)]


def _chosen(parts: Sequence[str]) -> tuple[dict[str, Judge], list[str]]:
    known = _detectors()
    if unknown := [part for part in parts if part not in known and part not in GROUPS]:
        raise ParameterError(
            f"parts must be of {', '.join([*known, *GROUPS])}, got {', '.join(unknown)}"
        )
    chosen = [part for part in parts if part in known] or list(known)
    detectors = {name: judge for part in chosen for name, judge in known[part].items()}
    return detectors, [part for part in parts if part in GROUPS] or list(GROUPS)


def _measured(
    one: Set, jobs: dict[str, Judge], seeds: Sequence[int], out: Path | None
) -> Iterator[Row]:
    """A row of figures for each line and seed."""
    written: Scores = {}
    for judge in jobs.values():
        for seed in seeds:
            began = time.process_time()
            lines = judge(one.learned, one.rest, seed)
            spent_s = time.process_time() - began
            for line, scores in lines.items():
                written.setdefault(line, scores)
                yield {
                    "group": one.group,
                    "detector": line,
                    "VUS-PR": metrics.vus_pr(one.labels, scores),
                    "AUROC": metrics.auroc(one.labels, scores),
                    "CPU s": spent_s,
                }
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame({"label": one.labels.astype(int), **written})
        table.to_csv(out / f"{one.group}-{one.name}.csv", index_label="row", float_format="%.6g")


def _table(figures: Sequence[Row]) -> list[Row]:
    rows: list[Row] = []
    columns = ["group", "detector", "VUS-PR", "AUROC", "CPU s"]
    table = pd.DataFrame(figures, columns=columns)
    for detector, of_it in table.groupby("detector", sort=False):
        means = of_it.groupby("group", sort=False)[["VUS-PR", "AUROC"]].mean()
        for measure in means:
            groups = {str(group): float(value) for group, value in means[measure].items()}
            five = [groups[name] for name in FIVE if name in groups]
            mean = {"mean of five": float(np.mean(five))} if len(five) == len(FIVE) else {}
            cost = {"CPU s a set": float(of_it["CPU s"].mean())}
            rows.append({"measure": measure, "detector": detector, **mean, **groups, **cost})
    return sorted(rows, key=lambda row: str(row["measure"]), reverse=True)


def published(data: Path, best: int = 6) -> list[Row]:
    """Means of the best of TSB-AD's multivariate leaderboard, where its table lies in the data.

    Other files of the same origins, cut in its own way: an order of magnitude, no comparison.

    Source: Liu & Paparrizos 2024, TSB-AD, NeurIPS datasets and benchmarks.
    """
    if not (data / TSB_AD).is_file():
        return []
    table = pd.read_csv(data / TSB_AD)
    origin = table["file"].str.split("_").str[1]
    scores = table.loc[:, "IForest":"OFA"]
    rows = []
    for name in scores.mean().sort_values(ascending=False).index[:best]:
        groups = {group: float(scores[name][origin == group].mean()) for group in SHARED}
        row = {"measure": "VUS-PR", "detector": f"TSB-AD's {name}, other files"}
        rows.append({**row, **groups, "TSB-AD-M": float(scores[name].mean())})
    return rows
