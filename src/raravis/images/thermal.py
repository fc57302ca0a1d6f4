"""Thermal frames as text: temperatures in degrees Celsius, a row of the picture on each line.

    sensor;right                 MOBOTIX: seven lines of a header, an empty one, then rows with
    bit depth;14 bit             semicolons. Sizes are held against the header; a unit other than
    width;336                    degrees Celsius is refused, since what a count of the sensor means
    height;252                   depends on the camera.
    resolution;high
    advanced radiometry support;yes
    unit;degrees Celsius

    24.36,24.41,24.40            FLIR-like: rows with commas, semicolons or tabs, perhaps after some
    24.38,24.44,24.43            lines of words.

Source: the thermal dump of MOBOTIX M16 and S16 cameras, as recorded by Waggle and Sage nodes.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from raravis.errors import RecordingError
from raravis.images.decoding import MOST_PIXELS, Head
from raravis.windows import FloatArray

SUFFIXES = (".celsius.csv", "_celsius.csv", ".celsius.csv.gz", "_celsius.csv.gz")
TABLES = (".csv", ".csv.gz")
HEADER_LINES = 7
MOST_HEADER = 64  # lines of words before a FLIR-like table
MOST_BYTES = 2**29  # of text, unpacked
COLDEST_C, HOTTEST_C = -60.0, 2000.0  # what scenes before a calibrated camera hold

_NAME = re.compile(r"[._]celsius(_position\d+)?\.csv(\.gz)?$", re.IGNORECASE)
_KEYS = ("sensor", "bit depth", "width", "height", "resolution", "unit")
_MOST_LINE = 2**20


def is_named(name: str) -> bool:
    """Whether a file says by its name that it is a thermal frame; pan-tilt heads write the position
    before the ending."""
    return _NAME.search(name) is not None


def head(source: Path | bytes, name: str) -> Head:
    """What the beginning of a thermal frame tells; its height is 0 where only all of it would.

    Raises RecordingError where it does not begin as a thermal frame does.
    """
    with _text(source, name) as lines:
        header, first = _begin(lines)
        if header:
            return Head(*_size(header, name), "celsius", "celsius")
        return Head(0, len(_cells(first, _separator(first))), "celsius", "celsius")


def read(source: Path | bytes, name: str) -> FloatArray:
    """Temperatures (1, H, W) in degrees Celsius, float32.

    Raises RecordingError for a wrong header, ragged rows, and cells that hold no number.
    """
    with _text(source, name) as lines:
        header, line = _begin(lines)
        separator = ";" if header else _separator(line)
        rows: list[FloatArray] = []
        following: str | None = line
        while following:
            cells = _cells(following, separator)
            if rows and len(cells) != len(rows[0]):
                raise RecordingError(
                    name,
                    f"line {lines.number} has {len(cells)} values, those before it {len(rows[0])}: "
                    "every row of a picture must be as long",
                )
            rows.append(_numbers(cells, lines))
            following = lines.next()
    picture = np.stack(rows)[None]  # (1, H, W)
    if header and picture.shape[1:] != _size(header, name):
        height, width = _size(header, name)
        raise RecordingError(
            name,
            f"its header says {width} x {height}, its rows are {picture.shape[2]} x "
            f"{picture.shape[1]}: it was cut off, or the header is of another frame",
        )
    return picture


def remark(picture: FloatArray) -> str | None:
    """What a calibrated camera would hardly see: "-68.1 C: is the sensor calibrated?"."""
    low, high = float(picture.min()), float(picture.max())
    if low < COLDEST_C:
        return f"{low:.1f} C: is the sensor calibrated?"
    if high > HOTTEST_C:
        return f"{high:.1f} C: is the sensor calibrated?"
    return None


def write(path: Path, picture: FloatArray) -> None:
    """Writes temperatures (H, W) as a MOBOTIX dump, with two decimals."""
    height, width = picture.shape
    header = (
        f"sensor;right\nbit depth;14 bit\nwidth;{width}\nheight;{height}\nresolution;high\n"
        "advanced radiometry support;yes\nunit;degrees Celsius\n\n"
    )
    rows = "\n".join(";".join(map("{:.2f}".format, row)) for row in picture.tolist())
    path.write_text(f"{header}{rows}\n", encoding="ascii")


@contextmanager
def _text(source: Path | bytes, name: str) -> Iterator[_Lines]:
    """The text of a frame, unpacked where it is packed."""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            plain: IO[bytes] = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
            yield _Lines(io.TextIOWrapper(plain, encoding="utf-8-sig"), name)
    except (OSError, EOFError, zlib.error) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise RecordingError(name, f"cannot be read ({text})") from None
    except UnicodeDecodeError:
        raise RecordingError(name, "is no text") from None


class _Lines:
    """Lines without their ends, counted from 1, of a text that may be longer than is good."""

    def __init__(self, text: IO[str], name: str) -> None:
        self.text, self.name, self.number, self._read = text, name, 0, 0

    def next(self) -> str | None:
        """The next line, or None at the end."""
        line = self.text.readline(_MOST_LINE)
        self.number, self._read = self.number + 1, self._read + len(line)
        if self._read > MOST_BYTES or len(line) == _MOST_LINE:
            raise RecordingError(self.name, "is refused: longer than any thermal frame")
        return line.strip() if line else None


def _begin(lines: _Lines) -> tuple[dict[str, str], str]:
    """The header of MOBOTIX, or none, and the first row of numbers."""
    line = lines.next()
    if line is None:
        raise RecordingError(lines.name, "is empty")
    if line.lower().startswith("sensor;"):
        return _mobotix(lines, line)
    while line is not None and not _is_row(line):
        line = lines.next()
        if lines.number > MOST_HEADER:
            line = None
    if line is None:
        raise RecordingError(
            lines.name,
            "is no thermal frame: expected seven lines key;value and an empty one (MOBOTIX), or "
            f"rows of numbers after {MOST_HEADER} lines of words at most",
        )
    return {}, line


def _mobotix(lines: _Lines, line: str | None) -> tuple[dict[str, str], str]:
    header: dict[str, str] = {}
    while line:
        key, separator, value = line.partition(";")
        if not separator or ";" in value or len(header) == HEADER_LINES:
            raise RecordingError(
                lines.name,
                f"line {lines.number} of its header is {line[:40]!r}: expected {HEADER_LINES} "
                "lines key;value, then an empty one",
            )
        header[key.strip().lower()] = value.strip()
        line = lines.next()
    if missing := [key for key in _KEYS if key not in header]:
        raise RecordingError(lines.name, f"its header lacks {', '.join(missing)}")
    if "celsius" not in header["unit"].lower():
        raise RecordingError(
            lines.name,
            f"its unit is {header['unit']!r}, not degrees Celsius: what a count of the sensor "
            "means depends on the camera; let it write Celsius",
        )
    _size(header, lines.name)
    first = lines.next()
    if not first:
        raise RecordingError(lines.name, "ends after its header")
    return header, first


def _size(header: dict[str, str], name: str) -> tuple[int, int]:
    """Height and width that a header names."""
    sizes = []
    for key in ("height", "width"):
        if not header[key].isdecimal() or not 0 < int(header[key]) <= MOST_PIXELS:
            raise RecordingError(
                name,
                f"the {key} in its header is {header[key][:20]!r}, expected a number of pixels",
            )
        sizes.append(int(header[key]))
    return sizes[0], sizes[1]


def _separator(line: str) -> str:
    """Between the numbers of a row."""
    return next((s for s in (";", "\t") if s in line), ",")


def _cells(line: str, separator: str) -> list[str]:
    cells = line.split(separator)
    if len(cells) > 1 and not cells[-1].strip():
        cells.pop()  # a separator ends the row
    return cells if separator == "," else [cell.replace(",", ".") for cell in cells]


def _is_row(line: str) -> bool:
    """Whether these are numbers, two at least."""
    cells = _cells(line, _separator(line))
    try:
        return len([float(cell) for cell in cells]) > 1
    except ValueError:
        return False


def _numbers(cells: list[str], lines: _Lines) -> FloatArray:
    try:
        values = np.array(cells, dtype=np.float64)
    except ValueError:
        values = np.full(len(cells), np.nan)
    if not np.isfinite(values).all():
        bad = next(cell for cell in cells if not _is_finite(cell))
        raise RecordingError(
            lines.name,
            f"line {lines.number} holds {bad.strip()[:20]!r} where a temperature should be",
        )
    return values.astype(np.float32)


def _is_finite(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False
