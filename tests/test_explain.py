"""From a run to its report: what is shown of an event, and what is said of it."""

import shutil

import numpy as np
import pytest
import soundfile

from raravis.detector import Detector
from raravis.explain import explain
from raravis.explain.sound import Explainer
from raravis.showroom import Showroom, to_ogg
from raravis.store import Store
from raravis.windows import Event


@pytest.fixture(scope="module")
def report(run):
    return explain(run)


@pytest.fixture
def explainer(run):
    with Store.open(run) as store:
        yield Explainer(run, Detector.load(run).sense, store)


def test_every_event_is_seen_heard_and_compared(report):
    assert [event.rank for event in report.events] == list(range(1, len(report.events) + 1))
    for event in report.events:
        shown = event.original
        assert shown.start_s <= event.start_s < event.end_s <= shown.end_s
        assert shown.picture is not None and shown.sound is not None
        assert event.reconstructed is not None and event.error is not None
        assert event.reconstructed.picture.db.shape == shown.picture.db.shape
        difference = np.abs(shown.picture.db - event.reconstructed.picture.db)
        np.testing.assert_allclose(event.error.db, difference, atol=1e-3)
        assert event.start_time.startswith("2026-05-01T04:3")


def test_neighbours_are_ordinary_and_of_other_moments(report):
    for event in report.events:
        assert 1 <= len(event.neighbours) <= 3
        for clip in event.neighbours:
            assert clip.score < report.threshold.level
            assert clip.end_s <= event.start_s or clip.start_s >= event.end_s


def test_reasons_are_whole_sentences(report):
    for event in report.events:
        assert len(event.reasons) >= 3
        assert all(reason.endswith(".") and "nan" not in reason for reason in event.reasons)


def test_the_summary_names_hours_events_errors_and_what_could_not_be_read(report):
    summary = dict(report.summary)
    assert summary["Listened to"] == "2 min in 1 recording"
    assert summary["Could not be read"] == "nothing"
    assert "2026-05-01 04:3" in summary["Largest reconstruction error"]
    assert {"reconstruction", "knn", "mahalanobis", "loudness"} == set(report.members)


def test_the_map_has_a_point_for_every_sound_event(report, run):
    with Store.open(run) as store:
        assert len(report.points.coords) == len(store.windows("segments"))
    share = report.points.explained
    assert 0 < share.sum() <= 1 and (np.diff(share) <= 0).all()


def test_an_event_at_the_border_is_shown_within_the_recording(explainer):
    name = explainer.recordings[0].name
    for start_s, end_s in ((0.0, 0.2), (149.9, 150.0), (20.0, 60.0)):
        event = Event(name, start_s, end_s, (start_s + end_s) / 2, 1.0, 0.1)
        from_s, to_s = explainer._span(0, event)
        assert from_s >= 0 and to_s <= 150.0
        assert 1.0 <= to_s - from_s <= 12.0 + 1e-9
        assert from_s <= event.peak_s <= to_s


def test_a_clip_is_what_the_listener_heard(explainer, chorus):
    clip = explainer.showroom.clip(0, 10.0, 12.0, 0.0)
    listener, source = explainer.sense.listener, explainer.sense.open(chorus[0])
    block, windows = next(listener.blocks(source, 0))
    heard = listener.hear(block, windows).clips[20]  # the window from 10 to 11 s
    np.testing.assert_allclose(clip.picture.db[:, :50], heard, atol=0.01)


def test_sound_is_opus_of_the_right_length_and_pitch(tmp_path):
    rate_hz = 32_000
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate_hz) / rate_hz)
    (tmp_path / "tone.ogg").write_bytes(to_ogg(tone, rate_hz))
    samples, heard_hz = soundfile.read(tmp_path / "tone.ogg")
    assert heard_hz == 48_000 and len(samples) == pytest.approx(48_000, abs=2000)
    peak = np.abs(np.fft.rfft(samples[:48_000])).argmax()
    assert peak == pytest.approx(1000, abs=3)


def test_a_run_whose_recordings_are_gone_is_reported_without_pictures(run, chorus, tmp_path):
    recordings, copy = tmp_path / "recordings", tmp_path / "run"
    shutil.copytree(chorus[0], recordings)
    Detector.load(run).save(copy)
    Detector.load(run).score(recordings, run=copy)
    shutil.rmtree(recordings)
    report = explain(copy)
    assert len(report.events) > 0
    assert all(event.original.picture is None for event in report.events)
    assert all(event.reconstructed is None for event in report.events)


def test_without_an_explainer_there_is_nothing_to_expect(chorus, tmp_path):
    detector = Detector(explainer="none").fit(chorus[0])
    detector.save(tmp_path)
    detector.score(chorus[0], run=tmp_path)
    report = explain(tmp_path)
    assert all(event.reconstructed is None for event in report.events)
    assert all(event.original.picture is not None for event in report.events)
    room = Showroom(detector.sense, [])
    assert room.clip(0, 0.0, 1.0, 0.5).picture is None
