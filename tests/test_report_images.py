"""The report on pictures: what goes into the page, and what a real browser makes of it."""

from __future__ import annotations

import base64
import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from browser import chromium, wait_for
from raravis.errors import ParameterError
from raravis.report import Clip, Frame, Thumbnails, View, write
from raravis.report.columns import unpack_array
from raravis.report.frames import HEAT_SIDE, NEIGHBOUR_SIDE, SIDE, celsius_range, heat_veil
from raravis.report.pack import pack
from raravis.report.page import lead
from report_sample import picture_report
from test_report_browser import PIXELS, READY, middle, pixels


def image(data):
    """What is embedded as base64, as an array."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def with_frame(report, frame):
    """The report with only its first event, which shows this frame."""
    first = report.events[0]
    clip = dataclasses.replace(first.original, frame=frame)
    return dataclasses.replace(report, events=[dataclasses.replace(first, original=clip)])


# --- what goes into the page ---------------------------------------------------------------------


def test_a_picture_comes_back_as_it_was_but_for_what_compression_takes():
    report = picture_report(events=1, size=(60, 80))
    view = report.events[0].original.frame.views[0]
    facts = pack(report)["events"][0]["original"]["frame"]["views"][0]
    assert facts["size"] == [80, 60] and facts["camera"] == "colour"
    for packed, wanted in (("picture", view.picture), ("expected", view.expected)):
        shown = image(facts[packed]).astype(float) / 255
        assert shown.shape == (60, 80, 3)
        assert np.abs(np.moveaxis(shown, 2, 0) - wanted).mean() < 0.02


def test_degrees_go_as_levels_between_two_temperatures():
    report = picture_report("pairs", events=1, size=(60, 80))
    view = report.events[0].original.frame.views[1]
    facts = pack(report)["events"][0]["original"]["frame"]["views"][1]
    low, high = facts["low"], facts["high"]
    ends = [np.percentile(values, [0.2, 99.8]) for values in (view.picture, view.expected)]
    assert low == pytest.approx(min(end[0] for end in ends), abs=0.11)
    assert high == pytest.approx(max(end[1] for end in ends), abs=0.11)
    levels = image(facts["picture"])
    levels = levels if levels.ndim == 2 else levels[..., 0]
    degrees = low + levels.astype(float) / 255 * (high - low)
    assert np.abs(degrees - view.picture[0].clip(low, high)).mean() < 0.25


def test_a_thermal_picture_of_one_temperature_still_has_a_scale():
    flat = View("celsius", np.full((1, 4, 4), 21.0))
    assert celsius_range(flat) == (21.0, 21.5)
    assert celsius_range(View("celsius", np.full((1, 4, 4), np.nan))) == (0.0, 1.0)
    assert celsius_range(View("grey", np.zeros((1, 4, 4)))) == (None, None)


def test_the_veil_is_clear_where_it_is_usual_and_thickest_where_it_is_hottest():
    heat = np.zeros((20, 30))
    heat[4:8, 10:14] = 3.0
    veil = np.asarray(heat_veil(heat, usual=1.0))
    assert veil.shape == (20, 30, 4)
    assert (veil[..., 3] > 0).sum() == 16 and (veil[4:8, 10:14, 3] == 255).all()
    heat[0, 0] = 1.5  # paler than the hottest, so more yellow: more green in it
    veil = np.asarray(heat_veil(heat, usual=1.0))
    assert 0 < veil[0, 0, 3] < 255 and veil[0, 0, 1] > veil[5, 11, 1]


def test_no_place_hotter_than_usual_no_veil():
    assert heat_veil(np.ones((5, 5)), usual=1.0) is None
    assert heat_veil(np.full((5, 5), np.nan), usual=0.0) is None
    frame = Frame("a.png", [View("grey", np.ones((1, 9, 9)), heat=np.ones((9, 9)), usual=2.0)])
    packed = pack(with_frame(picture_report(events=1), frame))
    assert packed["events"][0]["original"]["frame"]["views"][0]["heat"] is None
    assert packed["left_out"]["pictures"] == 0


def test_large_pictures_are_shown_smaller_in_the_same_form():
    noise = np.random.default_rng(0).random((3, 900, 1200))
    frame = Frame("a.png", [View("colour", noise, heat=noise[0], usual=0.5)])
    report = with_frame(picture_report(events=1), frame)
    near = [Clip(0, 0.0, 600.0, 1.0, frame=frame)]
    report = dataclasses.replace(
        report, events=[dataclasses.replace(report.events[0], neighbours=near)]
    )
    event = pack(report)["events"][0]
    view = event["original"]["frame"]["views"][0]
    assert view["size"] == [1200, 900]
    assert image(view["picture"]).shape == (SIDE * 3 // 4, SIDE, 3)
    assert image(view["heat"]).shape == (HEAT_SIDE * 3 // 4, HEAT_SIDE, 4)
    near = event["neighbours"][0]["frame"]["views"][0]["picture"]
    assert image(near).shape == (NEIGHBOUR_SIDE * 3 // 4, NEIGHBOUR_SIDE, 3)


def test_neighbours_are_on_the_temperatures_of_the_event():
    event = pack(picture_report("pairs", events=1))["events"][0]
    own = event["original"]["frame"]["views"][1]
    for near in event["neighbours"]:
        view = near["frame"]["views"][1]
        assert (view["low"], view["high"]) == (own["low"], own["high"])


def test_thumbnails_keep_their_points_and_their_places_on_the_sheet():
    report = picture_report(frames=40, thumbnails=23)
    packed = pack(report)["points"]["thumbnails"]
    rows = unpack_array(packed["rows"])
    np.testing.assert_array_equal(rows, report.points.thumbnails.rows)
    sheet, wide, tall = image(packed["sheet"]), packed["width"], packed["height"]
    for cell in range(len(rows)):
        x, y = cell % packed["columns"] * wide, cell // packed["columns"] * tall
        shown = sheet[y : y + tall, x : x + wide].astype(float)
        assert np.abs(shown - report.points.thumbnails.pictures[cell]).mean() < 8


def test_what_does_not_fit_is_left_out_from_the_lowest_ranks_on(monkeypatch):
    monkeypatch.setattr("raravis.report.pack.FRAMES_PAGE_BYTES", 300_000)
    noise = np.random.default_rng(0).random((3, 90, 120))
    frame = Frame("a.jpg", [View("colour", noise, noise, noise[0], 0.5)])
    report = picture_report(frames=100, events=20, recordings=1, thumbnails=60)
    events = [
        dataclasses.replace(e, original=dataclasses.replace(e.original, frame=frame))
        for e in report.events
    ]
    packed = pack(dataclasses.replace(report, events=events))
    assert 200_000 < len(json.dumps(packed)) < 310_000
    views = [event["original"]["frame"]["views"][0] for event in packed["events"]]
    assert views[0]["picture"] and views[0]["heat"] and views[0]["expected"]
    assert not views[-1]["picture"] and packed["points"]["thumbnails"]
    missing = [view[which] is None for view in views for which in ("picture", "heat", "expected")]
    missing += [near["frame"]["views"][0]["picture"] is None
                for event in packed["events"] for near in event["neighbours"]]  # fmt: skip
    assert packed["left_out"]["pictures"] == sum(missing)


@pytest.mark.parametrize("kind", ["images", "pairs"])
def test_names_of_frames_stand_in_the_page_while_there_are_not_too_many(kind, monkeypatch):
    report = picture_report(kind, frames=50, events=1)
    assert pack(report)["recordings"][1]["frames"] == [f"sky_{k:04d}.jpg" for k in range(50)]
    monkeypatch.setattr("raravis.report.pack.MOST_NAME_BYTES", 100)
    assert pack(report)["recordings"][1]["frames"] == []


def test_the_lead_names_the_strangest_frame():
    said = lead(picture_report(frames=50, events=2, clock=False))
    assert said == (
        "raravis went through 100 frames in 2 recordings. 2 events stand out; the strangest is "
        "the frame sky_0016.jpg in camera_1."
    )


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (View("colour", np.ones((1, 4, 4))), r"with C = 3 for camera 'colour'.*got \(1, 4, 4\)"),
        (View("celsius", np.ones((4, 4))), r"with C = 1 for camera 'celsius'.*got \(4, 4\)"),
        (View("radar", np.ones((1, 4, 4))), r"camera 'radar' \(one of colour, grey, celsius\)"),
        (View("grey", np.ones((1, 4, 4)), np.ones((3, 4, 4))), r"expected 'a.png' of event 1"),
        (View("grey", np.ones((1, 4, 4)), heat=np.ones(4)), r"must be \(h, w\), got \(4,\)"),
    ],
)
def test_refuses_what_is_no_picture(view, message):
    with pytest.raises(ParameterError, match=message):
        pack(with_frame(picture_report(events=1), Frame("a.png", [view])))


@pytest.mark.parametrize(
    ("rows", "shape", "message"),
    [
        ([0, 1], (1, 4, 4, 3), r"must be \(2, h, w, 3\), one for each row, got \(1, 4, 4, 3\)"),
        ([0], (1, 4, 4), r"must be \(1, h, w, 3\)"),
        ([1, 1], (2, 4, 4, 3), r"must rise within 0 \.\. 99"),
        ([5, 100], (2, 4, 4, 3), r"must rise within 0 \.\. 99"),
        (range(1201), (1201, 1, 1, 3), r"at most 1,200 thumbnails, got 1,201: show fewer"),
    ],
)
def test_refuses_thumbnails_of_no_point(rows, shape, message):
    report = picture_report(frames=50, events=0)
    some = Thumbnails(np.array(rows), np.zeros(shape, dtype=np.uint8))
    points = dataclasses.replace(report.points, thumbnails=some)
    with pytest.raises(ParameterError, match=message):
        pack(dataclasses.replace(report, points=points))


def test_refuses_names_for_other_frames():
    report = picture_report(events=0, recordings=1)
    first = dataclasses.replace(report.recordings[0], frames=["one.jpg"])
    with pytest.raises(ParameterError, match="needs a name for each of its 300 frames, got 1"):
        pack(dataclasses.replace(report, recordings=[first]))


# --- in a browser --------------------------------------------------------------------------------

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("downloads")) as browser:
        yield browser


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a report; at the end the console must have stayed silent."""

    def open_report(report):
        browser.open(write(report, tmp_path / "report.html"))
        wait_for(lambda: browser.script(READY), "the page")
        return browser

    browser.log()
    yield open_report
    assert browser.log() == []


