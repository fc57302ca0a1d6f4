"""The verb that shows what raravis does, on data that it makes itself: demo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from raravis.cli import console
from raravis.cli.working import Json, Out, Overwrite, how_long, write_report
from raravis.errors import ParameterError


@dataclass(frozen=True)
class Planted:
    """Something rare that was put into the data."""

    label: str
    start_s: float
    end_s: float


def demo(
    out: Out = Path("demo"),
    kind: Annotated[str, typer.Option(help="sound, series, images or pairs.")] = "sound",
    minutes: Annotated[float, typer.Option(help="Length of the recording of sound.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Of the data and of the detector.")] = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make data with something rare in them, and find it: a dawn chorus with a plane and a
    chainsaw, a pumping station with six faults, or a sky camera (and, in pairs, a thermal one
    beside it) with a few strange moments.

    Example: raravis demo, or raravis demo --kind images
    """
    from raravis.detector import Detector
    from raravis.fitting import make_room

    if kind not in MADE:
        raise ParameterError(f"kind must be one of {', '.join(MADE)}, got {kind!r}")
    make_room(out, overwrite)
    folder = out / "recordings"
    folder.mkdir(parents=True, exist_ok=True)
    recordings, planted = MADE[kind](folder, minutes, seed)
    settings: dict[str, Any] = {} if kind == "sound" else {"learn": {"first": 0.4}}
    detector = Detector(kind=kind, seed=seed, **settings)
    with console.showing_progress() as progress:
        detector.fit(recordings, progress).save(out)
        detector.score(recordings, run=out, progress=progress)
        page = write_report(out, progress)
    found = detector.events()
    rows = [_held_against(one, found) for one in planted]
    if as_json:
        console.print_json({"found": rows, "events": len(found), "report": str(page)})
        return
    title = f"What was put in, and what was found among {len(found)} events"
    console.print_table(list(rows[0]), [list(row.values()) for row in rows], title)
    console.out.print(f"report: {page}", soft_wrap=True)


Made: TypeAlias = tuple[list[Path], list[Planted]]  # recordings, and what is rare in them


def _chorus(folder: Path, minutes: float, seed: int) -> Made:
    """A dawn chorus, of so many minutes."""
    import pandas as pd
    import soundfile

    from raravis.sound.synthesis import RATE_HZ, dawn_chorus

    recording = folder / "dawn_chorus_20260501_043000.flac"
    samples, sounds = dawn_chorus(minutes, seed)
    soundfile.write(recording, samples, RATE_HZ)
    pd.DataFrame([vars(sound) for sound in sounds]).to_csv(
        folder.parent / "true_events.csv", index=False
    )
    console.tell(f"made {recording}: {minutes:g} min, {len(sounds)} sounds, 2 of them rare")
    rare = [Planted(sound.label, sound.start_s, sound.end_s) for sound in sounds if sound.rare]
    return [folder], rare


def _station(folder: Path, minutes: float, seed: int) -> Made:
    """A week of a pumping station."""
    from raravis.series.synthesis import plant, write_csv

    series, faults = plant(hours=7 * 24, seed=seed)
    write_csv(folder / "plant.csv", series)
    console.tell(
        f"made {folder / 'plant.csv'}: {len(series):,} rows of {len(series.channels)} channels, "
        f"{len(faults)} faults; the first 40 % are learned from"
    )
    return [folder], [Planted(f"{fault.kind}, {fault.channel}", fault.start_s, fault.end_s)
                      for fault in faults]  # fmt: skip


def _sky(folder: Path, minutes: float, seed: int, thermal: bool = False) -> Made:
    """Two days and a half of a sky camera, and of a thermal one beside it."""
    from raravis.images.synthesis import make_sky

    guests = make_sky(folder, FRAMES, seed)
    cameras = ["optical", "thermal"] if thermal else ["optical"]
    seen = [guest for guest in guests if thermal or guest.camera != "thermal"]
    console.tell(
        f"made {FRAMES} frames of {' and '.join(cameras)} pictures in {folder}, {len(seen)} "
        "strange moments; the first 40 % are learned from"
    )
    rare = [Planted(guest.label, guest.start_s, guest.end_s) for guest in seen]
    return [folder / camera for camera in cameras], rare


FRAMES = 600
MADE: dict[str, Callable[[Path, float, int], Made]] = {
    "sound": _chorus,
    "series": _station,
    "images": _sky,
    "pairs": partial(_sky, thermal=True),
}


def _held_against(planted: Planted, found: Any) -> dict[str, Any]:
    """What was put in, and the strangest event that overlaps it."""
    hits = found[(found.start_s < planted.end_s) & (found.end_s > planted.start_s)]
    best = hits.iloc[0] if len(hits) else None
    return {
        "rare": planted.label,
        "from_s": round(planted.start_s, 1),
        "lasts": how_long(planted.end_s - planted.start_s),
        "found from_s": round(float(best.start_s), 1) if best is not None else None,
        "found lasts": how_long(best.end_s - best.start_s) if best is not None else None,
        "rank": int(best["rank"]) if best is not None else None,
    }


VERBS = (demo,)
