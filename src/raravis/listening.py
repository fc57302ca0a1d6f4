"""A block of sound, heard: its mel spectrogram once, and from it both kinds of windows.

Everything that learns or scores from sound goes through `Listener.hear`, so that a recording is
decoded and transformed once however many members look at it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from raravis.errors import NothingToRead, RecordingError
from raravis.progress import Progress, silent
from raravis.segments import Excerpt, Segmenter
from raravis.sound.features import LogMel
from raravis.sound.normalising import background_step
from raravis.sources import Block, SoundSource
from raravis.windows import BoolArray, FloatArray, IntArray, Windows

BLOCK_S = 300.0
CONTEXT_S = 10.0  # around a block, from which its slow background is learned
Item = TypeVar("Item")


@dataclass(frozen=True)
class Heard:
    """What was heard in one block.

    excerpts  sound events in the block and its margins, in order of time.
    owned     (E,) which of them lie in the block itself, judged by their middle: each event of a
              recording is owned by one block.
    windows   the fixed windows that start in the block.
    clips     (N, F, T) float32, their log-mel in dB.
    """

    block: Block
    excerpts: list[Excerpt]
    owned: BoolArray
    windows: Windows
    clips: FloatArray


class Listener:
    """Turns blocks of samples into sound events and clips of fixed length.

    features   the mel spectrogram and its options.
    segmenter  what decides where a sound event begins and ends; None where nobody asks for them.
    window_s   length of the fixed windows.
    rate_hz    of all samples that will be heard.
    """

    def __init__(
        self, features: LogMel, segmenter: Segmenter | None, window_s: float, rate_hz: int
    ) -> None:
        self.features = features
        self.segmenter = segmenter
        self.window_s = window_s
        self.band_hz = features.band_hz(rate_hz)  # (F,)

    @property
    def clip_shape(self) -> tuple[int, int]:
        """(F, T): mel bands and frames of a clip."""
        return len(self.band_hz), self.features.frames(self.window_s)

    def blocks(
        self, source: SoundSource, recording: int, from_s: float = 0.0
    ) -> Iterator[tuple[Block, Windows]]:
        """Blocks of one recording from `from_s` on, each with the windows that start in it."""
        everything = source.windows  # in order of recordings
        first, last = np.searchsorted(everything.recording, [recording, recording + 1])
        windows = everything[first:last]
        margin_s = self.window_s + 1
        if self.segmenter is not None or self.features.background:
            margin_s = max(CONTEXT_S, margin_s)
        for block in source.blocks(recording, from_s, BLOCK_S, margin_s):
            inside = (windows.start_s >= block.start_s) & (windows.start_s < block.end_s)
            yield block, windows[inside]

    def hear(self, block: Block, windows: Windows) -> Heard:
        """Spectrogram, sound events and clips of one block."""
        per_s = self.features.frames_per_s
        step = background_step(per_s)  # blocks begin on one grid, so that they agree
        start_frame = step * int(np.ceil(block.first_sample / block.rate_hz * per_s / step))
        stop_frame = int((block.first_sample + len(block.samples)) / block.rate_hz * per_s)
        power = self.features.power(
            block.samples, block.rate_hz, block.first_sample, start_frame, stop_frame
        )  # (F, T)
        excerpts = self.segmenter.cut(power, start_frame / per_s) if self.segmenter else []
        middles = np.array([(e.start_s + e.end_s) / 2 for e in excerpts])
        owned = (middles >= block.start_s) & (middles < block.end_s)
        starts = np.round(windows.start_s * per_s).astype(int) - start_frame
        return Heard(block, excerpts, owned, windows, self.clips(power, starts))

    def clips(self, power: FloatArray, starts: IntArray) -> FloatArray:
        """Clips (N, F, T) in dB that start at frames `starts` of mel power (F, frames), without
        background or loudness where the features say so. What is too short is padded."""
        bands, frames = self.clip_shape
        if not len(starts):
            return np.zeros((0, bands, frames), dtype=np.float32)
        decibels = self.features.decibels(power)
        missing = max(0, frames - decibels.shape[1])
        decibels = np.pad(decibels, ((0, 0), (0, missing)), mode="edge")
        return self.features.cut(decibels, np.clip(starts, 0, decibels.shape[1] - frames), frames)


@dataclass(frozen=True)
class Lesson:
    """What a detector learns from: a bounded, even sample of the recordings.

    excerpts  sound events, in order of time; clips (N, F, T) float16, likewise.
    hours     of recording that the excerpts stand for; clip_hours, the clips.
    windows   where the clips lie, (N,).
    """

    excerpts: list[Excerpt]
    hours: float
    clips: FloatArray
    clip_hours: float
    windows: Windows


def blocks_with_windows(source: SoundSource) -> list[tuple[int, float, int]]:
    """(recording, start in s, windows) of every block in which a window starts, in order."""
    windows = source.windows
    keys = np.stack([windows.recording, windows.start_s // BLOCK_S])  # (2, N)
    blocks, counts = np.unique(keys, axis=1, return_counts=True)
    return [
        (int(r), float(k * BLOCK_S), int(n)) for (r, k), n in zip(blocks.T, counts, strict=True)
    ]


def spread_evenly(count: int, most: int) -> list[int]:
    """At most `most` of the indices 0 .. count - 1, evenly spaced."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most)).round()})


