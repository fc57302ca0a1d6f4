"""What `raravis bench images` measures, part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raravis.errors import DataError, ParameterError
from raravis.progress import Progress

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Asked:
    """Where the data are, and the seeds."""

    data: Path | None
    seeds: Sequence[int]
    progress: Progress

    @property
    def folder(self) -> Path:
        """Raises DataError where no folder was named."""
        if self.data is None:
            raise DataError("this part needs images/: give the folder that holds it by --data")
        return self.data


def _joint(part: str) -> Callable[[Asked], Rows]:
    def run(asked: Asked) -> Rows:
        from raravis.benchmarks import images_joint

        return images_joint.run(asked.data, asked.seeds, [part], progress=asked.progress)

    return run


def _retrieval(part: str) -> Callable[[Asked], Rows]:
    def run(asked: Asked) -> Rows:
        from raravis.benchmarks import images_retrieval

        return images_retrieval.run(asked.data, asked.seeds, [part], progress=asked.progress)

    return run


def _tiles(asked: Asked) -> Rows:
    from raravis.benchmarks import images_tiles

    return images_tiles.run(asked.folder, asked.seeds, asked.progress)


def _one_class(asked: Asked) -> Rows:
    from raravis.benchmarks import images_one_class

    return images_one_class.run(asked.folder, asked.seeds, progress=asked.progress)


def _pretexts(asked: Asked) -> Rows:
    from raravis.benchmarks import images_pretexts

    return images_pretexts.run(asked.folder, asked.seeds[:1], progress=asked.progress)


def _scores(asked: Asked) -> Rows:
    from raravis.benchmarks import images_scores

    return images_scores.run(asked.folder, asked.seeds, progress=asked.progress)


def _sound(asked: Asked) -> Rows:
    from dataclasses import replace

    from raravis.benchmarks import joint_sound, soundscapes

    known = {mix.name: mix for mix in (*soundscapes.DESIGNED, *soundscapes.CHECKED)}
    mixes = {
        "designed on": [mix.name for mix in soundscapes.DESIGNED],
        "checked on": [mix.name for mix in soundscapes.CHECKED],
    }

    def compose(name: str, folder: Path) -> Any:
        return soundscapes.compose(replace(known[name], count=8), asked.folder, folder, minutes=15)

    return joint_sound.run(mixes, compose, asked.seeds[:1], progress=asked.progress)


PARTS: dict[str, Callable[[Asked], Rows]] = {
    "loss": _joint("loss"),
    "step": _joint("step"),
    "fashion": _joint("fashion"),
    "tiles": _tiles,
    "one-class": _one_class,
    "pairs": _retrieval("thermal"),
    "sky": _retrieval("skies"),
    "sound": _retrieval("sound"),
    "soundscapes": _sound,
    "pretexts": _pretexts,
    "scores": _scores,
}


def run(data: Path | None, seeds: Sequence[int], parts: Sequence[str], progress: Progress) -> Rows:
    """Rows of figures of each part asked for, all where none is; "table" says of which part."""
    if unknown := sorted(set(parts) - PARTS.keys()):
        raise ParameterError(f"parts of images are {', '.join(PARTS)}; got {', '.join(unknown)}")
    asked = Asked(data, seeds, progress)
    return [
        {"table": name, **row}
        for name, measure in PARTS.items()
        if not parts or name in parts
        for row in measure(asked)
    ]
