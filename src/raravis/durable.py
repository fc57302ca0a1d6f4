"""Files that are whole or not there: written aside, synced, then renamed into place.

Also turns what the disk answers (full, broken, not permitted) into a `RunError` that says what to
do. Everything a run folder holds is written through this file or through SQLite.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from raravis.errors import RunError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
UNFINISHED = ".tmp"


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turns errors of the disk and of SQLite inside `folder` into a RunError that says what to do.

    Source: primary result codes, https://www.sqlite.org/rescode.html
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise RunError(_full(folder)) from error
        raise RunError(f"{folder} cannot be used: {error}") from error
    except sqlite3.Error as error:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise RunError(_full(folder)) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise RunError(
                f"{folder}/store.sqlite is broken ({error}): score again into a new folder"
            ) from error
        if code == sqlite3.SQLITE_BUSY:
            raise RunError(f"{folder} is being written by another process: wait for it") from error
        raise RunError(f"{folder}/store.sqlite cannot be used: {error}") from error


def _full(folder: Path) -> str:
    return (
        f"disk full, or it fails, while writing to {folder}: what was acknowledged before is safe. "
        "Free some space and give the same command again; it goes on where it stopped"
    )


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A new file that appears at `path`, synced and whole, when the block ends without an error.

    Until then it is `path` + ".tmp", which an error removes and a killed process leaves behind.
    """
    unfinished = path.with_name(path.name + UNFINISHED)
    with explained(path.parent):
        try:
            with unfinished.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def write_atomically(path: Path | str, data: str | bytes) -> None:
    """Writes a file in one step: a reader, or a kill, meets the old content or the new one.

    Raises RunError where the disk is full or the folder cannot be written.
    """
    with atomic_file(Path(path)) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def _sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut; where folders have no sync, does nothing."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
