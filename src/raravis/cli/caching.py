"""The verb that hears recordings once and keeps what networks learn from: cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raravis.cli import console
from raravis.cli.settings import with_settings
from raravis.cli.working import Json, Paths, Strict, refuse_skipped, tell_remarks
from raravis.configuration import Table

if TYPE_CHECKING:
    from raravis.caching.reading import Cache
    from raravis.sources import RowSource


@with_settings
def cache(
    paths: Paths,
    out: Annotated[Path, typer.Option(help="Folder of the cache.")] = Path("cache"),
    dtype: Annotated[
        str, typer.Option(help="Kept as float16, or uint8: half the size, within 0.3 dB.")
    ] = "float16",
    shard: Annotated[
        str | None, typer.Option(help="3/16 hears every 16th recording, from the third on.")
    ] = None,
    strict: Strict = False,
    as_json: Json = False,
    config: Table | None = None,
) -> None:
    """Hear recordings once, and keep all their windows for networks to learn from.

    Stopped at any moment, the same command goes on where it was. Example:
    raravis cache recordings/ --out cache, then
    raravis fit recordings/ --cache cache --model conv-ae
    """
    from raravis.caching.building import Part
    from raravis.caching.opening import written
    from raravis.detector import Detector
    from raravis.sources import FrameSource, RowSource

    part = Part() if shard is None else Part.parse(shard)
    detector = Detector.for_recordings(paths, config or {})
    with console.showing_progress() as progress:
        source = detector.open(paths)
        tell_remarks(source.remarks)
        if isinstance(source, RowSource):
            console.tell(_not_for_series(source))
            return
        if isinstance(source, FrameSource):
            console.tell("pictures are read where they lie: there is nothing to cache")
            return
        order = detector.sense.cache_order(source, dtype)  # type: ignore[attr-defined]
        made = written(out, order, part, progress)
    if isinstance(made, list):
        missing = ", ".join(f"{number}/{part.of}" for number in made)
        console.tell(f"part {part} is in {out}; missing or unfinished: {missing}")
        console.list_skipped(source.skipped)
        refuse_skipped(strict, len(source.skipped))
        return
    if as_json:
        console.print_json(_figures(made))
    else:
        console.print_table(["what", "value"], [[k, str(v)] for k, v in _figures(made).items()])
    console.list_skipped(made.skipped)
    console.tell(f"next: raravis fit RECORDINGS --cache {out} --model conv-ae")
    refuse_skipped(strict, len(made.skipped))


def _not_for_series(source: RowSource) -> str:
    held_mb = 4 * sum(source.rows) * len(source.channels) / 1e6
    return (
        "nothing was written, for series gain nothing from a cache: their rows are held once "
        f"(here {sum(source.rows):,} of {len(source.channels)} channels, {held_mb:,.1f} MB), and "
        "windows are cut from them as views, which takes no longer than reading them; fit without "
        "--cache"
    )


def _figures(cache: Cache) -> Table:
    """What is in a cache."""
    table, shards = cache.table, cache.shards
    return {
        "folder": str(cache.folder),
        "windows": len(cache),
        "held_back": int(cache.index["split"].sum()),
        "shape": table["shape"],
        "dtype": cache.coding.dtype,
        "error_db": round(cache.coding.error, 4),
        "values_beyond_range": table["beyond"],
        "recordings": len(cache.recordings),
        "hours": round(table["heard_s"] / 3600, 3),
        "megabytes": round(len(shards) * shards.row_bytes / 1e6, 1),
        "skipped": len(cache.skipped),
    }


VERBS = (cache,)
