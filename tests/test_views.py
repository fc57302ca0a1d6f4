"""Views: what each step does by hand, that every picture is drawn by itself, and that the fixed
ones do not change."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from raravis import views
from raravis.blocks import seeded
from raravis.errors import ParameterError
from raravis.views import Pictures

EVERY = {"crop": (0.2, 0.9), "mirror": 0.5, "recolour": 0.8, "grey": 0.3, "blur": 0.5,
         "solarise": 0.5, "normalise": True}  # fmt: skip
every_name = pytest.mark.parametrize("name", ["none", "crop", "paper", "halves", "crops"])


def pictures(count: int = 4, *shape: int) -> Tensor:
    random = torch.Generator().manual_seed(5)
    return torch.rand(count, *(shape or (3, 12, 10)), generator=random)


def shade(height: int = 16, width: int = 16) -> Tensor:
    """One picture whose first channel tells where from left to right it is, whose second from top
    to bottom, from -1 to 1 between the middles of the outermost pixels."""
    x = ((2 * torch.arange(width) + 1) / width - 1).expand(height, width)
    y = ((2 * torch.arange(height) + 1) / height - 1)[:, None].expand(height, width)
    return torch.stack([x, y])[None]


# --- the contract --------------------------------------------------------------------------------


@every_name
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_views_are_finite_of_the_shape_told_and_the_same_with_the_same_seed(name, channels) -> None:
    made = views.create(name, (channels, 12, 10))
    batch = pictures(4, channels, 12, 10)
    before = batch.clone()
    seen = []
    for _ in range(2):
        with seeded(3):
            seen.append(made.drawn(batch))
    for view, again in zip(*seen, strict=True):
        assert view.shape == (4, *made.shape) and view.isfinite().all()
        assert torch.equal(view, again)
    for view in (*made.fixed(batch), made.whole(batch)):
        assert view is None or view.shape == (4, *made.shape)
    assert torch.equal(batch, before)


@every_name
def test_fixed_views_of_a_picture_do_not_depend_on_chance_or_on_the_others(name) -> None:
    made, batch = views.create(name, (3, 12, 10)), pictures()
    together, alone = made.fixed(batch), made.fixed(batch[2:3])
    for view, own in zip(together, alone, strict=True):
        torch.testing.assert_close(view[2:3], own)
    if made.whole(batch) is not None:
        assert torch.equal(made.whole(batch), batch)


@pytest.mark.parametrize("name", ["crop", "paper", "crops"])
def test_every_picture_and_both_views_are_drawn_by_themselves(name) -> None:
    made, same = views.create(name, (3, 12, 10)), pictures(1).expand(8, -1, -1, -1)
    with seeded(0):
        drawn = torch.cat(made.drawn(same))
    different = {tuple(view.flatten().tolist()) for view in drawn}
    assert len(different) >= (14 if name != "crops" else 5)  # of pieces there are six


def test_a_view_of_a_picture_does_not_depend_on_the_pictures_beside_it() -> None:
    made, batch = Pictures((3, 12, 10), **EVERY), pictures(6)
    with seeded(1):
        one = made.one(batch)
    others = batch.flip(0)
    others[2] = batch[2]
    with seeded(1):
        torch.testing.assert_close(made.one(others)[2], one[2])


def test_nothing_asked_for_changes_nothing() -> None:
    made, batch = views.create("none", (3, 12, 10)), pictures()
    assert all(torch.equal(view, batch) for view in (*made.drawn(batch), *made.fixed(batch)))
    changeless = {"recolour": 1.0, "brightness": 0, "contrast": 0, "saturation": 0, "hue": 0,
                  "crop": (1.0, 1.0), "form": (1, 1)}  # fmt: skip
    torch.testing.assert_close(Pictures((3, 12, 10), **changeless).one(batch), batch)


# --- step by step --------------------------------------------------------------------------------


def test_crops_have_the_share_and_the_form_asked_for_and_lie_inside() -> None:
    made = Pictures((2, 32, 32), crop=(0.25, 0.5), form=(0.5, 2.0))
    with seeded(0):
        view = made.one(shade(32, 32).expand(400, -1, -1, -1))
    width = (view[:, 0, 0, -2] - view[:, 0, 0, 1]) / 2 * 32 / 29  # the borders are repeated
    height = (view[:, 1, -2, 0] - view[:, 1, 1, 0]) / 2 * 32 / 29
    area, form = width * height, width / height
    assert area.min() > 0.245 and area.max() < 0.51
    assert area.min() < 0.27 and area.max() > 0.48
    assert form.min() > 0.48 and form.max() < 2.05 and form.min() < 0.6 and form.max() > 1.7
    assert abs(form.log().mean()) < 0.05  # as often wide as high
    assert view.abs().max() <= 1
    middle = view[:, :, 15:17, 15:17].mean(dim=(2, 3))
    assert (middle.abs().mean(dim=0) > 0.1).all() and (middle.mean(dim=0).abs() < 0.03).all()


def test_where_a_form_does_not_fit_it_is_narrowed() -> None:
    made = Pictures((2, 32, 32), crop=(0.9, 0.9), form=(4.0, 4.0))
    view = made.one(shade(32, 32))
    torch.testing.assert_close(view[0, 0, 0, 1:-1], shade(32, 32)[0, 0, 0, 1:-1])  # full width
    height = (view[0, 1, -2, 0] - view[0, 1, 1, 0]) / 2 * 32 / 29
    assert height.item() == pytest.approx(0.9, abs=0.02)


def test_mirroring_is_exact_and_as_frequent_as_asked() -> None:
    batch = pictures(1).expand(500, -1, -1, -1)
    with seeded(0):
        view = Pictures((3, 12, 10), mirror=0.25).one(batch)
    is_mirrored = (view - batch.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-5
    is_same = (view - batch).abs().amax(dim=(1, 2, 3)) < 1e-5
    assert (is_mirrored ^ is_same).all()
    assert 0.2 < is_mirrored.float().mean() < 0.3


def test_brightness_by_hand_on_one_grey_picture() -> None:
    made = Pictures((1, 2, 2), recolour=1.0, brightness=0.5, contrast=0, saturation=0, hue=0)
    batch = torch.tensor([[2.0, 4.0], [3.0, 6.0]])[None, None].expand(200, -1, -1, -1)
    with seeded(0):
        view = made.one(batch)
    factor = (view[:, 0, 1, 0] - 2) / 1  # 3 lies a quarter above black (2), of 4 up to white
    assert 0.5 <= factor.min() < 0.6 and 1.4 < factor.max() <= 1.5
    torch.testing.assert_close(view[:, 0, 0, 0], torch.full((200,), 2.0))  # black stays
    torch.testing.assert_close(view[:, 0, 1, 1], 2 + 4 * factor.clamp(max=1))  # white is the most


def test_contrast_keeps_the_mean() -> None:
    made = Pictures((3, 12, 10), recolour=1.0, brightness=0, contrast=0.4, saturation=0, hue=0)
    batch = 0.35 + 0.3 * pictures()
    batch[:, :, 0, 0], batch[:, :, 0, 1] = 0.0, 1.0  # so that the rest is not cut off
    with seeded(0):
        view = made.one(batch)
    inside = (slice(None), slice(None), slice(1, None))
    ratio = view[inside].std(dim=(1, 2, 3)) / batch[inside].std(dim=(1, 2, 3))
    assert ratio.min() > 0.6 and ratio.max() < 1.4 and ratio.std() > 0.05
    assert (view - batch).mean(dim=(1, 2, 3)).abs().max() < 0.02


def test_losing_colour_leaves_brightness() -> None:
    batch = pictures()
    view = Pictures((3, 12, 10), grey=1.0).one(batch)
    expected = 0.299 * batch[:, 0] + 0.587 * batch[:, 1] + 0.114 * batch[:, 2]
    for channel in range(3):
        torch.testing.assert_close(view[:, channel], expected, rtol=1e-4, atol=1e-5)


def test_a_turn_of_the_hue_by_a_third_makes_green_of_red() -> None:
    mixing = views._mixing(torch.ones(3), torch.tensor([0.0, 1 / 3, 0.1]))
    torch.testing.assert_close(mixing[0], torch.eye(3))
    red, green = torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0])
    torch.testing.assert_close(mixing[1] @ red, green, atol=1e-6, rtol=0)
    white = torch.ones(3)
    torch.testing.assert_close(mixing[2] @ white, white)


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_what_is_no_colour_keeps_its_values(channels: int) -> None:
    made = Pictures((channels, 12, 10), recolour=1.0, grey=0.5, solarise=1.0)
    batch = pictures(4, channels, 12, 10)
    colours = 3 if channels == 4 else 0
    assert torch.equal(made.one(batch)[:, colours:], batch[:, colours:])
    assert not torch.equal(made.one(batch)[:, :3], batch[:, :3]) or not colours


def test_colours_are_changed_alike_on_any_scale() -> None:
    made, batch = Pictures((3, 12, 10), recolour=1.0, grey=0.3, solarise=0.5), pictures()
    with seeded(4):
        plain = made.one(batch)
    with seeded(4):
        scaled = made.one(5 * batch - 2)
    torch.testing.assert_close(scaled, 5 * plain - 2, rtol=1e-4, atol=1e-4)


def test_blur_is_a_gaussian_of_the_deviation_asked_for() -> None:
    dot = torch.zeros(1, 1, 41, 41)
    dot[0, 0, 20, 20] = 1
    made = Pictures((1, 41, 41), blur=1.0, blur_sigma=(16.0, 16.0))
    sigma = 16 * 41 / 224
    apart = torch.arange(-20.0, 21)
    bell = torch.exp(-apart.square() / (2 * sigma**2))
    bell /= bell.sum()
    torch.testing.assert_close(made.one(dot)[0, 0, 20], bell[20] * bell, rtol=1e-2, atol=1e-6)
    level = torch.full((1, 1, 9, 7), 3.0)
    torch.testing.assert_close(made.one(level), level)  # nothing fades at the borders


def test_solarising_turns_the_bright_over() -> None:
    batch = torch.tensor([[0.0, 2.0], [6.0, 8.0]])[None, None]
    view = Pictures((1, 2, 2), solarise=1.0).one(batch)
    torch.testing.assert_close(view[0, 0], torch.tensor([[0.0, 2.0], [2.0, 0.0]]))


def test_normalised_views_have_mean_0_and_deviation_1() -> None:
    made = Pictures((3, 12, 10), crop=(0.3, 0.9), normalise=True)
    for view in (*made.drawn(pictures()), *made.fixed(pictures()), made.whole(pictures())):
        torch.testing.assert_close(view.mean(dim=(2, 3)), torch.zeros(4, 3), atol=1e-5, rtol=0)
        torch.testing.assert_close(view.std(dim=(2, 3), correction=0), torch.ones(4, 3))
    assert made.one(torch.ones(1, 3, 12, 10)).abs().max() < 1e-3  # no division by nothing


def test_fixed_crops_lie_left_and_right() -> None:
    left, right = Pictures((2, 16, 16), crop=(0.25, 0.75)).fixed(shade())
    assert left[0, 0, 0, 0] == -15 / 16 and right[0, 0, 0, -1] == 15 / 16
    assert left[0, 0, 8].mean().item() == pytest.approx(-0.5, abs=0.02)
    torch.testing.assert_close(left[0, 1, 1:-1], shade()[0, 1, 1:-1], atol=1e-5, rtol=0)


def test_bfloat16_around_views_does_not_round_them() -> None:
    made, batch = Pictures((3, 12, 10), **EVERY), pictures()
    with seeded(2):
        plain = made.one(batch)
    with seeded(2), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made.one(batch), plain)


# --- sounds --------------------------------------------------------------------------------------


def test_halves_are_the_left_and_the_right_one() -> None:
    batch = torch.arange(7.0).expand(2, 1, 4, 7)
    left, right = views.create("halves", (1, 4, 7)).drawn(batch)
    assert left[0, 0, 0].tolist() == [0, 1, 2] and right[0, 0, 0].tolist() == [4, 5, 6]


def test_pieces_are_cut_everywhere_and_never_stretched() -> None:
    batch = torch.arange(10.0).expand(300, 1, 3, 10)
    made = views.create("crops", (1, 3, 10), {"share": 0.6})
    assert made.shape == (1, 3, 6)
    with seeded(0):
        first, second = made.drawn(batch)
    for view in (first, second):
        starts = view[:, 0, 0, 0]
        assert torch.equal(view[:, 0, 2], starts[:, None] + torch.arange(6))
        assert set(starts.tolist()) == {0, 1, 2, 3, 4}
    assert not torch.equal(first, second)


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fine", {}, "unknown views 'fine': choose one of none, crop, paper, halves, crops"),
        ("crop", {"zoom": 1}, "views 'crop' have no setting 'zoom': they have blur, blur_sigma"),
        ("halves", {"crop": None}, "'halves' have no setting 'crop': they have apart, share"),
        (
            "crop",
            {"crop": (0.5, 1.2)},
            r"crop must be two shares in \(0, 1\], rising, got \(0.5, 1",
        ),
        ("crop", {"form": [2, 1]}, r"form must be two numbers > 0, rising, got \(2, 1\)"),
        ("crop", {"mirror": 2}, r"mirror must be in \[0, 1\], got 2"),
        ("paper", {"hue": 0.6}, r"hue must be in \[0, 0.5\], got 0.6"),
        ("halves", {"share": 0.6}, r"share must be in \(0, 0.5\], got 0.6"),
        ("crops", {"share": 1.0}, r"share must be in \(0, 1\), got 1.0"),
        ("crops", {"share": 0.01}, "a spectrogram of 10 frames has no pieces of share 0.01"),
    ],
)
def test_views_refuse_and_say_why(name: str, options: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        views.create(name, (1, 12, 10), options)


def test_a_list_from_a_settings_file_will_do() -> None:
    assert views.create("crop", (1, 8, 8), {"crop": [0.5, 0.9]}).crop == (0.5, 0.9)
    assert math.isclose(views.create("paper", (1, 8, 8)).crop[0], 0.08)
