"""Pictures as recordings: formats, sizes, order and times, blocks, archives."""

from __future__ import annotations

import itertools
import pickle
import struct
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raravis import sources
from raravis.errors import DataError, NothingToRead, ParameterError
from raravis.images.decoding import reduced, resized
from raravis.images.frame_times import exif_time, natural, spread_out, usual_interval
from raravis.images.synthesis import BEGINS, GUESTS, make_sky
from raravis.senses.images import ImageSense
from raravis.sources.images import ImageSource
from real_data import real_data


def colours(height: int = 6, width: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(folder: Path, name: str, pixels: np.ndarray | None = None, **options) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colours() if pixels is None else pixels).save(path, **options)
    return path


def test_a_folder_is_a_recording_and_its_pictures_are_frames(tmp_path):
    for place in ("north/b.png", "north/a.png", "south/c.png"):
        save(tmp_path, place)
    source = ImageSource(tmp_path)
    assert [recording.name for recording in source.recordings] == ["north", "south"]
    assert source.frames == [["a.png", "b.png"], ["c.png"]]
    assert (len(source), source.channels, source.size) == (3, 3, (6, 8))
    assert [recording.duration_s for recording in source.recordings] == [2.0, 1.0]
    assert source.windows.start_s.tolist() == [0, 1, 0]
    assert source.skipped == [] and source.remarks == []


def test_a_folder_named_itself_gives_the_recording_its_name(tmp_path):
    save(tmp_path / "frames", "a.png")
    assert ImageSource(tmp_path / "frames").recordings[0].name == "frames"


def test_two_folders_of_one_name_stay_apart(tmp_path):
    for place in ("a/day/1.png", "b/day/1.png"):
        save(tmp_path, place)
    source = ImageSource([tmp_path / "a/day", tmp_path / "b/day"])
    assert [recording.name for recording in source.recordings] == ["a/day", "b/day"]


def test_a_picture_is_what_its_pixels_are(tmp_path):
    save(tmp_path, "a.png", colours())
    expected = colours().transpose(2, 0, 1) / np.float32(255)
    picture = ImageSource(tmp_path)[0]
    assert picture.dtype == np.float32
    np.testing.assert_allclose(picture, expected, rtol=1e-6)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".jpg"])
@pytest.mark.parametrize("grey", [True, False])
def test_every_format_is_read(tmp_path, suffix, grey):
    ramp = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (16, 1))
    save(tmp_path, "a" + suffix, ramp if grey else np.stack([ramp] * 3, axis=-1))
    source = ImageSource(tmp_path)
    assert source.cameras == ("grey" if grey else "colour",)
    assert source[0].shape == (source.channels, 16, 32)
    np.testing.assert_allclose(source[0][0], ramp / 255, atol=0.02)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_lie_in_unit_range(tmp_path, suffix):
    values = np.array([[0, 1, 32768], [65535, 255, 256]], dtype=np.uint16)
    save(tmp_path, "deep" + suffix, values)
    np.testing.assert_allclose(ImageSource(tmp_path)[0][0], values / 65535, rtol=1e-6)


def test_grey_becomes_colour_and_colour_grey_as_most_are(tmp_path):
    for name in ("a.png", "b.png"):
        save(tmp_path, name, colours())
    save(tmp_path, "c.png", np.full((6, 8), 51, dtype=np.uint8))
    source = ImageSource(tmp_path)
    assert source.cameras == ("colour",)
    np.testing.assert_allclose(source[2], 0.2, rtol=1e-6)
    grey = ImageSource(tmp_path, colour="grey")
    luma = colours() @ np.array([0.299, 0.587, 0.114]) / 255
    assert grey[0].shape == (1, 6, 8)
    np.testing.assert_allclose(grey[0][0], luma, atol=0.003)


def test_larger_pictures_are_averaged_over_areas(tmp_path):
    blocks = np.kron(np.array([[10, 200], [60, 120]], dtype=np.uint8), np.ones((20, 20), np.uint8))
    save(tmp_path, "a.png", blocks)
    source = ImageSource(tmp_path, longest=8)
    assert source.size == (8, 8) == source[0].shape[1:]
    expected = np.kron(np.array([[10, 200], [60, 120]]), np.ones((4, 4))) / 255
    np.testing.assert_allclose(source[0][0], expected, rtol=1e-6)
    assert reduced((6144, 2048), 512) == (512, 171)
    assert reduced((5000, 2), 8) == (8, 1)