class Sampler(Generic[Item]):
    """Keeps an even random sample of at most `most` of the items it is shown, seeded.

    Each item draws a random key and the lowest keys stay, so the sample does not depend on the
    portions in which the items come.
    """

    def __init__(self, most: int, seed: int) -> None:
        self.most = most
        self.seen = 0
        self._random = np.random.default_rng(seed)
        self._kept: list[tuple[float, int, Item]] = []  # key, order, item

    def add(self, items: Sequence[Item]) -> None:
        """Shows items to the sampler."""
        for key, item in zip(self._random.random(len(items)), items, strict=True):
            self._kept.append((float(key), self.seen, item))
            self.seen += 1
        if len(self._kept) > 1.5 * self.most:
            self._drop()

    def _drop(self) -> None:
        self._kept = sorted(self._kept, key=lambda entry: entry[0])[: self.most]

    def sample(self) -> list[Item]:
        """The kept items in the order in which they were shown."""
        self._drop()
        return [item for _, _, item in sorted(self._kept, key=lambda entry: entry[1])]

    @property
    def share(self) -> float:
        """Share of the items shown that is kept."""
        return min(1.0, self.most / self.seen) if self.seen else 1.0


def take_lesson(
    listener: Listener,
    source: SoundSource,
    *,
    hours: float,
    segments: int,
    windows: int,
    seed: int,
    progress: Progress = silent,
) -> Lesson:
    """Listens to at most `hours` of the source, spread evenly over it, and keeps a sample of at
    most `segments` sound events and `windows` clips. Recordings that break are skipped."""
    blocks = blocks_with_windows(source)
    blocks = [blocks[i] for i in spread_evenly(len(blocks), max(1, int(hours * 3600 / BLOCK_S)))]
    there = sum(count for *_, count in blocks)
    wanted = np.zeros(there, dtype=bool)
    wanted[np.random.default_rng(seed + 1).permutation(there)[:windows]] = True
    chosen = np.split(wanted, np.cumsum([count for *_, count in blocks])[:-1])
    excerpts, clips, cut, heard_s = Sampler[Excerpt](segments, seed), [], [], 0.0
    for done, ((recording, from_s, _), mask) in enumerate(zip(blocks, chosen, strict=True)):
        progress("listening", done, len(blocks))
        try:
            block, inside = next(listener.blocks(source, recording, from_s))
        except RecordingError as error:
            source.skip(error)
            continue
        heard = listener.hear(block, inside[mask])
        excerpts.add([e for e, own in zip(heard.excerpts, heard.owned, strict=True) if own])
        clips.append(heard.clips.astype(np.float16))
        cut.append(heard.windows)
        heard_s += block.end_s - block.start_s
    progress("listening", len(blocks), len(blocks))
    if not clips:
        raise NothingToRead("no window could be read from any recording: see what was skipped")
    share = min(1.0, windows / there)
    return Lesson(
        excerpts.sample(),
        heard_s / 3600 * excerpts.share,
        np.concatenate(clips),
        heard_s / 3600 * share,
        Windows.concatenate(cut),
    )
