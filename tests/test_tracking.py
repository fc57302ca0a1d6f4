"""Whoever follows a training is told every epoch once, whatever happens on the way."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

from raravis import distributed, tracking
from raravis.blocks import seeded
from raravis.cli import console
from raravis.course import History
from raravis.errors import ParameterError, RunError
from raravis.journal import Journal
from raravis.models.autoencoder import ConvAutoencoder
from raravis.networks import Codes, Network
from raravis.progress import Progress
from raravis.tracking.drawing import as_picture, as_plane, compared
from raravis.tracking.told import places
from raravis.training import Training
from raravis.windows import FloatArray, Recording, Windows

SHAPE = (1, 16, 13)
TRAINING = Training(epochs=4, batch=8, prune="zscore:3", prune_first=1, prune_every=1)
NEEDED = "pip install 'raravis[track]'"
CURVES = {
    "loss", "loss/reconstruction", "validation_loss", "learning_rate", "gradient_norm",
    "windows", "kept_share", "windows_per_s", "seconds",
}  # fmt: skip


def windows_of(count: int = 40) -> FloatArray:
    windows = np.random.default_rng(0).normal(size=(count, *SHAPE)).astype(np.float32)
    windows[7] *= 4  # strange enough to be left out
    return windows


def network_of() -> ConvAutoencoder:
    with seeded(0):
        return ConvAutoencoder(SHAPE, latent=8, width=8)


def learn(journal: Journal, network: Network | None = None) -> History:
    return TRAINING.fit(network or network_of(), windows_of(), journal=journal)


class Killed(Exception):  # noqa: N818  what the tests raise in place of a power cut
    pass


def killed_at(step: int) -> Progress:
    def progress(what: str, done: float, total: float) -> None:
        if done >= step:
            raise Killed

    return progress


def broken_off(folder: Path, tracker: str, step: int) -> None:
    """A training of which a checkpoint lies at the step before, and which told more than that."""
    with pytest.raises(Killed):
        learn(Journal(killed_at(step), folder, every_s=0, trackers=[tracker]))


# --- training.csv --------------------------------------------------------------------------------


def table(path: Path) -> list[dict[str, float]]:
    rows = csv.DictReader(io.StringIO(path.read_text()))
    return [{name: float(value) for name, value in row.items()} for row in rows]


def test_the_table_has_a_row_for_each_epoch_with_every_part_of_the_loss(tmp_path: Path) -> None:
    history = learn(Journal(folder=tmp_path))
    rows = table(tmp_path / "training.csv")
    assert rows == history.rows()
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert set(rows[0]) == CURVES | {"epoch"}
    assert [row["kept_share"] for row in rows] == pytest.approx([1, 33 / 34, 33 / 34, 33 / 34])
    assert [row["windows"] for row in rows] == [34, 33, 33, 33]
    for row in rows:
        assert row["loss"] == row["loss/reconstruction"]


def test_the_table_is_complete_after_a_break(tmp_path: Path) -> None:
    whole = learn(Journal(folder=tmp_path / "whole"))
    with pytest.raises(Killed):
        learn(Journal(killed_at(13), tmp_path / "broken", every_s=0))
    learn(Journal(folder=tmp_path / "broken"))
    timed = {"seconds", "windows_per_s"}
    rows = table(tmp_path / "broken/training.csv")
    assert len(rows) == len(whole)
    for ours, theirs in zip(rows, whole.rows(), strict=True):
        assert ours["seconds"] > 0
        assert all(ours[name] == theirs[name] for name in theirs if name not in timed)


def test_the_time_of_an_epoch_that_was_broken_off_is_counted_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()  # every look at the clock is a second later
    monkeypatch.setattr("raravis.course.time.perf_counter", lambda: float(next(seconds)))
    whole = learn(Journal(folder=tmp_path / "whole", every_s=0)).seconds
    with pytest.raises(Killed):
        learn(Journal(killed_at(13), tmp_path, every_s=0))  # in the third epoch, after a save
    next(itertools.islice(seconds, 1000, None))  # the break
    resumed = learn(Journal(folder=tmp_path, every_s=0)).seconds
    assert resumed[:2] == whole[:2] and resumed[3:] == whole[3:]
    assert 0 < resumed[2] <= whole[2]


def test_the_table_is_not_written_after_every_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    monkeypatch.setattr(History, "write", lambda self, path: written.append(len(self)))
    Training(epochs=30, batch=8, validation=0, patience=30).fit(
        Mean(), windows_of(8), journal=Journal(folder=tmp_path, every_s=1000)
    )
    assert written == [30]


def test_the_gradient_of_the_last_batch_by_hand(tmp_path: Path) -> None:
    # loss (w - mean)^2 has the gradient 2 (w - mean); AdamW's first step goes to w = 0.001
    windows = np.full((4, 1, 1, 1), 3.0, dtype=np.float32)
    history = Training(epochs=2, batch=4, validation=0, learning_rate=1e-3).fit(Mean(), windows)
    assert history.gradient_norm == pytest.approx([6.0, 5.998], rel=1e-5)


class Mean(Network):
    """Learns the mean; reconstructs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        return {"apart": (self.weight - batch.mean(dim=(1, 2, 3))) ** 2}

    def encode(self, batch: Tensor) -> Codes:
        return Codes(batch.flatten(1)[:, :2], {})


