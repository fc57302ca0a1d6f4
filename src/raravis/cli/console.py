"""How the command line speaks: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

if TYPE_CHECKING:
    from raravis.windows import Skipped

out = Console(width=None if sys.stdout.isatty() else 160)  # files need no narrow columns
err = Console(stderr=True)
LINE_S, QUIET_S = 1.0, 30.0  # seconds between two lines in a log: at least, and at most


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


class Showing:
    """Shows how far each step is, and in words how it stands.

    bars  drawn where somebody watches; None where nobody does, as in the log of a job. Then what
          is told in words is printed: at least LINE_S seconds apart, and a line for every 5 % of
          the step or every QUIET_S seconds. The last words are printed in any case.

    It is what `Progress` is, and has what `Journal` takes as `note` and `remark`.
    """

    def __init__(self, bars: Any | None, silent: bool = False) -> None:
        self._bars, self._silent = bars, silent
        self._tasks: dict[str, Any] = {}
        self._share: dict[str, float] = {}  # of each step that is done
        self._said: dict[str, tuple[float, float]] = {}  # the last line: share and time

    def __call__(self, step: str, done: float, total: float) -> None:
        self._share[step] = done / total if total else 1.0
        if self._bars is not None:
            self._bars.update(self._task(step), completed=done, total=total)

    def note(self, step: str, text: str, last: bool = False) -> None:
        """How a step stands, in words; `last` where it is over."""
        if self._silent:
            return
        if self._bars is not None:
            self._bars.update(self._task(step), note="" if last else escape(text))
        if last or (self._bars is None and self._is_time(step)):
            self._said[step] = self._share.get(step, 0.0), time.monotonic()
            tell(f"{step}: {text}")

    def remark(self, text: str) -> None:
        """What went wrong without ending the work."""
        if not self._silent:
            tell(text)

    def _is_time(self, step: str) -> bool:
        share, at_s = self._said.get(step, (0.0, -QUIET_S))
        waited_s = time.monotonic() - at_s
        if self._share.get(step, 0.0) < share:  # another one of the same name
            share = 0.0
        moved = self._share.get(step, 0.0) - share > 0.0499
        return waited_s >= QUIET_S or (moved and waited_s >= LINE_S)

    def _task(self, step: str) -> Any:
        if self._bars is not None and step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=None, note="")
        return self._tasks[step]


@contextmanager
def showing_progress(silent: bool = False) -> Iterator[Showing]:
    """A bar for each step, with an estimate of the time left and how training stands; where nobody
    watches, a line now and then. Silent for all processes but the first."""
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    if silent or not err.is_terminal:
        yield Showing(None, silent)
        return
    columns = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(20, table_column=Column(min_width=10, width=20)),
        TimeElapsedColumn(Column(no_wrap=True, min_width=7)),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
        # what a narrow window has no room for, it does not show
        TextColumn("{task.fields[note]}", "dim", table_column=Column(no_wrap=True, ratio=1)),
    )
    with Bars(*columns, console=err, expand=True) as bars:
        yield Showing(bars)
