"""Pictures of two cameras joined by time, position or name, and laid on each other."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raravis.errors import DataError, ParameterError, RecordingError
from raravis.images import thermal
from raravis.images.cropping import crop_of, cut, cut_size
from raravis.images.joining import Shot, by_name, by_position, nearest
from raravis.sources.pairs import PairSource
from real_data import real_data


def optical(folder: Path, name: str, height: int = 8, width: int = 12, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name)


def warm(folder: Path, name: str, height: int = 4, width: int = 6, celsius: float = 10.0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    thermal.write(folder / name, np.full((height, width), celsius))


@pytest.fixture
def sky(tmp_path: Path) -> list[Path]:
    """Five optical frames a minute apart, and four thermal ones three seconds later."""
    for minute in range(5):
        optical(tmp_path / "eye", f"20260501_06{minute:02d}00.png", seed=minute)
        if minute != 2:
            name = f"20260501_06{minute:02d}03.thermal.celsius.csv"
            warm(tmp_path / "heat", name, celsius=minute)
    return [tmp_path / "eye", tmp_path / "heat"]


def test_two_cameras_are_joined_by_time_and_laid_on_each_other(sky):
    source = PairSource(sky)
    assert source.cameras == ("colour", "celsius")
    assert (source.channels, source.split, source.size) == (4, 3, (4, 6))
    assert source.joined_by == "time" and len(source) == 4
    assert source.frames[0][2] == "20260501_060300.png"
    assert source.windows.start_s.tolist() == [0, 60, 180, 240]
    assert source.windows.end_s.tolist() == [60, 120, 240, 300]
    assert [source[i][3].mean() for i in range(4)] == [0, 1, 3, 4]
    pixels = np.asarray(Image.open(sky[0] / "20260501_060100.png"), dtype=np.float64) / 255
    by_hand = pixels.reshape(4, 2, 6, 2, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    np.testing.assert_allclose(source[1][:3], by_hand, atol=0.003)


def test_what_has_no_partner_is_remarked_and_counted(sky):
    source = PairSource(sky)
    assert source.remarks == ["1 of 5 frames in eye have no partner: 20260501_060200.png"]
    assert source.skipped == []


def test_the_consistency_report_tells_pairs_times_sizes_and_values(sky):
    lines = PairSource(sky).consistency()
    assert lines[:2] == ["4 pairs, joined by time", "times apart: median 3 s, most 3 s"]
    assert lines[2].startswith("camera 1: colour, 12 x 8, 0")
    assert lines[3] == "camera 2: celsius, 6 x 4, 0 to 4 in 4 pairs"


def test_blocks_go_on_where_they_were_left(sky):
    source = PairSource(sky)
    blocks = list(source.blocks(0, length=3))
    assert [len(block.names) for block in blocks] == [3, 1]
    assert [block.end_s for block in blocks] == [240, 300]
    assert [block.names for block in source.blocks(0, 240.0)] == [blocks[1].names]


def test_a_part_reads_the_same_and_travels(sky):
    source = PairSource(sky)
    part = pickle.loads(pickle.dumps(source.part([0])))
    np.testing.assert_array_equal(part[3], source[3])
    assert part.skipped == part.remarks == [] and len(part.recordings) == 1


def test_a_broken_half_takes_its_pair_with_it_and_the_rest_goes_on(sky):
    broken = sky[1] / "20260501_060103.thermal.celsius.csv"
    broken.write_text(broken.read_text().replace("1.00;1.00", "1.00", 1))
    source = PairSource(sky)
    block = source.read(0, 0, 9)
    assert len(block.names) == len(block.windows) == 3
    assert [Path(skipped.path).name for skipped in source.skipped] == [broken.name]
    with pytest.raises(RecordingError, match="it or its partner is broken"):
        source[1]
    assert source.consistency()[-1] == "camera 2: celsius, 6 x 4, 0 to 4 in 3 pairs"
    part = source.part([0])
    part.read(0, 0, 9)
    assert len(part.skipped) == 1 and len(source.skipped) == 1


def test_a_tolerance_can_be_asked_for(sky):
    with pytest.raises(
        DataError, match=r"no frame .* \(5 in .*eye and 4 in .*heat\): .*time within"
    ):
        PairSource(sky, join="time", tolerance_s=2)
    assert len(PairSource(sky, join="time", tolerance_s=3)) == 4


def test_an_offset_of_the_second_camera_is_taken_off(sky):
    assert len(PairSource(sky, tolerance_s=0.5, offset_s=3)) == 4


def test_one_camera_now_and_later(sky):
    source = PairSource([sky[0], sky[0]], offset_s=120)
    assert source.cameras == ("colour", "colour") and len(source) == 3
    alone = PairSource(sky[0], offset_s=120)
    for number in range(3):
        later = np.asarray(Image.open(sky[0] / f"20260501_060{number + 2}00.png")) / 255
        np.testing.assert_allclose(source[number][3:], later.transpose(2, 0, 1), atol=1e-6)
        np.testing.assert_array_equal(source[number], alone[number])


def test_now_and_later_without_a_clock_is_counted_in_each_recording(tmp_path):
    for folder in "ab":
        for number in range(4):
            optical(tmp_path / folder, f"frame{number}.png", seed=number)
    source = PairSource(tmp_path, offset_s=3)
    assert [recording.name for recording in source.recordings] == ["a", "b"]
    assert source.frames == [["frame0.png"], ["frame0.png"]]


# --- joining ---------------------------------------------------------------------------------


def test_nearest_by_hand():
    # 10 and 11 both want 10.4; 10.4 is nearer to 10. Then 11 takes 12, and 30 finds none.
    assert nearest(np.array([10.0, 11, 30]), np.array([12.0, 10.4]), 2) == [(0, 1), (1, 0)]
    assert nearest(np.array([10.0]), np.array([12.0]), 1.9) == []
    assert nearest(np.array([10.0]), np.array([9.0, 11.0]), 5) == [(0, 0)]  # as near: the first
    assert nearest(np.array([]), np.array([1.0]), 5) == []


def naive_nearest(first: np.ndarray, second: np.ndarray, tolerance_s: float) -> list:
    """Takes the nearest pair of all that are left, until none is near enough."""
    left, right, pairs = set(range(len(first))), set(range(len(second))), []
    while left and right:
        i, j = min(
            ((i, j) for i in left for j in right), key=lambda p: abs(first[p[0]] - second[p[1]])
        )
        if abs(first[i] - second[j]) > tolerance_s:
            break
        pairs.append((i, j))
        left.remove(i)
        right.remove(j)
    return sorted(pairs)


@pytest.mark.parametrize("seed", range(8))
def test_nearest_is_what_a_slow_search_finds(seed):
    rng = np.random.default_rng(seed)
    first, second = (rng.uniform(0, 200, size) for size in rng.integers(3, 40, 2))
    assert nearest(first, second, 6.0) == naive_nearest(first, second, 6.0)


def shots(*names: str, every_s: float | None = None, recording: str = "r") -> list[Shot]:
    return [
        Shot(recording, name, number * (every_s or 1.0), every_s is not None)
        for number, name in enumerate(names)
    ]


def test_positions_are_joined_to_the_nearest_of_the_same_position():
    first = shots("a_position1.jpg", "a_position5.jpg", "b_position1.jpg", every_s=60)
    second = shots("x_position5.csv", "y_position1.csv", "z_position1.csv", every_s=60)
    assert by_position(first, second, 61) == [(0, 1), (1, 0), (2, 2)]
    assert by_position(first, second, 10) == [(2, 2)]


def test_positions_without_dates_are_joined_where_they_occur_once():
    first = shots("a_position1.jpg", "a_position5.jpg", "a_position5b.jpg", "none.jpg")
    second = shots("x_position5.csv", "x_position1.csv", "none.csv")
    assert by_position(first, second, 1) == [(0, 1)]
    elsewhere = shots("x_position1.csv", recording="other")
    assert by_position(first, elsewhere, 1) == [(0, 0)]


def test_names_are_joined_without_words_for_cameras():
    first = shots("0123_6144x2048.rgb.jpg", "0124_rgb.jpg", "lonely.jpg")
    second = shots("0124_thermal_celsius.csv.gz", "0123_right_336x252_14bit.thermal.celsius.csv")
    assert by_name(first, second) == [(0, 1), (1, 0)]


def test_names_that_occur_in_several_recordings_need_the_same_recording():
    first = shots("1.png", recording="dry") + shots("1.png", recording="wet")
    second = shots("1.png", recording="wet") + shots("1.png", recording="dry")
    assert by_name(first, second) == [(0, 1), (1, 0)]
    others = shots("1.png", recording="snow")
    assert by_name(first, others) == []  # which of the two?
    assert by_name(first[:1], others) == [(0, 0)]


def test_the_way_to_join_is_the_first_that_both_sides_know(tmp_path):
    for position in (1, 5, 9):
        optical(tmp_path / "a", f"scan_position{position}.png")
        warm(tmp_path / "b", f"night_position{position}.celsius.csv", celsius=position)
    source = PairSource([tmp_path / "a", tmp_path / "b"])
    assert source.joined_by == "position"
    assert [float(source[i][3].mean()) for i in range(3)] == [1, 5, 9]


# --- field of view ---------------------------------------------------------------------------


def test_a_field_of_view_is_cut_out(sky):
    source = PairSource(sky, crop_1="0.25,0,0.75,1")
    pixels = np.asarray(Image.open(sky[0] / "20260501_060000.png"), dtype=np.float32) / 255
    kept = pixels[:, 3:9].transpose(2, 0, 1)  # (3, 8, 6), more pixels than the thermal (4, 6)
    by_hand = kept.reshape(3, 4, 2, 6).mean(axis=2)
    np.testing.assert_allclose(source[0][:3], by_hand, atol=1e-5)
    assert PairSource(sky, crop_1="0.5,0.5,0.75,0.75").size == (2, 3)


def test_crops_by_hand():
    picture = np.arange(12).reshape(1, 3, 4)
    np.testing.assert_array_equal(cut(picture, (0.5, 0, 1, 1)), picture[:, :, 2:])
    assert cut_size((3, 4), (0.0, 0.0, 0.01, 0.01)) == (1, 1)
    assert crop_of("0,0.1,1,0.9", "crop_1") == (0, 0.1, 1, 0.9)


def test_frames_side_by_side_make_pairs_of_one_folder(tmp_path):
    optical(tmp_path / "both", "a.png", 8, 24)
    source = PairSource(tmp_path / "both", layout="side-by-side")
    assert source.cameras == ("colour", "grey") and source[0].shape == (4, 8, 12)


def test_two_patterns_make_pairs_of_one_folder(tmp_path):
    for number in range(2):
        optical(tmp_path, f"{number}_visible.png")
        warm(tmp_path, f"{number}_celsius.csv", celsius=number)
    source = PairSource([tmp_path] * 2, only_1="*_visible.png", only_2="*_celsius.csv")
    assert source.cameras == ("colour", "celsius") and source.joined_by == "name"
    assert source[1][3].mean() == 1 and source.remarks == []


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"join": "luck"}, "join must be one of auto, position, time, name, got 'luck'"),
        ({"tolerance_s": -1.0}, "tolerance_s must be 0 or more, got -1"),
        ({"offset_s": float("nan")}, "offset_s must be a number of seconds, got nan"),
        ({"crop_1": "0,0,1"}, "crop_1 must be left,top,right,bottom .* got '0,0,1'"),
        ({"crop_2": "0.9,0,0.1,1"}, "crop_2 must be left,top,right,bottom"),
        ({"layout": "left"}, 'layout must be "single" or "side-by-side", got'),
    ],
)
def test_settings_out_of_range_are_refused(sky, options, words):
    with pytest.raises(ParameterError, match=words):
        PairSource(sky, **options)


def test_pairs_need_two_cameras(sky):
    for paths in (sky[:1], [*sky, sky[0]]):
        with pytest.raises(DataError, match=f"two folders or archives.*got {len(paths)}"):
            PairSource(paths)
    with pytest.raises(DataError, match=r"both cameras are .*set source\.offset_s"):
        PairSource([sky[0], sky[0]])


def test_folders_in_which_nothing_belongs_together_are_refused_with_what_was_tried(tmp_path):
    optical(tmp_path / "a", "north.png")
    optical(tmp_path / "b", "south.png")
    with pytest.raises(DataError, match=r"tried to join by name\. The first are 'north.png' and"):
        PairSource([tmp_path / "a", tmp_path / "b"])


# --- real pairs ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("places", "options", "count", "cameras"),
    [
        (("rgb_thermal_roadscene/visible", "rgb_thermal_roadscene/infrared"), {}, 143,
         ("colour", "grey")),
        (("rgb_thermal_road_surface/rgb", "rgb_thermal_road_surface/ir"), {}, 8,
         ("colour", "colour")),
        (("thermal_celsius",) * 2, {"only_1": "*_visible.jpg", "only_2": "*_celsius.csv.gz"}, 3,
         ("colour", "celsius")),
        (("neon_phenocam/normal",) * 2, {"offset_s": 900.0, "tolerance_s": 5.0}, 5,
         ("colour", "colour")),
    ],
)  # fmt: skip
def test_real_sets_are_joined(places, options, count, cameras):
    source = PairSource([real_data() / "images" / place for place in places], **options)
    assert len(source) == count and source.cameras == cameras and source.skipped == []
    block = source.read(0, 0, 4)
    assert all(picture.shape[0] == source.channels for picture in block.pictures)
    assert source.consistency()[0].startswith(f"{count} pairs")
