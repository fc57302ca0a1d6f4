"""Vision transformers: every patch of a picture looks at all others, and where it looks is read.

In three published sizes and one, `vit-mini`, that learns in minutes without a graphics card.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from raravis.backbones import Backbone, register
from raravis.errors import ParameterError
from raravis.transformers import Block, Patches, learned, start, waves


class VisionTransformer(Backbone):
    """Cuts a picture into patches; a class token looks at all of them and sums the picture up.

        tokens = [class token, patches] + places            (B, 1 + N, D)
        tokens = norm(blocks(tokens))
        vector = tokens[0]                                  (B, D)
        maps   = tokens[1:]                                 (B, D, h, w)

    shape      (C, H, W) of a picture, of any C and any sides. Sides that are no multiple of the
               patch are made longer by repeating the last row and column.
    patch      side of a patch in pixels; None takes a power of two that makes 49 to 196 patches of
               all but tiny pictures: 4 for 28 x 28, 8 for 64 x 64, 16 for 224 x 224.
    width      D, numbers of a token, a multiple of `heads`.
    depth      blocks, >= 1.
    heads      of each attention, >= 1.
    positions  "learned", one vector for each place, or "sine", fixed waves, for which `width` must
               be a multiple of 4.

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
        if depth < 1:
            raise ParameterError(f"depth must be >= 1, got {depth}")
        if positions not in ("learned", "sine"):
            raise ParameterError(f"positions must be learned or sine, got {positions!r}")
        self.width = width
        self.patches = Patches(shape, patch, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.summary = learned(1, 1, width)  # the class token
        rows, columns = self.patches.places
        if positions == "learned":
            self.where: Tensor = learned(1, 1 + rows * columns, width)
        else:
            told = torch.cat([torch.zeros(1, width), waves(rows, columns, width)])
            self.register_buffer("where", told[None])
        start(self)

    def forward(self, batch: Tensor) -> Tensor:
        """The class token after the last normalisation, (B, D)."""
        return self._tokens(batch)[:, 0].float()

    def maps(self, batch: Tensor) -> Tensor:
        """The patches after the last normalisation, (B, D, h, w)."""
        patches = self._tokens(batch)[:, 1:].transpose(1, 2)  # (B, D, N)
        return patches.reshape(len(batch), self.width, *self.patches.places)

    def attention(self, batch: Tensor) -> Tensor:
        """Where the class token looks in the last block, (B, heads, h, w). Over all places it sums
        to less than 1: the rest goes to the class token itself."""
        tokens = self._embedded(batch)
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        last = cast(Block, self.blocks[-1])
        weights = last.weights(tokens)[:, :, 0, 1:]  # (B, heads, N)
        return weights.reshape(*weights.shape[:2], *self.patches.places)

    def _embedded(self, batch: Tensor) -> Tensor:
        patches = self.patches(batch)
        summary = self.summary.expand(len(batch), -1, -1)
        return torch.cat([summary, patches], dim=1) + self.where

    def _tokens(self, batch: Tensor) -> Tensor:
        tokens = self._embedded(batch)
        for block in self.blocks:
            tokens = block(tokens)
        normalised: Tensor = self.norm(tokens)
        return normalised


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
