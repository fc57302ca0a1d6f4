"""What networks are made of: convolution blocks, seeded making, and folding for inference.

A block ends in the layers that `folded` knows (convolution, then batch normalisation), so that
every network made of blocks runs faster once it is trained, with the same numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.fusion import fuse_conv_bn_eval

from raravis import distributed
from raravis.errors import ParameterError

AnyModule = TypeVar("AnyModule", bound=nn.Module)


class BatchNorm(nn.BatchNorm2d):
    """Brings each channel of a batch to mean 0 and deviation 1, then scales and shifts it.

    While processes share a batch, mean and deviation are those of the whole batch where `whole` is
    true, so that the network learns the same however many share it; they exchange 2 channels + 1
    numbers on the way there and 2 channels on the way back, and wait for each other at every layer.
    Else, and alone, it is nn.BatchNorm2d, on the rows of one process.

    channels  C of (B, C, H, W).

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.whole = True

    def forward(self, batch: Tensor) -> Tensor:
        """(B_r, C, H, W) of this process -> the same shape."""
        if not (self.training and self.whole) or distributed.size() == 1:
            return super().forward(batch)
        mean, variance, count = _whole_moments(batch.detach(), self.weight.detach())
        with torch.no_grad():
            step = self.momentum or 0.0
            self.running_mean.lerp_(mean, step)  # type: ignore[union-attr]
            unbiased = variance * (count / (count - 1).clamp_min(1))
            self.running_var.lerp_(unbiased, step)  # type: ignore[union-attr]
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        moments = (mean, variance, count, self.eps)
        return _Normalised.apply(batch, self.weight, self.bias, *moments)  # type: ignore


def normalise_over(network: nn.Module, whole: bool) -> None:
    """Whether batch normalisation in a network goes over the whole batch that processes share."""
    for layer in network.modules():
        if isinstance(layer, BatchNorm):
            layer.whole = whole


def _whole_moments(batch: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,) and variance (C,) of the batch that all processes have together, and () of how
    many values in a channel they are; in the precision of `weight`, summed in float64."""
    mean, variance = torch.zeros_like(weight), torch.zeros_like(weight)
    count = batch.numel() // batch.shape[1]
    if count:  # the moments come in the precision of what is to be updated, here a copy
        mean, variance = torch.batch_norm_update_stats(batch, mean.clone(), variance.clone(), 0.0)
    mean, variance = mean.double(), variance.double()
    own = torch.cat([mean, variance + mean.square(), torch.ones_like(mean[:1])]) * count
    sums = distributed.sum_over_all(own)
    mean, square = (sums[:-1] / sums[-1]).chunk(2)
    variance = (square - mean.square()).clamp_min(0)
    return mean.to(weight.dtype), variance.to(weight.dtype), sums[-1].to(weight.dtype)


class _Normalised(torch.autograd.Function):
    """Batch normalisation with moments of a batch of which this process has a part only."""

    @staticmethod
    def forward(
        context: Any,
        batch: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        eps: float,
    ) -> Tensor:
        context.save_for_backward(batch, weight, mean, variance, count)
        context.eps = eps
        return torch.native_batch_norm(batch, weight, bias, mean, variance, False, 0.0, eps)[0]

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """dx = scale (dy - mean(dy) - x' mean(dy x')), with the normalised x' and means over the
        whole batch; the gradients of weight and bias are of one's own part."""
        batch, weight, mean, variance, count = context.saved_tensors
        own = torch.zeros(2, len(weight), dtype=weight.dtype, device=weight.device)
        if batch.numel():
            fixed = (batch, weight, mean, variance, None, None, False, context.eps)
            sums = torch.ops.aten.native_batch_norm_backward(gradient, *fixed, [False, True, True])
            own = torch.stack(sums[1:])
        along, offset = distributed.sum_over_all(own.clone()) / count
        deviation = torch.rsqrt(variance + context.eps)
        scale = weight * deviation
        slope = -scale * deviation * along
        wanted = _affine(gradient, scale, batch, slope, -scale * offset - slope * mean)
        return wanted, own[0], own[1], None, None, None, None


def _affine(first: Tensor, a: Tensor, second: Tensor, b: Tensor, shift: Tensor) -> Tensor:
    """first a + second b + shift, where a, b and shift have one number for each channel."""
    if first.dtype == a.dtype:
        a, b, shift = (numbers.view(-1, 1, 1) for numbers in (a, b, shift))
        return torch.addcmul(shift, first, a).addcmul_(second, b)
    # Numbers in bfloat16, factors in float32: normalising is quick at that, and exact.
    plain = torch.zeros_like(a), torch.ones_like(a), False, 0.0, 0.0
    result = torch.native_batch_norm(first, a, shift, *plain)[0]
    return result.add_(torch.native_batch_norm(second, b, plain[0], *plain)[0])


class ConvBlock(nn.Sequential):
    """3 x 3 convolution, batch normalisation, ReLU: (B, inputs, H, W) -> (B, outputs, H', W').

    stride  H' = ceil(H / stride[0]), W' = ceil(W / stride[1]); sides of any length will do.
    """

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
            BatchNorm(outputs),
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


def squared_errors(rebuilt: Tensor, batch: Tensor) -> Tensor:
    """Mean squared error of each window, (B,), of tensors (B, C, H, W); in float32.

    The same as `(rebuilt - batch).square().mean(dim=(1, 2, 3))` in a third of the time.
    """
    errors: Tensor = _SquaredErrors.apply(rebuilt.to(batch.dtype), batch)  # type: ignore[no-untyped-call]
    return errors


class _SquaredErrors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rebuilt: Tensor, batch: Tensor) -> Tensor:
        apart = rebuilt - batch
        ctx.save_for_backward(apart)
        return apart.flatten(1).square().mean(dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (apart,) = ctx.saved_tensors
        return apart * (gradient * (2 / apart.shape[1:].numel()))[:, None, None, None], None
