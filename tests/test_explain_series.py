"""From a run on series to its report: which channels, what they did, what is told of the run."""

import shutil

import numpy as np
import pandas as pd
import pytest

from raravis.detector import Detector
from raravis.explain import explain
from raravis.novelty import FAMILIES
from raravis.report import render
from raravis.series.synthesis import CHANNELS, plant, write_csv
from raravis.store import Store


def run_on(recordings, folder, **settings):
    detector = Detector(kind="series", **settings).fit(recordings)
    detector.save(folder)
    detector.score(recordings, run=folder)
    return folder


@pytest.fixture(scope="module")
def station(tmp_path_factory):
    """A pumping station of two days as a file, its rows, and what went wrong in it."""
    path = tmp_path_factory.mktemp("station") / "plant.csv"
    series, faults = plant(hours=48, seed=3)
    write_csv(path, series)
    return path, series, faults


@pytest.fixture(scope="module")
def run(station, tmp_path_factory):
    return run_on(station[0], tmp_path_factory.mktemp("runs") / "run", learn={"first": 0.4})


@pytest.fixture(scope="module")
def report(run):
    return explain(run)


def test_every_event_is_shown_within_what_is_around_it(report):
    assert [event.rank for event in report.events] == list(range(1, len(report.events) + 1))
    for event in report.events:
        shown, chart = event.original, event.original.chart
        assert shown.start_s <= event.start_s < event.end_s <= shown.end_s
        assert shown.start_s == chart.time_s[0] and chart.time_s[-1] < shown.end_s
        assert event.start_time.startswith("2026-05-0")
        length = event.rows[1] - event.rows[0] + 1
        assert length == round((event.end_s - event.start_s) / 60)
        wanted = min(5 * length, 2880) if length > 30 else length + 120
        assert len(chart.time_s) <= wanted and len(chart.time_s) > length


def test_a_chart_is_what_stands_in_the_file_and_in_the_store(report, run, station):
    with Store.open(run) as store:
        score = store.scores("windows", "ensemble")[0]
    for event in report.events:
        chart = event.original.chart
        rows = np.round(chart.time_s / 60).astype(int)
        np.testing.assert_array_equal(chart.score, score[rows])
        for line in chart.lines:
            values = station[1].values[rows, CHANNELS.index(line.name)]
            np.testing.assert_allclose(line.value, values, atol=1e-3)


def test_the_channels_shown_are_those_that_contributed_most(report, run):
    with Store.open(run) as store:
        contributions = np.asarray(store.embeddings("windows"), dtype=float)
    for event in report.events:
        squares = np.square(contributions[event.rows[0] - 1 : event.rows[1]]).sum(axis=0)
        shares = squares / squares.sum()
        lines = event.original.chart.lines
        assert [line.name for line in lines] == [
            CHANNELS[c] for c in np.argsort(-shares)[: len(lines)]
        ]
        largest = np.sort(shares)[::-1][: len(lines)]
        np.testing.assert_allclose([line.share for line in lines], largest)
        assert all(line.share >= 0.05 for line in lines) and 1 <= len(lines) <= 4


def test_the_band_of_a_channel_is_two_deviations_of_what_was_learned_from(report, run):
    scaling = Detector.load(run).sense.layer.scaling
    for line in report.events[0].original.chart.lines:
        c = CHANNELS.index(line.name)
        assert line.low == pytest.approx(scaling.mean_[c] - 2 * scaling.deviation_[c])
        assert line.high == pytest.approx(scaling.mean_[c] + 2 * scaling.deviation_[c])


def test_what_went_wrong_is_explained_by_the_channel_that_shows_it(report, station):
    explained = 0
    for fault in station[2]:
        events = [e for e in report.events if e.start_s < fault.end_s and e.end_s > fault.start_s]
        explained += any(fault.channel in event.reasons[0] for event in events)
    assert explained >= 4


def test_labels_are_marked_and_told(report, station):
    for event in report.events:
        chart = event.original.chart
        for fault in station[2]:
            from_s, to_s = (
                max(fault.start_s, chart.time_s[0]),
                min(fault.end_s, event.original.end_s),
            )
            if from_s < to_s:
                assert (from_s, to_s) in [pytest.approx(stretch) for stretch in chart.known]
        assert sum("labels in the file" in reason for reason in event.reasons) == 1


def test_reasons_are_whole_sentences(report):
    for event in report.events:
        assert len(event.reasons) >= 4
        assert all(reason.endswith(".") and "nan" not in reason for reason in event.reasons)
        assert "of the score is from" in event.reasons[0]


def test_events_of_the_same_channels_are_named(report):
    said = [reason for event in report.events for reason in event.reasons if "Most like" in reason]
    assert all(f"event {e.rank}." not in " ".join(e.reasons) for e in report.events)
    assert said


