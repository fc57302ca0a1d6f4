"""What was left out while a detector learned: which moments, when, and by which rule.

RUN/pruned.csv holds one row for each window (or row of a series) that was left out in the end;
`looks`, kept in model.toml, what each look at the losses brought.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from raravis.configuration import Table
from raravis.durable import explained, write_atomically
from raravis.errors import RunError
from raravis.windows import IntArray, Recording, Windows

FILE = "pruned.csv"
COLUMNS = (
    "recording", "start_s", "end_s", "start_time", "model", "epoch", "loss", "level", "rule",
)  # fmt: skip


@dataclass(frozen=True)
class LeftOut:
    """What was left out of learning.

    table  `COLUMNS`; recording (its name), start_s and end_s in seconds from its start, start_time
           (ISO 8601, or "" where nobody knows it), model (whose losses they were), epoch (after
           which it was left out; of models in closed form, the round), loss, level (above which it
           was left out) and rule.
    looks  for each look: model, rule, epoch, level, windows (looked at), left_out, readmitted;
           unit and step where it looked at "rows" after a "round", not at windows after an epoch.
    """

    table: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(COLUMNS)))
    looks: Sequence[Table] = ()

    @classmethod
    def by(
        cls,
        model: str,
        rule: str,
        looks: Sequence[Table],
        windows: Windows,
        columns: Mapping[str, Any],
        recordings: Sequence[Recording],
    ) -> Self:
        """What one model left out.

        windows     those left out; columns, their epoch, loss and level.
        recordings  which `windows.recording` counts.
        """
        times = [
            recordings[number].time_at(start_s)
            for number, start_s in zip(windows.recording, windows.start_s.tolist(), strict=True)
        ]
        table = pd.DataFrame(
            {
                "recording": [recordings[number].name for number in windows.recording],
                "start_s": np.round(windows.start_s, 3),
                "end_s": np.round(windows.end_s, 3),
                "start_time": [t.isoformat(timespec="milliseconds") if t else "" for t in times],
                "model": model,
                **{name: columns[name] for name in ("epoch", "loss", "level")},
                "rule": rule,
            },
            columns=list(COLUMNS),
        )
        return cls(table, [{"model": model, "rule": rule, **look} for look in looks])

    @classmethod
    def together(cls, parts: Sequence[LeftOut]) -> Self:
        """What several models left out, one after the other."""
        tables = [part.table for part in parts if len(part.table)]
        looks = [look for part in parts for look in part.looks]
        return cls(pd.concat(tables, ignore_index=True), looks) if tables else cls(looks=looks)

    def __len__(self) -> int:
        return len(self.table)

    # --- in words --------------------------------------------------------------------------------

    def said(self) -> list[str]:
        """A sentence for each model that looked for windows to leave out."""
        models = dict.fromkeys(look["model"] for look in self.looks)
        return [self._said(model) for model in models]

    def _said(self, model: str) -> str:
        looks = [look for look in self.looks if look["model"] == model]
        after = list(dict.fromkeys(look["epoch"] for look in looks))  # learned from and held back
        of = sum(look["windows"] for look in looks if look["epoch"] == after[-1])
        count = int((self.table["model"] == model).sum())
        unit, step = looks[0].get("unit", "windows"), looks[0].get("step", "epoch")
        numbers = ", ".join(map(str, after[:8])) + (", ..." if len(after) > 8 else "")
        return (
            f"{model} left out {count:,} of {of:,} {unit} ({count / max(1, of):.1%}) by "
            f"{looks[0]['rule']}, after {step if len(after) == 1 else step + 's'} {numbers}"
        )

    def strangest(self, most: int = 10) -> pd.DataFrame:
        """The strangest moments left out, by loss over level: windows of one model that touch are
        one moment, with the numbers of its strangest window. Columns as in `table`."""
        if not len(self):
            return self.table
        table = self.table.sort_values(["model", "recording", "start_s"], kind="stable")
        same = (table[["model", "recording"]] == table[["model", "recording"]].shift()).all(axis=1)
        until = table.groupby(["model", "recording"])["end_s"].cummax().shift()
        moment = (~(same & (table["start_s"] <= until + 1e-3))).cumsum()
        times = (table["loss"] / table["level"]).fillna(1.0)
        rows = []
        for _, part in table.groupby(moment, sort=False):
            peak = part.loc[times[part.index].idxmax()]
            first = part.iloc[0]
            rows.append({**peak, "start_s": first["start_s"], "start_time": first["start_time"],
                         "end_s": part["end_s"].max(), "times": times[peak.name]})  # fmt: skip
        found = pd.DataFrame(rows, columns=[*COLUMNS, "times"])
        return found.nlargest(most, "times").drop(columns="times").reset_index(drop=True)

    # --- to disk and back ------------------------------------------------------------------------

    def write(self, folder: Path) -> None:
        """Writes RUN/pruned.csv where something was left out; else there is none."""
        if len(self):
            write_atomically(folder / FILE, self.table.to_csv(index=False))
        else:
            with explained(folder):
                (folder / FILE).unlink(missing_ok=True)

    @classmethod
    def read(cls, folder: Path, looks: Sequence[Table]) -> Self:
        """The inverse of `write`. Raises RunError for a file that is not one of these."""
        path = folder / FILE
        if not path.is_file():
            return cls(looks=looks)
        try:
            table = pd.read_csv(path, keep_default_na=False, na_values={"loss": [""]})
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        if tuple(table.columns) != COLUMNS:
            raise RunError(
                f"{path} is not a list of what was left out: expected the columns "
                f"{', '.join(COLUMNS)}, got {', '.join(map(str, table.columns))}; delete it, or "
                "learn again"
            )
        return cls(table, looks)


def too_short(model: str, epochs: int, first: int) -> str:
    """What is said where training was over before it was time for a first look."""
    return (
        f"{model} left nothing out: its training was over after {epochs} epochs, and the first "
        f"look comes after {first} and only where training goes on; lower training.prune_first, "
        "or let it learn for longer"
    )


def rows_of(windows: Windows, first: IntArray, stop: IntArray) -> Windows:
    """From row `first` to before row `stop` of `windows`, each as one, (N,)."""
    return Windows(windows.recording[first], windows.start_s[first], windows.end_s[stop - 1])
