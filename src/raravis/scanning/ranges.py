"""Which settings are tried: `model.latent=4:64:log`, `features.mels=32,64,128`.

What is usual for a model stands in `usual`; a new default is a line there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from raravis import models
from raravis.configuration import Table, merge, parse_settings
from raravis.errors import ParameterError
from raravis.registry import parameters

HOW = "such as model.latent=4:64:log, source.window_s=0.5:2 or features.mels=32,64,128"
FIXED = ("source.between", "source.channel", "source.channels", "source.labels", "source.time",
         "source.timezone", "kind", "seed")  # fmt: skip
"""Settings that say what the recordings are, not how to look at them."""


class Draws(Protocol):
    """What chooses values: a trial of optuna, or a random generator in its clothes."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = ...) -> int: ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = ...) -> float: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


@dataclass(frozen=True)
class ByChance:
    """Draws values as a trial does, by chance alone."""

    rng: np.random.Generator

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number, low and high among them."""
        drawn = self.suggest_float(name, low - 0.5 * (not log), high + 0.5 * (not log), log=log)
        return int(np.clip(round(drawn), low, high))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Any number between the two."""
        if log:
            return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))
        return float(self.rng.uniform(low, high))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of those that are listed."""
        return choices[int(self.rng.integers(len(choices)))]


@dataclass(frozen=True)
class Range:
    """One setting, and which values it may take.

    setting  its place in the nested tables, such as "model.latent".
    low      the least value, and high the most; whole numbers are tried where both are whole.
    high
    log      spread evenly over orders of magnitude; low must be above 0.
    choices  instead of low and high: the values themselves.
    """

    setting: str
    low: float = 0
    high: float = 0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if not all(self.setting.split(".")):
            raise ParameterError(f"expected SETTING=VALUES, {HOW}, got {self.setting!r}")
        if self.setting in FIXED:
            raise ParameterError(
                f"{self.setting} says what the recordings are and cannot be searched: give it as "
                "a setting"
            )
        if self.choices:
            if len(set(map(repr, self.choices))) < max(2, len(self.choices)):
                raise ParameterError(
                    f"{self.setting} needs at least two different values to choose from, got "
                    f"{', '.join(map(str, self.choices))}"
                )
        elif not self.low < self.high or (self.log and self.low <= 0):
            above = " above 0" if self.log else ""
            raise ParameterError(
                f"{self.setting} needs a lower end{above} and a higher one, got {self.low:g} and "
                f"{self.high:g}"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """A range as it is typed. Raises ParameterError with examples where it is none."""
        setting, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not values:
            raise ParameterError(f"expected SETTING=VALUES, {HOW}, got {text!r}")
        if "," in values:
            listed = [value.strip() for value in values.split(",") if value.strip()]
            return cls(setting, choices=tuple(parse_settings([f"x={v}"])["x"] for v in listed))
        low, high, *more = values.split(":") if ":" in values else [values, ""]
        if more not in ([], ["log"]) or not (_is_number(low) and _is_number(high)):
            raise ParameterError(f"expected SETTING=VALUES, {HOW}, got {text!r}")
        return cls(setting, _number(low), _number(high), bool(more))

    def __str__(self) -> str:
        """As it is typed."""
        if self.choices:
            return f"{self.setting}={','.join(map(str, self.choices))}"
        return f"{self.setting}={self.low}:{self.high}{':log' * self.log}"

    def suggest(self, draws: Draws) -> Any:
        """A value, as a trial chooses."""
        if self.choices:
            return draws.suggest_categorical(self.setting, list(self.choices))
        if isinstance(self.low, int) and isinstance(self.high, int):
            return draws.suggest_int(self.setting, self.low, self.high, log=self.log)
        return draws.suggest_float(self.setting, self.low, self.high, log=self.log)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _number(text: str) -> float:
    """Whole where it is written so: "4" and "1_000", but not "4.0" or "1e3"."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def with_values(config: Mapping[str, Any], values: Mapping[str, Any]) -> Table:
    """Nested tables with values put in their places, {"model.latent": 8}.

    A member that is a bare name becomes a table with it, so that a setting has a place.
    """
    made: Table = dict(config)
    for setting, value in values.items():
        *sections, _ = setting.split(".")
        if sections and isinstance(made.get(sections[0]), str):
            made[sections[0]] = {"name": made[sections[0]]}
        table: Any = value
        for name in reversed(setting.split(".")):
            table = {name: table}
        made = merge(made, table)
    return made


def value_at(config: Any, setting: str) -> Any:
    """The value of a setting in nested tables, None where there is none; in a list of members,
    the first one's."""
    for name in setting.split("."):
        config = config[0] if isinstance(config, list) and config else config
        if not isinstance(config, Mapping) or name not in config:
            return None
        config = config[name]
    return config


# --- what is usual -----------------------------------------------------------------------------

LEARNING = ("training.learning_rate=1e-4:1e-2:log", "training.weight_decay=1e-6:1e-2:log")
SOUND_NETWORK = (*LEARNING, "training.batch=16,32,64,128", "source.window_s=0.5:2.0",
                 "features.mels=32,64,128")  # fmt: skip
SOUND_EVENTS = ("features.mels=32,64,128", "segments.edge_db=1.5:5.0:log",
                "segments.peak_db=5.0:10.0", "segments.gap_s=0.1:1.5:log",
                "segments.longest_s=1.5:8.0:log",
                "model.patterns=8:120:log")  # fmt: skip
RARITY = ("scorer.rounds=1:6", "scorer.full_db=5.0:40.0:log")
SERIES_NETWORK = (*LEARNING, "training.batch=64,128,256,512", "model.window=8:64:log")
SERIES_CLOSED = ("model.window=4:64:log",)
SERIES_DEFAULT = ("model.name=window-pca,autoregression,knn", *SERIES_CLOSED)
CODE = "model.latent=4:64:log"


def usual(kind: str, config: Mapping[str, Any]) -> list[Range]:
    """The ranges that are tried where none was given, for what a detector has resolved.

    kind    of recordings, and config, every setting, as in `Detector.config`.

    Raises ParameterError for a model of which nothing can be tried.
    """
    model = config["model"] if kind == "sound" else config["model"][0]
    name = str(model["name"])
    if name == "default":
        return [Range.parse(text) for text in SERIES_DEFAULT]
    if name == "novelty" or (kind == "series" and len(config["model"]) > 1):
        raise ParameterError(
            "there are no usual ranges for this model: say what is to be tried by --range, " + HOW
        )
    network = name not in ("sound-events", *_closed_form())
    if kind == "sound":
        texts: tuple[str, ...] = SOUND_NETWORK if network else SOUND_EVENTS
        texts += RARITY if config["scorer"]["name"] == "rarity" else ()
    else:
        texts = SERIES_NETWORK if network else SERIES_CLOSED
    if network and "latent" in parameters(models.get(name)):
        texts = (CODE, *texts)
    return [Range.parse(text) for text in texts]


def _closed_form() -> list[str]:
    from raravis.row_ensemble import closed_form_models

    return closed_form_models()
