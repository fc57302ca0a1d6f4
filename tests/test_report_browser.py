"""The report in a real browser: it draws, it listens to clicks and keys, it plays, it is fast."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest
import soundfile

from browser import chromium, wait_for
from raravis.report import write
from report_sample import sample_report, series_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A page of two recordings, with the second one lying beside it on disk."""
    folder = tmp_path_factory.mktemp("report")
    report = sample_report(recordings=2, duration_s=40.0, events=3, points=400, hop_s=0.5)
    write(report, folder / "report.html")
    (folder / "recordings").mkdir()
    sound = 0.2 * np.sin(np.arange(16000 * 40) * 0.2)
    soundfile.write(folder / "recordings" / report.recordings[1].name, sound, 16000)
    return folder


@pytest.fixture(scope="module")
def browser(folder):
    with chromium(folder) as browser:
        yield browser


@pytest.fixture
def page(browser, folder):
    """The page, freshly opened; at the end the console must have stayed silent."""
    browser.open(folder / "report.html")
    wait_for(lambda: browser.script("return document.documentElement.dataset.readyMs"), "the page")
    browser.log()
    yield browser
    assert browser.log() == []


def middle(page, selector):
    """The middle of an element in the window, scrolled into sight."""
    return page.script(
        "const box = document.querySelector(arguments[0]);"
        "box.scrollIntoView({block: 'center', behavior: 'instant'});"
        "const r = box.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]",
        selector,
    )


def pixels(page, canvas):
    return page.script("return document.querySelector(arguments[0]).toDataURL()", canvas)


# What canvas c shows, as bytes; read from a copy, since a canvas that is drawn on again is not made
# for reading, and Chromium says so when it is read a second time.
PIXELS = (
    "(() => { const { width, height } = c; const x = new OffscreenCanvas(width, height)"
    ".getContext('2d', { willReadFrequently: true }); x.drawImage(c, 0, 0);"
    " return x.getImageData(0, 0, width, height).data; })()"
)


def sound_is_playing(page):
    wait_for(
        lambda: page.script(
            "const a = document.getElementById('player'); return a.currentTime > 0 && !a.error"
        ),
        "the sound to play",
    )
    return page.script("return document.getElementById('player').src")


def test_opens_without_a_word_from_the_console(browser, folder):
    browser.log()
    browser.open(folder / "report.html")
    wait_for(lambda: browser.script("return document.documentElement.dataset.readyMs"), "the page")
    assert browser.log() == []
    assert browser.script("return document.querySelectorAll('.card').length") == 3


def test_scripts_from_elsewhere_are_refused(browser, folder):
    # The policy must bite, or its silence above would mean nothing.
    browser.script(
        "const s = document.createElement('script'); s.text = 'window.broken = 1';"
        "document.body.append(s)"
    )
    assert browser.script("return window.broken ?? null") is None
    assert any("Content Security Policy" in line for line in browser.log())


def test_pictures_are_drawn_in_colour(page):
    middle(page, ".card .heard")
    wait_for(
        lambda: page.script(
            "const c = document.querySelector('.card .heard .spectrogram canvas');"
            f"const d = {PIXELS};"
            "return new Set(Array.from({length: 2000}, (_, i) => d[4 * 97 * i])).size > 20"
        ),
        "a spectrogram with many colours",
    )


def test_switches_between_light_and_dark(page):
    before = page.script("return getComputedStyle(document.body).backgroundColor")
    page.click("#theme-button")
    assert page.script("return getComputedStyle(document.body).backgroundColor") != before
    page.press("t")
    assert page.script("return getComputedStyle(document.body).backgroundColor") == before


def test_keys_go_through_the_events(page):
    chosen = "return document.querySelector('.card.selected .rank')?.textContent ?? null"
    assert page.script(chosen) is None
    for key, rank in (("j", "1"), ("j", "2"), ("j", "3"), ("j", "3"), ("k", "2")):
        page.press(key)
        assert page.script(chosen) == rank


def test_space_plays_the_chosen_event_and_pauses(page):
    page.press("j")
    page.press(" ")
    assert sound_is_playing(page).startswith("data:audio/ogg")
    assert page.script("return !document.getElementById('now').hidden")
    page.press(" ")
    assert page.script("return document.getElementById('player').paused")


def test_click_in_a_spectrogram_plays_from_there(page):
    x, y = middle(page, ".card .heard .spectrogram")
    page.point(x, y, press=True)
    sound_is_playing(page)
    at_s, long_s = page.script(
        "const a = document.getElementById('player'); return [a.currentTime, a.duration]"
    )
    assert at_s > 0.4 * long_s


def test_click_on_an_event_in_the_timeline_chooses_and_plays_it(page):
    _, y = middle(page, "#timeline-canvas")
    left, width = page.script(
        "const r = document.getElementById('timeline-canvas').getBoundingClientRect();"
        "return [r.x, r.width]"
    )
    for x in np.arange(left + 42, left + width, 5):
        page.point(x, y)
        if "event" in page.script("return document.getElementById('tip').textContent"):
            break
    page.point(x, y, press=True)
    assert page.script("return document.querySelectorAll('.card.selected').length") == 1
    sound_is_playing(page)


