"""How one kind of recordings is opened, learned from and judged. A new kind is one file here.

A sense resolves its settings when it is made, learns from a `Source`, and then turns any stretch
of a recording into rows for the store. The detector above it knows the run folder and the events,
and nothing of what kind the recordings are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from raravis.configuration import complete
from raravis.errors import ParameterError
from raravis.journal import Journal
from raravis.learned import State
from raravis.left_out import LeftOut
from raravis.registry import Registry, parameters
from raravis.sources import Source
from raravis.store import Rows
from raravis.windows import FloatArray

Options = dict[str, Any]
NOT_BY_ROW = "only series are judged row by row: sound is scored from files"
Paths = str | Path | Sequence[str | Path]


class Sense(ABC):
    """One kind of recordings, from the file to the score.

    suffixes    endings of the files that it can open.
    config      every setting, resolved; `learn` adds what form its recordings have.
    layers      what learned, by name; there once something was learned.
    main_layer  the layer of the store in which its events are found.
    left_out    what pruning left out of learning.
    """

    suffixes: tuple[str, ...]
    config: Options
    layers: dict[str, Any]
    left_out: LeftOut
    main_layer: str = "windows"

    @property
    @abstractmethod
    def scorer(self) -> str:
        """Name of the scorer that makes the score."""

    @property
    @abstractmethod
    def level(self) -> float:
        """The score from which on a window of the main layer raises an alarm."""

    @property
    @abstractmethod
    def merge_s(self) -> float:
        """Alarms closer than this are one event."""

    @abstractmethod
    def open(self, paths: Paths) -> Source:
        """The recordings under `paths`, cut as this sense cuts them."""

    @abstractmethod
    def learn(self, source: Any, journal: Journal) -> None:
        """Learns what is ordinary in what `open` gave."""

    @abstractmethod
    def judged(
        self, source: Any, recording: int, from_s: float
    ) -> Iterator[tuple[float, dict[str, Rows]]]:
        """(scored until, rows by layer) for each block of one recording from `from_s` on."""

    def pieces(self, source: Any, recording: int, from_s: float) -> list[tuple[float, float]]:
        """(from_s, to_s) of the stretches of one recording, from `from_s` on, that may be judged
        each by itself, in any order and by any process: all of it at once, unless a kind says
        otherwise."""
        return [(from_s, source.recordings[recording].duration_s)]

    @abstractmethod
    def p_values(self, scores: FloatArray) -> FloatArray:
        """Share of ordinary windows that would score at least as high, (N,)."""

    def begin(self, channels: tuple[str, ...]) -> None:
        """Makes ready for rows of these channels as they come; only series can."""
        raise ParameterError(NOT_BY_ROW)

    def update(self, rows: FloatArray, times: Any = None) -> Any:
        """Judges rows as they come; only series can."""
        raise ParameterError(NOT_BY_ROW)

    @abstractmethod
    def state(self) -> State:
        """Everything learned, as arrays."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """The inverse of `state`, in a sense made from the `config` of one that has learned."""


# --- settings ----------------------------------------------------------------------------------


def named(member: str | Options, default: str = "") -> Options:
    """A member as a table with its name; `default` where a table gives none."""
    table = {"name": member} if isinstance(member, str) else {"name": default, **member}
    if not table["name"]:
        raise ParameterError(f"expected a name, such as name=conv-ae, among {sorted(table)}")
    return table


def options_of(member: Options) -> Options:
    """A member's table without its name."""
    return {key: value for key, value in member.items() if key != "name"}


def completed(registry: Any, member: Options, what: str, seed: int) -> Options:
    """A member's table with all its defaults, so that a saved run states every setting; where it
    draws at random, it follows the detector's seed unless it has one of its own."""
    cls = registry.get(member["name"])
    own = {"seed": seed} if "seed" in parameters(cls) else {}
    table = complete(cls, {**own, **options_of(member)}, f"{what} {member['name']!r}")
    return {"name": member["name"], **table}


def prefixed(prefix: str, state: State) -> State:
    """Learned arrays under a name: "prefix.array"."""
    return {f"{prefix}.{name}": array for name, array in state.items()}


def under(prefix: str, state: State) -> State:
    """The arrays that `prefixed` put under a name."""
    return {k.removeprefix(f"{prefix}."): v for k, v in state.items() if k.startswith(f"{prefix}.")}


_registry: Registry[Sense] = Registry("kind of recording", __name__)
register, names, get, create = (
    _registry.register,
    _registry.names,
    _registry.get,
    _registry.create,
)
