"""The page of what was seen of pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from raravis.inspection import image_figures
from raravis.inspection.figures import drawn, styled
from raravis.inspection.images import DARK, GLARE, GLARING, FrameView
from raravis.inspection.pages import MOST_LISTED, Page, Section, duration, moment, shown, unused


def image_page(view: FrameView, title: str) -> str:
    """The page of a collection of pictures."""
    facts = view.overview()
    said = {
        "recordings": shown(facts["recordings"]),
        "frames": shown(facts["frames"]),
        "cameras": facts["cameras"],
        "size": facts["size"],
        "a frame every": duration(facts["interval_s"]) if facts["interval_s"] else "not known",
        "begins": moment(facts["first_start"]),
        "gaps": shown(facts["gaps"]),
        "dark, glaring, twice": f"{facts['dark']}, {facts['glaring']}, {facts['twice']}",
    }
    with styled():
        return Page(title, said, list(_sections(view))).html()


def image_picture(view: FrameView, suffix: str) -> bytes:
    """Brightness over time alone, as .png or .svg."""
    with styled():
        return drawn(image_figures.over_time(view), suffix.lower().removeprefix("."))


def _sections(view: FrameView) -> Iterable[Section]:
    some = ""
    if len(view.looks) < len(view.source):
        some = f" Of {len(view.source):,} frames {len(view.looks):,} were looked at."
    if view.consistency:
        yield Section("How they are stored", listed=view.consistency)
    if view.looks:
        words = "Evenly spread. Of pairs, the second camera is below the first."
        yield Section("Examples", words, image_figures.examples(view))
        words = f"Dots: mean of each frame. Lines: from its lowest to its highest value.{some}"
        yield Section("Over time", words, image_figures.over_time(view))
        if (day := image_figures.over_the_day(view)) is not None:
            yield Section("Over the day", "Mean of each frame.", day)
    title, columns, rows = view.table()
    yield Section(title, table=[columns, *rows])
    if gaps := view.gaps():
        table: list[list[Any]] = [["longest gaps, in", "after", "length"]]
        table += [
            [name, f"{at:%Y-%m-%d %H:%M:%S}" if at else "", duration(gap_s)]
            for name, at, gap_s in gaps[:10]
        ]
        yield Section("Gaps", f"{len(gaps):,} between frames.", table=table)
    yield from _odd(view)
    yield from unused(view.source.remarks, view.source.skipped)


def _odd(view: FrameView) -> Iterable[Section]:
    """Frames that are dark, glaring, or the same as another."""
    kinds = {
        "Dark": (f"Mean below {DARK}.", [view.name(k) for k in view.looks if view.is_dark(k)]),
        "Glaring": (
            f"More than {GLARING:.0%} of the pixels above {GLARE}.",
            [view.name(k) for k in view.looks if view.is_glaring(k)],
        ),
        "Twice": (
            "The same as a frame before, pixel by pixel.",
            [f"{frame} is {before}" for frame, before in view.twice()],
        ),
    }
    for title, (words, names) in kinds.items():
        if names:
            more = [f"and {len(names) - MOST_LISTED} more"] if len(names) > MOST_LISTED else []
            yield Section(title, words, listed=[*names[:MOST_LISTED], *more])
