"""What the report says of learning: which moments were left out of it, and why."""

from __future__ import annotations

from collections.abc import Mapping

from raravis import report
from raravis.left_out import LeftOut

MOST = 10  # moments named


def pruned(left_out: LeftOut, index: Mapping[str, int]) -> report.Pruned | None:
    """The report's part on what was left out, None where nobody looked for such windows.

    index  number of each recording of the report, by its name.
    """
    if not left_out.looks:
        return None
    moments = [
        report.Moment(
            name=row["recording"],
            recording=index.get(row["recording"]),
            start_s=float(row["start_s"]),
            end_s=float(row["end_s"]),
            start_time=row["start_time"] or None,
            model=row["model"],
            loss=float(row["loss"]),
            level=float(row["level"]),
        )
        for row in left_out.strangest(MOST).to_dict("records")
    ]
    return report.Pruned(left_out.said(), moments)
