"""Pictures that are broken, huge, odd or made to do harm: said plainly, and the rest goes on."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raravis.errors import NothingToRead, RecordingError
from raravis.images import decoding, places
from raravis.sources.images import ImageSource


def pixels(height: int = 24, width: int = 32) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(form: str = "PNG", image: Image.Image | None = None, **options) -> bytes:
    held = io.BytesIO()
    (image or Image.fromarray(pixels())).save(held, form, **options)
    return held.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good pictures; tests add a third, "b", between them."""
    for name in ("a.png", "c.png"):
        (tmp_path / name).write_bytes(encoded())
    return tmp_path


def the_rest_goes_on(source: ImageSource) -> None:
    block = source.read(0, 0, 9)
    assert block.names == ["a.png", "c.png"] and len(block.windows) == 2
    for picture in block.pictures:
        np.testing.assert_allclose(picture, pixels().transpose(2, 0, 1) / 255, rtol=1e-6)


def bomb_png(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header names a vast picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + chunk(b"IDAT", zlib.compress(b"\0" * 64))
        + chunk(b"IEND", b"")
    )


BAD_FROM_THE_BEGINNING = {
    "empty": (b"", "is empty"),
    "text": (b"this is no picture" * 9, "is no JPEG, PNG or TIFF picture, or its header is broken"),
    "gif": (encoded("GIF"), "is no JPEG, PNG or TIFF picture"),
    "zeros": (b"\0" * 4096, "is no JPEG, PNG or TIFF picture"),
    "large": (bomb_png(9000, 9000), r"has 9,000 x 9,000 pixels, more than 80,000,000"),
    "larger": (bomb_png(9500, 9500), "is refused, it may be a bomb"),
    "huge": (bomb_png(100_000, 100_000), "is refused, it may be a bomb"),
}


@pytest.mark.parametrize("kind", BAD_FROM_THE_BEGINNING)
def test_what_is_no_picture_is_skipped_when_the_folder_is_opened(folder, kind):
    data, words = BAD_FROM_THE_BEGINNING[kind]
    (folder / "b.png").write_bytes(data)
    source = ImageSource(folder)
    assert [Path(skipped.path).name for skipped in source.skipped] == ["b.png"]
    with pytest.raises(RecordingError, match=words):
        ImageSource(folder, strict=True)
    the_rest_goes_on(source)
    assert len(source.skipped) == 1


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_a_picture_cut_off_is_skipped_when_it_is_read(folder, form):
    (folder / "b.png").write_bytes(encoded(form)[:-200] if form != "TIFF" else encoded(form)[:900])
    source = ImageSource(folder)
    the_rest_goes_on(source)
    assert len(source.skipped) == 1 and "b.png" in source.skipped[0].path
    the_rest_goes_on(source)
    assert len(source.skipped) == 1  # it is told of once


def test_windows_of_what_is_left_are_those_of_its_frames(folder):
    (folder / "b.png").write_bytes(encoded()[:-200])
    source = ImageSource(folder)
    block = source.read(0, 0, 3)
    assert block.windows.start_s.tolist() == [0, 2] and block.end_s == 3
    with pytest.raises(RecordingError, match="broken or cut-off picture"):
        source[1]
    with pytest.raises(RecordingError, match=r"b\.png"):
        ImageSource(folder, strict=True).read(0, 0, 3)


def test_a_broken_link_and_a_file_that_went_are_skipped(folder):
    (folder / "b.png").symlink_to(folder / "nowhere.png")
    source = ImageSource(folder)
    assert "No such file" in source.skipped[0].reason
    (folder / "c.png").unlink()
    assert source.read(0, 0, 2).names == ["a.png"]
    assert "No such file" in source.skipped[1].reason


def test_bytes_changed_at_random_never_break_more_than_their_picture(tmp_path):
    rng = np.random.default_rng(0)
    small = Image.fromarray(pixels(10, 12))
    originals = [encoded(form, small) for form in ("PNG", "JPEG", "TIFF")]
    originals.append(encoded("TIFF", small, compression="tiff_deflate"))
    for number in range(240):
        data = bytearray(originals[number % 4])
        for place in rng.integers(0, len(data), int(rng.integers(1, 8))):
            data[place] = int(rng.integers(0, 256))
        data = bytes(data[: int(rng.integers(1, len(data)))] if number % 5 == 0 else data)
        for try_it in (decoding.head, lambda d, n: decoding.decode(d, n, "colour", 64)):
            try:
                try_it(data, "changed")
            except RecordingError as error:
                assert error.path == "changed" and error.reason


