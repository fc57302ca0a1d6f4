"""From a run on pictures to its report: where in the frame, what was expected, what is alike."""

import shutil

import numpy as np
import pytest
from PIL import Image

from raravis.detector import Detector
from raravis.explain import explain
from raravis.explain.gallery import Gallery, coloured, parts, thumbnail, thumbnail_size, views
from raravis.explain.images import Explainer
from raravis.explain.places import extreme_said, ranks_said, where_said
from raravis.images.synthesis import make_sky
from raravis.pictures import COLOURS
from raravis.report import render
from raravis.sources.pairs import PairSource
from raravis.store import Store

QUICK = {"epochs": 2, "batch": 16}


def texture(noise, scratch=None):
    """A grey picture of soft noise, 48 x 64 uint8, with a bright scratch at (row, column)."""
    picture = noise.normal(size=(48, 64))
    picture = 110 + 25 * (picture + np.roll(picture, 1, 0) + np.roll(picture, 1, 1))
    if scratch:
        row, column = scratch
        picture[row : row + 5, column : column + 12] = 250
    return np.clip(picture, 0, 255).astype(np.uint8)


def fill(folder, count=40, scratches=(), seed=0):
    """Pictures 0.png, 1.png, ...; `scratches` number -> place."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed)
    for number in range(count):
        picture = texture(noise, dict(scratches).get(number))
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


def run_on(learned, scored, folder, **settings):
    detector = Detector(**settings).fit(learned)
    detector.save(folder)
    detector.score(scored, run=folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """What is learned from; and a camera in two folders, the second with two scratches."""
    root = tmp_path_factory.mktemp("pictures")
    fill(root / "ordinary")
    fill(root / "new" / "first", 20, seed=1)
    fill(root / "new" / "second", 30, {17: (4, 3), 25: (38, 48)}, seed=2)
    return root


@pytest.fixture(scope="module")
def run(folders, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    return run_on(folders / "ordinary", folders / "new", run, training=QUICK)


@pytest.fixture(scope="module")
def report(run):
    return explain(run)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A run on two sky cameras, dated, the thermal one in degrees Celsius."""
    root = tmp_path_factory.mktemp("sky")
    make_sky(root, frames=60, seed=1)
    cameras = [root / "optical", root / "thermal"]
    settings = {"kind": "pairs", "explainer": "none", "learn": {"first": 0.4}}
    return run_on(cameras, cameras, root / "run", **settings)


def test_the_strange_frames_come_first_by_name_and_number(report):
    shown = {event.original.frame.name: event for event in report.events[:2]}
    assert set(shown) == {"17.png", "25.png"}
    assert report.kind == "images" and report.recordings[1].name.endswith("second")
    for name, event in shown.items():
        assert event.recording == 1 and event.start_time is None
        assert event.rows == (int(name[:2]) + 1, int(name[:2]) + 1)


def test_the_picture_is_the_one_on_disk(report, folders):
    for event in report.events:
        view = event.original.frame.views[0]
        folder = folders / "new" / ("first", "second")[event.recording]
        stored = np.asarray(Image.open(folder / event.original.frame.name)) / 255
        assert view.camera == "grey"
        np.testing.assert_allclose(view.picture[0], stored, atol=1e-6)


def test_heat_is_highest_where_the_scratch_is_and_the_reason_says_where(report):
    shown = {event.original.frame.name: event for event in report.events[:2]}
    for name, (row, column), place in (
        ("17.png", (4, 3), "in the upper left"),
        ("25.png", (38, 48), "in the lower right"),
    ):
        view = shown[name].original.frame.views[0]
        top, left = np.unravel_index(view.heat.argmax(), view.heat.shape)
        assert abs(top - row - 2) < 12 and abs(left - column - 6) < 12
        assert view.heat.max() > view.usual > np.median(view.heat)
        assert place in shown[name].reasons[0]


