"""What transformers are made of: attention that can be read, blocks of it, places told to tokens.

A picture becomes a row of tokens (B, N, D), one for each patch, and every token looks at all the
others. Nothing here normalises over a batch, so a window's answer does not depend on the others.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from raravis.errors import ParameterError

LONGEST_WAVE = 10_000.0  # tokens; of `waves`


class Attention(nn.Module):
    """Each token asks all tokens of a memory, and takes from each as much as it fits the question.

        weights = softmax(question key^T / sqrt(D / heads))     (B, heads, N, M), rows sum to 1
        answer  = joined(weights value)                         (B, N, D)

    width  D, numbers of a token, a multiple of `heads`.
    heads  >= 1, how many questions each token asks at once.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or width < heads or width % heads:
            raise ParameterError(
                f"width must be a multiple of heads, both >= 1, got width {width} and heads {heads}"
            )
        self.heads = heads
        self.asking = nn.Linear(width, width)
        self.answering = nn.Linear(width, 2 * width)
        self.joined = nn.Linear(width, width)

    def forward(self, tokens: Tensor, memory: Tensor | None = None) -> Tensor:
        """Tokens (B, N, D), which ask the memory (B, M, D) or, without one, each other."""
        question, key, value = self._heads(tokens, memory)
        answer = nn.functional.scaled_dot_product_attention(question, key, value)
        return self._together(answer)

    def reading(self, tokens: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `forward`, and the weights (B, heads, N, M) that it took; slower."""
        question, key, value = self._heads(tokens, memory)
        fit = question @ key.transpose(2, 3) / math.sqrt(question.shape[3])
        weights = fit.float().softmax(dim=3)
        return self._together(weights.to(value.dtype) @ value), weights

    def _heads(self, tokens: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        held = self.answering(tokens if memory is None else memory)
        key, value = held.chunk(2, dim=2)
        return self._split(self.asking(tokens)), self._split(key), self._split(value)

    def _split(self, tokens: Tensor) -> Tensor:
        count, length, width = tokens.shape
        apart = tokens.reshape(count, length, self.heads, width // self.heads)
        return apart.transpose(1, 2)  # (B, heads, N, D / heads)

    def _together(self, answer: Tensor) -> Tensor:
        joined: Tensor = self.joined(answer.transpose(1, 2).flatten(2))
        return joined


class Block(nn.Module):
    """Tokens look at each other, perhaps at a memory too, then each thinks by itself.

        tokens += attention(norm(tokens))
        tokens += attention(norm(tokens), memory)      where `crosses`
        tokens += mlp(norm(tokens))

    width    D, numbers of a token, a multiple of `heads`.
    heads    >= 1, of each attention.
    spread   > 0, the hidden layer of the mlp has spread x D numbers.
    crosses  true in a decoder, whose tokens also look at what an encoder made.

    Sources: Vaswani et al. 2017, arXiv:1706.03762; normalised before each step as by Xiong et al.
    2020, arXiv:2002.04745, so that it learns without a slow start.
    """

    def __init__(self, width: int, heads: int, spread: float = 4.0, crosses: bool = False) -> None:
        super().__init__()
        if spread <= 0:
            raise ParameterError(f"spread must be > 0, got {spread}")
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.crosses = crosses
        if crosses:
            self.norm_before_memory = nn.LayerNorm(width)
            self.memory_attention = Attention(width, heads)
        self.norm_before_mlp = nn.LayerNorm(width)
        hidden = max(1, round(spread * width))
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, tokens: Tensor, memory: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D); `memory` (B, M, D) where the block crosses."""
        return self._thought(tokens + self.attention(self.norm(tokens)), memory)

    def reading(self, tokens: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `forward`, and where each token looked among the others, (B, heads, N, N); slower."""
        answer, weights = self.attention.reading(self.norm(tokens))
        return self._thought(tokens + answer, memory), weights

    def _thought(self, tokens: Tensor, memory: Tensor | None) -> Tensor:
        if self.crosses:
            tokens = tokens + self.memory_attention(self.norm_before_memory(tokens), memory)
        thought: Tensor = self.mlp(self.norm_before_mlp(tokens))
        return tokens + thought


class Patches(nn.Module):
    """Cuts pictures into square patches and makes each a token, in order of rows.

    shape  (C, H, W) of a picture. Where a side is no multiple of `patch`, the picture's last row
           and column are repeated below and to the right.
    patch  pixels, >= 1 and at most the longer side; None chooses by `patch_for`.
    width  D, numbers of a token.

    Source: Dosovitskiy et al. 2021, arXiv:2010.11929.
    """

    def __init__(self, shape: tuple[int, int, int], patch: int | None, width: int) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.patch = patch_for(*shape[1:]) if patch is None else patch
        if not 1 <= self.patch <= max(shape[1:]):
            raise ParameterError(
                f"patch must be from 1 to the longer side of {shape[1]} x {shape[2]} pixels, got "
                f"{self.patch}"
            )
        rows, columns = (math.ceil(side / self.patch) for side in shape[1:])
        self.places = rows, columns
        self.short = (rows * self.patch - shape[1], columns * self.patch - shape[2])
        self.see = nn.Linear(shape[0] * self.patch**2, width)

    def cut(self, batch: Tensor) -> Tensor:
        """Pictures (B, C, H, W) as patches (B, N, C patch patch), before anything is learned."""
        if tuple(batch.shape[1:]) != self.shape:
            raise ParameterError(
                f"this transformer was built for pictures of shape {self.shape}, got "
                f"{tuple(batch.shape[1:])}: build one for that shape"
            )
        below, right = self.short
        if below:
            batch = torch.cat([batch, batch[:, :, -1:].expand(-1, -1, below, -1)], dim=2)
        if right:
            batch = torch.cat([batch, batch[..., -1:].expand(-1, -1, -1, right)], dim=3)
        rows, columns = self.places
        side = self.patch
        cut = batch.reshape(len(batch), self.shape[0], rows, side, columns, side)
        return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)

    def over_pixels(self, places: Tensor) -> Tensor:
        """One number for each patch, (B, h, w), as a smooth map over the pixels, (B, H, W)."""
        whole = tuple(side * self.patch for side in self.places)
        smooth = nn.functional.interpolate(places[:, None].float(), whole, mode="bilinear")
        return smooth[:, 0, : self.shape[1], : self.shape[2]]

    def forward(self, batch: Tensor) -> Tensor:
        """Pictures (B, C, H, W) -> tokens (B, N, D)."""
        tokens: Tensor = self.see(self.cut(batch))
        return tokens


class Paste(nn.Module):
    """Patches (B, N, C patch patch) -> pictures (B, C, H, W): what `Patches.cut` cut, back again.

    shape, patch  as those patches were cut.
    """

    def __init__(self, shape: tuple[int, int, int], patch: int) -> None:
        super().__init__()
        self.shape, self.patch = shape, patch

    def forward(self, cut: Tensor) -> Tensor:
        """The picture, without what was repeated to fill the last patches."""
        channels, height, width = self.shape
        side, rows, columns = self.patch, -(-height // self.patch), -(-width // self.patch)
        apart = cut.reshape(len(cut), rows, columns, channels, side, side)
        whole = apart.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
        return whole[:, :, :height, :width]


class Encoder(nn.Module):
    """A picture as tokens that have looked at each other: leading ones, then one for each patch.

        tokens = [leading tokens, patches] + places         (B, L + N, D)
        tokens = norm(blocks(tokens))

    shape      (C, H, W) of a picture; see `Patches` for sides that are no multiple of the patch.
    patch      side of a patch in pixels; None chooses by `patch_for`.
    width      D, numbers of a token, a multiple of `heads`.
    depth      blocks, >= 1.
    heads      of each attention, >= 1.
    positions  "learned", one vector for each place, or "sine", fixed waves, for which `width` must
               be a multiple of 4.
    leading    L, tokens that are no patches, >= 1. The first is the class token.

    Source: Dosovitskiy et al. 2021, arXiv:2010.11929, without dropout. Weights are drawn as torch
    draws those of linear layers, with a deviation that goes by the width: at 768 it is the 0.02 of
    the paper, which for narrow tokens is so little that learning hardly begins.
    """

    where: Tensor

    def __init__(
        self,
        shape: tuple[int, int, int],
        patch: int | None,
        width: int,
        depth: int,
        heads: int,
        positions: str,
        leading: int = 1,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ParameterError(f"depth must be >= 1, got {depth}")
        if positions not in ("learned", "sine"):
            raise ParameterError(f"positions must be learned or sine, got {positions!r}")
        self.patches = Patches(shape, patch, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.leading = learned(1, leading, width)
        rows, columns = self.patches.places
        if positions == "learned":
            self.where = learned(1, leading + rows * columns, width)
        else:
            told = torch.cat([torch.zeros(leading, width), waves(rows, columns, width)])
            self.register_buffer("where", told[None])

    def forward(self, batch: Tensor, seen: Tensor | None = None) -> Tensor:
        """Pictures (B, C, H, W) -> (B, L + N, D); or (B, L + V, D) of the patches `seen` (B, V)
        only, by number, where the others are hidden."""
        tokens = self._embedded(batch, seen)
        for block in self.blocks:
            tokens = block(tokens)
        normalised: Tensor = self.norm(tokens)
        return normalised

    def reading(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, and where the class token looks in the last block, (B, heads, h, w). Over
        all places that sums to less than 1: the rest goes to the leading tokens."""
        tokens = self._embedded(batch, None)
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        tokens, weights = cast(Block, self.blocks[-1]).reading(tokens)
        weights = weights[:, :, 0, self.leading.shape[1] :]  # (B, heads, N)
        return self.norm(tokens), weights.reshape(*weights.shape[:2], *self.patches.places)

    def _embedded(self, batch: Tensor, seen: Tensor | None) -> Tensor:
        leading = self.leading.expand(len(batch), -1, -1)
        tokens = torch.cat([leading, self.patches(batch)], dim=1) + self.where
        if seen is None:
            return tokens
        count = leading.shape[1]
        chosen = (seen + count)[:, :, None].expand(-1, -1, tokens.shape[2])
        return torch.cat([tokens[:, :count], tokens.gather(1, chosen)], dim=1)


def patch_for(height: int, width: int) -> int:
    """Side in pixels of the patches of a picture, a power of two: the largest up to 16 that leaves
    49 patches, if there is one; twice as large as long as there are more than 196."""

    def count(side: int) -> int:
        return math.ceil(height / side) * math.ceil(width / side)

    side = max((s for s in (1, 2, 4, 8, 16) if count(s) >= 49), default=1)
    while count(side) > 196:
        side *= 2
    return side


def waves(rows: int, columns: int, width: int) -> Tensor:
    """Where each patch is, told in sines and cosines of its row and its column, (N, width).

    width  a multiple of 4: a quarter each of sines and cosines of the row, then of the column.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5, once for each side.
    """
    if width < 4 or width % 4:
        raise ParameterError(f"sine positions need a width that is a multiple of 4, got {width}")
    rates = LONGEST_WAVE ** -(torch.arange(width // 4) / (width // 4))
    sides = []
    for side, along in ((rows, 1), (columns, 0)):
        angles = torch.arange(side)[:, None] * rates  # (side, width / 4)
        told = torch.cat([angles.sin(), angles.cos()], dim=1).unsqueeze(along)
        sides.append(told.expand(rows, columns, -1))
    return torch.cat(sides, dim=2).flatten(0, 1)


def learned(*shape: int) -> nn.Parameter:
    """Tokens or places that are learned: drawn with deviation 0.02, none beyond two deviations."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(*shape), std=0.02, a=-0.04, b=0.04))
