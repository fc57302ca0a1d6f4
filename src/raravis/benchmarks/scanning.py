"""Whether what a scan goes by picks settings that find more: held against the truth it never sees.

On each soundscape, detectors with settings drawn at random learn and score as a user would have
them do, which gives their true average precision of the rare events. The same settings are judged
by each objective, from the recording alone. What counts is how well an objective ranks the
settings, and how much the settings that it picks find. Which objective is used was chosen on
the mixes that are designed on; those that are checked on only tell what it is worth.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from raravis.configuration import Table
from raravis.detector import Detector
from raravis.durable import write_atomically
from raravis.errors import ParameterError
from raravis.metrics import average_precision, event_scores
from raravis.progress import Progress, silent
from raravis.scanning import objective
from raravis.scanning.ranges import ByChance, Range, with_values
from raravis.windows import BoolArray, FloatArray, Windows

Row = dict[str, Any]

Compose = Callable[[str, Path], tuple[Windows, BoolArray]]
"""(mix, folder) -> the events in FOLDER/soundscape.wav, which it writes, and which are rare."""

SOUND_EVENTS: Table = {"explainer": "none"}
NETWORK: Table = {
    "model": {"name": "conv-ae", "width": 8},
    "features": {"mels": 32},
    "training": {"epochs": 4},
    "learn": {"windows": 600},
}
"""Small and quick, so that many can be taught."""

EVENT_RANGES = (
    "features.mels=32,64,128", "segments.edge_db=1.5:5.0:log", "segments.peak_db=5.0:10.0",
    "segments.gap_s=0.1:1.5:log", "segments.longest_s=1.5:8.0:log", "model.patterns=8:120:log",
    "scorer.name=rarity,rarity,knn,mahalanobis",
)  # fmt: skip
NETWORK_RANGES = (
    "model.latent=4:128:log", "model.unet=false,true", "training.learning_rate=1e-4:1e-2:log",
    "source.window_s=0.5:2.0", "scorer.name=reconstruction,knn,mahalanobis",
)  # fmt: skip


def drawn(base: Table, ranges: Sequence[str], count: int, seed: int = 0) -> list[Table]:
    """The settings as they are, and others drawn at random, `count` in all."""
    draws = ByChance(np.random.default_rng(seed))
    parsed = [_repeating(text) for text in ranges]
    values = [{one.setting: one.suggest(draws) for one in parsed} for _ in range(count - 1)]
    return [base, *(with_values(base, one) for one in values)]


def _repeating(text: str) -> Range:
    """A range of which a choice may be named twice, to be drawn twice as often."""
    setting, _, values = text.partition("=")
    listed = values.split(",")
    if len(set(listed)) == len(listed):
        return Range.parse(text)
    one = Range.parse(f"{setting}={','.join(dict.fromkeys(listed))}")
    object.__setattr__(one, "choices", tuple(listed))
    return one


def run(
    mixes: Mapping[str, Sequence[str]],
    compose: Compose,
    out: Path | None = None,
    parts: Sequence[str] = (),
    count: int = 8,
    progress: Progress = silent,
) -> list[Row]:
    """Rows of figures, of each part and family of settings.

    mixes    part -> names of the soundscapes; the parts are summed up apart.
    compose  makes a soundscape.
    out      folder for the figures of each setting on each mix; what lies there is not done again.
    parts    which of them; none are all.
    count    settings of each family.
    """
    wrong = set(parts) - set(mixes)
    if wrong:
        raise ParameterError(f"parts must be of {', '.join(mixes)}, got {', '.join(wrong)}")
    jobs = [(part, mix) for part in mixes if not parts or part in parts for mix in mixes[part]]
    tables = []
    for done, (part, mix) in enumerate(jobs):
        progress("soundscapes", done, len(jobs))
        kept = None if out is None else out / f"{mix}.csv"
        if kept is None or not kept.exists():
            table = pd.DataFrame(measured(mix, compose, count))
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(kept, table.to_csv(index=False))
        else:
            table = pd.read_csv(kept)
        tables.append(table.assign(part=part, mix=mix))
    progress("soundscapes", len(jobs), len(jobs))
    return summary(pd.concat(tables))


def measured(mix: str, compose: Compose, count: int) -> list[Row]:
    """The true average precision of settings on one mix, and what each objective says of them."""
    families = {
        "sound events": drawn(SOUND_EVENTS, EVENT_RANGES, count),
        "conv-ae": drawn(NETWORK, NETWORK_RANGES, count, seed=1),
    }
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        events, rare = compose(mix, folder)
        made = objective.make(folder / "soundscape.wav", SOUND_EVENTS, folder / "material", 0)
        for family, settings in families.items():
            for number, config in enumerate(settings):
                detector = Detector.from_config(config).fit(folder / "soundscape.wav")
                table = detector.score(folder / "soundscape.wav")
                windows = Windows.of(0, table["start_s"], table["end_s"])
                scores = event_scores(windows, table["score"].to_numpy(float), events)
                row = {"family": family, "setting": number, "ap": average_precision(rare, scores)}
                if family == "conv-ae":
                    row["loss"] = min(detector.sense.layers["windows"].history.validation_loss)
                figures = made.figures(config)
                for index, figure in enumerate(figures):
                    row[f"{made.parts[index].kind} {index}"] = figure
                rows.append(row)
    return rows


def summary(table: pd.DataFrame) -> list[Row]:
    """What each objective's pick finds, means over mixes, beside the default, chance and the best
    that could have been picked."""
    rows = []
    for (part, family), group in table.groupby(["part", "family"], sort=False):
        for method in METHODS:
            picked, ranks = [], []
            for _, one in group.groupby("mix"):
                says = _judged(one, method)
                if says is None:
                    continue
                picked.append(_expected(one["ap"].to_numpy(), says))
                if len(np.unique(says)) > 1 and method not in FIXED:
                    ranks.append(float(spearmanr(says, one["ap"]).statistic))
            if picked:
                row = {"part": part, "settings": family, "picked by": method}
                rank = float(np.mean(ranks)) if ranks else None
                rows.append({**row, "mixes": len(picked), "rank correlation": rank,
                             "ap": float(np.mean(picked))})  # fmt: skip
    return rows


FIXED = ("default", "chance", "the truth")
METHODS = ("made rare", "only thinned kinds", "only changed events", "reconstruction loss", *FIXED)


def _judged(one: pd.DataFrame, method: str) -> FloatArray | None:
    """What a method says of each of the settings; higher is better. None where it says nothing."""
    thinned = [name for name in one.columns if name.startswith("a kind")]
    changed = [name for name in one.columns if name.startswith("events changed")]
    if method == "default":
        return np.asarray(one["setting"] == 0, dtype=float)
    if method == "chance":
        return np.zeros(len(one))
    if method == "the truth":
        return np.asarray(one["ap"], dtype=float)
    if method == "reconstruction loss":
        return None if one["loss"].isna().any() else -np.asarray(one["loss"], dtype=float)
    chosen = {"only thinned kinds": thinned, "only changed events": changed}
    names = [name for name in chosen.get(method, thinned + changed) if one[name].notna().all()]
    return np.asarray(one[names].mean(axis=1), dtype=float)


def _expected(ap: FloatArray, says: FloatArray) -> float:
    """Average precision of the settings that are judged best; the mean over those that tie."""
    return float(ap[says == says.max()].mean())
