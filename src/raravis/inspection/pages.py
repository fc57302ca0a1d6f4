"""One page of HTML for what was seen or heard: numbers, figures, and what could not be used.

The page holds its images and needs nothing else. A new section is a `Section` in one of the two
lists at the end.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from matplotlib.figure import Figure

from raravis.inspection import series_figures, sound_figures
from raravis.inspection.figures import drawn, styled
from raravis.inspection.series import SeriesView, strongest_pairs
from raravis.inspection.sound import SoundView, gaps
from raravis.windows import Skipped

MOST_LISTED = 20  # gaps, remarks, skipped files
STYLE = """
:root { --paper: #f8f6f1; --panel: #fffefb; --ink: #232b27; --muted: #69726c; --line: #ebe7de;
  --rare: #c0452b; --serif: ui-serif, "Iowan Old Style", Palatino, Charter, Georgia,
  "Liberation Serif", serif; --sans: system-ui, "Segoe UI", "Noto Sans", "Liberation Sans", Arial,
  sans-serif; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 var(--sans);
  font-variant-numeric: tabular-nums; }
main { max-width: 1180px; margin: 0 auto; padding: 2.4rem 24px 5rem; }
h1, h2 { font-family: var(--serif); font-weight: 600; line-height: 1.2; margin: 0; }
h1 { font-size: 2.3rem; overflow-wrap: anywhere; } h2 { font-size: 1.4rem; }
section { margin-top: 2.8rem; } p { margin: .4rem 0 .9rem; max-width: 62em; }
.hint { color: var(--muted); font-size: .9rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(165px, 1fr));
  gap: 1.1rem 1.5rem; margin: 1.6rem 0 0; padding-top: 1.2rem; border-top: 1px solid var(--line); }
.facts dt { font-size: .8rem; color: var(--muted); } .facts dd { margin: .1rem 0 0;
  font-weight: 500; overflow-wrap: anywhere; }