@slow
@pytest.mark.parametrize("kind", ["images", "pairs"])
def test_a_page_on_pictures_says_nothing_of_sound(opened, kind):
    page = opened(picture_report(kind))
    page.script("for (const d of document.querySelectorAll('details')) d.open = true")
    said = page.script("return document.body.innerText").lower()
    assert "map of frames" in said and "what stands out" in said and "sky_0060.jpg" in said
    for word in ("listen", "sound", "hear", "spectrogram", "species", "play", " row"):
        assert word not in said, word
    page.press(" ")
    assert page.script("return document.getElementById('now').hidden")


@slow
def test_keys_go_through_the_events_and_hide_the_heat(opened):
    page = opened(picture_report())
    chosen = "return document.querySelector('.card.selected .rank')?.textContent ?? null"
    for key, rank in (("j", "1"), ("j", "2"), ("k", "1")):
        page.press(key)
        assert page.script(chosen) == rank
    veil = "return getComputedStyle(document.querySelector('.veil')).opacity"
    assert page.script(veil) == "0.8"
    page.press("h")
    assert page.script(veil) == "0"
    page.press("h")
    assert page.script(veil) == "0.8"


@slow
def test_pictures_heat_and_expectation_stand_side_by_side(opened):
    page = opened(picture_report())
    wait_for(
        lambda: page.script(
            "const all = [...document.querySelectorAll('.card:first-child .photo img')];"
            "return all.length >= 4 && all.every((i) => i.complete && i.naturalWidth > 0)"
        ),
        "the pictures",
    )
    titles = page.script(
        "return [...document.querySelectorAll('.card:first-child .frames figcaption')]"
        ".map((c) => c.firstChild.textContent)"
    )
    assert titles == ["Picture", "Expected", "What stands out"]


