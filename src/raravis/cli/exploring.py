"""Verbs that look into things: inspect (what is in the data), describe (what is in a model)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raravis.cli import console
from raravis.cli.settings import with_settings
from raravis.cli.working import Json, Paths
from raravis.configuration import Table
from raravis.durable import write_atomically
from raravis.errors import ParameterError

if TYPE_CHECKING:
    from raravis.description import Part, Row


@with_settings
def inspect(
    paths: Paths,
    out: Annotated[Path | None, typer.Option(help="Write one page of HTML here.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write a picture over time here (PNG or SVG).")
    ] = None,
    as_json: Json = False,
    config: Table | None = None,
) -> None:
    """What is in these recordings: counts, times, gaps; levels of sound; channels of series.

    Example: raravis inspect recordings/ --out page.html, or raravis inspect plant.csv --labels bad
    """
    from raravis import inspection
    from raravis.detector import Detector

    with console.showing_progress() as progress:
        source = Detector.for_recordings(paths, config or {}).open(paths)
        view = inspection.look(source, progress)
        if out is not None:
            title = ", ".join(path.resolve().name for path in paths)
            write_atomically(out, inspection.page(view, title))
        if plot is not None:
            write_atomically(plot, inspection.picture(view, plot.suffix))
    overview = view.overview()
    if as_json:
        console.print_json({**overview, **view.details()})
        return
    said = [[k, str(v)] for k, v in overview.items() if k not in ("skipped", "remarks")]
    console.print_table(["what", "value"], said)
    title, columns, rows = view.table()
    console.print_table(columns, rows, title)
    for remark in overview.get("remarks", []):
        console.tell(remark)
    if out is not None:
        console.out.print(f"page: {out}", soft_wrap=True)
    console.list_skipped(source.skipped)


@with_settings
def describe(
    what: Annotated[str, typer.Argument(help="Name of a model, or folder of a run.")],
    shape: Annotated[
        str,
        typer.Option(help="Window of a fresh network: bands x frames, or channels x rows x 1."),
    ] = "64x50",
    svg: Annotated[Path | None, typer.Option(help="Draw the network to this SVG file.")] = None,
    depth: Annotated[
        int | None, typer.Option(help="Draw layers so many levels down as one box each.")
    ] = None,
    as_json: Json = False,
    config: Table | None = None,
) -> None:
    """The layers of a model: shapes, parameters, multiply-adds; and how they hang together.

    Example: raravis describe conv-ae --shape 64x50 --svg conv-ae.svg, or raravis describe run
    """
    from raravis.description import parts_of
    from raravis.detector import Detector

    if Path(what).is_dir():
        parts = parts_of(Detector.load(what).sense)
    else:
        parts = {what: _fresh(what, parse_shape(shape), config or {})}
    pictures = _draw(parts, svg, depth) if svg is not None else []
    if as_json:
        console.print_json({name: [vars(row) for row in part.rows] for name, part in parts.items()})
        return
    for name, part in parts.items():
        _print_rows(name, part.rows)
    for picture in pictures:
        console.out.print(f"graph: {picture}", soft_wrap=True)


def _fresh(name: str, shape: tuple[int, int, int], config: Table) -> Part:
    from raravis.description import fresh_network, network_part

    options = {k: v for k, v in config.get("model", {}).items() if k != "name"}
    network = fresh_network(name, shape, **options)
    if network is None:
        raise ParameterError(
            f"{name!r} learns in closed form and has no layers before it is fitted: describe the "
            "folder of a run"
        )
    return network_part(network, shape)


def _draw(parts: dict[str, Part], svg: Path, depth: int | None) -> list[Path]:
    """Writes the graph of each network; where there are several, under their names."""
    from raravis.description import graph_svg

    networks = {name: part for name, part in parts.items() if part.network is not None}
    if not networks:
        raise ParameterError(
            f"{' and '.join(parts)} learned in closed form: there is no network to draw"
        )
    written = []
    for name, part in networks.items():
        path = svg if len(networks) == 1 else svg.with_stem(f"{svg.stem}-{name}".replace(" ", "-"))
        if part.network is not None:
            write_atomically(path, graph_svg(part.network, part.shape, depth))
            written.append(path)
    return written


def _print_rows(name: str, rows: list[Row]) -> None:
    learned, bytes_ = sum(r.parameters for r in rows), sum(r.bytes for r in rows)
    multiplied = sum(r.multiply_adds for r in rows)
    title = f"{name}: {learned:,} numbers learned, {bytes_ / 1e6:.3g} MB"
    if not any(r.inputs for r in rows):
        table = [[r.name, _sides(r.outputs), f"{r.parameters:,}"] for r in rows]
        console.out.print(title, style="italic", highlight=False)
        console.print_table(["array", "shape", "numbers"], table)
        return
    columns = ["layer", "kind", "in", "out", "parameters", "multiply-adds"]
    table = [
        [
            r.name or "(itself)",
            r.kind if r.calls < 2 else f"{r.kind}, {r.calls} times",
            _sides(r.inputs),
            _sides(r.outputs),
            f"{r.parameters:,}",
            f"{r.multiply_adds:,}",
        ]
        for r in rows
    ]
    table.append(["total", "", "", "", f"{learned:,}", f"{multiplied:,}"])
    console.print_table(columns, table, f"{title}, {multiplied:,} multiply-adds a window")


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "-"


def parse_shape(text: str) -> tuple[int, int, int]:
    """`"64x50"` (bands x frames) as (1, 64, 50); `"8x16x1"` (channels x rows x 1) as it stands."""
    parts = text.lower().split("x")
    if len(parts) not in (2, 3) or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise ParameterError(
            "expected a shape such as 64x50 (bands x frames) or 8x16x1 (channels x rows x 1), got "
            f"{text!r}"
        )
    channels, height, width = map(int, parts if len(parts) == 3 else ["1", *parts])
    return channels, height, width


VERBS = (inspect, describe)
