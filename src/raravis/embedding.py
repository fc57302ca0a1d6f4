"""The embeddings of recordings in a file of their own, and how good they are.

    embeddings.npz    NAME (N, D) float32 for every embedding there is, and recording, frame,
                      start_s, end_s (N,): row i of all is the same window
    embeddings/       the same as NAME.npy, which need not be read at once, and index.csv

Labels, where somebody has them, are used to measure the embeddings and for nothing else.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from raravis.detector import Detector
from raravis.durable import atomic_file, write_atomically
from raravis.errors import NothingToRead, ParameterError, RunError
from raravis.labelling import Labelled
from raravis.metrics.representation import collapse, knn_accuracy, linear_probe
from raravis.progress import Progress, silent
from raravis.sources import Source
from raravis.viewing import Seen, View, portions, views
from raravis.windows import FloatArray

HEADER = 128  # bytes of a .npy file before its numbers
MOST = 20_000  # labelled rows that are learned from, and tested, at most
NEIGHBOURS = 20


class Growing:
    """A .npy file of float32 rows (N, D) that grows; readable once it is closed."""

    def __init__(self, path: Path, width: int) -> None:
        self.path, self.width, self.rows = path, width, 0
        self._file: BinaryIO = path.open("wb")
        self._file.write(bytes(HEADER))

    def append(self, rows: FloatArray) -> None:
        """Adds rows (n, D)."""
        if rows.shape[1:] != (self.width,):
            raise RunError(f"rows must be (n, {self.width}), got {rows.shape}: this is a bug")
        self._file.write(np.ascontiguousarray(rows, dtype="<f4").tobytes())
        self.rows += len(rows)

    def close(self) -> None:
        """Writes how many rows there are. Source: numpy NEP 1, version 1.0 of the format."""
        about = {"descr": "<f4", "fortran_order": False, "shape": (self.rows, self.width)}
        text = repr(about).ljust(HEADER - 11) + "\n"
        self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode())
        self._file.close()


@dataclass(frozen=True)
class Embedded:
    """What was embedded.

    index   a row for each window: recording, frame, start_s, end_s.
    arrays  name -> (N, D) float32; they lie on disk and are read where they are looked at.
    """

    index: pd.DataFrame
    arrays: Mapping[str, FloatArray]


@contextmanager
def embedded(
    detector: Detector,
    source: Source,
    layer: str | None = None,
    folder: Path | None = None,
    progress: Progress = silent,
) -> Iterator[Embedded]:
    """Every embedding of every window, held on disk until the block ends.

    layer   of which; see `raravis.viewing.views`.
    folder  in which there is room; None is where temporary files go.

    Raises NothingToRead where no window could be read, ParameterError for series.
    """
    looking = views(detector, layer)
    with tempfile.TemporaryDirectory(prefix=".embedding-", dir=folder) as place:
        growing: dict[str, Growing] = {}
        tables = []
        try:
            for seen in portions(detector, source, next(iter(looking)), progress):
                tables.append(_rows_of(seen, source))
                for name, rows in _all(looking, seen.things).items():
                    if name not in growing:
                        growing[name] = Growing(Path(place) / f"{name}.npy", rows.shape[1])
                    growing[name].append(rows)
        finally:
            for one in growing.values():
                one.close()
        if not tables:
            raise NothingToRead("no window could be read from any recording, so none has a place")
        arrays = {name: np.load(one.path, mmap_mode="r") for name, one in growing.items()}
        yield Embedded(pd.concat(tables, ignore_index=True), arrays)


def _all(looking: Mapping[str, View], things: Any) -> dict[str, FloatArray]:
    """Embeddings of all layers by name, with that of the layer where there are several."""
    found = {name: view.embeddings(things) for name, view in looking.items()}
    if len(found) == 1:
        return next(iter(found.values()))
    return {f"{layer}.{name}": rows for layer, own in found.items() for name, rows in own.items()}


def _rows_of(seen: Seen, source: Source) -> pd.DataFrame:
    names = [source.recordings[number].name for number in seen.windows.recording]
    return pd.DataFrame(
        {
            "recording": names,
            "frame": seen.names,
            "start_s": seen.windows.start_s,
            "end_s": seen.windows.end_s,
        }
    )


# ----------------------------------------------------------------- to disk


def check_out(out: Path, overwrite: bool = False) -> None:
    """Raises where embeddings cannot be written: ParameterError for a name that is neither .npz nor
    a folder, RunError where something is in the way."""
    if out.suffix not in ("", ".npz"):
        raise ParameterError(f"--out must be a file .npz or a folder, got {out}")
    there = out.exists() and (out.is_file() or any(out.iterdir()))
    if there and (out.is_dir() and out.suffix == ".npz"):
        raise RunError(f"{out} is a folder: choose another --out")
    if there and not overwrite:
        raise RunError(f"{out} is there already: replace it with --overwrite, or choose another")


def write(found: Embedded, out: Path) -> None:
    """Writes a file .npz, or a folder of .npy with index.csv. Raises RunError for a full disk."""
    if out.suffix == ".npz":
        _write_npz(found, out)
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, array in found.arrays.items():
        with atomic_file(out / f"{name}.npy") as file, Path(_path_of(array)).open("rb") as rows:
            shutil.copyfileobj(rows, file, 1 << 20)
    write_atomically(out / "index.csv", found.index.to_csv(index=False))


def _write_npz(found: Embedded, out: Path) -> None:
    """Stored, not packed: embeddings hardly shrink, and what is stored is read at once."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(out) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in found.arrays.items():
            archive.write(_path_of(array), f"{name}.npy")
        for column in found.index:
            values = found.index[column].to_numpy()
            with archive.open(f"{column}.npy", "w", force_zip64=True) as entry:
                plain = values.astype(str) if values.dtype.kind not in "fi" else values
                np.lib.format.write_array(entry, plain, allow_pickle=False)


