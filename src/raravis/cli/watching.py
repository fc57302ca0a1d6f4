"""The verb that judges rows as they come: watch."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raravis.cli import console
from raravis.errors import DataError

if TYPE_CHECKING:
    from raravis.detector import Detector
    from raravis.watching import Watch

SAVE_EVERY = 1000  # rows after which the state is written, and once more at the end


def watch(
    rows: Annotated[str, typer.Argument(help="CSV file of rows, or - for standard input.")],
    run: Annotated[
        Path | None, typer.Option(help="Run that learned; without one it learns as rows come.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder that keeps where it stands, for going on later.")
    ] = None,
    alarms: Annotated[bool, typer.Option("--alarms", help="Print only rows that alarm.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Judge rows of a series as they come: time, score, p-value, alarm, and the channel that
    contributed most. Nothing that comes later changes what was said.

    Example: raravis watch - --run run --alarms < plant.csv, or behind tail -f plant.csv |
    """
    from raravis.detector import Detector
    from raravis.watching import Watch

    if state is not None and (state / "model.toml").is_file():
        detector = Detector.load(state)
    elif run is not None:
        detector = Detector.load(run)
    else:
        detector = Detector(model="novelty", kind="series")

    watching = Watch(detector.begin, detector.channels)
    with _opened(rows) as lines:
        _say(watching, lines, alarms, as_json, lambda: _keep(detector, state))
    console.list_skipped(watching.skipped)


def _say(watching: Watch, lines: Iterable[str], alarms: bool, as_json: bool, keep: Any) -> None:
    """Prints rows as they are judged, and keeps the state now and then."""
    try:
        for judged in watching.lines(lines):
            if judged.row == 0 and not as_json:
                _write(",".join(asdict(judged)))
            if judged.alarm or not alarms:
                fields = asdict(judged)
                text = json.dumps(fields) if as_json else ",".join(map(str, fields.values()))
                _write(text)
            if judged.row % SAVE_EVERY == SAVE_EVERY - 1:
                keep()
    finally:
        keep()


def _write(line: str) -> None:
    """A line for programs, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _keep(detector: Detector, state: Path | None) -> None:
    if state is not None and detector.is_fitted:
        detector.save(state)


@contextmanager
def _opened(rows: str) -> Iterator[Iterable[str]]:
    """The lines of a file, or those that come by standard input."""
    if rows == "-":
        yield iter(sys.stdin.readline, "")
        return
    try:
        with Path(rows).open(encoding="utf-8-sig", newline="") as file:
            yield file
    except OSError as error:
        raise DataError(f"cannot read {rows}: {error.strerror or error}") from error


VERBS = (watch,)
