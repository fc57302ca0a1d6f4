"""The verbs that look into models and data, as a user types them."""

import json

import pytest
from typer.testing import CliRunner

from raravis.cli import app
from raravis.cli.exploring import parse_shape
from raravis.errors import ParameterError


def ask(*arguments):
    """Runs a verb in this process; what it printed to standard output."""
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_describe_counts_and_draws_a_network_for_series(tmp_path):
    picture = tmp_path / "graph.svg"
    said = ask("describe", "lstm-ae", "--shape", "8x16x1", "--svg", picture)
    assert "46,632 numbers learned" in said and "698,368 multiply-adds a window" in said
    assert "encoder.lstm" in said and "graph.svg" in said.replace("\n", "")
    assert "21,024 parameters" in picture.read_text()


def test_depth_draws_less(tmp_path):
    arguments = ["describe", "conv1d-ae", "--shape", "8x16x1", "--json"]
    rows = json.loads(ask(*arguments, "--svg", tmp_path / "a.svg"))["conv1d-ae"]
    ask(*arguments, "--svg", tmp_path / "b.svg", "--depth", "1")
    assert sum(row["parameters"] for row in rows) == 26_408
    drawn = [(tmp_path / name).read_text().count('<rect class="box') for name in ("a.svg", "b.svg")]
    assert drawn[0] > 10 and drawn[1] == 2


def test_describe_draws_the_network_of_a_run_and_lists_what_is_closed_form(run, tmp_path):
    said = ask("describe", run, "--svg", tmp_path / "run.svg")
    assert "segments:" in said and "windows:" in said
    assert "ConvAutoencoder" in (tmp_path / "run.svg").read_text()


def test_shapes_are_bands_by_frames_or_channels_by_rows_by_one():
    assert parse_shape("64x50") == (1, 64, 50)
    assert parse_shape("8X16x1") == (8, 16, 1)
    for wrong in ("64", "64x", "ax5", "0x5", "1x2x3x4"):
        with pytest.raises(ParameterError, match="expected a shape such as 64x50"):
            parse_shape(wrong)


def test_what_learned_in_closed_form_cannot_be_drawn(tmp_path):
    from raravis.cli.exploring import _draw
    from raravis.description import Part

    with pytest.raises(ParameterError, match="knn learned in closed form: there is no network"):
        _draw({"knn": Part([])}, tmp_path / "x.svg", None)


@pytest.fixture
def plant(tmp_path):
    """An hour of rows a minute apart, one missing; ten are labelled; beside them a broken file."""
    rows = [
        f"2026-05-04 00:{m:02d}:00,{m},{m % 7},{int(30 <= m < 40)}" for m in range(60) if m != 9
    ]
    (tmp_path / "plant.csv").write_text("\n".join(["time,level,flow,anomaly", *rows]))
    (tmp_path / "broken.csv").write_bytes(b"\x00\x01")
    return tmp_path


def test_inspect_tells_of_channels_gaps_and_labels_of_series(plant):
    found = json.loads(ask("inspect", plant, "--json"))
    assert (found["rows"], found["channels"], found["gaps"]) == (59, 2, 1)
    assert (found["labelled_rows"], found["labelled_stretches"]) == (10, 1)
    assert found["longest_gaps"][0]["at"] == "2026-05-04T00:08:00+00:00"
    assert [c["name"] for c in found["statistics"]] == ["level", "flow"]
    assert "broken.csv" in found["skipped"][0]["path"]
    said = ask("inspect", plant / "plant.csv")
    assert "level" in said and "flow" in said


def test_inspect_takes_settings_of_the_source(plant):
    found = json.loads(ask("inspect", plant / "plant.csv", "--channels", "flow", "--json"))
    assert [c["name"] for c in found["statistics"]] == ["flow"]


@pytest.mark.slow
def test_inspect_writes_a_page_and_a_picture(plant, chorus, tmp_path):
    for name, data in (("series", plant / "plant.csv"), ("sound", chorus[0])):
        page, picture = tmp_path / f"{name}.html", tmp_path / f"{name}.png"
        assert f"{name}.html" in ask("inspect", data, "--out", page, "--plot", picture)
        assert "data:image/png" in page.read_text()
        assert picture.read_bytes()[:4] == b"\x89PNG"
