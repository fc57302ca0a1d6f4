"""One run is one folder; this file keeps what was found in it.

    RUN/store.sqlite        recordings, windows, scores, events (SQLite, write-ahead log)
    RUN/embeddings/*.npy    float16 shards (N, D)

A *layer* is one cut of the recordings into windows: "windows" for the fixed grid, "segments" for
where something happens. Its rows are numbered from 0 in the order in which they were appended;
row i of `windows`, `embeddings` and of every scorer's `scores` is the same window.

What `append` has returned from survives a kill or a power cut at any moment. Rows only grow, so
what a reader sees of a run that is being written is a true beginning of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from raravis.durable import explained, write_atomically
from raravis.errors import ParameterError, RecordingError, RunError
from raravis.store.database import TABLES, Database
from raravis.store.embeddings import Embeddings
from raravis.store.rows import Rows
from raravis.store.shards import HalfArray, Shards
from raravis.windows import Event, FloatArray, IntArray, Recording, Skipped, Windows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Rows", "Store", "write_atomically"]

SHARD_BYTES = 16 << 20
WINDOW_TYPE = [("recording", "i4"), ("start_s", "f8"), ("end_s", "f8")]
SCORE_TYPE = [("row", "i8"), ("score", "f8"), ("p_value", "f8")]


class Store:
    """The database and the embeddings of one run; made by `Store.create` or `Store.open`.

    One process writes, any number read at the same time; a second writer waits for the first.
    Every method raises RunError where the disk is full or the database is broken.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self._db = database
        self._embeddings = Embeddings(folder, database)
        self._appended: set[str] = set()

    @classmethod
    def create(cls, folder: Path | str) -> Store:
        """A new, empty store. Raises RunError where `folder` already holds one."""
        folder = Path(folder)
        with explained(folder):
            (folder / "embeddings").mkdir(parents=True, exist_ok=True)
        return cls(folder, Database.create(folder))

    @classmethod
    def open(cls, folder: Path | str) -> Store:
        """An existing store; sweeps away what a killed process left half written.

        Raises RunError where there is none, or it is broken, foreign or of a newer raravis.
        """
        store = cls(Path(folder), Database.open(Path(folder)))
        store._embeddings.sweep()
        return store

    @classmethod
    def open_or_create(cls, folder: Path | str) -> Store:
        """The store in `folder`, made now where there is none; a run that was cut off goes on."""
        exists = (Path(folder) / "store.sqlite").is_file()
        return cls.open(folder) if exists else cls.create(folder)

    def close(self) -> None:
        """Moves embeddings appended by this object to a shard and lets go of the database."""
        try:
            for layer in sorted(self._appended):
                self._flush(layer)
        finally:
            self._appended.clear()
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._appended.clear()  # pending rows are safe where they are; do not hide the error
        self.close()

    # Recordings

    def add_recording(self, recording: Recording) -> int:
        """Number of a recording, counted from 0; one that is known by name keeps its number.

        Raises RecordingError where a recording of this name had another length or rate.
        """
        with self._db.commit():
            query = "SELECT id, duration_s, rate_hz FROM recordings WHERE name = ?"
            known = self._db.all(query, recording.name)
            for _, duration_s, rate_hz in known:
                if (duration_s, rate_hz) != (recording.duration_s, recording.rate_hz):
                    raise RecordingError(
                        recording.path,
                        f"was {duration_s:g} s at {rate_hz:g} Hz when this run read it, and is now "
                        f"{recording.duration_s:g} s at {recording.rate_hz:g} Hz: score it into a "
                        "new run folder",
                    )
            number = known[0][0] if known else self._db.one("SELECT count(*) FROM recordings")
            self._db.do(
                "INSERT INTO recordings (id, name, path, duration_s, rate_hz, channels, start_time)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " path = excluded.path, start_time = excluded.start_time",
                number, recording.name, recording.path, recording.duration_s, recording.rate_hz,
                recording.channels, _to_text(recording.start_time),
            )  # fmt: skip
        return int(number)

    def recordings(self) -> list[tuple[Recording, float]]:
        """Every recording and how far it is scored, in seconds; place i has number i."""
        rows = self._db.all(
            "SELECT name, path, duration_s, rate_hz, channels, start_time, scored_s"
            " FROM recordings ORDER BY id"
        )
        return [
            (Recording(name, path, duration_s, rate_hz, channels, _to_time(start)), scored_s)
            for name, path, duration_s, rate_hz, channels, start, scored_s in rows
        ]

    def scored_until(self, recording: Recording) -> float:
        """How far a recording is scored, in seconds: where to go on."""
        return self._known(recording)[1]

    def _known(self, recording: Recording) -> tuple[int, float]:
        """Number of a recording and how far it is scored."""
        query = "SELECT id, scored_s FROM recordings WHERE name = ?"
        for number, scored_s in self._db.all(query, recording.name):
            return number, scored_s
        raise ParameterError(f"{recording.name!r} is not in the store: add_recording comes first")

    def skip(self, skipped: Skipped) -> None:
        """Notes what could not be used, once."""
        with self._db.commit():
            self._db.do("INSERT OR IGNORE INTO skipped VALUES (?, ?)", skipped.path, skipped.reason)

    def skipped(self) -> list[Skipped]:
        """All that could not be used, and why."""
        return [Skipped(*row) for row in self._db.all("SELECT path, reason FROM skipped")]

    # Writing windows

    def append(self, recording: Recording, until_s: float, layers: Mapping[str, Rows]) -> None:
        """Adds the windows of a stretch of one recording that ends at `until_s`, in one commit.

        Either all of it is kept, `scored_until(recording) == until_s` included, or nothing. A
        stretch that is scored already is refused with a RunError.
        """
        with self._db.commit():
            number, scored_s = self._known(recording)
            if until_s < scored_s or (until_s == scored_s and layers):
                raise RunError(
                    f"{recording.name} is scored until {scored_s:g} s already in {self.folder}, "
                    f"and was to be until {until_s:g} s: is another process scoring it?"
                )
            waiting = {name: self._insert(number, name, rows) for name, rows in layers.items()}
            self._db.do("UPDATE recordings SET scored_s = ? WHERE id = ?", until_s, number)
        self._appended |= set(layers)
        for name, size in waiting.items():
            if size >= SHARD_BYTES:
                self._flush(name)

    def replace_scores(
        self, layer: str, scorer: str, score: FloatArray, p_value: FloatArray
    ) -> None:
        """Scores of all windows of a layer, (N,) each, instead of those kept for this scorer."""
        with self._db.commit():
            number, rows, _ = self._layer(layer)
            if not len(score) == len(p_value) == rows:
                raise ParameterError(
                    f"layer {layer!r} has {rows} windows, got {len(score)} scores and "
                    f"{len(p_value)} p-values"
                )
            kept = self._scorer(number, scorer)
            self._db.do("DELETE FROM scores WHERE scorer = ?", kept)
            self._insert_scores(kept, 0, (score, p_value))

    def clear(self) -> None:
        """Forgets everything, so that the folder can be scored anew."""
        with self._db.commit():
            for table in TABLES:
                self._db.do(f"DELETE FROM {table}")
        self._appended.clear()
        self._embeddings.forget()
        self._embeddings.sweep()

    def _flush(self, name: str) -> None:
        layer, _, dim = self._layer(name)
        self._embeddings.flush(layer, name, dim)

    def _insert(self, recording: int, name: str, rows: Rows) -> int:
        """Inserts one layer's part of an append; returns how many bytes now wait for a shard."""
        if not re.fullmatch(r"[\w-]+", name):
            raise ParameterError(f"a layer's name is of letters, digits, _ and -, got {name!r}")
        self._db.do("INSERT OR IGNORE INTO layers (name, dim) VALUES (?, ?)", name, rows.dim)
        layer, first, dim = self._layer(name)
        if rows.dim != dim:
            raise ParameterError(f"layer {name!r} keeps D = {dim}, got embeddings of {rows.dim}")
        numbers = range(first, first + len(rows.windows))
        columns = numbers, rows.windows.start_s.tolist(), rows.windows.end_s.tolist()
        self._db.insert("windows", columns, f"{layer:d}, ?, {recording:d}, ?, ?")
        for scorer, pair in rows.scores.items():
            self._insert_scores(self._scorer(layer, scorer), first, pair)
        if rows.names is not None:
            self._db.insert("names", (numbers, rows.names), f"{layer:d}, ?, ?")
        if rows.embedding is not None:
            self._embeddings.add(layer, first, rows.embedding)
        self._db.do("UPDATE layers SET rows = ? WHERE id = ?", numbers.stop, layer)
        return self._embeddings.waiting_bytes(layer)

    def _insert_scores(self, scorer: int, first: int, pair: tuple[FloatArray, FloatArray]) -> None:
        numbers = range(first, first + len(pair[0]))
        columns = [np.asarray(column, np.float64).tolist() for column in pair]
        self._db.insert("scores", (numbers, *columns), f"{scorer:d}, ?, ?, ?")

    def _scorer(self, layer: int, name: str) -> int:
        """Number of a scorer, given to it now where it is new."""
        self._db.do("INSERT OR IGNORE INTO scorers (layer, name) VALUES (?, ?)", layer, name)
        return int(self._db.one("SELECT id FROM scorers WHERE (layer, name) = (?, ?)", layer, name))

    # Reading windows

    def layers(self) -> list[str]:
        """Names of the layers."""
        return [name for (name,) in self._db.all("SELECT name FROM layers ORDER BY id")]

    def scorers(self, layer: str) -> list[str]:
        """Names of those that scored a layer."""
        query = "SELECT name FROM scorers WHERE layer = ? ORDER BY id"
        return [name for (name,) in self._db.all(query, self._layer(layer)[0])]

    def windows(self, layer: str) -> Windows:
        """All windows of a layer, in the order of its rows."""
        found = self._db.columns(
            WINDOW_TYPE,
            "SELECT recording, start_s, end_s FROM windows WHERE layer = ? ORDER BY row",
            self._layer(layer)[0],
        )
        return Windows(found["recording"], found["start_s"], found["end_s"])

    def names(self, layer: str) -> list[str] | None:
        """Name of every window of a layer, None where they have none; pictures have names."""
        query = "SELECT name FROM names WHERE layer = ? ORDER BY row"
        return [name for (name,) in self._db.all(query, self._layer(layer)[0])] or None

    def scores(self, layer: str, scorer: str) -> tuple[FloatArray, FloatArray]:
        """Score (N,) and p-value (N,) of every window; NaN where this scorer gave none."""
        number, rows, _ = self._layer(layer)
        found = self._db.columns(
            SCORE_TYPE,
            "SELECT row, score, p_value FROM scores WHERE scorer = ?",
            self._known_scorer(number, layer, scorer),
        )
        score, p_value = np.full((2, rows), np.nan)
        score[found["row"]], p_value[found["row"]] = found["score"], found["p_value"]
        return score, p_value

    def table(self, layer: str, scorer: str, recording: int | None = None) -> pd.DataFrame:
        """Windows as columns recording, start_s, end_s, score, p_value; the index is the row.

        recording  number of the one recording asked for; None for all.
        """
        number = self._layer(layer)[0]
        # unasked, SQLite would go through all windows of the layer to find them in order
        index = "" if recording is None else "INDEXED BY windows_of_recording"
        chosen = "" if recording is None else f"AND w.recording = {recording:d}"
        return self._frame(
            f"SELECT w.row, recording, start_s, end_s, score, p_value FROM windows AS w {index}"
            " LEFT JOIN scores AS s ON s.scorer = ? AND s.row = w.row"
            f" WHERE w.layer = ? {chosen} ORDER BY w.row",
            self._known_scorer(number, layer, scorer),
            number,
        )

    def top(self, layer: str, scorer: str, count: int) -> pd.DataFrame:
        """The `count` strangest windows, strangest first, in the columns of `table`."""
        number = self._layer(layer)[0]
        return self._frame(
            "SELECT w.row, recording, start_s, end_s, score, p_value FROM"
            " (SELECT row, score, p_value FROM scores WHERE scorer = ? AND score IS NOT NULL"
            " ORDER BY score DESC LIMIT ?) AS s"
            " JOIN windows AS w ON w.layer = ? AND w.row = s.row ORDER BY score DESC, w.row",
            self._known_scorer(number, layer, scorer),
            count,
            number,
        )

    def _frame(self, query: str, *values: Any) -> pd.DataFrame:
        import pandas as pd  # here, because who only writes need not wait for it

        found = self._db.columns([SCORE_TYPE[0], *WINDOW_TYPE, *SCORE_TYPE[1:]], query, *values)
        names = np.array([recording.name for recording, _ in self.recordings()], dtype=object)
        columns = {name: found[name] for name in ("start_s", "end_s", "score", "p_value")}
        return pd.DataFrame({"recording": names[found["recording"]], **columns}, found["row"])

    # Embeddings

    def embeddings(self, layer: str) -> HalfArray:
        """Embedding of every window, (N, D) float16; a memory map where it lies in one shard."""
        return self._matrix(layer).matrix()

    def neighbours(
        self, layer: str, query: int | FloatArray, count: int = 10, metric: str = "euclidean"
    ) -> tuple[IntArray, FloatArray]:
        """The rows nearest to a row, itself left out, or to a vector (D,): rows and distances.

        Exact: all rows are compared. metric is "euclidean" or "cosine".
        """
        return self._matrix(layer).nearest(query, count, metric)

    def _matrix(self, layer: str) -> Shards:
        number, rows, dim = self._layer(layer)
        if not dim:
            raise RunError(f"layer {layer!r} of {self.folder} has no embeddings")
        return self._embeddings.of(number, rows, dim)

    def _layer(self, name: str) -> tuple[int, int, int]:
        """Number, rows and D of a layer. Raises RunError with the known ones."""
        found = self._db.all("SELECT id, rows, dim FROM layers WHERE name = ?", name)
        if not found:
            known = ", ".join(self.layers()) or "none"
            raise RunError(f"{self.folder} has no layer {name!r}: it has {known}")
        number, rows, dim = found[0]
        return number, rows, dim

    def _known_scorer(self, number: int, layer: str, name: str) -> int:
        """Number of a scorer. Raises RunError with the known ones."""
        query = "SELECT id FROM scorers WHERE (layer, name) = (?, ?)"
        found = self._db.one(query, number, name)
        if found is None:
            known = ", ".join(self.scorers(layer)) or "none"
            raise RunError(f"layer {layer!r} has no scores of {name!r}: it has {known}")
        return int(found)

    # Events

    def replace_events(self, events: Sequence[Event]) -> None:
        """Keeps these events, in order of rank, instead of those kept before."""
        with self._db.commit():
            self._db.do("DELETE FROM events")
            rows = [
                (rank, e.recording, e.start_s, e.end_s, e.peak_s, e.score, e.p_value,
                 _to_text(e.start_time), e.frame)
                for rank, e in enumerate(events, start=1)
            ]  # fmt: skip
            self._db.insert("events", list(zip(*rows, strict=True)), "?, ?, ?, ?, ?, ?, ?, ?, ?")

    def events(self) -> list[Event]:
        """The events, in order of rank."""
        columns = "recording, start_s, end_s, peak_s, score, p_value, start_time, frame"
        rows = self._db.all(f"SELECT {columns} FROM events ORDER BY rank")
        return [
            Event(*values, _to_time(time), frame)  # type: ignore[call-arg]
            for *values, time, frame in rows
        ]


def _to_text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _to_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
