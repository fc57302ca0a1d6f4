"""The parts of a cache, wherever they were built, listed as one."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tomli_w

from raravis.caching.building import PARTS, is_finished, notes_of, stale, told_apart, write_array
from raravis.configuration import Table, read_toml
from raravis.durable import explained, write_atomically
from raravis.errors import NothingToRead, RunError
from raravis.windows import BoolArray, IntArray

INDEX = np.dtype(
    [
        ("recording", "<i4"),  # number in the list of cache.toml
        ("start_s", "<f8"),  # from the recording's start
        ("offset", "<i8"),  # its row, all shards of cache.toml laid end to end
        ("split", "u1"),  # LEARNED or HELD_BACK
    ]
)
LEARNED, HELD_BACK = 0, 1


def held_back(recording: IntArray, share: float) -> BoolArray:
    """Which windows (N,), in order of their recordings, are held back to see when to stop.

    The last of each recording, as many as make `share` of all windows up to its end: so of one
    recording they are what `Training.split` takes, the last in time. Of many, every site and time
    of day is learned from and looked at, where the last of all would be one evening that nobody
    learned; and in each they lie in one piece, so that few have a neighbour among those learned
    from. Recordings of a window or two are held back as a whole, every so often.
    """
    ends = np.flatnonzero(np.diff(recording, append=-1)) + 1
    held = np.zeros(len(recording), dtype=bool)
    start, taken = 0, 0
    for end in ends.tolist():
        more = min(round(share * end) - taken, end - start)
        held[end - more : end] = True
        start, taken = end, taken + more
    return held


def parts_of(cache: Path) -> tuple[list[Path], list[int], int]:
    """Folders of the parts that are whole, numbers of those that are not, and how many there
    must be; 0 where nothing was begun."""
    there = {path.name: path for path in cache.glob(PARTS)} if cache.is_dir() else {}
    numbers = [re.fullmatch(r"part-(\d+)-of-(\d+)", name) for name in there]
    of = {int(found[2]) for found in numbers if found}
    if len(of) > 1:
        raise RunError(
            f"{cache} holds parts of several divisions ({', '.join(sorted(there))}): delete it to "
            "build it anew"
        )
    most = max(of, default=0)
    whole, missing = [], []
    for number in range(1, most + 1):
        folder = there.get(f"part-{number:02d}-of-{most:02d}")
        if folder is not None and is_finished(folder):
            whole.append(folder)
        else:
            missing.append(number)
    return whole, missing, most


def join(cache: Path, share: float) -> None:
    """Lists the windows of all parts in order, and writes cache.toml. What it writes does not
    depend on who joins, nor on how many do at once.

    share  in [0, 1) of the windows that is held back.

    Raises RunError where parts are missing or disagree, NothingToRead where they hold no window.
    """
    whole, missing, of = parts_of(cache)
    if missing or not whole:
        raise incomplete(cache, missing, of)
    with explained(cache):
        table, index = _listed(cache, whole)
        index["split"] = np.where(held_back(index["recording"], share), HELD_BACK, LEARNED)
        table["held_back"] = float(share)
        mine = cache / f".joining-{socket.gethostname()}-{os.getpid()}"
        write_array(mine, index)
        mine.replace(cache / "index.npy")
        write_atomically(mine, tomli_w.dumps(table))
        mine.replace(cache / "cache.toml")


def incomplete(cache: Path, missing: list[int], of: int) -> RunError:
    """What is raised where parts are missing."""
    names = ", ".join(f"{number}/{of}" for number in missing[:20])
    more = f" and {len(missing) - 20} more" if len(missing) > 20 else ""
    return RunError(
        f"{cache} is not whole: part{'s' if len(missing) > 1 else ''} {names}{more} missing or "
        f"unfinished; build each with the same recordings and settings, such as "
        f"`raravis cache RECORDINGS --out {cache} --shard {missing[0] if missing else 1}/{of}`"
    )


def _listed(cache: Path, parts: list[Path]) -> tuple[Table, npt.NDArray[np.void]]:
    """What cache.toml says, and the index without a split."""
    begun = read_toml(parts[0] / "part.toml")
    skipped = {(one["path"], one["reason"]) for one in begun.pop("skipped")}
    recordings: dict[str, Table] = {}
    shards: list[Table] = []
    places = []
    sums: dict[str, float] = dict.fromkeys(("heard_s", "beyond", "frames"), 0)
    moments = np.zeros((2, begun["shape"][1]))
    for folder in parts:
        own = read_toml(folder / "part.toml")
        skipped |= {(one["path"], one["reason"]) for one in own.pop("skipped")}
        if own != begun:
            raise stale(cache, [f"{folder.name} has {d}" for d in told_apart(begun, own)])
        for number, note in enumerate(notes_of(folder)):
            if note["rows"]:
                file = folder / f"{number:05d}.npy"
                shards.append({"file": file.relative_to(cache).as_posix(), "rows": note["rows"]})
                places.append(np.load(file.with_suffix(".places.npy"), allow_pickle=False))
            sums = {name: value + note[name] for name, value in sums.items()}
            moments += [note["sums"], note["squares"]]
            recordings |= {one["name"]: one for one in note["recordings"]}
            skipped |= {(one["path"], one["reason"]) for one in note["skipped"]}
    listed = [{"path": path, "reason": reason} for path, reason in sorted(skipped)]
    if not places:
        told = "; ".join(f"{one['path']}: {one['reason']}" for one in listed[:3])
        raise NothingToRead(f"no window could be read from any recording: {told}")
    index = _index(np.concatenate(places))
    return {
        **{name: value for name, value in begun.items() if name != "recordings"},
        "windows": len(index),
        **sums,
        "sums": moments[0].tolist(),
        "squares": moments[1].tolist(),
        "shards": shards,
        "recordings": [recordings[name] for name in begun["recordings"]],
        "skipped": listed,
    }, index


def _index(places: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Rows in order of their recordings, wherever they lie; each recording lies in order."""
    order = np.argsort(places["recording"], kind="stable")
    index = np.zeros(len(places), dtype=INDEX)
    for name in ("recording", "start_s"):
        index[name] = places[name][order]
    index["offset"] = order
    return index