# --- TensorBoard ---------------------------------------------------------------------------------


@pytest.fixture
def accumulator() -> Any:
    """What TensorBoard itself reads its files with."""
    pytest.importorskip("tensorboard", reason=NEEDED)
    from tensorboard.backend.event_processing import event_accumulator

    def read(folder: Path) -> Any:
        every = event_accumulator.STORE_EVERYTHING_SIZE_GUIDANCE
        return event_accumulator.EventAccumulator(str(folder / "tensorboard"), every).Reload()

    return read


def pixels(png: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(png)))


def curves(read: Any) -> dict[str, list[tuple[int, float]]]:
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_tensorboard_is_told_every_number_of_the_table(tmp_path: Path, accumulator: Any) -> None:
    history = learn(Journal(folder=tmp_path, trackers=["tensorboard"]))
    told = curves(accumulator(tmp_path))
    assert set(told) == CURVES
    for name, points in told.items():
        assert [step for step, _ in points] == [1, 2, 3, 4]
        values = [row[name] for row in history.rows()]
        assert [value for _, value in points] == pytest.approx(values, rel=1e-6)


def test_tensorboard_sees_the_same_windows_and_what_was_rebuilt(
    tmp_path: Path, accumulator: Any
) -> None:
    network = network_of()
    learn(Journal(folder=tmp_path, trackers=["tensorboard"]), network)
    read = accumulator(tmp_path)
    (tag,) = read.Tags()["images"]
    images = read.Images(tag)
    assert [image.step for image in images] == [1, 2, 3, 4]
    first, *_, last = (pixels(image.encoded_image_string) for image in images)
    held_back = windows_of()[34:]  # all six
    height = first.shape[0] // 2 - 2
    assert np.array_equal(first[:height], last[:height])  # the originals
    assert not np.array_equal(first[height + 4 :], last[height + 4 :])
    assert np.array_equal(first[:height], compared(held_back, held_back)[:height])


def test_the_projector_finds_points_columns_and_pictures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason=NEEDED)
    from google.protobuf import text_format
    from tensorboard.plugins.projector import ProjectorConfig

    network = network_of()
    history = learn(Journal(folder=tmp_path, trackers=["tensorboard"]), network)
    folder = tmp_path / "tensorboard"
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (embedding,) = config.embeddings
    points = np.loadtxt(folder / embedding.tensor_path, delimiter="\t")
    with torch.no_grad():
        codes = network.encode(torch.from_numpy(windows_of())).embedding.numpy()
    np.testing.assert_allclose(points, codes, rtol=0.02, atol=0.02)  # bfloat16 where there is some
    columns = (folder / embedding.metadata_path).read_text()
    rows = list(csv.DictReader(io.StringIO(columns), delimiter="\t"))
    assert [int(row["window"]) for row in rows] == list(range(40))
    assert [i for i, row in enumerate(rows) if row["kept"] == "no"] == history.left_out["row"]
    assert max(rows, key=lambda row: float(row["loss"]))["window"] == "7"
    sheet = pixels((folder / embedding.sprite.image_path).read_bytes())
    width, height = embedding.sprite.single_image_dim
    assert (width, height) == (13, 16) and sheet.shape == (7 * 16, 7 * 13)  # 7 x 7 for 40
    np.testing.assert_array_equal(sheet[16:32, :13], as_picture(windows_of()[7]))