def test_what_is_usual_is_what_the_hottest_place_of_ordinary_frames_reaches(run, report):
    detector = Detector.load(run)
    model = detector.sense.layers["pictures"].model
    with Store.open(run) as store:
        ordinary = store.scores("windows", detector.scorer)[0] < detector.sense.level
    source = detector.open(report_paths(run))
    pictures = [source[k] for k in np.flatnonzero(ordinary)]
    hottest = np.sort([model.heat(picture).max() for picture in pictures])
    usual = report.events[0].original.frame.views[0].usual
    assert hottest[len(hottest) // 5] < usual < hottest[-len(hottest) // 5]


def report_paths(run):
    with Store.open(run) as store:
        return [recording.path for recording, _ in store.recordings()]


def test_the_network_beside_the_judge_shows_what_was_expected(report):
    for event in report.events:
        view = event.original.frame.views[0]
        assert len(view.expected) == 1 and np.isfinite(view.expected).all()
        assert view.expected.std() < view.picture.std()  # two epochs blur


def test_neighbours_are_the_nearest_frames_without_an_alarm(report, run):
    sense = Detector.load(run).sense
    level = sense.level
    with Store.open(run) as store:
        embedding = np.asarray(store.embeddings("windows"), dtype=np.float32)
        score, names = store.scores("windows", sense.scorer)[0], store.names("windows")
    for event in report.events[:2]:
        row = 20 + event.rows[0] - 1
        distance = np.linalg.norm(embedding - embedding[row], axis=1)
        distance[score >= level] = np.inf
        wanted = [names[k] for k in np.argsort(distance)[:3]]
        assert [near.frame.name for near in event.neighbours] == wanted
        assert all(near.score < level for near in event.neighbours)
        assert all(near.frame.views[0].picture.shape == (1, 48, 64) for near in event.neighbours)


def test_reasons_are_whole_sentences(report):
    for event in report.events:
        assert len(event.reasons) >= 3
        assert all(reason.endswith(".") and "nan" not in reason for reason in event.reasons)
    assert "by its strangest places" in report.events[0].reasons[1]
    assert "nearest ordinary frame lies" in report.events[0].reasons[-1]


def test_every_frame_is_on_the_map_and_carries_its_thumbnail(report):
    assert len(report.points.coords) == 50
    np.testing.assert_array_equal(report.points.thumbnails.rows, np.arange(50))
    assert report.points.thumbnails.pictures.shape == (50, 36, 48, 3)
    assert list(report.points.recording) == [0] * 20 + [1] * 30


def test_thumbnails_are_an_even_sample_and_all_events(run, monkeypatch):
    monkeypatch.setattr("raravis.explain.images.MOST_THUMBNAILS", 5)
    shown = explain(run).points.thumbnails.rows
    assert {0, 12, 24, 36, 49} <= set(shown) and {37, 45} <= set(shown) and len(shown) <= 15


def test_timelines_name_their_frames(report):
    assert [len(one.timeline.score) for one in report.recordings] == [20, 30]
    assert report.recordings[1].frames == [f"{k}.png" for k in range(30)]
    assert {"brightness", "reconstruction", "knn"} <= set(report.members)
    assert all(member.level is not None for member in report.members.values())


def test_the_summary_counts_and_the_page_is_written(report):
    facts = dict(report.summary)
    assert facts["Looked at"] == "50 frames in 2 recordings"
    assert facts["Pictures"] == "64 × 48, grey" and "counted" in facts["Time"]
    assert facts["Could not be read"] == "nothing"
    assert "What is rare in 2 recordings" in render(report)


def test_pictures_that_are_gone_leave_their_events(folders, run, tmp_path):
    moved = tmp_path / "run"
    shutil.copytree(run, moved)
    hidden = folders / "elsewhere"
    (folders / "new").rename(hidden)
    try:
        gone = explain(moved)
    finally:
        hidden.rename(folders / "new")
    assert gone.events[0].original.frame.views == ()
    assert gone.points.thumbnails is None and len(gone.points.coords) == 50
    assert any("nearest ordinary" in reason for reason in gone.events[0].reasons)
    render(gone)


def test_a_network_that_judges_shows_its_own_errors(folders, tmp_path):
    run = tmp_path / "run"
    high = {"name": "quantile", "q": 0.9}
    run_on(
        folders / "ordinary", folders / "new", run,
        model="conv-ae", training={"epochs": 1, "batch": 16}, threshold=high,
    )  # fmt: skip
    shown = explain(run)
    layer = Detector.load(run).sense.layers["frames"]
    assert shown.events
    for event in shown.events:
        view = event.original.frame.views[0]
        own = layer.heats([view.picture])["reconstruction"][0]
        np.testing.assert_allclose(view.heat, own, rtol=1e-4)


# --- pairs ---------------------------------------------------------------------------------------


def test_pairs_are_read_again_from_both_folders(pairs):
    shown, cameras = explain(pairs), [pairs.parent / name for name in ("optical", "thermal")]
    source = PairSource(cameras)
    assert shown.kind == "pairs" and shown.events
    for event in shown.events:
        optical, thermal = event.original.frame.views
        assert (optical.camera, thermal.camera) == ("colour", "celsius")
        assert optical.picture.shape[1:] == thermal.picture.shape[1:] == (48, 64)
        read = source[source.frames[0].index(event.original.frame.name)]
        np.testing.assert_array_equal(np.concatenate([optical.picture, thermal.picture]), read)
        assert np.abs(optical.heat - thermal.heat).max() > 0.01  # each camera has its own
        assert event.start_time.startswith("2026-05-01T")
        assert [len(near.frame.views) for near in event.neighbours] == [2, 2, 2]
    assert shown.points.thumbnails.pictures.shape[1:] == (27, 72, 3)  # side by side
    assert "to 2026-05-01" in dict(shown.summary)["Time"]


def test_a_network_shows_the_errors_of_each_camera(tmp_path):
    make_sky(tmp_path, frames=40, seed=2)
    cameras = [tmp_path / "optical", tmp_path / "thermal"]
    high = {"name": "quantile", "q": 0.8}
    run_on(
        cameras, cameras, tmp_path / "run",
        kind="pairs", model="conv-ae", training={"epochs": 1, "batch": 16}, threshold=high,
    )  # fmt: skip
    layer = Detector.load(tmp_path / "run").sense.layers["frames"]
    shown = explain(tmp_path / "run").events
    assert shown
    for event in shown:
        views = event.original.frame.views
        picture = np.concatenate([view.picture for view in views])
        own = np.square(
            layer.frames([picture]) - layer.running.reconstruct(layer.frames([picture]))
        )
        np.testing.assert_allclose(views[0].heat, own[0, :3].mean(axis=0), rtol=1e-3)
        np.testing.assert_allclose(views[1].heat, own[0, 3], rtol=1e-3)
        assert views[0].usual != views[1].usual


def test_the_page_of_pairs_is_written(pairs):
    assert 'data-kind="pairs"' in render(explain(pairs, most_events=2))


# --- by hand -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "columns", "said"),
    [
        ((0, 9), (0, 9), "What stands out most lies in the upper left, 9% of the picture."),
        ((12, 18), (12, 18), "What stands out most lies in the middle, 4% of the picture."),
        ((22, 30), (0, 30), "What stands out most lies at the bottom, 27% of the picture."),
        ((0, 30), (21, 30), "What stands out most lies on the right, 30% of the picture."),
        ((3, 4), (14, 15), "What stands out most lies at the top, less than 1% of the picture."),
        ((2, 28), (3, 27), "Most of the picture is stranger than usual."),
        ((5, 26), (7, 25), "What stands out most is spread over the picture, 42% of it."),
    ],
)
def test_places_are_said_in_words(rows, columns, said):
    heat = np.zeros((30, 30))
    heat[slice(*rows), slice(*columns)] = 2.0
    assert where_said(heat, usual=1.0) == said


