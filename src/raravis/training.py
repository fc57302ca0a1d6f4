"""Teaching a network, alone or shared among processes, leaving out what is strange on the way.

`Training` holds the settings and the loop. It takes windows as one float array (N, C, H, W), in
memory or mapped from disk, or as anything that is indexed like one, and reads a batch at a time.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from raravis import distributed
from raravis.blocks import normalise_over, seeded
from raravis.checkpoints import Checkpoints
from raravis.course import Course, History
from raravis.errors import DataError, ParameterError
from raravis.inference import WindowArray, check_windows
from raravis.journal import SILENT, Journal
from raravis.networks import Hardware, Network, named_shape
from raravis.pruning import Pruning, parse
from raravis.sampling import MaskedBatches
from raravis.tracking import Tracking
from raravis.windows import FloatArray, IntArray

ENOUGH = 16  # windows whose mean and deviation say enough of all


@dataclass(frozen=True)
class Training:
    """How to teach a network: AdamW, a falling learning rate, and a stop when it gets no better.

    epochs         most passes over the windows, >= 1.
    batch          windows per step, >= 1, shared by all processes; batches are made as equal as
                   they can be.
    learning_rate  of the first step, > 0; it falls to 0 along half a cosine.
    weight_decay   >= 0, decoupled from the gradient.
    validation     share in [0, 1) of the windows that is held back to see when to stop: the last
                   in time, since neighbours in time are alike and a random choice would flatter.
    patience       epochs without a better validation loss after which training stops, >= 1.
    max_steps      most steps over all epochs, >= 1; None sets no limit.
    seed           of the order of the windows and of what the network draws while learning.
    device         "auto", "cpu", "cuda", ...
    precision      "auto", "float32" or "bfloat16"; see `Hardware`.
    batch_norm     over what processes that share a batch normalise: "whole" batch (the same
                   weights however many there are, but they wait for each other at every layer),
                   their "own" part (quicker), or "auto": own where each has 16 windows or more.
    prune          rule by which windows are left out, such as "zscore:3", or "none"; and
    prune_every, prune_first, prune_least, readmit
                   when, how many are kept at least, and whether they may come back; see `Pruning`.
                   What is held back is pruned likewise, by its own losses, or else the weights
                   that rebuild the strange best would be taken for the best.

    The same seed gives the same weights on the same machine (on a GPU nearly so), whether or not
    training was broken off and gone on with.

    Sources: Loshchilov & Hutter 2019, arXiv:1711.05101 (AdamW), and 2017, arXiv:1608.03983 (the
    cosine, without restarts).
    """

    epochs: int = 20
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    validation: float = 0.15
    patience: int = 5
    max_steps: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    batch_norm: str = "auto"
    prune: str = "none"
    prune_every: int = 5
    prune_first: int = 5
    prune_least: float = 0.8
    readmit: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "patience", "max_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ParameterError(f"{name} must be >= 1, got {value}")
        if self.learning_rate <= 0 or self.weight_decay < 0:
            raise ParameterError(
                "learning_rate must be > 0 and weight_decay >= 0, got "
                f"{self.learning_rate} and {self.weight_decay}"
            )
        if not 0 <= self.validation < 1:
            raise ParameterError(f"validation must be in [0, 1), got {self.validation}")
        if self.batch_norm not in ("auto", "whole", "own"):
            raise ParameterError(f"batch_norm must be auto, whole or own, got {self.batch_norm!r}")
        self.pruning()

    def pruning(self) -> Pruning | None:
        """The rule by which windows are left out, if there is one."""
        settings = {name: getattr(self, f"prune_{name}") for name in ("every", "first", "least")}
        return parse(self.prune, **settings, readmit=self.readmit)

    def fit(
        self,
        network: Network,
        windows: WindowArray,
        *,
        journal: Journal = SILENT,
        after_epoch: Callable[[int], None] | None = None,
    ) -> History:
        """Teaches `network` in place, leaving it in eval mode with the best weights met.

        windows     (N, C, H, W), finite, in order of time.
        journal     who is told, and the folder where checkpoints are kept, such that a kill at any
                    moment leaves a whole one. Where there is one already, training goes on from it
                    and ends with the weights that it would have had without the break.
        after_epoch called with 0, 1, ... when that epoch has ended, with the network as it stands
                    then, in eval mode. It may draw random numbers: training does not notice.

        Raises DataError for too few windows or values that are not finite, ParameterError where
        the loss grows beyond all bounds, RunError for a checkpoint of another training.
        """
        teacher = _Teacher(self, network, windows, journal)
        teacher.teach(after_epoch)
        return teacher.course.history

    def split(self, windows: WindowArray) -> tuple[IntArray, IntArray]:
        """Rows to learn from, and the last ones in time, held back to see when to stop; where
        windows bring `held_back` (N,), it says which these are."""
        count = len(check_windows(windows))
        chosen = getattr(windows, "held_back", None)
        held_back = round(self.validation * count) if chosen is None else int(chosen.sum())
        if count - held_back < 2:
            raise DataError(
                f"training needs at least 2 windows besides those held back, got {count} in all: "
                "give more recordings, or cut shorter windows"
            )
        if min(count - held_back, max(1, self.batch // 2)) < distributed.size():
            raise ParameterError(
                f"{distributed.size()} processes cannot share batches of {self.batch} out of "
                f"{count - held_back} windows: use fewer processes or a larger batch"
            )
        if chosen is not None:
            return np.flatnonzero(~chosen), np.flatnonzero(chosen)
        return np.arange(count - held_back), np.arange(count - held_back, count)


class _Teacher:
    """One network that learns, and the windows that it learns from."""

    def __init__(
        self, training: Training, network: Network, windows: WindowArray, journal: Journal
    ) -> None:
        self.training, self.network, self.windows = training, network, windows
        self.journal = journal
        self.learned, self.held_back = training.split(windows)
        self.hardware = Hardware.choose(training.device, training.precision)
        self.hardware.place(network)
        distributed.share_weights(network)
        enough = training.batch >= ENOUGH * distributed.size()
        whole = training.batch_norm == "whole" or (training.batch_norm == "auto" and not enough)
        normalise_over(network, whole)
        self.batches = MaskedBatches(self.learned, training.batch, training.seed)
        self.steps = min(  # as far as can be foreseen
            training.epochs * math.ceil(len(self.learned) / training.batch),
            training.max_steps or sys.maxsize,
        )
        self.pruning = training.pruning()
        self.checkpoints = Checkpoints(journal)
        self.tracking: Tracking
        # A run may go on elsewhere, on other hardware; all else must be as it was.
        settings = {k: v for k, v in asdict(training).items() if k not in ("device", "precision")}
        settings["windows"] = named_shape(windows.shape)
        self.course = Course(network, settings, len(windows))

    def teach(self, after_epoch: Callable[[int], None] | None) -> None:
        """Epoch after epoch, until it is over."""
        course, history = self.course, self.course.history
        course.resume(self.checkpoints)
        with self._followed() as self.tracking:
            self._teach(after_epoch)
            course.finish()
            if self.tracking.is_asked:
                self.tracking.end(self._losses(self.tracking.mapped), course.kept)
        if distributed.rank() == 0:
            self.journal.note("training", history.last_words(), last=True)

    def _teach(self, after_epoch: Callable[[int], None] | None) -> None:
        history = self.course.history
        while not self._is_over():
            due = self._epoch()
            self._tell()
            if not self._is_over() and self.pruning and self.pruning.due(len(history)):
                self._look(self.pruning)
            if due or self._is_over():
                self._save()
            if after_epoch is not None:
                self.network.eval()
                after_epoch(len(history) - 1)

    def _followed(self) -> Tracking:
        course = self.course
        return Tracking(
            self.journal, course.settings, self.network, self.hardware,
            self.windows, self.held_back, course.history,
        )  # fmt: skip

    def _tell(self) -> None:
        """An epoch is over: says so to those who follow."""
        self.tracking.row()
        if distributed.rank() == 0:
            self.journal.note("training", self.course.history.words(self.training.epochs))

    def _save(self) -> None:
        distributed.average_buffers(self.network)
        self.tracking.flush()
        self.course.save(self.checkpoints)
        if self.journal.folder is not None and distributed.rank() == 0:
            self.course.history.write(self.journal.folder / "training.csv")

    def _is_over(self) -> bool:
        training, history = self.training, self.course.history
        return (
            len(history) >= training.epochs
            or self.course.step >= (training.max_steps or math.inf)
            or history.epochs_since_best >= training.patience
        )

    def _epoch(self) -> bool:
        """From where the course stands in the epoch to its end; true where a checkpoint is due."""
        course, due = self.course, False
        course.start_clock()
        epoch, rank = len(course.history), distributed.rank()
        if course.at == 0:  # a window may fall to another process than in the epoch before
            course.losses[:] = 0.0
        self.batches.kept = course.kept[self.learned]
        batches = self.batches.epoch(epoch)
        todo = batches[: course.at + (self.training.max_steps or sys.maxsize) - course.step]
        with seeded(self.training.seed, epoch, *([rank] if rank else [])):
            course.restore_random()
            self.network.train()
            for batch in todo[course.at :]:
                course.set_rate(self._rate(len(batches)))
                due = self._learn(batch)
                self.journal.progress("training", course.step, self.steps)
                if due and course.at < len(todo):
                    self._save()
            distributed.average_buffers(self.network)
            held = self._losses(self.held_back)
        held = held[course.kept[self.held_back]]
        lost = course.end_epoch(
            sum(map(len, todo)), float(self.batches.kept.mean()),
            float(held.mean()) if len(held) else None,
        )  # fmt: skip
        self._check_finite(lost)
        return due

    def _learn(self, batch: IntArray) -> bool:
        """One step; true in all processes where a checkpoint is due."""
        rows = distributed.own_part(batch)
        with self.hardware.autocast():
            parts = self.network.parts(self.hardware.batch(self.windows[rows]))
        share = distributed.size() / len(batch)  # what processes answer is averaged in the end
        whole = [part.sum() * share if part.ndim else part for part in parts.values()]
        loss = torch.stack(whole).sum()
        self.course.forget_gradients()
        loss.backward()  # type: ignore[no-untyped-call]
        due = distributed.average_gradients(self.course.learning, self.checkpoints.due)
        self.course.optimiser.step()
        self.course.note(rows, parts)
        return due

    def _rate(self, batches: int) -> float:
        """The learning rate of the next step, of an epoch of so many."""
        course, training = self.course, self.training
        done = (len(course.history) + course.at / batches) / training.epochs
        if training.max_steps is not None:
            done = max(done, course.step / training.max_steps)
        return training.learning_rate * (1 + math.cos(math.pi * done)) / 2

    def _losses(self, rows: IntArray) -> FloatArray:
        """The loss of each of these windows as the network stands, (len(rows),), in all processes.

        Parts that couple the windows of a batch count alike for each of them.
        """
        losses = np.zeros(len(rows))
        self.network.eval()
        with torch.inference_mode(), self.hardware.autocast():
            for start in range(0, len(rows), self.training.batch):
                own = distributed.own_part(
                    np.arange(start, min(start + self.training.batch, len(rows)))
                )
                parts = self.network.parts(self.hardware.batch(self.windows[rows[own]]))
                for part in parts.values():
                    losses[own] += part.float().cpu().numpy()
        return distributed.total(losses)

    def _look(self, pruning: Pruning) -> None:
        """Looks which windows are too strange to be learned from.

        Those learned from are judged by the losses that they had while the epoch went, which cost
        nothing; only those left out are asked again. Those held back are judged among themselves.
        """
        course = self.course
        out = self.learned[~course.kept[self.learned]]
        learned = distributed.total(course.losses)
        learned[out] = self._losses(out)
        for rows, losses in (
            (self.learned, learned[self.learned]),
            (self.held_back, self._losses(self.held_back)),
        ):
            if len(rows):
                decision = pruning.decide(losses, course.kept[rows])
                course.leave_out(rows, distributed.from_first(decision), losses)

    def _check_finite(self, lost: tuple[float, float]) -> None:
        if all(map(math.isfinite, lost)):
            return
        for row in range(len(self.windows)):
            if not np.isfinite(self.windows[row]).all():
                raise DataError(
                    f"window {row} of {len(self.windows)} holds values that are not finite: "
                    "training needs finite ones; leave such windows out"
                )
        raise ParameterError(
            f"the loss grew to {lost[0]} in training and {lost[1]} in validation: lower "
            f"learning_rate, now {self.training.learning_rate}, or bring the windows to mean 0 "
            "and deviation 1"
        )