def test_timeline_zooms_by_wheel_and_moves_by_drag(page):
    page.script(
        "window.moved = performance.now();"
        "addEventListener('scroll', () => { window.moved = performance.now(); })"
    )
    x, y = middle(page, "#timeline-canvas")
    wait_for(lambda: page.script("return performance.now() - window.moved > 600"), "a still page")
    whole = pixels(page, "#timeline-canvas")
    page.wheel(x, y, -400)
    wait_for(lambda: pixels(page, "#timeline-canvas") != whole, "the zoom")
    zoomed = pixels(page, "#timeline-canvas")
    page.point(x, y, (x - 150, y), press=True)
    wait_for(lambda: pixels(page, "#timeline-canvas") != zoomed, "the move")


def test_other_scorers_have_their_own_timeline(page):
    before = pixels(page, "#timeline-canvas")
    page.click("#scorers button:last-child")
    wait_for(lambda: pixels(page, "#timeline-canvas") != before, "the other timeline")


def test_map_turns_in_three_dimensions(page):
    flat = pixels(page, "#cloud-canvas")
    middle(page, "#cloud-canvas")
    page.click("#cloud-3d")
    wait_for(lambda: pixels(page, "#cloud-canvas") != flat, "the third dimension")
    x, y = middle(page, "#cloud-canvas")
    page.point(x, y)
    before = pixels(page, "#cloud-canvas")
    page.point(x, y, (x + 120, y + 40), press=True)
    wait_for(lambda: pixels(page, "#cloud-canvas") != before, "the turn")


def find_point(page, recording):
    """Points at dots of the map until one belongs to `recording`; its place in the window."""
    middle(page, "#cloud-canvas")
    left, top = page.script(
        "const r = document.getElementById('cloud-canvas').getBoundingClientRect();"
        "return [r.x, r.y]"
    )
    for x in range(0, 1200, 12):
        for y in range(0, 500, 100):
            page.script(
                "document.getElementById('cloud-canvas').dispatchEvent(new PointerEvent("
                "'pointermove', {clientX: arguments[0], clientY: arguments[1]}))",
                left + x,
                top + y,
            )
            tip = page.script(
                "const t = document.getElementById('tip'); return t.hidden ? '' : t.textContent"
            )
            if recording in tip and "event" not in tip:
                return left + x, top + y
    raise AssertionError(f"no dot of {recording} was found")


def test_click_on_a_dot_plays_its_recording_from_disk(page):
    x, y = find_point(page, "S4A03895_20190522_003000")
    page.point(x, y, press=True)
    assert "recordings/S4A03895_20190522_003000.flac" in sound_is_playing(page)
    assert "score" in page.script("return document.getElementById('cloud-readout').textContent")


def test_a_recording_that_is_not_there_is_told(browser, folder):
    browser.open(folder / "report.html")
    x, y = find_point(browser, "S4A03895_20190522_000000")
    browser.point(x, y, press=True)
    wait_for(
        lambda: (
            "could not be opened"
            in browser.script("return document.getElementById('toast').textContent")
        ),
        "the message",
    )
    browser.log()  # the browser itself says that the file is missing


def test_filters_sorts_and_shows_a_contact_sheet(page):
    ranks = "return [...document.querySelectorAll('.card .rank')].map((r) => r.textContent)"
    assert page.script(ranks) == ["1", "2", "3"]
    page.press("j")
    page.press("x")
    page.script(
        "const s = document.getElementById('events-verdict'); s.value = 'unseen';"
        "s.dispatchEvent(new Event('change'))"
    )
    assert page.script(ranks) == ["2", "3"]
    page.click("#layout-sheet")
    assert page.script("return document.querySelector('.cards').classList.contains('sheet')")
    page.script("localStorage.clear()")


