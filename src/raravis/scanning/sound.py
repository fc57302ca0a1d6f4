"""Rarities known to be in sound: a common kind of the user's own sound events, made rare.

All events of one kind are cut out but a few; those few are rare now, and sound like the place.
Nothing is mixed in, so the background stays. Kinds are found by k-means on the events' shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from raravis.errors import DataError, RecordingError
from raravis.listening import Listener, blocks_with_windows, spread_evenly
from raravis.scanning.material import Part, write_index
from raravis.segments import Excerpt, Segmenter
from raravis.sound.features import LogMel
from raravis.sources import SoundSource
from raravis.windows import BoolArray, FloatArray, IntArray, Windows

MOST_BLOCKS = 4
"""Blocks of 5 minutes that are tried on, spread evenly over the recordings."""

FADE_S = 0.01
"""Pieces are joined by fading one into the other for so long."""

FEWEST_EVENTS = 44
"""With fewer sound events it may be that no kind is common."""

FEWEST_OF_A_KIND = 8
"""Only kinds of at least so many events are made rare."""

RARE_SHARE = 0.05
"""So many are left of a thinned kind, of the events of other kinds; at least 3."""

DRAWS = 3
"""Times that each kind is made rare at most, each time with other events of it left."""

MOST_PARTS = 10
"""In all."""

FEWEST_CLEAR = 4
"""Of which at least so many stand out."""

CLEAR = 50
"""Percentile of the salience from which on an event may be made rare."""

BANDS = 16
"""In which the shape of an event is described, to tell kinds apart."""


@dataclass(frozen=True)
class Track:
    """A stretch of recordings, and the sound events in it.

    samples  (S,) float32; rate_hz of them.
    events   in order of time, none overlapping another.
    kinds    (E,) a number for each kind of event.
    clear    (E,) which stand out: the others, as the rustle of the background, nobody would miss.
    """

    samples: FloatArray
    rate_hz: int
    events: list[Excerpt]
    kinds: IntArray
    clear: BoolArray

    def cut(self, event: Excerpt) -> tuple[int, int]:
        """First sample of an event, and the one after its last."""
        first, stop = (round(s * self.rate_hz) for s in (event.start_s, event.end_s))
        return max(0, first), min(stop, len(self.samples))


def make(source: SoundSource, folder: Path, seed: int) -> list[Part]:
    """Writes the parts: the same stretch of recording, each time with something else rare in it.

    Raises DataError where there are too few sound events.
    """
    track = listen(source, seed)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    parts = []
    for number, kind in enumerate(common_kinds(track)):
        path = folder / f"part-{number}.wav"
        samples, events, rare = arranged(track, thinned(track, kind, rng))
        soundfile.write(path, np.clip(samples, -1, 1), track.rate_hz, subtype="PCM_16")
        parts.append(Part(path, path, events, rare, f"kind {kind + 1} made rare"))
    write_index(folder, parts)
    return parts


# --- what there is -------------------------------------------------------------------------------


def listen(source: SoundSource, seed: int) -> Track:
    """Some blocks of the recordings one after another, and the events in them."""
    window_s = float(source.windows.end_s[0] - source.windows.start_s[0])
    listener = Listener(LogMel(), Segmenter(), window_s, source.rate_hz)
    blocks = blocks_with_windows(source)
    samples: list[FloatArray] = []
    events: list[Excerpt] = []
    at_s = 0.0
    for index in spread_evenly(len(blocks), MOST_BLOCKS):
        recording, from_s, _ = blocks[index]
        try:
            block, windows = next(listener.blocks(source, recording, from_s))
        except RecordingError as error:
            source.skip(error)
            continue
        heard = listener.hear(block, windows[:0])
        shift_s = at_s - block.start_s
        for event in heard.excerpts:
            if event.start_s >= block.start_s and event.end_s <= block.end_s:
                events.append(_shifted(event, shift_s))
        first = round(block.start_s * source.rate_hz) - block.first_sample
        length = round((block.end_s - block.start_s) * source.rate_hz)
        samples.append(block.samples[first : first + length])
        at_s += len(samples[-1]) / source.rate_hz
    if len(events) < FEWEST_EVENTS:
        raise DataError(
            f"a scan without labels needs at least {FEWEST_EVENTS} sound events to make rare, "
            f"heard {len(events)}: give longer recordings, or known events by --labels EVENTS.csv"
        )
    salience = np.array([event.salience_db for event in events])
    clear = salience >= np.percentile(salience, CLEAR)
    track = np.concatenate(samples)
    return Track(track, source.rate_hz, events, kinds_of(events, seed), clear)


def _shifted(event: Excerpt, by_s: float) -> Excerpt:
    return Excerpt(event.above_db, event.background_db, event.start_s + by_s, event.end_s + by_s,
                   event.salience_db)  # fmt: skip


def kinds_of(events: Sequence[Excerpt], seed: int) -> IntArray:
    """A number for each kind of event, (E,): 3 to 8 kinds, by pitch, its changes and length."""
    shapes = np.array([_shape(event) for event in events])
    standard = (shapes - shapes.mean(axis=0)) / (shapes.std(axis=0) + 1e-6)
    near = PCA(min(10, *standard.shape), random_state=seed).fit_transform(standard)
    count = int(np.clip(len(events) // 20, 3, 8))
    return np.asarray(KMeans(count, n_init=10, random_state=seed).fit_predict(near))


def _shape(event: Excerpt) -> FloatArray:
    """Mean and deviation of each of 16 bands, how fast they change, and the length."""
    cells = event.above_db.astype(np.float32)
    edges = np.linspace(0, len(cells), BANDS + 1).astype(int)[:-1]
    bands = np.add.reduceat(cells, edges, axis=0)
    bands /= bands.max() + 1e-6
    change = np.abs(np.diff(bands, axis=1)).mean() if bands.shape[1] > 1 else 0.0
    rest = [np.log(event.end_s - event.start_s), change]
    return np.concatenate([bands.mean(axis=1), bands.std(axis=1), rest])


# --- what is made rare ---------------------------------------------------------------------------

Thinned = dict[int, bool]
"""Event of the thinned kind -> whether it stays, and so is rare. Events of other kinds stay and are
ordinary."""


def common_kinds(track: Track) -> list[int]:
    """The kinds that are made rare, one after another, and all of them again.

    Raises DataError where there are none.
    """
    sizes, clear = np.bincount(track.kinds), np.bincount(track.kinds[track.clear])
    clear = np.pad(clear, (0, len(sizes) - len(clear)))
    common = (sizes >= FEWEST_OF_A_KIND) & (clear >= FEWEST_CLEAR)
    if not common.any():
        raise DataError(
            f"no kind of sound event came {FEWEST_OF_A_KIND} times, {FEWEST_CLEAR} of them "
            "clearly, so that none can be made rare: give longer recordings, or known events by "
            "--labels EVENTS.csv"
        )
    return (DRAWS * [int(kind) for kind in np.flatnonzero(common)])[:MOST_PARTS]


def thinned(track: Track, kind: int, rng: np.random.Generator) -> Thinned:
    """All events of a kind left out but a few that stand out."""
    members = np.flatnonzero(track.kinds == kind)
    left = max(3, round(RARE_SHARE * (len(track.kinds) - len(members))))
    rare = set(rng.permutation(members[track.clear[members]])[:left].tolist())
    return {int(event): event in rare for event in members}


def arranged(track: Track, thin: Thinned) -> tuple[FloatArray, Windows, BoolArray]:
    """The track without what is left out: samples (S,), its events, and which are rare (E,)."""
    pieces: list[FloatArray] = []
    spans: list[tuple[int, bool]] = []  # piece, rare
    at = 0
    for number, event in enumerate(track.events):
        first, stop = track.cut(event)
        pieces.append(track.samples[at:first])
        if thin.get(number, True):
            spans.append((len(pieces), number in thin))
            pieces.append(track.samples[first:stop])
        at = stop
    pieces.append(track.samples[at:])
    samples, starts = joined(pieces, round(FADE_S * track.rate_hz))
    first_s = np.array([starts[piece] for piece, _ in spans]) / track.rate_hz
    length_s = np.array([len(pieces[piece]) for piece, _ in spans]) / track.rate_hz
    events = Windows.of(0, first_s, first_s + length_s)
    return samples, events, np.array([rare for _, rare in spans], dtype=bool)


def joined(pieces: Sequence[FloatArray], fade: int) -> tuple[FloatArray, list[int]]:
    """Pieces one after another, each fading into the next over at most `fade` samples, and where
    each begins."""
    track = np.zeros(sum(map(len, pieces)), dtype=np.float32)
    starts, at, before = [], 0, 0
    for piece in pieces:
        own = np.array(piece, dtype=np.float32)
        over = min(fade, len(own) // 2, before // 2)
        rise = np.linspace(0, 1, over, dtype=np.float32)
        at -= over
        track[at : at + over] *= 1 - rise
        own[:over] *= rise
        track[at : at + len(own)] += own
        starts.append(at)
        at, before = at + len(own), len(own)
    return track[:at], starts
