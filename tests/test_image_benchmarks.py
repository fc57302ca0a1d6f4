"""The measuring of pictures, on made ones: what is learned from, judged and counted."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from raravis.benchmarks import images_one_class, images_tiles
from raravis.errors import DataError, ParameterError


def made_tile(random, height=72, width=80):
    return np.clip(0.5 + 0.1 * random.standard_normal((height, width)), 0, 1)


def save(pixels, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((255 * pixels).astype(np.uint8)).save(path)


@pytest.fixture
def tiles(tmp_path):
    """Eight normal tiles, some seen twice, and two of each defect, with their masks."""
    random = np.random.default_rng(0)
    root = tmp_path / "images" / "magnetic_tile"
    for number in range(8):
        for exposure in range(1 + number % 2):
            name = f"exp{exposure}_num_{number}.jpg"
            save(made_tile(random), root / "MT_Free" / name)
    for kind in images_tiles.DEFECTS:
        for number in (100, 101):
            pixels, mask = made_tile(random), np.zeros((72, 80))
            mask[20:36, 30:50] = 1
            path = root / f"MT_{kind}" / f"exp1_num_{number}.jpg"
            save(np.where(mask > 0, 0.0, pixels), path)
            save(mask, path.with_suffix(".png"))
    return tmp_path


def test_exposures_of_a_tile_stay_together(tiles):
    normal = sorted((tiles / "images" / "magnetic_tile" / "MT_Free").glob("*.jpg"))
    learned, fresh = images_tiles.halves(normal, seed=3)
    assert sorted([*learned, *fresh]) == normal
    numbers = [{path.stem.rpartition("_")[2] for path in half} for half in (learned, fresh)]
    assert [len(half) for half in numbers] == [4, 4]
    assert not numbers[0] & numbers[1]


def test_holes_in_made_tiles_are_found_and_chance_finds_nothing(tiles, monkeypatch):
    monkeypatch.setattr(images_tiles, "EPOCHS", 1)
    monkeypatch.setattr(images_tiles, "ROUNDS", 10)
    rows = {row["method"]: row for row in images_tiles.run(tiles, seeds=(0, 1))}
    assert {"default", "patches", "within", "whole", "conv-ae reconstruction"} <= set(rows)
    assert rows["patches"]["image AUROC"] == 1
    assert rows["default"]["pixel AUROC"] > 0.8
    assert 0.3 < rows["default"]["pixel PRO"] <= 1
    assert rows["default"]["seeds"] == 2
    assert rows["random"]["image AUROC"] < 0.9
    assert rows["default"]["from"] <= rows["default"]["image AUROC"] <= rows["default"]["to"]


def test_pixels_are_counted_by_hand():
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:4, 2:4] = True
    perfect = images_tiles.pixel_figures([mask], [mask.astype(float)])
    assert perfect == {"pixel AUROC": 1.0, "pixel PRO": 1.0}
    blind = images_tiles.pixel_figures([mask], [1 - mask.astype(float)])
    assert blind == {"pixel AUROC": 0.0, "pixel PRO": 0.0}


@pytest.fixture
def classes(tmp_path):
    """Two archives in the form of CIFAR-10 whose classes differ in colour, and Fashion-MNIST whose
    classes differ in the place of a bar."""
    random = np.random.default_rng(0)
    folder = tmp_path / "images" / "cifar10"
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        with zipfile.ZipFile(folder / f"{part}.zip", "w") as archive:
            for kind in range(10):
                for number in range(8):
                    pixels = random.uniform(0, 60, (32, 32, 3))
                    pixels[..., kind % 3] += 15 * kind
                    written = io.BytesIO()
                    Image.fromarray(pixels.astype(np.uint8)).save(written, format="JPEG")
                    archive.writestr(f"kind{kind}/{number}.jpg", written.getvalue())
    kinds = np.repeat(np.arange(10), 8)
    bars = random.uniform(0, 60, (80, 28, 28)).astype(np.uint8)
    for picture, kind in zip(bars, kinds, strict=True):
        picture[2 * kind : 2 * kind + 4] = 200
    (tmp_path / "images" / "fashion_mnist").mkdir()
    np.savez(
        tmp_path / "images" / "fashion_mnist" / "fashion_mnist.npz",
        x_train=bars, y_train=kinds, x_test=bars[::-1], y_test=kinds[::-1],
    )  # fmt: skip
    return tmp_path


def test_each_class_in_turn_is_told_from_the_others(classes, monkeypatch):
    monkeypatch.setattr(images_one_class, "STEPS", 2)
    monkeypatch.setattr(images_one_class, "CLASSES", 3)
    rows = images_one_class.run(classes, seeds=(0, 1), learned=8, tested=60)
    found = {(row["data"], row["method"]): row for row in rows}
    assert {data for data, _ in found} == {"cifar", "fashion"}
    assert found["fashion", "default"]["AUROC"] > 0.95
    assert 0.3 < found["cifar", "random"]["AUROC"] < 0.7
    for row in rows:
        assert row["from"] <= row["AUROC"] <= row["to"]
        assert row["lowest class"] <= row["AUROC"]
    methods = {method for _, method in found}
    assert {"default", "Deep SVDD", "conv-ae reconstruction", "kNN of pixels"} <= methods


def test_deep_svdd_learns_to_come_close_to_its_centre(monkeypatch):
    random = np.random.default_rng(0)
    known = random.random((64, 1, 28, 28)).astype(np.float32)
    known[:, :, 8:12] = 1
    strange = random.random((64, 1, 28, 28)).astype(np.float32)
    strange[:, :, :, 8:12] = 1
    monkeypatch.setattr(images_one_class, "STEPS", 10)
    near = images_one_class.deep_svdd(known, known, seed=0)["Deep SVDD"]
    far = images_one_class.deep_svdd(known, strange, seed=0)["Deep SVDD"]
    assert np.median(far) > np.median(near)


def test_missing_pictures_are_named(tmp_path):
    with pytest.raises(DataError, match="expected magnetic tiles in"):
        images_tiles.run(tmp_path)
    with pytest.raises(DataError, match="expected CIFAR-10 in"):
        images_one_class.run(tmp_path)
    with pytest.raises(DataError, match="expected Fashion-MNIST in"):
        images_one_class.run(tmp_path, parts=["fashion"])
    with pytest.raises(ParameterError, match="parts must be of cifar, fashion, got tiles"):
        images_one_class.run(tmp_path, parts=["tiles"])
