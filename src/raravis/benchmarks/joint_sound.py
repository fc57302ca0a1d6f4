"""Whether a joint embedding of spectrograms finds rare sounds that the default for sound misses.

On each soundscape everything learns from the recording alone: the default, an autoencoder and the
joint embedding on fixed windows, the joint embedding on whole sound events, the default joined with
it, and the same with a network that was taught nothing. What counts is how well the events' scores
tell rare from common ones: AUROC and average precision (AP), and by how much more AP than the
default.

The rule was set before anything was measured: the joint embedding joins the default only where it
raises AP on the mixes that are checked on by more than two standard errors, with settings chosen on
those that are designed on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raravis import models, scorers
from raravis.blocks import seeded
from raravis.configuration import Table
from raravis.detector import Detector
from raravis.encoded import Encoded
from raravis.errors import ParameterError
from raravis.inference import Inference
from raravis.listening import Listener
from raravis.metrics import auroc, average_precision, event_scores
from raravis.progress import Progress, silent
from raravis.segments import Excerpt, Segmenter, spread
from raravis.sound.features import LogMel, Standardise
from raravis.sources.audio import AudioSource
from raravis.thresholds import Tail
from raravis.training import Training
from raravis.windows import BoolArray, FloatArray, IntArray, Windows

Row = dict[str, Any]

Compose = Callable[[str, Path], tuple[Windows, BoolArray]]
"""(mix, folder) -> the events in FOLDER/soundscape.wav, which it writes, and which are rare."""

DEFAULT = "default: sound events"
SHORT: Table = {"training": {"epochs": 8}, "learn": {"windows": 900}}
NETWORKS: dict[str, Table] = {
    "conv-ae": {"model": "conv-ae", **SHORT},
    "joint": {"model": "vicreg", **SHORT},
}
"""Networks on fixed windows, by the name that their detectors get; each learns alike, and briefly,
so that the whole takes minutes."""


@dataclass(frozen=True)
class OfEvents:
    """How the joint embedding learns from sound events: from windows that lie within them.

    window_s    length of a window, in seconds.
    background  whether the slow background is taken off, as it is of what the default sees.
    epochs      how often every window is seen; 0 leaves the network as it was made.
    views       see `raravis.views`.
    """

    window_s: float = 1.0
    background: bool = True
    epochs: int = 12
    views: str = "halves"


WEIGHT = 0.25
"""What the joint embedding's distances count in the joined space, where the descriptors' count 1;
chosen among 0.25, 0.5 and 1 on the mixes that are designed on."""

HOP_S = 0.5
"""Apart lie the windows whose mean vector stands for an event that is longer than one."""


def run(
    mixes: Mapping[str, Sequence[str]],
    compose: Compose,
    seeds: Sequence[int] = (0,),
    parts: Sequence[str] = (),
    progress: Progress = silent,
) -> list[Row]:
    """Rows by part and detector: AUROC and AP, means over mixes with the 95 % interval of the mean,
    and how much more AP than the default, with its standard error.

    mixes    part -> names of the soundscapes; the parts are summed up apart.
    compose  makes a soundscape.
    seeds    of what is drawn at random; a mix's figures are means over them.
    parts    which of them; none are all.
    """
    wrong = set(parts) - set(mixes)
    if wrong:
        raise ParameterError(f"parts must be of {', '.join(mixes)}, got {', '.join(wrong)}")
    jobs = [(part, mix) for part in mixes if not parts or part in parts for mix in mixes[part]]
    rows: list[Row] = []
    for done, (part, mix) in enumerate(jobs):
        progress("soundscapes", done, len(jobs))
        rows += [{"part": part, **row} for row in measured(mix, compose, seeds)]
    progress("soundscapes", len(jobs), len(jobs))
    return summary(pd.DataFrame(rows))


def measured(mix: str, compose: Compose, seeds: Sequence[int]) -> list[Row]:
    """What each detector finds on one mix, a row for each seed and detector."""
    with tempfile.TemporaryDirectory() as name:
        events, rare = compose(mix, Path(name))
        rows = []
        for seed in seeds:
            for detector, (windows, scores) in judged(Path(name) / "soundscape.wav", seed).items():
                best = event_scores(windows, scores, events)
                figures = {"auroc": auroc(rare, best), "ap": average_precision(rare, best)}
                rows.append({"mix": mix, "seed": seed, "detector": detector, **figures})
    return rows


def summary(table: pd.DataFrame) -> list[Row]:
    """Means over mixes, of each part and detector."""
    rows: list[Row] = []
    for part, group in table.groupby("part", sort=False):
        mean = group.groupby(["detector", "mix"], sort=False)[["auroc", "ap"]].mean()
        usual = mean.loc[DEFAULT, "ap"]
        for detector in dict.fromkeys(group["detector"]):
            figures = mean.loc[detector]
            more = figures["ap"] - usual
            rows.append(
                {
                    "part": part,
                    "detector": detector,
                    "mixes": len(figures),
                    "auroc": float(figures["auroc"].mean()),
                    "ap": float(figures["ap"].mean()),
                    "within": 1.96 * _error(figures["ap"]),
                    "more ap": float(more.mean()),
                    "error": _error(more),
                }
            )
    return rows


def _error(values: pd.Series) -> float:
    """Standard error of a mean; nan of a single value."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


# ----------------------------------------------------------------- detectors


