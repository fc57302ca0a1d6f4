"""The command line. Each verb is one function; a file holds the verbs of one kind of work.

Heavy imports stand inside the verbs, so that `raravis --help` is quick and loads no torch.
"""

from __future__ import annotations

import os
import sys

import typer

from raravis.cli import (
    asking,
    caching,
    comparing,
    embedding,
    exploring,
    measuring,
    scanning,
    showing,
    spreading,
    watching,
    working,
)
from raravis.cli.console import complain
from raravis.errors import NothingToRead, RaravisError

STOPPED = 130  # with which typer answers Ctrl-C

app = typer.Typer(
    name="raravis",
    help="Finds what is rare in hours of unlabelled recordings, and says when and why.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for room in (
    working,
    caching,
    asking,
    exploring,
    embedding,
    watching,
    showing,
    spreading,
    comparing,
    scanning,
    measuring,
):
    for verb in room.VERBS:
        app.command()(verb)


def main() -> None:
    """Runs the command line. Exit code 1 after an error, 2 where nothing could be read."""
    # Half of the logical cores, for two of them share a real one: small networks gain nothing
    # from the others, and lose much where something else runs there. Only heeded before the first
    # numerical library is loaded, so it stands here.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))
    try:
        app()
    except NothingToRead as error:
        complain(str(error))
        sys.exit(2)
    except RaravisError as error:
        complain(str(error))
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == STOPPED:
            complain("stopped; what was written stays, and the same command goes on from there")
        raise
