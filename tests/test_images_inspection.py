"""What `raravis inspect` tells of pictures: counts, gaps, dark and glaring frames, doubles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from raravis import inspection, sources
from raravis.cli import app
from raravis.images import thermal
from raravis.inspection import FrameView, image_figures, images


def save(folder: Path, name: str, grey: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey.astype(np.uint8)).save(folder / name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six frames 10 minutes apart and one 50 minutes later: one is dark, one white, one double."""
    rng = np.random.default_rng(0)
    for number, minute in enumerate(range(0, 60, 10)):
        grey = rng.integers(60, 200, (12, 16)) // (20 if number == 3 else 1)
        grey = np.full((12, 16), 255) if number == 4 else grey
        save(tmp_path / "cam", f"20260501_06{minute:02d}00.png", grey)
    double = (tmp_path / "cam/20260501_060000.png").read_bytes()
    (tmp_path / "cam/20260501_074000.png").write_bytes(double)
    (tmp_path / "cam/20260501_080000.png").write_bytes(b"broken")
    return tmp_path


def view_of(*paths: Path, kind: str = "images", **options) -> FrameView:
    view = inspection.look(sources.create(kind, paths=list(paths), **options))
    assert isinstance(view, FrameView)
    return view


def test_the_overview_counts_what_there_is_and_what_is_odd(folder):
    facts = view_of(folder).overview()
    assert facts["recordings"] == 1 and facts["frames"] == facts["looked_at"] == 7
    assert (facts["dark"], facts["glaring"], facts["twice"], facts["gaps"]) == (1, 1, 1, 1)
    assert facts["cameras"] == "grey" and facts["size"] == "16 x 12"
    assert facts["interval_s"] == 600 and facts["first_start"] == "2026-05-01T06:00:00+00:00"
    assert facts["stored"] == "7 L; 7 16 x 12"
    assert len(facts["skipped"]) == 1


def test_the_odd_frames_are_named(folder):
    details = view_of(folder).details()
    assert details["dark_frames"] == ["cam/20260501_063000.png"]
    assert details["glaring_frames"] == ["cam/20260501_064000.png"]
    assert details["frames_twice"] == [
        {"frame": "cam/20260501_074000.png", "as": "cam/20260501_060000.png"}
    ]
    gap = {"recording": "cam", "at": "2026-05-01T06:50:00+00:00", "gap_s": 3000.0}
    assert details["longest_gaps"] == [gap]
    row = details["per_recording"][0]
    assert row["brightest"] == 1.0 and row["darkest"] < 0.05 and row["frames"] == 7


def test_of_many_frames_an_even_sample_is_looked_at(folder, monkeypatch):
    monkeypatch.setattr(images, "MOST_FRAMES", 3)
    view = view_of(folder)
    assert [look.number for look in view.looks] == [0, 3, 6]
    assert "Of 7 frames 3 were looked at" in inspection.page(view, "some")


def test_the_page_shows_all_of_it(folder):
    page = inspection.page(view_of(folder), "cam <1>")
    for words in ("cam &lt;1&gt;", "Examples", "Over the day", "Dark", "Glaring", "Twice", "Gaps"):
        assert words in page
    assert page.count("data:image/png;base64,") == 3


def test_pairs_are_shown_with_their_consistency(folder, tmp_path):
    heat = tmp_path / "heat"
    heat.mkdir()
    for minute in range(0, 60, 10):
        name = f"20260501_06{minute:02d}01.celsius.csv"
        thermal.write(heat / name, np.full((6, 8), minute - 20.0))
    view = view_of(folder / "cam", heat, kind="pairs")
    assert view.overview()["cameras"] == "grey + celsius"
    assert view.consistency[:2] == ["6 pairs, joined by time", "times apart: median 1 s, most 1 s"]
    assert [round(look.mean[1]) for look in view.looks] == [-20, -10, 0, 10, 20, 30]
    assert "1 of 7 frames in cam have no partner" in inspection.page(view, "both")
    tile = image_figures._tile(view, view.examples[0])
    assert tile.shape == (240, 160, 3) and 0 <= tile.min() <= tile.max() <= 1


def test_the_picture_is_written_in_either_form(folder):
    view = view_of(folder)
    assert inspection.picture(view, ".png").startswith(b"\x89PNG")
    assert b"<svg" in inspection.picture(view, ".svg")


def test_the_command_prints_and_writes(folder, tmp_path):
    out = tmp_path / "page.html"
    words = ["inspect", str(folder), "--kind", "images", "--json", "--out", str(out)]
    told = json.loads(CliRunner().invoke(app, words).stdout)
    assert told["frames"] == 7 and told["dark_frames"]
    assert out.read_text().startswith("<!doctype html>")