def test_a_large_jpeg_is_reduced_as_a_png_is(tmp_path):
    rows, columns = np.mgrid[0:600, 0:900]
    smooth = (127 + 60 * np.sin(rows / 90) + 60 * np.cos(columns / 120)).astype(np.uint8)
    save(tmp_path / "j", "a.jpg", smooth, quality=98)
    save(tmp_path / "p", "a.png", smooth)
    jpeg, png = (ImageSource(tmp_path / name, longest=90)[0] for name in "jp")
    assert jpeg.shape == png.shape == (1, 60, 90)
    np.testing.assert_allclose(jpeg, png, atol=0.02)


def test_resizing_keeps_the_mean_and_a_constant():
    picture = np.random.default_rng(0).random((2, 12, 18)).astype(np.float32)
    np.testing.assert_allclose(resized(picture, 4, 6).mean(axis=(1, 2)), picture.mean(axis=(1, 2)),
                               rtol=1e-5)  # fmt: skip
    np.testing.assert_allclose(resized(np.full((1, 5, 4), 3.5), 7, 9), 3.5, rtol=1e-6)
    by_hand = picture.reshape(2, 4, 3, 6, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(resized(picture, 4, 6), by_hand, rtol=1e-5)


@pytest.mark.parametrize("longest", [512, 8])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_camera_was_held(tmp_path, orientation, longest):
    upright = np.kron(
        np.arange(0, 240, 20, dtype=np.uint8).reshape(4, 3), np.ones((4, 4), np.uint8)
    )
    turn = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
            5: lambda a: a.T, 6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a.T, 2),
            8: lambda a: np.rot90(a, -1)}[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path, "a.png", np.ascontiguousarray(turn(upright)), exif=exif)
    source = ImageSource(tmp_path, longest=longest)
    expected = upright if longest == 512 else upright[::2, ::2]
    assert source.size == expected.shape == source[0].shape[1:]
    np.testing.assert_allclose(source[0][0], expected / 255, atol=1e-6)


# --- times -----------------------------------------------------------------------------------


def test_names_tell_the_time_and_put_frames_in_order(tmp_path):
    for minute in (10, 0, 5, 60 - 30):
        save(tmp_path, f"z{100 - minute}_20260501_06{minute:02d}00.jpg")
    source = ImageSource(tmp_path, timezone="+02:00")
    assert source.recordings[0].start_time == datetime(2026, 5, 1, 4, tzinfo=UTC)
    assert source.windows.start_s.tolist() == [0, 300, 600, 1800]
    assert source.windows.end_s.tolist() == [300, 600, 900, 2100]  # the usual interval is 300
    assert source.interval_s == 300
    assert source.recordings[0].duration_s == 2100


def test_names_of_nanoseconds_are_read(tmp_path):
    save(tmp_path, "1682899200123456789_6144x2048.jpg")
    assert ImageSource(tmp_path).recordings[0].start_time == datetime(
        2023, 5, 1, 0, 0, 0, 123456, tzinfo=UTC
    )


def test_exif_tells_the_time_where_names_do_not(tmp_path):
    for number, clock in enumerate(("12:00:10", "12:00:00", "12:00:20")):
        exif = Image.Exif()
        exif.get_ifd(0x8769).update({0x9003: f"2024:02:03 {clock}", 0x9011: "+01:00"})
        save(tmp_path, f"IMG_{number}.jpg", exif=exif)
    source = ImageSource(tmp_path)
    assert source.frames == [["IMG_1.jpg", "IMG_0.jpg", "IMG_2.jpg"]]
    assert source.recordings[0].start_time == datetime(2024, 2, 3, 11, tzinfo=UTC)


def test_one_frame_without_a_time_leaves_all_of_them_counted(tmp_path):
    for name in ("20260501_060000.png", "20260501_070000.png", "last.png"):
        save(tmp_path, name)
    source = ImageSource(tmp_path)
    assert source.recordings[0].start_time is None
    assert source.windows.start_s.tolist() == [0, 1, 2]


