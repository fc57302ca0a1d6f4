"""Autoencoders for stretches of time: dense, convolutional, recurrent, variational.

All squeeze a window through a code of a few numbers and back, and what they rebuild badly is
strange. They take windows (C, H, W) of any size. Where order in time matters to a network, the last
axis that is longer than 1 is time and those before it are its features: a window of a series
(C, W, 1) has C features at W rows, a sound clip (1, F, T) has F features at T frames.

A new one makes an `encoder` and a `decoder` in its constructor and is an `Autoencoder` here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from raravis.blocks import squared_errors
from raravis.errors import ParameterError
from raravis.models import register
from raravis.networks import Codes, Network, named_shape

Shape = tuple[int, int, int]
MOST_CODE = 32  # numbers in a code by default, if a quarter of the window's values are as many


class Autoencoder(Network):
    """Two halves: encoder (B, C, H, W) -> codes (B, latent), decoder back.

    reconstruction = decoder(encoder(window))
    loss = mean squared error;    term "reconstruction" = mean squared error per window
    """

    encoder: nn.Module
    decoder: nn.Module

    def __init__(self, shape: Shape, latent: int | None) -> None:
        super().__init__()
        name = getattr(self, "registered_name", type(self).__name__)
        if len(shape) != 3 or min(shape) < 1 or math.prod(shape) < 2:
            raise ParameterError(
                f"{name} takes windows of shape (C, H, W) with 2 values or more, got "
                f"{named_shape(shape)}"
            )
        if latent is not None and latent < 1:
            raise ParameterError(f"latent must be >= 1, got {latent}")
        self.shape = shape
        self.latent = latent or max(1, min(MOST_CODE, math.prod(shape) // 4))

    def codes(self, batch: Tensor) -> Tensor:
        """Codes (B, latent) of windows, which must be of the network's shape."""
        if batch.shape[1:] != self.shape:
            raise ParameterError(
                f"this network was built for windows of {named_shape(self.shape)}, got "
                f"{named_shape(batch.shape[1:])}: build one for that shape"
            )
        codes: Tensor = self.encoder(batch)
        return codes

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        """The mean squared error of each window."""
        return {"reconstruction": squared_errors(self.reconstruct(batch), batch)}

    def encode(self, batch: Tensor) -> Codes:
        """The code, and the mean squared error of each window as "reconstruction"."""
        codes = self.codes(batch)
        return Codes(codes, {"reconstruction": squared_errors(self.decoder(codes), batch)})

    def reconstruct(self, batch: Tensor) -> Tensor:
        """What the code alone brings back."""
        rebuilt: Tensor = self.decoder(self.codes(batch))
        return rebuilt


@register("dense-ae")
class DenseAutoencoder(Autoencoder):
    """Learns to rebuild windows from a short code, every value connected with every other.

    Linear layers with ReLU between them; the code and the reconstruction are linear. It knows no
    order of time or channels, and is quick where windows are small.

    shape   (C, H, W) of one window.
    hidden  widths of the layers from the window to the code, each >= 1; the way back mirrors them.
    latent  numbers in the code, >= 1; None takes a quarter of the window's values, 32 at most.

    For windows of 1000 values the defaults are 1000-512-32-512-1000, with 1,058,824 parameters.

    Source: Hinton & Salakhutdinov 2006, doi:10.1126/science.1127647, without its pretraining.
    """

    def __init__(
        self, shape: Shape, hidden: Sequence[int] = (512,), latent: int | None = None
    ) -> None:
        super().__init__(shape, latent)
        sizes = [math.prod(shape), *_widths(hidden), self.latent]
        self.encoder = nn.Sequential(Shaped(sizes[:1]), *_linear(sizes))
        self.decoder = nn.Sequential(*_linear(sizes[::-1]), Shaped(shape))


