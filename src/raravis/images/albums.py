"""What pictures there are in the paths that the user named, and which belong to one recording.

A folder that holds pictures is a recording, and so is a folder inside a zip archive, and an npz.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from raravis.errors import RecordingError
from raravis.folders import Found, find_files, made_unique
from raravis.images import decoding, thermal
from raravis.images.decoding import Head
from raravis.images.places import Place, Places, array_of, members
from raravis.windows import Skipped

ARCHIVES = (".zip", ".npz")
SUFFIXES = (*decoding.SUFFIXES, *thermal.SUFFIXES, *ARCHIVES)
"""Of files that are pictures by their name; any .csv is a thermal frame where there is no other."""


@dataclass(frozen=True)
class Frame:
    """One picture: its name in the recording, where it lies, what its header tells."""

    name: str
    place: Place
    head: Head


@dataclass
class Album:
    """The pictures of one recording.

    name  unique in the collection: the folder, relative to the one the user named.
    path  of the folder, archive or npz.
    """

    name: str
    path: Path
    frames: list[Frame] = field(default_factory=list)


def find_albums(
    roots: Sequence[Path], array: str | None = None, only: str = "*", tables: bool = False
) -> tuple[list[Album], list[Skipped]]:
    """All recordings of pictures, with every header read, and what could not be used.

    array  which one of every npz; None takes the largest that holds pictures.
    only   pattern that the names of pictures must match, such as "*.jpg".
    tables whether any .csv is a thermal frame where none is named as one, even among pictures.
    """
    places, skipped = _places(roots, only, tables)
    grouped: dict[tuple[Path, str], Album] = {}
    with_heads = Places()
    for folder, name, place in places:
        try:
            frames = _frames(place, with_heads, array)
        except RecordingError as error:
            skipped.append(Skipped(error.path, error.reason))
            continue
        key = (folder, str(PurePosixPath(place.member).parent) if place.member else "")
        album = grouped.setdefault(key, Album(name, folder))
        album.frames += frames
    with_heads.close()
    albums = list(grouped.values())
    names = made_unique([a.name for a in albums], [_where(key) for key in grouped])
    for album, name in zip(albums, names, strict=True):
        album.name = name
    return albums, skipped


def _places(
    roots: Sequence[Path], only: str, tables: bool
) -> tuple[list[tuple[Path, str, Place]], list[Skipped]]:
    """Folder or archive, name of the recording and place of each picture."""
    files, skipped = find_files(roots, (*SUFFIXES, *thermal.TABLES))
    files = _without_tables(files, roots, tables)
    found: list[tuple[Path, str, Place]] = []
    for file in files:
        low = file.path.name.lower()
        if low.endswith(".zip"):
            try:
                inside = [m for m in members(file.path) if _is_picture(m)]
            except RecordingError as error:
                skipped.append(Skipped(error.path, error.reason))
                continue
            for member in inside:
                below = PurePosixPath(member)
                if fnmatch(below.name, only):
                    parts = [file.name, *below.parent.parts]
                    found.append((file.path, "/".join(parts), Place(file.path, member)))
        elif low.endswith(".npz"):
            found.append((file.path, file.name, Place(file.path)))
        elif fnmatch(file.path.name, only):
            folder = file.path.parent
            parent = Path(file.name).parent.as_posix()
            name = folder.absolute().name if parent == "." else parent
            found.append((folder, name, Place(file.path)))
    return found, skipped


def _without_tables(files: list[Found], roots: Sequence[Path], tables: bool) -> list[Found]:
    """The files without those .csv that are no thermal frames: the others, if some are named as
    frames, or if there are pictures and no tables were asked for."""
    plain = [is_thermal(f.path.name) and not thermal.is_named(f.path.name) for f in files]
    others = [f for f, is_plain in zip(files, plain, strict=True) if not is_plain]
    named = any(thermal.is_named(f.path.name) for f in others)
    if named or (others and not tables):
        return [f for f, is_plain in zip(files, plain, strict=True)
                if not is_plain or f.path in roots]  # fmt: skip
    return files


def _where(key: tuple[Path, str]) -> Path:
    return key[0].absolute() / key[1]


def _frames(place: Place, places: Places, array: str | None) -> list[Frame]:
    """The picture of this place, or all those of an npz. Raises RecordingError."""
    name = PurePosixPath(place.member).name or place.path.name
    if not name.lower().endswith(".npz"):
        look = thermal.head if is_thermal(name) else decoding.head
        return [Frame(name, place, look(places.source(place), str(place)))]
    return list(_rows(place.path, array))


def _rows(path: Path, array: str | None) -> Iterator[Frame]:
    rows = array_of(path, array)
    count, height, width = rows.shape[:3]
    camera = "colour" if len(rows.shape) == 4 and rows.shape[3] >= 3 else "grey"
    mode = {"uint8": "L", "bool": "bool", "uint16": "I;16"}.get(rows.dtype, "float32")
    head = Head(height, width, camera, mode)
    digits = len(str(count - 1))
    for row in range(count):
        yield Frame(f"{rows.name}[{row:0{digits}d}]", Place(path, rows.name, row), head)


def _is_picture(member: str) -> bool:
    return member.lower().endswith(decoding.SUFFIXES) or thermal.is_named(member)


def is_thermal(name: str) -> bool:
    """Whether it is a text table of temperatures, by its name."""
    return name.lower().endswith(thermal.TABLES)
