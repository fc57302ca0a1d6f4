"""Verbs that compare: compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raravis.cli import console
from raravis.cli.working import Json, Overwrite, Paths
from raravis.configuration import Table, merge, parse_settings
from raravis.errors import ParameterError

USUAL = "dense-ae,conv1d-ae,lstm-ae,vae,pca,default"

Models = Annotated[str, typer.Option(help="Networks and closed-form models: a,b,c.")]
Seeds = Annotated[int, typer.Option(help="How many seeds each model is taught with.")]
Folder = Annotated[Path, typer.Option(help="Folder to write page, tables and models to.")]
Split = Annotated[str, typer.Option(help="Shares of train, validation and test, by time.")]
Each = Annotated[bool, typer.Option("--each", help="Models of its own for every recording.")]
Window = Annotated[int | None, typer.Option(help="Rows seen together; default: each one's own.")]
Epochs = Annotated[int | None, typer.Option(help="Of the networks, at most.")]
Alarms = Annotated[str, typer.Option(help="What alarms: margin, quantile, tail or rate.")]
Time = Annotated[str | None, typer.Option(help="Column of the times; else it is found.")]
Labels = Annotated[
    str | None, typer.Option(help="Columns of known anomalies: a,b,c; else they are found.")
]
Channels = Annotated[str | None, typer.Option(help="Columns to look at: a,b,c; default: all.")]
Settings = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="SECTION.NAME=VALUE, such as threshold.q=3, training.batch=64, lstm-ae.latent=8; "
        "repeatable.",
    ),
]


def compare(
    paths: Paths,
    models: Models = USUAL,
    seeds: Seeds = 5,
    out: Folder = Path("comparison"),
    overwrite: Overwrite = False,
    split: Split = "70:15:15",
    each: Each = False,
    window: Window = None,
    epochs: Epochs = None,
    threshold: Alarms = "tail",
    time: Time = None,
    labels: Labels = None,
    channels: Channels = None,
    set_: Settings = [],  # noqa: B006  typer copies it
    as_json: Json = False,
) -> None:
    """Which model to trust: several on the same series, with several seeds each.

    The first rows of every recording teach, the next set the level of alarms, the last are judged.
    Labels are only used to judge, and to leave known anomalies out of what teaches. Writes one page
    of HTML, tables, and every model ready for `raravis score`.

    Example: raravis compare plant.csv --models lstm-ae,vae,pca --seeds 3 --split 50:10:40
    """
    from raravis.comparison import words
    from raravis.comparison.contest import Contest
    from raravis.comparison.contest import compare as hold_against_each_other
    from raravis.comparison.saving import as_json as in_numbers
    from raravis.comparison.saving import check_free, write
    from raravis.sources.series import SeriesSource

    settings = parse_settings(set_)
    alarms = merge({"name": threshold}, settings.pop("threshold", {}))
    training = merge({} if epochs is None else {"epochs": epochs}, settings.pop("training", {}))
    shares = parse_split(split)
    contest = Contest(
        _names(models) or [], seeds, shares, window, alarms, training, settings, each=each
    )
    check_free(out, overwrite)
    opening: Table = {"time": time, "labels": _names(labels), "channels": _names(channels)}
    source = SeriesSource(list(paths), **opening)
    with console.showing_progress() as progress:
        comparison = hold_against_each_other(source, contest, progress)
    page = write(comparison, out, {k: v for k, v in opening.items() if v is not None})
    if as_json:
        console.print_json(in_numbers(comparison))
    else:
        for title, headings, rows in words.narrow_tables(comparison):
            console.print_table(headings, rows, title)
        console.out.print(*words.conclusions(comparison), sep="\n", highlight=False)
    console.list_skipped(source.skipped)
    console.tell(f"page written to {page}")


def parse_split(text: str) -> list[float]:
    """`"70:15:15"` as [70, 15, 15]."""
    parts = text.split(":")
    if len(parts) != 3 or not all(part.strip().replace(".", "", 1).isdigit() for part in parts):
        raise ParameterError(
            f"expected shares of train, validation and test, such as 70:15:15, got {text!r}"
        )
    return [float(part) for part in parts]


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


VERBS = (compare,)