def test_of_a_strange_picture_the_strangest_part_is_named():
    heat = np.full((30, 30), 1.5)
    heat[25:, 25:] = 9.0
    assert where_said(heat, usual=1.0) == (
        "Most of the picture is stranger than usual; most so in the lower right, 3% of the picture."
    )
    assert "as a whole" in where_said(np.ones((9, 9)), usual=1.0)


def test_scores_are_said_with_the_highest_first():
    said = ranks_said({"knn": 0.5, "patches": 0.9981, "mahalanobis": 0.93, "gaze": 0.2})
    assert said == (
        "It is stranger than 99.8% of the others by its strangest places, than 93.0% by its "
        "distance from the middle of the embeddings; less so by how alone it is among the "
        "embeddings and gaze."
    )
    assert ranks_said({"patches": 1.0, "knn": 0.9999}) == (
        "It is stranger than all others by its strangest places, than nearly all others by how "
        "alone it is among the embeddings."
    )
    assert ranks_said({"knn": 0.42}) == (
        "It is stranger than 42% of the others by how alone it is among the embeddings."
    )


def test_cameras_that_differ_are_told_apart(pairs):
    detector = Detector.load(pairs)
    with Store.open(pairs) as store:
        explainer = Explainer(pairs, detector.sense, store)
    usual = explainer._usual
    bird, calm = np.zeros((30, 30)), np.zeros((30, 30))
    bird[:9, :9] = 2 * usual[0]
    assert explainer._places([bird, calm]) == [
        "In the colour picture: what stands out most lies in the upper left, 9% of the picture.",
        "In the thermal picture: no single place stands out: the frame as a whole is unlike the "
        "others.",
    ]
    assert explainer._places([bird, bird]) == [where_said(bird, usual[0])]
    assert explainer._places([]) == []


