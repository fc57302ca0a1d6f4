"""Hearing recordings once and writing down all their fixed windows, a part of them or all.

A shard is written, then a note of what lies in it; the note is what counts. Shards end where a
block of a recording ends, by rules that know nothing of when work was broken off: so it goes on
after the last note and ends with the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tomli_w

from raravis.caching.coding import Coding, Kept
from raravis.caching.fingerprints import changes, fingerprint, unreadable
from raravis.configuration import Table, differences, read_toml
from raravis.durable import UNFINISHED, atomic_file, explained, write_atomically
from raravis.errors import ParameterError, RecordingError, RunError
from raravis.listening import Listener
from raravis.progress import Progress, silent
from raravis.sources import Block, SoundSource
from raravis.windows import FloatArray, Recording, Windows

FORMAT = 1  # of the folder; raised when an older raravis could not read what is written
SHARD_BYTES = 32 << 20  # a kill costs no more work than this, about an hour of listening
PLACE = np.dtype([("recording", "<i4"), ("start_s", "<f8")])
PARTS = "part-*-of-*"


@dataclass(frozen=True)
class Order:
    """Which windows are wanted.

    source      the recordings, and how they are cut.
    listener    what turns them into clips.
    settings    all that determines the windows, as nested tables.
    coding      in which numbers they are kept.
    held_back   share in [0, 1) of the windows that is not learned from.
    """

    source: SoundSource
    listener: Listener
    settings: Table
    coding: Coding
    held_back: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a window."""
        return (1, *self.listener.clip_shape)

    def begun(self) -> Table:
        """What part.toml says: all parts of one cache agree in it."""
        names = [recording.name for recording in self.source.recordings]
        return {
            "format": FORMAT,
            "shape": list(self.shape),
            "window_s": float(self.listener.window_s),
            "coding": vars(self.coding),
            "settings": self.settings,
            "recordings": names,
        }


@dataclass(frozen=True)
class Part:
    """Every `of`-th recording, from the `number`-th on, counted from 1."""

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ParameterError(
                f"expected a part such as 3/16, from 1/16 to 16/16, got {self.number}/{self.of}"
            )

    @classmethod
    def parse(cls, text: str) -> Part:
        """The part written as "3/16"."""
        number, _, of = text.partition("/")
        if not (number.isdecimal() and of.isdecimal()):
            raise ParameterError(f"expected a part such as 3/16, got {text!r}")
        return cls(int(number), int(of))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"part-{self.number:02d}-of-{self.of:02d}"


def notes_of(folder: Path) -> list[Table]:
    """What lies in the shards of a part, one note for each, in order."""
    notes: list[Table] = []
    while (path := folder / f"{len(notes):05d}.toml").exists():
        notes.append(read_toml(path))
    return notes


def is_finished(folder: Path) -> bool:
    """Whether a part holds all its windows."""
    notes = notes_of(folder)
    return bool(notes) and bool(notes[-1]["finished"])


def build(cache: Path, order: Order, part: Part, progress: Progress = silent) -> None:
    """Writes a part of a cache, or goes on with it where it was broken off.

    Recordings that break are skipped from there on, and noted.

    Raises RunError where the folder holds something else, parts of other settings or recordings,
    where another process writes the same part, or the disk is full.
    """
    folder = cache / part.name
    _refuse_others(cache, part)
    with explained(cache):
        folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        for half in folder.glob(f"*{UNFINISHED}"):
            half.unlink(missing_ok=True)
        _begin(folder, order)
        notes = notes_of(folder)
        _refuse_changed(folder, order, notes)
        if not (notes and notes[-1]["finished"]):
            _Writer(folder, order, notes).write(part, progress)


def _refuse_others(cache: Path, part: Part) -> None:
    """Raises RunError where the folder is no cache, or one that was divided otherwise."""
    if not cache.is_dir():
        return
    parts = [path.name for path in cache.glob(PARTS)]
    others = [name for name in parts if not name.endswith(f"-of-{part.of:02d}")]
    if others:
        raise RunError(
            f"{cache} was divided otherwise: it holds {', '.join(sorted(others))}, and part {part} "
            f"was asked for; go on as it was begun, or delete {cache}"
        )
    strange = [path.name for path in cache.iterdir() if not path.name.startswith(("part-", "."))]
    if strange and not parts:
        raise RunError(
            f"{cache} holds other files ({', '.join(sorted(strange)[:3])}): name a new folder for "
            "the cache"
        )


def _begin(folder: Path, order: Order) -> None:
    """Writes what is being built, or checks that it is what was begun."""
    path, begun = folder / "part.toml", order.begun()
    if not path.exists():
        skipped = [vars(one) for one in order.source.skipped]
        write_atomically(path, tomli_w.dumps({**begun, "skipped": skipped}))
        return
    there = read_toml(path)
    del there["skipped"]
    if there != begun:
        raise stale(folder.parent, told_apart(there, begun))


def told_apart(there: Table, here: Table) -> list[str]:
    """In words, how what part.toml or cache.toml says of the windows differs."""
    found = [
        line.removeprefix("settings.")
        for line in differences(
            {k: v for k, v in there.items() if k != "recordings"},
            {k: v for k, v in here.items() if k != "recordings"},
        )
    ]
    before, now = there["recordings"], here["recordings"]
    found += [f"{name} is new" for name in now if name not in set(before)]
    found += [f"{name} is gone" for name in before if name not in set(now)]
    return found or ["its recordings in another order"]


