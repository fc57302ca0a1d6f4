"""Shards of a collection, scored apart by the jobs of an array, and how they become one run.

    PART/part.toml   which shard of how many, and of which recordings; `finished` at the end

Each job looks through the whole collection, takes its share of the recordings and scores them into
a folder of its own, which is a run like any other but for its events: those are found when all
parts are merged, in rows that stand in exactly the order in which one process would have written
them.
"""

from __future__ import annotations

import hashlib
import heapq
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tomli_w

from raravis.configuration import Table, read_toml
from raravis.detector import Crew, Detector
from raravis.durable import write_atomically
from raravis.errors import ParameterError, RunError
from raravis.fitting import make_room
from raravis.progress import Progress, silent
from raravis.sources import Source
from raravis.store import Store
from raravis.store.moving import rows_of
from raravis.windows import Recording, Skipped

NOTE = "part.toml"
MODEL_FILES = ("model.toml", "model.safetensors")
BESIDE_MODEL = ("pruned.csv",)  # what pruning left out of learning


@dataclass(frozen=True)
class Shard:
    """One of `of` parts of a collection, counted from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """A shard as it is written: 3/16. Raises ParameterError for anything else."""
        number, slash, of = text.partition("/")
        if not (slash and number.isdecimal() and of.isdecimal()):
            raise ParameterError(f"--shard must be written like 3/16, got {text!r}")
        if not 1 <= int(number) <= int(of):
            raise ParameterError(f"shards of {of} are counted from 1/{of} to {of}/{of}, got {text}")
        return cls(int(number), int(of))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def of_source(self, source: Source) -> Source:
        """Its share of the recordings, in their order: about as many hours as the others have.

        The longest recordings are dealt first, each to the shard that has least so far. Raises
        ParameterError where there are more shards than recordings.
        """
        recordings = source.recordings
        if self.of > len(recordings):
            raise ParameterError(
                f"{len(recordings)} recordings make {len(recordings)} shards at most, got "
                f"--shard {self}"
            )
        hands = [(0.0, number) for number in range(1, self.of + 1)]
        mine: list[int] = []
        by_length = sorted(range(len(recordings)), key=lambda i: -recordings[i].duration_s)
        for index in by_length:
            held_s, number = heapq.heappop(hands)
            heapq.heappush(hands, (held_s + recordings[index].duration_s, number))
            mine += [index] if number == self.number else []
        part = source.part(sorted(mine))
        part.skipped, part.remarks = list(source.skipped), list(source.remarks)
        return part


def make_out(run: Path, out: Path) -> None:
    """Makes another run folder with the model of `run`, or goes on with one that has it already.

    Raises RunError where a run with another model is in the way.
    """
    if all((out / name).is_file() for name in MODEL_FILES) and _model(out) == _model(run):
        return
    make_room(out, overwrite=False)
    _copy_model(run, out)


def _copy_model(run: Path, out: Path) -> None:
    for name in (*BESIDE_MODEL, *reversed(MODEL_FILES)):
        if (run / name).is_file():
            shutil.copy(run / name, out / name)


def score_shard(
    detector: Detector,
    source: Source,
    shard: Shard,
    out: Path,
    progress: Progress = silent,
    crew: Crew | None = None,
) -> int:
    """Scores one shard of a source into `out`, a folder made by `make_out`, or goes on where that
    was cut off; returns how many recordings it has.

    Raises RunError where `out` holds another shard, or one of other recordings.
    """
    part = shard.of_source(source)
    note: Table = {
        "shard": shard.number,
        "of": shard.of,
        "collection": _fingerprint(repr([_identity(r) for r in source.recordings])),
        "remarks": source.remarks,
        "finished": False,
    }
    path = out / NOTE
    if path.is_file():
        _check_same(read_toml(path), note, out)
    elif (out / "store.sqlite").is_file():
        raise RunError(f"{out} holds a whole run, no shard: choose another --out")
    write_atomically(path, tomli_w.dumps(note))
    with Store.open_or_create(out) as store:
        detector.judge_into(store, part, progress, crew)
    write_atomically(path, tomli_w.dumps({**note, "finished": True}))
    return len(part.recordings)


def _check_same(before: Table, now: Table, out: Path) -> None:
    if (before["shard"], before["of"]) != (now["shard"], now["of"]):
        raise RunError(
            f"{out} holds shard {before['shard']}/{before['of']}, and was to hold "
            f"{now['shard']}/{now['of']}: choose another --out"
        )
    if before["collection"] != now["collection"]:
        raise RunError(
            f"{out} was begun with other recordings: give the same ones, or choose another --out"
        )


# --- merging -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A finished shard on disk, with what its note says."""

    folder: Path
    note: Table

    @property
    def shard(self) -> Shard:
        """Which one it is."""
        return Shard(self.note["shard"], self.note["of"])


