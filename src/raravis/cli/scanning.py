"""Verbs that look for better settings: scan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raravis.cli import console
from raravis.cli.settings import with_settings
from raravis.cli.working import Json, Paths
from raravis.configuration import Table
from raravis.errors import ParameterError

if TYPE_CHECKING:
    from raravis.scanning.study import Scan, Trial

Out = Annotated[Path, typer.Option(help="Folder of the study; what is there is gone on with.")]
Trials = Annotated[int, typer.Option(help="Trials that the study shall have in all.")]
Ranges = Annotated[
    list[str] | None,
    typer.Option("--range", help="SETTING=LOW:HIGH[:log] or SETTING=A,B,C; repeatable."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the study that is there.")]
Shown = Annotated[int, typer.Option(help="Trials to show, best first.")]


@with_settings
def scan(
    paths: Paths,
    out: Out = Path("scan"),
    trials: Trials = 50,
    range_: Ranges = None,
    overwrite: Overwrite = False,
    shown: Shown = 10,
    as_json: Json = False,
    config: Table | None = None,
) -> None:
    """Look for settings that find more in these recordings, without labels.

    Stopped at any moment, the same command goes on; run twice at once, both work on the same study.
    --labels EVENTS.csv, or for series --labels COLUMN, judges by what is known instead. Example:
    raravis scan recordings/ --trials 50 --out scan, then
    raravis detect recordings/ --config scan/best.toml
    """
    from raravis.detector import Detector
    from raravis.scanning import objective, pictures, study
    from raravis.scanning.ranges import Range, usual

    study.optuna()
    if trials < 1:
        raise ParameterError(f"trials must be at least 1, got {trials}")
    config, events = labels_apart(config or {})
    detector = Detector.for_recordings(paths, config)
    if detector.kind not in ("sound", "series"):
        raise ParameterError(
            f"scan tries settings on sound and on series, these are {detector.kind}: compare a few "
            "with raravis detect --set ... and raravis evaluate instead"
        )
    config = {"kind": detector.kind, **config}
    ranges = [Range.parse(text) for text in range_ or ()] or usual(detector.kind, detector.config)
    study.check(ranges, config)
    study.make_room(out, overwrite)
    known = events is not None or "labels" in config.get("source", {})
    about = {"recordings": [str(path) for path in paths], "labels": str(events) if known else ""}
    scanned = study.Scan(out, config, ranges, about, detector.config["seed"])
    judged: objective.Objective
    if known:
        judged = objective.Labelled(paths, config, events)
    else:
        with study.exclusively(out):
            judged = objective.make(paths, config, out / "material", detector.config["seed"])
    with console.showing_progress() as progress:
        found = scanned.run(judged, trials, progress)
    pictures.write(out, found, judged.name, scanned.importances())
    show(scanned, found, judged.name, shown, as_json)
    best = scanned.best()
    if best is not None and not known:
        console.tell(
            "what was made rare is not what is rare: where events are known, hold best.toml "
            "against them by raravis evaluate, or scan with --labels; see docs/scanning.md"
        )
    if best is not None:
        where = " ".join(str(path) for path in paths)
        console.tell(f"next: raravis detect {where} --config {out / 'best.toml'}")


def labels_apart(config: Table) -> tuple[Table, Path | None]:
    """The settings, and the file of known events where --labels names one and not columns."""
    source = dict(config.get("source", {}))
    labels = source.get("labels")
    if isinstance(labels, str) and labels.endswith(".csv"):
        del source["labels"]
        return {**config, "source": source}, Path(labels)
    return config, None


def show(scanned: Scan, trials: list[Trial], name: str, most: int, as_json: bool) -> None:
    """The best trials with the detector as it was set beside them, and what failed."""
    best = scanned.best()
    if as_json:
        console.print_json(
            {
                "objective": name,
                "best": None if best is None else best.number,
                "settings": None if best is None else scanned.settings(best),
                "trials": [vars(trial) for trial in trials],
                "importance": scanned.importances(),
            }
        )
        return
    finished = sorted(
        (trial for trial in trials if trial.state == "finished"),
        key=lambda trial: -(trial.figure or 0.0),
    )
    rows = [trial for trial in finished[:most] if not trial.is_default]
    rows += [trial for trial in finished if trial.is_default]
    settings = [one.setting for one in scanned.ranges]
    default = scanned.as_set()
    body = [
        [f"{'as set' if trial.is_default else trial.number}{' *' * (trial == best)}", trial.figure]
        + [trial.values.get(setting, default.get(setting)) for setting in settings]
        for trial in rows
    ]
    console.print_table(["trial", "figure", *settings], body, f"{name}; * is best.toml")
    if best is not None and best.is_default and len(finished) > 1:
        console.tell("no trial leads by more than two standard errors: settings stay as they were")
    list_failed(trials)


def list_failed(trials: list[Trial], most: int = 10) -> None:
    """What could not be tried, and why."""
    failed = [trial for trial in trials if trial.state == "failed"]
    pruned = sum(trial.state == "pruned" for trial in trials)
    if pruned:
        console.tell(f"{pruned} trials were pruned: they began worse than most")
    if failed:
        console.tell(f"{len(failed)} trials failed, all listed in trials.csv:")
    for trial in failed[:most]:
        console.tell(f"  trial {trial.number}: {trial.why}")


VERBS = (scan,)