def test_the_map_says_where_windows_come_from(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason=NEEDED)
    windows = Windows(np.zeros(40, dtype=np.int32), np.arange(40.0), np.arange(40.0) + 1)
    began = datetime(2026, 5, 1, 4, 30)
    recordings = [Recording("dawn.flac", "dawn.flac", 41.0, 8000.0, start_time=began)]
    told = places(windows, recordings)
    learn(Journal(folder=tmp_path, trackers=["tensorboard"], places=told))
    lines = (tmp_path / "tensorboard/projector/columns.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["window", "recording", "start_s", "time", "loss", "kept"]
    assert lines[8].startswith("7\tdawn.flac\t7.000\t2026-05-01T04:30:07\t")
    assert lines[8].endswith("\tno")


@pytest.mark.parametrize("step", [1, 9, 13])
def test_after_a_break_tensorboard_shows_every_epoch_once(
    step: int, tmp_path: Path, accumulator: Any
) -> None:
    broken_off(tmp_path, "tensorboard", step)
    history = learn(Journal(folder=tmp_path, trackers=["tensorboard"]))
    read = accumulator(tmp_path)
    for name, points in curves(read).items():
        assert [at for at, _ in points] == [1, 2, 3, 4]
        if name == "loss":
            assert [value for _, value in points] == pytest.approx(history.loss, rel=1e-6)
    (tag,) = read.Tags()["images"]
    assert [image.step for image in read.Images(tag)] == [1, 2, 3, 4]


def test_epochs_told_but_not_kept_are_not_shown_twice(tmp_path: Path, accumulator: Any) -> None:
    with pytest.raises(Killed):  # in the third epoch, with nothing kept since the beginning
        learn(Journal(killed_at(13), tmp_path, every_s=1000, trackers=["tensorboard"]))
    assert [at for at, _ in curves(accumulator(tmp_path))["loss"]] == [1, 2]
    learn(Journal(folder=tmp_path, trackers=["tensorboard"]))
    assert [at for at, _ in curves(accumulator(tmp_path))["loss"]] == [1, 2, 3, 4]


def test_a_finished_training_asked_again_tells_nothing_twice(
    tmp_path: Path, accumulator: Any
) -> None:
    learn(Journal(folder=tmp_path, trackers=["tensorboard"]))
    learn(Journal(folder=tmp_path, trackers=["tensorboard"]))
    read = accumulator(tmp_path)
    assert [at for at, _ in curves(read)["loss"]] == [1, 2, 3, 4]
    assert [image.step for image in read.Images(read.Tags()["images"][0])] == [1, 2, 3, 4]


def test_a_network_that_does_not_reconstruct_is_not_pictured(
    tmp_path: Path, accumulator: Any
) -> None:
    learn(Journal(folder=tmp_path, trackers=["tensorboard"]), Mean())
    assert accumulator(tmp_path).Tags()["images"] == []
    assert (tmp_path / "tensorboard/projector_config.pbtxt").exists()


# --- Weights & Biases ----------------------------------------------------------------------------


@pytest.fixture
def wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """W&B with nobody logged in, that leaves its settings alone."""
    package = pytest.importorskip("wandb", reason=NEEDED)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "of-wandb"))
    yield package
    with suppress(ConnectionError):  # where a test killed its service
        package.teardown()


def records(path: Path) -> Iterator[bytes]:
    """What W&B wrote, record by record: LevelDB's log, after a header of 7 bytes.

    Source: https://github.com/google/leveldb/blob/main/doc/log_format.md
    """
    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # the end of a block is too small for another one
            at += 32768 - at % 32768
            continue
        size, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield whole
            whole = b""