def test_eight_digits_are_a_number_and_no_time(tmp_path):
    save(tmp_path, "66000000.png")
    assert ImageSource(tmp_path).recordings[0].start_time is None


def test_numbers_in_names_count_as_numbers():
    names = ["frame10.png", "frame9.png", "Frame1.png", "a2b10.png", "a2b9.png"]
    assert sorted(names, key=natural) == [
        "a2b9.png", "a2b10.png", "Frame1.png", "frame9.png", "frame10.png"
    ]  # fmt: skip


def test_exif_times_by_hand():
    assert exif_time("2021:05:01 04:45:05.25-07:00", UTC) == datetime(
        2021, 5, 1, 11, 45, 5, 250000, tzinfo=UTC
    )
    assert exif_time("2021:13:01 04:45:05", UTC) is None
    assert exif_time("0000:00:00 00:00:00", UTC) is None


def test_frames_of_the_same_second_are_laid_out_in_it(tmp_path):
    for number in range(4):
        save(tmp_path, f"20260501_060000_{number}.png")
    save(tmp_path, "20260501_060001_0.png")
    source = ImageSource(tmp_path)
    assert source.windows.start_s.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert "4 frames have the same time as another" in source.remarks[0]
    moments = [datetime(2026, 1, 1, tzinfo=UTC)] * 2 + [datetime(2026, 1, 2, tzinfo=UTC)] * 2
    assert spread_out(moments)[0].tolist() == [0, 0.5, 86400, 86400.5]


def test_a_short_recording_takes_the_interval_of_all():
    many, few = np.arange(20.0) * 10, np.array([0.0, 5000.0])
    assert usual_interval([many, few], 0) == usual_interval([many, few], 1) == 10
    assert usual_interval([]) == usual_interval([np.zeros(1)], 0) == 1


# --- reading ---------------------------------------------------------------------------------


def test_blocks_hold_every_frame_once_and_end_where_the_next_begins(tmp_path):
    for minute in range(7):
        save(tmp_path, f"20260501_06{minute:02d}00.png", colours(seed=minute))
    source = ImageSource(tmp_path)
    blocks = list(source.blocks(0, length=3))
    assert [len(block.pictures) for block in blocks] == [3, 3, 1]
    assert [block.end_s for block in blocks] == [180, 360, 420]
    assert [name for block in blocks for name in block.names] == source.frames[0]
    np.testing.assert_array_equal(blocks[1].pictures[2], source[5])
    again = [block.names for block in source.blocks(0, blocks[0].end_s, length=3)]
    assert again == [block.names for block in blocks[1:]]
    assert list(source.blocks(0, 420.0)) == []


def test_a_part_reads_the_same_and_travels(tmp_path):
    for name in ("a/1.png", "b/1.png", "b/2.png"):
        save(tmp_path, name, colours(seed=len(name)))
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.write(tmp_path / "a/1.png", "1.png")
    source = ImageSource(tmp_path)
    assert source[3].shape == (3, 6, 8)  # the archive is open now
    part = pickle.loads(pickle.dumps(source.part([1, 2])))
    assert [recording.name for recording in part.recordings] == ["b", "c.zip"]
    np.testing.assert_array_equal(part[0], source[1])
    np.testing.assert_array_equal(part[2], source[3])


def test_windows_count_from_the_end_too(tmp_path):
    for number in range(2):
        save(tmp_path, f"{number}.png", colours(seed=number))
    source = ImageSource(tmp_path)
    np.testing.assert_array_equal(source[-1], source[1])
    with pytest.raises(IndexError, match="frame 2 of 2"):
        source[2]


