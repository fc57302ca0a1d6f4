"""How long work tells how far it is, without knowing who listens."""

from __future__ import annotations

import warnings
from typing import Protocol


class Progress(Protocol):
    """Called now and then with the name of the step, what is done of it and what there is."""

    def __call__(self, step: str, done: float, total: float) -> None: ...


def silent(step: str, done: float, total: float) -> None:
    """The listener of those who do not listen."""


class Note(Protocol):
    """Called with the name of a step and how it stands, in words; `last` where it is over."""

    def __call__(self, step: str, text: str, last: bool = False) -> None: ...


def unnoted(step: str, text: str, last: bool = False) -> None:
    """The listener of those who do not listen."""


def warn(text: str) -> None:
    """Says what somebody must hear of, where nobody else was named to hear it."""
    warnings.warn(text, RuntimeWarning, stacklevel=2)