def test_the_summary_counts_rows_and_says_why_some_have_no_score(report):
    summary = dict(report.summary)
    assert summary["Read"] == "2,880 rows of 8 channels"
    assert summary["Time"] == "48 h, from 2026-05-04 00:00 to 2026-05-06 00:00"
    assert summary["A row every"] == "1 min"
    assert summary["Rows without a score"] == "36 with fewer than 36 rows before them"
    assert summary["Alarm from score"].endswith("(ensemble), as 1 in 1,000 ordinary rows")
    assert summary["Could not be read"] == "nothing"


def test_members_have_their_own_timelines_and_levels(report, run):
    with Store.open(run) as store:
        names = store.scorers("windows")[1:]
        assert list(report.members) == names and len(names) == 4
        for name, member in report.members.items():
            score = store.scores("windows", name)[0]
            np.testing.assert_array_equal(member.timelines[0].score, score[36:])
            assert member.level > 0
    assert len(report.recordings[0].timeline.score) == 2880 - 36


def test_the_map_has_a_point_for_every_row_and_its_groups_have_names(report):
    assert len(report.points.coords) == 2880 - 36
    assert len(report.points.groups) == report.points.cluster.max() + 1
    assert any(name in CHANNELS for name in report.points.groups)


def test_the_page_is_made_and_small(report):
    assert len(render(report)) < 3_000_000


def test_a_run_whose_files_are_gone_or_cut_is_reported_without_charts(run, station, tmp_path):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    shutil.copy(station[0], recordings)
    folder = run_on(recordings, tmp_path / "run", learn={"first": 0.4})
    (recordings / "plant.csv").write_text(
        "\n".join((recordings / "plant.csv").read_text().splitlines()[:500])
    )
    cut = explain(folder)
    shutil.rmtree(recordings)
    gone = explain(folder)
    for report in (cut, gone):
        assert report.events
        assert all(event.original.chart is None for event in report.events)
        assert all("of the score is from" in event.reasons[0] for event in report.events)


def table(rows, at, seed):
    """Two channels that wander together, with a leap in one of them, ten seconds apart."""
    rng = np.random.default_rng(seed)
    load = np.sin(np.arange(rows) / 20)
    frame = pd.DataFrame({"a": load, "b": 2 * load}) + 0.05 * rng.normal(size=(rows, 2))
    frame.loc[at : at + 5, "b"] += 3
    return frame.set_index(pd.Index(np.arange(rows) * 10.0, name="time"))


def test_rows_count_within_their_own_recording_and_remarks_are_kept(tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    table(900, 700, 0).to_csv(folder / "first.csv")
    second = table(900, 500, 1)
    second.iloc[100, 0] = np.nan
    second.to_csv(folder / "second.csv")
    report = explain(run_on(folder, tmp_path / "run", learn={"first": 0.4}))
    strongest = {}
    for event in report.events:
        strongest.setdefault(report.recordings[event.recording].name, event)
    assert strongest["first.csv"].rows[0] == pytest.approx(701, abs=3)
    assert strongest["second.csv"].rows[0] == pytest.approx(501, abs=3)
    for event in strongest.values():
        assert event.start_time is None
        assert event.original.chart.lines[0].name == "b"
    assert report.read == "1,800 rows of 2 channels in 2 recordings"
    assert report.points is None  # two channels need no map
    assert any("second.csv: values are missing: 1 in 'a'" in remark for remark in report.remarks)


def test_one_channel_needs_no_shares(tmp_path):
    table(900, 600, 0)[["b"]].to_csv(tmp_path / "one.csv")
    report = explain(run_on(tmp_path / "one.csv", tmp_path / "run", learn={"first": 0.4}))
    event = report.events[0]
    assert event.reasons[0].startswith("b ")
    assert event.original.chart.lines[0].share is None
    assert not any("Most like" in reason for reason in event.reasons)


def test_a_run_that_learned_nothing_beforehand_is_reported_as_well(tmp_path):
    table(2000, 1500, 0).to_csv(tmp_path / "two.csv")
    report = explain(run_on(tmp_path / "two.csv", tmp_path / "run", model="novelty"))
    assert report.scorer == "novelty" and set(report.members) == set(FAMILIES)
    event = report.events[0]
    assert any(reason.startswith("What is new is ") for reason in event.reasons)
    assert event.original.chart.lines[0].name == "b"
    assert event.original.chart.lines[0].low is None
    assert (
        "at the start, where too little was known" in dict(report.summary)["Rows without a score"]
    )


def test_a_run_without_events_says_so(tmp_path):
    table(900, 880, 0)[:800].to_csv(tmp_path / "calm.csv")
    folder = run_on(tmp_path / "calm.csv", tmp_path / "run", threshold={"name": "tail", "p": 1e-9})
    report = explain(folder)
    assert not report.events
    assert "found nothing that stands out" in render(report)
