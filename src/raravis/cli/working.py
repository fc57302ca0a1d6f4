"""Verbs that do the work: detect, fit, score, report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raravis.cli import console
from raravis.cli.settings import with_settings
from raravis.configuration import Table
from raravis.errors import DataError, ParameterError

if TYPE_CHECKING:
    from raravis.detector import Detector
    from raravis.journal import Journal
    from raravis.progress import Progress
    from raravis.sources import Source

Paths = Annotated[list[Path], typer.Argument(help="Recordings, or folders of them.")]
Run = Annotated[Path, typer.Argument(help="Folder of a run.")]
Out = Annotated[Path, typer.Option(help="Folder to write the run to.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a run that is there.")]
Strict = Annotated[bool, typer.Option("--strict", help="Fail where anything had to be skipped.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

Keep = Annotated[
    int | None, typer.Option(help="Checkpoints to keep when all is done; default none.")
]
Every = Annotated[
    float | None,
    typer.Option("--checkpoint-every", help="Seconds between checkpoints; usually 30."),
]
Track = Annotated[
    list[str] | None, typer.Option(help="Follow training in tensorboard or wandb; repeatable.")
]
Cache = Annotated[Path | None, typer.Option(help="Folder of windows made once by `raravis cache`.")]

On = Annotated[
    str | None, typer.Option(help="Spread over processes (of this machine) or ray (a cluster).")
]
Workers = Annotated[
    int | None, typer.Option(help="How many, with --on; default one for each core.")
]


@with_settings
def detect(
    paths: Paths,
    out: Out = Path("run"),
    overwrite: Overwrite = False,
    strict: Strict = False,
    as_json: Json = False,
    keep: Keep = None,
    every: Every = None,
    track: Track = None,
    cache: Cache = None,
    config: Table | None = None,
) -> None:
    """Learn from recordings, score them, and report what is rare: the main job.

    Sound, series or images, the files tell. Example: raravis detect recordings/ --out run,
    raravis detect plant.csv --out run, raravis detect camera/ --out run, or pairs of two cameras,
    raravis detect optical/ thermal/ --kind pairs --out run
    """
    learned = learn(paths, out, overwrite, config or {}, track, cache, keep=keep, every_s=every)
    if learned is None:
        return
    detector, source = learned
    with console.showing_progress() as progress:
        detector.score(source, run=out, progress=progress)
        page = write_report(out, progress)
    tell_left_out(detector)
    finish(out, detector, page, strict, as_json)


@with_settings
def fit(
    paths: Paths,
    out: Out = Path("run"),
    overwrite: Overwrite = False,
    strict: Strict = False,
    keep: Keep = None,
    every: Every = None,
    track: Track = None,
    cache: Cache = None,
    config: Table | None = None,
) -> None:
    """Learn what is ordinary in recordings, and save it.

    Stopped at any moment, the same command goes on where it was. Example:
    raravis fit recordings/ --out run, or with two processes
    torchrun --nproc-per-node 2 -m raravis fit recordings/ --out run
    """
    learned = learn(paths, out, overwrite, config or {}, track, cache, keep=keep, every_s=every)
    if learned is None:
        return
    detector, source = learned
    console.list_skipped(source.skipped)
    tell_left_out(detector)
    console.tell(f"model saved in {out}; next: raravis score {out} RECORDINGS")
    refuse_skipped(strict, len(source.skipped))


def score(
    run: Run,
    paths: Paths,
    out: Annotated[Path | None, typer.Option(help="Write to another run instead.")] = None,
    on: On = None,
    workers: Workers = None,
    shard: Annotated[
        str | None, typer.Option(help="Only this part of the recordings, such as 3/16.")
    ] = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Score recordings with a saved model, also ones it has never seen.

    Stopped at any moment, the same command goes on where it was. Several workers write the same
    rows as one process. Example: raravis score run new-recordings/, or in an array of jobs
    raravis score run recordings/ --shard 3/16 --out part-03, then raravis merge part-*/ --out all
    """
    from raravis.detector import Detector
    from raravis.spreading import crew
    from raravis.spreading.parts import Shard, make_out, score_shard

    if workers is not None and on is None:
        raise ParameterError("--workers needs --on processes or --on ray")
    if shard is not None and out is None:
        raise ParameterError("--shard needs --out, a folder for this part alone: --out part-03")
    part, staff = Shard.parse(shard) if shard else None, crew(on, workers) if on else None
    detector = Detector.load(run)
    target = out or run
    with console.showing_progress() as progress:
        source = detector.open(paths)
        tell_remarks(source.remarks)
        if out is not None:
            make_out(run, out)
        if part is not None:
            count = score_shard(detector, source, part, target, progress, staff)
        else:
            detector.score(source, run=target, progress=progress, crew=staff)
    if part is not None:
        finish_part(target, f"shard {part} of the collection, {count} recordings", strict)
    else:
        finish(target, detector, None, strict, as_json)


