"""Text tables as they lie on disk -> columns with names: separators, commas, headers, encodings.

Nothing here knows what a column means; `columns` does. What a table looks like is found from its
first lines, and can be said instead.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import re
import warnings
import zlib
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import pandas as pd

from raravis.errors import RecordingError
from raravis.series.sheets import counted
from raravis.windows import FloatArray

_SEPARATORS = ("\t", ";", "|", ",", " ")
_FIRST_LINES = 200
_MISSING = ["-", "--", "---", "?", "NaT"]  # beside those that pandas knows: NA, NaN, null, none
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf(inity)?)", re.IGNORECASE)
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_BROKEN = (OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class Form:
    """What a text table looks like.

    separator  between the cells of a line; " " is any run of blanks.
    decimal    "." or ",".
    names      of the columns, from its header; None where it has none.
    width      columns.
    skip       lines before the first row of data.
    encoding   of its text.
    """

    separator: str
    decimal: str
    names: tuple[str, ...] | None
    width: int
    skip: int
    encoding: str


def read_table(
    path: Path, separator: str | None = None, decimal: str | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """All rows of a text table by column, and what had to be passed over.

    Numbers that read as such are numbers already, the rest is text. Columns without a header are
    called "channel 1", "channel 2", ... . gzip is known by its first bytes.

    Raises RecordingError where the file is empty, broken, or no text.
    """
    form = find_form(path, separator, decimal)
    try:
        frame, passed_over = _read(path, form)
    except UnicodeDecodeError:
        frame, passed_over = _read(path, Form(**{**vars(form), "encoding": "latin-1"}))
    except _BROKEN as error:
        raise RecordingError(str(path), _broken(error)) from error
    frame.columns = pd.Index(form.names or [f"channel {i + 1}" for i in range(form.width)])
    remarks = []
    if form.names and form.skip > 1:
        remarks.append(f"{counted(form.skip - 1, 'line')} before the header passed over")
    if passed_over:
        remarks.append(f"{counted(passed_over, 'line')} with too many cells left out")
    return frame, remarks


def find_form(path: Path, separator: str | None = None, decimal: str | None = None) -> Form:
    """What a text table looks like, from its first lines. Raises RecordingError."""
    lines, encoding = first_lines(path)
    if not any(line.strip(" \t,;|\"'\ufeff") for line in lines):
        raise RecordingError(str(path), "is empty")
    if any("\0" in line for line in lines):
        raise RecordingError(str(path), "is no text: expected a table of numbers")
    if separator is None:
        separator = _find_separator(lines)
    rows = [_cells(line, separator) for line in lines]
    width = _usual_width(rows)
    top = next(i for i, row in enumerate(rows) if len(row) == width and any(row))
    header = _header(rows[top], width) if _is_header(rows[top], rows[top + 1 :]) else None
    if header is None and top and len(rows[top - 1]) == width - 1 > 1:  # none for row numbers
        top -= 1
        header = _header(rows[top], width)
    body = rows[top if header is None else top + 1 :]
    decimal = decimal or _find_decimal(body)
    return Form(separator, decimal, header, width, top + (header is not None), encoding)


def holds_numbers(path: Path) -> bool:
    """Whether a text file looks like a table of numbers, with or without a header."""
    try:
        form = find_form(path)
        lines, _ = first_lines(path)
    except RecordingError:
        return False
    rows = [_cells(line, form.separator) for line in lines[form.skip :]]
    cells = [cell for row in rows for cell in row if cell]
    return sum(map(_is_number, cells)) > len(cells) / 2


def first_lines(path: Path, most: int = _FIRST_LINES) -> tuple[list[str], str]:
    """The first lines of a text file, and its encoding. Raises RecordingError."""
    try:
        with _opened(path) as file:
            start = b"".join(islice(file, most))
    except _BROKEN as error:
        raise RecordingError(str(path), _broken(error)) from error
    encoding = "utf-8-sig"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    try:
        text = start.decode(encoding)
    except UnicodeDecodeError:
        encoding, text = "latin-1", start.decode("latin-1")
    return text.splitlines(), encoding


def numbers(column: pd.Series) -> tuple[FloatArray, int]:
    """A column as float64, NaN where a cell is missing or infinite; and how many cells are text."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    values = pd.to_numeric(column, errors="coerce")
    text = int((values.isna() & column.notna()).sum())
    found = values.to_numpy(dtype="float64", na_value=float("nan"))
    found = pd.Series(found).replace([float("inf"), float("-inf")], float("nan"))
    return found.to_numpy(copy=True), text