# --- archives and arrays ---------------------------------------------------------------------


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_each_folder_of_a_zip_is_a_recording(tmp_path, packing):
    plain = save(tmp_path / "plain", "x.png")
    with zipfile.ZipFile(tmp_path / "all.zip", "w", packing) as archive:
        for name in ("dog/2.png", "dog/10.png", "cat/1.png", "top.png", "__MACOSX/dog/._2.png"):
            archive.write(plain, name)
        archive.writestr("read.me", "nothing to see")
    source = ImageSource(tmp_path / "all.zip")
    assert [recording.name for recording in source.recordings] == [
        "all.zip", "all.zip/cat", "all.zip/dog"
    ]  # fmt: skip
    assert source.frames[2] == ["2.png", "10.png"]
    np.testing.assert_allclose(source[0], colours().transpose(2, 0, 1) / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1), (np.float64, 1)]
)
@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
def test_the_largest_array_of_an_npz_is_a_recording(tmp_path, dtype, top, channels):
    x = (np.random.default_rng(0).random((5, 4, 6, *channels)) * top).astype(dtype)
    np.savez(tmp_path / "set.npz", x=x, few=x[:2], y=np.arange(5))
    source = ImageSource(tmp_path / "set.npz")
    assert source.cameras == ("colour" if channels in [(3,), (4,)] else "grey",)
    assert source.frames[0][:2] == ["x[0]", "x[1]"] and len(source) == 5
    expected = (x[2][None] if not channels else x[2][..., :3].transpose(2, 0, 1)) / top
    np.testing.assert_allclose(source[2], expected, rtol=1e-5)


def test_another_array_can_be_named(tmp_path):
    x = np.zeros((5, 4, 6), dtype=np.uint8)
    np.savez_compressed(tmp_path / "set.npz", x_train=x, x_test=x[:3] + 255)
    source = ImageSource(tmp_path / "set.npz", array="x_test")
    assert len(source) == 3 and source[0].min() == 1
    with pytest.raises(
        NothingToRead, match=r"no array of pictures called 'z'.*x_train \(5, 4, 6\)"
    ):
        ImageSource(tmp_path / "set.npz", array="z")


def test_only_some_files_can_be_taken(tmp_path):
    save(tmp_path, "tile.jpg")
    save(tmp_path, "tile.png")
    assert ImageSource(tmp_path, only="*.jpg").frames == [["tile.jpg"]]


def test_frames_side_by_side_are_two_cameras(tmp_path):
    left, right = colours(10, 12, seed=1), colours(10, 12, seed=2)
    save(tmp_path, "a.png", np.concatenate([left, right], axis=1))
    both = ImageSource(tmp_path, layout="side-by-side")
    assert both.cameras == ("colour", "grey")
    assert (both.channels, both.split, both.size) == (4, 3, (10, 12))
    np.testing.assert_allclose(both[0][:3], left.transpose(2, 0, 1) / 255, rtol=1e-6)
    luma = right @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(both[0][3], luma, atol=1e-3)
    np.testing.assert_array_equal(ImageSource(tmp_path, layout="left")[0], both[0][:3])
    np.testing.assert_array_equal(ImageSource(tmp_path, layout="right")[0], both[0][3:])
    third = ImageSource(tmp_path, layout="side-by-side", share=0.25)
    assert third[0].shape == (4, 10, 6)


def test_the_longest_side_is_that_of_one_camera(tmp_path):
    save(tmp_path, "a.png", np.zeros((40, 160, 3), dtype=np.uint8))
    assert ImageSource(tmp_path, layout="side-by-side", longest=20)[0].shape == (4, 10, 20)


def test_a_camera_that_sees_grey_at_night_is_still_the_one_that_was_learned_from(tmp_path):
    save(tmp_path, "night.png", colours()[..., 0])
    assert ImageSource(tmp_path).cameras == ("grey",)
    learned = {"cameras": ["colour"], "size": [6, 8]}
    assert ImageSense(form=learned).open(tmp_path).cameras == ("colour",)
    with pytest.raises(NothingToRead, match="pictures left out; for them, set colour"):
        ImageSense(form={**learned, "cameras": ["celsius"]}).open(tmp_path)


