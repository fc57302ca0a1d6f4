"""Networks as models of rows, and how a model of rows is made from its table of settings.

Every registered network learns to rebuild windows of rows here, and what it rebuilds badly in a
channel is that channel's contribution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch

from raravis import models
from raravis.blocks import seeded
from raravis.configuration import Table, complete
from raravis.course import History
from raravis.errors import ParameterError, RunError
from raravis.inference import Inference
from raravis.journal import SILENT
from raravis.learned import Learned, State
from raravis.models import RowModel
from raravis.networks import Network
from raravis.registry import check_options, parameters
from raravis.row_ensemble import RowEnsemble
from raravis.series.residuals import ResidualScale, long_enough
from raravis.series.rows import strided
from raravis.training import Training
from raravis.windows import FloatArray, IntArray

CHUNK = 1024  # windows rebuilt at once: 2.5 MB with 38 channels of 16 rows
FEWEST = 8  # windows rebuilt at once: fewer are multiplied, and so rounded, in another way
STILL = 0.1  # deviations; an instance-normalised window is never divided by less

# What is usual for small windows, in place of the defaults of `Training`: so many steps whatever
# the length of the series, and no stop in between, since an epoch may be two steps long. In float32
# small networks are quicker, and a row gets the same score however many come with it; bfloat16
# serves windows of a thousand values and more.
TRAINING: Table = {
    "epochs": 400,
    "max_steps": 400,
    "batch": 256,
    "learning_rate": 2e-3,
    "validation": 0.0,
    "patience": 400,
    "precision": "float32",
}


class RowNetwork(RowModel):
    """How badly a network rebuilds the last rows, channel by channel.

        residual     = window - rebuilt window
        contribution = root mean square of the channel's residual over the window
                       / (the same while learning + 0.02)

    network        name and options of a registered network; its shape (C, window, 1) is added here.
    channels       C, how many channels the rows have.
    window         >= 1 rows that are rebuilt together.
    memory         >= 2: windows that are learned from at most, drawn at random.
    instance_norm  bring each window's channels to mean 0 and deviation 1 first, so that only their
                   shape counts. Amplitude mostly tells more.
    training       options of `Training` that differ from `TRAINING`.
    seed           of the first weights, of the drawing, and of training where it has none itself.

    history      how training went; empty in a model that was loaded.
    left_out     (N, 3) of the windows that training left out in the end: which stretch, their first
                 row in it and the row after their last; `history.left_out` says when and why.
    journal      of its training; whoever holds the run may set it before `fit`.
    after_epoch  called with the number of each epoch that ended; there this model can be asked for
                 contributions as it stands.

    Source: Sakurada & Yairi 2014, doi:10.1145/2689746.2689747. Ours divides every channel by its
    own ordinary residual.
    """

    def __init__(
        self,
        network: Table,
        channels: int,
        window: int = 16,
        memory: int = 20_000,
        instance_norm: bool = False,
        training: Table | None = None,
        seed: int = 0,
    ) -> None:
        if window < 1 or memory < 2:
            raise ParameterError(
                f"window must be >= 1 and memory >= 2, got window={window}, memory={memory}"
            )
        self.window = window
        self.memory = memory
        self.instance_norm = instance_norm
        self.training = Training(**complete_training(training or {}, seed))
        self.seed = seed
        self.context = window - 1
        self.history = History()
        self.left_out: IntArray = np.empty((0, 3), dtype=int)
        self.after_epoch: Callable[[int], None] | None = None
        self.journal = SILENT
        with seeded(seed):  # the first weights follow the seed alone
            made = models.create(**network, shape=(channels, window, 1))
        self.network_ = Weights(made, self.training.device, self.training.precision)
        self.scale_ = ResidualScale()

    def fit(self, stretches: Sequence[FloatArray]) -> Self:
        """Teaches the network, then measures what each channel's residual ordinarily is."""
        long_enough(stretches, self.context, 2 * self.window, "a network of rows")
        windows = RowWindows(stretches, self.window, self.memory, self.instance_norm, self.seed)

        def look(epoch: int) -> None:
            if self.after_epoch is not None:
                self._measure(windows)
                self.after_epoch(epoch)

        self.history = self.training.fit(
            self.network_.network, windows, journal=self.journal, after_epoch=look
        )
        self._measure(windows)
        self.left_out = windows.where(np.array(self.history.left_out["row"], dtype=int))
        return self

    def contributions(self, rows: FloatArray) -> FloatArray:
        """Each channel's residual over its ordinary one, (n, C) of (context + n, C)."""
        if not self.scale_.is_fitted:
            raise RunError("the network is not trained: call fit first, or load a run")
        windows = RowWindows([rows], self.window, len(rows), self.instance_norm)
        return self.scale_.apply(self._residuals(windows))

    def _measure(self, windows: RowWindows) -> None:
        self.network_.changed()
        self.scale_.fit(self._residuals(windows))

    def _residuals(self, windows: RowWindows) -> FloatArray:
        """Root mean square of each channel's residual over each window, (N, C)."""
        residuals = np.empty(windows.shape[:2])
        for start in range(0, len(windows), CHUNK):
            part = windows[start : start + CHUNK]
            apart = (part - self.network_.reconstruct(part))[..., 0]
            squares = np.einsum("ncw,ncw->nc", apart, apart)
            residuals[start : start + CHUNK] = np.sqrt(squares / self.window)
        return residuals


