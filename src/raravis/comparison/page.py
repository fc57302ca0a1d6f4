"""The page that says what came of a comparison: one file that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from string import Template

import numpy as np

from raravis import thresholds
from raravis.comparison import figures, words
from raravis.comparison.contest import Comparison, Line
from raravis.comparison.measures import NAMES
from raravis.comparison.parts import PARTS, TEST
from raravis.metrics import Confusion, confusion
from raravis.senses import completed, named, options_of

LOWER_IS_BETTER = ("false_alarm_rate", "miss_rate", "delay_s")
NOT_RANKED = ("majority", "alarms_test", "fit_s", "numbers")  # and losses: their units differ


def page(comparison: Comparison) -> str:
    """The whole page as HTML."""
    data = comparison.data
    title = f"Which model for {data.names[0] if len(data.names) == 1 else _count(data.names)}?"
    sections = [
        _picture("Where they stand", "Dots are seeds, bars the 95 % interval of their mean; the "
                 "dashed line is the balanced accuracy asked for.",
                 figures.standing(comparison)),
        *_tables(comparison),
        _noise(comparison),
        _picture("While they learned", "Networks only, first seed. Loss: mean squared residual of "
                 "ordinary rows, in squared deviations. Accuracy, where labels allow it, counts "
                 "all rows, also those that nobody learned from.", figures.learning(comparison)),
        _matrices(comparison),
        _picture("At every level", "Test part, the seed with the least loss on validation.",
                 figures.curves(comparison)),
        _picture("Row by row", "Scores of the test part in units of each model's own level, cut at "
                 "5. Labelled rows are shaded, thin lines are borders of recordings.",
                 figures.scores(comparison)),
        _agreement(comparison),
    ]  # fmt: skip
    template = Template(resources.files("raravis.comparison").joinpath("page.html").read_text())
    return template.substitute(
        title=escape(title),
        lead="\n".join(f"<p>{escape(said)}</p>" for said in words.conclusions(comparison)),
        facts="\n".join(
            f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in _facts(comparison)
        ),
        sections="\n".join(section for section in sections if section),
    )


def _facts(comparison: Comparison) -> Iterable[tuple[str, str]]:
    data, contest = comparison.data, comparison.contest
    rows = np.bincount(data.part, minlength=len(PARTS))
    yield "recordings", f"{len(data.names)}, rows every {data.interval_s:g} s"
    yield "channels", str(len(data.channels))
    for number, name in enumerate(PARTS):
        labelled = int(data.labels[data.part == number].sum())
        known = f", {labelled:,} labelled" if data.is_labelled else ""
        yield name, f"{rows[number]:,} rows{known}"
    yield "seeds", str(contest.seeds)
    level = completed(thresholds, named(contest.threshold), "threshold", 0)
    options = [f"{key} {value}" for key, value in options_of(level).items()]
    yield "level of alarms", ", ".join([level["name"], *options])


def _tables(comparison: Comparison) -> list[str]:
    finding, parts = words.TABLES
    hints = {
        finding: "Test part: mean over seeds ± half of the 95 % interval. The level of alarms was "
        "set on ordinary rows of validation alone. Target: balanced accuracy of .80 or more and "
        "accuracy above the majority rate; unsure where only the mean reaches it.",
        parts: "Losses are mean squared residuals of ordinary rows in squared deviations; of "
        "models that rebuild nothing (default, pca, mahalanobis, knn) mean squared scores in their "
        "own unit, so that only their parts can be compared.",
    }
    sections = []
    for title, (headings, rows) in words.tables(comparison).items():
        names = [next((n for n in NAMES if NAMES[n] == head), "") for head in headings]
        best = [_best(comparison, name) for name in names]
        body = []
        for line, cells in zip(comparison.lines, rows, strict=True):
            marks = ["best" if line in winners else "" for winners in best]
            marks[-1] = "reached" if cells[-1] == "reached" else marks[-1]
            body.append(_row(cells, marks, _kind(comparison, line)))
        sections.append(_section(title, hints[title], _table(headings, body)))
    return sections


def _best(comparison: Comparison, name: str) -> list[Line]:
    """The models with the best mean, which may be several that tie."""
    able = [line for line in comparison.models if line.values(name)]
    if not able or name in NOT_RANKED or name.startswith("loss") or len(able) < 2:
        return []
    choose = min if name in LOWER_IS_BETTER else max
    top = choose(line.means[name] for line in able)
    winners = [line for line in able if line.means[name] == top]
    return winners if len(winners) < len(able) else []


def _noise(comparison: Comparison) -> str:
    if not comparison.differences:
        return ""
    headings, rows = words.difference_rows(comparison.differences)
    body = [_row(cells, [""] * 6 + ["behind" * (cells[-1] == "behind")], "") for cells in rows]
    hint = (
        "How far each model is behind the best, with 95 % intervals: over seeds, taught in pairs, "
        "and over stretches of the test part drawn again and again. Within noise: an interval "
        "holds 0."
    )
    return _section("Which differences are noise", hint, _table(headings, body, "words"))


def _matrices(comparison: Comparison) -> str:
    test = comparison.judged & (comparison.data.part == TEST)
    labels = comparison.data.labels[test]
    if not comparison.data.is_labelled:
        return ""
    parts = [
        _matrix(line.name, confusion(labels, line.kept.alarms[test])) for line in comparison.models
    ]
    hint = "Rows of the test part, the seed with the least loss on validation."
    return _section(
        "What was said, and what was so", hint, f'<div class="matrices">{"".join(parts)}</div>'
    )


def _matrix(name: str, counts: Confusion) -> str:
    def shaded(count: int, of: int, colour: str) -> str:
        share = count / max(of, 1)
        tint = f"color-mix(in srgb, {colour} {45 * share:.0f}%, transparent)"
        return f'<td style="background:{tint}">{count:,}<br>{share:.0%}</td>'

    wrong, other = counts.found + counts.missed, counts.false_alarms + counts.quiet
    return (
        f"<table><caption>{escape(name)}</caption>"
        "<thead><tr><th></th><th>alarm</th><th>quiet</th></tr></thead><tbody>"
        f"<tr><th>anomalous</th>{shaded(counts.found, wrong, 'var(--found)')}"
        f"{shaded(counts.missed, wrong, 'var(--rare)')}</tr>"
        f"<tr><th>normal</th>{shaded(counts.false_alarms, other, 'var(--rare)')}"
        f"{shaded(counts.quiet, other, 'var(--found)')}</tr></tbody></table>"
    )


def _agreement(comparison: Comparison) -> str:
    table = comparison.agreement
    if len(table) < 2:
        return ""
    body = [
        _row([str(name), *(f"{value:.2f}" for value in values)], [], "")
        for name, values in zip(table.index, table.to_numpy(), strict=True)
    ]
    hint = "Rank correlation of scores on the test part: 1 where two models order all rows alike."
    return _section("How far they agree", hint, _table(["", *table.columns], body))


def _picture(title: str, hint: str, svg: str | None) -> str:
    if svg is None:
        return ""
    inlined = base64.b64encode(svg.encode()).decode()
    return _section(
        title, hint, f'<img alt="{escape(title)}" src="data:image/svg+xml;base64,{inlined}">'
    )


def _section(title: str, hint: str, content: str) -> str:
    return f'<section><h2>{escape(title)}</h2><p class="hint">{escape(hint)}</p>{content}</section>'


def _table(headings: Sequence[str], body: Sequence[str], kind: str = "") -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _row(cells: Sequence[str], marks: Sequence[str], kind: str) -> str:
    first, *rest = cells
    marked = [*marks, *[""] * len(cells)][1:]
    inside = "".join(
        f'<td class="{mark}">{_stacked(value)}</td>'
        for value, mark in zip(rest, marked, strict=False)
    )
    return f'<tr class="{kind}"><th>{escape(first)}</th>{inside}</tr>'


def _stacked(cell: str) -> str:
    """What a cell says, its interval on a line of its own."""
    mean, sign, reach = escape(cell).partition(" ± ")
    return f"{mean}<br><small>± {reach}</small>" if sign else mean


def _kind(comparison: Comparison, line: Line) -> str:
    if not line.baseline:
        return ""
    first = comparison.lines[len(comparison.models)] is line
    return "baseline first-baseline" if first else "baseline"


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} recordings"
