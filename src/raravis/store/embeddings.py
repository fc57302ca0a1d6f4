"""Where the embeddings of a run lie: first in the database, then in float16 shards.

Appended embeddings are `pending` blobs in the same commit as the rows they belong to. `flush`
moves them to RUN/embeddings/*.npy: written aside, synced, renamed, and then named by a row in the
commit that removes them from `pending`. A shard never changes once it is there.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from threading import Lock

import numpy as np

from raravis.durable import UNFINISHED, atomic_file, explained
from raravis.errors import RunError
from raravis.store.database import Database
from raravis.store.shards import HalfArray, Shards, to_half
from raravis.windows import FloatArray

# The header of a shard is parsed as Python, which CPython 3.11 does not do in two threads at once
# without failing now and then (python/cpython#106905).
_ONE_AT_A_TIME = Lock()


class Embeddings:
    """The embeddings of every layer, by the layer's number."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder / "embeddings"
        self._db = database
        self._read: dict[int, tuple[int, Shards]] = {}

    def add(self, layer: int, first_row: int, embedding: FloatArray) -> None:
        """Keeps (N, D) as rows from `first_row` on; part of the caller's commit."""
        if len(embedding):
            blob = to_half(embedding).tobytes()
            self._db.do("INSERT INTO pending VALUES (?, ?, ?)", layer, first_row, blob)

    def waiting_bytes(self, layer: int) -> int:
        """How much of a layer is not in a shard yet."""
        query = "SELECT total(length(embedding)) FROM pending WHERE layer = ?"
        return int(self._db.one(query, layer))

    def flush(self, layer: int, name: str, dim: int) -> None:
        """Moves what is pending of a layer to a shard, in a commit of its own."""
        with self._db.commit():
            pending = self._pending(layer, dim)
            if not pending:
                return
            first = self._db.one("SELECT min(first_row) FROM pending WHERE layer = ?", layer)
            file = f"{name}-{first:010d}.npy"
            with atomic_file(self.folder / file) as shard:
                np.save(shard, np.concatenate(pending))
            self._db.do("INSERT INTO shards VALUES (?, ?, ?)", file, layer, first)
            self._db.do("DELETE FROM pending WHERE layer = ?", layer)

    def sweep(self) -> None:
        """Removes shards that no row names: a process was killed before it could commit them.

        A writer renames and commits under the database's write lock; while one is at work, or
        where the folder may only be read, nothing is swept.
        """
        with suppress(RunError), self._db.commit(wait=False):
            named = {file for (file,) in self._db.all("SELECT file FROM shards")}
            for path in self.folder.glob("*"):
                if path.suffix in (".npy", UNFINISHED) and path.name not in named:
                    path.unlink()

    def forget(self) -> None:
        """Lets go of what was read, before `sweep` removes it."""
        self._read.clear()

    def of(self, layer: int, rows: int, dim: int) -> Shards:
        """The matrix of a layer that has `rows` rows now; kept, with its norms, until it grows."""
        known = self._read.get(layer)
        if known is None or known[0] != rows:
            known = rows, Shards(self._pieces(layer, dim), dim)
            self._read[layer] = known
        return known[1]

    def _pieces(self, layer: int, dim: int) -> list[HalfArray]:
        with self._db.snapshot():  # in between, a writer could move rows from one to the other
            files = self._db.all(
                "SELECT file FROM shards WHERE layer = ? ORDER BY first_row", layer
            )
            pending = self._pending(layer, dim)
        return [self._load(file, dim) for (file,) in files] + pending

    def _load(self, file: str, dim: int) -> HalfArray:
        with explained(self.folder):
            try:
                with _ONE_AT_A_TIME:
                    shard = np.load(self.folder / file, mmap_mode="r", allow_pickle=False)
            except ValueError as error:
                raise RunError(f"{self.folder / file} is broken: score again") from error
        if shard.dtype != np.float16 or shard.shape[1:] != (dim,):
            raise RunError(
                f"{self.folder / file} should hold float16 (N, {dim}), and holds "
                f"{shard.dtype} {shard.shape}: score again into a new folder"
            )
        return np.asarray(shard)

    def _pending(self, layer: int, dim: int) -> list[HalfArray]:
        blobs = self._db.all(
            "SELECT embedding FROM pending WHERE layer = ? ORDER BY first_row", layer
        )
        return [np.frombuffer(blob, dtype=np.float16).reshape(-1, dim) for (blob,) in blobs]
