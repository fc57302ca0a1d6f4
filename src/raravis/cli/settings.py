"""Flags that are settings: one line each, given to every verb that makes a detector.

`--config run.toml` comes first, then flags, then `--set SECTION.NAME=VALUE`. To add a flag, add a
line to FLAGS; the setting's own constructor checks the value.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from raravis.configuration import Table, merge, parse_settings, read_toml


@dataclass(frozen=True)
class Flag:
    """A flag and the setting that it sets, such as "scorer.k"."""

    setting: str
    type: type
    help: str

    def table(self, value: Any) -> Table:
        """The setting as nested tables."""
        *sections, name = self.setting.split(".")
        table: Table = {name: value}
        for section in reversed(sections):
            table = {section: table}
        return table


FLAGS: dict[str, Flag] = {
    "kind": Flag("kind", str, "Of recordings: sound, series, images (files tell), or pairs."),
    "model": Flag("model.name", str, "What sees, such as conv-ae in sound, lstm-ae in series."),
    "scorer": Flag("scorer.name", str, "What judges sound: rarity, reconstruction, knn, ..."),
    "explainer": Flag("explainer.name", str, "Network that shows what was expected, or none."),
    "threshold": Flag("threshold.name", str, "What alarms: rate, quantile, tail or margin."),
    "per_hour": Flag("threshold.per_hour", float, "Events per hour to expect (threshold rate)."),
    "time": Flag("source.time", str, "Column of the times in series; else it is found."),
    "channels": Flag("source.channels", str, "Columns of series to look at: a,b,c; default: all."),
    "labels": Flag("source.labels", str, "Columns of known anomalies, kept apart from the data."),
    "first": Flag("learn.first", float, "Share of each series or camera to learn from, its start."),
    "window": Flag("source.window_s", float, "Length of a window of sound in seconds."),
    "hop": Flag("source.hop_s", float, "Distance from window to window in seconds."),
    "rate": Flag("source.rate_hz", int, "Rate to resample to; default: the most common one."),
    "channel": Flag("source.channel", int, "Channel to take, from 0; default: mix all down."),
    "between": Flag("source.between", str, "Only this part of the day, such as 04:00-09:00."),
    "timezone": Flag("source.timezone", str, "Zone of the times in file names; default UTC."),
    "mels": Flag("features.mels", int, "Number of mel bands."),
    "keep_mels": Flag("features.keep_mels", str, "Bands to keep, such as 64:128."),
    "hz": Flag("features.hz", str, "Frequencies to keep, such as 2000:8000."),
    "epochs": Flag("training.epochs", int, "Times the network sees every window at most."),
    "batch": Flag("training.batch", int, "Windows that the network learns from at once."),
    "learning_rate": Flag("training.learning_rate", float, "Of the network's first step."),
    "prune": Flag("training.prune", str, "Leave out the strange: zscore:3, quantile, mad, tail."),
    "prune_every": Flag("training.prune_every", int, "Epochs from one look to the next."),
    "device": Flag("training.device", str, "Where networks learn: auto, cpu, cuda."),
    "seed": Flag("seed", int, "Of everything random; same seed, same numbers."),
}

_CONFIG = Annotated[
    Path | None, typer.Option("--config", help="TOML file with settings, such as a run.toml.")
]
_SET = Annotated[
    list[str], typer.Option("--set", help="SECTION.NAME=VALUE, such as scorer.k=5; repeatable.")
]


def with_settings(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a verb all FLAGS, `--config` and `--set`; it receives them as `config=`."""
    signature = inspect.signature(verb, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != "config"]
    flags = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[flag.type | None, typer.Option(help=flag.help)],
        )
        for name, flag in FLAGS.items()
    ]
    files = [
        inspect.Parameter(
            "config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_CONFIG
        ),
        inspect.Parameter("set_", inspect.Parameter.KEYWORD_ONLY, default=[], annotation=_SET),
    ]

    @functools.wraps(verb)
    def command(*args: Any, config: Path | None, set_: list[str], **options: Any) -> Any:
        given = {name: options.pop(name) for name in FLAGS}
        return verb(*args, config=gather(config, given, set_), **options)

    command.__signature__ = signature.replace(parameters=[*own, *flags, *files])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in [*own, *flags, *files]}
    return command


def gather(file: Path | None, flags: dict[str, Any], settings: list[str]) -> Table:
    """One table of all that was set: the file's, over it the flags, over them the settings."""
    table = read_toml(file) if file else {}
    table = table.get("detector", table)  # a run.toml holds the settings under [detector]
    for name, value in flags.items():
        if value is not None:
            table = merge(table, FLAGS[name].table(value))
    return merge(table, parse_settings(settings))
