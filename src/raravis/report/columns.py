"""Arrays and numbers as JSON holds them: little-endian columns in base64, which a browser unpacks a
hundred times faster than numbers written out."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

from raravis.windows import FloatArray

Json = dict[str, Any]
_KINDS = {"f4": "<f4", "u4": "<u4", "u2": "<u2", "u1": "u1"}


def pack_array(array: Any, kind: str) -> Json:
    """A column as {"kind", "data"}: `kind` is f4, u4, u2 or u1, `data` its bytes in base64."""
    data = np.ascontiguousarray(array, dtype=_KINDS[kind]).tobytes()
    return {"kind": kind, "data": base64.b64encode(data).decode("ascii")}


def unpack_array(packed: Json) -> FloatArray:
    """The inverse of `pack_array`."""
    return np.frombuffer(base64.b64decode(packed["data"]), dtype=_KINDS[packed["kind"]])


def pack_from_base(values: FloatArray) -> Json:
    """A column as {"base", "offsets"}: a number near its values, and how far each is from it in
    four bytes; so a small change of a large value is not lost. NaN stays NaN."""
    known = values[np.isfinite(values)]
    base = float(known[0]) if len(known) else 0.0
    return {"base": base, "offsets": pack_array(values - base, "f4")}


def number(value: float) -> float | None:
    """A number that JSON can hold: seven digits, None where it is not finite."""
    return float(f"{value:.7g}") if math.isfinite(value) else None
