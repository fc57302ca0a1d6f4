"""Verbs that ask a run: scores, evaluate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from raravis.cli import console
from raravis.cli.working import Json, Run
from raravis.errors import ParameterError

Scorer = Annotated[str | None, typer.Option(help="Default: the scorer that makes the events.")]


def scores(
    run: Run,
    scorer: Scorer = None,
    layer: Annotated[str, typer.Option(help="windows (fixed grid) or segments.")] = "windows",
    as_json: Json = False,
) -> None:
    """Every window as CSV: recording, start_s, end_s, score, p_value.

    Example: raravis scores run > scores.csv
    """
    from raravis.detector import read_model_toml
    from raravis.store import Store

    main = read_model_toml(run)["detector"].get("scorer", {}).get("name")  # series have but one
    with Store.open(run) as store:
        table = store.table(layer, scorer or main or store.scorers(layer)[0])
        if (names := store.names(layer)) is not None:
            table.insert(1, "frame", names)
    if as_json:
        console.print_json(table.to_dict("records"))
    else:
        table.to_csv(sys.stdout, index=False)


def evaluate(
    run: Run,
    events: Annotated[
        Path | None,
        typer.Argument(help="CSV: start_s,end_s[,recording][,rare]; of pictures frame[,...]."),
    ] = None,
    false_alarms_per_hour: Annotated[
        list[float], typer.Option("--per-hour", help="Sound: false alarms to allow; repeatable.")
    ] = [15.0, 60.0],  # noqa: B006  typer copies it
    false_rows: Annotated[
        list[float], typer.Option("--share", help="Series: ordinary rows that may alarm.")
    ] = [0.001, 0.01],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Hold a run against known events: every scorer, with chance and loudness beside them.

    Where EVENTS.csv has a column `rare` (0 or 1), rare events are told from the other events;
    otherwise events from windows without any. Series are judged row by row, and without EVENTS.csv
    by the labels that they bring with them. Of pictures EVENTS.csv names the rare ones in a column
    `frame`. Example: raravis evaluate run events.csv
    """
    from raravis import evaluation
    from raravis.detector import Detector, read_model_toml
    from raravis.store import Store

    kind = read_model_toml(run)["detector"].get("kind", "sound")
    is_series = kind == "series"
    if events is None and not is_series:
        raise ParameterError(f"recordings of {kind} bring no labels: give EVENTS.csv")
    with Store.open(run) as store:
        if events is not None and store.names("windows") is not None:
            _show(evaluation.evaluate_frames(store, evaluation.rare_frames(events, store)), as_json)
            return
        recordings = [recording for recording, _ in store.recordings()]
        if events is not None:
            known = evaluation.read_events(events, recordings)
        else:
            source = Detector.load(run).open(sorted({r.path for r in recordings}))
            known = evaluation.labelled_events(source, recordings)
        if is_series:
            rows = evaluation.evaluate_rows(store, known, false_rows)
        else:
            rows = evaluation.evaluate(store, known, false_alarms_per_hour)
    _show(rows, as_json)


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        console.print_json(rows)
    else:
        console.print_table(list(rows[0]), [list(row.values()) for row in rows])


VERBS = (scores, evaluate)
