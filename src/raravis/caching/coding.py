"""In which numbers windows are kept: half floats, or bytes with a scale of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raravis.errors import ParameterError
from raravis.windows import FloatArray

Kept = npt.NDArray[Any]

DTYPES = ("float16", "uint8")
RANGE_DB = 140.0  # from the floor of the spectrogram to what no recording reaches
FLOOR_DB = -100.0
STEPS = 255


@dataclass(frozen=True)
class Coding:
    """How a decibel is kept.

    dtype  "float16", or "uint8": value = low + step * byte.
    low    the least value that a byte can say, and step, dB from one byte to the next; both
    step   declared beforehand, so that parts built on many machines agree. Unused by float16.
    """

    dtype: str = "float16"
    low: float = 0.0
    step: float = 1.0

    @classmethod
    def of(cls, dtype: str, centred: bool) -> Self:
        """The coding of this type; `centred` where a background or mean was taken off, so that
        values lie around 0 and not above the floor of -100 dB."""
        if dtype not in DTYPES:
            raise ParameterError(f"windows are kept as {' or '.join(DTYPES)}, not as {dtype!r}")
        if dtype == "float16":
            return cls()
        return cls("uint8", -RANGE_DB / 2 if centred else FLOOR_DB, RANGE_DB / STEPS)

    @property
    def error(self) -> float:
        """dB by which a value may be off at most, within the range that bytes can say; of half
        floats, within +-128 dB."""
        return 2.0**-5 if self.dtype == "float16" else self.step / 2

    def encode(self, clips: FloatArray) -> tuple[Kept, int]:
        """Values as they are kept, and how many of them were beyond what bytes can say."""
        if self.dtype == "float16":
            return clips.astype(np.float16), 0
        steps = np.rint((clips - self.low) / self.step)
        beyond = int(((steps < 0) | (steps > STEPS)).sum())
        return steps.clip(0, STEPS).astype(np.uint8), beyond

    def decode(self, kept: Kept) -> FloatArray:
        """The inverse of `encode`, float32; exact for half floats."""
        values = kept.astype(np.float32)
        if self.dtype == "uint8":
            values *= np.float32(self.step)
            values += np.float32(self.low)
        return values
