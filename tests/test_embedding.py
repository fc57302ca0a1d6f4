"""Embeddings of recordings: written whole, in bounded memory, and measured."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from raravis import embedding
from raravis.cli import app
from raravis.detector import Detector
from raravis.embedding import Growing, embedded
from raravis.errors import DataError, NothingToRead, ParameterError, RunError
from raravis.labelling import read_labels

KINDS = ("bright", "dark")


def picture(kind, seed):
    """Noise around one brightness."""
    level = {"bright": 200, "dark": 60}[kind]
    noise = np.random.default_rng(seed).normal(level, 20, size=(16, 16, 3))
    return Image.fromarray(noise.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """A folder of 40 frames of two kinds, and one that is broken."""
    folder = tmp_path_factory.mktemp("pictures") / "camera"
    folder.mkdir()
    for number in range(40):
        kind = KINDS[number % 2]
        picture(kind, number).save(folder / f"{number:03d}-{kind}.png")
    (folder / "999-broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def image_run(frames, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "images"
    training = {"epochs": 1, "max_steps": 5, "device": "cpu", "precision": "float32"}
    model = {"name": "conv-ae", "latent": 4, "width": 4}
    Detector(model, kind="images", training=training).fit(frames).save(run)
    return run


@pytest.fixture(scope="module")
def labels(frames):
    names = [path.name for path in sorted(frames.glob("*.png")) if "broken" not in path.name]
    path = frames.parent / "labels.csv"
    kinds = [KINDS["dark" in name] for name in names]
    pd.DataFrame({"frame": names, "label": kinds}).to_csv(path, index=False)
    return path


def cli(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


# ----------------------------------------------------------------- what is written


def test_every_frame_that_can_be_read_is_a_row_of_the_file(image_run, frames, tmp_path):
    out = tmp_path / "embeddings.npz"
    told = cli("embed", image_run, frames, "--out", out)
    assert told.exit_code == 0, told.output
    with np.load(out) as held:
        assert held["embedding"].shape == (40, 4)
        assert held["embedding"].dtype == np.float32
        assert [name.rpartition("/")[2][:3] for name in held["frame"]] == [
            f"{number:03d}" for number in range(40)
        ]
        assert (held["end_s"] > held["start_s"]).all()
        detector = Detector.load(image_run)
        block = detector.open(frames).read(0, 0, 40)
        expected = detector.sense.layers["frames"].encode(block.pictures).embedding
        np.testing.assert_allclose(held["embedding"], expected, rtol=1e-5, atol=1e-6)


def test_a_folder_holds_the_same_as_the_file(image_run, frames, tmp_path):
    assert cli("embed", image_run, frames, "--out", tmp_path / "one.npz").exit_code == 0
    assert cli("embed", image_run, frames, "--out", tmp_path / "several").exit_code == 0
    index = pd.read_csv(tmp_path / "several" / "index.csv")
    with np.load(tmp_path / "one.npz") as held:
        rows = np.load(tmp_path / "several" / "embedding.npy", mmap_mode="r")
        assert np.array_equal(rows, held["embedding"])
        assert index["frame"].tolist() == held["frame"].tolist()
        assert index["start_s"].to_numpy() == pytest.approx(held["start_s"])


def test_windows_of_sound_have_embeddings_and_so_have_sound_events(run, chorus, tmp_path):
    for layer in ("windows", "segments"):
        out = tmp_path / f"{layer}.npz"
        assert cli("embed", run, chorus[0], "--out", out, "--layer", layer).exit_code == 0
        with np.load(out) as held:
            count = len(held["start_s"])
            assert held["embedding"].shape[0] == count > 10
            assert set(held["recording"]) == {"chorus_20260501_043000.flac"}
            lengths = held["end_s"] - held["start_s"]
            assert (np.ptp(lengths) < 1e-9) == (layer == "windows")
    with np.load(tmp_path / "windows.npz") as held:
        assert len(held["start_s"]) == 299  # as many as are scored


def test_layers_that_see_the_same_frames_stand_side_by_side(frames, tmp_path):
    training = {"epochs": 1, "max_steps": 2, "device": "cpu"}
    detector = Detector(kind="images", training=training).fit(frames)
    with embedded(detector, detector.open(frames)) as found:
        assert sorted(found.arrays) == ["frames.embedding", "pictures.embedding"]
        assert {len(array) for array in found.arrays.values()} == {len(found.index)} == {40}
    with embedded(detector, detector.open(frames), "pictures") as found:
        assert list(found.arrays) == ["embedding"]


def test_pairs_have_embeddings_of_both_cameras(tmp_path):
    for seed, camera in enumerate(("rgb", "thermal")):
        (tmp_path / camera).mkdir()
        for number in range(12):
            picture("dark", 100 * seed + number).save(tmp_path / camera / f"{number:03d}.png")
    model = {"name": "vicreg-pair", "options": {"width": 4}, "projector": [8, 6]}
    training = {"epochs": 1, "max_steps": 2, "batch": 8, "device": "cpu"}
    cameras = [tmp_path / "rgb", tmp_path / "thermal"]
    detector = Detector(model, kind="pairs", source={"join": "name"}, training=training)
    detector.fit(cameras)
    with embedded(detector, detector.open(cameras)) as found:
        widths = {name: array.shape[1] for name, array in found.arrays.items()}
        assert widths == {"backbone_1": 16, "projector_1": 6, "backbone_2": 16, "projector_2": 6}
        assert len(found.index) == 12
        assert not np.array_equal(found.arrays["backbone_1"], found.arrays["backbone_2"])


def test_numpy_reads_a_file_that_has_grown(tmp_path):
    rows = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    growing = Growing(tmp_path / "ours.npy", 3)
    for part in (rows[:2], rows[2:2], rows[2:]):
        growing.append(part)
    growing.close()
    assert np.array_equal(np.load(tmp_path / "ours.npy"), rows)
    assert np.array_equal(np.load(tmp_path / "ours.npy", mmap_mode="r"), rows)
    with pytest.raises(RunError, match=r"rows must be \(n, 3\), got \(2, 4\)"):
        growing.append(np.zeros((2, 4)))


def test_what_is_there_is_not_written_over_unless_asked(image_run, frames, tmp_path):
    out = tmp_path / "embeddings.npz"
    out.write_text("precious")
    with pytest.raises(RunError, match="is there already: replace it with --overwrite"):
        embedding.check_out(out)
    assert cli("embed", image_run, frames, "--out", out, "--overwrite").exit_code == 0
    assert np.load(out)["embedding"].shape == (40, 4)
    with pytest.raises(ParameterError, match=r"must be a file .npz or a folder, got .*x\.csv"):
        embedding.check_out(tmp_path / "x.csv")


def test_series_are_refused_with_what_to_do_instead(tmp_path):
    rows = np.random.default_rng(0).normal(size=(300, 2))
    pd.DataFrame(rows, columns=["a", "b"]).to_csv(tmp_path / "plant.csv", index=False)
    detector = Detector("window-pca", kind="series").fit(tmp_path / "plant.csv")
    with (
        pytest.raises(ParameterError, match=r"series are judged row by row .* `raravis score`"),
        embedded(detector, detector.open(tmp_path / "plant.csv")),
    ):
        pass


def test_an_unknown_layer_and_unreadable_frames_are_refused(image_run, frames, tmp_path):
    detector = Detector.load(image_run)
    with (
        pytest.raises(ParameterError, match="layer must be of frames, got 'segments'"),
        embedded(detector, detector.open(frames), "segments"),
    ):
        pass
    broken = tmp_path / "camera"
    broken.mkdir()
    picture("dark", 0).save(broken / "good.png")
    source = detector.open(broken)
    (broken / "good.png").write_bytes(b"gone bad")
    with (
        pytest.raises(NothingToRead, match="no window could be read"),
        embedded(detector, source),
    ):
        pass
    assert "good.png" in source.skipped[0].path


# ----------------------------------------------------------------- how good it is


def test_labels_that_show_in_the_pictures_can_be_told(image_run, frames, labels, tmp_path):
    out = tmp_path / "embeddings.npz"
    told = cli("embed", image_run, frames, "--out", out, "--labels", labels, "--json")
    assert told.exit_code == 0, told.output
    (row,) = json.loads(told.stdout)["embeddings"]
    assert row["kNN euclidean"] >= 0.9  # a network of five steps
    assert row["probe top-1"] >= 0.9
    assert row["most common"] == 0.5
    assert 1 <= row["participation ratio"] <= row["effective rank"] <= row["dimensions"] == 4


def test_the_table_says_how_windows_were_told_apart(image_run, frames, labels, tmp_path):
    out = tmp_path / "embeddings.npz"
    told = cli("embed", image_run, frames, "--out", out, "--labels", labels)
    said = " ".join(told.output.split())
    assert "20 windows learned from, 20 tested; half of each label's windows, at random" in said
    assert "RankMe" in told.output
    assert "999-broken.png" in told.output


# ----------------------------------------------------------------- labels


def index_of(*frames, recording="camera"):
    return pd.DataFrame({"recording": recording, "frame": list(frames)})


def table(path, **columns):
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def test_labels_find_frames_by_whole_name_by_file_and_without_ending(tmp_path):
    index = index_of("a/1.png", "a/2.png", "a/3.png")
    for names in (["a/1.png", "a/2.png"], ["1.png", "2.png"], ["1", "2"]):
        read = read_labels(table(tmp_path / "l.csv", frame=names, label=["x", "x"]), index)
        assert read.labels.tolist() == ["x", "x", ""]
        assert read.is_learned.sum() == read.is_tested.sum() == 1
        assert not (read.is_learned & read.is_tested).any()


def test_recordings_are_not_torn_apart_where_each_label_has_two(tmp_path):
    index = pd.DataFrame({"recording": np.repeat(["a", "b", "c", "d"], 5), "frame": ""})
    path = table(tmp_path / "l.csv", recording=["a", "b", "c", "d"], label=["x", "x", "y", "y"])
    read = read_labels(path, index)
    assert read.how == "half of each label's recordings"
    for recording in "abcd":
        rows = (index.recording == recording).to_numpy()
        assert read.is_learned[rows].all() != read.is_tested[rows].all()
    for label in "xy":
        assert read.is_learned[read.labels == label].sum() == 5


def test_one_recording_a_label_is_halved_at_random_and_the_seed_chooses(tmp_path):
    index = pd.DataFrame({"recording": np.repeat(["a", "b"], 50), "frame": ""})
    path = table(tmp_path / "l.csv", recording=["a", "b"], label=["x", "y"])
    first, again, other = (read_labels(path, index, seed) for seed in (0, 0, 1))
    assert "at random" in first.how
    assert np.array_equal(first.is_learned, again.is_learned)
    assert not np.array_equal(first.is_learned, other.is_learned)
    assert first.is_learned[:50].sum() == first.is_tested[:50].sum() == 25


def test_a_column_split_is_followed(tmp_path):
    path = table(tmp_path / "l.csv", frame=["1", "2", "3"], label=["x", "y", "x"],
                 split=["train", "test", "train"])  # fmt: skip
    read = read_labels(path, index_of("1", "2", "3", "4"))
    assert read.is_learned.tolist() == [True, False, True, False]
    assert read.is_tested.tolist() == [False, True, False, False]


def test_labels_refuse_and_say_why(tmp_path):
    index, path = index_of("a/1.png", "b/1.png", "a/2.png"), tmp_path / "l.csv"
    with pytest.raises(DataError, match="must have a column label, and frame or recording"):
        read_labels(table(path, name=["1"], label=["x"]), index)
    with pytest.raises(
        DataError, match=r"labels none of the 3 windows: its first frame is '9\.png'"
    ):
        read_labels(table(path, frame=["9.png"], label=["x"]), index)
    with pytest.raises(DataError, match=r"1\.png may be camera/a/1\.png or camera/b/1\.png"):
        read_labels(table(path, frame=["1.png"], label=["x"]), index)
    with pytest.raises(DataError, match=r"a/1\.png is called both 'x' and 'y'"):
        read_labels(table(path, frame=["a/1.png", "a/1.png"], label=["x", "y"]), index)
    with pytest.raises(DataError, match="split must be train or test, got 'dev'"):
        read_labels(table(path, frame=["a/1.png"], label=["x"], split=["dev"]), index)
    with pytest.raises(DataError, match="leaves no labelled window to be tested"):
        read_labels(table(path, frame=["a/1.png"], label=["x"]), index)
    with pytest.raises(DataError, match=r"cannot read the labels in .*missing\.csv"):
        read_labels(tmp_path / "missing.csv", index)
