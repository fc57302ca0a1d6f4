"""How the command line speaks: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from raravis.progress import Progress

if TYPE_CHECKING:
    from raravis.windows import Skipped

out = Console(width=None if sys.stdout.isatty() else 160)  # files need no narrow columns
err = Console(stderr=True)


def complain(message: str) -> None:
    """An error, for people."""
    err.print(f"[bold red]error[/] {escape(message)}", soft_wrap=True)


def tell(message: str) -> None:
    """A remark on what is going on."""
    err.print(escape(message), soft_wrap=True)


def print_json(value: Any) -> None:
    """A result, for programs."""
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """A result, for people. Numbers stand to the right; None is a dash."""
    table = Table(title=title or None, title_justify="left", header_style="bold", box=None)
    rows = [list(row) for row in rows]
    for i, column in enumerate(columns):
        numbers = any(_is_number(row[i]) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    out.print(table)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or str(value).replace(",", "").isdigit()


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if value == 0 or abs(value) >= 0.01 else f"{value:.2g}"
    return escape(str(value))


def list_skipped(skipped: Sequence[Skipped], most: int = 20) -> None:
    """What could not be used, and why."""
    if not skipped:
        return
    err.print(f"[bold yellow]skipped[/] {len(skipped)}:")
    for one in skipped[:most]:
        err.print(f"  {escape(one.path)}: {escape(one.reason)}", soft_wrap=True)
    if len(skipped) > most:
        err.print(f"  ... and {len(skipped) - most} more, all listed in run.toml")


@contextmanager
def showing_progress() -> Iterator[Progress]:
    """A bar for each step, with an estimate of the time left; silent where nobody watches."""
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Bars(*columns, TimeRemainingColumn(), console=err, disable=not err.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def show(step: str, done: float, total: float) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield show
