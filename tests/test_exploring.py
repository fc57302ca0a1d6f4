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
