"""What an object learned from data, as plain arrays: how models, scorers and thresholds are saved.

Learned attributes end in `_`. An array, a number or another `Learned` object may stand there.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from raravis.errors import RunError

State = dict[str, npt.NDArray[np.generic]]


class Learned:
    """Gives every learned attribute out as an array, and takes it back."""

    def state(self) -> State:
        """Learned attributes by name; those of a nested `Learned` as "outer_.inner_"."""
        arrays: State = {}
        for name, value in vars(self).items():
            if not name.endswith("_") or name.startswith("_"):
                continue
            if isinstance(value, Learned):
                arrays |= {f"{name}.{inner}": array for inner, array in value.state().items()}
            else:
                arrays[name] = np.ascontiguousarray(value).reshape(np.shape(value))
        return arrays

    def restore(self, state: State) -> Self:
        """The inverse of `state`. Raises RunError where an attribute has no place here."""
        for name, array in state.items():
            outer, _, inner = name.partition(".")
            if inner:
                part = getattr(self, outer, None)
                if not isinstance(part, Learned):
                    raise RunError(f"{type(self).__name__} has no part {outer!r} to restore")
                part.restore({inner: array})
            else:
                setattr(self, outer, array.item() if array.ndim == 0 else array)
        return self

    @property
    def is_fitted(self) -> bool:
        """True once something was learned."""
        return bool(self.state())