@slow
def test_both_cameras_are_shown_with_degrees_where_the_pointer_is(opened):
    report = picture_report("pairs", expected=False)
    page = opened(report)
    x, y = middle(page, ".card .seen .photo canvas")
    wait_for(
        lambda: page.script(
            "const c = document.querySelector('.card .seen .photo canvas');"
            f"const d = {PIXELS};"
            "return new Set(Array.from({length: 500}, (_, i) => d[4 * 7 * i])).size > 20"
        ),
        "the colours of the temperatures",
    )
    page.point(x, y)
    tip = page.script("return document.getElementById('tip').innerText")
    view = report.events[0].original.frame.views[1]
    degrees = float(tip.split("\n")[-1].removesuffix(" °C").replace("−", "-"))
    assert "50 % across, 50 % down" in tip
    assert degrees == pytest.approx(view.picture[0, 28:33, 37:43].mean(), abs=1.5)
    hidden = page.script(
        "return [...document.querySelectorAll('.card:first-child .frames .cross')]"
        ".map((c) => c.hidden)"
    )
    assert hidden == [False] * 4


@slow
def test_frames_without_a_clock_are_counted(opened):
    page = opened(picture_report(clock=False, frames=1000))
    head = page.script("return document.querySelector('.card h3').textContent")
    assert head == "sky_0200.jpgframe 201"
    texts = page.script(
        "const said = []; const proto = CanvasRenderingContext2D.prototype;"
        "const old = proto.fillText; proto.fillText = function (t, ...at) { said.push(t);"
        " return old.call(this, t, ...at); };"
        "document.getElementById('theme-button').click();"
        "return new Promise((done) => setTimeout(() => done(said), 300))"
    )
    assert {"1", "200", "400"} <= set(texts)
    assert not any(":" in text for text in texts)
    x, y = middle(page, "#timeline-canvas")
    page.point(x, y)
    tip = page.script("return document.getElementById('tip').innerText")
    assert "sky_" in tip and "camera_" in tip and "frame" in tip