@dataclass(frozen=True)
class Place:
    """A recording, how far it is scored, and where: the part, and its number there."""

    recording: Recording
    scored_s: float
    part: int
    number: int


def merge(folders: Sequence[Path], out: Path, progress: Progress = silent) -> Detector:
    """Makes one run of all parts of a collection: the same rows, events and files that one process
    would have written; returns its detector, which knows the events.

    Raises RunError where a part is missing, unfinished, there twice, of another model or of other
    recordings, or where a run is in the way.
    """
    parts = [_read(folder) for folder in folders]
    _check(parts)
    where = _places(parts)
    make_room(out, overwrite=False)
    _copy_model(parts[0].folder, out)
    with Store.create(out) as store:
        stores = [Store.open(part.folder) for part in parts]
        try:
            for done, place in enumerate(where):
                progress("merging", done, len(where))
                store.add_recording(place.recording)
                if place.scored_s > 0:
                    rows = rows_of(stores[place.part], place.number)
                    store.append(place.recording, place.scored_s, rows)
            skipped: list[Skipped] = [one for other in stores for one in other.skipped()]
        finally:
            for other in stores:
                other.close()
        for one in skipped:
            store.skip(one)
        progress("merging", len(where), len(where))
        detector = Detector.load(out)
        detector.conclude(store, parts[0].note["remarks"])
    return detector


def _read(folder: Path) -> Part:
    path = folder / NOTE
    if not path.is_file():
        raise RunError(
            f"{folder} is no part of a run (it has no {NOTE}): name folders made by "
            "`raravis score RUN RECORDINGS --shard 1/2 --out FOLDER`"
        )
    part = Part(folder, read_toml(path))
    if not part.note["finished"]:
        raise RunError(f"{folder} is not finished: give the command of shard {part.shard} again")
    return part


def _check(parts: Sequence[Part]) -> None:
    """Raises RunError where the parts are not all there, once each, and of one kind."""
    if not parts:
        raise RunError("no part to merge: name the folders of all shards")
    first = parts[0]
    seen: dict[int, Part] = {}
    for part in parts:
        if part.shard.of != first.shard.of:
            raise RunError(
                f"{first.folder} is one of {first.shard.of} shards and {part.folder} one of "
                f"{part.shard.of}: merge those that were made together"
            )
        if _model(part.folder) != _model(first.folder):
            raise RunError(f"{first.folder} and {part.folder} were scored by different models")
        if part.note["collection"] != first.note["collection"]:
            raise RunError(
                f"{first.folder} and {part.folder} are parts of different recordings: score both "
                "from the same ones"
            )
        other = seen.setdefault(part.shard.number, part)
        if other is not part:
            raise RunError(f"shard {part.shard} is there twice: {other.folder} and {part.folder}")
    missing = [str(number) for number in range(1, first.shard.of + 1) if number not in seen]
    if missing:
        raise RunError(f"of {first.shard.of} shards these are missing: {', '.join(missing)}")


def _places(parts: Sequence[Part]) -> list[Place]:
    """Where all recordings are, in the order of a source."""
    found: dict[str, Place] = {}
    for index, part in enumerate(parts):
        with Store.open(part.folder) as store:
            for number, (recording, scored_s) in enumerate(store.recordings()):
                if other := found.get(recording.name):
                    raise RunError(
                        f"{recording.name} is in both {parts[other.part].folder} and {part.folder}"
                    )
                found[recording.name] = Place(recording, scored_s, index, number)
    return sorted(found.values(), key=lambda place: _by_time(place.recording))


def _by_time(recording: Recording) -> tuple[bool, datetime, str]:
    """Sorts as sources do: by start, those without one last, then by name."""
    began = recording.start_time
    return began is None, began or datetime.min.replace(tzinfo=UTC), recording.name


def _identity(recording: Recording) -> tuple[Any, ...]:
    return recording.name, recording.duration_s, recording.rate_hz, recording.channels


def _model(folder: Path) -> str:
    return _fingerprint(*(folder / name for name in MODEL_FILES))


def _fingerprint(*contents: str | Path) -> str:
    """Tells whether texts or files are the same."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content.encode() if isinstance(content, str) else content.read_bytes())
    return digest.hexdigest()