@register("conv1d-ae")
class Conv1dAutoencoder(Autoencoder):
    """Learns to rebuild windows from a short code by filters that slide along time.

    Each level convolves over five moments and halves the time; a linear layer makes the code of
    what is left. The way back repeats values to exactly the lengths met on the way down.

    shape   (C, H, W) of one window; its last axis longer than 1 is time.
    width   filters of each level, >= 1.
    depth   levels, >= 1.
    latent  numbers in the code, >= 1; None takes a quarter of the window's values, 32 at most.

    Source: Masci et al. 2011, doi:10.1007/978-3-642-21735-7_7, in one dimension, with strides in
    place of pooling.
    """

    def __init__(
        self, shape: Shape, width: int = 32, depth: int = 2, latent: int | None = None
    ) -> None:
        super().__init__(shape, latent)
        if width < 1 or depth < 1:
            raise ParameterError(f"width and depth must be >= 1, got {width} and {depth}")
        features, length = _in_time(shape)
        lengths = [length]
        for _ in range(depth):
            lengths.append((lengths[-1] + 1) // 2)
        top = (width, lengths[-1])
        down = [_convolution(i, width, stride=2) for i in [features, *[width] * (depth - 1)]]
        up = [_enlarged(width, to) for to in lengths[-2::-1]]
        self.encoder = nn.Sequential(
            Shaped(_in_time(shape)),
            *down,
            Shaped([math.prod(top)]),
            nn.Linear(math.prod(top), self.latent),
        )
        self.decoder = nn.Sequential(
            nn.Linear(self.latent, math.prod(top)),
            nn.ReLU(),
            Shaped(top),
            *up,
            nn.Conv1d(width, features, kernel_size=5, padding=2),
            Shaped(shape),
        )


@register("lstm-ae")
class LstmAutoencoder(Autoencoder):
    """Learns to rebuild windows from a short code by reading them moment after moment.

        code = W h_T                         h_T: state of the encoder after the last moment
        rebuilt moment t = U d_(T - t + 1)   d_k: state of the decoder when it saw the code k times

    shape   (C, H, W) of one window; its last axis longer than 1 is time.
    width   numbers in the state of encoder and decoder, >= 1.
    latent  numbers in the code, >= 1; None takes a quarter of the window's values, 32 at most.

    Sources: Malhotra et al. 2016, arXiv:1607.00148 (rebuilt backwards in time); Srivastava et al.
    2015, arXiv:1502.04681. Ours has a code shorter than the state, which the decoder sees at every
    step in place of its own last output, so that learning and use are the same.
    """

    def __init__(self, shape: Shape, width: int = 64, latent: int | None = None) -> None:
        super().__init__(shape, latent)
        if width < 1:
            raise ParameterError(f"width must be >= 1, got {width}")
        self.encoder = Reader(shape, width, self.latent)
        self.decoder = Writer(shape, width, self.latent)


@register("vae")
class VariationalAutoencoder(Autoencoder):
    """Learns to rebuild windows from a code that is blurred on purpose.

    The encoder gives a mean m and a deviation s for each number of the code. While learning, the
    decoder sees m + s noise, and codes are drawn to a standard normal:

        kl   = sum over the code of (m^2 + s^2 - log s^2 - 1) / 2      term "kl", per window
        loss = mean over windows of (squared error + beta kl) / values in a window

    Encoding and rebuilding take the mean, without noise: the same window gives the same numbers.

    shape   (C, H, W) of one window.
    hidden  widths of the layers from the window to the code, each >= 1; the way back mirrors them.
    latent  numbers in the code, >= 1; None takes a quarter of the window's values, 32 at most.
    beta    >= 0: how much the code costs. 1 expects residuals with variance 1/2.

    Sources: Kingma & Welling 2014, arXiv:1312.6114; beta as in Higgins et al. 2017,
    openreview.net/forum?id=Sy2fzU9gl.
    """

    def __init__(
        self,
        shape: Shape,
        hidden: Sequence[int] = (512,),
        latent: int | None = None,
        beta: float = 0.1,
    ) -> None:
        super().__init__(shape, latent)
        if beta < 0:
            raise ParameterError(f"beta must be >= 0, got {beta}")
        self.beta = beta
        sizes = [math.prod(shape), *_widths(hidden)]
        self.encoder = nn.Sequential(Shaped(sizes[:1]), *_linear([*sizes, 2 * self.latent]))
        self.decoder = nn.Sequential(*_linear([self.latent, *sizes[::-1]]), Shaped(shape))

    def codes(self, batch: Tensor) -> Tensor:
        """Means of the codes, (B, latent)."""
        return self._moments(batch)[0]

    def _moments(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Means and logarithms of the variances of the codes, each (B, latent)."""
        mean, log_variance = super().codes(batch).float().chunk(2, dim=1)
        return mean, log_variance

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        """Squared error through a blurred code, and beta kl, per value of each window."""
        mean, log_variance = self._moments(batch)
        blurred = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return {
            "reconstruction": squared_errors(self.decoder(blurred), batch),
            "kl": _kl(mean, log_variance) * (self.beta / math.prod(self.shape)),
        }

    def encode(self, batch: Tensor) -> Codes:
        """Means of the codes; "reconstruction", the mean squared error from them, and "kl"."""
        mean, log_variance = self._moments(batch)
        errors = squared_errors(self.decoder(mean), batch)
        return Codes(mean, {"reconstruction": errors, "kl": _kl(mean, log_variance)})


# --- parts -------------------------------------------------------------------------------------


class Shaped(nn.Module):
    """The same values in order, each item of the batch in another shape: (B, *shape)."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = (-1, *shape)

    def forward(self, batch: Tensor) -> Tensor:
        """(B, ...) -> (B, *shape)."""
        return batch.reshape(self.shape)


class Reader(nn.Module):
    """Reads a window from its first moment to its last: (B, C, H, W) -> (B, latent)."""

    def __init__(self, shape: Shape, width: int, latent: int) -> None:
        super().__init__()
        self.in_time = Shaped(_in_time(shape))
        self.lstm = nn.LSTM(_in_time(shape)[0], width, batch_first=True)
        self.squeeze = nn.Linear(width, latent)

    def forward(self, batch: Tensor) -> Tensor:
        """(B, C, H, W) -> codes (B, latent)."""
        _, (state, _) = self.lstm(self.in_time(batch).transpose(1, 2))
        codes: Tensor = self.squeeze(state[0])
        return codes


class Writer(nn.Module):
    """Writes a window from its last moment to its first: (B, latent) -> (B, C, H, W)."""

    def __init__(self, shape: Shape, width: int, latent: int) -> None:
        super().__init__()
        features, self.length = _in_time(shape)
        self.lstm = nn.LSTM(latent, width, batch_first=True)
        self.spread = nn.Linear(width, features)
        self.out_of_time = Shaped(shape)

    def forward(self, codes: Tensor) -> Tensor:
        """Codes (B, latent) -> (B, C, H, W)."""
        states, _ = self.lstm(codes[:, None].expand(-1, self.length, -1))  # (B, T, width)
        rebuilt: Tensor = self.out_of_time(self.spread(states).flip(1).transpose(1, 2))
        return rebuilt


def _in_time(shape: Shape) -> tuple[int, int]:
    """Features and moments of a window: the last axis longer than 1 is time."""
    channels, height, width = shape
    return (channels, height) if width == 1 else (channels * height, width)


def _widths(hidden: Sequence[int]) -> list[int]:
    if any(width < 1 for width in hidden):
        raise ParameterError(f"hidden must be widths >= 1, such as [512], got {list(hidden)}")
    return list(hidden)


def _linear(sizes: Sequence[int]) -> list[nn.Module]:
    """Linear layers from size to size, with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
    return layers[:-1]


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel_size=5, stride=stride, padding=2), nn.ReLU(inplace=True)
    )


def _enlarged(width: int, length: int) -> nn.Module:
    return nn.Sequential(nn.Upsample(length, mode="nearest"), _convolution(width, width, stride=1))


def _kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """How far the codes' normals lie from the standard one, (B,)."""
    return (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1) / 2