def test_only_extremes_are_worth_a_word():
    assert extreme_said(0.994, "brighter", "darker") == "It is brighter than 99.4% of the others."
    assert extreme_said(0.0, "brighter", "darker") == "It is darker than all others."
    assert extreme_said(0.5, "brighter", "darker") == ""


def test_a_thumbnail_is_the_middle_of_a_picture():
    picture = np.zeros((1, 20, 60))
    picture[:, :, 20:40] = 1  # the middle square
    np.testing.assert_array_equal(thumbnail(picture, 10, 10), np.ones((1, 10, 10)))
    np.testing.assert_array_equal(
        thumbnail(picture.transpose(0, 2, 1), 10, 10), np.ones((1, 10, 10))
    )
    assert thumbnail_size((480, 640), 1) == (36, 48) and thumbnail_size((28, 28), 1) == (28, 28)
    assert thumbnail_size((480, 640), 2) == (27, 36)


def test_thumbnails_are_coloured_on_one_scale():
    small = np.zeros((2, 4, 5, 6))
    small[1, 0], small[1, 3] = 1.0, 20.0  # red, and warm
    both = coloured(small, ["colour", "celsius"])
    assert both.shape == (2, 5, 12, 3) and both.dtype == np.uint8
    assert (both[1, :, :6] == [255, 0, 0]).all() and (both[0, :, :6] == 0).all()
    ends = [[int(COLOURS["magma"][at][k : k + 2], 16) for k in (1, 3, 5)] for at in (0, -1)]
    assert (both[0, :, 6:] == ends[0]).all() and (both[1, :, 6:] == ends[1]).all()


def test_channels_belong_to_their_camera():
    picture = np.arange(4.0)[:, None, None] * np.ones((4, 2, 2))
    colour, celsius = parts(picture, ["colour", "celsius"])
    assert colour.shape == (3, 2, 2) and (celsius == 3).all()
    heats = [np.ones((2, 2)), np.zeros((2, 2))]
    first, second = views(picture, ["colour", "celsius"], picture + 1, heats, [0.5, 0.7])
    assert (second.expected == 4).all() and (second.heat == 0).all() and (first.heat == 1).all()
    assert (first.usual, second.usual) == (0.5, 0.7)
    assert views(picture, ["colour", "celsius"])[1].heat is None


def test_a_gallery_finds_frames_of_a_recording_that_is_opened_alone(folders, run):
    detector = Detector.load(run)
    with Store.open(run) as store:
        explainer = Explainer(run, detector.sense, store)
    assert isinstance(explainer.gallery, Gallery)
    assert explainer.gallery.picture(37) is not None
    explainer.names[37] = "no such.png"
    assert explainer.gallery.picture(37) is None
