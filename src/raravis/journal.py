"""What goes along with learning: who is told how far it is, and where its traces are kept.

FOLDER/checkpoints/*.pt   from which training goes on after a break
FOLDER/training.csv       one row for each epoch
FOLDER/tensorboard/       what TensorBoard shows, and FOLDER/wandb/ Weights & Biases
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from raravis.errors import ParameterError
from raravis.progress import Note, Progress, silent, unnoted, warn
from raravis.windows import IntArray

TRACKERS = ("tensorboard", "wandb")  # each is the name of the package that it needs


@dataclass(frozen=True)
class Journal:
    """Given to whatever learns, and handed on to each network in it.

    progress  told of every step.
    folder    where checkpoints and the course of training are kept; None keeps nothing.
    keep      checkpoints that stay besides the best, >= 1, also when all is done; None: three
              while it goes on, and none in the end.
    every_s   seconds from one checkpoint to the next, and so what a kill can cost.
    trackers  who else is told after every epoch: "tensorboard", "wandb" or both; see `tracking`.
    note      told in words, after every epoch, how training stands.
    remark    told what went wrong without ending the training; warns where nobody is named.
    places    what is known of windows by their number, such as recording and time: columns for the
              map that trackers draw; None where nothing is.
    upright   windows are pictures, whose first row is their top.
    cache     folder of the cache from which windows are read; None cuts them from recordings.
    """

    progress: Progress = silent
    folder: Path | None = None
    keep: int | None = None
    every_s: float = 30.0
    trackers: Sequence[str] = ()
    note: Note = unnoted
    remark: Callable[[str], None] = warn
    places: Callable[[IntArray], dict[str, Sequence[Any]]] | None = None
    upright: bool = False
    cache: Path | None = None

    def __post_init__(self) -> None:
        for name in self.trackers:
            if name not in TRACKERS:
                raise ParameterError(
                    f"training can be followed in {' or '.join(TRACKERS)}, not in {name!r}"
                )
            if find_spec(name) is None:  # said now, not after hours of listening
                raise ParameterError(
                    f"{name} is not installed: pip install 'raravis[track]', or follow training "
                    "in training.csv alone"
                )

    def within(self, name: str) -> Journal:
        """The journal of one network among several, in a folder of its own."""
        return self if self.folder is None else replace(self, folder=self.folder / name)


SILENT = Journal()
