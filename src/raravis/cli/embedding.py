"""Verbs that look at what a trained model sees: embed, monitor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raravis.cli import console
from raravis.cli.working import Json, Overwrite, Paths, Run

if TYPE_CHECKING:
    from raravis.labelling import Labelled
    from raravis.monitoring import Watched

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


def monitor(
    run: Run,
    paths: Paths,
    then: Annotated[
        list[Path] | None, typer.Option(help="Other recordings, after a switch; repeatable.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Windows that are looked at together.")] = 64,
    out: Annotated[Path | None, typer.Option(help="Folder; default RUN/monitoring.")] = None,
    layer: Layer = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Follow every term of a trained model over time, and how each moves where others follow.

    Nothing is learned. Writes windows.csv, batches.csv, moves.csv and terms.png. Example:
    raravis monitor run held-back/ --then other/
    """
    import dataclasses

    import pandas as pd

    from raravis import monitoring
    from raravis.detector import Detector
    from raravis.durable import write_atomically

    detector = Detector.load(run)
    before, after = detector.open(paths), detector.open(then) if then else None
    with console.showing_progress() as progress:
        watched = monitoring.watch(
            detector, before, after, batch=batch, layer=layer, seed=seed, progress=progress
        )
    moves = monitoring.moves(watched, seed)
    said, table = monitoring.said(moves), [dataclasses.asdict(move) for move in moves]
    folder = out or run / "monitoring"
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "windows.csv": watched.windows.to_csv(index=False),
        "batches.csv": watched.batches.to_csv(index=False),
        "moves.csv": pd.DataFrame(table, columns=_FIELDS).to_csv(index=False),
        "terms.png": monitoring.picture(watched),
        "summary.txt": "\n".join(said) + "\n",
    }
    for name, content in files.items():
        write_atomically(folder / name, content)
    if as_json:
        console.print_json({"out": str(folder), "said": said, "moves": table})
    else:
        _print_moves(watched, table, said)
        console.out.print(f"picture: {folder / 'terms.png'}", soft_wrap=True)
    for source in (before, *([after] if after is not None else [])):
        console.list_skipped(source.skipped)


_FIELDS = ["term", "per", "before", "after", "deviations", "auroc", "low", "high", "p_value",
           "rows_before", "rows_after"]  # fmt: skip


def _print_moves(watched: Watched, table: list[dict[str, Any]], said: list[str]) -> None:
    if table:
        title = f"layer {watched.layer}, batches of {watched.batch}: before and after the switch"
        console.print_table(_FIELDS, [[row[name] for name in _FIELDS] for row in table], title)
    for sentence in said:
        console.out.print(sentence, soft_wrap=True, highlight=False)


VERBS = (embed, monitor)
