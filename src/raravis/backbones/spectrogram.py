"""A small convolutional network for spectrograms, which keeps apart at which pitch things stand."""

from __future__ import annotations

from torch import Tensor, nn

from raravis.backbones import Backbone, register
from raravis.blocks import BatchNorm, ConvBlock
from raravis.errors import ParameterError
from raravis.networks import named_shape

HALVINGS = 3  # of both sides, before the bands are summed up

Shape = tuple[int, int, int]


@register("spectrogram-cnn")
class SpectrogramCNN(Backbone):
    """Spectrograms (B, C, F, T) of any length in, one vector for each out.

    Three convolutions halve bands and frames, rounding up, and double the channels. Then each
    number of the vector weighs all bands by itself, since the same shape at another pitch is
    another sound; over time it is

        vector = mean over time + largest over time                  (B, D)

    so that it says both what there is all along and what there is once.

    shape    (C, F, T) of a spectrogram: F >= 2 bands; of other spectrograms T may differ.
    channels of the first convolution, >= 2.
    width    D, >= 1.

    For 64 bands the defaults make 0.22 million parameters.

    Source: Niizumi et al. 2021, arXiv:2103.06695 (bands by weights of their own, mean plus largest
    over time), with strides for their maxima and one layer for their two.
    """

    def __init__(self, shape: Shape, channels: int = 32, width: int = 128) -> None:
        super().__init__()
        if len(shape) != 3 or min(shape) < 1 or shape[1] < 2:
            raise ParameterError(
                "spectrogram-cnn takes spectrograms of shape (C, F, T) with at least 2 bands, got "
                f"{named_shape(shape)}"
            )
        if channels < 2 or width < 1:
            raise ParameterError(
                f"channels must be >= 2 and width >= 1, got {channels} and {width}"
            )
        self.shape, self.width = (shape[0], shape[1], shape[2]), width
        self.look = nn.Sequential()
        inputs, bands = shape[0], shape[1]
        for level in range(HALVINGS):
            self.look.append(ConvBlock(inputs, channels * 2**level, (2, 2)))
            inputs, bands = channels * 2**level, (bands + 1) // 2
        self.sum_up = nn.Sequential(
            nn.Conv2d(inputs, width, kernel_size=(bands, 1), bias=False),
            BatchNorm(width),
            nn.ReLU(inplace=True),
        )

    def maps(self, batch: Tensor) -> Tensor:
        """(B, C, F, T) -> (B, D, 1, ceil(T / 8)): all bands, moment by moment."""
        if batch.ndim != 4 or tuple(batch.shape[1:3]) != self.shape[:2]:
            raise ParameterError(
                f"this spectrogram-cnn was built for {self.shape[0]} x {self.shape[1]} channels "
                f"and bands, (B, C, F, T), got {named_shape(batch.shape)}: build one for that shape"
            )
        maps: Tensor = self.sum_up(self.look(batch))
        return maps

    def forward(self, batch: Tensor) -> Tensor:
        """(B, C, F, T) -> vectors (B, D)."""
        along = self.maps(batch).float().squeeze(2)  # (B, D, t)
        return along.mean(dim=2) + along.amax(dim=2)