def told_to_wandb(folder: Path) -> tuple[str, dict[int, dict[str, Any]]]:
    """Id of the only run in there, and what was told at each step."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("wandb/wandb/offline-run-*/*.wandb")
    history: dict[int, dict[str, Any]] = {}
    for data in records(path):
        record = Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            values = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            assert values["_step"] not in history  # no step is told twice
            history[values["_step"]] = values
    return path.stem.removeprefix("run-"), history


@pytest.mark.slow
def test_wandb_stays_offline_and_is_told_every_number(tmp_path: Path, wandb: Any) -> None:
    history = learn(Journal(folder=tmp_path, trackers=["wandb"]))
    _, told = told_to_wandb(tmp_path)
    assert list(told) == [1, 2, 3, 4]
    for row in history.rows():
        step = told[int(row.pop("epoch"))]
        assert {name: step[name] for name in row} == row
        assert step["windows"] == row["windows"]
        assert step["pictured/_type"] == "image-file"
    assert told[4]["map/nrows"] == 40 and told[4]["map/ncols"] == 3 + 8
    pictured = next(tmp_path.glob("wandb/wandb/offline-run-*/files/media/images/*_4_*.png"))
    assert pixels(pictured.read_bytes()).shape == (2 * 128 + 4, 6 * 104 + 5 * 4, 3)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 13])
def test_after_a_break_wandb_knows_every_epoch_once_under_the_same_name(
    step: int, tmp_path: Path, wandb: Any
) -> None:
    broken_off(tmp_path, "wandb", step)
    before, _ = told_to_wandb(tmp_path)
    history = learn(Journal(folder=tmp_path, trackers=["wandb"]))
    after, told = told_to_wandb(tmp_path)
    assert before == after
    assert [told[epoch]["loss"] for epoch in (1, 2, 3, 4)] == history.loss
    assert all("pictured/path" in told[epoch] for epoch in (1, 2, 3, 4))
    learn(Journal(folder=tmp_path, trackers=["wandb"]))  # finished: nothing is told
    assert told_to_wandb(tmp_path) == (after, told)


SUDDEN_DEATH = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import test_tracking as here
from raravis.journal import Journal

def progress(step, done, total):
    if done == 13:
        os.kill(os.getpid(), 9)

journal = Journal(progress, Path(sys.argv[1]), every_s=0, trackers=["tensorboard", "wandb"])
here.learn(journal)
"""


@pytest.mark.slow
def test_after_a_sudden_death_both_know_every_epoch_once(
    tmp_path: Path, wandb: Any, accumulator: Any
) -> None:
    killed = subprocess.run([sys.executable, "-c", SUDDEN_DEATH, str(tmp_path)], timeout=300)
    assert killed.returncode == -9
    history = learn(Journal(folder=tmp_path, trackers=["tensorboard", "wandb"]))
    _, told = told_to_wandb(tmp_path)
    assert [step["loss"] for step in told.values()] == history.loss
    points = curves(accumulator(tmp_path))["loss"]
    assert [at for at, _ in points] == list(told) == [1, 2, 3, 4]
    assert [value for _, value in points] == pytest.approx(history.loss, rel=1e-6)