def test_colour_of_sixteen_bits_is_read_with_eight(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    values = np.random.default_rng(0).integers(0, 65536, (6, 8, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    head = struct.pack(">IIBBBBB", 8, 6, 16, 2, 0, 0, 0)
    (tmp_path / "deep.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )  # fmt: skip
    np.testing.assert_allclose(
        ImageSource(tmp_path)[0], values.transpose(2, 0, 1) / 65535, atol=1 / 255
    )


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"longest": 4}, "longest must be at least 8 pixels, got 4"),
        ({"colour": "red"}, "colour must be one of auto, colour, grey, celsius, got 'red'"),
        ({"layout": "above"}, "layout must be one of single, side-by-side, left, right, got"),
        ({"share": 1.0}, r"share must be in \(0, 1\), got 1.0"),
        ({"timezone": "Mars"}, "timezone 'Mars' is unknown"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, options, words):
    save(tmp_path, "a.png")
    with pytest.raises(ParameterError, match=words):
        ImageSource(tmp_path, **options)


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        ImageSource(tmp_path / "none")
    with pytest.raises(NothingToRead, match=r"no pictures to read in .*looked for \.jpg"):
        ImageSource(tmp_path)


# --- the sky made from nothing ---------------------------------------------------------------


def test_the_sky_is_the_same_for_the_same_seed_and_holds_every_guest(tmp_path):
    guests = make_sky(tmp_path / "a", 40, seed=3)
    assert make_sky(tmp_path / "b", 40, seed=3) == guests
    assert {guest.label for guest in guests} == set(GUESTS)
    assert all(16 <= guest.first_frame <= guest.last_frame < 40 for guest in guests)
    ends = [(guest.first_frame, guest.last_frame) for guest in guests]
    assert all(a[1] < b[0] for a, b in itertools.pairwise(ends))
    for name in ("optical/20260501_060000.jpg", "thermal/20260501_060002.thermal.celsius.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    source = sources.create("pairs", paths=[tmp_path / "a/optical", tmp_path / "a/thermal"])
    assert source.cameras == ("colour", "celsius") and len(source) == 40
    assert source.recordings[0].start_time == BEGINS
    for guest in guests:
        assert source.windows.start_s[guest.first_frame] == guest.start_s
        assert source.windows.end_s[guest.last_frame] == guest.end_s
    hot = next(guest for guest in guests if guest.label == "hot object")
    assert source[hot.first_frame][3].max() > 50 > source[0][3].max()
    with pytest.raises(ParameterError, match="frames must be at least 40, got 3"):
        make_sky(tmp_path, 3)


# --- real pictures ---------------------------------------------------------------------------

REAL = [
    ("cifar10", {}, 6500, 20, ("colour",), (32, 32)),
    ("fashion_mnist", {}, 20000, 1, ("grey",), (28, 28)),
    ("fashion_mnist", {"array": "x_test"}, 5000, 1, ("grey",), (28, 28)),
    ("mnist", {}, 7000, 1, ("grey",), (28, 28)),
    ("magnetic_tile", {"only": "*.jpg"}, 339, 6, ("grey",), None),
    ("neon_phenocam", {}, 8, 2, ("colour",), (379, 512)),
    ("rgb_thermal_road_surface", {}, 16, 16, ("colour",), (360, 240)),
    ("rgb_thermal_roadscene", {}, 286, 2, ("colour",), None),
    ("sky_hyta", {}, 57, 3, ("grey",), None),
    ("sky_wsiseg", {"longest": 64}, 196, 2, None, (60, 64)),
    ("thermal_celsius", {"colour": "celsius"}, 5, 1, ("celsius",), (384, 512)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options", "frames", "recordings", "cameras", "size"), REAL)
def test_every_real_set_is_read(name, options, frames, recordings, cameras, size):
    source = ImageSource(real_data() / "images" / name, **options)
    assert (len(source), len(source.recordings)) == (frames, recordings)
    assert cameras in (None, source.cameras) and size in (None, source.size)
    for recording in range(recordings):
        block = next(source.blocks(recording, length=5))
        assert len(block.pictures) == min(5, len(source.frames[recording]))
        for picture in block.pictures:
            assert picture.shape[0] == source.channels and np.isfinite(picture).all()
            assert source.cameras == ("celsius",) or (picture.min() >= 0 and picture.max() <= 1)
    assert source.skipped == []
    if name == "neon_phenocam":
        assert source.recordings[0].start_time == datetime(2021, 5, 1, 4, 45, 5, tzinfo=UTC)
