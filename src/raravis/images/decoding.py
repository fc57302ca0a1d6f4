"""One picture file: what its header tells, and its pixels as float32 (C, H, W).

JPEG, PNG and TIFF, of 8 or 16 bits; palettes, CMYK and alpha are brought to grey or colour. Only
these three decoders are tried, whatever a file says of itself, and no picture is decoded before
its header has told how many pixels it would take.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from raravis.errors import RecordingError
from raravis.windows import FloatArray

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
MOST_PIXELS = 80_000_000  # of one picture; a MOBOTIX frame with both cameras has 12.6 million

_FORMATS = ("JPEG", "PNG", "TIFF")
_TOPS = {"F": 1.0, "float32": 1.0, "bool": 1.0}  # what is white, of other modes than whole numbers
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_ORIENTATION, _DETAILS, _TAKEN, _OFFSET, _PART_OF_SECOND = 0x0112, 0x8769, 0x9003, 0x9011, 0x9291
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What brings a picture of each EXIF orientation upright; from 5 on the sides are exchanged."""
_BROKEN = (
    OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, IndexError, KeyError,
    TypeError, OverflowError, ZeroDivisionError, AttributeError,
)  # fmt: skip
"""What the decoders raise on files that are not what they say."""


@dataclass(frozen=True)
class Head:
    """What a header tells of a picture.

    height, width  in pixels, as it is to be seen; height is 0 where only reading all of it tells.
    camera         "colour", "grey" or "celsius".
    mode           how it is stored: "RGB", "L", "I;16", "P", "CMYK" ..., "celsius" or "float32".
    taken          when, by its EXIF: "2021:05:01 04:45:05", with part of a second and offset
                   behind it where they are known; "" where nothing tells.
    pages          in the file, of which the first is read.
    """

    height: int
    width: int
    camera: str
    mode: str
    taken: str = ""
    pages: int = 1


def head(source: Path | bytes, name: str) -> Head:
    """Reads the header of a picture; of a large file, only its beginning.

    name  of the picture in messages. Raises RecordingError for what is no picture, is empty, or
          would be larger than MOST_PIXELS.
    """
    with _opened(source, name) as image:
        exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
        turned = exif.get(_ORIENTATION, 1) >= 5
        width, height = image.size[::-1] if turned else image.size
        pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
        camera = "grey" if _is_grey(image) else "colour"
        taken = _taken(exif) if isinstance(exif, Image.Exif) else ""
        return Head(height, width, camera, image.mode, taken, pages)


def decode(source: Path | bytes, name: str, camera: str, longest: int) -> FloatArray:
    """The pixels of a picture, (3, H, W) in colour or (1, H, W) in grey, float32 in [0, 1].

    camera   "colour", "grey", or "celsius" for a TIFF of float numbers that are degrees.
    longest  side in pixels; a larger picture is reduced by averaging areas, a JPEG already while
             it is decoded.

    Raises RecordingError for a picture that is cut off, broken or too large.
    """
    with _opened(source, name) as image:
        size = reduced(image.size, longest)
        if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
            image.draft(image.mode, size)
        image.load()
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
        flat = _flat(image, "RGB" if camera == "colour" else "L")
        if size != flat.size:
            flat = flat.resize(size, Image.Resampling.BOX)
        values = np.asarray(flat.transpose(turn) if turn is not None else flat, dtype=np.float32)
        picture = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)  # (C, H, W)
        return in_channels(in_unit(picture, image.mode, camera, name), camera)


def in_unit(picture: FloatArray, mode: str, camera: str, name: str) -> FloatArray:
    """Stored values (C, H, W) as [0, 1], or as the degrees Celsius that they are.

    mode  how they were stored: integers of 8 or 16 bits, or float numbers.
    """
    if not np.isfinite(picture).all():
        raise RecordingError(name, "holds values that are no finite numbers")
    is_float = mode in ("F", "float32")
    if not (is_float and camera == "celsius"):
        picture = picture / np.float32(_TOPS.get(mode, 65535 if mode.startswith("I") else 255))
        low, high = float(picture.min()), float(picture.max())
        if low < 0 or high > 1:
            unit = "as float numbers they must lie in [0, 1]" if is_float else "more than 16 bits"
            raise RecordingError(
                name,
                f"holds values from {low:g} to {high:g}: {unit}; where they are degrees Celsius, "
                'set colour = "celsius"',
            )
    return np.ascontiguousarray(picture, dtype=np.float32)