def test_saves_the_events_as_csv_raven_and_audacity_tables(page, folder):
    page.press("j")
    page.press("f")
    for button, name in (("csv", "events.csv"), ("raven", "events.raven.txt")):
        page.click(f"#export-{button}")
        wait_for((folder / name).exists, name)
    with (folder / "events.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert [row["mark"] for row in rows] == ["kept", "", ""]
    expected = sample_report(recordings=2, duration_s=40.0, events=3, points=400, hop_s=0.5).events
    assert float(rows[0]["start_s"]) == pytest.approx(expected[0].start_s, abs=1e-3)
    with (folder / "events.raven.txt").open() as file:
        raven = list(csv.DictReader(file, delimiter="\t"))
    offset = 40.0 * expected[0].recording  # Raven counts through all files
    assert float(raven[0]["Begin Time (s)"]) == pytest.approx(
        expected[0].start_s + offset, abs=1e-3
    )
    assert float(raven[0]["File Offset (s)"]) == pytest.approx(expected[0].start_s, abs=1e-3)
    page.click("#export-audacity")
    labels = wait_for(lambda: list(folder.glob("*.labels.txt")), "the labels")[0]
    start, end, text = labels.read_text().splitlines()[0].split("\t")
    assert 0 <= float(start) < float(end) and "event" in text
    page.script("localStorage.clear()")


def test_fits_a_phone(page):
    page.resize(500, 900)  # the narrowest that a headless window gets
    wide, window = page.script("return [document.documentElement.scrollWidth, innerWidth]")
    page.resize(1280, 900)
    assert wide <= window


@pytest.mark.parametrize(
    "kind",
    [
        {"events": 0, "points": 0, "clock": False},
        {"events": 1, "points": 3, "clock": False, "duration_s": 20.0},
        {"events": 4, "points": 50, "recordings": 49, "duration_s": 10.0},
    ],
)
def test_small_and_scattered_reports_open_without_a_word(browser, tmp_path, kind):
    browser.open(write(sample_report(**kind), tmp_path / "report.html"))
    wait_for(lambda: browser.script("return document.documentElement.dataset.readyMs"), "the page")
    browser.script("document.getElementById('recordings-block').open = true")
    browser.script(
        "dispatchEvent(new Event('beforeprint')); dispatchEvent(new Event('afterprint'))"
    )
    assert browser.script("return document.querySelectorAll('.card').length") == kind["events"]
    assert browser.log() == []


def test_two_hundred_thousand_points_open_fast(browser, tmp_path):
    page = write(
        sample_report(recordings=3, duration_s=3600.0, events=2, points=200_000),
        tmp_path / "r.html",
    )
    browser.open(page)
    ready_ms = wait_for(
        lambda: browser.script("return document.documentElement.dataset.readyMs"), "the page"
    )
    sys.stdout.write(
        f"200,000 points: {page.stat().st_size / 1e6:.1f} MB, drawn in {ready_ms} ms\n"
    )
    assert float(ready_ms) < 10_000
    assert browser.log() == []


# --- series --------------------------------------------------------------------------------------

READY = "return document.documentElement.dataset.readyMs"


@pytest.fixture
def series_page(browser, tmp_path):
    """A report on series; at the end the console must have stayed silent."""
    browser.log()
    browser.open(write(series_report(), tmp_path / "report.html"))
    wait_for(lambda: browser.script(READY), "the page")
    yield browser
    assert browser.log() == []


def test_a_page_on_series_says_nothing_of_sound(series_page):
    series_page.script("for (const d of document.querySelectorAll('details')) d.open = true")
    said = series_page.script("return document.body.innerText").lower()
    assert "ordinary range" in said and "map of rows" in said
    for word in ("listen", "sound", "hear", "spectrogram", "species", "play"):
        assert word not in said, word
    series_page.press(" ")
    assert series_page.script("return document.getElementById('now').hidden")


def test_channels_are_drawn_with_their_range_the_event_and_the_label(series_page):
    middle(series_page, ".card .chart")
    colours = wait_for(
        lambda: series_page.script(
            "const c = document.querySelector('.card .chart canvas');"
            f"const d = {PIXELS};"
            "const seen = new Set();"
            "for (let i = 0; i < d.length; i += 4) if (d[i + 3] === 255)"
            "  seen.add([d[i], d[i + 1], d[i + 2]].join());"
            "return seen.size > 3 && [...seen]"
        ),
        "the chart",
    )
    assert "77,131,124" in colours  # the line of a channel
    assert "106,91,176" in colours  # what the file calls anomalous


def test_pointing_at_a_chart_tells_time_and_values(series_page):
    x, y = middle(series_page, ".card .chart")
    wait_for(
        lambda: series_page.script("return document.querySelector('.chart').chart.drawn"),
        "the chart",
    )
    series_page.point(x, y)
    tip = series_page.script("return document.getElementById('tip').innerText")
    assert "2 Mar 2026" in tip and "channel_0: " in tip and "score: " in tip


def test_the_timeline_of_months_is_dated(browser, tmp_path):
    report = series_report(rows=50_000)
    browser.open(write(report, tmp_path / "report.html"))
    wait_for(lambda: browser.script(READY), "the page")
    texts = browser.script(
        "const said = []; const proto = CanvasRenderingContext2D.prototype;"
        "const old = proto.fillText; proto.fillText = function (t, ...at) { said.push(t);"
        " return old.call(this, t, ...at); };"
        "document.getElementById('theme-button').click();"
        "return new Promise((done) => setTimeout(() => done(said), 300))"
    )
    dates = [text for text in texts if "2026" in text]
    assert len(set(dates)) >= 5
    assert browser.log() == []


@pytest.mark.parametrize(
    "kind",
    [
        {"events": 0},
        {"clock": False, "channels": 1},
        {"chart": False},
        {"interval_s": 86400.0, "rows": 400},
        {"interval_s": 0.01},
    ],
)
def test_other_series_open_print_and_turn_dark_without_a_word(browser, tmp_path, kind):
    browser.log()
    browser.open(write(series_report(**kind), tmp_path / "report.html"))
    wait_for(lambda: browser.script(READY), "the page")
    for key in ("j", "c", "t", "t"):
        browser.press(key)
    browser.script(
        "dispatchEvent(new Event('beforeprint')); dispatchEvent(new Event('afterprint'))"
    )
    assert browser.log() == []