def report(
    run: Run,
    out: Annotated[
        Path | None, typer.Option(help="Page to write; default RUN/report.html.")
    ] = None,
    events: Annotated[int, typer.Option(help="Events to show at most.")] = 40,
) -> None:
    """Write the report of a run: one page to open in a browser.

    Example: raravis report run
    """
    with console.showing_progress() as progress:
        page = write_report(run, progress, out, events)
    console.out.print(str(page), soft_wrap=True)


# --- what the verbs share ----------------------------------------------------------------------


def journal_of(
    progress: console.Showing, track: list[str] | None, cache: Path | None, **given: float | None
) -> Journal:
    """What goes along with learning, as the command line has it."""
    from raravis.journal import Journal

    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return Journal(
        progress,
        trackers=track or (),
        note=progress.note,
        remark=progress.remark,
        cache=cache,
        **chosen,
    )


def learn(
    paths: list[Path],
    out: Path,
    overwrite: bool,
    config: Table,
    track: list[str] | None,
    cache: Path | None,
    **given: float | None,
) -> tuple[Detector, Source] | None:
    """A detector that has learned from recordings and is saved in `out`; and the recordings. None
    in all processes that learn together but the first, which have nothing more to do.

    What is in the way is only removed when the settings and the recordings are known to be good.
    """
    from raravis import distributed
    from raravis.detector import Detector
    from raravis.fitting import fit_into

    with distributed.joined():
        leads = distributed.rank() == 0
        with console.showing_progress(silent=not leads) as progress:
            detector = Detector.for_recordings(paths, config)
            source = detector.open(paths)
            if leads:
                tell_remarks(source.remarks)
            journal = journal_of(progress, track, cache, **given)
            detector = fit_into(out, detector, source, journal, overwrite)
    return (detector, source) if leads else None


def finish_part(out: Path, what: str, strict: bool) -> None:
    """Says what a shard has become, what was skipped, and what comes next."""
    from raravis.store import Store

    with Store.open(out) as store:
        skipped = store.skipped()
    console.tell(f"{what}: scored into {out}; when all are done: raravis merge PARTS --out RUN")
    console.list_skipped(skipped)
    refuse_skipped(strict, len(skipped))


def write_report(
    run: Path, progress: Progress, out: Path | None = None, most_events: int = 40
) -> Path:
    """The report of a run as a page; returns where it lies."""
    from raravis.explain import explain
    from raravis.report import write

    page = out or run / "report.html"
    write(explain(run, most_events=most_events, progress=progress), page)
    return page


def finish(run: Path, detector: Detector, page: Path | None, strict: bool, as_json: bool) -> None:
    """Prints the strangest events, and on standard error what was skipped and what comes next."""
    from raravis.store import Store

    with Store.open(run) as store:
        skipped = store.skipped()
    events = detector.events()
    if as_json:
        console.print_json(
            {
                "run": str(run),
                "report": str(page) if page else None,
                "events": events.to_dict("records"),
                "skipped": [{"path": s.path, "reason": s.reason} for s in skipped],
            }
        )
    else:
        title = "1 rare event" if len(events) == 1 else f"{len(events)} rare events"
        title += ", the first 20" if len(events) > 20 else ""
        named = "frame" in events.columns
        console.print_table(
            ["rank", "recording", *(["frame"] if named else []), "when", "length", "score", "p"],
            [
                [e.rank, e.recording, *([e.frame] if named else []), when(e.start_time, e.start_s),
                 how_long(e.end_s - e.start_s), e.score, f"{e.p_value:.2g}"]
                for e in events.head(20).itertuples()
            ],
            title,
        )  # fmt: skip
    console.list_skipped(skipped)
    console.tell(f"report: {page}" if page else f"next: raravis report {run}")
    refuse_skipped(strict, len(skipped))


def when(start_time: str, start_s: float) -> str:
    """Clock time where it is known, to the second; else h:mm:ss from the recording's start."""
    if start_time:
        return start_time[:19].replace("T", " ")
    whole = int(start_s)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def how_long(seconds: float) -> str:
    """A length of time in the unit that reads best."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def tell_remarks(remarks: Sequence[str], most: int = 10) -> None:
    """Says what was not read as it stood; all of it is in run.toml."""
    for remark in remarks[:most]:
        console.tell(remark)
    if len(remarks) > most:
        console.tell(f"... and {len(remarks) - most} more remarks, all listed in run.toml")


def tell_left_out(detector: Detector) -> None:
    """Says how much was left out of learning, where a rule for pruning was given."""
    for said in detector.sense.left_out.said():
        console.tell(said)


def refuse_skipped(strict: bool, count: int) -> None:
    """With --strict, skipped recordings are a failure."""
    if strict and count:
        raise DataError(f"--strict: {count} recordings or parts of them were skipped")


VERBS = (detect, fit, score, report)
