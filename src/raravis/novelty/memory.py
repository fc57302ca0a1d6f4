"""What a chain of novelty remembers: its parts, and the sorted values that they compare with.

Every part can be written down as plain arrays and goes on from them as if nothing had been.
"""

from __future__ import annotations

from array import array
from bisect import insort
from collections import deque
from typing import Generic, Self, TypeVar

from raravis.learned import Learned, State


class Part(Learned):
    """Something that sees one row after the other; what it remembers ends in `_`.

    A number, a deque of numbers or another part may stand there. Nothing that comes later changes
    what was said.
    """

    def restore(self, state: State) -> Self:
        """The inverse of `state`; from here on it says bitwise what it would have said."""
        for name, value in state.items():
            remembered = getattr(self, name, None)
            if isinstance(remembered, deque):
                remembered.clear()
                remembered.extend(value.tolist())
            elif isinstance(remembered, array):
                remembered[:] = array("d", value.tolist())
            else:
                super().restore({name: value})
        return self


GOLDEN = 0.6180339887498949  # its multiples, without their whole part, are spread evenly
P = TypeVar("P", bound=Part)


class Parts(Part, Generic[P]):
    """Several parts of one kind, `each` in its order."""

    def __init__(self, *each: P) -> None:
        self.each = each
        for place, part in enumerate(each):
            setattr(self, f"{place}_", part)


class Memory(Part):
    """Values seen, kept sorted: what is new is compared with them in a few steps.

    Once it is full, one value fades for each that comes: ranks spread evenly over all of them, so
    that quantiles stay as they are, and old times are thinned out, not cut off.

    most      >= 1: values remembered.
    ordered_  the values, smallest first.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.ordered_: array[float] = array("d")
        self.fades_ = 0.0  # share of the values that lie below the next one to fade

    def state(self) -> State:
        """What is remembered, copied: what comes later does not reach it."""
        return {name: value.copy() for name, value in super().state().items()}

    def add(self, value: float) -> None:
        """Remembers one more value."""
        if len(self.ordered_) >= self.most:
            self.fades_ = (self.fades_ + GOLDEN) % 1.0
            del self.ordered_[int(self.fades_ * self.most)]
        insort(self.ordered_, value)
