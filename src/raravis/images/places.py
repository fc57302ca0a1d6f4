"""Where pictures lie: files in folders, members of zip archives, rows of npz arrays.

Nothing is ever unpacked to disk. An archive is looked through before anything of it is read: names
that lead out of it, members that unpack to absurd sizes and encryption are refused.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from raravis.errors import RecordingError
from raravis.windows import FloatArray

MOST_MEMBER_BYTES = 2**29  # of one picture in a zip archive
MOST_ARRAY_BYTES = 2**33  # of one array in memory
MOST_RATIO, SMALL_BYTES = 250, 2**24  # unpacked over packed, of members larger than that

_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, LookupError, RuntimeError)


@dataclass(frozen=True)
class Place:
    """Where one picture lies.

    path    the file, archive or npz.
    member  of the archive, or name of the array; "" for a file of its own.
    row     of the array; -1 for all else.
    """

    path: Path
    member: str = ""
    row: int = -1

    def __str__(self) -> str:
        row = f"[{self.row}]" if self.row >= 0 else ""
        return f"{self.path}{'/' if self.member else ''}{self.member}{row}"


class Places:
    """Reads from places; the archive or array used last stays open."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._member = ""
        self._open: Any = None
        self._broken: RecordingError | None = None

    def source(self, place: Place) -> Path | bytes:
        """A file that can be opened, or the bytes of a member. Raises RecordingError."""
        if not place.member:
            return place.path
        with _named(str(place)):
            archive: zipfile.ZipFile = self._of(place, lambda: zipfile.ZipFile(place.path))
            with archive.open(place.member) as file:
                held = file.read(MOST_MEMBER_BYTES + 1)
        if len(held) > MOST_MEMBER_BYTES:
            raise RecordingError(str(place), f"is larger than {MOST_MEMBER_BYTES:,} bytes")
        return held

    def array(self, place: Place) -> FloatArray:
        """The row of an array as (C, H, W), in the numbers it has. Raises RecordingError."""
        if self._broken is not None and self._broken.path == str(place.path):
            raise self._broken
        try:
            with _named(str(place.path)):
                array = self._of(place, lambda: _load(place.path, place.member))
                picture: FloatArray = array[place.row]
        except RecordingError as error:
            self._broken = error  # so that it is not unpacked again for each of its rows
            raise
        return channels_first(picture)

    def _of(self, place: Place, opener: Any) -> Any:
        key = place.member if place.row >= 0 else ""
        if (self._path, self._member) != (place.path, key):
            self.close()
            self._open = opener()
            self._path, self._member = place.path, key
        return self._open

    def close(self) -> None:
        """Lets go of what is open."""
        if isinstance(self._open, zipfile.ZipFile):
            self._open.close()
        self._open, self._path, self._member = None, None, ""


def channels_first(picture: FloatArray) -> FloatArray:
    """(H, W) or (H, W, C) as (C, H, W); of four channels, or of two, the last is transparency."""
    if picture.ndim == 2:
        return picture[None]
    keep = 3 if picture.shape[2] >= 3 else 1
    return picture[:, :, :keep].transpose(2, 0, 1)


def members(path: Path) -> list[str]:
    """Names of the files in a zip archive, hidden ones left out.

    Raises RecordingError where it is broken, encrypted, or made to do harm.
    """
    with _named(str(path)), zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
    if sum(info.compress_size for info in infos) > path.stat().st_size:
        raise RecordingError(str(path), "is refused: its members overlap, it may be a bomb")
    for info in infos:
        _check_member(path, info)
    return [info.filename for info in infos if not _is_hidden(info.filename)]


def _check_member(path: Path, info: zipfile.ZipInfo) -> None:
    name = PurePosixPath(info.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
        raise RecordingError(
            str(path), f"is refused: its member {info.filename!r} leads out of the archive"
        )
    if info.file_size > SMALL_BYTES and info.file_size > MOST_RATIO * max(1, info.compress_size):
        raise RecordingError(
            str(path),
            f"is refused: its member {info.filename!r} would unpack from "
            f"{info.compress_size:,} to {info.file_size:,} bytes, it may be a bomb",
        )
    if info.flag_bits & 1:
        raise RecordingError(str(path), "is encrypted: unpack it with its password first")


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


@dataclass(frozen=True)
class Rows:
    """An array of pictures in an npz, as its header tells: (N, H, W) or (N, H, W, C)."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def array_of(path: Path, name: str | None = None) -> Rows:
    """The array of an npz that holds pictures: the one called `name`, or the largest of such form.

    Raises RecordingError where there is none, or it would not fit into memory.
    """
    with _named(str(path)), zipfile.ZipFile(path) as archive:
        found = [rows for info in archive.infolist() if (rows := _rows(archive, info)) is not None]
    fitting = [rows for rows in found if _holds_pictures(rows)]
    chosen = [rows for rows in fitting if name in (None, rows.name)]
    if not chosen:
        asked = f" called {name!r}" if name else ""
        have = ", ".join(f"{rows.name} {rows.shape} {rows.dtype}" for rows in found) or "none"
        raise RecordingError(
            str(path),
            f"has no array of pictures{asked}: (N, H, W) or (N, H, W, C) of uint8, uint16 or "
            f"float numbers is expected; its arrays are {have}",
        )
    best = max(chosen, key=lambda rows: math.prod(rows.shape))
    if math.prod(best.shape) * np.dtype(best.dtype).itemsize > MOST_ARRAY_BYTES:
        raise RecordingError(
            str(path), f"its array {best.name} {best.shape} needs more than {MOST_ARRAY_BYTES:,} "
            "bytes in memory: cut it into several files",
        )  # fmt: skip
    return best


def _rows(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Rows | None:
    """The header of one member, if it is an array."""
    if not info.filename.endswith(".npy"):
        return None
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        reader = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = reader(file)
    return Rows(info.filename[: -len(".npy")], tuple(shape), str(dtype))


def _holds_pictures(rows: Rows) -> bool:
    dtype, shape = np.dtype(rows.dtype), rows.shape
    kind = dtype in (np.uint8, np.uint16, np.bool_) or dtype.kind == "f"
    flat = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 2, 3, 4))
    return kind and flat and min(shape, default=0) > 0


def _load(path: Path, name: str) -> FloatArray:
    with zipfile.ZipFile(path) as archive:
        held = archive.read(f"{name}.npy")
    array: FloatArray = np.lib.format.read_array(io.BytesIO(held), allow_pickle=False)
    return array


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Turns whatever breaks an archive into a RecordingError."""
    try:
        yield
    except MemoryError:
        raise RecordingError(name, "is too large for the memory of this machine") from None
    except _BROKEN as error:
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise RecordingError(name, f"cannot be read from its archive ({text})") from None
