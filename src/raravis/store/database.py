"""The SQLite file of a run: its tables, how it is made, recognised and written in whole commits."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raravis.durable import explained
from raravis.errors import RunError

APPLICATION = 0x52415241  # "RARA": tells our SQLite files from others
VERSION = 2
BUSY_S = 60.0

SCHEMA = """
CREATE TABLE recordings (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, path TEXT NOT NULL,
    duration_s REAL NOT NULL, rate_hz REAL NOT NULL, channels INTEGER NOT NULL,
    start_time TEXT, scored_s REAL NOT NULL DEFAULT 0);
CREATE TABLE skipped (path TEXT, reason TEXT, PRIMARY KEY (path, reason)) WITHOUT ROWID;
CREATE TABLE layers (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, dim INTEGER NOT NULL,
    rows INTEGER NOT NULL DEFAULT 0);
CREATE TABLE windows (
    layer INTEGER, row INTEGER, recording INTEGER NOT NULL,
    start_s REAL NOT NULL, end_s REAL NOT NULL, PRIMARY KEY (layer, row)) WITHOUT ROWID;
CREATE INDEX windows_of_recording ON windows (layer, recording);
CREATE TABLE scorers (
    id INTEGER PRIMARY KEY, layer INTEGER NOT NULL, name TEXT NOT NULL, UNIQUE (layer, name));
CREATE TABLE scores (
    scorer INTEGER, row INTEGER, score REAL, p_value REAL, PRIMARY KEY (scorer, row)
    ) WITHOUT ROWID;
CREATE INDEX scores_by_rank ON scores (scorer, score);
CREATE TABLE pending (
    layer INTEGER, first_row INTEGER, embedding BLOB NOT NULL, PRIMARY KEY (layer, first_row));
CREATE TABLE shards (
    file TEXT PRIMARY KEY, layer INTEGER NOT NULL, first_row INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    rank INTEGER PRIMARY KEY, recording TEXT NOT NULL, start_s REAL NOT NULL,
    end_s REAL NOT NULL, peak_s REAL NOT NULL, score REAL, p_value REAL, start_time TEXT,
    frame TEXT NOT NULL DEFAULT '');
CREATE TABLE names (
    layer INTEGER, row INTEGER, name TEXT NOT NULL, PRIMARY KEY (layer, row)) WITHOUT ROWID
"""
NEW_IN_2 = (  # windows may have names
    "ALTER TABLE events ADD COLUMN frame TEXT NOT NULL DEFAULT ''",
    SCHEMA.split(";")[-1],
)
TABLES = tuple(line.split()[2] for line in SCHEMA.splitlines() if line.startswith("CREATE TABLE"))


class Database:
    """A connection to `RUN/store.sqlite`; made by `Database.create` or `Database.open`.

    Every method turns what SQLite or the disk answers into a RunError that says what to do.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with explained(folder):
            # isolation_level None: commits are ours alone, see `commit`
            self._connection = sqlite3.connect(
                folder / "store.sqlite", timeout=BUSY_S, isolation_level=None
            )

    @classmethod
    def create(cls, folder: Path) -> Database:
        """A new one, with empty tables. Raises RunError where there are tables already."""
        database = cls(folder)
        try:
            database._build()
        except RunError:
            database.close()
            raise
        return database

    def _build(self) -> None:
        with explained(self.folder):
            self._connection.execute("PRAGMA journal_mode = WAL")
        with self.commit():
            if self.all("SELECT name FROM sqlite_master"):
                raise RunError(
                    f"{self.folder} already holds a run: open it, or name another folder"
                )
            for statement in SCHEMA.split(";"):
                self.do(statement)
            self.do(f"PRAGMA application_id = {APPLICATION}")
            self.do(f"PRAGMA user_version = {VERSION}")

    @classmethod
    def open(cls, folder: Path) -> Database:
        """An existing one. Raises RunError where it is missing, broken, foreign or newer."""
        if not folder.is_dir():
            raise RunError(f"there is no run folder {folder}: `raravis detect` makes one")
        if not (folder / "store.sqlite").is_file():
            raise RunError(f"{folder} is not a run folder: it holds no store.sqlite")
        database = cls(folder)
        try:
            database._recognise()
        except RunError:
            database.close()
            raise
        return database

    def _recognise(self) -> None:
        if not self.all("SELECT name FROM sqlite_master"):
            self._build()  # a process was killed before it could
        if self.one("PRAGMA application_id") != APPLICATION:
            raise RunError(
                f"{self.folder}/store.sqlite is not one of raravis: name a run folder, or "
                "another folder to make one in"
            )
        version = self.one("PRAGMA user_version")
        if version > VERSION:
            raise RunError(
                f"{self.folder} was written by a newer raravis (store version {version}, this "
                f"one reads up to {VERSION}): update raravis"
            )
        if version < VERSION:
            self._renew()

    def _renew(self) -> None:
        """Makes an older database like a new one."""
        with self.commit():
            if self.one("PRAGMA user_version") < VERSION:  # nobody did so meanwhile
                for statement in NEW_IN_2:
                    self.do(statement)
                self.do(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        """Lets go of the file."""
        self._connection.close()

    @contextmanager
    def commit(self, wait: bool = True) -> Iterator[None]:
        """All that is done inside becomes durable at the end of the block, or none of it.

        Holds the write lock from the start, so that what is read inside stays true. With
        `wait=False` a lock that is taken raises RunError at once, not after a minute.
        """
        with explained(self.folder):
            self._connection.execute(f"PRAGMA busy_timeout = {1000 * BUSY_S * wait:.0f}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # the first error is the one to tell
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read inside belongs to one moment, whatever is written meanwhile."""
        with explained(self.folder):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")

    def do(self, statement: str, *values: Any) -> None:
        """Runs one statement."""
        self._connection.execute(statement, values)

    def insert(self, table: str, columns: Sequence[Any], values: str) -> None:
        """Inserts rows made of `columns`, each of one length, into VALUES (`values`)."""
        with explained(self.folder):
            self._connection.executemany(
                f"INSERT INTO {table} VALUES ({values})", zip(*columns, strict=True)
            )

    def all(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows that a query finds."""
        with explained(self.folder):
            return self._connection.execute(query, values).fetchall()

    def one(self, query: str, *values: Any) -> Any:
        """The single value that a query finds, None where it finds nothing."""
        rows = self.all(query, *values)
        return rows[0][0] if rows else None

    def columns(self, dtype: npt.DTypeLike, query: str, *values: Any) -> npt.NDArray[np.void]:
        """All rows that a query finds, as a structured array; NULL becomes NaN."""
        with explained(self.folder):
            return np.fromiter(self._connection.execute(query, values), dtype=dtype)
