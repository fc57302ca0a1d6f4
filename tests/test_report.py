"""The report as a file: whole or not at all, escaped, closed to any network, arrays intact."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re

import numpy as np
import pytest

from raravis import pictures
from raravis.errors import ParameterError, RunError
from raravis.report import Chart, Clip, Line, Member, Picture, Timeline, render, write
from raravis.report.charts import extremes, pack_chart
from raravis.report.columns import pack_array, pack_from_base, unpack_array
from raravis.report.pack import pack, strongest_of
from raravis.report.page import duration_words, lead
from report_sample import sample_report, series_report


@pytest.fixture(scope="module")
def report():
    return sample_report(recordings=2, duration_s=30.0, events=2, points=50)


@pytest.fixture(scope="module")
def html(report):
    return render(report)


def data_in(html):
    """The JSON that the page's scripts will read."""
    found = re.search(
        r'<script type="application/json" id="report-data">(.*?)</script>', html, re.S
    )
    return json.loads(found[1])


def renamed(report, name):
    first = dataclasses.replace(report.recordings[0], name=name)
    return dataclasses.replace(report, recordings=[first, *report.recordings[1:]])


# --- the page ------------------------------------------------------------------------------------


def test_asks_no_network_for_anything(html):
    assert not re.search(r"https?:|//\w+\.\w|@import|\bfetch\(|XMLHttpRequest|WebSocket", html)


@pytest.mark.parametrize("kind", ["script", "style"])
def test_policy_names_the_very_script_and_style(html, kind):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1]
    inner = re.search(rf"<{kind}>(.*?)</{kind}>", html, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
    assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_nothing_in_the_page_needs_more_than_the_policy_allows(html):
    markup = re.sub(r"<(script|style).*?</\1>", "", html, flags=re.S)
    assert not re.search(r"<[^>]+\s(style|on\w+)=", markup)


def test_names_with_markup_stay_names(report):
    evil = "</script><script>alert(1)</script>&\u2028.wav"
    strange = renamed(report, evil)
    strange = dataclasses.replace(
        strange,
        title=evil,
        summary=[(evil, evil)],
        skipped=[(evil, evil)],
        settings={evil: {evil: evil}},
        created=evil,
    )
    page = render(strange)
    assert "<script>alert" not in page
    assert page.count("<script") == page.count("</script>") == 2
    assert data_in(page)["recordings"][0]["name"] == evil


def test_dollar_signs_in_names_are_left_alone(report):
    assert "$title $$ ${x}" in render(dataclasses.replace(report, title="$title $$ ${x}"))


def test_says_in_plain_words_what_was_found(report):
    words = lead(report)
    assert words.startswith(
        "raravis went through 1 min of sound in 2 recordings. 2 moments stand out"
    )
    assert report.recordings[report.events[0].recording].name in words
    assert "nothing that stands out" in lead(dataclasses.replace(report, events=[]))


def test_lists_what_could_not_be_read_and_every_setting(html):
    assert "2 files could not be read" in html
    assert "cut short: 12 of 42 bytes of header" in html
    assert "<dt>rate_hz</dt><dd>22050</dd>" in html


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (7.25, "7.25 s"),
        (59.9, "59.9 s"),
        (490, "8 min 10 s"),
        (3599.6, "1 h"),
        (88200, "24 h 30 min"),
        (4 * 86400, "4 days"),
        (4 * 86400 + 7200, "4 days 2 h"),
    ],
)
def test_durations_in_words(seconds, words):
    assert duration_words(seconds) == words


# --- writing -------------------------------------------------------------------------------------