def stale(cache: Path, found: list[str]) -> RunError:
    """What is raised where a cache holds other windows than those wanted."""
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return RunError(
        f"{cache} is stale: {', '.join(found[:5])}{more}; give the settings and recordings that it "
        f"was built with, or delete {cache} to build it anew, or name another folder"
    )


def _refuse_changed(folder: Path, order: Order, notes: list[Table]) -> None:
    """Raises RunError where a recording of which windows are there is not what it was."""
    known = {one["name"]: one for note in notes for one in note["recordings"]}
    begun = [recording for recording in order.source.recordings if recording.name in known]
    if found := changes(begun, list(known.values())):
        raise stale(folder.parent, found)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Inside, no other process of this machine builds here; a kill frees the way."""
    if os.name != "posix":
        yield
        return
    import fcntl

    with explained(folder), (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{folder} is being built by another process: wait for it") from error
        yield


# --- writing -------------------------------------------------------------------------------------


class _Waiting:
    """What was heard and is not in a shard yet."""

    def __init__(self, bands: int) -> None:
        self.clips: list[Kept] = []
        self.windows: list[Windows] = []
        self.recordings: dict[str, Table] = {}
        self.heard_s = 0.0
        self.beyond = self.frames = self.bytes = 0
        self.moments: FloatArray = np.zeros((2, bands))  # sums of each band, and of its squares

    def add(self, kept: Kept, windows: Windows, values: FloatArray) -> None:
        """Windows as they are kept (n, C, H, W), and the values that this means."""
        self.clips.append(kept)
        self.windows.append(windows)
        self.bytes += kept.nbytes
        self.frames += len(kept) * kept.shape[3]
        exact = values.astype(np.float64)
        self.moments += [exact.sum(axis=(0, 1, 3)), (exact**2).sum(axis=(0, 1, 3))]


class _Writer:
    """Goes through the recordings of a part and fills shards with their windows."""

    def __init__(self, folder: Path, order: Order, notes: list[Table]) -> None:
        self.folder, self.order, self.source = folder, order, order.source
        self.shards = len(notes)
        last = notes[-1] if notes else {"recording": 0, "from_s": 0.0}
        self.recording, self.from_s = int(last["recording"]), float(last["from_s"])
        self.told = len(self.source.skipped)
        self.waiting = _Waiting(order.shape[1])

    def write(self, part: Part, progress: Progress) -> None:
        """From where it stands to the end."""
        recordings = self.source.recordings
        mine = range(part.number - 1, len(recordings), part.of)
        total_s = sum(recordings[number].duration_s for number in mine)
        before_s = 0.0
        for number in mine:
            if number >= self.recording:
                self.from_s = self.from_s if number == self.recording else 0.0
                self.recording = number
                for until_s in self._recording(recordings[number]):
                    progress("caching", before_s + until_s, total_s)
            before_s += recordings[number].duration_s
        self.recording, self.from_s = len(recordings), 0.0
        self._flush(finished=True)
        progress("caching", total_s, total_s)

    def _recording(self, recording: Recording) -> Iterator[float]:
        """Takes in one recording from where it stands; yields how far it is, in seconds."""
        known = unreadable(recording)
        try:
            known = fingerprint(recording)
            for block, windows in self.order.listener.blocks(
                self.source, self.recording, self.from_s
            ):
                self.waiting.recordings[recording.name] = known
                self._block(block, windows)
                if self.waiting.bytes >= SHARD_BYTES:
                    self._flush(finished=False)
                yield block.end_s
        except RecordingError as error:
            self.source.skip(error)
        self.waiting.recordings[recording.name] = known

    def _block(self, block: Block, windows: Windows) -> None:
        self.waiting.heard_s += block.end_s - block.start_s
        self.from_s = block.end_s
        if len(windows):
            clips = self.order.listener.hear(block, windows).clips[:, None]  # (n, C, H, W)
            kept, beyond = self.order.coding.encode(clips)
            self.waiting.beyond += beyond
            self.waiting.add(kept, windows, self.order.coding.decode(kept))

    def _flush(self, finished: bool) -> None:
        """Writes a shard, and then the note that makes it count."""
        waiting, name = self.waiting, f"{self.shards:05d}"
        if waiting.clips:
            windows = Windows.concatenate(waiting.windows)
            places = np.empty(len(windows), dtype=PLACE)
            places["recording"], places["start_s"] = windows.recording, windows.start_s
            write_array(self.folder / f"{name}.npy", np.concatenate(waiting.clips))
            write_array(self.folder / f"{name}.places.npy", places)
        sums, squares = waiting.moments.tolist()
        note = {
            "finished": finished,
            "rows": sum(map(len, waiting.clips)),
            "recording": self.recording,
            "from_s": float(self.from_s),
            "heard_s": float(waiting.heard_s),
            "beyond": waiting.beyond,
            "frames": waiting.frames,
            "sums": sums,
            "squares": squares,
            "recordings": list(waiting.recordings.values()),
            "skipped": [vars(one) for one in self.source.skipped[self.told :]],
        }
        write_atomically(self.folder / f"{name}.toml", tomli_w.dumps(note))
        self.told = len(self.source.skipped)
        self.shards += 1
        self.waiting = _Waiting(self.order.shape[1])


def write_array(path: Path, array: Kept) -> None:
    """An array as .npy, there as a whole or not at all; a full disk is called by its name, which
    numpy's own writer does not."""
    header = np.lib.format.header_data_from_array_1_0(np.ascontiguousarray(array))
    with atomic_file(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)
