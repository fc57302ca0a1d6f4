"""Vision transformers: every patch of a picture looks at all others, and where it looks is read.

In three published sizes and one, `vit-mini`, that learns in minutes without a graphics card.
"""

from __future__ import annotations

from torch import Tensor

from raravis.backbones import Backbone, register
from raravis.transformers import Encoder


class VisionTransformer(Backbone):
    """Cuts a picture into patches; a class token looks at all of them and sums the picture up.

        tokens = encoder(picture)                           (B, 1 + N, D)
        vector = tokens[0]                                  (B, D)
        maps   = tokens[1:]                                 (B, D, h, w)

    shape      (C, H, W) of a picture, of any C and any sides. Sides that are no multiple of the
               patch are made longer by repeating the last row and column.
    patch      side of a patch in pixels; None takes a power of two that makes 49 to 196 patches of
               all but tiny pictures: 4 for 28 x 28, 8 for 64 x 64, 16 for 224 x 224.
    width, depth, heads, positions
               as in `transformers.Encoder`.

    Sources: Dosovitskiy et al. 2021, arXiv:2010.11929; sizes, class token and reading of attention
    as in Caron et al. 2021, arXiv:2104.14294 (DINO). Without dropout.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        patch: int | None,
        width: int,
        depth: int,
        heads: int,
        positions: str,
    ) -> None:
        super().__init__()
        self.width = width
        self.encoder = Encoder(shape, patch, width, depth, heads, positions)

    def forward(self, batch: Tensor) -> Tensor:
        """The class token after the last normalisation, (B, D)."""
        tokens: Tensor = self.encoder(batch)
        return tokens[:, 0].float()

    def maps(self, batch: Tensor) -> Tensor:
        """The patches after the last normalisation, (B, D, h, w)."""
        patches = self.encoder(batch)[:, 1:].transpose(1, 2)  # (B, D, N)
        maps: Tensor = patches.reshape(len(batch), self.width, *self.encoder.patches.places)
        return maps

    def attention(self, batch: Tensor) -> Tensor:
        """Where the class token looks in the last block, (B, heads, h, w). Over all places it sums
        to less than 1: the rest goes to the class token itself."""
        looks: Tensor = self.encoder.reading(batch)[1]
        return looks


@register("vit-mini")
class MiniVisionTransformer(VisionTransformer):
    """A vision transformer of 0.8 M weights, for small pictures and processors without a card.

    Settings and sources: `VisionTransformer`.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        patch: int | None = None,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        positions: str = "learned",
    ) -> None:
        super().__init__(shape, patch, width, depth, heads, positions)


@register("vit-tiny")
class TinyVisionTransformer(VisionTransformer):
    """The published ViT-Ti: 5.5 M weights. Settings and sources: `VisionTransformer`."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        patch: int | None = None,
        width: int = 192,
        depth: int = 12,
        heads: int = 3,
        positions: str = "learned",
    ) -> None:
        super().__init__(shape, patch, width, depth, heads, positions)


@register("vit-small")
class SmallVisionTransformer(VisionTransformer):
    """The published ViT-S: 21.7 M weights. Settings and sources: `VisionTransformer`."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        patch: int | None = None,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        positions: str = "learned",
    ) -> None:
        super().__init__(shape, patch, width, depth, heads, positions)


@register("vit-base")
class BaseVisionTransformer(VisionTransformer):
    """The published ViT-B: 85.8 M weights. Settings and sources: `VisionTransformer`."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        patch: int | None = None,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        positions: str = "learned",
    ) -> None:
        super().__init__(shape, patch, width, depth, heads, positions)
