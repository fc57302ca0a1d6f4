"""Verbs that look at what a trained model sees: embed, monitor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raravis.cli import console
from raravis.cli.working import Json, Overwrite, Paths, Run

if TYPE_CHECKING:
    from raravis.labelling import Labelled

Layer = Annotated[
    str | None, typer.Option(help="Layer of the run, such as windows, segments, frames, pictures.")
]
Seed = Annotated[int, typer.Option(help="Of everything random; same seed, same numbers.")]

TOLD = ("probe top-1", "probe top-5", "kNN cosine", "kNN euclidean", "most common")


def embed(
    run: Run,
    paths: Paths,
    out: Annotated[
        Path, typer.Option(help="A file .npz, or a folder of .npy and index.csv.")
    ] = Path("embeddings.npz"),
    labels: Annotated[
        Path | None, typer.Option(help="CSV: frame or recording, label, and maybe split.")
    ] = None,
    layer: Layer = None,
    overwrite: Overwrite = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write every embedding of recordings, and say how good they are.

    How much of its space an embedding uses needs no labels; what can be told from it, by a linear
    probe and by nearest neighbours, does. Example:
    raravis embed run frames/ --out embeddings.npz --labels labels.csv
    """
    from raravis import embedding
    from raravis.detector import Detector
    from raravis.labelling import read_labels

    embedding.check_out(out, overwrite)
    detector = Detector.load(run)
    source = detector.open(paths)
    known: Labelled | None = None
    room = out.parent if out.parent.is_dir() else None
    with (
        console.showing_progress() as progress,
        embedding.embedded(detector, source, layer, room, progress) as found,
    ):
        if labels is not None:
            known = read_labels(labels, found.index, seed)
        rows = embedding.quality(found, known, seed)
        embedding.write(found, out)
    if as_json:
        split = {} if known is None else {"split": known.how}
        console.print_json({"out": str(out), **split, "embeddings": rows})
    else:
        _print_quality(rows, known)
        console.out.print(f"embeddings: {out}", soft_wrap=True)
    console.list_skipped(source.skipped)


def _print_quality(rows: list[dict[str, Any]], known: Labelled | None) -> None:
    if known is not None:
        title = (
            f"what labels can be told: {known.is_learned.sum():,} windows learned from, "
            f"{known.is_tested.sum():,} tested; {known.how}"
        )
        table = [[row["embedding"], *(row[name] for name in TOLD)] for row in rows]
        console.print_table(["embedding", *TOLD], table, title)
    names = [name for name in rows[0] if name not in ("embedding", *TOLD)]
    table = [[row["embedding"], *(_whole(row[name]) for name in names)] for row in rows]
    console.print_table(["embedding", *names], table, "how much of the space is used")


def _whole(value: float) -> float | int:
    return int(value) if value == int(value) and value >= 1 else value


VERBS = (embed,)