def test_writes_one_file_and_leaves_nothing_else(report, tmp_path):
    path = write(report, tmp_path / "report.html")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_failed_write_leaves_the_old_report_whole(report, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("the old one")
    (tmp_path / "report.html.tmp").mkdir()  # so that the new one cannot be written
    with pytest.raises(
        RunError, match=r"report could not be written to .*report\.html: .*make room"
    ):
        write(report, path)
    assert path.read_text() == "the old one"


def test_same_report_same_page(report, html):
    assert render(report) == html


# --- packing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["f4", "u4", "u2", "u1"])
def test_packed_arrays_come_back(kind):
    values = np.array([0, 1, 2, 200])
    np.testing.assert_array_equal(unpack_array(pack_array(values, kind)), values)


def test_a_packed_array_by_hand():
    # 1 and 256 as little-endian 16-bit numbers are the bytes 01 00 00 01.
    assert pack_array([1, 256], "u2") == {"kind": "u2", "data": "AQAAAQ=="}


def test_timelines_of_all_recordings_come_back_end_to_end(report, html):
    packed = data_in(html)["scorers"]
    assert [scorer["name"] for scorer in packed] == ["rarity", "reconstruction error"]
    counts = unpack_array(packed[0]["counts"])
    assert list(counts) == [len(recording.timeline.score) for recording in report.recordings]
    whole = np.concatenate([recording.timeline.score for recording in report.recordings])
    np.testing.assert_allclose(unpack_array(packed[0]["score"]), whole, rtol=1e-6)


def test_points_keep_their_angles(report, html):
    packed = data_in(html)["points"]
    coords = unpack_array(packed["coords"]).reshape(-1, 3).astype(float)
    true = report.points.coords - report.points.coords.min(axis=0)
    np.testing.assert_allclose(coords / 65535 * true.max(), true, atol=true.max() / 65535)
    np.testing.assert_array_equal(unpack_array(packed["cluster"]), report.points.cluster)


def test_too_many_points_keep_the_strangest(report):
    rng = np.random.default_rng(0)
    many = sample_report(events=0, points=201_000).points
    score = rng.normal(size=201_000)
    many = dataclasses.replace(many, score=score, recording=np.zeros(201_000, int))
    packed = pack(dataclasses.replace(report, points=many))["points"]
    kept = unpack_array(packed["score"])
    assert len(kept) == 200_000
    assert packed["total"] == 201_000
    np.testing.assert_allclose(np.sort(kept)[-10_000:], np.sort(score)[-10_000:], rtol=1e-6)


def test_thinned_timelines_keep_the_strangest_by_hand():
    line = Timeline(np.arange(5.0), np.arange(5.0) + 1, np.array([1.0, 3.0, 2.0, np.nan, 5.0]))
    thin = strongest_of(line, 2)
    np.testing.assert_array_equal(thin.start_s, [0, 2, 4])
    np.testing.assert_array_equal(thin.end_s, [2, 4, 5])
    np.testing.assert_array_equal(thin.score, [3, 2, 5])


def test_small_budgets_drop_neighbours_first_and_say_so(report):
    whole = pack(report)
    media = sum(len(json.dumps(event)) for event in whole["events"])
    tight = pack(report, page_bytes=len(json.dumps(whole)) - media // 3)
    for event in tight["events"]:
        assert event["original"]["picture"] and event["original"]["sound"]
        assert not any(clip["sound"] for clip in event["neighbours"])
    assert tight["left_out"]["sounds"] >= 8
    assert whole["left_out"] == {"pictures": 0, "sounds": 0}


def test_numbers_that_json_cannot_hold_become_unknown(report):
    event = dataclasses.replace(report.events[0], p_value=float("nan"), score=float("inf"))
    packed = pack(dataclasses.replace(report, events=[event]))["events"][0]
    assert packed["p_value"] is None
    assert packed["score"] is None


def test_original_and_expected_share_a_scale(report):
    for event in pack(report)["events"]:
        heard, expected = event["original"]["picture"], event["reconstructed"]["picture"]
        assert (heard["low_db"], heard["high_db"]) == (expected["low_db"], expected["high_db"])
        assert event["error"]["low_db"] == 0


def test_a_report_of_nothing_can_be_written(report):
    empty = dataclasses.replace(
        report, recordings=[], events=[], points=None, members={}, skipped=[], settings={}
    )
    assert "nothing that stands out" in render(empty)


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["file.wav", "../a%20b/c.wav", "sub/12:30.wav"])
def test_takes_urls_relative_to_the_page(report, url):
    first = dataclasses.replace(report.recordings[0], url=url)
    packed = pack(dataclasses.replace(report, recordings=[first, report.recordings[1]]))
    assert url in str(packed)


@pytest.mark.parametrize("url", ["https:x", "//host/file.wav", "javascript:1", "\\\\host\\x"])
def test_refuses_urls_that_leave_the_disk(report, url):
    first = dataclasses.replace(report.recordings[0], url=url)
    with pytest.raises(ParameterError, match="must be relative to the page"):
        pack(dataclasses.replace(report, recordings=[first, report.recordings[1]]))


def test_refuses_events_of_unknown_recordings(report):
    event = dataclasses.replace(report.events[0], original=Clip(7, 0, 1, 1.0))
    with pytest.raises(ParameterError, match="event 1 names recording 7, there are 2"):
        pack(dataclasses.replace(report, events=[event]))


def test_refuses_pictures_without_their_frequencies(report):
    picture = Picture(np.zeros((4, 10)), np.arange(5.0), 0.0, 0.1)
    event = dataclasses.replace(report.events[0], error=picture)
    with pytest.raises(
        ParameterError, match=r"of event 1 needs one band_hz .* \(4, 10\) .* \(5,\)"
    ):
        pack(dataclasses.replace(report, events=[event]))


def test_refuses_members_that_do_not_cover_all_recordings(report):
    member = Member([report.recordings[0].timeline])
    with pytest.raises(
        ParameterError, match="'x' needs one timeline for each of 2 recordings, got 1"
    ):
        pack(dataclasses.replace(report, members={"x": member}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coords": np.full((50, 3), np.nan)}, "coords must be finite"),
        ({"cluster": np.full(50, 300)}, r"cluster must be in \[0, 254\], got 300"),
        ({"recording": np.full(50, 2)}, "a point names recording 2, there are 2"),
        ({"score": np.zeros(3)}, "score must have one value for each of 50 points, got 3"),
    ],
)
def test_refuses_points_that_do_not_fit(report, change, message):
    points = dataclasses.replace(report.points, **change)
    with pytest.raises(ParameterError, match=message):
        pack(dataclasses.replace(report, points=points))


# --- pictures ------------------------------------------------------------------------------------


def test_levels_by_hand():
    db = np.array([[-100.0, -80.0, -40.0], [0.0, 10.0, np.nan]])
    np.testing.assert_array_equal(pictures.to_levels(db, -80, 0, 5), [[0, 0, 2], [4, 4, 0]])


def test_pictures_come_back_from_png():
    levels = np.random.default_rng(0).integers(0, 32, (16, 40)).astype(np.uint8)
    np.testing.assert_array_equal(pictures.from_png(pictures.to_png(levels)), levels)


def test_long_pictures_shrink_by_means():
    db, step = pictures.shrink_frames(np.array([[1.0, 3.0, 5.0, 7.0, 9.0]]), most=3)
    assert step == 2
    np.testing.assert_array_equal(db, [[2, 6]])


def test_a_shrunk_picture_keeps_its_place_in_time(report):
    long = Picture(np.zeros((4, 1000)), np.arange(1.0, 5.0), 12.0, 0.01)
    event = dataclasses.replace(report.events[0], original=Clip(0, 12, 22, 1.0, long))
    packed = pack(dataclasses.replace(report, events=[event]))["events"][0]["original"]["picture"]
    assert packed["from_s"] == 12.0
    assert packed["to_s"] == pytest.approx(22.0, abs=0.03)


def test_pictures_refuse_and_say_why():
    with pytest.raises(ParameterError, match="low_db must be below high_db, got 0 and -80"):
        pictures.to_levels(np.zeros((2, 2)), 0, -80)
    with pytest.raises(ParameterError, match=r"levels must be in \[2, 256\], got 1"):
        pictures.to_levels(np.zeros((2, 2)), -80, 0, 1)
    with pytest.raises(ParameterError, match=r"bands x frames, got an array of \(3, 0\)"):
        pictures.to_png(np.zeros((3, 0), np.uint8))


# --- series --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def series():
    return series_report()


def test_a_report_on_series_counts_rows_and_tells_when(series):
    assert lead(series).startswith(
        "raravis went through 2,000 rows of 3 channels. 3 moments stand out; "
        "the strangest is at 17:40:00 on 2 Mar 2026 in plant.csv"
    )
    without_clock = series_report(clock=False)
    assert "the strangest is at row 501 in plant.csv" in lead(without_clock)


def test_the_page_knows_of_what_kind_it_is_and_lists_the_remarks(series):
    page = render(series)
    assert '<html lang="en" data-kind="series">' in page
    assert "1 remark on what was read" in page and "its rows were &lt;sorted&gt;" in page
    assert "remark on what" not in render(dataclasses.replace(series, remarks=()))


def test_settings_of_several_models_stand_one_below_the_other(series):
    assert "<dt>1</dt><dd><dl><div><dt>name</dt><dd>knn</dd></div>" in render(series)


def test_the_windows_of_a_member_are_packed_once_where_they_are_the_main_ones(series):
    main, member = pack(series)["scorers"]
    assert set(member) == {"name", "level", "score", "run"}
    assert {"counts", "start_s", "end_s"} < set(main)


def test_a_member_with_windows_of_its_own_keeps_them(series):
    line = series.recordings[0].timeline
    half = Timeline(line.start_s[::2], line.end_s[1::2], line.score[::2])
    packed = pack(dataclasses.replace(series, members={"half": Member([half])}))["scorers"][1]
    np.testing.assert_array_equal(unpack_array(packed["start_s"]), half.start_s)


def test_groups_of_the_map_keep_their_names(series):
    assert pack(series)["points"]["groups"] == ["channel_0", "channel_1 and channel_2"]


def from_base(packed):
    return packed["base"] + unpack_array(packed["offsets"]).astype(float)


def test_a_chart_comes_back_as_it_was(series):
    chart = series.events[0].original.chart
    packed = pack(series)["events"][0]["original"]["chart"]
    np.testing.assert_allclose(from_base(packed["time_s"]), chart.time_s)
    np.testing.assert_allclose(from_base(packed["score"]), chart.score, rtol=1e-6)
    for line, original in zip(packed["lines"], chart.lines, strict=True):
        np.testing.assert_allclose(from_base(line["value"]), original.value, rtol=1e-6)
        assert (line["name"], line["low"], line["high"]) == (original.name, 18.0, 22.0)
    assert packed["known"] == [list(stretch) for stretch in chart.known]


def test_a_small_change_of_a_large_value_is_not_lost():
    values = 1e9 + np.array([0.0, 0.25, np.nan, -0.5])
    np.testing.assert_array_equal(from_base(pack_from_base(values)), values)
    assert np.isnan(from_base(pack_from_base(np.full(3, np.nan)))).all()


def test_extremes_by_hand():
    values = np.array([1.0, 5.0, 2.0, 4.0, np.nan, 3.0, np.nan, np.nan, np.nan, 7.0])
    np.testing.assert_array_equal(
        extremes(values, 3), [1, 5, 4, 3, np.nan, np.nan, 7, 7]
    )  # lowest and highest of (1 5 2), (4 - 3), (- - -) and (7), in the order in which they come
    np.testing.assert_array_equal(extremes(values, 1), values)


def test_a_long_chart_is_thinned_and_keeps_its_only_spike():
    value = np.zeros(50_000)
    value[31_234] = 9.0
    chart = Chart(np.arange(50_000.0), [Line("pressure", value)], np.zeros(50_000))
    packed = pack_chart(chart, most=700)
    time_s, thinned = from_base(packed["time_s"]), from_base(packed["lines"][0]["value"])
    assert 600 < len(time_s) == len(thinned) <= 700
    assert (np.diff(time_s) >= 0).all()
    assert thinned.max() == 9.0
    assert abs(time_s[thinned.argmax()] - 31_234) <= packed["run"]


def test_a_chart_with_columns_of_different_length_is_refused(series):
    chart = Chart(np.arange(3.0), [Line("pressure", np.zeros(2))], np.zeros(3))
    clip = dataclasses.replace(series.events[0].original, chart=chart)
    event = dataclasses.replace(series.events[0], original=clip)
    with pytest.raises(
        ParameterError,
        match="'pressure' in the chart of event 1 must have one value for each of 3 moments, got 2",
    ):
        pack(dataclasses.replace(series, events=[event]))