def _path_of(array: FloatArray) -> str:
    """Where a mapped array lies."""
    if not isinstance(array, np.memmap) or array.filename is None:
        raise RunError("embeddings are written from where they lie on disk: see `embedded`")
    return str(array.filename)


# ----------------------------------------------------------------- how good


def quality(found: Embedded, labels: Labelled | None = None, seed: int = 0) -> list[dict[str, Any]]:
    """How good each embedding is: a row of figures by name. Without labels, how much of its space
    it uses; with labels, what can be told from it as well, beside the share of the most common
    label among the tested, which needs no embedding.

    seed  of samples: at most 20,000 labelled rows are learned from, and as many tested.
    """
    rows = []
    for name, array in found.arrays.items():
        row: dict[str, Any] = {"embedding": name, "rows": len(array)}
        if labels is not None:
            row |= _told(array, labels, seed)
        rows.append(row | collapse(array, seed=seed))
    return rows


def _told(array: FloatArray, labels: Labelled, seed: int) -> dict[str, Any]:
    learned, tested = (
        _some(np.flatnonzero(rows), seed) for rows in (labels.is_learned, labels.is_tested)
    )
    train, test = np.asarray(array[learned]), np.asarray(array[tested])
    known, wanted = labels.labels[learned], labels.labels[tested]
    probe = linear_probe(train, known, test, wanted, seed)
    k = min(NEIGHBOURS, len(train))
    return {
        "probe top-1": probe.top1,
        "probe top-5": probe.top5,
        "kNN cosine": knn_accuracy(train, known, test, wanted, k, "cosine"),
        "kNN euclidean": knn_accuracy(train, known, test, wanted, k, "euclidean"),
        "most common": float(np.unique(wanted, return_counts=True)[1].max() / len(wanted)),
    }


def _some(rows: Any, seed: int) -> Any:
    if len(rows) <= MOST:
        return rows
    return np.sort(np.random.default_rng(seed).permutation(rows)[:MOST])