@pytest.mark.slow
def test_wandb_asks_nothing_where_nobody_is_logged_in(
    tmp_path: Path, wandb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    remarks: list[str] = []
    learn(Journal(folder=tmp_path, trackers=["wandb"], remark=remarks.append))
    assert len(remarks) == 1
    assert remarks[0].startswith("wandb stays offline, though WANDB_MODE is online (No API key")
    assert list(told_to_wandb(tmp_path)[1]) == [1, 2, 3, 4]


def test_a_mode_that_wandb_does_not_have_is_refused(
    tmp_path: Path, wandb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(ParameterError, match=r"WANDB_MODE must be one of .*, got 'sometimes'"):
        learn(Journal(folder=tmp_path, trackers=["wandb"]))


@pytest.mark.slow
def test_wandb_falling_dead_does_not_end_training(tmp_path: Path, wandb: Any) -> None:
    remarks: list[str] = []

    def kill_the_service(step: str, done: float, total: float) -> None:
        if done == 8:
            children = subprocess.run(
                ["pgrep", "-P", str(os.getpid()), "wandb-core"], capture_output=True, text=True
            )
            for child in children.stdout.split():
                os.kill(int(child), 9)

    history = learn(Journal(kill_the_service, tmp_path, trackers=["wandb"], remark=remarks.append))
    assert len(history) == 4
    assert len(remarks) == 1 and remarks[0].startswith("wandb failed and is told nothing more")


# --- who is told, and who is not -----------------------------------------------------------------


class Full:
    """A tracker whose disk is full from some call on."""

    failures: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, calls: int) -> None:
        self.calls, self.told = calls, 0

    def _tell(self, *_: Any) -> None:
        self.told += 1
        if self.told > self.calls:
            raise OSError(28, "No space left on device")

    row = picture = atlas = flush = close = _tell


@pytest.mark.parametrize("calls", [0, 3, 10])  # of 11
def test_a_tracker_that_fails_is_dropped_and_that_is_said(
    calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard", reason=NEEDED)
    full = Full(calls)
    monkeypatch.setattr(tracking, "_opened", lambda *_: full)
    remarks: list[str] = []
    followed, alone = network_of(), network_of()
    learn(Journal(folder=tmp_path, trackers=["tensorboard"], remark=remarks.append), followed)
    learn(Journal(), alone)
    assert full.told == calls + 1
    assert len(remarks) == 1
    assert "tensorboard failed and is told nothing more ([Errno 28] No space" in remarks[0]
    assert f"{tmp_path}/training.csv has its numbers" in remarks[0]
    for ours, theirs in zip(followed.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_where_nobody_was_named_to_hear_it_a_failure_is_a_warning() -> None:
    with pytest.warns(RuntimeWarning, match="wandb is gone"):
        Journal().remark("wandb is gone")


def test_a_folder_that_cannot_be_written_is_said_before_training(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason=NEEDED)
    (tmp_path / "tensorboard").write_text("in the way")
    with pytest.raises(RunError, match=f"{tmp_path} cannot be used: .*File exists"):
        learn(Journal(killed_at(0), tmp_path, trackers=["tensorboard"]))


def test_only_the_first_process_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason=NEEDED)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    said: list[str] = []
    journal = Journal(
        folder=tmp_path,
        trackers=["tensorboard"],
        note=lambda step, text, last=False: said.append(text),
    )
    learn(journal)
    assert list(tmp_path.iterdir()) == [] and said == []


def test_unknown_trackers_and_missing_packages_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ParameterError, match="followed in tensorboard or wandb, not in 'mlflow'"):
        Journal(trackers=["mlflow"])
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ParameterError, match=r"wandb is not installed: pip install 'raravis\[tra"):
        Journal(trackers=["wandb"])


def test_trackers_need_a_folder() -> None:
    pytest.importorskip("tensorboard", reason=NEEDED)
    with pytest.raises(ParameterError, match="follow training in tensorboard the journal needs a"):
        learn(Journal(trackers=["tensorboard"]))