def judged(path: Path, seed: int) -> dict[str, tuple[Windows, FloatArray]]:
    """(windows, scores) of every detector on one recording, by its name."""
    source = AudioSource([path])
    grid = source.windows
    excerpts = heard(source)
    events = Windows.of(0, [e.start_s for e in excerpts], [e.end_s for e in excerpts])
    described = models.create("sound-events", seed=seed).fit(excerpts).encode(excerpts)
    found: dict[str, tuple[Windows, FloatArray]] = {
        "random": (grid, np.random.default_rng(seed).random(len(grid))),
        DEFAULT: (grid, spread(grid, events, rarity(described, seed))),
    }
    for name, table in NETWORKS.items():
        detector = Detector.from_config({**table, "seed": seed}).fit(path)
        found |= on_windows(detector, path, name)
    for name, how in (("joint", OfEvents()), ("untaught", OfEvents(epochs=0))):
        vectors = event_vectors(source, events, seed, how)
        for label, scores in on_events(described, vectors, seed, name).items():
            found[label] = grid, spread(grid, events, scores)
    return found


def heard(source: AudioSource) -> list[Excerpt]:
    """The sound events of a recording, as the default hears them."""
    listener = Listener(LogMel(), Segmenter(), source.window_s, source.rate_hz)
    excerpts: list[Excerpt] = []
    for block, windows in listener.blocks(source, 0):
        found = listener.hear(block, windows[:0])
        excerpts += [e for e, own in zip(found.excerpts, found.owned, strict=True) if own]
    return excerpts


def rarity(encoded: Encoded, seed: int) -> FloatArray:
    """How rare each event is among all, (E,), as the default judges it."""
    return scorers.create("rarity", seed=seed).fit(encoded).score(encoded)


def on_windows(detector: Detector, path: Path, name: str) -> dict[str, tuple[Windows, FloatArray]]:
    """Fixed windows as each judge of a network scores them."""
    source = detector.sense.open(path)
    parts = [rows["windows"] for _, rows in detector.sense.judged(source, 0, 0.0)]
    windows = Windows.concatenate([part.windows for part in parts])
    return {
        label if label == "loudness" else f"{name}: {label}": (
            windows,
            np.concatenate([part.scores[label][0] for part in parts]),
        )
        for label in parts[0].scores
    }


def event_vectors(source: AudioSource, events: Windows, seed: int, how: OfEvents) -> FloatArray:
    """What a joint embedding, taught by the windows that lie in a recording's sound events, makes
    of each event: the mean vector of its windows, (E, D), each number of deviation 1."""
    clips, event = clips_within(source, events, how)
    scale = Standardise()
    scale.update(clips)
    windows = scale.apply(clips)[:, None]
    options = {"views": how.views, "backbone": "spectrogram-cnn", "projector": (256, 256)}
    with seeded(seed):
        network = models.create("vicreg", shape=windows.shape[1:], **options)
    if how.epochs:
        Training(epochs=how.epochs, seed=seed).fit(network, windows)
    seen = Inference(network).encode(windows).embedding
    means = np.stack([seen[event == number].mean(axis=0) for number in range(len(events))])
    deviation = means.std(axis=0)
    means = (means - means.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    return np.asarray(means, dtype=np.float32)


def clips_within(
    source: AudioSource, events: Windows, how: OfEvents
) -> tuple[FloatArray, IntArray]:
    """The windows within events, (N, F, T) in dB, and of which event each is, (N,)."""
    listener = Listener(LogMel(background=how.background), None, how.window_s, source.rate_hz)
    windows, event = windows_within(events, how.window_s)
    clips, whose = [], []
    for block, _ in listener.blocks(source, 0):
        inside = (windows.start_s >= block.start_s) & (windows.start_s < block.end_s)
        clips.append(listener.hear(block, windows[inside]).clips)
        whose.append(event[inside])
    return np.concatenate(clips), np.concatenate(whose)


def windows_within(events: Windows, window_s: float) -> tuple[Windows, IntArray]:
    """Windows that lie evenly in each event, and of which event each is, (N,)."""
    starts, event = [], []
    for number, (start_s, end_s) in enumerate(zip(events.start_s, events.end_s, strict=True)):
        spare_s = end_s - start_s - window_s
        if spare_s <= 0:
            own = np.array([max(0.0, start_s + spare_s / 2)])
        else:
            own = np.linspace(start_s, end_s - window_s, 1 + int(np.ceil(spare_s / HOP_S)))
        starts.append(own)
        event.append(np.full(len(own), number))
    start = np.concatenate(starts)
    return Windows.of(0, start, start + window_s), np.concatenate(event)


def on_events(
    described: Encoded, vectors: FloatArray, seed: int, name: str
) -> dict[str, FloatArray]:
    """Sound events (E,) judged by a network's vectors (E, D) alone, and joined with the default's
    descriptors: by the mean surprise of both scores, and in one space. By names with `name`."""
    seen = Encoded(vectors, described.terms)
    both = rarity(described, seed), rarity(seen, seed)
    together = np.concatenate(
        [_spaced(described.embedding), WEIGHT * _spaced(vectors)], axis=1
    ).astype(np.float32)
    surprises = [Tail(tail="exponential").fit(s, hours=1.0).surprise(s) for s in both]
    return {
        f"{name}: rarity of events": both[1],
        f"default + {name}, surprise": np.mean(surprises, axis=0),
        f"default + {name}, one space": rarity(Encoded(together, described.terms), seed),
    }


def _spaced(vectors: FloatArray) -> FloatArray:
    """Vectors in units of their mean distance from the middle."""
    centred = vectors - vectors.mean(axis=0)
    return np.asarray(centred / (np.linalg.norm(centred, axis=1).mean() + 1e-12))