# --- reading -----------------------------------------------------------------------------------


def _opened(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked where they are packed."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _broken(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    return "is packed by gzip and broken"


def _read(path: Path, form: Form) -> tuple[pd.DataFrame, int]:
    """The rows of data, and how many lines had more cells than there are columns."""
    with _opened(path) as file, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", pd.errors.ParserWarning)
        try:
            frame = pd.read_csv(
                file,
                sep=r"\s+" if form.separator == " " else form.separator,
                decimal=form.decimal,
                header=None,
                names=range(form.width),
                index_col=False,
                skiprows=form.skip,
                skipinitialspace=True,
                na_values=_MISSING,
                encoding=form.encoding,
                on_bad_lines="warn",
                low_memory=False,
            )
        except pd.errors.EmptyDataError:
            frame = pd.DataFrame(columns=range(form.width), dtype="float64")
        except pd.errors.ParserError as error:
            raise RecordingError(str(path), f"cannot be read as a table ({error})") from error
    return frame, sum(str(warning.message).count("Skipping line") for warning in caught)


# --- what it looks like ------------------------------------------------------------------------


def _cells(line: str, separator: str) -> list[str]:
    if separator == " ":
        return line.lstrip("# ").split()
    row = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    return [cell.strip() for cell in row]


def _usual_width(rows: list[list[str]]) -> int:
    """Cells of most lines; of two equally common widths the larger, as a header may be short."""
    count = Counter(len(row) for row in rows if any(row))
    return max(count, key=lambda width: (count[width], width))


def _find_separator(lines: list[str]) -> str:
    """The first separator that cuts nearly all lines into equally many cells, more than one."""
    filled = [line for line in lines if line.strip()]
    for separator in _SEPARATORS:
        widths = [len(_cells(line, separator)) for line in filled]
        width, count = Counter(widths).most_common(1)[0]
        if width > 1 and count >= 0.9 * len(filled) - 1 and not _is_one_time(filled, separator):
            return separator
    return ","


def _is_one_time(lines: list[str], separator: str) -> bool:
    """Whether blanks only part the date from the time of day: "2020-03-09 10:14"."""
    return separator == " " and all(re.fullmatch(r"\S+ \d+:\S+", x.strip()) for x in lines[1:])


def _is_number(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell) or _COMMA_NUMBER.fullmatch(cell))


def _is_header(row: list[str], below: list[list[str]]) -> bool:
    """Whether a line names columns: words where numbers stand below, or pandas' ",0,1,2"."""
    if row and not row[0] and row[1:] == [str(i) for i in range(len(row) - 1)]:
        return True
    words = [bool(cell) and not _is_number(cell) for cell in row]
    if all(words):
        return not (below and _looks_alike(row, below[0]))
    under = below[0] if below else []
    pairs = zip(words, under, row, strict=False)
    return any(word and _is_named_by(cell, name) for word, cell, name in pairs)


def _is_named_by(cell: str, name: str) -> bool:
    """Whether a word may name a column: a number stands below it, or at least digits do."""
    has_digits = any(map(str.isdigit, cell)) and not any(map(str.isdigit, name))
    return _is_number(cell) or has_digits


def _looks_alike(row: list[str], other: list[str]) -> bool:
    """Whether two lines of words have the same shape: digits and signs at the same places."""
    shapes = [re.sub(r"\d+", "0", "|".join(cells)) for cells in (row, other)]
    return shapes[0] == shapes[1]


def _header(row: list[str], width: int) -> tuple[str, ...]:
    """Names of columns, each of its own: a short header lacks the one of row numbers."""
    names = [cell.lstrip("# ") if i == 0 else cell for i, cell in enumerate(row)]
    names = [""] * (width - len(names)) + names
    unique: list[str] = []
    for i, name in enumerate(names):
        name = name or f"column {i + 1}"
        unique.append(name if name not in unique else f"{name} ({i + 1})")
    return tuple(unique)


def _find_decimal(rows: list[list[str]]) -> str:
    cells = [cell for row in rows for cell in row]
    return "," if any(map(_COMMA_NUMBER.fullmatch, cells)) else "."
