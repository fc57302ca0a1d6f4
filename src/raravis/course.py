"""What changes while a network learns, and how it goes to disk and comes back."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raravis import distributed
from raravis.checkpoints import Checkpoints
from raravis.configuration import differences
from raravis.durable import write_atomically
from raravis.errors import RunError
from raravis.networks import Network
from raravis.pruning import Decision
from raravis.windows import BoolArray, FloatArray, IntArray

Table = dict[str, Any]
# Batches whose losses wait to be added up. Small tensors that wait lie between large ones that are
# freed, and hold on to their memory: so not too many, and not one, for which a GPU would stop.
NOTED = 64


@dataclass
class History:
    """How training went: one entry per epoch in each column.

    loss             mean over the epoch's windows, while the network was changing.
    validation_loss  after the epoch; the training loss again where nothing was held back.
    learning_rate    at the end of the epoch.
    seconds          wall time of the epoch, breaks not counted.
    windows          learned from in the epoch.
    kept_share       in (0, 1]: windows that pruning left, of those there are to learn from.
    gradient_norm    length of the gradient of the epoch's last batch.
    parts            the parts of the loss by name, each as `loss` is.
    looks            what pruning brought: epochs until then, level, windows, left_out, readmitted.
    since            epoch from which on the best is sought: windows were left out or readmitted
                     before it, and losses on other windows compare badly.
    left_out         the windows left out in the end: columns row, epoch (when), loss and level.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    windows: list[int] = field(default_factory=list)
    kept_share: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    looks: list[Table] = field(default_factory=list)
    since: int = 0
    left_out: dict[str, list[float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.loss)

    @property
    def best(self) -> int:
        """Index of the epoch whose weights were kept: the least validation loss."""
        searched = self.validation_loss[self.since :]
        return self.since + int(np.argmin(searched)) if searched else len(self) - 1

    @property
    def epochs_since_best(self) -> int:
        """Epochs in a row that brought nothing better."""
        return len(self) - 1 - self.best if len(self) else 0

    def row(self, epoch: int) -> dict[str, float]:
        """One row of the table, of epoch 0, 1, ...; it says 1, 2, ..."""
        windows, seconds = self.windows[epoch], self.seconds[epoch]
        return {
            "epoch": epoch + 1,
            "loss": self.loss[epoch],
            **{f"loss/{name}": values[epoch] for name, values in sorted(self.parts.items())},
            "validation_loss": self.validation_loss[epoch],
            "learning_rate": self.learning_rate[epoch],
            "gradient_norm": self.gradient_norm[epoch],
            "windows": windows,
            "kept_share": round(self.kept_share[epoch], 6),
            "windows_per_s": round(windows / max(seconds, 1e-9), 1),
            "seconds": round(seconds, 4),
        }

    def rows(self) -> list[dict[str, float]]:
        """One table row for each epoch, as in training.csv."""
        return [self.row(epoch) for epoch in range(len(self))]

    def words(self, epochs: int) -> str:
        """How it stands after the last epoch, of so many at most."""
        row = self.row(len(self) - 1)
        kept = f"{row['kept_share']:.1%} kept, " if row["kept_share"] < 1 else ""
        return (
            f"epoch {len(self)} of {epochs}: loss {row['loss']:.4g}, "
            f"validation {row['validation_loss']:.4g}, {kept}{row['windows_per_s']:,.0f} windows/s"
        )

    def last_words(self) -> str:
        """How it went."""
        kept = f", {self.kept_share[-1]:.1%} of the windows kept" if self.kept_share[-1] < 1 else ""
        loss, validation = self.loss[self.best], self.validation_loss[self.best]
        return (
            f"{len(self)} epochs in {sum(self.seconds):,.1f} s{kept}; taken from epoch "
            f"{self.best + 1}: loss {loss:.4g}, validation {validation:.4g}"
        )

    def write(self, path: Path) -> None:
        """The rows as CSV, there as a whole or not at all."""
        text = io.StringIO()
        rows = self.rows()
        writer = csv.DictWriter(text, list(rows[0]) if rows else ["epoch"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.getvalue())


class Course:
    """A network on its way: weights, optimiser, place in the order, windows left out.

    step    batches learned from so far; at, those of the epoch that is under way.
    kept    (N,) which windows are learned from, or looked at where they are held back.
    losses  (N,) of this process's windows in this epoch, 0 where there is none yet.
    left_at (N,) after how many epochs a window was left out; 0 where it is kept.
    seen    (N,) the loss of each window when windows were last pruned, and level, the loss above
    level   which it would have been left out.
    """

    def __init__(self, network: Network, settings: Table, count: int) -> None:
        self.network, self.settings = network, settings
        self.learning = list(network.parameters())
        self.history = History()
        self.optimiser = torch.optim.AdamW(
            self.learning,
            lr=settings["learning_rate"],
            weight_decay=settings["weight_decay"],
            fused=True,
        )
        self.step = self.at = self.best_step = 0
        self.kept: BoolArray = np.ones(count, dtype=bool)
        self.losses: FloatArray = np.zeros(count)
        self.left_at: IntArray = np.zeros(count, dtype=np.int32)
        self.seen: FloatArray = np.zeros(count)
        self.level: FloatArray = np.full(count, np.inf)
        self.sums: dict[str, float] = {}
        self.random: Tensor | None = None  # torch's, in the middle of an epoch
        self.best_weights = self._weights()
        self._noted: list[tuple[IntArray, dict[str, Tensor]]] = []
        self._began, self._before_s = time.perf_counter(), 0.0

    def set_rate(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def forget_gradients(self) -> None:
        for weight in self.learning:  # what zero_grad does, without what it does around it
            weight.grad = None

    def note(self, rows: IntArray, parts: dict[str, Tensor]) -> None:
        """One more batch is learned: this process's rows of it, and their parts of the loss."""
        self._noted.append((rows, {name: part.detach() for name, part in parts.items()}))
        self.step += 1
        self.at += 1
        if len(self._noted) == NOTED:
            self.fold()

    def fold(self) -> None:
        """Adds what was noted to `sums` and `losses`; only now is a GPU waited for."""
        if not self._noted:
            return
        rows = np.concatenate([rows for rows, _ in self._noted])
        self.losses[rows] = 0.0
        for name in self._noted[0][1]:
            parts = torch.cat(
                [parts[name].float().expand(len(rows)) for rows, parts in self._noted]
            )
            values = parts.cpu().numpy().astype(np.float64)
            self.sums[name] = self.sums.get(name, 0.0) + float(values.sum())
            self.losses[rows] += values
        self._noted = []

    def restore_random(self) -> None:
        """In the middle of an epoch, torch's random numbers go on where they were."""
        if self.random is not None:
            torch.set_rng_state(self.random)

    def end_epoch(
        self, windows: int, kept_share: float, validation_loss: float | None
    ) -> tuple[float, float]:
        """Notes an epoch that learned from so many windows, and keeps its weights where they are
        the best so far; gives the losses in training and validation."""
        self.fold()
        history, names = self.history, sorted(self.sums)
        means = distributed.total(np.array([self.sums[name] for name in names])) / windows
        for name, mean in zip(names, means.tolist(), strict=True):
            history.parts.setdefault(name, []).append(mean)
        history.loss.append(float(means.sum()))
        history.validation_loss.append(
            history.loss[-1] if validation_loss is None else validation_loss
        )
        history.learning_rate.append(self.optimiser.param_groups[0]["lr"])
        history.gradient_norm.append(self._gradient_norm())
        history.seconds.append(self.spent_s)
        history.windows.append(windows)
        history.kept_share.append(kept_share)
        self.at, self.sums, self.random = 0, {}, None
        if history.epochs_since_best == 0:
            self._keep_weights()
        return history.loss[-1], history.validation_loss[-1]

    @property
    def spent_s(self) -> float:
        """Seconds that the epoch under way has taken until now, breaks not counted."""
        return time.perf_counter() - self._began

    def start_clock(self) -> None:
        """An epoch begins, or what is left of one that was cut off."""
        self._began = time.perf_counter() - self._before_s
        self._before_s = 0.0

    def _gradient_norm(self) -> float:
        gradients = [weight.grad for weight in self.learning if weight.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients, foreach=True))

    def leave_out(self, rows: IntArray, decision: Decision, losses: FloatArray) -> None:
        """From now on, of these rows only those that the decision keeps are learned from."""
        before, history = self.kept[rows], self.history
        out, back = before & ~decision.kept, ~before & decision.kept
        history.looks.append(
            {
                "epoch": len(history),
                "level": decision.level,
                "windows": len(rows),
                "left_out": int(out.sum()),
                "readmitted": int(back.sum()),
            }
        )
        self.kept[rows] = decision.kept
        self.left_at[rows[out]], self.left_at[rows[back]] = len(history), 0
        self.seen[rows], self.level[rows] = losses, decision.level
        if out.any() or back.any():
            history.since = len(history)
            self._keep_weights()

    def finish(self) -> None:
        """Puts the best weights into the network, ready to be used."""
        self.network.load_state_dict(self.best_weights)
        self.network.eval()
        rows = np.flatnonzero(~self.kept)
        columns: dict[str, Any] = {"row": rows, "epoch": self.left_at[rows]}
        columns |= {"loss": self.seen[rows], "level": self.level[rows]}
        self.history.left_out = {name: column.tolist() for name, column in columns.items()}

    def _keep_weights(self) -> None:
        self.best_weights, self.best_step = self._weights(), self.step

    def _weights(self) -> dict[str, Tensor]:
        return {name: weight.clone() for name, weight in self.network.state_dict().items()}

    # --- to disk and back ------------------------------------------------------------------------

    def save(self, checkpoints: Checkpoints) -> None:
        """Keeps everything from which training can go on; every process must call it."""
        self.fold()
        random = distributed.all_of(torch.get_rng_state()) if self.at else []
        names = sorted(self.sums)
        sums = distributed.total(np.array([self.sums[name] for name in names]))
        state = {
            "settings": self.settings,
            "history": asdict(self.history),
            "network": self.network.state_dict(),
            "best_weights": self.best_weights,
            "best_step": self.best_step,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "at": self.at,
            "spent_s": self.spent_s if self.at else 0.0,
            "kept": torch.from_numpy(self.kept),
            "left_at": torch.from_numpy(self.left_at),
            "seen": torch.from_numpy(self.seen),
            "level": torch.from_numpy(self.level),
            "losses": torch.from_numpy(np.array(distributed.total(self.losses))),
            "sums": dict(zip(names, sums.tolist(), strict=True)),
            "random": random,
        }
        checkpoints.save(self.step, state, self.best_step)

    def resume(self, checkpoints: Checkpoints) -> None:
        """Goes on from the newest checkpoint, where there is one.

        Raises RunError where it belongs to another training.
        """
        saved = checkpoints.newest()
        if saved is None:
            return
        if saved["settings"] != self.settings:
            raise RunError(
                f"{saved['path']} belongs to a training with "
                f"{', '.join(differences(saved['settings'], self.settings))}: use the same "
                "settings and windows, or delete it to start over"
            )
        try:
            self.network.load_state_dict(saved["network"])
        except RuntimeError as error:
            raise RunError(
                f"{saved['path']} belongs to another network: build the same one, or delete it to "
                "start over"
            ) from error
        self.optimiser.load_state_dict(saved["optimiser"])
        vars(self.history).update(saved["history"])  # those who hold it see it
        self.best_weights, self.best_step = saved["best_weights"], saved["best_step"]
        self.step, self.at = saved["step"], saved["at"]
        self._before_s = saved["spent_s"]
        for name in ("kept", "left_at", "seen", "level"):
            setattr(self, name, saved[name].numpy())
        if distributed.rank() == 0:  # what all had learned until then, summed
            self.losses, self.sums = saved["losses"].numpy(), saved["sums"]
        else:
            self.sums = dict.fromkeys(saved["sums"], 0.0)
        if len(saved["random"]) == distributed.size():
            self.random = saved["random"][distributed.rank()]
