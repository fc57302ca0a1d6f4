"""Where training stood, on disk: whole or not there, the newest few and the best.

FOLDER/checkpoints/00000120.pt   after so many steps; the newest `keep` of them stay
FOLDER/checkpoints/best.pt       the best weights met so far, alone
"""

from __future__ import annotations

import io
import time
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from raravis import distributed
from raravis.durable import UNFINISHED, write_atomically
from raravis.errors import ParameterError, RunError
from raravis.journal import Journal

State = dict[str, Any]
USUALLY = 3
UNREADABLE = (OSError, EOFError, RuntimeError, UnpicklingError, KeyError, TypeError, ValueError)


class Checkpoints:
    """The checkpoints of one training; process 0 writes and reads them for all.

    Where the journal has no folder, nothing is kept and nothing is found.
    """

    def __init__(self, journal: Journal) -> None:
        if journal.keep is not None and journal.keep < 1:
            raise ParameterError(f"keep must be >= 1, got {journal.keep}")
        self.folder = None if journal.folder is None else journal.folder / "checkpoints"
        self._keep, self._every_s = journal.keep or USUALLY, journal.every_s
        self._saved = time.monotonic()
        self._best: int | None = None  # step of the best weights that lie on disk

    @property
    def due(self) -> bool:
        """Whether it is time to keep another one; only process 0 ever says so."""
        waited = time.monotonic() - self._saved >= self._every_s
        return self.folder is not None and distributed.rank() == 0 and waited

    def save(self, step: int, state: State, best_step: int) -> None:
        """Keeps `state`, reached after `step` steps; its "best_weights" are of `best_step`.

        Raises RunError where the disk is full; what was kept before is still there.
        """
        if self.folder is None or distributed.rank() > 0:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if best_step != self._best:
            best = {"step": best_step, "weights": state["best_weights"]}
            _write(self.folder / "best.pt", best)
            self._best = best_step
        _write(self.folder / f"{step:08d}.pt", state)
        for old in self._there()[: -self._keep]:
            old.unlink(missing_ok=True)
        self._saved = time.monotonic()

    def newest(self) -> State | None:
        """What was kept last, in every process; None where nothing was.

        A checkpoint that is broken is passed over for the one before. Raises RunError where all
        of them are.
        """
        return distributed.from_first(self._newest() if distributed.rank() == 0 else None)  # type: ignore[no-any-return]

    def _newest(self) -> State | None:
        there = self._there()
        for path in reversed(there):
            try:
                state: State = torch.load(path, map_location="cpu", weights_only=True)
                return {**state, "path": str(path)}
            except UNREADABLE:
                continue
        if there:
            raise RunError(
                f"no checkpoint in {self.folder} can be read, of {len(there)}: delete the folder "
                "to start over"
            )
        return None

    def _there(self) -> list[Path]:
        """All checkpoints, the oldest first; what a kill left half written is swept away."""
        if self.folder is None or not self.folder.is_dir():
            return []
        for half in self.folder.glob(f"*{UNFINISHED}"):
            half.unlink(missing_ok=True)
        return sorted(self.folder.glob("[0-9]*.pt"))


def _write(path: Path, state: State) -> None:
    whole = io.BytesIO()  # torch's own writer hides that a disk is full
    torch.save(state, whole)
    write_atomically(path, whole.getvalue())
