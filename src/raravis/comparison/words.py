"""What came of a comparison in words and in tables, for the page and for the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raravis.comparison.contest import Comparison, Difference, Line
from raravis.comparison.measures import NAMES, TARGET

TABLES = {
    "How well each finds what is labelled": (
        "balanced_accuracy",
        "accuracy_test",
        "majority",
        "precision",
        "recall",
        "f1",
        "false_alarm_rate",
        "miss_rate",
        "auroc",
        "auprc",
        "vus_pr",
        "event_recall",
        "delay_s",
    ),
    "Each part, and what it cost": (
        "loss_train",
        "loss_validation",
        "loss_test",
        "accuracy_train",
        "accuracy_validation",
        "accuracy_test",
        "alarms_test",
        "fit_s",
        "numbers",
    ),
}
"""Title -> measures that stand in that table."""


def tables(comparison: Comparison) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Title -> headings and rows of cells, as far as something was measured."""
    found = {}
    for title, wanted in TABLES.items():
        known = [name for name in wanted if any(line.values(name) for line in comparison.lines)]
        judges = title == next(iter(TABLES)) and bool(known)
        headings = ["model", *(NAMES[name] for name in known), *(["target"] if judges else [])]
        rows = [
            [line.name, *(cell(line, name) for name in known), *([_target(line)] * judges)]
            for line in comparison.lines
        ]
        if known:
            found[title] = headings, rows
    return found


def cell(line: Line, measure: str) -> str:
    """Mean and half of its 95 % interval: "0.820 ± 0.041"; a dash where nothing was measured."""
    if not line.values(measure):
        return "–"
    mean, interval = line.means[measure], line.interval(measure)
    if measure == "numbers":
        return f"{mean:,.0f}"
    if interval is None or interval[0] == interval[1]:
        return number(mean)
    return f"{number(mean)} ± {number((interval[1] - interval[0]) / 2)}"


def narrow_tables(
    comparison: Comparison, most: int = 5
) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """The same for narrow terminals: title, headings, rows of parts with at most `most` measures,
    each with the names of the models. Only the first part of a table has a title."""
    for title, (headings, rows) in tables(comparison).items():
        for at in range(1, len(headings), most):
            part = slice(at, at + most)
            yield (
                title if at == 1 else "",
                [headings[0], *headings[part]],
                [[row[0], *row[part]] for row in rows],
            )


def number(value: float) -> str:
    """Three decimals where they say something, fewer where the number is large."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:.1g}"


def conclusions(comparison: Comparison) -> list[str]:
    """What a reader in a hurry needs, and then what there is to remark on the data."""
    remarks = _remarks(comparison.remarks)
    best = comparison.best("balanced_accuracy")
    if best is None:
        return remarks
    said = [f"{best.name} has the highest balanced accuracy, {cell(best, 'balanced_accuracy')}."]
    behind = [one for one in comparison.differences if one.measure == "balanced_accuracy"]
    said += _of_differences(behind, best.name)
    said.append(_of_target(comparison, number(best.means["majority"])))
    ranking = comparison.best("auroc")
    if ranking is not None and ranking is not best:
        said.append(f"By AUROC, whatever the level, {ranking.name} is first.")
    return [" ".join(said), *remarks]


def difference_rows(differences: Sequence[Difference]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the table of differences."""
    headings = ["measure", "best", "model", "behind by", "over seeds", "over rows", "verdict"]
    rows = [
        [
            NAMES[one.measure],
            one.best,
            one.model,
            number(one.by),
            _interval(one.of_seeds),
            _interval(one.of_rows),
            "within noise" if one.is_noise else "behind",
        ]
        for one in differences
    ]
    return headings, rows


def listed(names: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _of_differences(differences: list[Difference], best: str) -> list[str]:
    alike = [one.model for one in differences if one.is_noise]
    behind = [one.model for one in differences if not one.is_noise]
    said = []
    if alike:
        said.append(f"The distance from {best} to {listed(alike)} is within noise.")
    if behind:
        said.append(f"Behind it beyond noise: {listed(behind)}.")
    return said


def _remarks(remarks: Sequence[str], most: int = 6) -> list[str]:
    more = len(remarks) - most
    cut = [f"{more} more such remarks stand in comparison.toml."] if more > 0 else []
    return [*(f"{remark}." for remark in remarks[:most]), *cut]


def _of_target(comparison: Comparison, majority: str) -> str:
    told: dict[str, list[str]] = {name: [] for name in ("reached", "unsure")}
    for line in comparison.models:
        told.get(_target(line), []).append(line.name)
    unsure = f", and on average but not for sure by {listed(told['unsure'])}"
    return (
        f"A balanced accuracy of {TARGET:.2f} with an accuracy above the majority rate of "
        f"{majority} is reached by {listed(told['reached']) or 'none'}"
        f"{unsure if told['unsure'] else ''}."
    )


def _interval(interval: tuple[float, float] | None) -> str:
    return "–" if interval is None else f"{number(interval[0])} to {number(interval[1])}"


def _target(line: Line) -> str:
    """Whether the target is reached; "unsure" where only the mean of the seeds reaches it."""
    if line.reaches_target is None:
        return "–"
    if not line.reaches_target:
        return "no"
    low = (line.interval("balanced_accuracy") or (TARGET, 1.0))[0]
    return "reached" if low >= TARGET else "unsure"