# --- odd, but readable -----------------------------------------------------------------------


def image_of(mode: str) -> Image.Image:
    image = Image.fromarray(pixels())
    if mode == "P":
        return image.quantize(64)
    if mode == "PA":
        return image.quantize(64).convert("PA")
    return image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "form", "camera"),
    [
        ("P", "PNG", "colour"),
        ("CMYK", "JPEG", "colour"),
        ("CMYK", "TIFF", "colour"),
        ("YCbCr", "JPEG", "colour"),
        ("YCbCr", "TIFF", "colour"),
        ("LAB", "TIFF", "colour"),
        ("RGBA", "PNG", "colour"),
        ("RGBA", "TIFF", "colour"),
        ("L", "JPEG", "grey"),
        ("LA", "PNG", "grey"),
        ("1", "PNG", "grey"),
        ("1", "TIFF", "grey"),
        ("I;16", "PNG", "grey"),
        ("I", "TIFF", "grey"),
    ],
)
def test_every_mode_is_brought_to_grey_or_colour(tmp_path, mode, form, camera):
    image = image_of("L").convert(mode) if mode in ("I", "I;16") else image_of(mode)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (tmp_path / "a.png").write_bytes(encoded(form, image))
    source = ImageSource(tmp_path)
    assert source.cameras == (camera,) and source.skipped == []
    if not mode.startswith("I"):
        plain = image_of("L") if camera == "grey" else Image.fromarray(pixels())
        plain = image.convert("L") if mode == "1" else plain
        expected = np.atleast_3d(np.asarray(plain)).transpose(2, 0, 1) / 255
        near = 0.2 if mode in ("P", "CMYK", "YCbCr") else 0.03
        assert np.abs(source[0] - expected).mean() < near
    for wish, channels in (("colour", 3), ("grey", 1)):
        assert ImageSource(tmp_path, colour=wish)[0].shape == (channels, 24, 32)


def test_transparency_is_dropped_and_nothing_is_laid_below(tmp_path):
    clear = np.concatenate([pixels(), np.zeros((24, 32, 1), np.uint8)], axis=2)
    (tmp_path / "a.png").write_bytes(encoded("PNG", Image.fromarray(clear)))
    np.testing.assert_allclose(
        ImageSource(tmp_path)[0], pixels().transpose(2, 0, 1) / 255, rtol=1e-6
    )


def test_a_palette_of_greys_is_grey(tmp_path):
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    palette = ramp.copy()
    palette.putpalette([value for grey in range(256) for value in (grey, grey, grey)])
    (tmp_path / "a.png").write_bytes(encoded("PNG", palette))
    source = ImageSource(tmp_path)
    assert source.cameras == ("grey",)
    np.testing.assert_allclose(source[0][0], np.asarray(ramp) / 255, atol=0.005)


def test_a_palette_with_transparency_is_read(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded("PNG", image_of("P"), transparency=bytes(range(64))))
    assert ImageSource(tmp_path)[0].shape == (3, 24, 32)


def test_pictures_of_several_sizes_and_modes_are_given_out_as_they_are(tmp_path):
    for name, height, width in (("a", 10, 12), ("b", 20, 12), ("c", 10, 12)):
        image = Image.fromarray(pixels(height, width))
        (tmp_path / f"{name}.png").write_bytes(encoded("PNG", image))
    (tmp_path / "d.tif").write_bytes(encoded("TIFF", Image.fromarray(pixels()[..., 0])))
    source = ImageSource(tmp_path)
    assert source.size == (10, 12)
    shapes = [picture.shape for picture in source.read(0, 0, 4).pictures]
    assert shapes == [(3, 10, 12), (3, 20, 12), (3, 10, 12), (3, 24, 32)]


def test_float_pictures_must_say_what_they_hold(tmp_path):
    degrees = Image.fromarray(np.linspace(-20, 40, 48, dtype=np.float32).reshape(6, 8))
    (tmp_path / "a.tif").write_bytes(encoded("TIFF", degrees))
    source = ImageSource(tmp_path)
    with pytest.raises(RecordingError, match=r'values from -20 to 40.*set colour = "celsius"'):
        source[0]
    as_degrees = ImageSource(tmp_path, colour="celsius")
    assert as_degrees.cameras == ("celsius",)
    np.testing.assert_allclose(as_degrees[0][0], np.asarray(degrees))


