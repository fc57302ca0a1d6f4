"""Embeddings on disk: float16 pieces that read as one matrix, and exact nearest rows in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from raravis.errors import ParameterError
from raravis.windows import FloatArray, IntArray

HalfArray = npt.NDArray[np.float16]

METRICS = ("euclidean", "cosine")
LARGEST = float(np.finfo(np.float16).max)
CHUNK_ROWS = 2048  # x 128 dimensions x 4 bytes: one chunk stays in the second-level cache
SPARE = 32  # candidates beyond k that are measured again in float64
# A half float's bits moved 13 to the left are those of a float 2^112 times smaller, but for the
# exponent's three highest bits, which an int16 spreads its sign into.
TO_SINGLE, MASK, GAIN = 13, np.int32(-0x70000001), np.float32(2.0**112)


class Shards:
    """Pieces (N_i, D) float16, in memory or memory-mapped, that act as one matrix (N, D)."""

    def __init__(self, pieces: Sequence[HalfArray], dim: int) -> None:
        self.pieces = [piece for piece in pieces if len(piece)]
        self.dim = dim
        self._starts = np.cumsum([0, *(len(piece) for piece in self.pieces)])
        self._squares: list[FloatArray] = []

    def __len__(self) -> int:
        return int(self._starts[-1])

    def matrix(self) -> HalfArray:
        """All rows, (N, D) float16: the memory map itself where there is one piece only."""
        if len(self.pieces) == 1:
            return self.pieces[0]
        return np.concatenate([np.empty((0, self.dim), np.float16), *self.pieces])

    def rows(self, rows: IntArray) -> FloatArray:
        """The named rows, (len(rows), D) float32, in the order asked for."""
        out = np.empty((len(rows), self.dim), dtype=np.float32)
        piece_of = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(piece_of):
            here = piece_of == number
            out[here] = self.pieces[number][rows[here] - self._starts[number]]
        return out

    def nearest(
        self, query: int | FloatArray, k: int = 10, metric: str = "euclidean"
    ) -> tuple[IntArray, FloatArray]:
        """The k rows nearest to a row, itself left out, or to a vector (D,); nearest first.

        Returns rows (k,) and distances (k,) float64: euclidean, or cosine = 1 - cos(angle). All
        rows are compared, in float32; the best k + 32 are then measured again in float64.
        """
        if metric not in METRICS:
            raise ParameterError(f"unknown metric {metric!r}: choose one of {', '.join(METRICS)}")
        vector, left_out = self._query(query)
        k = min(k, len(self) - len(left_out))
        if k < 1:
            return np.empty(0, np.int64), np.empty(0)
        far = self._farness(vector, metric)
        best = np.argpartition(far, min(k + SPARE, len(far)) - 1)[: k + SPARE]
        best = best[~np.isin(best, left_out)]
        distance = _distance(self.rows(best).astype(np.float64), vector, metric)
        order = np.lexsort((best, distance))[:k]
        return best[order], distance[order]

    def _query(self, query: int | FloatArray) -> tuple[FloatArray, IntArray]:
        """The vector asked for, (D,) float32, and the rows it must not find: itself or none."""
        if isinstance(query, int | np.integer):
            row = np.array([query])
            if not 0 <= query < len(self):
                raise ParameterError(f"there is no row {query}: rows are 0 to {len(self) - 1}")
            return self.rows(row)[0], row
        vector = np.asarray(query, dtype=np.float32)
        if vector.shape != (self.dim,) or not np.all(np.abs(vector) <= LARGEST):
            raise ParameterError(
                f"query must be {self.dim} finite numbers within +-{LARGEST:.0f}, "
                f"got an array of shape {vector.shape}"
            )
        return vector, np.empty(0, np.int64)

    def _farness(self, vector: FloatArray, metric: str) -> FloatArray:
        """(N,) float32 that grows with the distance to `vector`."""
        if not self._squares:
            self._squares = [_squares(piece) for piece in self.pieces]
        squares = np.concatenate(self._squares)
        products = np.concatenate([_products(piece, vector) for piece in self.pieces])
        if metric == "euclidean":
            return np.asarray(squares - 2 * products)
        return np.asarray(-products / np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny)))


def to_half(embedding: FloatArray) -> HalfArray:
    """Embeddings as they are kept, (N, D) float16. Raises ParameterError where they do not fit."""
    if not np.all(np.abs(embedding) <= LARGEST):
        raise ParameterError(
            f"embeddings are kept as float16: values must be finite and within +-{LARGEST:.0f}, "
            f"got {float(np.abs(embedding).max())}. Standardise them first"
        )
    return np.ascontiguousarray(embedding, dtype=np.float16)


def _products(piece: HalfArray, vector: FloatArray) -> FloatArray:
    """piece @ vector, (N,) float32, in a quarter of the time that numpy needs for float16."""
    scaled = vector * GAIN
    out = np.empty(len(piece), dtype=np.float32)
    buffer = np.empty((min(CHUNK_ROWS, len(piece)), piece.shape[1]), dtype=np.int32)
    for start in range(0, len(piece), CHUNK_ROWS):
        chunk = _small(piece[start : start + CHUNK_ROWS], buffer)
        np.dot(chunk, scaled, out=out[start : start + CHUNK_ROWS])
    return out


def _squares(piece: HalfArray) -> FloatArray:
    """Squared length of every row, (N,) float32."""
    out = np.empty(len(piece), dtype=np.float32)
    for start in range(0, len(piece), CHUNK_ROWS):
        chunk = piece[start : start + CHUNK_ROWS].astype(np.float32)
        np.einsum("nd,nd->n", chunk, chunk, out=out[start : start + CHUNK_ROWS])
    return out


def _small(chunk: HalfArray, buffer: npt.NDArray[np.int32]) -> FloatArray:
    """The chunk as float32, 2^112 times smaller, by moving bits; lives in `buffer`."""
    bits = buffer[: len(chunk)]
    np.copyto(bits, chunk.view(np.int16))
    np.left_shift(bits, TO_SINGLE, out=bits)
    np.bitwise_and(bits, MASK, out=bits)
    return bits.view(np.float32)


def _distance(rows: FloatArray, vector: FloatArray, metric: str) -> FloatArray:
    """Distance of every row to `vector`, (N,) float64."""
    vector = vector.astype(np.float64)
    if metric == "euclidean":
        return np.asarray(np.linalg.norm(rows - vector, axis=1))
    length = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
    return np.asarray(1 - rows @ vector / np.where(length > 0, length, 1.0))
