"""Words that stand in the reports of every kind of recording."""

from __future__ import annotations

from collections.abc import Sequence

from raravis.windows import Recording


def counted(number: int, word: str) -> str:
    """Such as "1 recording" or "1,200 recordings"."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def names_of(recordings: Sequence[Recording]) -> str:
    """The name of the one recording, or how many there are."""
    if not recordings:
        return "nothing"
    if len(recordings) == 1:
        return recordings[0].name
    return counted(len(recordings), "recording")
