"""Verbs that measure raravis itself: bench."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from raravis.cli import console
from raravis.cli.settings import with_settings
from raravis.cli.working import Json
from raravis.configuration import Table
from raravis.errors import DataError, ParameterError

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Order:
    """What was asked for: data folder, settings of the detector, parts, number of seeds, the folder
    for results row by row, and one of results that are to be scored."""

    data: Path | None
    config: Table
    parts: list[str]
    seeds: int
    out: Path | None = None
    score: Path | None = None


def _soundscapes(order: Order) -> Rows:
    from raravis.benchmarks import soundscapes
    from raravis.detector import Detector

    if order.data is None or not (order.data / "audio").is_dir():
        raise DataError(
            "the soundscapes are made from ESC-10 and field recordings: give their folder, with "
            f"audio/esc10 and audio/field_24h in it, by --data; got {order.data}"
        )

    def find(path: Path, seed: int) -> Any:
        detector = Detector.from_config({"explainer": "none", **order.config, "seed": seed})
        return detector.fit(path).score(path)

    with console.showing_progress() as progress:
        seeds = range(order.seeds)
        return soundscapes.run(order.data, find, seeds, parts=order.parts, progress=progress)


def _speed(order: Order) -> Rows:
    from raravis.benchmarks import speed

    return [*speed.run(), *speed.start_up()]


def _memory(order: Order) -> Rows:
    from raravis.benchmarks import speed

    return speed.memory()


def _training(order: Order) -> Rows:
    from raravis.benchmarks import training

    return training.run()


def _pruning(order: Order) -> Rows:
    from raravis.benchmarks import pruning

    if order.data is None:
        raise DataError(
            "the benchmark pruning needs images/, audio/esc10 and smd/: give the folder that holds "
            "them by --data"
        )
    with console.showing_progress() as progress:
        return pruning.run(order.data, range(order.seeds), order.parts, order.out, progress)


def _scan(order: Order) -> Rows:
    from dataclasses import replace

    from raravis.benchmarks import scanning, soundscapes

    if order.data is None:
        raise DataError("the benchmark scan needs audio/: give the folder that holds it by --data")
    data, known = order.data, (*soundscapes.DESIGNED, *soundscapes.CHECKED)
    mixes = {
        "designed on": [mix.name for mix in soundscapes.DESIGNED],
        "checked on": [mix.name for mix in soundscapes.CHECKED],
    }

    def compose(name: str, folder: Path) -> Any:
        mix = next(mix for mix in known if mix.name == name)
        return soundscapes.compose(replace(mix, count=8), data, folder, minutes=15)

    with console.showing_progress() as progress:
        return scanning.run(mixes, compose, order.out, order.parts, progress=progress)


def _sharing(order: Order) -> Rows:
    from raravis.benchmarks import sharing

    return sharing.run()


def _cache(order: Order) -> Rows:
    from raravis.benchmarks import caching

    with console.showing_progress() as progress:
        return caching.run(progress=progress)


def _rows(order: Order) -> Rows:
    from raravis.benchmarks import row_speed

    return row_speed.run()


def _store(order: Order) -> Rows:
    from raravis.benchmarks import store

    return store.run()


def _spread(order: Order) -> Rows:
    from raravis.benchmarks import spreading

    with console.showing_progress() as progress:
        return spreading.run(rounds=order.seeds, progress=progress)


def _nab(order: Order) -> Rows:
    from raravis.benchmarks import nab

    if order.score is not None:
        return nab.score(order.score, order.data)
    if order.data is None:
        raise DataError("give the folder that holds nab/ by --data, or results to score by --score")
    with console.showing_progress() as progress:
        return nab.run(order.data, order.out, order.parts, progress)


def _bank(order: Order) -> Rows:
    from raravis.benchmarks import soundscapes

    return soundscapes.bank_curve()


def _skab(order: Order) -> Rows:
    from raravis.benchmarks import skab

    with console.showing_progress() as progress:
        data = _folder(order, "skab")
        return skab.run(data, range(order.seeds), order.parts, order.out, progress)


def _series(order: Order) -> Rows:
    from raravis.benchmarks import series

    with console.showing_progress() as progress:
        data = _folder(order, "series")
        return series.run(data, range(order.seeds), order.parts, order.out, progress)


def _images(order: Order) -> Rows:
    from raravis.cli import measuring_images

    with console.showing_progress() as progress:
        return measuring_images.run(order.data, range(order.seeds), order.parts, progress)


def _folder(order: Order, name: str) -> Path:
    """The folder of one data set: that named by --data, or the one called so within it.

    Raises DataError where no folder was named.
    """
    if order.data is None:
        raise DataError(f"the benchmark {name} needs data: give their folder by --data")
    return order.data / name if (order.data / name).is_dir() else order.data


BENCHMARKS: dict[str, tuple[str, Callable[[Order], Rows]]] = {
    "soundscapes": ("how much is found, beside chance, loudness, PCA and kNN", _soundscapes),
    "speed": ("reading, mel, network and scores, beside librosa and bare parts", _speed),
    "memory": ("resident memory of detect on one and six hours", _memory),
    "training": ("the training loop and inference, beside bare float32 loops", _training),
    "pruning": ("when leaving strange windows out of training helps, and when not", _pruning),
    "scan": ("whether what a scan goes by picks settings that find more", _scan),
    "sharing": ("several processes that teach one network, beside one", _sharing),
    "cache": ("windows heard once: building, random reading, memory of training", _cache),
    "rows": ("learning and scoring rows of a series, beside PyOD and a bare loop", _rows),
    "spread": ("an hour scored by workers, beside one process, and merging", _spread),
    "nab": ("one channel, row by row, beside NAB's leaderboard", _nab),
    "store": ("a million windows: ingest, neighbours, ranking", _store),
    "series": ("one default for 75 series, beside PyOD, PCA and networks", _series),
    "skab": ("a pump with faults, beside the published leaderboard", _skab),
    "images": ("pictures: what is found, learned and retrieved, part by part", _images),
    "bank": ("cost of judging rarity from one hour to a thousand", _bank),
}


@with_settings
def bench(
    name: Annotated[str, typer.Argument(help=", ".join(BENCHMARKS))],
    data: Annotated[Path | None, typer.Option(help="Folder of the data sets.")] = None,
    part: Annotated[list[str] | None, typer.Option(help="Only this part; repeatable.")] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds to average over.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Folder for results row by row.")] = None,
    score: Annotated[Path | None, typer.Option(help="nab: score these results instead.")] = None,
    as_json: Json = False,
    config: Table | None = None,
) -> None:
    """Measure raravis itself, always beside a baseline.

    Example: raravis bench soundscapes --data data/
    """
    if name not in BENCHMARKS:
        known = "; ".join(f"{known} ({what})" for known, (what, _) in BENCHMARKS.items())
        raise ParameterError(f"unknown benchmark {name!r}: choose one of {known}")
    rows = BENCHMARKS[name][1](Order(data, config or {}, part or [], seeds, out, score))
    if as_json:
        console.print_json(rows)
        return
    for title in dict.fromkeys(row.get("table", "") for row in rows):
        some = [row for row in rows if row.get("table", "") == title]
        columns = [key for key in dict.fromkeys(k for row in some for k in row) if key != "table"]
        console.print_table(columns, [[row.get(key) for key in columns] for row in some], title)


VERBS = (bench,)
