"""Recordings in which it is known what is rare: made once from the user's own, tried on by all.

A part is a file to learn from, a file to judge, and what in the second is rare. The files lie in
FOLDER/material, so that several processes work on the same, and so that one can listen to them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raravis.durable import write_atomically
from raravis.windows import BoolArray, Windows

INDEX = "material.json"


@dataclass(frozen=True)
class Part:
    """One question to a detector: having learned from one file, does it find what is rare in the
    other?

    learn   file to learn from.
    judge   file to judge, which may be the same.
    events  (E,) stretches of the judged file that are compared.
    rare    (E,) which of them are the known rarities.
    kind    what they are, in words.
    """

    learn: Path
    judge: Path
    events: Windows
    rare: BoolArray
    kind: str


def write_index(folder: Path, parts: list[Part]) -> None:
    """Says in FOLDER/material.json what the files are; last, so that it vouches for them."""
    table = [
        {
            "learn": part.learn.name,
            "judge": part.judge.name,
            "kind": part.kind,
            "start_s": part.events.start_s.tolist(),
            "end_s": part.events.end_s.tolist(),
            "rare": part.rare.astype(int).tolist(),
        }
        for part in parts
    ]
    write_atomically(folder / INDEX, json.dumps(table))


def read_index(folder: Path) -> list[Part]:
    """The parts that were written to a folder."""
    table: list[dict[str, Any]] = json.loads((folder / INDEX).read_text())
    return [
        Part(
            folder / row["learn"],
            folder / row["judge"],
            Windows.of(0, row["start_s"], row["end_s"]),
            np.array(row["rare"], dtype=bool),
            row["kind"],
        )
        for row in table
    ]
