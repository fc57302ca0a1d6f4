"""The cache that is wanted: opened where it is there, else built, and never a stale one."""

from __future__ import annotations

from pathlib import Path

from raravis import distributed
from raravis.caching.building import Order, Part, build, stale, told_apart
from raravis.caching.fingerprints import changes
from raravis.caching.joining import incomplete, join, parts_of
from raravis.caching.reading import Cache
from raravis.errors import RaravisError, RunError
from raravis.progress import Progress, silent


def opened(folder: Path, order: Order, progress: Progress = silent) -> Cache:
    """The cache of these windows; where it is not there or half built, it is built first.

    Of several processes the first one builds, and the others wait however long it takes.

    Raises RunError where the cache is stale, or where parts of a divided one are missing.
    """
    if distributed.rank() > 0:
        while (word := distributed.from_first(None)) == _AT_WORK:
            continue
        if word is not None:
            raise RunError(f"process 0 could not open the cache: {word}")
        return Cache.open(folder)
    try:
        cache = _opened(folder, order, _heard_by_all(progress))
    except RaravisError as error:
        distributed.from_first(str(error))
        raise
    distributed.from_first(None)
    return cache


_AT_WORK = "at work"


def _heard_by_all(progress: Progress) -> Progress:
    """Tells the others after every block that they need not give up waiting."""

    def told(step: str, done: float, total: float) -> None:
        distributed.from_first(_AT_WORK)
        progress(step, done, total)

    return told


def _opened(folder: Path, order: Order, progress: Progress) -> Cache:
    if not (folder / "cache.toml").exists():
        _, missing, of = parts_of(folder)
        if of <= 1:
            build(folder, order, Part(), progress)
        elif missing:
            raise incomplete(folder, missing, of)
        join(folder, order.held_back)
    cache = Cache.open(folder)
    refuse_stale(cache, order)
    return cache


def written(
    folder: Path, order: Order, part: Part, progress: Progress = silent
) -> Cache | list[int]:
    """Builds a part of a cache, and the whole where it is the last one; or the numbers of the
    parts that are still missing.

    Raises RunError where the folder holds something else than what is wanted.
    """
    if not (folder / "cache.toml").exists():
        build(folder, order, part, progress)
        _, missing, _ = parts_of(folder)
        if missing:
            return missing
        join(folder, order.held_back)
    cache = Cache.open(folder)
    refuse_stale(cache, order)
    if cache.coding != order.coding:
        raise stale(folder, [f"its windows are {cache.coding.dtype} (here {order.coding.dtype})"])
    return cache


def refuse_stale(cache: Cache, order: Order) -> None:
    """Raises RunError where a cache holds other windows than those wanted, saying which."""
    here = order.begun()
    there = {name: cache.table[name] for name in here} | {"recordings": cache.recordings}
    for table in (there, here):
        del table["coding"]  # any will do
    if there != here:
        raise stale(cache.folder, told_apart(there, here))
    if found := changes(order.source.recordings, cache.table["recordings"]):
        raise stale(cache.folder, found)
