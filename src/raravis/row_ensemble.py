"""Several models of rows heard together, and which of them are the default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from raravis import models
from raravis.errors import ParameterError
from raravis.learned import Learned
from raravis.models import RowModel, row_scores
from raravis.windows import FloatArray

SILENT = 1e-6  # what the ordinary score of a member counts at least


class Member(Learned):
    """A model of rows, and what its score ordinarily is."""

    def __init__(self, model: RowModel) -> None:
        self.model_ = model
        self.ordinary_ = 1.0

    def fit(self, stretches: Sequence[FloatArray]) -> None:
        """Teaches the model, then takes the root mean square of its scores on the same rows."""
        self.model_.fit(stretches)
        context = self.model_.context
        scores = [
            row_scores(self.model_.contributions(rows)) for rows in stretches if len(rows) > context
        ]
        self.ordinary_ = float(np.sqrt(np.square(np.concatenate(scores)).mean())) + SILENT

    def contributions(self, rows: FloatArray, context: int) -> FloatArray:
        """Contributions (n, C), in units of the ordinary score, of rows (context + n, C)."""
        return self.model_.contributions(rows[context - self.model_.context :]) / self.ordinary_


class RowEnsemble(RowModel):
    """Mean of several models' scores, each divided by what it ordinarily is.

        score = mean over members of score_member / (root mean square of it while learning)

    so that members of any unit count alike, about 1 is ordinary, and one that sees something far
    out outweighs those that do not. A channel's part of the squared score is the mean of its parts
    with the members, weighted by their scores.

    members  fitted together; their names appear in `member_scores`.

    Source: the mean of standardised scores does as well as more involved ways to combine; Aggarwal
    & Sathe 2015, doi:10.1145/2830544.2830549.
    """

    def __init__(self, members: Mapping[str, RowModel]) -> None:
        if not members:
            raise ParameterError("an ensemble needs at least one member, got none")
        self.names = tuple(members)
        self.context = max(model.context for model in members.values())
        for name, model in members.items():
            setattr(self, f"{name}_", Member(model))

    def fit(self, stretches: Sequence[FloatArray]) -> Self:
        """Fits every member on the same stretches (n, C)."""
        for member in self._members():
            member.fit(stretches)
        return self

    def contributions(self, rows: FloatArray) -> FloatArray:
        """Each channel's part of the mean score, (n, C) of (context + n, C)."""
        return self.judge(rows)[0]

    def member_scores(self, rows: FloatArray) -> dict[str, FloatArray]:
        """Each member's score (n,) of rows (context + n, C), by name; their mean is the score."""
        return self.judge(rows)[1]

    def judge(self, rows: FloatArray) -> tuple[FloatArray, dict[str, FloatArray]]:
        """`contributions` and `member_scores` at once."""
        scored = (len(rows) - self.context, rows.shape[1])
        squares, total = np.zeros(scored), np.zeros(scored[0])
        scores = {}
        for name, member in zip(self.names, self._members(), strict=True):
            seen = member.contributions(rows, self.context)  # (n, C)
            scores[name] = row_scores(seen)
            squares += np.square(seen) / np.maximum(scores[name], SILENT)[:, None]  # weighted share
            total += scores[name]
        mean = total / len(self.names)
        return np.sqrt(squares / np.maximum(total, SILENT)[:, None]) * mean[:, None], scores

    @property
    def models(self) -> dict[str, RowModel]:
        """The members by name."""
        return {
            name: member.model_ for name, member in zip(self.names, self._members(), strict=True)
        }

    def _members(self) -> list[Member]:
        return [getattr(self, f"{name}_") for name in self.names]


def default_members(channels: int) -> list[dict[str, Any]]:
    """Tables of the members that find most, for series of so many channels.

    A single number has neighbours everywhere, so with one channel the neighbours of whole windows
    are asked, which are the shapes of a periodic series.
    """
    return [
        {"name": "window-pca", "window": 16},
        {"name": "autoregression", "window": 16},
        {"name": "autoregression", "window": 32},
        {"name": "knn", "window": 32 if channels == 1 else 1},
    ]


def member_names(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each member's table: its model's, with the window where another one's differs,
    numbered where a model comes again."""
    names: list[str] = []
    for table in tables:
        alike = [other for other in tables if other["name"] == table["name"]]
        name = str(table["name"])
        if len({other.get("window") for other in alike}) == len(alike) > 1:
            name += f" {table.get('window', 'usual')}"
        again = sum(one == name or one.startswith(f"{name} #") for one in names)
        names.append(f"{name} #{again + 1}" if again else name)
    return names


def closed_form(tables: Sequence[Mapping[str, Any]]) -> RowEnsemble:
    """The ensemble of closed-form models that the tables describe, with nothing learned yet.

    Raises ParameterError where a table names no model of rows.
    """
    members = {}
    for name, table in zip(member_names(tables), tables, strict=True):
        options = {key: value for key, value in table.items() if key != "name"}
        model = models.create(table["name"], **options)
        if not isinstance(model, RowModel):
            known = ", ".join(closed_form_models())
            raise ParameterError(f"{table['name']!r} is no model of rows: choose one of {known}")
        members[name] = model
    return RowEnsemble(members)


def closed_form_models() -> list[str]:
    """Names of all closed-form models of rows."""
    return [name for name in models.names() if _is_row_model(models.get(name))]


def _is_row_model(made: Any) -> bool:
    return isinstance(made, type) and issubclass(made, RowModel)
