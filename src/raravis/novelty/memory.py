"""What a chain of novelty remembers: its parts, and the sorted values that they compare with.

Every part can be written down as plain arrays and goes on from them as if nothing had been.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
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
            else:
                super().restore({name: value})
        return self


P = TypeVar("P", bound=Part)


class Parts(Part, Generic[P]):
    """Several parts of one kind, `each` in its order."""

    def __init__(self, *each: P) -> None:
        self.each = each
        for place, part in enumerate(each):
            setattr(self, f"{place}_", part)


class Memory(Part):
    """The last values, kept sorted: what is new is compared with them in a few steps.

    most     >= 1: values remembered; the oldest makes room.
    ordered  the values, smallest first.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.ordered: array[float] = array("d")
        self.arrived_: deque[float] = deque()

    def add(self, value: float) -> None:
        """Remembers one more value."""
        if len(self.arrived_) == self.most:
            oldest = self.arrived_.popleft()
            del self.ordered[bisect_left(self.ordered, oldest)]
        self.arrived_.append(value)
        insort(self.ordered, value)

    def restore(self, state: State) -> Self:
        """The inverse of `state`."""
        super().restore(state)
        self.ordered = array("d", sorted(self.arrived_))
        return self
