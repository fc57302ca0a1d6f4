"""Verbs for work that was spread over many machines: merge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raravis.cli import console
from raravis.cli.working import Json, Strict, finish

Parts = Annotated[list[Path], typer.Argument(help="Folders of all the parts, in any order.")]
Out = Annotated[Path, typer.Option(help="Folder to write the run to.")]


def merge(
    parts: Parts, out: Out = Path("run"), strict: Strict = False, as_json: Json = False
) -> None:
    """Make one run of parts that `score --shard` wrote: the same as one process would have made.

    Example: raravis merge part-*/ --out all
    """
    from raravis.spreading import parts as scored

    with console.showing_progress() as progress:
        detector = scored.merge(parts, out, progress)
    finish(out, detector, None, strict, as_json)


VERBS = (merge,)