class RowWindows:
    """Windows (N, C, W, 1) of stretches of rows (n, C), cut only when they are asked for.

    most  windows at most; where there are more, so many are drawn by `seed`, in order of time.
    """

    ndim = 4

    def __init__(
        self,
        stretches: Sequence[FloatArray],
        window: int,
        most: int,
        instance_norm: bool = False,
        seed: int = 0,
    ) -> None:
        rows = np.concatenate(stretches).astype(np.float32)
        self._window, self._channels = window, rows.shape[1]
        # views: row after row, a window lies in memory in one piece, and is copied as one
        self._pieces = strided(rows.reshape(-1, 1), rows[:window].size)[:: rows.shape[1], 0]
        self._instance_norm = instance_norm
        ends = self._ends = np.cumsum([len(rows) for rows in stretches])
        inside = [
            np.arange(end - len(rows), end - window + 1)  # no window reaches over a break
            for rows, end in zip(stretches, ends, strict=True)
        ]
        self._starts: IntArray = np.concatenate(inside)
        if len(self._starts) > most:
            draw = np.random.default_rng(seed)
            self._starts = np.sort(draw.choice(self._starts, most, replace=False))
        self.shape = (len(self._starts), self._channels, window, 1)

    def __len__(self) -> int:
        return len(self._starts)

    def where(self, wanted: IntArray) -> IntArray:
        """(N, 3) of windows (N,): which stretch, first row in it and the row after the last."""
        starts = self._starts[wanted]
        stretch = np.searchsorted(self._ends, starts, side="right")
        first = starts - np.append(0, self._ends)[stretch]
        return np.column_stack([stretch, first, first + self._window])

    def __getitem__(self, wanted: Any) -> FloatArray:
        pieces: FloatArray = self._pieces[self._starts[wanted]]  # (B, W C)
        windows = pieces.reshape(len(pieces), self._window, self._channels).transpose(0, 2, 1)[
            ..., None
        ]
        if self._instance_norm:
            windows = windows - windows.mean(axis=-2, keepdims=True)
            windows = windows / np.maximum(windows.std(axis=-2, keepdims=True), STILL)
        return windows


