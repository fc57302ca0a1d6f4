"""Residual networks for pictures and spectrograms, of three sizes.

A fourth size is a class of three lines here. They are made of convolutions followed by batch
normalisation in a Sequential, so that `blocks.folded` makes them fast once they are trained.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from raravis.backbones import Backbone, register
from raravis.blocks import BatchNorm
from raravis.errors import ParameterError
from raravis.networks import named_shape

SMALL_SIDE = 64  # pixels; pictures up to here are too small to be made four times smaller at once
BOTTLENECK = 4  # channels at the end of a deep block for each in its middle

Shape = tuple[int, int, int]


class ResNet(Backbone):
    """Stages of residual blocks, each stage at half the resolution of the one before.

    shape   (C, H, W) of a picture; any size, others of the same C may be given as well.
    depths  blocks in each stage.
    widths  channels in the middle of the blocks of each stage.
    is_deep blocks of three convolutions (1 x 1, 3 x 3, 1 x 1, four times as wide at their end)
            instead of two of 3 x 3.
    stem    "large": 7 x 7 with stride 2, then the maximum with stride 2; "middle": 3 x 3 with
            stride 2; "small": 3 x 3 with stride 1; "auto": small where both sides are at most 64
            pixels, else large.
    cells   >= 1: the vector is the mean of what stands at each place (1), or of each cell of a grid
            of so many rows and columns, one after the other. Then it tells where things are, which
            matters where pictures are laid alike: clothes, a fixed camera.

    Sources: He et al. 2016, arXiv:1512.03385 (blocks, sizes); stride 2 stands at the 3 x 3 of a
    deep block as in Goyal et al. 2017, arXiv:1706.02677; the small stem is theirs for CIFAR-10.
    """

    def __init__(
        self,
        shape: Shape,
        depths: Sequence[int],
        widths: Sequence[int],
        is_deep: bool = False,
        stem: str = "auto",
        cells: int = 1,
    ) -> None:
        super().__init__()
        self.shape = _checked(shape, stem)
        if cells < 1:
            raise ParameterError(f"cells must be >= 1, got {cells}")
        self.cells = cells
        self.stem = _stem(self.shape, widths[0], stem)
        self.stages = nn.Sequential()
        inputs = widths[0]
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                block = Residual(inputs, width, stride, is_deep)
                self.stages.append(block)
                inputs = block.outputs
        self.width = inputs * cells**2
        _draw_weights(self)

    def maps(self, batch: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, width, h, w)."""
        if batch.ndim != 4 or batch.shape[1] != self.shape[0]:
            raise ParameterError(
                f"this backbone was built for pictures of {self.shape[0]} channels, (B, C, H, W), "
                f"got {named_shape(batch.shape)}: build one for that shape"
            )
        maps: Tensor = self.stages(self.stem(batch))
        return maps

    def forward(self, batch: Tensor) -> Tensor:
        """Pictures (B, C, H, W) -> vectors (B, width)."""
        if self.cells == 1:
            return super().forward(batch)
        return nn.functional.adaptive_avg_pool2d(self.maps(batch).float(), self.cells).flatten(1)


@register("resnet-small")
class SmallResNet(ResNet):
    """Three stages of one block, 0.3 million parameters: for small pictures on a CPU."""

    def __init__(
        self, shape: Shape, width: int = 32, depth: int = 1, stem: str = "auto", cells: int = 1
    ) -> None:
        """width: channels of the first stage, >= 2; depth: blocks of each stage, >= 1."""
        if width < 2 or depth < 1:
            raise ParameterError(f"width must be >= 2 and depth >= 1, got {width} and {depth}")
        super().__init__(shape, [depth] * 3, [width, 2 * width, 4 * width], stem=stem, cells=cells)


@register("resnet18")
class ResNet18(ResNet):
    """Eight blocks of two convolutions, 11.2 million parameters, 512 numbers a picture."""

    def __init__(self, shape: Shape, stem: str = "auto", cells: int = 1) -> None:
        super().__init__(shape, (2, 2, 2, 2), (64, 128, 256, 512), stem=stem, cells=cells)


@register("resnet50")
class ResNet50(ResNet):
    """Sixteen blocks of three convolutions, 23.5 million parameters, 2048 numbers a picture."""

    def __init__(self, shape: Shape, stem: str = "auto", cells: int = 1) -> None:
        super().__init__(
            shape, (3, 4, 6, 3), (64, 128, 256, 512), is_deep=True, stem=stem, cells=cells
        )


class Residual(nn.Module):
    """Adds to a map what a few convolutions see in it: (B, inputs, H, W) -> (B, outputs, H', W').

    Where the size changes, the map itself goes through a 1 x 1 convolution.
    """

    def __init__(self, inputs: int, width: int, stride: int, is_deep: bool) -> None:
        super().__init__()
        self.outputs = width * BOTTLENECK if is_deep else width
        if is_deep:
            self.change = nn.Sequential(
                *_convolution(inputs, width, 1, 1), nn.ReLU(inplace=True),
                *_convolution(width, width, 3, stride), nn.ReLU(inplace=True),
                *_convolution(width, self.outputs, 1, 1),
            )  # fmt: skip
        else:
            self.change = nn.Sequential(
                *_convolution(inputs, width, 3, stride), nn.ReLU(inplace=True),
                *_convolution(width, width, 3, 1),
            )  # fmt: skip
        is_same = stride == 1 and inputs == self.outputs
        self.keep = nn.Sequential(
            *([] if is_same else _convolution(inputs, self.outputs, 1, stride))
        )
        self.cut = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ceil(H / stride), ceil(W / stride))."""
        summed: Tensor = self.cut(self.change(maps) + self.keep(maps))
        return summed


def _convolution(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    """A convolution that keeps its map's size but for the stride, and its normalisation."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        BatchNorm(outputs),
    ]


def _stem(shape: Shape, outputs: int, stem: str) -> nn.Sequential:
    if stem == "small" or (stem == "auto" and max(shape[1:]) <= SMALL_SIDE):
        return nn.Sequential(*_convolution(shape[0], outputs, 3, 1), nn.ReLU(inplace=True))
    if stem == "middle":
        return nn.Sequential(*_convolution(shape[0], outputs, 3, 2), nn.ReLU(inplace=True))
    return nn.Sequential(
        *_convolution(shape[0], outputs, 7, 2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
    )


def _draw_weights(network: nn.Module) -> None:
    """Such that what goes back through the convolutions keeps its size (He et al. 2015)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def _checked(shape: Shape, stem: str) -> Shape:
    if len(shape) != 3 or min(shape) < 1:
        raise ParameterError(
            f"a residual network takes pictures of shape (C, H, W), got {named_shape(shape)}"
        )
    if stem not in ("auto", "small", "middle", "large"):
        raise ParameterError(f"stem must be auto, small, middle or large, got {stem!r}")
    return shape[0], shape[1], shape[2]
