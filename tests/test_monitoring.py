"""The terms of a frozen model over time, and how they move where other recordings follow."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from raravis import monitoring
from raravis.cli import app
from raravis.detector import Detector
from raravis.errors import NothingToRead, ParameterError
from raravis.monitoring import AFTER, BEFORE, Watched
from raravis.monitoring.drawing import by_clock

BATCH = 8
QUICK = {"max_steps": 4, "batch": 8, "device": "cpu", "precision": "float32"}
SMALL = {
    "name": "vicreg",
    "options": {"width": 8},
    "projector": [16, 16],
    "augmentation": {"crop": (0.5, 1.0)},
}


def write_frames(folder, count, stripes, seed, names="{:03d}.png"):
    """Noisy pictures with stripes across or along them."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    wave = 60 * np.sign(np.sin(np.arange(16) * np.pi / 2 + 0.1))
    wave = np.tile(wave, (16, 1)) if stripes == "along" else np.tile(wave, (16, 1)).T
    for number in range(count):
        grey = (128 + wave + random.normal(0, 20, (16, 16))).clip(0, 255)
        Image.fromarray(grey.astype(np.uint8)).save(folder / names.format(number))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Frames to learn from, some more of their kind, and others."""
    root = tmp_path_factory.mktemp("frames")
    return {
        "learned": write_frames(root / "learned", 40, "along", 0),
        "same": write_frames(root / "same", 43, "along", 1),
        "other": write_frames(root / "other", 27, "across", 2),
    }


def taught(model, folders, steps=40):
    training = {**QUICK, "epochs": 20, "max_steps": steps}
    return Detector(model, kind="images", training=training).fit(folders["learned"])


@pytest.fixture(scope="module")
def rebuilding(folders):
    return taught({"name": "conv-ae", "latent": 4, "width": 8}, folders)


def watch(detector, folders, before="same", after="other", **options):
    sources = [detector.open(folders[name]) if name else None for name in (before, after)]
    return monitoring.watch(detector, *sources, **{"batch": BATCH, **options})


def cli(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


# ----------------------------------------------------------------- the numbers


def test_every_window_and_every_whole_batch_has_its_row(rebuilding, folders):
    watched = watch(rebuilding, folders)
    assert watched.windows["number"].tolist() == list(range(43 + 27))
    assert (watched.windows["side"] == BEFORE).sum() == 43
    assert watched.switch == 43
    assert watched.batches["number"].tolist() == [0, 8, 16, 24, 32, 43, 51, 59]
    assert watched.batches["side"].tolist() == [BEFORE] * 5 + [AFTER] * 3
    for name in ("reconstruction", "knn", "mahalanobis", "brightness"):
        assert name in watched.of_windows
        assert name in watched.of_batches


def test_terms_are_those_that_the_run_scores_with(rebuilding, folders):
    watched = watch(rebuilding, folders, after=None)
    layer = rebuilding.sense.layers["frames"]
    pictures = rebuilding.open(folders["same"]).read(0, 0, 43).pictures
    encoded = layer.encode(pictures)
    np.testing.assert_allclose(
        watched.windows["reconstruction"], encoded.terms["reconstruction"], rtol=1e-5
    )
    knn, _ = layer.judges.judges["knn"].judge(encoded)
    np.testing.assert_allclose(watched.windows["knn"], knn, rtol=1e-4)
    grey = [picture.mean() for picture in pictures]
    np.testing.assert_allclose(watched.windows["brightness"], grey, rtol=1e-5)


def test_a_batch_is_the_mean_of_its_windows_where_nothing_couples_them(rebuilding, folders):
    watched = watch(rebuilding, folders)
    means = watched.windows["reconstruction"].to_numpy()[43:67].reshape(3, 8).mean(axis=1)
    after = watched.batches[watched.batches["side"] == AFTER]
    np.testing.assert_allclose(after["reconstruction"], means, rtol=1e-5)


def test_the_other_stripes_are_found_strange_and_more_of_the_same_are_not(rebuilding, folders):
    found = {m.term: m for m in monitoring.moves(watch(rebuilding, folders)) if m.per == "window"}
    assert found["reconstruction"].auroc > 0.95
    assert found["reconstruction"].p_value < 1e-6
    assert 0.3 < found["brightness"].auroc < 0.7
    again = monitoring.moves(watch(rebuilding, folders, "learned", "same"))
    brightness = next(m for m in again if m.term == "brightness")
    assert brightness.p_value > 0.01


def test_nothing_is_learned_and_the_same_seed_gives_the_same_numbers(rebuilding, folders):
    before = {
        k: v.clone() for k, v in rebuilding.sense.layers["frames"].network.state_dict().items()
    }
    first, again = (watch(rebuilding, folders) for _ in range(2))
    pd.testing.assert_frame_equal(first.windows, again.windows)
    pd.testing.assert_frame_equal(first.batches, again.batches)
    after = rebuilding.sense.layers["frames"].network.state_dict()
    assert all((before[name] == after[name]).all() for name in before)


def test_batches_run_across_the_blocks_in_which_frames_are_read(rebuilding, folders, tmp_path):
    many = {"many": write_frames(tmp_path / "many", 130, "along", 3)}  # blocks of 64
    watched = watch(rebuilding, many, "many", None, batch=50)
    assert watched.batches["number"].tolist() == [0, 50]
    means = watched.windows["reconstruction"].to_numpy()[:100].reshape(2, 50).mean(axis=1)
    np.testing.assert_allclose(watched.batches["reconstruction"], means, rtol=1e-5)


def test_terms_that_couple_a_batch_are_the_networks_own_of_that_batch(folders):
    detector = taught(SMALL, folders, steps=5)
    watched = watch(detector, folders)
    layer = detector.sense.layers["frames"]
    pictures = detector.open(folders["same"]).read(0, 0, 16).pictures
    inference = layer.running
    inference.batch = BATCH
    expected = inference.batch_terms(layer.frames(pictures))
    for number in range(2):
        row = watched.batches.iloc[number]
        for name in ("invariance", "variance", "covariance", "vicreg"):
            assert row[name] == pytest.approx(expected[number][name], rel=1e-4, abs=1e-6)
    means = watched.windows["covariance"].to_numpy()[:8].mean()
    assert watched.batches["covariance"][0] != pytest.approx(means, rel=1e-3)  # it is coupled


def test_sound_is_watched_as_pictures_are(run, chorus):
    detector = Detector.load(run)
    watched = monitoring.watch(detector, detector.open(chorus[0]), batch=64)
    assert watched.layer == "windows"
    assert len(watched.windows) == 299
    assert len(watched.batches) == 4
    assert {"reconstruction", "knn", "loudness"} <= set(watched.of_windows)
    assert watched.windows["time"].iloc[0] == "2026-05-01T04:30:00.000+00:00"
    assert by_clock(watched)


def test_a_layer_in_closed_form_is_watched_too(run, chorus):
    detector = Detector.load(run)
    watched = monitoring.watch(detector, detector.open(chorus[0]), batch=4, layer="segments")
    assert watched.of_windows == ["salience", "rarity"]
    assert len(watched.batches) == len(watched.windows) // 4


# ----------------------------------------------------------------- how it moved


def watched_by_hand(before, after, batch=2):
    """Windows with one quantity, and their batches' means."""
    values = [*before, *after]
    side = [BEFORE] * len(before) + [AFTER] * len(after)
    windows = pd.DataFrame({"side": side, "number": range(len(values)), "time": "", "x": values})
    how = {"side": "first", "number": "first", "time": "first", "x": "mean"}
    batches = windows.groupby(windows.index // batch).agg(how)
    return Watched(windows, batches, "frames", batch)


def test_moves_by_hand():
    found = monitoring.moves(watched_by_hand([1, 3, 1, 3], [4, 6, 1, 5]))
    window = next(m for m in found if m.per == "window")
    assert (window.before, window.after) == (2, 4)
    assert window.deviations == pytest.approx(2 / np.sqrt(4 / 3))
    assert window.auroc == pytest.approx((4 + 4 + 1 + 4) / 16)  # 1 ties with two of four
    assert (window.rows_before, window.rows_after) == (4, 4)
    batch = next(m for m in found if m.per == "batch")
    assert (batch.before, batch.after, batch.deviations) == (2, 4, None)  # it never varied
    assert batch.auroc == 1


def test_words_say_what_moved_most_and_which_way():
    random = np.random.default_rng(0)
    before, after = random.normal(5, 1, 200), random.normal(2, 1, 100)
    watched = watched_by_hand(before, after)
    windows, batches = watched.windows, watched.batches
    windows["still"], batches["still"] = random.normal(size=300), random.normal(size=150)
    said = monitoring.said(monitoring.moves(watched))
    assert said[0].startswith("per window, x moved most: it fell from 5")
    step = (after.mean() - before.mean()) / before.std(ddof=1)
    assert f"by {-step:.1f} deviations; AUROC 0.0" in said[0]
    assert "of 100 after against 200 before" in said[0]
    assert said[1] == "per window, could be chance: still"
    assert "only recordings that were held back" in said[-1]


def test_two_batches_on_each_side_are_too_few_to_tell():
    found = monitoring.moves(watched_by_hand([1, 2, 3, 4], [8, 9, 6, 7]))
    batch = next(move for move in found if move.per == "batch")
    assert (batch.auroc, batch.low, batch.high) == (1, 1, 1)  # and yet
    assert batch.p_value == pytest.approx(2 / 6)  # of six ways to divide four, two are as extreme
    assert "per batch, no term tells the two sides apart" in " ".join(monitoring.said(found))


def test_where_nothing_moved_the_words_say_so():
    values = np.random.default_rng(0).normal(size=100)
    said = monitoring.said(monitoring.moves(watched_by_hand([*values, *values], values)))
    assert said[0] == "per window, no term tells the two sides apart: all could be chance"


def test_without_a_switch_or_with_too_few_batches_the_words_say_so(rebuilding, folders):
    alone = watch(rebuilding, folders, after=None)
    assert alone.switch is None
    assert monitoring.moves(alone) == []
    assert "nothing to compare" in monitoring.said([])[0]
    few = monitoring.said(monitoring.moves(watch(rebuilding, folders, batch=40)))
    assert any("too few windows for two batches on each side" in line for line in few)


def test_time_is_the_clock_only_where_it_goes_forward():
    watched = watched_by_hand([1, 2], [3, 4])
    assert not by_clock(watched)
    watched.windows["time"] = [f"2026-05-01T04:30:0{n}.000" for n in range(4)]
    assert by_clock(watched)
    watched.windows["time"] = watched.windows["time"].tolist()[::-1]
    assert not by_clock(watched)


# ----------------------------------------------------------------- the command


def test_the_command_writes_numbers_picture_and_words(rebuilding, folders, tmp_path):
    rebuilding.save(tmp_path / "run")
    told = cli("monitor", tmp_path / "run", folders["same"], "--then", folders["other"],
               "--batch", BATCH, "--json")  # fmt: skip
    assert told.exit_code == 0, told.output
    answer, folder = json.loads(told.stdout), tmp_path / "run" / "monitoring"
    assert answer["said"][0].startswith("per window, ")
    assert len(pd.read_csv(folder / "windows.csv")) == 70
    assert len(pd.read_csv(folder / "batches.csv")) == 8
    assert set(pd.read_csv(folder / "moves.csv")["per"]) == {"window", "batch"}
    with Image.open(folder / "terms.png") as drawn:
        assert min(drawn.size) > 400
    assert (folder / "summary.txt").read_text().splitlines() == answer["said"]
    shown = cli("monitor", tmp_path / "run", folders["same"], "--batch", BATCH)
    assert shown.exit_code == 0
    assert "nothing to compare" in shown.output


def test_monitoring_refuses_and_says_why(rebuilding, folders, tmp_path):
    with pytest.raises(ParameterError, match="batch must be >= 2, got 1"):
        watch(rebuilding, folders, batch=1)
    with pytest.raises(ParameterError, match="layer must be of frames, got 'windows'"):
        watch(rebuilding, folders, layer="windows")
    gone = {"gone": write_frames(tmp_path / "gone", 2, "along", 0)}
    source = rebuilding.open(gone["gone"])
    for path in gone["gone"].iterdir():
        path.write_bytes(b"gone bad")
    with pytest.raises(NothingToRead, match=r"no window could be read before the switch: .*000"):
        monitoring.watch(rebuilding, source)
