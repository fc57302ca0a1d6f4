"""Teaching a network, and running the taught one fast.

`Training` holds the settings and the loop; `Inference` folds, places and runs what was learned.
Both take windows as one float array (N, C, H, W), in memory or mapped from disk (`np.load` with
`mmap_mode="r"`), or as anything that is indexed like one, and read a batch at a time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from raravis.blocks import folded, seeded
from raravis.durable import atomic_file
from raravis.encoded import Encoded
from raravis.errors import DataError, ParameterError, RunError
from raravis.networks import Codes, Hardware, Network, named_shape
from raravis.progress import Progress, silent
from raravis.windows import FloatArray, IntArray

Answer = TypeVar("Answer")


class WindowArray(Protocol):
    """What windows (N, C, H, W) are asked: an array, or what cuts them when they are needed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""

    @property
    def ndim(self) -> int:
        """4."""

    def __len__(self) -> int: ...

    def __getitem__(self, wanted: Any, /) -> FloatArray: ...


AnyWindows = TypeVar("AnyWindows", bound=WindowArray)


@dataclass
class History:
    """How training went: one entry per epoch in each column.

    loss             mean over the epoch's batches, while the network was changing.
    validation_loss  after the epoch; the training loss again where nothing was held back.
    learning_rate    at the end of the epoch.
    seconds          wall time of the epoch.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.loss)

    @property
    def best(self) -> int:
        """Index of the epoch whose weights were kept: the least validation loss."""
        return int(np.argmin(self.validation_loss))

    @property
    def epochs_since_best(self) -> int:
        """Epochs in a row that brought nothing better."""
        return len(self) - 1 - self.best if len(self) else 0


@dataclass(frozen=True)
class Training:
    """How to teach a network: AdamW, a falling learning rate, and a stop when it gets no better.

    epochs         most passes over the windows, >= 1.
    batch          windows per step, >= 1; batches are made as equal as they can be.
    learning_rate  of the first step, > 0; it falls to 0 along half a cosine.
    weight_decay   >= 0, decoupled from the gradient.
    validation     share in [0, 1) of the windows that is held back to see when to stop: the last
                   in time, since neighbours in time are alike and a random choice would flatter.
    patience       epochs without a better validation loss after which training stops, >= 1.
    max_steps      most steps over all epochs, >= 1; None sets no limit.
    seed           of the order of the windows and of what the network draws while learning.
    device         "auto", "cpu", "cuda", ...
    precision      "auto", "float32" or "bfloat16"; see `Hardware`.

    The same seed gives the same weights on the same machine (on a GPU nearly so).

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

    def fit(
        self,
        network: Network,
        windows: WindowArray,
        *,
        checkpoint: Path | None = None,
        progress: Progress = silent,
        after_epoch: Callable[[int], None] | None = None,
    ) -> History:
        """Teaches `network` in place, leaving it in eval mode with the best weights met.

        windows     (N, C, H, W), finite, in order of time.
        checkpoint  file that is written after every epoch, such that a kill at any moment leaves
                    a whole one. Where it exists already, training goes on from it and ends with
                    the weights that it would have had without the break.
        after_epoch called with 0, 1, ... when that epoch has ended, with the network as it stands
                    then, in eval mode. It may draw random numbers: training does not notice.

        Raises DataError for too few windows or values that are not finite, ParameterError where
        the loss grows beyond all bounds, RunError for a checkpoint of another training.
        """
        learned, held_back = self.split(windows)
        hardware = Hardware.choose(self.device, self.precision)
        hardware.place(network)
        run = _Run(network, self, windows.shape)
        if checkpoint is not None and checkpoint.exists():
            run.load(checkpoint)
        steps = math.ceil(len(learned) / self.batch)  # in an epoch
        total = min(self.epochs * steps, self.max_steps or self.epochs * steps)
        step = len(run.history) * steps
        while step < total and run.history.epochs_since_best < self.patience:
            began, losses = time.perf_counter(), []
            network.train()
            with seeded(self.seed, len(run.history)):
                for rows in self._batches(learned, epoch=len(run.history))[: total - step]:
                    run.set_rate(self.learning_rate * (1 + math.cos(math.pi * step / total)) / 2)
                    with hardware.autocast():
                        loss = network.loss(hardware.batch(windows[rows]))
                    run.forget_gradients()
                    loss.backward()  # type: ignore[no-untyped-call]
                    run.optimiser.step()
                    losses.append(loss.detach())
                    progress("training", step := step + 1, total)
                lost = float(torch.stack(losses).mean())
                held = self._mean_loss(network, hardware, windows, held_back)
            self._check_finite(lost, held, windows)
            run.add(lost, held if len(held_back) else lost, time.perf_counter() - began)
            if checkpoint is not None:
                run.save(checkpoint)
            if after_epoch is not None:
                network.eval()
                after_epoch(len(run.history) - 1)
        network.load_state_dict(run.best_weights)
        network.eval()
        return run.history

    def split(self, windows: WindowArray) -> tuple[IntArray, IntArray]:
        """Rows to learn from, and the last ones in time, held back to see when to stop."""
        count = len(check_windows(windows))
        held_back = round(self.validation * count)
        if count - held_back < 2:
            raise DataError(
                f"training needs at least 2 windows besides those held back, got {count} in all: "
                "give more recordings, or cut shorter windows"
            )
        return np.arange(count - held_back), np.arange(count - held_back, count)

    def _batches(self, rows: IntArray, epoch: int) -> list[IntArray]:
        """The epoch's order: random batches of about equal size, each sorted for the disk."""
        order = np.random.default_rng([self.seed, epoch]).permutation(rows)
        parts = np.array_split(order, math.ceil(len(rows) / self.batch))
        return [np.sort(part) for part in parts]

    def _mean_loss(
        self, network: Network, hardware: Hardware, windows: WindowArray, rows: IntArray
    ) -> float:
        network.eval()
        losses = [0.0]
        with torch.inference_mode(), hardware.autocast():
            for start in range(0, len(rows), self.batch):
                part = rows[start : start + self.batch]
                losses.append(len(part) * float(network.loss(hardware.batch(windows[part]))))
        return sum(losses) / max(len(rows), 1)

    def _check_finite(self, lost: float, held: float, windows: WindowArray) -> None:
        if math.isfinite(lost) and math.isfinite(held):
            return
        for row in range(len(windows)):
            if not np.isfinite(windows[row]).all():
                raise DataError(
                    f"window {row} of {len(windows)} holds values that are not finite: training "
                    "needs finite ones; leave such windows out"
                )
        raise ParameterError(
            f"the loss grew to {lost} in training and {held} in validation: lower learning_rate, "
            f"now {self.learning_rate}, or bring the windows to mean 0 and deviation 1"
        )