def test_values_that_are_no_numbers_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.full((2, 4, 4), np.nan))
    with pytest.raises(RecordingError, match="values that are no finite numbers"):
        ImageSource(tmp_path)[0]


def test_only_the_first_page_of_a_stack_is_read_and_that_is_said(tmp_path):
    pages = [Image.fromarray(pixels()) for _ in range(3)]
    data = encoded("TIFF", pages[0], save_all=True, append_images=pages[1:])
    (tmp_path / "stack.tif").write_bytes(data)
    assert ImageSource(tmp_path).remarks == ["of stack.tif only the first page is read"]


# --- archives --------------------------------------------------------------------------------


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "name", ["../a.png", "/etc/a.png", "x/../../a.png", "..\\a.png", "C:\\a.png"]
)
def test_an_archive_whose_names_lead_out_of_it_is_refused(folder, name):
    zipped(folder / "bad.zip", {"good.png": encoded(), name: encoded()})
    source = ImageSource(folder)
    assert "leads out of the archive" in source.skipped[0].reason
    the_rest_goes_on(source)


def test_an_archive_that_would_unpack_to_absurd_sizes_is_refused(folder):
    zipped(folder / "bomb.zip", {"a.tif": b"\0" * (places.SMALL_BYTES + 1)})
    source = ImageSource(folder)
    assert "it may be a bomb" in source.skipped[0].reason
    the_rest_goes_on(source)


def test_an_archive_whose_members_overlap_is_refused(folder):
    path = zipped(folder / "bomb.zip", {f"{i}.png": encoded() for i in range(3)})
    data = path.read_bytes()
    directory = data.index(b"PK\x01\x02")
    entry = data[directory : data.index(b"PK\x01\x02", directory + 4)]
    end = data[data.index(b"PK\x05\x06") :]
    many = data[:directory] + entry * 9 + b"PK\x05\x06" + struct.pack(
        "<HHHHIIH", 0, 0, 9, 9, len(entry) * 9, directory, 0
    )  # fmt: skip
    assert len(end) == 22
    path.write_bytes(many)
    assert "members overlap" in ImageSource(folder).skipped[0].reason


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 and no more", b"x" * 500])
def test_what_is_no_archive_is_skipped(folder, data):
    for name in ("b.zip", "b.npz"):
        (folder / name).write_bytes(data)
    source = ImageSource(folder)
    assert {Path(one.path).name for one in source.skipped} == {"b.npz", "b.zip"}
    assert all("cannot be read from its archive" in one.reason for one in source.skipped)
    the_rest_goes_on(source)


def test_a_broken_member_is_skipped_alone(tmp_path):
    zipped(tmp_path / "all.zip", {"a.png": encoded(), "b.png": b"no picture", "c.png": encoded()})
    source = ImageSource(tmp_path)
    assert source.frames == [["a.png", "c.png"]]
    assert source.skipped[0].path.endswith("all.zip/b.png")


def test_an_encrypted_archive_is_skipped(folder):
    path = zipped(folder / "b.zip", {"a.png": encoded()})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    assert "is encrypted" in ImageSource(folder).skipped[0].reason


def test_arrays_that_hold_no_pictures_are_named(tmp_path):
    np.savez(tmp_path / "x.npz", table=np.zeros((4, 5)), ids=np.arange(7))
    with pytest.raises(NothingToRead, match=r"no array of pictures: .*table \(4, 5\) float64"):
        ImageSource(tmp_path)


def test_an_array_of_objects_is_not_unpacked(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.array([[["a", None, 3]]], dtype=object))
    with pytest.raises(NothingToRead, match="no array of pictures"):
        ImageSource(tmp_path)


def test_an_array_too_large_for_memory_is_refused_by_its_header(tmp_path):
    held = io.BytesIO()
    head = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000)}
    np.lib.format.write_array_header_1_0(held, head)
    zipped(tmp_path / "x.npz", {"x.npy": held.getvalue()})
    with pytest.raises(NothingToRead, match=r"x \(1000000, 1000, 1000\) needs more than"):
        ImageSource(tmp_path)


def test_an_array_cut_off_breaks_its_frames_and_no_more(folder):
    held = io.BytesIO()
    np.save(held, np.zeros((5, 4, 4, 3), dtype=np.uint8))
    zipped(folder / "x.npz", {"x.npy": held.getvalue()[:-20]})
    source = ImageSource(folder)
    assert [recording.name for recording in source.recordings] == [folder.name, "x.npz"]
    assert source.read(1, 0, 5).pictures == [] and len(source.skipped) == 1
    the_rest_goes_on(source)