@pytest.mark.slow
def test_without_trackers_nothing_of_them_is_imported() -> None:
    script = (
        "import numpy as np, sys, raravis.layers\n"
        "from raravis.training import Training\n"
        "from raravis.models.autoencoder import ConvAutoencoder\n"
        "windows = np.zeros((8, 1, 16, 13), dtype=np.float32)\n"
        "Training(epochs=1).fit(ConvAutoencoder((16, 13)), windows)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not {"tensorboard", "wandb", "torch.utils.tensorboard"} & set(done.stdout.split())


# --- pictures ------------------------------------------------------------------------------------


def test_sound_stands_with_its_lowest_band_at_the_bottom() -> None:
    window = np.array([[[1, 2], [3, 4]]], dtype=np.float32)  # one channel, two bands, two frames
    np.testing.assert_array_equal(as_plane(window), [[3, 4], [1, 2]])


def test_series_run_from_left_to_right_channel_below_channel() -> None:
    window = np.array([[[1], [2], [3]], [[4], [5], [6]]], dtype=np.float32)  # 2 channels, 3 rows
    np.testing.assert_array_equal(as_plane(window), [[1, 2, 3], [4, 5, 6]])


def test_a_picture_stands_upright_in_its_colours_and_a_thermal_one_below_it():
    window = np.arange(2 * 3 * 4.0).reshape(4, 2, 3)
    plane = as_plane(window, upright=True)
    assert plane.shape == (4, 3, 3)
    np.testing.assert_array_equal(plane[0, 0], window[:3, 0, 0])
    np.testing.assert_array_equal(plane[2, :, 1], window[3, 0])
    np.testing.assert_array_equal(as_plane(window[:1], upright=True), window[0])
    whole = compared(window[None, :3], window[None, :3], upright=True)
    assert whole[0, 0, 2] > whole[0, 0, 0]  # the third colour is the strongest
    assert as_picture(window, upright=True).shape == (4, 3)


def test_the_same_value_has_the_same_colour_above_and_below() -> None:
    windows = np.random.default_rng(0).normal(size=(3, 1, 64, 50)).astype(np.float32)
    whole = compared(windows, windows)
    assert whole.shape == (2 * 128 + 4, 3 * 100 + 2 * 4, 3)
    np.testing.assert_array_equal(whole[:128], whole[132:])
    assert (whole[128:132] == 255).all() and (whole[:, 100:104] == 255).all()
    brighter = compared(windows, windows + 1)
    assert brighter[132:].mean() > brighter[:128].mean() + 10


def test_large_windows_make_small_pictures() -> None:
    windows = np.zeros((2, 1, 128, 3000), dtype=np.float32)
    assert compared(windows, windows).shape == (2 * 128 + 4, 2 * 500 + 4, 3)
    assert as_picture(windows[0]).shape == (43, 48)


# --- in words ------------------------------------------------------------------------------------


def test_it_is_said_how_every_epoch_went_and_how_it_ended() -> None:
    said: list[tuple[str, str, bool]] = []
    history = learn(Journal(note=lambda step, text, last=False: said.append((step, text, last))))
    assert [step for step, *_ in said] == ["training"] * 5
    assert [last for *_, last in said] == [False] * 4 + [True]
    loss, held = history.loss[1], history.validation_loss[1]
    assert said[1][1].startswith(
        f"epoch 2 of 4: loss {loss:.4g}, validation {held:.4g}, 97.1% kept"
    )
    assert said[1][1].endswith(" windows/s")
    assert f"97.1% of the windows kept; taken from epoch {history.best + 1}: " in said[4][1]


class Watched:
    """The console of somebody, or of a log, and a clock that is moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
        self.now_s = 0.0
        self.console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
        monkeypatch.setattr(console, "err", self.console)
        monkeypatch.setattr(console.time, "monotonic", lambda: self.now_s)

    @property
    def lines(self) -> list[str]:
        return self.console.file.getvalue().splitlines()  # type: ignore[attr-defined]

    def train(self, showing: console.Showing, epochs: int, epoch_s: float) -> None:
        for epoch in range(1, epochs + 1):
            self.now_s += epoch_s
            showing("training", epoch, epochs)
            showing.note("training", f"epoch {epoch}")
        showing.note("training", "over", last=True)


@pytest.mark.parametrize(
    ("epochs", "epoch_s", "lines"),
    [
        (20, 5, 20),  # a line for each epoch
        (400, 0.5, 20),  # many short ones: every twentieth
        (400, 0.005, 2),  # two seconds in all
        (10, 300, 10),
        (400, 40, 400),  # days: whoever looks sees that it lives
    ],
)
def test_in_the_log_of_a_job_a_line_tells_now_and_then(
    epochs: int, epoch_s: float, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch, terminal=False)
    with console.showing_progress() as showing:
        watched.train(showing, epochs, epoch_s)
    assert watched.lines[0] == "training: epoch 1"
    assert watched.lines[-1] == "training: over"
    assert len(watched.lines) == pytest.approx(lines + 1, abs=1)


def test_a_second_training_is_told_of_like_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, terminal=False)
    with console.showing_progress() as showing:
        watched.train(showing, 20, 5)
        before = len(watched.lines)
        watched.train(showing, 20, 5)
    assert len(watched.lines) == 2 * before


def test_other_processes_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, terminal=False)
    with console.showing_progress(silent=True) as showing:
        watched.train(showing, 20, 5)
        showing.remark("heard already")
    assert watched.lines == []


def test_whoever_watches_sees_a_bar_and_the_words_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched(monkeypatch, terminal=True)
    with console.showing_progress() as showing:
        showing("listening", 1, 2)
        watched.train(showing, 20, 5)
        showing.remark("wandb failed [28]")
    seen = watched.console.file.getvalue()  # type: ignore[attr-defined]
    assert "listening" in seen and "over" in seen and "wandb failed" in seen
