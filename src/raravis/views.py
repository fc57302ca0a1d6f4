"""Two views of the same thing, from which a joint embedding learns what stays.

Of pictures, a view is the picture cut, mirrored, recoloured or blurred (`Pictures`); of sounds, a
piece of it in time (`Pieces`). Each kind makes random views for learning, and fixed ones, left and
right, by which a trained network judges. A new set of pictures' views is one line in `SETS`.

All parameters are drawn for each picture by itself, and applied to the whole batch at once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from raravis.errors import ParameterError

Shape = tuple[int, int, int]
Span = tuple[float, float]

GREY = (0.299, 0.587, 0.114)  # what red, green and blue add to brightness (ITU-R BT.601)
STEPS = 14  # random numbers that make a view of a picture
BLUR_SIDE = 224  # pixels of the shorter side for which blur is told


class Views(ABC):
    """How two views of each window (B, C, H, W) are made.

    shape  (C, h, w) of a view.
    """

    shape: Shape

    @abstractmethod
    def drawn(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Two views of each window, (B, C, h, w), that torch's generator chooses."""

    @abstractmethod
    def fixed(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Two views that are always the same: of the left and of the right."""

    @abstractmethod
    def whole(self, batch: Tensor) -> Tensor | None:
        """What is seen of a window where it is not to be compared with itself; None where the fixed
        views are all there is of it, so that their mean stands for it."""


# ----------------------------------------------------------------- pictures


@dataclass(frozen=True)
class Pictures(Views):
    """What is done to a picture, step by step in this order. What is 0 or None is not done.

    crop        share of the area that is cut out and enlarged to the picture's size again, from
                the first to the second, in (0, 1]; None cuts nothing.
    form        width over height of what is cut, relative to the picture's, from .. to, > 0.
    mirror      chance in [0, 1] that left and right change places.
    recolour    chance that brightness, contrast, saturation and hue change, by
    brightness, contrast, saturation
                a factor from 1 - this to 1 + this, in [0, 1];
    hue         a turn of at most this share of the circle of colours, in [0, 0.5].
    grey        chance that a picture loses its colour.
    blur        chance that it is blurred, by a Gaussian of
    blur_sigma  pixels, from .. to, where the shorter side has 224; with smaller pictures smaller.
    solarise    chance that the brighter half of values is turned over.
    normalise   brings each channel of each view to mean 0 and deviation 1.

    Pictures of three channels are colour ones; of four, the first three are colours. One channel is
    grey: brightness, contrast and solarising change it. All other channels are cut, mirrored and
    blurred only. Black and white, for what recolours, are the least and the largest value of each
    picture, so pictures of any scale will do.

    Sources: Bardes et al. 2022, arXiv:2105.04906, appendix C (the paper's set), Grill et al. 2020,
    arXiv:2006.07733 (the steps). Ours recolours in one fixed order, turns hue by a rotation about
    the grey axis instead of through HSV, and cuts beside nothing: where a form does not fit, it is
    narrowed until it does.
    """

    shape: Shape
    crop: Span | None = None
    form: Span = (3 / 4, 4 / 3)
    mirror: float = 0.0
    recolour: float = 0.0
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    grey: float = 0.0
    blur: float = 0.0
    blur_sigma: Span = (0.1, 2.0)
    solarise: float = 0.0
    normalise: bool = False

    def __post_init__(self) -> None:
        if self.crop is not None and not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise ParameterError(f"crop must be two shares in (0, 1], rising, got {self.crop}")
        for name in ("form", "blur_sigma"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ParameterError(f"{name} must be two numbers > 0, rising, got {(low, high)}")
        shares = ("mirror", "recolour", "brightness", "contrast", "saturation", "grey", "blur")
        for name in (*shares, "solarise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        if not 0 <= self.hue <= 0.5:
            raise ParameterError(f"hue must be in [0, 0.5], got {self.hue}")

    def drawn(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Each view drawn by itself."""
        first, second = _chances(batch, 2, STEPS).unbind(dim=1)
        return self._one(batch, first), self._one(batch, second)

    def fixed(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Full height, left and right, of the area that lies in the middle of `crop`."""
        if self.crop is None:
            return self.plain(batch), self.plain(batch)
        width = torch.full((len(batch),), sum(self.crop) / 2, device=batch.device)
        full, middle = torch.ones_like(width), torch.zeros_like(width)
        left, right = (
            self.plain(_placed(batch, width, full, side * (1 - width), middle)) for side in (-1, 1)
        )
        return left, right

    def whole(self, batch: Tensor) -> Tensor | None:
        """The picture itself."""
        return None if self.crop is None else self.plain(batch)

    def one(self, batch: Tensor) -> Tensor:
        """One view of each picture (B, C, H, W), of the same shape."""
        return self._one(batch, _chances(batch, STEPS))

    def plain(self, batch: Tensor) -> Tensor:
        """The picture itself, normalised where views are."""
        if not self.normalise:
            return batch
        deviation, mean = torch.std_mean(batch, dim=(2, 3), keepdim=True, correction=0)
        return (batch - mean) / deviation.clamp_min(1e-3)

    def _one(self, batch: Tensor, numbers: Tensor) -> Tensor:
        """One view of each picture, by numbers (B, STEPS) in [0, 1]."""
        chances = iter(numbers.unbind(dim=1))
        with torch.no_grad(), torch.autocast(batch.device.type, enabled=False):
            view = self._cut(batch, *(next(chances) for _ in range(5)))
            view = self._recoloured(view, *(next(chances) for _ in range(6)))
            view = self._blurred(view, next(chances), next(chances))
            return self.plain(_solarised(view, next(chances) < self.solarise))

    def _cut(
        self, batch: Tensor, area: Tensor, form: Tensor, x: Tensor, y: Tensor, mirror: Tensor
    ) -> Tensor:
        """Crop and mirror in one step, by numbers (B,) in [0, 1)."""
        if self.crop is None and not self.mirror:
            return batch
        width = height = torch.ones_like(area)
        if self.crop is not None:
            share = self.crop[0] + (self.crop[1] - self.crop[0]) * area
            low, high = map(math.log, self.form)
            ratio = torch.exp(low + (high - low) * form)
            ratio = ratio.clamp(share, 1 / share)  # such that neither side is longer than it may
            width, height = (share * ratio).sqrt(), (share / ratio).sqrt()
        across, down = (2 * x - 1) * (1 - width), (2 * y - 1) * (1 - height)
        return _placed(
            batch, torch.where(mirror < self.mirror, -width, width), height, across, down
        )

    def _recoloured(
        self,
        batch: Tensor,
        chance: Tensor,
        brightness: Tensor,
        contrast: Tensor,
        saturation: Tensor,
        hue: Tensor,
        grey: Tensor,
    ) -> Tensor:
        """Brightness, contrast, then all that mixes colours in one step, by numbers in [0, 1)."""
        colours = _colours(batch.shape[1])
        if not (self.recolour or self.grey) or not colours:
            return batch
        is_done = (chance < self.recolour).to(batch.dtype)

        def around(number: Tensor, most: float) -> Tensor:  # 0 where nothing is done
            return most * (2 * number - 1) * is_done

        part, black, white = _stretched(batch[:, :colours])
        part = (part * (1 + _wide(around(brightness, self.brightness)))).clamp(0, 1)
        level = _brightness(part).mean(dim=(2, 3), keepdim=True)
        part = (level + (part - level) * (1 + _wide(around(contrast, self.contrast)))).clamp(0, 1)
        if colours == 3:
            kept = (1 + around(saturation, self.saturation)) * (grey >= self.grey)
            mixing = _mixing(kept, around(hue, self.hue))
            part = torch.einsum("bij,bjhw->bihw", mixing, part).clamp(0, 1)
        return torch.cat([black + part * (white - black), batch[:, colours:]], dim=1)

    def _blurred(self, batch: Tensor, chance: Tensor, sigma: Tensor) -> Tensor:
        """By numbers (B,) in [0, 1)."""
        if not self.blur:
            return batch
        low, high = self.blur_sigma
        pixels = (low + (high - low) * sigma) * min(batch.shape[2:]) / BLUR_SIDE
        return _blurred(batch, pixels * (chance < self.blur))


SETS: dict[str, dict[str, Any]] = {
    "none": {},
    "crop": {"crop": (0.4, 1.0)},
    "paper": {
        "crop": (0.08, 1.0), "mirror": 0.5, "recolour": 0.8, "grey": 0.2, "blur": 0.5,
        "solarise": 0.1,
    },
}  # fmt: skip


# ----------------------------------------------------------------- sounds


@dataclass(frozen=True)
class Pieces(Views):
    """Two pieces in time of one spectrogram (B, C, F, T), of the same length and scale.

    shape    (C, F, T) of the spectrogram; then of a piece.
    share    in (0, 1): length of a piece; at most half where they are `apart`.
    apart    the pieces are always the left and the right end, as with halves; else each lies
             anywhere.

    Nothing is enlarged: a pitch and a rhythm stay what they are.
    """

    shape: Shape
    share: float = 0.5
    apart: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or (self.apart and self.share > 0.5):
            most = "0.5]" if self.apart else "1)"
            raise ParameterError(f"share must be in (0, {most}, got {self.share}")
        length = math.floor(self.share * self.shape[-1])
        if length < 1:
            raise ParameterError(
                f"a spectrogram of {self.shape[-1]} frames has no pieces of share {self.share}: "
                "use longer windows"
            )
        object.__setattr__(self, "shape", (*self.shape[:2], length))

    def drawn(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Left and right end, or two pieces that lie anywhere."""
        if self.apart:
            return self.fixed(batch)
        last = batch.shape[3] - self.shape[2]
        starts = (_chances(batch, 2) * (last + 1)).long().clamp_max(last)
        frames = starts[:, :, None] + torch.arange(self.shape[2], device=batch.device)
        wanted = frames[:, :, None, None, :].expand(-1, -1, *batch.shape[1:3], -1)
        first, second = (torch.gather(batch, 3, wanted[:, view]) for view in (0, 1))
        return first, second

    def fixed(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Left and right end."""
        return batch[..., : self.shape[2]], batch[..., -self.shape[2] :]

    def whole(self, batch: Tensor) -> Tensor | None:
        """Nothing but the two ends: the whole is longer than what is learned from."""
        return None


SOUNDS: dict[str, dict[str, Any]] = {
    "halves": {"share": 0.5, "apart": True},
    "crops": {"share": 0.5, "apart": False},
}


def create(name: str, shape: Shape, options: Mapping[str, Any] | None = None) -> Views:
    """A named set of views for windows (C, H, W), with single settings changed.

    name     of pictures: "none" (the picture itself), "crop" (cut and enlarged, nothing else: what
             is too robust does not see what is strange) or "paper" (all that the paper does). Of
             spectrograms: "halves" or "crops".
    options  such as {"crop": (0.2, 1.0), "mirror": 0.5}; see `Pictures` and `Pieces`.

    Raises ParameterError for an unknown name or setting.
    """
    if name not in SETS and name not in SOUNDS:
        raise ParameterError(f"unknown views {name!r}: choose one of {', '.join([*SETS, *SOUNDS])}")
    kind, settings = (Pictures, SETS[name]) if name in SETS else (Pieces, SOUNDS[name])
    known = {field.name for field in fields(kind)} - {"shape"}
    if unknown := sorted(set(options or {}) - known):
        raise ParameterError(
            f"views {name!r} have no setting {unknown[0]!r}: they have {', '.join(sorted(known))}"
        )
    changed = {k: tuple(v) if isinstance(v, list) else v for k, v in (options or {}).items()}
    return kind(shape, **{**settings, **changed})


# ----------------------------------------------------------------- single steps


def _chances(batch: Tensor, *shape: int) -> Tensor:
    """Numbers in [0, 1] for each window, (B, *shape): the ranks of normal ones, which a window
    gets for itself, whoever shares the batch."""
    ranks: Tensor = torch.special.ndtr(torch.randn_like(batch.new_empty(len(batch), *shape)))
    return ranks


def _wide(numbers: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1)."""
    return numbers[:, None, None, None]


def _placed(batch: Tensor, width: Tensor, height: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """What stands in a rectangle of each picture, enlarged to the picture's size.

    width, height  (B,) of the rectangle, 1 the whole picture; negative mirrors.
    x, y           (B,) of its middle, from -1 (left, top) to 1.
    """
    if not len(batch):  # for which torch makes no grid
        return batch
    zero = torch.zeros_like(width)
    rows = [torch.stack([width, zero, x], dim=1), torch.stack([zero, height, y], dim=1)]
    turned = torch.stack(rows, dim=1).to(batch.dtype)  # (B, 2, 3)
    grid = affine_grid(turned, list(batch.shape), align_corners=False)
    return grid_sample(batch, grid, padding_mode="border", align_corners=False)


def _colours(channels: int) -> int:
    """How many of the channels, from the first, are colours or grey."""
    return {1: 1, 3: 3, 4: 3}.get(channels, 0)


def _stretched(part: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values of each picture between 0 and 1, and what was 0 and what was 1 in it."""
    black, white = part.amin(dim=(1, 2, 3), keepdim=True), part.amax(dim=(1, 2, 3), keepdim=True)
    return (part - black) / (white - black).clamp_min(1e-12), black, white


def _brightness(part: Tensor) -> Tensor:
    """(B, 3 or 1, H, W) -> (B, 1, H, W)."""
    if part.shape[1] == 1:
        return part
    return (part * part.new_tensor(GREY)[:, None, None]).sum(dim=1, keepdim=True)


def _mixing(kept: Tensor, turn: Tensor) -> Tensor:
    """Matrices (B, 3, 3) that turn the hue by a share of the circle and keep so much of colour.

    Grey stays grey: the turn is about the axis on which all three are alike (Rodrigues' formula).
    """
    one = torch.eye(3, device=kept.device, dtype=kept.dtype)
    axis = torch.full((3, 3), 1 / 3, device=kept.device, dtype=kept.dtype)
    cross = one.roll(1, dims=0) - one.roll(-1, dims=0)
    angle = 2 * math.pi * turn[:, None, None]
    turned = axis + (one - axis) * angle.cos() + cross / math.sqrt(3) * angle.sin()
    grey = kept.new_tensor(GREY).expand(3, 3)
    share = kept[:, None, None]
    return (share * one + (1 - share) * grey) @ turned


def _blurred(batch: Tensor, sigma: Tensor) -> Tensor:
    """Each picture by a Gaussian of its own deviation in pixels, (B,); 0 leaves it as it is."""
    down, across = (_smoothing(side, sigma).to(batch.dtype) for side in batch.shape[2:])
    return down[:, None] @ batch @ across[:, None].transpose(2, 3)


def _smoothing(side: int, sigma: Tensor) -> Tensor:
    """Matrices (B, side, side) whose rows are Gaussians of sum 1, cut off at the borders."""
    place = torch.arange(side, device=sigma.device)
    apart = (place[:, None] - place).square()
    weights = torch.exp(-apart / (2 * sigma.clamp_min(1e-3).square())[:, None, None])
    return weights / weights.sum(dim=2, keepdim=True)


def _solarised(batch: Tensor, is_done: Tensor) -> Tensor:
    colours = _colours(batch.shape[1])
    if not colours or not is_done.any():
        return batch
    part, black, white = _stretched(batch[:, :colours])
    turned = torch.where((part >= 0.5) & _wide(is_done), 1 - part, part)
    return torch.cat([black + turned * (white - black), batch[:, colours:]], dim=1)
