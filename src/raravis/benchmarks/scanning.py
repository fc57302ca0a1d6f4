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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from raravis import models, scorers
from raravis.configuration import Table
from raravis.detector import Detector
from raravis.durable import write_atomically
from raravis.encoded import Encoded
from raravis.errors import ParameterError
from raravis.listening import Listener
from raravis.metrics import auroc, average_precision, event_scores
from raravis.progress import Progress, silent
from raravis.scanning import objective, sound
from raravis.scanning.ranges import ByChance, Range, with_values
from raravis.scanning.study import Trial, chosen
from raravis.segments import Segmenter, spread
from raravis.sound.features import LogMel
from raravis.sources.audio import AudioSource
from raravis.windows import BoolArray, FloatArray, Windows

Row = dict[str, Any]

Compose = Callable[[str, Path], tuple[Windows, BoolArray]]
"""(mix, folder) -> the events in FOLDER/soundscape.wav, which it writes, and which are rare."""

NETWORK: Table = {
    "model": {"name": "conv-ae", "width": 8},
    "features": {"mels": 32},
    "training": {"epochs": 4},
    "learn": {"windows": 600},
}
"""Small and quick, so that many can be taught."""

NETWORK_RANGES = (
    "model.latent=4:128:log", "model.unet=false,true", "training.learning_rate=1e-4:1e-2:log",
    "source.window_s=0.5:2.0", "scorer.name=reconstruction,knn,mahalanobis",
)  # fmt: skip


@dataclass(frozen=True)
class Hearing:
    """How sound events are heard and described."""

    mels: int = 64
    edge_db: float = 3.0
    peak_db: float = 6.0
    gap_s: float = 0.6
    longest_s: float = 4.5
    patterns: int = 40


HEARINGS = (
    Hearing(),
    Hearing(64, 1.7, 5.0, 0.15, 2.0, 12),
    Hearing(128, 4.5, 9.0, 1.2, 8.0, 100),
    Hearing(32, 2.2, 7.5, 0.3, 1.5, 40),
)
SCORERS: tuple[Table, ...] = (
    {"name": "rarity"},
    {"name": "rarity", "rounds": 1, "full_db": 8.0},
    {"name": "rarity", "rounds": 6, "reach": 30, "full_db": 40.0},
    {"name": "knn", "k": 2},
    {"name": "knn", "k": 20},
    {"name": "mahalanobis"},
)
"""Every hearing with every scorer: the first with the first is the default."""

TOUCH_S = 0.05
"""Events that share no more than this are not the same."""

Truth = tuple[Path, Windows, BoolArray]


def run(
    mixes: Mapping[str, Sequence[str]],
    compose: Compose,
    out: Path | None = None,
    parts: Sequence[str] = (),
    networks: int = 6,
    progress: Progress = silent,
) -> list[Row]:
    """Rows of figures, of each part and family of settings.

    mixes    part -> names of the soundscapes; the parts are summed up apart.
    compose  makes a soundscape.
    out      folder for the figures of each setting on each mix; what lies there is not done again.
    parts    which of them; none are all.
    networks settings of a network; teaching them takes most of the time.
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
            table = pd.DataFrame(measured(mix, compose, networks))
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(kept, table.to_csv(index=False))
        else:
            table = pd.read_csv(kept)
        tables.append(table.assign(part=part, mix=mix))
    progress("soundscapes", len(jobs), len(jobs))
    return summary(pd.concat(tables))


def measured(mix: str, compose: Compose, networks: int) -> list[Row]:
    """The true average precision of settings on one mix, and what each objective says of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        events, rare = compose(mix, folder)
        made = objective.make(folder / "soundscape.wav", {}, folder / "material", 0)
        truth = folder / "soundscape.wav", events, rare
        return [*_sound_events(truth), *_networks(truth, made, networks)]


def _sound_events(truth: Truth) -> list[Row]:
    """Every hearing with every scorer. What is heard is heard once: for each part, the events that
    a scan cuts out of the samples are left out of those that were heard."""
    path, events, rare = truth
    track = sound.listen(AudioSource([path]), seed=0)
    rng = np.random.default_rng(0)
    parts = [sound.thinned(track, kind, rng) for kind in sound.common_kinds(track)]
    start_s = np.array([event.start_s for event in track.events])
    end_s = np.array([event.end_s for event in track.events])
    rows: list[Row] = []
    for hearing in HEARINGS:
        windows, heard, encoded = _heard(path, hearing)
        late, early = (
            heard.start_s[:, None] + TOUCH_S < end_s,
            heard.end_s[:, None] - TOUCH_S > start_s,
        )
        same = late & early  # (heard, events)
        for scorer in SCORERS:
            row: Row = {"settings": "sound events", "number": len(rows)}
            scores = _scored((windows, heard, encoded), scorer, events)
            rows.append(row | _figures("truth", rare, scores))
            for index, part in enumerate(parts):
                out = [event for event, stays in part.items() if not stays]
                left = np.setdiff1d(np.arange(len(start_s)), out)
                kept = np.asarray(~same[:, out].any(axis=1))
                there = Windows.of(0, start_s[left], end_s[left])
                scores = _scored((windows, heard[kept], encoded[kept]), scorer, there)
                rows[-1] |= _figures(f"part {index}", np.isin(left, list(part)), scores)
    return rows


