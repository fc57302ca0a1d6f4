"""What is left out of learning: by networks and by models in closed form, told by its moments."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from browser import chromium, wait_for
from held_rows import CHANNELS, ordinary, spiked
from raravis.cli import app
from raravis.configuration import read_toml
from raravis.detector import Detector
from raravis.errors import RunError
from raravis.explain.learning import pruned
from raravis.fitting import make_room
from raravis.journal import Journal
from raravis.left_out import COLUMNS, LeftOut, rows_of
from raravis.listening import take_lesson
from raravis.report import render, write
from raravis.senses.sound import SoundSense
from raravis.windows import Recording, Windows
from report_sample import sample_report, series_report

RECORDINGS = [
    Recording(
        "a.wav", "/data/a.wav", 60.0, 8000, start_time=datetime(2026, 5, 1, 4, 30, tzinfo=UTC)
    ),
    Recording("b.wav", "/data/b.wav", 60.0, 8000),
]
LOOK = {"epoch": 5, "level": 2.0, "windows": 40, "left_out": 3, "readmitted": 0}
THREE = LeftOut.by(
    "conv-ae",
    "zscore:3",
    [LOOK, {**LOOK, "windows": 10, "left_out": 0}, {**LOOK, "epoch": 10}],
    Windows(np.array([0, 0, 1]), np.array([1.0, 1.5, 30.0]), np.array([2.0, 2.5, 31.0])),
    {"epoch": [5, 10, 5], "loss": [3.0, 4.0, 8.0], "level": [2.0, 2.0, 2.0]},
    RECORDINGS,
)


def file_of(folder, name: str, values, every_s: float = 1.0) -> None:
    """A table with its times in seconds."""
    table = pd.DataFrame(values, columns=list(CHANNELS))
    table.insert(0, "time", every_s * np.arange(len(table)))
    table.to_csv(folder / name, index=False)


# --- the list ------------------------------------------------------------------------------------


def test_the_list_says_moment_model_time_and_rule():
    assert tuple(THREE.table.columns) == COLUMNS
    assert THREE.table.iloc[0].tolist() == [
        "a.wav", 1.0, 2.0, "2026-05-01T04:30:01.000+00:00", "conv-ae", 5, 3.0, 2.0, "zscore:3",
    ]  # fmt: skip
    assert THREE.table.start_time[2] == ""  # nobody knows when b.wav began


def test_the_list_comes_back_from_disk_as_it_was(tmp_path):
    THREE.write(tmp_path)
    back = LeftOut.read(tmp_path, THREE.looks)
    pd.testing.assert_frame_equal(back.table, THREE.table, check_dtype=False)
    assert back.said() == THREE.said()


def test_where_nothing_was_left_out_there_is_no_file_and_no_stale_one(tmp_path):
    THREE.write(tmp_path)
    nothing = LeftOut()
    nothing.write(tmp_path)
    assert not (tmp_path / "pruned.csv").exists()
    assert len(LeftOut.read(tmp_path, [])) == 0


def test_overwriting_a_run_takes_the_list_away(tmp_path):
    THREE.write(tmp_path)
    with pytest.raises(RunError, match=r"holds a run already \(pruned.csv\)"):
        make_room(tmp_path, overwrite=False)
    make_room(tmp_path, overwrite=True)
    assert not (tmp_path / "pruned.csv").exists()


def test_a_list_of_something_else_is_refused(tmp_path):
    (tmp_path / "pruned.csv").write_text("name,score\na,1\n")
    with pytest.raises(RunError, match=r"expected the columns recording, start_s.*got name, score"):
        LeftOut.read(tmp_path, [])
    (tmp_path / "pruned.csv").write_text("")
    with pytest.raises(RunError, match=r"pruned.csv cannot be read"):
        LeftOut.read(tmp_path, [])


def test_a_sentence_says_how_many_of_how_many_and_when():
    # 50 windows at epoch 5 in two groups, 40 at epoch 10, which was the last look
    assert THREE.said() == [
        "conv-ae left out 3 of 40 windows (7.5%) by zscore:3, after epochs 5, 10"
    ]
    assert LeftOut().said() == []


def test_windows_that_touch_are_one_moment_and_the_strangest_comes_first():
    moments = THREE.strangest()
    assert moments.recording.tolist() == ["b.wav", "a.wav"]  # 8 / 2, then 4 / 2
    assert moments.loc[1, ["start_s", "end_s", "loss"]].tolist() == [1.0, 2.5, 4.0]
    assert len(THREE.strangest(1)) == 1 and len(LeftOut().strangest()) == 0


def test_several_models_each_name_their_own():
    other = LeftOut.by("knn", "mad:5", [LOOK], THREE_WINDOWS, COLUMN, RECORDINGS)
    both = LeftOut.together([THREE, other])
    assert len(both) == 4 and [s.split()[0] for s in both.said()] == ["conv-ae", "knn"]
    assert len(LeftOut.together([])) == 0


THREE_WINDOWS = Windows.of(0, [9.0], [10.0])
COLUMN = {"epoch": [5], "loss": [3.0], "level": [2.0]}


def test_rows_join_to_one_stretch():
    windows = rows_of(Windows.of(1, [0, 1, 2, 3], [1, 2, 3, 4]), np.array([1]), np.array([3]))
    assert (windows.start_s[0], windows.end_s[0], windows.recording[0]) == (1.0, 3.0, 1)


# --- the whole way -------------------------------------------------------------------------------


def test_a_detector_names_the_rows_by_recording_and_second(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    file_of(data, "0.csv", ordinary(1).values)
    file_of(data, "1.csv", spiked().values)
    detector = Detector(kind="series", model="knn", training={"prune": "zscore:3"}).fit(data)
    table = detector.sense.left_out.table
    leap = table[(table.recording == "1.csv") & table.start_s.between(300, 305)]
    assert leap.start_s.tolist() == [300, 301, 302, 303, 304, 305]
    assert leap.end_s.tolist() == [301, 302, 303, 304, 305, 306]
    assert set(table.model) == {"knn"} and set(table.rule) == {"zscore:3"}
    detector.save(tmp_path)
    assert len(read_toml(tmp_path / "model.toml")["pruned"]) == 3
    back = Detector.load(tmp_path).sense.left_out
    pd.testing.assert_frame_equal(back.table, table, check_dtype=False)
    assert back.said() == detector.sense.left_out.said()


def test_rows_keep_their_place_where_only_some_stretches_are_learned_from(tmp_path):
    values = np.random.default_rng(0).standard_normal((20_000, 3))
    values[17_000:17_003] += 30
    file_of(tmp_path, "long.csv", values, every_s=2.0)
    model = {"name": "knn", "smooth": 1, "memory": 1000}
    detector = Detector(model, training={"prune": "mad:9"}, learn={"rows": 9000}, kind="series")
    detector.fit(tmp_path)  # learns from rows 0 to 4095 and from 16384 on
    strangest = detector.sense.left_out.strangest(1)
    assert strangest.start_s[0] == 34_000.0 and strangest.end_s[0] == 34_006.0  # 3 rows, 2 s apart


def test_a_chain_that_learns_nothing_beforehand_says_that_nothing_is_pruned(tmp_path):
    said: list[str] = []
    file_of(tmp_path, "plant.csv", spiked().values)
    detector = Detector(kind="series", model="novelty", training={"prune": "mad"})
    detector.fit(tmp_path, journal=Journal(remark=said.append))
    assert len(said) == 1 and said[0].startswith("nothing is pruned: novelty learns nothing")
    assert detector.sense.left_out.said() == []


@pytest.mark.parametrize(("explainer", "what"), [("none", "nothing here"), ("conv-ae", "conv-ae,")])
def test_sound_events_say_what_pruning_does_not_reach(chorus, explainer, what):
    said: list[str] = []
    training = {"epochs": 1, "max_steps": 4, "device": "cpu", "prune": "zscore:3"}
    Detector(explainer=explainer, training=training, learn={"windows": 64}).fit(
        chorus[0], journal=Journal(remark=said.append)
    )
    assert what in said[0] and "all of them are counted" in said[0]
    assert len(said) == (2 if explainer == "conv-ae" else 1)  # it was over before the first look


def test_clips_of_a_lesson_lie_where_it_says(chorus):
    sense = SoundSense(source={"hop_s": 0.5})
    source = sense.open(chorus[0])
    sense._build(source.rate_hz)
    lesson = take_lesson(sense.listener, source, hours=1, segments=50, windows=40, seed=0)
    assert len(lesson.windows) == len(lesson.clips) == 40
    (block, inside), *_ = sense.listener.blocks(source, 0)
    heard = sense.listener.hear(block, inside)
    for clip, start_s in zip(lesson.clips, lesson.windows.start_s, strict=True):
        (number,) = np.flatnonzero(heard.windows.start_s == start_s)
        np.testing.assert_allclose(clip, heard.clips[number], atol=0.1)  # float16


@pytest.mark.slow
def test_a_network_on_sound_leaves_out_the_moment_that_is_strange(tmp_path):
    random = np.random.default_rng(0)
    samples = 0.01 * random.standard_normal(120 * 16000)
    samples[60 * 16000 : 61 * 16000] += 0.5 * np.sin(np.arange(16000) * 0.9)
    soundfile.write(tmp_path / "quiet_20260501_043000.wav", samples, 16000)
    run = tmp_path / "run"
    flags = ["--model", "conv-ae", "--epochs", "4", "--prune", "zscore:3", "--prune-every", "1"]
    flags += ["--set", "training.prune_first=2", "--set", "model.width=4"]
    result = CliRunner().invoke(app, ["detect", str(tmp_path), "--out", str(run), *flags])
    assert result.exit_code == 0, result.output
    assert "conv-ae left out" in result.output
    table = pd.read_csv(run / "pruned.csv")
    strangest = table.loc[(table.loss / table.level).idxmax()]
    assert 59 <= strangest.start_s <= 61 and strangest.start_time.startswith("2026-05-01T04:3")
    assert read_toml(run / "run.toml")["pruned"][0]["rule"] == "zscore:3"
    page = (run / "report.html").read_text()
    assert "Left out while learning" in page and 'class="moment"' in page


def test_the_command_line_says_it_in_one_line_and_a_new_run_leaves_no_stale_list(tmp_path):
    table = pd.DataFrame(spiked().values, columns=list(CHANNELS))
    table.to_csv(tmp_path / "plant.csv", index=False)
    run, path = str(tmp_path / "run"), str(tmp_path / "plant.csv")
    fit = ["fit", path, "--out", run, "--model", "knn"]
    result = CliRunner().invoke(app, [*fit, "--prune", "zscore:3"])
    assert result.exit_code == 0, result.output
    said = [line for line in result.output.splitlines() if line.startswith("knn left out")]
    assert len(said) == 1 and "of 600 rows" in said[0]
    assert (tmp_path / "run" / "pruned.csv").exists()
    result = CliRunner().invoke(app, [*fit, "--overwrite"])
    assert result.exit_code == 0 and "left out" not in result.output
    assert not (tmp_path / "run" / "pruned.csv").exists()
    assert "pruned" not in read_toml(tmp_path / "run" / "model.toml")


# --- the report ----------------------------------------------------------------------------------


def test_the_report_says_what_was_left_out_and_lets_it_be_heard():
    odd = replace(RECORDINGS[0], name="<a>.wav")
    left_out = LeftOut.by("conv-ae", "zscore:3", [LOOK], THREE_WINDOWS, COLUMN, [odd])
    page = render(replace(sample_report(events=1), pruned=pruned(left_out, {"<a>.wav": 0})))
    assert "Left out while learning" in page and "&lt;a&gt;.wav" in page
    assert "conv-ae left out 1 of 40 windows (2.5%) by zscore:3, after epoch 5." in page
    assert 'data-recording="0" data-start="9.0" data-end="10.0"' in page
    assert "04:30:09 on 1 May 2026" in page


@pytest.mark.slow
def test_a_click_on_a_moment_plays_it(tmp_path):
    report = sample_report(recordings=1, duration_s=40.0, events=0, points=0)
    (tmp_path / "recordings").mkdir()
    sound = 0.2 * np.sin(np.arange(16000 * 40) * 0.2)
    soundfile.write(tmp_path / "recordings" / report.recordings[0].name, sound, 16000)
    told = pruned(THREE, {"b.wav": 0})
    write(replace(report, pruned=told), tmp_path / "report.html")
    with chromium(tmp_path) as page:
        page.open(tmp_path / "report.html")
        page.click("#pruned .moment")
        wait_for(lambda: page.script("return !document.getElementById('now').hidden"), "the sound")
        assert "00:00:30" in page.script("return document.getElementById('now-detail').textContent")
        assert page.log() == []


def test_moments_of_series_and_of_other_recordings_cannot_be_heard():
    elsewhere = replace(sample_report(events=1), pruned=pruned(THREE, {}))
    series = replace(series_report(), pruned=pruned(THREE, {"a.wav": 0, "b.wav": 0}))
    for report in (elsewhere, series):
        page = render(report)
        assert "Left out while learning" in page and 'class="moment"' not in page
        assert "30 s into it" in page


def test_the_report_is_silent_where_nobody_looked():
    assert pruned(LeftOut(), {}) is None
    assert "Left out while learning" not in render(sample_report(events=1))


def test_a_look_that_found_nothing_is_told_without_a_table():
    nothing = LeftOut(looks=[{"model": "knn", "rule": "mad:5", **LOOK}])
    page = render(replace(series_report(), pruned=pruned(nothing, {})))
    assert "knn left out 0 of 40 windows (0.0%) by mad:5" in page
    assert "The strangest, by how far" not in page