@slow
def test_the_map_shows_thumbnails_and_turns(opened):
    page = opened(picture_report())
    dots = pixels(page, "#cloud-canvas")
    middle(page, "#cloud-canvas")
    page.click("#cloud-pictures")
    wait_for(lambda: pixels(page, "#cloud-canvas") != dots, "the thumbnails")
    flat = pixels(page, "#cloud-canvas")
    page.click("#cloud-3d")
    wait_for(lambda: pixels(page, "#cloud-canvas") != flat, "the third dimension")
    x, y = middle(page, "#cloud-canvas")
    page.point(x, y)
    before = pixels(page, "#cloud-canvas")
    page.point(x, y, (x + 120, y + 40), press=True)
    wait_for(lambda: pixels(page, "#cloud-canvas") != before, "the turn")


@slow
def test_pointing_at_a_dot_shows_the_frame(opened):
    page = opened(picture_report(frames=60, thumbnails=120))
    middle(page, "#cloud-canvas")
    found = page.script(
        "const c = document.getElementById('cloud-canvas'), r = c.getBoundingClientRect();"
        "const t = document.getElementById('tip');"
        "for (let x = 0; x < r.width; x += 8) for (let y = 0; y < r.height; y += 8) {"
        "  c.dispatchEvent(new PointerEvent('pointermove', {clientX: r.x + x, clientY: r.y + y}));"
        "  if (!t.hidden && t.querySelector('canvas.thumbnail')) return t.innerText; }"
    )
    assert found.startswith("sky_") and "score" in found


@slow
@pytest.mark.parametrize(
    "kind",
    [
        {"events": 0, "thumbnails": 0},
        {"heat": False, "expected": False, "size": (28, 28), "clock": False},
        {"cameras": ("celsius",)},
        {"cameras": ("grey",), "recordings": 1, "frames": 4, "events": 1, "thumbnails": 4},
        {"kind": "pairs", "size": (200, 60)},
    ],
)
def test_other_pictures_open_print_and_turn_dark_without_a_word(opened, kind):
    page = opened(picture_report(**kind))
    for key in ("j", "c", "t", "t", "h"):
        page.press(key)
    page.script("dispatchEvent(new Event('beforeprint')); dispatchEvent(new Event('afterprint'))")
    wide, window = page.script("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window


@slow
def test_the_table_that_is_saved_names_the_frames(opened):
    page = opened(picture_report(events=2))
    page.script(
        "window.saved = null; const old = URL.createObjectURL;"
        "URL.createObjectURL = (b) => { b.text().then((t) => { window.saved = t; });"
        " return old(b); }"
    )
    page.click("#export-csv")
    text = wait_for(lambda: page.script("return window.saved"), "the table")
    head, first = text.splitlines()[:2]
    assert head.startswith("rank,recording,frame,start_s") and "sky_0100.jpg" in first


@slow
def test_twenty_thousand_frames_open_fast(opened):
    page = opened(picture_report(frames=20_000, recordings=1, thumbnails=1000, events=5))
    assert float(page.script(READY)) < 10_000
