"""Who follows a training from outside: TensorBoard, Weights & Biases.

After every epoch they are told the row of training.csv; now and then they see a few windows and
what the network rebuilds of them; in the end they get a map of windows by their embeddings. Only
process 0 tells. A new one is a file here with a `Tracker` (see `told`) in it, and a line in
`_opened` and in `journal.TRACKERS`; its package is imported in that file and nowhere else.

What is wrong before training begins (package missing, folder not writable) ends it. Whoever fails
later (disk full, connection lost) is dropped, and that is said aloud: hours of learning are worth
more than a curve, and training.csv has all of its numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch

from raravis import distributed
from raravis.course import History
from raravis.durable import explained
from raravis.errors import ParameterError
from raravis.inference import WindowArray
from raravis.journal import Journal
from raravis.networks import Hardware, Network
from raravis.tracking.drawing import as_picture, compared
from raravis.tracking.told import Atlas, Columns, Settings, Tracker
from raravis.windows import BoolArray, FloatArray, IntArray

PICTURED = 6  # windows, the same ones each time
PICTURES = 10  # times at which they are pictured, about, if every epoch is reached
MAPPED = 2000  # windows on the map at most
BATCH = 64  # windows that the network sees at once here


class Tracking:
    """Tells all trackers of a journal how one network learns.

    journal    names them; says where they write and who hears that one failed.
    settings   of the training, for those who show them.
    network    on its hardware.
    windows    all that there are.
    held_back  rows of those to be pictured; where there are none, any are.
    history    the epochs that are over already, where training goes on.

    Used in `with`, so that what was told is on disk however training ends.

    Raises ParameterError where the journal names trackers but no folder, RunError where a tracker
    cannot write there.
    """

    def __init__(
        self,
        journal: Journal,
        settings: Settings,
        network: Network,
        hardware: Hardware,
        windows: WindowArray,
        held_back: IntArray,
        history: History,
    ) -> None:
        if journal.trackers and journal.folder is None:
            raise ParameterError(
                f"to follow training in {', '.join(journal.trackers)} the journal needs a folder"
            )
        self.journal, self.history = journal, history
        self.network, self.hardware, self.windows = network, hardware, windows
        self._every = max(1, settings["epochs"] // PICTURES)
        self._pictured = _spread(held_back if len(held_back) else np.arange(len(windows)), PICTURED)
        self._trackers: dict[str, Tracker] = {}
        if journal.folder is not None and distributed.rank() == 0:
            with explained(journal.folder):
                for name in journal.trackers:
                    self._trackers[name] = _opened(name, journal, settings, history)

    @property
    def is_asked(self) -> bool:
        """Whether anybody follows; the same in all processes."""
        return bool(self.journal.trackers)

    @property
    def mapped(self) -> IntArray:
        """Rows of the windows that the map shows."""
        return _spread(np.arange(len(self.windows)), MAPPED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._tell(lambda tracker: tracker.close())
        self._trackers = {}

    def row(self) -> None:
        """Tells the last epoch, with pictures if it is time; the network must be in eval mode."""
        if not self._trackers:
            return
        epoch = len(self.history)
        row = self.history.row(epoch - 1)
        self._tell(lambda tracker: tracker.row(row))
        if epoch == 1 or epoch % self._every == 0:
            self._show(epoch)

    def flush(self) -> None:
        """To be called before a checkpoint is written, so that no tracker knows less than it."""
        self._tell(lambda tracker: tracker.flush())

    def end(self, losses: FloatArray, kept: BoolArray) -> None:
        """Tells the map, and pictures what the network finally makes of windows.

        losses  (M,) of the windows in `mapped`; kept (N,), which of all were learned from to the
                end, if they were to be learned from at all.
        """
        if not self._trackers:
            return
        epoch, rows = len(self.history), self.mapped
        if epoch != 1 and epoch % self._every:
            self._show(epoch)
        columns: Columns = {
            "window": rows.tolist(),
            **(self.journal.places(rows) if self.journal.places else {}),
            "loss": losses.tolist(),
            "kept": ["yes" if one else "no" for one in kept[rows]],
        }
        upright = self.journal.upright
        pictures = self._each(rows, lambda part: np.stack([as_picture(w, upright) for w in part]))
        embedding = self._each(rows, lambda part: self._seen("embedding", part))
        atlas = Atlas(embedding, columns, pictures)
        self._tell(lambda tracker: tracker.atlas(epoch, atlas))

    def _show(self, epoch: int) -> None:
        if type(self.network).reconstruct is Network.reconstruct:
            return  # it does not reconstruct
        windows = self.windows[self._pictured].astype(np.float32)
        picture = compared(windows, self._seen("rebuilt", windows), self.journal.upright)
        self._tell(lambda tracker: tracker.picture(epoch, picture))

    def _seen(self, what: str, windows: FloatArray) -> FloatArray:
        with torch.inference_mode(), self.hardware.autocast():
            batch = self.hardware.batch(windows)
            if what == "rebuilt":
                seen = self.network.reconstruct(batch)
            else:
                seen = self.network.encode(batch).embedding
        numbers: FloatArray = seen.float().cpu().numpy()
        return numbers

    def _each(self, rows: IntArray, work: Callable[[FloatArray], Any]) -> Any:
        """What `work` gives for these windows, read a batch at a time."""
        starts = range(0, len(rows), BATCH)
        return np.concatenate([work(self.windows[rows[at : at + BATCH]]) for at in starts])

    def _tell(self, what: Callable[[Tracker], None]) -> None:
        """Tells every tracker; one that fails is dropped, and somebody hears of it."""
        for name, tracker in list(self._trackers.items()):
            try:
                what(tracker)
            except tracker.failures as error:
                del self._trackers[name]
                self.journal.remark(
                    f"{name} failed and is told nothing more ({error}): training goes on, and "
                    f"{self.journal.folder}/training.csv has its numbers"
                )


def _opened(name: str, journal: Journal, settings: Settings, history: History) -> Tracker:
    folder = Path(journal.folder or "", name)
    folder.mkdir(parents=True, exist_ok=True)
    if name == "tensorboard":
        from raravis.tracking.tensorboard import TensorBoard

        return TensorBoard(folder, history)
    from raravis.tracking.wandb import WeightsAndBiases

    return WeightsAndBiases(folder, history, settings, journal.remark)


def _spread(rows: IntArray, most: int) -> IntArray:
    """At most so many of the rows, evenly spread."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int)
    spread: IntArray = rows[places]
    return spread