class _Run:
    """What changes while a network learns, and its checkpoint."""

    def __init__(self, network: Network, training: Training, shape: tuple[int, ...]) -> None:
        self.network = network
        self._learning = list(network.parameters())
        self.history = History()
        self.optimiser = torch.optim.AdamW(
            network.parameters(),
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,
        )
        self.best_weights = self._weights()
        # A run may go on elsewhere, on other hardware; all else must be as it was.
        settings = {k: v for k, v in asdict(training).items() if k not in ("device", "precision")}
        self.settings = settings | {"windows": named_shape(shape)}

    def set_rate(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def forget_gradients(self) -> None:
        for weight in self._learning:  # what zero_grad does, without what it does around it
            weight.grad = None

    def _weights(self) -> dict[str, Tensor]:
        return {name: weight.clone() for name, weight in self.network.state_dict().items()}

    def add(self, loss: float, validation_loss: float, seconds: float) -> None:
        """Notes an epoch, and keeps its weights where they are the best so far."""
        self.history.loss.append(loss)
        self.history.validation_loss.append(validation_loss)
        self.history.learning_rate.append(self.optimiser.param_groups[0]["lr"])
        self.history.seconds.append(seconds)
        if self.history.epochs_since_best == 0:
            self.best_weights = self._weights()

    def save(self, path: Path) -> None:
        with atomic_file(path) as file:
            torch.save(
                {
                    "settings": self.settings,
                    "history": asdict(self.history),
                    "network": self.network.state_dict(),
                    "best_weights": self.best_weights,
                    "optimiser": self.optimiser.state_dict(),
                },
                file,
            )

    def load(self, path: Path) -> None:
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            settings = saved["settings"]
        except (OSError, EOFError, RuntimeError, UnpicklingError, KeyError, TypeError) as error:
            raise RunError(f"{path} is no whole checkpoint: delete it to start over") from error
        if settings != self.settings:
            raise RunError(
                f"{path} belongs to a training with {_differences(settings, self.settings)}: "
                "use the same settings and windows, or delete it to start over"
            )
        try:
            self.network.load_state_dict(saved["network"])
        except RuntimeError as error:
            raise RunError(
                f"{path} belongs to another network: build the same one, or delete it to start over"
            ) from error
        self.optimiser.load_state_dict(saved["optimiser"])
        self.best_weights = saved["best_weights"]
        self.history = History(**saved["history"])


def _differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {there.get(name)} (here {here.get(name)})"
        for name in sorted(there | here)
        if there.get(name) != here.get(name)
    )