.panel { background: var(--panel); border: 1px solid var(--line); border-radius: 10px;
  padding: 10px; overflow-x: auto; margin-top: .6rem; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
table { border-collapse: collapse; width: 100%; font-size: .84rem; }
th { text-align: left; color: var(--muted); font-weight: 500; }
th, td { padding: .24rem .7rem .24rem 0; white-space: nowrap; } td.n, th.n { text-align: right; }
tr td { border-top: 1px solid var(--line); }
ul { margin: .3rem 0; padding-left: 1.2rem; } li { overflow-wrap: anywhere; }
nav { margin-top: 1rem; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; font-size: .9rem; }
nav a { color: var(--muted); }
""".strip()


@dataclass(frozen=True)
class Section:
    """A heading, a sentence or two, and then a figure, a table (column names first), or a list."""

    title: str
    words: str = ""
    figure: Figure | None = None
    table: Sequence[Sequence[Any]] = ()
    listed: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """A title, the most important facts, and sections."""

    title: str
    facts: dict[str, str]
    sections: list[Section] = field(default_factory=list)

    def html(self) -> str:
        """The page, whole."""
        facts = "".join(
            f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in self.facts.items()
        )
        links = "".join(
            f'<a href="#s{i}">{escape(s.title)}</a>' for i, s in enumerate(self.sections)
        )
        parts = "\n".join(_section(i, s) for i, s in enumerate(self.sections))
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width, initial-scale=1"><title>{escape(self.title)}</title>'
            f"<style>{STYLE}</style></head>\n<body><main><h1>{escape(self.title)}</h1>"
            f'<dl class="facts">{facts}</dl><nav>{links}</nav>\n{parts}\n</main></body></html>\n'
        )


def _section(number: int, section: Section) -> str:
    parts = [f'<section id="s{number}"><h2>{escape(section.title)}</h2>']
    if section.words:
        parts.append(f'<p class="hint">{escape(section.words)}</p>')
    if section.figure is not None:
        image = base64.b64encode(drawn(section.figure)).decode()
        alt = escape(section.title, quote=True)
        parts.append(
            f'<div class="panel"><img alt="{alt}" src="data:image/png;base64,{image}"></div>'
        )
    if section.table:
        parts.append(f'<div class="panel">{_table(section.table)}</div>')
    if section.listed:
        items = "".join(f"<li>{escape(one)}</li>" for one in section.listed)
        parts.append(f"<ul>{items}</ul>")
    return "".join([*parts, "</section>"])


def _table(rows: Sequence[Sequence[Any]]) -> str:
    head, *body = rows
    right = [any(isinstance(row[i], int | float) for row in body) for i in range(len(head))]

    def line(cells: Iterable[Any], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if number else ''}>{escape(shown(cell))}</{tag}>"
            for cell, number in zip(cells, right, strict=True)
        )

    lines = "".join(f"<tr>{line(row, 'td')}</tr>" for row in body)
    return f"<table><thead><tr>{line(head, 'th')}</tr></thead><tbody>{lines}</tbody></table>"


def shown(value: Any) -> str:
    """A number in so many digits as are read: four that count, where there are so many."""
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "–"
    if value == round(value) and abs(value) < 1e9:
        return f"{value:,.0f}"
    if not 1e-4 <= abs(value) < 1e9:
        return f"{value:.3e}"
    return f"{value:,.{max(0, 3 - math.floor(math.log10(abs(value))))}f}"


def duration(seconds: float) -> str:
    """Seconds in the unit in which people say them."""
    for unit, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.4g} s"


def moment(time: str | None) -> str:
    return time[:16].replace("T", " ") if time else "no time known"


def unused(remarks: Sequence[str], skipped: Sequence[Skipped]) -> list[Section]:
    """What was read, but not as it stood, and what could not be read."""
    sections = []
    if remarks:
        sections.append(Section("Remarks", "Read, but not as it stood.", listed=_first(remarks)))
    if skipped:
        reasons = [f"{s.path}: {s.reason}" for s in skipped]
        sections.append(Section("Skipped", "Could not be used.", listed=_first(reasons)))
    return sections


def _first(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - MOST_LISTED} more"] if len(lines) > MOST_LISTED else []
    return [*lines[:MOST_LISTED], *more]


def page(view: SeriesView | SoundView, title: str) -> str:
    """The page of a collection of either kind."""
    return _series_page(view, title) if isinstance(view, SeriesView) else _sound_page(view, title)


def picture(view: SeriesView | SoundView, suffix: str = ".png") -> bytes:
    """The first figure of the page alone: everything over time. Raises ParameterError for a suffix
    other than .png or .svg."""
    with styled():
        if isinstance(view, SeriesView):
            figure = series_figures.over_time(view)
        else:
            figure = sound_figures.levels(view)
        return drawn(figure, suffix.lower().removeprefix("."))


# --- series --------------------------------------------------------------------------------------


def _series_page(view: SeriesView, title: str) -> str:
    """The page of a collection of series."""
    facts = view.overview()
    spans = sum(r.duration_s for r in view.source.recordings)
    said = {
        "recordings": shown(facts["recordings"]),
        "channels": shown(facts["channels"]),
        "rows": shown(facts["rows"]),
        "time in all": duration(spans),
        "a row every": duration(facts["interval_s"]),
        "begins": moment(facts["first_start"]),
        "missing values": shown(facts["missing"]),
        "gaps in time": shown(facts["gaps"]),
    }
    if facts["labelled_rows"] is not None:
        share = facts["labelled_rows"] / max(1, facts["rows"])
        stretches = facts["labelled_stretches"]
        said["labelled"] = f"{facts['labelled_rows']:,} rows ({share:.1%}), " + (
            "1 stretch" if stretches == 1 else f"{stretches:,} stretches"
        )
    with styled():
        return Page(title, said, list(_series_sections(view))).html()


def _series_sections(view: SeriesView) -> Iterable[Section]:
    some = ""
    if len(view.shown) < len(view.channels):
        some = (
            f" Drawn are the {len(view.shown)} of {len(view.channels)} channels with most "
            "different values."
        )
    binned = view.moments.rows > len(view.envelope.low)
    band = " The band is the range of values around each point." if binned else ""
    red = " Shaded: labelled stretches." if view.known.rows else ""
    yield Section("Over time", f"{band}{red}{some}".strip(), series_figures.over_time(view))
    step = view.sample.step
    every = f"Quantiles and different values of one row in {step}." if step > 1 else ""
    yield Section("Channels", every, table=_channels(view))
    if any(channel.missing for channel in view.channels):
        yield Section("Missing values", "", series_figures.missing(view))
    yield from _steps(view)
    words = "Red: labelled rows, on a scale of their own." if view.known.rows else ""
    yield Section("Distributions", f"{words}{some}".strip(), series_figures.distributions(view))
    yield from _together(view)
    yield from _recurring(view, some)
    yield from unused(view.source.remarks, view.source.skipped)


def _channels(view: SeriesView) -> list[list[Any]]:
    head = ["channel", "values", "missing", "mean", "deviation", "least", "5 %", "25 %", "median",
            "75 %", "95 %", "greatest", "different", ""]  # fmt: skip
    rows: list[list[Any]] = [
        [c.name, c.count, c.missing, c.mean, c.deviation, c.minimum, c.low, c.quarter, c.median,
         c.three_quarters, c.high, c.maximum, c.distinct, "constant" if c.is_constant else ""]
        for c in view.channels
    ]  # fmt: skip
    return [head, *rows]


def _steps(view: SeriesView) -> Iterable[Section]:
    """How rows follow each other."""
    watched = view.intervals
    if not watched.gap_count and watched.longest_s - watched.shortest_s <= 1e-6:
        usual = duration(view.source.interval_s)
        yield Section("Sampling", f"Every row follows the one before after {usual}: no gap.")
        return
    words = (
        f"Rows usually come every {duration(view.source.interval_s)} (dashed line), between "
        f"{duration(watched.shortest_s)} and {duration(watched.longest_s)} after each other. "
        f"Gaps, longer than one and a half usual intervals: {watched.gap_count:,}."
    )
    table: list[list[Any]] = []
    if watched.gaps:
        longest = watched.gaps[:10]
        table = [["longest gaps, in", "after", "wall-clock time", "length"]]
        table += [
            [g.recording, duration(g.after_s), f"{g.at:%Y-%m-%d %H:%M:%S}" if g.at else "",
             duration(g.gap_s)]
            for g in longest
        ]  # fmt: skip
    yield Section("Sampling", words, series_figures.intervals(view), table)


def _together(view: SeriesView) -> Iterable[Section]:
    if len(view.channels) < 2:
        return
    pairs = strongest_pairs(view.correlation(), 5)
    said = "; ".join(f"{a} and {b} {r:+.2f}" for a, b, r in pairs)
    words = f"Pearson correlation. Strongest: {said}." if pairs else "Pearson correlation."
    yield Section("Correlation", words, series_figures.correlation(view))


def _recurring(view: SeriesView, some: str) -> Iterable[Section]:
    spectra = series_figures.spectra(view)
    if spectra is not None and view.spectrum is not None:
        words = (
            f"Welch's estimate from {view.spectrum.rows:,} rows of {view.spectrum.recording}, each "
            f"channel scaled to deviation 1: a peak is a cycle.{some}"
        )
        yield Section("Spectrum", words, spectra)
    if view.clock.days >= 1:
        words = "Mean by half hour, and one deviation to either side."
        yield Section("Over the day", words, series_figures.day(view))
    if view.clock.days >= 14:
        words = "Mean by hour, and one deviation to either side."
        yield Section("Over the week", words, series_figures.week(view))


# --- sound ---------------------------------------------------------------------------------------


def _sound_page(view: SoundView, title: str) -> str:
    """The page of a collection of sound."""
    facts = view.overview()
    rates = ", ".join(f"{hz} ({n:,})" for hz, n in facts["rates_hz"].items())
    said = {
        "recordings": shown(facts["recordings"]),
        "time in all": duration(facts["hours"] * 3600),
        "length": f"{duration(facts['shortest_s'])} to {duration(facts['longest_s'])}",
        "rate, Hz (recordings)": rates,
        "begins": moment(facts["first_start"]),
        "gaps": shown(facts["gaps"]),
    }
    with styled():
        return Page(title, said, list(_sound_sections(view))).html()


def _sound_sections(view: SoundView) -> Iterable[Section]:
    if view.levels:
        pieces = "From up to six pieces of ten seconds of each recording."
        title, columns, rows = view.table()
        yield Section("Levels and lengths", pieces, sound_figures.levels(view))
        yield Section(title, table=[columns, *rows])
        words = "Median of the recordings, and the band in which four fifths of them lie."
        yield Section("Mean spectrum", words, sound_figures.spectrum(view))
        day = sound_figures.day(view)
        if day is not None:
            words = "Dots: pieces of ten seconds. Line: median of each hour."
            yield Section("Over the day", words, day)
    between = gaps(view.source.recordings)
    if between:
        longest = sorted(between, key=lambda gap: -gap.gap)[:10]
        table: list[list[Any]] = [["longest gaps, after", "before", "length"]]
        table += [[g.after, g.before, duration(g.gap.total_seconds())] for g in longest]
        yield Section("Gaps", f"{len(between):,} between recordings.", table=table)
    yield from unused(view.source.remarks, view.source.skipped)