def _networks(truth: Truth, made: objective.Made, count: int) -> list[Row]:
    """A network as it is, and others by chance."""
    rows = []
    draws = ByChance(np.random.default_rng(1))
    ranges = [Range.parse(text) for text in NETWORK_RANGES]
    for number in range(count):
        values = {one.setting: one.suggest(draws) for one in ranges} if number else {}
        config = with_values(NETWORK, values)
        detector = Detector.from_config(config).fit(truth[0])
        row = {"settings": "conv-ae", "number": number}
        row["loss"] = min(detector.sense.layers["windows"].history.validation_loss)
        row |= _figures("truth", truth[2], _of_table(detector.score(truth[0]), truth[1]))
        for index, part in enumerate(made.parts):
            table = Detector.from_config(config).fit(part.learn).score(part.judge)
            row |= _figures(f"part {index}", part.rare, _of_table(table, part.events))
        rows.append(row)
    return rows


def _figures(name: str, rare: BoolArray, scores: FloatArray) -> Row:
    return {f"{name} ap": average_precision(rare, scores), f"{name} auroc": auroc(rare, scores)}


def _of_table(table: pd.DataFrame, events: Windows) -> FloatArray:
    windows = Windows.of(0, table["start_s"], table["end_s"])
    return event_scores(windows, table["score"].to_numpy(float), events)


def _heard(path: Path, hearing: Hearing) -> tuple[Windows, Windows, Encoded]:
    """Fixed windows, sound events and their descriptions, as the layer of segments has them."""
    source = AudioSource([path])
    segmenter = Segmenter(hearing.edge_db, hearing.peak_db, hearing.gap_s,
                          longest_s=hearing.longest_s)  # fmt: skip
    listener = Listener(LogMel(hearing.mels), segmenter, source.window_s, source.rate_hz)
    excerpts = []
    for block, windows in listener.blocks(source, 0):
        heard = listener.hear(block, windows[:0])
        excerpts += [e for e, own in zip(heard.excerpts, heard.owned, strict=True) if own]
    model = models.create("sound-events", patterns=hearing.patterns)
    starts, ends = [e.start_s for e in excerpts], [e.end_s for e in excerpts]
    encoded = model.fit(excerpts).encode(excerpts)
    return source.windows, Windows.of(0, starts, ends), encoded


def _scored(heard: tuple[Windows, Windows, Encoded], scorer: Table, events: Windows) -> FloatArray:
    """The score of each event, from those of the windows that overlap it."""
    windows, segments, encoded = heard
    options = {key: value for key, value in scorer.items() if key != "name"}
    scores = scorers.create(scorer["name"], **options).fit(encoded).score(encoded)
    return event_scores(windows, spread(windows, segments, scores), events)


def summary(table: pd.DataFrame) -> list[Row]:
    """What each objective's pick finds, means over mixes, beside the default, chance and the best
    that could have been picked."""
    rows: list[Row] = []
    for (part, family), group in table.groupby(["part", "settings"], sort=False):
        for method in METHODS:
            picked, ranks = [], []
            for _, one in group.groupby("mix"):
                truth, says = one["truth ap"].to_numpy(float), judged(one, method)
                if says is None:
                    continue
                picked.append(float(truth[says == says.max()].mean()))  # the mean where they tie
                if method not in (RULE, *FIXED) and len(np.unique(says)) > 1:
                    ranks.append(float(spearmanr(says, truth).statistic))
            if picked:
                row = {"part": part, "settings": family, "picked by": method, "mixes": len(picked)}
                row["rank correlation"] = float(np.mean(ranks)) if ranks else None
                rows.append({**row, "ap": float(np.mean(picked))})
    return rows


FIXED = ("default", "chance", "the truth")
RULE = "auroc, with two standard errors"
METHODS = (RULE, "auroc", "ap", "reconstruction loss", *FIXED)


def judged(one: pd.DataFrame, method: str) -> FloatArray | None:
    """What a method says of each of the settings of one mix, (N,); higher is better. None where
    it says nothing."""
    if method == "default":
        return np.asarray(one["number"] == 0, dtype=float)
    if method == "chance":
        return np.zeros(len(one))
    if method == "the truth":
        return np.asarray(one["truth ap"], dtype=float)
    if method == "reconstruction loss":
        known = "loss" in one.columns and bool(one["loss"].notna().all())
        return -np.asarray(one["loss"], dtype=float) if known else None
    figures = one[[name for name in one.columns if _is_of_part(one, name, method.split(",")[0])]]
    says = np.asarray(figures.mean(axis=1), dtype=float)
    if method == RULE:
        trials = [
            Trial(number, "finished", says[number], list(parts), {"": number} if number else {})
            for number, parts in enumerate(figures.to_numpy(float))
        ]
        best = chosen(trials)
        return np.array([float(trial == best) for trial in trials])
    return says


def _is_of_part(one: pd.DataFrame, name: str, figure: str) -> bool:
    known = bool(one[name].notna().all())
    return known and name.startswith("part ") and name.endswith(f" {figure}")
