"""From a run to its report: what each event looks like, and why it is thought rare.

One file for each kind of recording; `explain` opens a run and asks the one that it needs.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from raravis import report
from raravis.detector import Detector
from raravis.progress import Progress, silent
from raravis.store import Store


def explain(
    folder: str | Path, most_events: int = 40, neighbours: int = 3, progress: Progress = silent
) -> report.Report:
    """Everything that stands in the report of a run folder."""
    folder = Path(folder)
    detector = Detector.load(folder)
    kind = "images" if detector.kind == "pairs" else detector.kind
    explainer = importlib.import_module(f"raravis.explain.{kind}").Explainer
    with Store.open(folder) as store:
        page: report.Report = explainer(folder, detector.sense, store).everything(
            most_events, neighbours, progress
        )
    return page
