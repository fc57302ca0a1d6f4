"""Convolutional autoencoder: squeezes a picture-like window through a short code and back.

It finds what it could not rebuild, which is what is complex rather than what is rare; its worth
lies in the reconstruction, to show beside the original, and in the code, to compare windows by.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from raravis.blocks import ConvBlock, UpBlock, before_doubling, squared_errors
from raravis.errors import ParameterError
from raravis.models import register
from raravis.networks import Codes, Network, named_shape

SMALLEST_SIDE = 4  # the least longer side of a window: below it there is nothing to squeeze
DEEPEST_BY_DEFAULT = 6
WIDEST = 4  # channels grow from `width` to WIDEST * width and no further

Size = tuple[int, int]


@register("conv-ae")
class ConvAutoencoder(Network):
    """Learns to rebuild windows from a code of a few numbers; what it rebuilds badly is strange.

        code           = encoder(window)                       (B, latent), the embedding
        reconstruction = decoder(code)                         of the shape of the window
        term "reconstruction" = mean squared error per window  (B,)

    Each level halves both sides, rounding up, and doubles the channels up to 4 x width; a side
    shorter than 4 stays as it is. The way back enlarges to exactly the sizes met on the way down,
    so windows of any size, odd ones included, come back in their own shape.

    shape   (H, W) or (C, H, W) of one window; the longer side at least 4.
    latent  numbers in the code, >= 1; 5 to 32 are usual. Fewer make the strange stand out more.
    width   channels of the first level, >= 2. Multiples of 32 use the hardware best.
    depth   levels, >= 1; None halves the longer side down to about 4, in 6 levels at most.
    unet    adds skip connections from each level to its mirror image. Details come back sharper,
            but the skips let the network copy: the code holds less, and the error of the strange
            is hardly larger than that of the ordinary. For pictures rather than for finding.

    For 64 x 50 windows the defaults make 0.62 M parameters. The first weights are drawn from
    torch's generator: build the network inside `blocks.seeded(seed)` to get the same ones again.

    Sources: Hinton & Salakhutdinov 2006, doi:10.1126/science.1127647, with convolutions and batch
    normalisation; skips as in Ronneberger et al. 2015, arXiv:1505.04597, of which ours keeps the
    bottleneck.
    """

    def __init__(
        self,
        shape: tuple[int, int] | tuple[int, int, int],
        latent: int = 32,
        width: int = 32,
        depth: int | None = None,
        unet: bool = False,
    ) -> None:
        super().__init__()
        self.shape = _checked(shape, latent, width)
        self.unet = unet
        sizes = _sizes(self.shape[1:], depth)
        channels = [width * min(2**level, WIDEST) for level in range(len(sizes) - 1)]
        self.top = (channels[-1], *sizes[-1])
        self.down = _down(self.shape[0], channels, sizes)
        self.squeeze = nn.Linear(math.prod(self.top), latent)
        self.spread = nn.Linear(latent, math.prod(self.top))
        self.up = _up(channels, sizes, unet)
        self.doubles = sizes[0] == (2 * sizes[1][0], 2 * sizes[1][1])  # the last step up
        self.paint: nn.Module = nn.Conv2d(width // 2, self.shape[0], kernel_size=3, padding=1)

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Windows (B, C, H, W) -> codes (B, latent), reconstructions (B, C, H, W)."""
        if batch.shape[1:] != self.shape:
            raise ParameterError(
                f"this conv-ae was built for windows of {named_shape(self.shape)}, got "
                f"{named_shape(batch.shape[1:])}: build one for that shape"
            )
        skips: list[Tensor] = []
        maps = batch
        for block in self.down:
            if self.unet and maps is not batch:
                skips.append(maps)
            maps = block(maps)
        codes = self.squeeze(maps.flatten(1))  # (B, latent)
        maps = self.spread(codes).unflatten(1, self.top)  # (B, *top)
        for block in self.up:
            maps = block(maps)
            if skips:
                maps = torch.cat([maps, skips.pop()], dim=1)
        return codes, self.paint(maps)

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        """The mean squared error of each window."""
        return {"reconstruction": squared_errors(self(batch)[1], batch)}

    def encode(self, batch: Tensor) -> Codes:
        """The code, and the mean squared error of each window as "reconstruction"."""
        codes, rebuilt = self(batch)
        return Codes(codes, {"reconstruction": squared_errors(rebuilt, batch)})

    def reconstruct(self, batch: Tensor) -> Tensor:
        """What the code alone brings back (with `unet`, the code and the skips)."""
        rebuilt: Tensor = self(batch)[1]
        return rebuilt

    def fold(self) -> None:
        """Paints before the last enlargement, where that is twofold: the same, on fewer pixels."""
        if self.doubles and isinstance(self.paint, nn.Conv2d):
            self.up[-1] = cast(UpBlock, self.up[-1])[0]
            self.paint = before_doubling(self.paint)


def _checked(shape: tuple[int, ...], latent: int, width: int) -> tuple[int, int, int]:
    if len(shape) not in (2, 3) or min(shape) < 1 or max(shape[-2:]) < SMALLEST_SIDE:
        raise ParameterError(
            "conv-ae takes windows of shape (H, W) or (C, H, W) whose longer side is at least "
            f"{SMALLEST_SIDE}, got {named_shape(shape)}: use longer windows or more bands"
        )
    if latent < 1 or width < 2:
        raise ParameterError(f"latent must be >= 1 and width >= 2, got {latent} and {width}")
    return shape[0] if len(shape) == 3 else 1, shape[-2], shape[-1]


def _sizes(size: Size, depth: int | None) -> list[Size]:
    """Sizes of the maps from the window down to the bottleneck: depth + 1 of them."""
    halvings = math.log2(max(size) / SMALLEST_SIDE)
    if depth is None:
        depth = min(max(math.ceil(halvings), 1), DEEPEST_BY_DEFAULT)
    if not 1 <= depth <= halvings + 1:
        raise ParameterError(
            f"depth {depth} does not fit windows of {named_shape(size)}: choose 1 to "
            f"{math.floor(halvings) + 1}, or a longer side of at least {2 ** (depth + 1)}"
        )
    sizes = [size]
    for _ in range(depth):
        height, width = sizes[-1]
        sizes.append((_halved(height), _halved(width)))
    return sizes


def _halved(side: int) -> int:
    return side if side < SMALLEST_SIDE else (side + 1) // 2


def _down(inputs: int, channels: list[int], sizes: list[Size]) -> nn.ModuleList:
    strides = [
        (2 if low[0] < high[0] else 1, 2 if low[1] < high[1] else 1)
        for high, low in pairwise(sizes)
    ]
    steps = zip(pairwise([inputs, *channels]), strides, strict=True)
    return nn.ModuleList(ConvBlock(before, after, stride) for (before, after), stride in steps)


def _up(channels: list[int], sizes: list[Size], unet: bool) -> nn.ModuleList:
    outputs = [channels[0] // 2, *channels[:-1]]  # half as many where the maps are largest
    blocks = []
    for level in reversed(range(len(channels))):
        is_joined = unet and level < len(channels) - 1  # by the skip of the level below
        inputs = channels[level] * (2 if is_joined else 1)
        blocks.append(UpBlock(inputs, outputs[level], sizes[level]))
    return nn.ModuleList(blocks)
