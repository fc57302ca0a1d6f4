"""Which files lie in the paths the user named, and what each is called in the collection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from raravis.errors import DataError
from raravis.windows import Skipped


@dataclass(frozen=True)
class Found:
    """One file of a collection.

    name  unique in it: the path relative to the folder the user named, with forward slashes; with
          as much of what stands before as it needs where two would be called the same.
    """

    name: str
    path: Path


def find_files(paths: Sequence[Path], suffixes: Sequence[str]) -> tuple[list[Found], list[Skipped]]:
    """Files named by the user, and those below the folders named, sorted; and what was left out.

    Below a folder only names that end in one of `suffixes` count, in upper or lower case. Hidden
    files and folders are passed over, the ._ companions that macOS leaves among them. A file that
    the user names is taken whatever it is called. Nothing is taken twice.

    Raises DataError where a path does not exist.
    """
    found: dict[Path, str] = {}
    skipped: list[Skipped] = []
    for path in paths:
        if not _is_there(path):
            raise DataError(f"{path} does not exist: name a recording, or a folder of them")
        is_folder = _is_folder(path)
        below = _files_below(path, suffixes, skipped) if is_folder else [path]
        for file in below:
            name = file.relative_to(path).as_posix() if is_folder else file.name
            found.setdefault(file.absolute(), name)
    names = made_unique(list(found.values()), list(found))
    return [Found(name, path) for name, path in zip(names, found, strict=True)], skipped


def _files_below(folder: Path, suffixes: Sequence[str], skipped: list[Skipped]) -> Iterator[Path]:
    """Recordings in a folder and the folders in it; a folder that links back is entered once."""
    entered = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        if here.resolve() in entered:
            continue
        entered.add(here.resolve())
        try:
            entries = sorted(here.iterdir())
        except OSError as error:
            skipped.append(Skipped(str(here), f"cannot be looked into ({error.strerror})"))
            continue
        visible = [entry for entry in entries if not entry.name.startswith(".")]
        matching = {entry for entry in visible if entry.name.lower().endswith(tuple(suffixes))}
        waiting += [e for e in reversed(visible) if e not in matching and _is_folder(e)]
        yield from (entry for entry in visible if entry in matching)


def _is_there(path: Path) -> bool:
    """True unless it certainly is not; a broken link is there, as whoever opens it will say."""
    try:
        return path.is_symlink() or path.exists()
    except PermissionError:
        return True


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except PermissionError:
        return False


def made_unique(names: list[str], paths: list[Path]) -> list[str]:
    """Names that occur twice grow by the folders before them until each is alone."""
    unique = list(names)
    parts = 1
    while max(Counter(unique).values(), default=1) > 1:
        often = {name for name, count in Counter(unique).items() if count > 1}
        for i, path in enumerate(paths):
            if unique[i] in often:
                own = len(Path(names[i]).parts)
                unique[i] = Path(*path.parts[-(own + parts) :]).as_posix()
        parts += 1
    return unique
