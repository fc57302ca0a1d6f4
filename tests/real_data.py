"""Where the real recordings lie that the slow tests need; they are not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def real_data() -> Path:
    """The folder of real data, from RARAVIS_DATA or beside the project; skips where it is not."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RARAVIS_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set RARAVIS_DATA to where it lies")
    return folder
