"""What networks are made of: convolution blocks, seeded making, and folding for inference.

A block ends in the layers that `folded` knows (convolution, then batch normalisation), so that
every network made of blocks runs faster once it is trained, with the same numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from raravis.errors import ParameterError

AnyModule = TypeVar("AnyModule", bound=nn.Module)


class ConvBlock(nn.Sequential):
    """3 x 3 convolution, batch normalisation, ReLU: (B, inputs, H, W) -> (B, outputs, H', W').

    stride  H' = ceil(H / stride[0]), W' = ceil(W / stride[1]); sides of any length will do.
    """

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class UpBlock(nn.Sequential):
    """A ConvBlock, then enlarged to exactly `size`: (B, inputs, h, w) -> (B, outputs, *size).

    The way back of a ConvBlock with a stride. Repeating the nearest value before the next
    convolution leaves no checkerboard, unlike a transposed convolution, and reaches odd sizes
    without cropping. Convolving before enlarging, not after, costs a quarter.

    Source: Odena et al. 2016, doi:10.23915/distill.00003; the order is ours.
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int]) -> None:
        super().__init__(ConvBlock(inputs, outputs), nn.Upsample(size, mode="nearest"))


@contextmanager
def seeded(*seed: int) -> Iterator[None]:
    """Random numbers of torch inside depend on `seed` alone, and those outside are untouched."""
    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.default_generator.manual_seed(number)  # torch.manual_seed costs a hundred times more
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(number)
        yield


def folded(network: AnyModule) -> AnyModule:
    """A copy for inference in which every batch normalisation has gone into its convolution.

    A trained normalisation is a scale and a shift per channel, as is part of a convolution:

        conv'(x) = bn(conv(x)),   weight' = weight * scale,   bias' = shift - mean * scale

    The result is the same to rounding, in one pass over memory less per block. It cannot be
    trained on.
    """
    network = copy.deepcopy(network).eval()
    for block in network.modules():
        if isinstance(block, nn.Sequential):
            _fold_pairs(block)
    return network


def _fold_pairs(block: nn.Sequential) -> None:
    for index in range(len(block) - 1):
        convolution, normalisation = block[index], block[index + 1]
        if isinstance(convolution, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
            block[index] = fuse_conv_bn_eval(convolution, normalisation)
            block[index + 1] = nn.Identity()


# Which of three neighbours in the small map, (phase, place), each tap of a kernel sees in a map
# that repeats every value twice: the left copy sees its left neighbour once and itself twice.
_PHASES = torch.tensor([[[1.0, 0, 0], [0, 1, 1], [0, 0, 0]], [[0.0, 0, 0], [1, 1, 0], [0, 0, 1]]])


def before_doubling(convolution: nn.Conv2d) -> nn.Sequential:
    """A 3 x 3 convolution of a map enlarged twofold by repeating values, done before enlarging.

    (B, inputs, h, w) -> (B, outputs, 2 h, 2 w), the numbers of Upsample and convolution, but on a
    quarter of the pixels: each of the four places that a value goes to has a kernel of its own.

    Source: Shi et al. 2016, arXiv:1609.05158 (sub-pixel convolution), with kernels made to fit.
    """
    if (convolution.kernel_size, convolution.stride) != ((3, 3), (1, 1)) or convolution.groups != 1:
        raise ParameterError(f"expected a plain 3 x 3 convolution, got {convolution}")
    inputs, outputs = convolution.in_channels, convolution.out_channels
    small = nn.Conv2d(inputs, 4 * outputs, kernel_size=3, padding=1)
    phases = _PHASES.to(convolution.weight)
    with torch.no_grad():
        weight = torch.einsum("oikl,ptk,qsl->opqits", convolution.weight, phases, phases)
        small.weight.copy_(weight.reshape(4 * outputs, inputs, 3, 3))
        bias = convolution.bias if convolution.bias is not None else torch.zeros(outputs)
        small.bias.copy_(bias.repeat_interleave(4))  # type: ignore[union-attr]
    return nn.Sequential(small, nn.PixelShuffle(2))
