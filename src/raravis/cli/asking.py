"""Verbs that ask: scores, evaluate, inspect, describe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from raravis.cli import console
from raravis.cli.settings import with_settings
from raravis.cli.working import Json, Paths, Run
from raravis.configuration import Table
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

    chosen = scorer or read_model_toml(run)["detector"]["scorer"]["name"]
    with Store.open(run) as store:
        table = store.table(layer, chosen)
    if as_json:
        console.print_json(table.to_dict("records"))
    else:
        table.to_csv(sys.stdout, index=False)


def evaluate(
    run: Run,
    events: Annotated[
        Path | None, typer.Argument(help="CSV: start_s,end_s[,recording][,rare].")
    ] = None,
    false_alarms_per_hour: Annotated[
        list[float], typer.Option("--per-hour", help="False alarms per hour to allow; repeatable.")
    ] = [15.0, 60.0],  # noqa: B006  typer copies it
    as_json: Json = False,
) -> None:
    """Hold a run against known events: every scorer, with chance and loudness beside them.

    Where EVENTS.csv has a column `rare` (0 or 1), rare events are told from the other events;
    otherwise events from windows without any. Without EVENTS.csv the labels count that series
    bring with them. Example: raravis evaluate run events.csv
    """
    from raravis.detector import Detector
    from raravis.evaluation import evaluate as hold_against
    from raravis.evaluation import labelled_events, read_events
    from raravis.sources import RowSource
    from raravis.store import Store

    with Store.open(run) as store:
        recordings = [recording for recording, _ in store.recordings()]
        if events is not None:
            known = read_events(events, recordings)
        else:
            source = Detector.load(run).open(sorted({r.path for r in recordings}))
            if not isinstance(source, RowSource):
                raise ParameterError("recordings of sound bring no labels: give EVENTS.csv")
            known = labelled_events(source, recordings)
        rows = hold_against(store, known, false_alarms_per_hour)
    if as_json:
        console.print_json(rows)
    else:
        console.print_table(list(rows[0]), [list(row.values()) for row in rows])


def inspect(
    paths: Paths,
    plot: Annotated[Path | None, typer.Option(help="Write a picture (PNG or SVG) here.")] = None,
    timezone: Annotated[str, typer.Option(help="Zone of the times in file names.")] = "UTC",
    as_json: Json = False,
) -> None:
    """What is in these recordings: counts, rates, times, gaps, levels.

    Example: raravis inspect recordings/ --plot levels.png
    """
    from raravis import inspection
    from raravis.sources.audio import AudioSource

    with console.showing_progress() as progress:
        source = AudioSource(list(paths), timezone=timezone)
        found = inspection.levels(source, progress)
    overview = inspection.overview(source)
    if plot is not None:
        inspection.plot(source, found, plot)
    if as_json:
        levels = {name: vars(level) for name, level in found.items()}
        console.print_json({**overview, "levels": levels})
        return
    overview.pop("skipped")
    console.print_table(["what", "value"], [[k, str(v)] for k, v in overview.items()])
    quietest = sorted(found.items(), key=lambda item: item[1].mean_db)
    ends = dict((*quietest[:3], *quietest[-3:]))
    rows = [[name, level.mean_db, level.peak_db, level.clipped] for name, level in ends.items()]
    title = "Levels of the quietest and the loudest, dB below full scale"
    console.print_table(["recording", "mean_db", "peak_db", "clipped"], rows, title)
    for gap in inspection.gaps(source.recordings)[:5]:
        console.out.print(f"gap of {gap.gap} between {gap.after} and {gap.before}")
    console.list_skipped(source.skipped)


@with_settings
def describe(
    what: Annotated[str, typer.Argument(help="Name of a model, or folder of a run.")],
    shape: Annotated[
        str, typer.Option(help="Window of a fresh network: bands x frames.")
    ] = "64x50",
    as_json: Json = False,
    config: Table | None = None,
) -> None:
    """The layers of a model, their shapes and parameters.

    Example: raravis describe conv-ae --shape 64x50, or raravis describe run
    """
    from raravis import description
    from raravis.detector import Detector
    from raravis.layers import WindowLayer

    parts: dict[str, list[description.Row]] = {}
    if Path(what).is_dir():
        sense = Detector.load(what).sense
        for name, layer in sense.layers.items():
            parts[name] = (
                description.describe_network(layer.network, (1, *layer.shape))
                if isinstance(layer, WindowLayer)
                else description.describe_learned(layer.model)
            )
    else:
        options = {k: v for k, v in (config or {}).get("model", {}).items() if k != "name"}
        size = (1, *parse_shape(shape))
        network = description.fresh_network(what, size, **options)
        if network is None:
            raise ParameterError(f"{what!r} learns in closed form and has no layers before it is "
                                 f"fitted: describe the folder of a run")  # fmt: skip
        parts[what] = description.describe_network(network, size)
    if as_json:
        console.print_json({name: [vars(row) for row in rows] for name, rows in parts.items()})
        return
    for name, rows in parts.items():
        total = sum(row.size for row in rows)
        console.print_table(
            ["layer", "kind", "shape", "parameters"],
            [[r.name, r.kind, " x ".join(map(str, r.shape)), r.size] for r in rows],
            f"{name}: {total:,} numbers learned",
        )


def parse_shape(text: str) -> tuple[int, int]:
    """`"64x50"` as (64, 50)."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise ParameterError(f"expected a shape such as 64x50 (bands x frames), got {text!r}")
    return int(parts[0]), int(parts[1])


VERBS = (scores, evaluate, inspect, describe)
