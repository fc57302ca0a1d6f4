"""The detector on series, end to end: learns, scores, finds, saves, goes on, watches, refuses."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from raravis.cli import app
from raravis.configuration import read_toml
from raravis.detector import Detector
from raravis.errors import DataError, ParameterError, RunError
from raravis.row_ensemble import default_members, member_names
from raravis.series.synthesis import CHANNELS, plant, write_csv
from raravis.store import Store

MEMBERS = default_members(len(CHANNELS))
QUICK = {"training": {"max_steps": 30}}


@pytest.fixture(scope="module")
def station(tmp_path_factory):
    """A pumping station of two days as a CSV file, and what went wrong in it."""
    path = tmp_path_factory.mktemp("station") / "plant.csv"
    series, faults = plant(hours=48, seed=3)
    write_csv(path, series)
    return path, faults


@pytest.fixture(scope="module")
def fitted(station):
    return Detector(learn={"first": 0.4}).fit(station[0])


@pytest.fixture(scope="module")
def run(fitted, station, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    fitted.save(folder)
    fitted.score(station[0], run=folder)
    return folder


def test_the_file_tells_that_it_is_a_series(station):
    detector = Detector()
    detector.open(station[0])
    assert detector.kind == "series"
    assert Detector(learn={"first": 0.4}).kind == "series"  # sound has no such setting
    assert Detector.for_recordings(station[0], {}).kind == "series"


def test_every_row_gets_a_score_in_order(fitted, station):
    table = fitted.score(station[0])
    assert len(table) == 48 * 60
    np.testing.assert_allclose(table.start_s, 60.0 * np.arange(len(table)))
    context = fitted.sense.layer.model.context
    assert table.score[:context].isna().all() and table.score[context:].notna().all()
    assert table.p_value[context:].between(0, 1).all()


def test_most_faults_are_among_the_events(fitted, station):
    fitted.score(station[0])
    events = fitted.events()
    found = [
        ((events.start_s < fault.end_s) & (events.end_s > fault.start_s)).any()
        for fault in station[1]
    ]
    assert sum(found) >= 4
    assert len(events) < 40
    assert events.start_time.str.startswith("2026-05-").all()


def test_a_run_keeps_contributions_members_and_remarks(run, fitted):
    with Store.open(run) as store:
        assert store.scorers("windows") == ["ensemble", *member_names(MEMBERS)]
        contributions = np.asarray(store.embeddings("windows"), dtype=float)
        score, _ = store.scores("windows", "ensemble")
    assert contributions.shape == (48 * 60, len(CHANNELS))
    judged = np.isfinite(score)
    np.testing.assert_allclose(
        np.sqrt(np.square(contributions[judged]).mean(axis=1)), score[judged], rtol=2e-3
    )
    summary = read_toml(run / "run.toml")
    assert summary["detector"]["kind"] == "series"
    assert summary["detector"]["source"]["channels"] == list(CHANNELS)
    assert [one["name"] for one in summary["detector"]["model"]] == [one["name"] for one in MEMBERS]


def test_the_settings_of_a_run_make_the_same_detector(run):
    config = read_toml(run / "run.toml")["detector"]
    assert Detector.from_config(config).config == config


def test_a_loaded_detector_scores_as_the_saved_one_did(run, station):
    fresh = Detector.load(run).score(station[0])
    with Store.open(run) as store:
        pd.testing.assert_frame_equal(fresh, store.table("windows", "ensemble"))


def test_rows_one_by_one_are_judged_as_in_the_file(run, station):
    values = pd.read_csv(station[0])[list(CHANNELS)].to_numpy()[:300]
    times = pd.to_datetime(pd.read_csv(station[0])["timestamp"]).to_numpy()[:300]
    batch = Detector.load(run).score(station[0])[:300]
    detector = Detector.load(run)
    verdicts = [detector.update(row, [time]) for row, time in zip(values, times, strict=True)]
    score = np.concatenate([verdict.score for verdict in verdicts])
    np.testing.assert_allclose(score, batch.score, rtol=1e-6)
    p_value = np.concatenate([verdict.p_value for verdict in verdicts])
    np.testing.assert_allclose(p_value, batch.p_value, rtol=1e-6)


def test_watching_goes_on_after_a_restart(run, station, tmp_path):
    values = pd.read_csv(station[0])[list(CHANNELS)].to_numpy()[:200]
    whole = Detector.load(run).update(values)
    detector = Detector.load(run)
    detector.update(values[:120])
    detector.save(tmp_path)
    rest = Detector.load(tmp_path).update(values[120:])
    np.testing.assert_allclose(rest.score, whole.score[120:], rtol=1e-6)


def test_scoring_again_goes_on_where_it_stopped(fitted, station, tmp_path, monkeypatch):
    monkeypatch.setattr("raravis.senses.series.BLOCK", 1000)
    whole = fitted.score(station[0])

    class CutError(Exception):
        pass

    def cut_after_a_block(step, done, total):
        if step == "scoring" and done > 0:
            raise CutError

    with pytest.raises(CutError):
        fitted.score(station[0], run=tmp_path, progress=cut_after_a_block)
    with Store.open(tmp_path) as store:
        assert store.scored_until(store.recordings()[0][0]) == 60_000
    pd.testing.assert_frame_equal(fitted.score(station[0], run=tmp_path), whole)


@pytest.mark.parametrize("model", ["dense-ae", "lstm-ae", "window-pca", "knn,vae"])
def test_any_model_of_rows_can_be_the_judge(station, model):
    detector = Detector(model, kind="series", learn={"first": 0.4}, **QUICK).fit(station[0])
    assert detector.score(station[0]).score.notna().sum() > 2800


def test_alarms_per_hour_can_be_asked_for(station):
    def level(per_hour):
        asked = {"threshold": {"per_hour": per_hour}, "learn": {"first": 0.4}}
        detector = Detector(kind="series", **asked).fit(station[0])
        assert detector.config["threshold"] == {"name": "rate", "per_hour": per_hour}
        return detector.sense.level

    assert level(0.2) > level(5.0)


def test_the_same_seed_gives_the_same_numbers(station):
    make = {"model": "dense-ae", "kind": "series", "learn": {"rows": 5000}, **QUICK}
    once, again = (Detector(**make).fit(station[0]).score(station[0]) for _ in range(2))
    pd.testing.assert_frame_equal(once, again)


def test_a_series_of_other_channels_is_refused(run, tmp_path):
    table = pd.DataFrame({"timestamp": pd.date_range("2026-05-01", periods=50, freq="min")})
    table["speed"] = np.arange(50.0)
    table.to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(DataError, match="water_temperature_c"):
        Detector.load(run).open(tmp_path / "other.csv")


def test_an_unfitted_detector_and_wrong_settings_say_so(station):
    with pytest.raises(RunError, match="has learned nothing yet: call fit first"):
        Detector(kind="series").update(np.zeros((1, 2)))
    with pytest.raises(ParameterError, match="'sound-events' does not see rows of series"):
        Detector("sound-events", kind="series")
    with pytest.raises(ParameterError, match="the configuration has no setting 'features'"):
        Detector(kind="series", features={})
    with pytest.raises(ParameterError, match="unknown kind of recording 'smell': choose one of"):
        Detector(kind="smell")


# --- the command line --------------------------------------------------------------------------


def raravis(*arguments, text=None):
    """What a verb prints to standard output, run in this process."""
    result = CliRunner().invoke(app, list(map(str, arguments)), input=text, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_detect_evaluate_and_scores_from_the_command_line(station, tmp_path):
    out = tmp_path / "run"
    found = json.loads(raravis("detect", station[0], "--out", out, "--first", 0.4, "--json"))
    assert len(found["events"]) >= 4
    assert (out / "report.html").stat().st_size > 20_000
    rows = json.loads(raravis("evaluate", out, "--json"))
    auroc = {row["scorer"]: row["auroc"] for row in rows}
    assert auroc["ensemble"] > auroc["random"] + 0.2
    assert raravis("scores", out).startswith("recording,start_s,end_s,score,p_value\n")


def test_watch_judges_lines_of_standard_input(run, station):
    lines = station[0].read_text().splitlines(keepends=True)
    said = raravis("watch", "-", "--run", run, text="".join(lines[:60]))
    judged = [line.split(",") for line in said.splitlines()]
    assert judged[0] == ["row", "time", "score", "p_value", "alarm", "channel"]
    assert len(judged) == 60 and judged[-1][5] in CHANNELS


def test_watch_keeps_where_it_stands(run, station, tmp_path):
    lines = station[0].read_text().splitlines(keepends=True)
    whole = raravis("watch", "-", "--run", run, text="".join(lines[:101])).splitlines()
    keep = ["watch", "-", "--run", run, "--state", tmp_path / "state"]
    raravis(*keep, text="".join(lines[:61]))
    rest = raravis(*keep, text="".join([lines[0], *lines[61:101]])).splitlines()
    assert [line.split(",")[1:] for line in rest[1:]] == [
        line.split(",")[1:] for line in whole[61:]
    ]


# --- without learning first ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def daily(tmp_path_factory):
    """Four weeks of one channel that follows the day, and on one day lies far above it."""
    hours = np.arange(28 * 48) / 2
    values = np.sin(2 * np.pi * hours / 24) + np.random.default_rng(0).normal(0, 0.05, len(hours))
    values[20 * 48 : 21 * 48] += 4
    times = pd.date_range("2026-05-04", periods=len(hours), freq="30min")
    path = tmp_path_factory.mktemp("daily") / "daily.csv"
    pd.DataFrame({"timestamp": times, "load": values}).to_csv(path, index=False)
    return path


def test_novelty_needs_no_learning_and_finds_the_day_that_was_different(daily):
    detector = Detector("novelty", kind="series").fit(daily)
    table = detector.score(daily)
    assert len(table) == 28 * 48 and table.score[200:].notna().all()
    np.testing.assert_allclose(table.score[200:], -np.log10(table.p_value[200:]))
    top = detector.events().iloc[0]
    assert 20 * 86400 <= top.peak_s < 22 * 86400


def test_one_channel_that_lives_by_the_clock_is_judged_by_novelty_unless_asked_otherwise(daily):
    config = Detector().fit(daily).config
    assert config["model"][0]["name"] == "novelty" and config["model"][0]["alarm_rate"] == 1e-3
    assert Detector.from_config(config).config == config
    asked = Detector(kind="series", threshold={"per_hour": 0.02}).fit(daily).config["model"][0]
    assert asked["alarm_rate"] == pytest.approx(0.01)  # rows come every half hour
    forced = Detector("window-pca", kind="series").fit(daily).config["model"]
    assert [one["name"] for one in forced] == ["window-pca"]


def test_one_channel_without_times_of_day_is_learned_from(daily, tmp_path):
    pd.read_csv(daily)[["load"]].to_csv(tmp_path / "plain.csv", index=False)
    names = [one["name"] for one in Detector().fit(tmp_path / "plain.csv").config["model"]]
    assert "window-pca" in names and "novelty" not in names


def test_novelty_row_by_row_is_the_same_as_from_the_file(daily, monkeypatch):
    monkeypatch.setattr("raravis.senses.series.BLOCK", 500)
    batch = Detector("novelty", kind="series").fit(daily).score(daily).score
    rows = pd.read_csv(daily, parse_dates=["timestamp"])
    detector = Detector("novelty", kind="series")
    scores = [
        detector.update([row.load], [row.timestamp.to_pydatetime()]).score[0]
        for row in rows.itertuples()
    ]
    np.testing.assert_array_equal(scores, batch)


def test_novelty_goes_on_after_a_restart(daily, tmp_path):
    rows = pd.read_csv(daily)[["load"]].to_numpy()
    whole = Detector("novelty", kind="series").update(rows)
    detector = Detector("novelty", kind="series")
    detector.update(rows[:700])
    detector.save(tmp_path)
    rest = Detector.load(tmp_path).update(rows[700:])
    np.testing.assert_array_equal(rest.score, whole.score[700:])


def test_novelty_of_several_channels_is_laid_to_the_one_that_changed():
    random = np.random.default_rng(0)
    rows = random.normal(size=(900, 3))
    rows[800:, 1] += 30
    verdict = Detector("novelty", kind="series").update(rows)
    assert verdict.alarm[800] and verdict.contributions[800].argmax() == 1
    np.testing.assert_allclose(
        np.sqrt(np.square(verdict.contributions[800]).mean()), verdict.score[800]
    )


def test_a_channel_without_values_does_not_hide_what_another_found_new():
    rows = np.random.default_rng(1).normal(size=(900, 2))
    rows[800, 0] = 30
    whole = Detector("novelty", kind="series").update(rows[:801])
    rows[:, 1] = np.nan
    alone = Detector("novelty", kind="series").update(rows[:801])
    assert alone.alarm[800] and whole.alarm[800]
    assert alone.members["value"][800] > 1
    assert np.isfinite(alone.score[200:]).all()


def test_watch_without_a_run_learns_as_rows_come(daily):
    said = raravis("watch", "-", "--alarms", text=daily.read_text())
    alarms = [line.split(",") for line in said.splitlines()[1:]]
    assert any(line[1].startswith("2026-05-24") for line in alarms)
    assert len(alarms) < 30


def test_novelty_judges_alone():
    with pytest.raises(ParameterError, match="'novelty' judges alone"):
        Detector("novelty,knn", kind="series")
