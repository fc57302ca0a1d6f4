"""What goes along with learning: who is told how far it is, and where its traces are kept.

FOLDER/checkpoints/*.pt   from which training goes on after a break
FOLDER/training.csv       one row for each epoch
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from raravis.progress import Progress, silent


@dataclass(frozen=True)
class Journal:
    """Given to whatever learns, and handed on to each network in it.

    progress  told of every step.
    folder    where checkpoints and the course of training are kept; None keeps nothing.
    keep      checkpoints that stay besides the best, >= 1, also when all is done; None: three
              while it goes on, and none in the end.
    every_s   seconds from one checkpoint to the next, and so what a kill can cost.
    trackers  who else is told after every epoch, such as "tensorboard" and "wandb".
    cache     folder of the cache from which windows are read; None cuts them from recordings.
    """

    progress: Progress = silent
    folder: Path | None = None
    keep: int | None = None
    every_s: float = 30.0
    trackers: Sequence[str] = ()
    cache: Path | None = None

    def within(self, name: str) -> Journal:
        """The journal of one network among several, in a folder of its own."""
        return self if self.folder is None else replace(self, folder=self.folder / name)


SILENT = Journal()
