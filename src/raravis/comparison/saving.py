"""A comparison as a folder: the page, the tables, and every model ready to be used.

OUT/comparison.html           the page
OUT/comparison.csv            one row a model: means and 95 % intervals
OUT/trials.csv                one row a model and seed
OUT/comparison.toml           what was compared, and how
OUT/MODEL/model.safetensors   what the best seed learned; `raravis score OUT/MODEL` takes it
OUT/MODEL/model.toml          how it was made
OUT/MODEL/RECORDING/...       the same, where every recording has models of its own
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

from raravis.comparison import words
from raravis.comparison.contest import Comparison, Line
from raravis.comparison.page import page
from raravis.comparison.parts import PARTS
from raravis.configuration import Table
from raravis.detector import Detector
from raravis.durable import write_atomically
from raravis.errors import RunError
from raravis.senses import prefixed


def check_free(out: Path, overwrite: bool) -> None:
    """Raises RunError where a comparison is there already and may not be replaced."""
    if (out / "comparison.html").exists() and not overwrite:
        raise RunError(f"{out} holds a comparison already: choose another --out, or --overwrite")


def write(comparison: Comparison, out: Path, source: Table | None = None) -> Path:
    """Writes everything into the folder `out`; returns where the page lies.

    source  options with which the series were opened, for the saved models to open others alike.
    """
    out.mkdir(parents=True, exist_ok=True)
    for line in comparison.models:
        for name, made in detectors(comparison, line, source or {}).items():
            made.save(out / line.name / name)
    write_atomically(out / "comparison.csv", comparison.table().to_csv(index=False))
    write_atomically(out / "trials.csv", trials(comparison).to_csv(index=False))
    write_atomically(out / "comparison.toml", tomli_w.dumps(_settings(comparison)))
    write_atomically(out / "comparison.html", page(comparison))
    return out / "comparison.html"


def detectors(comparison: Comparison, line: Line, source: Table) -> dict[str, Detector]:
    """The kept trial of a model as detectors that can score other recordings: by the name of the
    recording that taught each, or one by the name ""."""
    lesson = comparison.contest.lesson(line.name, len(comparison.data.channels))
    learned = line.kept.learned
    names = comparison.data.names if len(learned) > 1 else [""]
    made = {}
    for name, state in zip(names, learned, strict=True):
        one = Detector(
            kind="series",
            model=lesson.members,
            threshold=lesson.threshold,
            training=lesson.training,
            source={**source, "channels": list(comparison.data.channels)},
            seed=line.kept.seed,
        )
        one.sense.restore({"interval_s": state["interval_s"], **prefixed("windows", state)})
        one.is_fitted = True
        made[name] = one
    return made


def trials(comparison: Comparison) -> pd.DataFrame:
    """One row for each model and seed, with all its measures."""
    return pd.DataFrame(
        [
            {"model": line.name, "seed": trial.seed, **found}
            for line in comparison.lines
            for trial, found in zip(line.trials, line.found, strict=True)
        ]
    )


def as_json(comparison: Comparison) -> Table:
    """Everything that can be said in numbers, for programs."""
    table = comparison.table().astype(object)
    return {
        "models": table.where(table.notna(), None).to_dict("records"),
        "differences": [
            {**asdict(one), "within_noise": one.is_noise} for one in comparison.differences
        ],
        "agreement": comparison.agreement.to_dict(),
        "rows": _rows(comparison),
        "conclusions": words.conclusions(comparison),
    }


def _settings(comparison: Comparison) -> Table:
    settings: dict[str, Any] = asdict(comparison.contest)
    settings |= {name: list(settings[name]) for name in ("models", "split")}
    return {
        "comparison": {name: value for name, value in settings.items() if value is not None},
        "recordings": comparison.data.names,
        "channels": list(comparison.data.channels),
        "rows": _rows(comparison),
        "remarks": comparison.remarks,
    }


def _rows(comparison: Comparison) -> dict[str, int]:
    counts = np.bincount(comparison.data.part, minlength=len(PARTS))
    return dict(zip(PARTS, counts.tolist(), strict=True))
