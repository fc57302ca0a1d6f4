"""The command line as a user types it."""

import io
import json
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from raravis.cli import app, main
from raravis.cli.settings import gather

QUICK = ["--epochs", "1", "--set", "training.max_steps=10", "--set", "learn.windows=128"]


def raravis(*arguments):
    """Runs the command line in a process of its own."""
    command = [sys.executable, "-m", "raravis", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def ask(*arguments):
    """Runs a verb in this process; what it printed to standard output."""
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def told(monkeypatch, capsys):
    """Runs the whole command line in this process; its exit code, and what it said of an error."""

    def tell(*arguments):
        monkeypatch.setattr(sys, "argv", ["raravis", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, " ".join(capsys.readouterr().err.split())

    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which main sets, and nobody would take back
    return tell


@pytest.fixture(scope="module")
def found(chorus, tmp_path_factory):
    """A run made by `raravis detect`, and what that printed."""
    out = tmp_path_factory.mktemp("cli") / "run"
    return out, raravis("detect", chorus[0], "--out", out, "--json", *QUICK)


VERBS = [
    "detect",
    "fit",
    "score",
    "scores",
    "evaluate",
    "report",
    "cache",
    "scan",
    "merge",
    "inspect",
    "embed",
    "monitor",
    "describe",
    "demo",
    "watch",
    "compare",
    "bench",
]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(verb):
    assert "Example: raravis " + verb in " ".join(ask(verb, "--help").split())


def test_detect_writes_a_run_and_prints_it_as_json(found):
    out, done = found
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(result["events"]) > 0
    assert (out / "report.html").stat().st_size > 50_000
    assert len(pd.read_csv(out / "events.csv")) == len(result["events"])


def test_detect_does_not_write_over_a_run(found, chorus, told):
    code, said = told("detect", chorus[0], "--out", found[0])
    assert code == 1
    assert "holds a run already" in said and "--overwrite" in said


def test_a_run_is_not_removed_for_recordings_that_are_not_there(found, tmp_path, told):
    code, said = told("detect", tmp_path / "typo", "--out", found[0], "--overwrite")
    assert code == 1 and "typo" in said
    assert (found[0] / "report.html").exists()


def test_scores_are_csv_with_the_promised_columns(found):
    table = pd.read_csv(io.StringIO(ask("scores", found[0])))
    assert list(table.columns) == ["recording", "start_s", "end_s", "score", "p_value"]
    assert len(table) == 299
    segments = pd.read_csv(io.StringIO(ask("scores", found[0], "--layer", "segments")))
    assert 10 < len(segments) < 299


def test_evaluate_stands_beside_chance_and_loudness(found, chorus, tmp_path):
    rows = [f"{s.start_s},{s.end_s},{int(s.rare)}" for s in chorus[1]]
    (tmp_path / "events.csv").write_text("start_s,end_s,rare\n" + "\n".join(rows))
    table = json.loads(ask("evaluate", found[0], tmp_path / "events.csv", "--json"))
    scorers = {row["scorer"]: row for row in table}
    assert {"rarity", "loudness", "random", "reconstruction"} <= set(scorers)
    assert scorers["rarity"]["auroc"] > 0.9
    assert "recall at 15/h" in scorers["rarity"] and "recall at 60/h" in scorers["rarity"]


@pytest.mark.slow
def test_score_adds_new_recordings_to_another_run(found, chorus, tmp_path):
    done = raravis("score", found[0], chorus[0], "--out", tmp_path / "other", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == str(tmp_path / "other")


def test_report_writes_the_page_where_it_is_told(found, tmp_path):
    assert "page.html" in ask("report", found[0], "--out", tmp_path / "page.html")
    assert "<script" in (tmp_path / "page.html").read_text()


def test_inspect_counts(chorus):
    overview = json.loads(ask("inspect", chorus[0], "--json"))
    assert (overview["recordings"], overview["windows"]) == (1, 299)
    assert overview["rates_hz"] == {"22050": 1}


def test_describe_lists_layers_of_a_name_and_of_a_run(found):
    rows = json.loads(ask("describe", "conv-ae", "--set", "model.latent=7", "--json"))["conv-ae"]
    assert [7] in [row["outputs"] for row in rows]
    parts = json.loads(ask("describe", found[0], "--json"))
    assert set(parts) == {"segments", "windows"}


def test_nothing_readable_exits_with_two(tmp_path):
    (tmp_path / "broken.wav").write_text("no sound")
    done = raravis("detect", tmp_path, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "broken.wav" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_what_is_skipped_is_listed_and_strict_fails(chorus, tmp_path):
    (tmp_path / "broken.wav").write_text("no sound")
    arguments = ["fit", chorus[0], tmp_path, *QUICK]
    done = raravis(*arguments, "--out", tmp_path / "run")
    assert done.returncode == 0 and "broken.wav" in done.stderr
    strict = raravis(*arguments, "--out", tmp_path / "strict", "--strict")
    assert strict.returncode == 1 and "--strict" in strict.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scores", "nowhere"], "holds no raravis model"),
        (["bench", "luck"], "unknown benchmark 'luck': choose one of soundscapes"),
        (["describe", "conv-ae", "--shape", "64"], "expected a shape such as 64x50"),
        (["describe", "sound-events"], "learns in closed form and has no layers"),
        (["detect", "nowhere"], "nowhere"),
    ],
)
def test_an_error_is_one_clear_line(arguments, message, tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    code, said = told(*arguments)
    assert code in (1, 2)
    assert message in said
    assert "Traceback" not in said


def test_settings_win_over_flags_and_flags_over_the_file(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[detector]\nseed = 1\n[detector.source]\nwindow_s = 2.0\nhop_s = 1.0\n")
    flags = {"window": 3.0, "seed": None}
    table = gather(file, flags, ["source.hop_s=0.25"])
    assert table == {"seed": 1, "source": {"window_s": 3.0, "hop_s": 0.25}}


def test_help_is_quick_to_load():
    heavy = ("torch", "pandas", "scipy", "numpy")
    code = f"import sys, raravis.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
