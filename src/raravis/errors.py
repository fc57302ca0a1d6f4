"""Everything raravis raises on purpose, in one tree.

    RaravisError
    ├── ParameterError       a setting is out of range, or its name is unknown
    ├── DataError            the user's data cannot be used as asked
    │   ├── RecordingError   one recording cannot be read (the rest of the run goes on)
    │   └── NothingToRead    no recording could be read at all
    └── RunError             a run or model folder is missing, broken, foreign or in the way

A message says what was expected, what came, and what to do about it.
"""

from __future__ import annotations


class RaravisError(Exception):
    """Any error that raravis raises on purpose."""


class ParameterError(RaravisError, ValueError):
    """A setting is out of range, or its name is unknown."""


class DataError(RaravisError):
    """The user's data cannot be used as asked."""


class RecordingError(DataError):
    """One recording cannot be read; carries which one and why, for the list of what was skipped."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class NothingToRead(DataError):  # noqa: N818  reads as a sentence in `except NothingToRead`
    """No recording could be read at all."""


class RunError(RaravisError):
    """A run or model folder is missing, broken, foreign or in the way."""
