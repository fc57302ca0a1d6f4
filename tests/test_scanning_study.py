"""A study of settings: it goes on, it is shared, and it says what failed."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from raravis.configuration import read_toml
from raravis.detector import Detector
from raravis.errors import DataError, ParameterError, RunError
from raravis.scanning import pictures, study
from raravis.scanning.objective import Objective
from raravis.scanning.ranges import Range

pytest.importorskip("optuna", reason="a scan needs the extra `search`")

CONFIG = {"kind": "sound", "scorer": {"name": "rarity"}}
RANGES = [Range.parse("segments.gap_s=0.1:1.0"), Range.parse("features.mels=32,64,128")]


class Hill(Objective):
    """Highest at a gap of 0.4 s; the detector as it was set, at 0.6 s, lies below."""

    name, kind = "height", "sound"

    def __init__(self, steps=1, refused=None):
        self.steps, self.refused, self.asked = steps, refused, []

    def figures(self, config):
        self.asked.append(config)
        if config.get("features", {}).get("mels") == self.refused is not None:
            raise DataError(f"cannot hear with {self.refused} bands")
        gap_s = config.get("segments", {}).get("gap_s", 0.6)
        for step in range(self.steps):
            yield 1 - abs(gap_s - 0.4) - 0.1 * step


def scan(folder, ranges=RANGES, config=CONFIG, **about):
    return study.Scan(folder, config, ranges, about, seed=3)


def test_the_first_trial_is_the_detector_as_it_was_set(tmp_path):
    hill = Hill()
    trials = scan(tmp_path).run(hill, 3)
    assert len(trials) == 4 and hill.asked[0] == CONFIG
    assert trials[0].is_default and trials[0].figure == pytest.approx(0.8)
    assert [trial.is_default for trial in trials[1:]] == [False] * 3


def test_what_finds_most_is_left_as_settings_that_a_detector_takes(tmp_path):
    scanned = scan(tmp_path)
    trials = scanned.run(Hill(), 12)
    best = max(trials, key=lambda trial: trial.figure)
    table = read_toml(tmp_path / "best.toml")
    assert scanned.best() == best and not best.is_default
    assert table["segments"]["gap_s"] == best.values["segments.gap_s"]
    resolved = Detector.from_config(table).config
    assert resolved["features"]["mels"] == best.values["features.mels"]
    assert resolved["scorer"]["name"] == "rarity"


@pytest.mark.slow
def test_a_study_that_was_left_goes_on_as_if_it_had_not_been(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = scan(tmp_path / "whole").run(Hill(), 14)
    scan(tmp_path / "parts").run(Hill(), 5)
    hill = Hill()
    parts = scan(tmp_path / "parts").run(hill, 14)
    assert len(hill.asked) == 9
    assert [t.values for t in parts] == [t.values for t in whole]
    assert [t.figure for t in parts] == [t.figure for t in whole]


def test_a_study_that_has_its_trials_asks_for_no_more(tmp_path):
    scan(tmp_path).run(Hill(), 3)
    hill = Hill()
    scan(tmp_path).run(hill, 3)
    assert not hill.asked


@pytest.mark.slow
def test_another_study_in_the_folder_is_refused_and_overwritten_on_demand(tmp_path):
    scan(tmp_path).run(Hill(), 1)
    with pytest.raises(RunError, match="holds a scan with other ranges: give the same to go on"):
        scan(tmp_path, ranges=RANGES[:1])
    with pytest.raises(RunError, match="holds a scan with other config and objective"):
        scan(tmp_path, config={"kind": "sound"}, objective="labels")
    study.make_room(tmp_path, overwrite=True)
    assert len(scan(tmp_path, ranges=RANGES[:1]).run(Hill(), 1)) == 2


@pytest.mark.slow
def test_settings_that_fail_are_noted_and_the_study_goes_on(tmp_path):
    trials = scan(tmp_path).run(Hill(refused=64), 12)
    failed = [trial for trial in trials if trial.state == "failed"]
    assert failed and all(trial.values["features.mels"] == 64 for trial in failed)
    assert {trial.why for trial in failed} == {"cannot hear with 64 bands"}
    table = pd.read_csv(tmp_path / "trials.csv")
    assert len(table) == 13 and (table["why"] == "cannot hear with 64 bands").sum() == len(failed)
    assert scan(tmp_path).best().values["features.mels"] != 64


def test_settings_must_lead_by_more_than_chance_to_replace_those_that_were_set():
    default = study.Trial(0, "finished", 0.6, [0.5, 0.6, 0.7])
    lucky = study.Trial(1, "finished", 0.633, [0.8, 0.4, 0.7], {"a": 1})  # leads .3, -.2, 0
    steady = study.Trial(2, "finished", 0.63, [0.52, 0.64, 0.73], {"a": 2})  # leads .02, .04, .03
    failed = study.Trial(3, "failed", None, [0.9], {"a": 3}, "too large")
    assert study.chosen([default, lucky, failed]) == default
    assert study.chosen([default, steady, failed]) == steady
    assert study.chosen([lucky]) == lucky and study.chosen([failed]) is None


@pytest.mark.slow
def test_what_begins_worse_than_most_is_not_finished(tmp_path):
    trials = scan(tmp_path).run(Hill(steps=3), 25)
    pruned = [trial for trial in trials if trial.state == "pruned"]
    finished = [trial for trial in trials if trial.state == "finished"]
    assert pruned and all(len(trial.parts) < 3 for trial in pruned)
    assert all(len(trial.parts) == 3 for trial in finished)
    assert max(t.parts[0] for t in pruned) < np.median([t.parts[0] for t in finished])
    assert scan(tmp_path).best().state == "finished"


def test_a_trial_whose_process_was_killed_is_done_again(tmp_path):
    scan(tmp_path).run(Hill(), 2)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    scanned = scan(tmp_path)
    lost = scanned._next(3)
    lost.set_user_attr("by", (study.socket.gethostname(), dead.pid))
    trials = scan(tmp_path).run(Hill(), 3)
    assert [t.state for t in trials] == ["finished"] * 3 + ["failed", "finished"]
    assert trials[3].why == "its process ended"


def test_a_trial_of_a_process_that_lives_is_left_alone(tmp_path):
    scan(tmp_path).run(Hill(), 2)
    busy = scan(tmp_path)._next(3)
    busy.set_user_attr("by", (study.socket.gethostname(), os.getppid()))
    assert scan(tmp_path).run(Hill(), 3)[3].state == "running"


def test_pictures_are_drawn_of_any_study(tmp_path):
    scanned = scan(tmp_path)
    for trials in (0, 1, 9):
        found = scanned.run(Hill(steps=2), trials) if trials else []
        shares = scanned.importances()
        pictures.write(tmp_path, found, "height", shares)
        assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    assert sum(shares.values()) == pytest.approx(1)
    assert set(shares) == {"segments.gap_s", "features.mels"}


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        (["segments.gaps=0.1:1.0"], "segments has no setting 'gaps': it has edge_db"),
        (["nonsense=1:2"], "the configuration has no setting 'nonsense'"),
        (["model.latent=4:64:log"], "model 'sound-events' has no setting 'latent'"),
        (["scorer.name=kn,knnn"], "unknown scorer 'kn"),
        (["features.mels=32,64", "features.mels=16:32"], "every setting once, got features.mels"),
        ([], "every setting once, got none"),
    ],
)
def test_ranges_that_nothing_knows_are_refused_before_anything_is_tried(ranges, message):
    with pytest.raises(ParameterError, match=message):
        study.check([Range.parse(text) for text in ranges], CONFIG)


def test_a_range_that_would_change_nothing_is_refused():
    ranges = [Range.parse("model.window=4:32")]
    with pytest.raises(ParameterError, match=r"model\.window changes nothing in this detector"):
        study.check(ranges, {"kind": "series"})
    study.check([*ranges, Range.parse("model.name=knn,window-pca")], {"kind": "series"})


def test_without_optuna_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        RunError, match=r"needs the package optuna: pip install 'raravis\[search\]'"
    ):
        study.optuna()