def in_channels(picture: FloatArray, camera: str) -> FloatArray:
    """A picture (1, H, W) or (3, H, W) in the channels of `camera`; grey is luma (Rec. 601)."""
    if camera == "colour" and len(picture) == 1:
        return np.repeat(picture, 3, axis=0)
    if camera != "colour" and len(picture) == 3:
        red, green, blue = picture
        return np.asarray(0.299 * red + 0.587 * green + 0.114 * blue, dtype=np.float32)[None]
    return picture


def reduced(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Both sides, so much smaller that the longer is `longest` at most."""
    share = min(1.0, longest / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def resized(picture: FloatArray, height: int, width: int) -> FloatArray:
    """A picture (C, H, W) of another size: areas are averaged where it gets smaller."""
    if picture.shape[1:] == (height, width):
        return picture
    smaller = height <= picture.shape[1] and width <= picture.shape[2]
    way = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
    planes = [Image.fromarray(np.asarray(plane, dtype=np.float32)) for plane in picture]
    return np.stack([np.asarray(plane.resize((width, height), way)) for plane in planes])


@contextmanager
def _opened(source: Path | bytes, name: str) -> Iterator[Image.Image]:
    """The picture, not decoded yet; whatever breaks inside becomes a RecordingError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata that are not needed
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with _handle(source, name) as file, Image.open(file, formats=_FORMATS) as image:
                _check_size(image, name)
                yield image
    except RecordingError:
        raise
    except MemoryError:
        raise RecordingError(name, "is too large for the memory of this machine") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RecordingError(name, f"is refused, it may be a bomb: {error}") from None
    except _BROKEN as error:
        raise RecordingError(name, _reason(error)) from None


def _handle(source: Path | bytes, name: str) -> IO[bytes]:
    if isinstance(source, bytes):
        if not source:
            raise RecordingError(name, "is empty")
        return io.BytesIO(source)
    if source.stat().st_size == 0:
        raise RecordingError(name, "is empty")
    return source.open("rb")


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise RecordingError(
            name,
            f"has {width:,} x {height:,} pixels, more than {MOST_PIXELS:,}: it was not decoded, "
            "since it may be a bomb; make it smaller with another program",
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "is no JPEG, PNG or TIFF picture, or its header is broken"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    return f"is a broken or cut-off picture ({str(error) or type(error).__name__})"


def _flat(image: Image.Image, wanted: str) -> Image.Image:
    """In float numbers where it has more than 8 bits, else as `wanted`; a palette as the colours
    it stands for; transparency is dropped."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return image.convert("I").convert("F") if image.mode != "F" else image
    if image.mode in ("P", "PA", "LAB"):
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    return image.convert(wanted)


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "P":
        palette = np.frombuffer(bytes(image.getpalette("RGB") or []), dtype=np.uint8)
        return bool((palette.reshape(-1, 3) == palette.reshape(-1, 3)[:, :1]).all())
    return image.mode in _GREY


def _taken(exif: Image.Exif) -> str:
    """DateTimeOriginal with its part of a second and its offset from UTC."""
    details = exif.get_ifd(_DETAILS)
    taken, offset, part = (details.get(tag, "") for tag in (_TAKEN, _OFFSET, _PART_OF_SECOND))
    if not isinstance(taken, str) or not taken.strip("\0 :"):
        return ""
    part = part.strip("\0 ") if isinstance(part, str) else ""
    offset = offset.strip("\0 ") if isinstance(offset, str) else ""
    return taken.strip("\0 ") + (f".{part[:6]}" if part.isdigit() else "") + offset
