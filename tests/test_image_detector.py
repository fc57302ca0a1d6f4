"""Pictures from file to event: learned from, scored, saved and loaded, dated or counted through."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from raravis.detector import Detector
from raravis.errors import NothingToRead, ParameterError
from raravis.images import thermal
from raravis.journal import Journal
from raravis.store import Store

STRANGE = 17
QUICK = {"epochs": 2, "batch": 16}


def texture(noise, strange=False):
    """A grey picture of soft noise, 48 x 64 uint8; a strange one has a bright scratch."""
    picture = noise.normal(size=(48, 64))
    picture = 110 + 25 * (picture + np.roll(picture, 1, 0) + np.roll(picture, 1, 1))
    if strange:
        picture[20:26, 10:50] = 250
    return np.clip(picture, 0, 255).astype(np.uint8)


def fill(folder, count=40, strange=(), dated=False, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed)
    began = datetime(2026, 5, 1, 6, tzinfo=UTC)
    for number in range(count):
        time = began + timedelta(minutes=10 * number)
        name = f"{time:%Y%m%d_%H%M%S}.png" if dated else f"{number}.png"
        Image.fromarray(texture(noise, number in strange)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    ordinary = fill(root / "ordinary")
    new = fill(root / "new", strange=(STRANGE, 30), seed=1)
    return ordinary, new


@pytest.fixture(scope="module")
def learned(folders):
    return Detector(explainer="none").fit(folders[0])


def test_files_tell_that_they_are_pictures(learned):
    assert learned.kind == "images"
    assert learned.config["form"] == {"cameras": ["grey"], "interval_s": 0.0, "size": [48, 64]}


def test_the_strange_pictures_come_first_and_are_called_by_name(learned, folders, tmp_path):
    table = learned.score(folders[1], run=tmp_path)
    events = learned.events()
    assert set(events.frame[:2]) == {f"{STRANGE}.png", "30.png"}
    assert events.score[1] > table.score.drop([STRANGE, 30]).max()
    written = pd.read_csv(tmp_path / "events.csv")
    assert list(written.columns[:4]) == ["rank", "recording", "frame", "start_s"]
    with Store.open(tmp_path) as store:
        assert store.names("windows") == [f"{number}.png" for number in range(40)]
        assert {"pictures", "patches", "brightness"} <= set(store.scorers("windows"))


def test_a_loaded_detector_gives_the_same_scores(learned, folders, tmp_path):
    learned.save(tmp_path)
    again = Detector.load(tmp_path).score(folders[1])
    pd.testing.assert_frame_equal(again, learned.score(folders[1]))


def test_what_was_scored_is_not_scored_again(learned, folders, tmp_path):
    whole = learned.score(folders[1], run=tmp_path / "whole")
    source = learned.open(folders[1])
    with Store.create(tmp_path / "broken off") as store:
        store.add_recording(source.recordings[0])
        block = source.read(0, 0, 13)
        rows = learned.sense.layers["pictures"].judge(block)
        store.append(source.recordings[0], block.end_s, rows)
    pd.testing.assert_frame_equal(learned.score(folders[1], run=tmp_path / "broken off"), whole)


def test_dated_frames_in_a_row_are_one_event_and_undated_ones_are_not(learned, tmp_path):
    fill(tmp_path / "undated", 12, strange=(4, 5, 6))
    learned.score(tmp_path / "undated")
    assert {4, 5, 6} <= {int(name[:-4]) for name in learned.events().frame}
    dated = Detector(explainer="none").fit(fill(tmp_path / "dated", 40, dated=True))
    dated.score(fill(tmp_path / "later", 12, strange=(4, 5, 6), dated=True, seed=1))
    first = dated.events().iloc[0]
    assert first.end_s - first.start_s == 1800
    assert first.start_time == "2026-05-01T06:40:00.000+00:00"


@pytest.mark.parametrize("scorer", ["ensemble", "brightness"])
def test_a_network_may_judge_and_says_what_it_expected(folders, tmp_path, scorer):
    asked = {} if scorer == "ensemble" else {"scorer": {"name": "term", "term": scorer}}
    detector = Detector(model={"name": "conv-ae", "width": 8}, training=QUICK, **asked)
    detector.fit(folders[0])
    table = detector.score(folders[1], run=tmp_path)
    assert detector.scorer == scorer and np.isfinite(table.score).all()
    layer = detector.sense.layers["frames"]
    pictures = detector.open(folders[1]).read(0, 0, 3).pictures
    assert layer.reconstruct(pictures).shape == (3, 1, 48, 64)
    assert layer.heats(pictures)["reconstruction"].shape == (3, 48, 64)
    detector.save(tmp_path)
    pd.testing.assert_frame_equal(Detector.load(tmp_path).score(folders[1]), table)


def test_what_explains_is_scored_beside_what_judges(folders, tmp_path):
    detector = Detector(explainer={"name": "conv-ae", "width": 8}, training=QUICK)
    detector.fit(folders[0]).score(folders[1], run=tmp_path)
    with Store.open(tmp_path) as store:
        beside = {"patches", "brightness", "reconstruction", "knn", "mahalanobis"}
        assert beside <= set(store.scorers("windows"))
        assert store.names("windows")[STRANGE] == f"{STRANGE}.png"


def test_pruning_leaves_out_frames_and_says_which(tmp_path):
    spoiled = fill(tmp_path / "spoiled", strange=(3, 8))
    model = {"name": "conv-ae", "width": 8}
    training = {"epochs": 6, "batch": 16, "prune": "zscore:2", "prune_first": 3, "validation": 0.0}
    detector = Detector(model=model, training=training).fit(spoiled)
    table = detector.sense.left_out.table
    assert {3.0, 8.0} <= set(table.start_s) and set(table.model) == {"conv-ae"}


@pytest.mark.slow
def test_two_processes_teach_one_joint_embedding_prune_it_and_leave_one_run(folders, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    settings = {
        "model.name": "vicreg", "model.options.width": 4, "training.epochs": 3,
        "training.batch": 16, "training.prune": "zscore:1", "training.prune_first": 1,
        "training.prune_every": 1, "training.validation": 0,
    }  # fmt: skip
    run = tmp_path / "run"
    command = ["-m", "raravis", "fit", str(folders[0]), "--out", str(run)]
    given = [f"--set={name}={value}" for name, value in settings.items()]
    done = subprocess.run(
        [*torchrun, "--standalone", *command, *given], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    detector = Detector.load(run)
    assert detector.scorer == "knn" and len(detector.sense.left_out.table)
    table = detector.score(folders[1], run=run)
    assert np.isfinite(table.score).all()
    with Store.open(run) as store:
        terms = {"invariance", "variance", "covariance", "vicreg"}
        assert terms <= set(store.scorers("windows"))


def test_pruning_and_caches_are_said_not_to_concern_what_remembers(folders):
    said = []
    journal = Journal(remark=said.append, cache=folders[0])
    detector = Detector(explainer="none", training={"prune": "zscore:3"})
    detector.fit(folders[0], journal=journal)
    assert "it does not concern image-blocks" in said[1] and "the cache is not used" in said[0]


def test_broken_pictures_are_skipped_and_listed(learned, folders, tmp_path):
    mixed = fill(tmp_path / "mixed", 6)
    (mixed / "2.png").write_bytes((mixed / "2.png").read_bytes()[:200])
    table = learned.score(mixed, run=tmp_path / "run")
    assert len(table) == 5
    with Store.open(tmp_path / "run") as store:
        assert [skipped.path.endswith("2.png") for skipped in store.skipped()] == [True]


def test_where_nothing_can_be_read_it_is_said(tmp_path):
    (tmp_path / "0.png").write_bytes(b"no picture")
    with pytest.raises(NothingToRead, match="png"):
        Detector(kind="images").fit(tmp_path)


def test_colour_is_seen_as_grey_where_grey_was_learned_from_and_degrees_are_refused(
    learned, tmp_path
):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "red.png")
    assert learned.open(tmp_path).cameras == ("grey",)
    (tmp_path / "warm").mkdir()
    thermal.write(tmp_path / "warm" / "0.thermal.celsius.csv", np.full((48, 64), 20.0))
    with pytest.raises(NothingToRead, match="celsius"):
        learned.score(tmp_path / "warm")


def test_a_pair_is_strange_where_only_the_thermal_camera_sees_it(tmp_path):
    noise = np.random.default_rng(0)
    for name in ("optical", "thermal"):
        (tmp_path / name).mkdir()
    for number in range(60):
        Image.fromarray(texture(noise)).save(tmp_path / "optical" / f"{number}.png")
        warm = texture(noise, number == 50) / 10.0
        thermal.write(tmp_path / "thermal" / f"{number}.thermal.celsius.csv", warm)
    cameras = [tmp_path / "optical", tmp_path / "thermal"]
    detector = Detector(kind="pairs", explainer="none", learn={"first": 0.7}).fit(cameras)
    assert detector.config["model"]["name"] == "pair-blocks"
    table = detector.score(cameras)
    assert table.score.argmax() == 50
    layer, source = detector.sense.layers["pictures"], detector.open(cameras)
    heat = layer.model.heat(source.read(0, 50, 51).pictures[0])
    assert heat.shape == (48, 64) and heat[20:26, 10:50].mean() > 1.5 * np.median(heat)
    optical, warm = layer.model.heats(source.read(0, 50, 51).pictures[0])
    assert warm[20:26, 10:50].mean() > 1.5 * optical[20:26, 10:50].mean()
    detector.save(tmp_path / "run")
    pd.testing.assert_frame_equal(Detector.load(tmp_path / "run").score(cameras), table)


def test_pictures_need_what_can_see_them():
    with pytest.raises(ParameterError, match="pictures need image-blocks or a network, and sound"):
        Detector(kind="images", model="sound-events")


def test_a_closed_form_only_learns_from_the_share_it_may(tmp_path):
    spoiled = fill(tmp_path / "camera", 40, strange=range(30, 40))
    detector = Detector(explainer="none", learn={"first": 0.7}).fit(spoiled)
    detector.score(spoiled)
    assert {int(name[:-4]) for name in detector.events().frame} >= set(range(30, 40))