class Inference:
    """A trained network made ready to run fast: windows in, numpy out.

    Batch normalisations are folded into the convolutions and, where the hardware multiplies
    bfloat16, the weights are rounded to it once; a score then errs by about 3e-4 of itself.
    The network given is not changed and can be trained on. Memory does not grow with the number
    of windows; the same windows give the same numbers.

    batch      windows that are run at once, >= 1.
    device     "auto", "cpu", "cuda", ...
    precision  "auto", "float32" or "bfloat16"; see `Hardware`.
    """

    def __init__(
        self, network: Network, batch: int = 64, device: str = "auto", precision: str = "auto"
    ) -> None:
        if batch < 1:
            raise ParameterError(f"batch must be >= 1, got {batch}")
        self.batch = batch
        self.hardware = Hardware.choose(device, precision)
        self.network = folded(network)
        self.network.fold()
        self.hardware.place(self.network)
        if self.hardware.bfloat16:
            for layer in self.network.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):  # what autocast would round each time
                    layer.bfloat16()

    def encode(self, windows: FloatArray) -> Encoded:
        """Embedding and terms of windows (N, C, H, W)."""
        return Encoded.concatenate([_encoded(c) for c in self._run(self.network.encode, windows)])

    def reconstruct(self, windows: FloatArray) -> FloatArray:
        """What the network expected instead of windows (N, C, H, W): the same shape, float32."""
        return np.concatenate([_numbers(r) for r in self._run(self.network.reconstruct, windows)])

    def _run(self, verb: Callable[[Tensor], Answer], windows: FloatArray) -> Iterator[Answer]:
        check_windows(windows)
        with torch.inference_mode(), self.hardware.autocast():
            for start in range(0, max(len(windows), 1), self.batch):  # once where there are none
                yield verb(self.hardware.batch(windows[start : start + self.batch]))


def _encoded(codes: Codes) -> Encoded:
    return Encoded(
        _numbers(codes.embedding), {name: _numbers(term) for name, term in codes.terms.items()}
    )


def _numbers(tensor: Tensor) -> FloatArray:
    numbers: FloatArray = tensor.float().contiguous().cpu().numpy()
    return numbers


def check_windows(windows: AnyWindows) -> AnyWindows:
    """The windows, where they are (N, C, H, W). Raises ParameterError where they are not."""
    if windows.ndim != 4:
        raise ParameterError(
            f"windows must be (N, channels, height, width), got {named_shape(windows.shape)}"
        )
    return windows