class Weights(Learned):
    """The weights of a network as learned arrays, and the network made ready to run."""

    def __init__(self, network: Network, device: str, precision: str) -> None:
        self.network = network
        self._device, self._precision = device, precision
        self._inference: Inference | None = None

    def changed(self) -> None:
        """To be called when the network has learned."""
        self._inference = None

    def reconstruct(self, windows: FloatArray) -> FloatArray:
        """What the network expected instead of windows (N, C, W, 1)."""
        if len(windows) < FEWEST:
            return self.reconstruct(np.resize(windows, (FEWEST, *windows.shape[1:])))[
                : len(windows)
            ]
        if self._inference is None:
            self._inference = Inference(self.network, CHUNK, self._device, self._precision)
        return self._inference.reconstruct(windows)

    def state(self) -> State:
        """Every weight by its name in the network."""
        return {k: v.detach().cpu().numpy() for k, v in self.network.state_dict().items()}

    def restore(self, state: State) -> Self:
        """The inverse of `state`. Raises RunError where the weights fit another network."""
        own = self.network.state_dict()
        for name, array in state.items():
            if name not in own or own[name].shape != array.shape:
                raise RunError(
                    f"the saved weights {name} {array.shape} fit another network: expected "
                    f"{tuple(own[name].shape) if name in own else 'none of that name'}"
                )
            own[name].copy_(torch.tensor(array))
        self.changed()
        return self


# --- from settings to models ---------------------------------------------------------------------


def make_member(options: Table, channels: int, training: Table, seed: int) -> RowModel:
    """A model of rows, with nothing learned yet.

    options   {"name": "lstm-ae", "window": 16, ...}: a registered model of rows and its options, or
              a registered network, its options, and those of `RowNetwork`.
    channels  how many channels the rows have.
    training  options of `Training` for networks that differ from `TRAINING`.
    seed      of everything random in it, where the options name none.

    Raises ParameterError where the name is of another kind of model, with those that would do.
    """
    table = complete_member(options, seed)
    if _is_a(RowModel, table["name"]):
        model: RowModel = models.create(**table)
        return model
    own = {name: table.pop(name) for name in _own_options() if name in table}
    return RowNetwork(table, channels, **own, training=training)


def make_members(
    tables: Mapping[str, Table], channels: int, training: Table, seed: int
) -> RowEnsemble:
    """The ensemble of models that these tables describe, by name; see `make_member`."""
    return RowEnsemble(
        {name: make_member(table, channels, training, seed) for name, table in tables.items()}
    )


def is_network(options: Table) -> bool:
    """Whether the table of a model of rows names a network."""
    return _is_a(Network, options["name"])


def complete_member(options: Table, seed: int) -> Table:
    """The table of a model of rows with all its defaults, so that a saved run states them."""
    name = options["name"]
    given = {key: value for key, value in options.items() if key != "name"}
    what = f"model {name!r}"
    made = models.get(name)
    if _is_a(RowModel, name):
        own = {"seed": seed} if "seed" in parameters(made) else {}
        return {"name": name, **complete(made, {**own, **given}, what)}
    if not _rebuilds(name):
        raise ParameterError(
            f"{name!r} does not see rows of series: choose one of {', '.join(row_models())}"
        )
    if "shape" in given:
        raise ParameterError(
            f"{what} in a series sees the shape (channels, window, 1): set window, not shape"
        )
    wrapping = {**_own_options(), "seed": seed}
    network = {key: value for key, value in given.items() if key not in wrapping}
    return {
        "name": name,
        **{key: given.get(key, value) for key, value in wrapping.items()},
        **complete(made, network, what),
    }


def complete_training(options: Table, seed: int) -> Table:
    """All settings of `Training`: those given, else what is usual for windows of rows."""
    check_options(Training, options, "training")
    return complete(Training, {"seed": seed, **TRAINING, **options}, "training")


def row_models() -> list[str]:
    """Names of all registered models that can see rows: closed-form ones, and networks that rebuild
    what they see."""
    return [name for name in models.names() if _is_a(RowModel, name) or _rebuilds(name)]


def _own_options() -> Table:
    """The options of `RowNetwork` that stand beside those of its network, with their defaults."""
    taken = ("network", "channels", "training")
    return {k: p.default for k, p in parameters(RowNetwork).items() if k not in taken}


def _rebuilds(name: str) -> bool:
    """Whether a name is that of a network that says what it expected."""
    made: Any = models.get(name)
    return _is_a(Network, name) and made.reconstruct is not Network.reconstruct


def _is_a(kind: type, name: str) -> bool:
    made = models.get(name)
    return isinstance(made, type) and issubclass(made, kind)
