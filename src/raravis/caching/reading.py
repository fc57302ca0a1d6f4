"""Windows of a cache, given out in any order without holding them.

Rows are read by `pread` into a buffer of the batch: what was read stays in the system's file
cache, which gives way when memory is needed, and not in this process, as pages of a memory map do.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from raravis.caching.building import FORMAT
from raravis.caching.coding import Coding, Kept
from raravis.caching.joining import held_back
from raravis.configuration import Table, read_toml
from raravis.durable import explained
from raravis.errors import ParameterError, RunError
from raravis.listening import Lesson
from raravis.sound.normalising import Standardise
from raravis.windows import BoolArray, FloatArray, IntArray, Skipped, Windows

MOST_OPEN = 256  # files; a process may usually have 1024


class Shards:
    """Files of rows of one shape that act as one array.

    folder  in which they lie; files, their names, and rows, how many each holds.
    shape   of a row, and dtype.

    Raises RunError where a file is missing or is not what it should be.
    """

    def __init__(
        self,
        folder: Path,
        files: Sequence[str],
        rows: Sequence[int],
        shape: tuple[int, ...],
        dtype: str,
    ) -> None:
        self.folder, self.paths = folder, [folder / file for file in files]
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.row_bytes = int(np.prod(shape)) * self.dtype.itemsize
        self._starts: IntArray = np.cumsum([0, *rows])
        self._headers = [self._header(*one) for one in zip(self.paths, rows, strict=True)]
        self._open: dict[int, int] = {}  # file descriptors, the longest unused first
        self._close = weakref.finalize(self, _close_all, self._open)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _header(self, path: Path, rows: int) -> int:
        """Bytes before the first row."""
        with explained(self.folder):
            try:
                array = np.load(path, mmap_mode="r", allow_pickle=False)
            except (FileNotFoundError, ValueError, EOFError) as error:
                raise broken(self.folder, f"{path.name} cannot be read ({error})") from error
        if array.shape != (rows, *self.shape) or array.dtype != self.dtype:
            raise broken(self.folder, f"{path.name} holds {array.dtype} {array.shape}")
        return int(array.offset)

    def read(self, rows: IntArray) -> Kept:
        """Rows (B,), each in [0, N), as they are kept: (B, *shape), in the order asked for."""
        out = np.empty((len(rows), *self.shape), dtype=self.dtype)
        if not len(rows):
            return out
        shard = np.searchsorted(self._starts, rows, side="right") - 1
        breaks = np.flatnonzero((np.diff(shard) != 0) | (np.diff(rows) != 1)) + 1
        firsts = np.concatenate([[0], breaks])  # of stretches that lie in one piece
        within = rows[firsts] - self._starts[shard[firsts]]
        begins = (firsts * self.row_bytes).tolist()
        ends = [*begins[1:], out.nbytes]
        view, read = memoryview(out.reshape(-1).view(np.uint8).data), os.preadv
        now, got = -1, 0
        with explained(self.folder):
            for number, at, begin, end in zip(
                shard[firsts].tolist(), (within * self.row_bytes).tolist(), begins, ends,
                strict=True,
            ):  # fmt: skip
                if number != now:
                    now, handle, header = number, self._handle(number), self._headers[number]
                got += read(handle, (view[begin:end],), header + at)
        if got != out.nbytes:
            raise broken(self.folder, "a shard has become shorter")
        return out

    def _handle(self, number: int) -> int:
        handle = self._open.pop(number, None)
        if handle is None:
            if len(self._open) >= MOST_OPEN:
                os.close(self._open.pop(next(iter(self._open))))
            handle = os.open(self.paths[number], os.O_RDONLY)
            if hasattr(os, "posix_fadvise"):  # whoever reads at random needs nothing read ahead
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
        self._open[number] = handle
        return handle


def _close_all(handles: dict[int, int]) -> None:
    while handles:
        os.close(handles.popitem()[1])


def broken(cache: Path, how: str) -> RunError:
    """What is raised where files are not as they were written."""
    return RunError(f"{cache} is broken: {how}; delete it to build it anew")


class CachedWindows:
    """What training is given: windows (N, C, H, W) in standard deviations, read when asked for.

    held_back  (N,) which of them are not learned from.
    """

    ndim = 4

    def __init__(self, cache: Cache, scale: Standardise, held_back: BoolArray) -> None:
        self.cache, self.held_back = cache, held_back
        self.shape = (len(cache), *cache.shards.shape)
        self._mean, self._deviation = map(torch.from_numpy, scale.columns())  # (H, 1)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, wanted: Any) -> FloatArray:
        """(B, C, H, W) float32; of a single row, (C, H, W)."""
        if isinstance(wanted, int | np.integer):
            one: FloatArray = self[np.array([wanted])][0]
            return one
        values = self.cache.tensor(self.cache.rows(wanted))
        standard: FloatArray = values.sub_(self._mean).div_(self._deviation).numpy()
        return standard


class Cache:
    """A whole cache: which windows there are, and their values in dB.

    table       what cache.toml says.
    recordings  names, in order; skipped, what could not be used, and why.
    index       one row for each window, mapped from disk; see `joining.INDEX`.
    """

    def __init__(self, folder: Path, table: Table) -> None:
        self.folder, self.table = folder, table
        self.recordings = [one["name"] for one in table["recordings"]]
        self.skipped = [Skipped(**one) for one in table["skipped"]]
        self.coding = Coding(**table["coding"])
        files, rows = ([one[name] for one in table["shards"]] for name in ("file", "rows"))
        self.shards = Shards(folder, files, rows, tuple(table["shape"]), self.coding.dtype)
        with explained(folder):
            try:
                self.index = np.load(folder / "index.npy", mmap_mode="r", allow_pickle=False)
            except (FileNotFoundError, ValueError, EOFError) as error:
                raise broken(folder, f"index.npy cannot be read ({error})") from error
        if not len(self.index) == len(self.shards) == table["windows"]:
            raise broken(folder, f"index.npy lists {len(self.index)} windows of {len(self.shards)}")
        self._offset: IntArray = np.ascontiguousarray(self.index["offset"])

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The cache in a folder, as it stands. Raises RunError where there is none, or one that
        another raravis wrote."""
        if not (folder / "cache.toml").exists():
            raise RunError(
                f"{folder} holds no whole cache: build it with "
                f"`raravis cache RECORDINGS --out {folder}`"
            )
        try:
            table = read_toml(folder / "cache.toml")
        except ParameterError as error:
            raise broken(folder, str(error)) from error
        if table.get("format") != FORMAT:
            raise RunError(
                f"{folder} has format {table.get('format')}, and this raravis reads {FORMAT}: "
                "delete it to build it anew"
            )
        return cls(folder, table)

    def __len__(self) -> int:
        return len(self._offset)

    def rows(self, wanted: Any) -> IntArray:
        """Row numbers for a slice, a mask or numbers; negative ones count from the end."""
        if isinstance(wanted, slice):
            return np.arange(*wanted.indices(len(self)))
        rows: IntArray = np.asarray(wanted)
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise IndexError(f"a mask of {rows.shape} for {len(self)} windows")
            return np.flatnonzero(rows)
        if len(rows) and not -len(self) <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"windows {rows.min()} to {rows.max()} of {len(self)}")
        return np.where(rows < 0, rows + len(self), rows).astype(np.int64)

    def kept(self, rows: IntArray) -> Kept:
        """Windows (B, C, H, W) as they are kept: half floats in dB, or bytes."""
        return self.shards.read(self._offset[rows])

    def tensor(self, rows: IntArray) -> torch.Tensor:
        """Windows (B, C, H, W) in dB, float32, which nobody else holds. torch turns half floats
        into whole ones 20 times faster than numpy."""
        values = torch.from_numpy(self.kept(rows)).float()
        if self.coding.dtype == "uint8":
            values.mul_(self.coding.step).add_(self.coding.low)
        return values

    @cached_property
    def places(self) -> Windows:
        """Where the windows lie, (N,)."""
        start_s = np.ascontiguousarray(self.index["start_s"])
        return Windows(
            np.ascontiguousarray(self.index["recording"]), start_s, start_s + self.table["window_s"]
        )

    def scale(self) -> Standardise:
        """Mean and deviation of each band over all windows."""
        scale, count = Standardise(), self.table["frames"]
        mean = np.array(self.table["sums"]) / count
        variance = np.array(self.table["squares"]) / count - mean**2
        scale.count_, scale.mean_ = count, mean
        scale.deviation_ = np.sqrt(np.maximum(variance, 0.0))
        return scale

    def windows(self, scale: Standardise, share: float) -> CachedWindows:
        """All windows in standard deviations, this share of them held back."""
        return CachedWindows(self, scale, held_back(self.index["recording"], share))

    def lesson(self, most: int, seed: int) -> Lesson:
        """An even random sample of at most so many windows, as listening would give it; without
        sound events, which a cache does not hold."""
        rows = np.sort(np.random.default_rng(seed + 1).permutation(len(self))[:most])
        clips = np.empty((len(rows), *self.shards.shape[1:]), dtype=np.float16)
        for at in range(0, len(rows), 1024):
            part = rows[at : at + 1024]
            clips[at : at + len(part)] = self.tensor(part)[:, 0].numpy()
        hours = self.table["heard_s"] / 3600
        return Lesson([], hours, clips, hours * len(rows) / len(self), self.places[rows])
