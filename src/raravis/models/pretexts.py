"""Networks that learn by a game with known answers: how was this turned, how were tiles mixed.

A network that can tell has seen what windows are made of. Where it cannot tell, the window is not
like those it learned from.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import permutations as all_orders
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raravis import backbones
from raravis.errors import ParameterError
from raravis.models import register
from raravis.networks import Codes, Network, named_shape
from raravis.turning import chosen, every_turn, turns_of
from raravis.windows import IntArray

Shape = tuple[int, int, int]
HIDDEN = 256  # numbers between the tiles and the orders
GAP = 0.15  # of the side of a cell, between tiles on average; 11 of 75 pixels in the paper


@register("rotation")
class Rotation(Network):
    """Learns to tell by how many quarters a window was turned.

        told          = head(backbone(turned window))          (T B, T)
        part and term = mean over the T turns of -ln(chance given to the true one)   (B,)
        embedding     = backbone(window)                       (B, D)

    Each window is seen in all its turns, in learning and in judging, so nothing is drawn. Square
    windows have four turns; others only two (as they are, and upside down), since a quarter turn
    would change their shape. A window whose turns look alike, such as plain sky, stays strange.

    shape     (C, H, W) or (H, W) of one window.
    backbone  name of what turns a window into numbers; see `backbones`.
    options   settings of the backbone, by name.

    Sources: Gidaris et al. 2018, arXiv:1803.07728; judging by how surely each turn is told: Golan &
    El-Yaniv 2018, arXiv:1805.10917, the simpler of their two scores.
    """

    def __init__(
        self,
        shape: tuple[int, int] | Shape,
        backbone: str = "resnet-small",
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        whole = _checked(shape, "rotation")
        self.turns = len(turns_of(*whole[1:]))
        self.backbone = backbones.create(backbone, shape=whole, **(options or {}))
        self.tell = nn.Linear(self.backbone.width, self.turns)

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        """How little is known of the turns, on average."""
        return {"rotation": self._told(batch)[1]}

    def encode(self, batch: Tensor) -> Codes:
        """What the backbone makes of the window as it is, and how little is known of the turns."""
        vectors, surprise = self._told(batch)
        return Codes(vectors, {"rotation": surprise})

    def _told(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (B, D) of the windows as they are, and surprises (B,)."""
        vectors = self.backbone(every_turn(batch).flatten(0, 1))  # (T B, D)
        true = torch.arange(self.turns, device=batch.device).repeat_interleave(len(batch))
        surprise = nn.functional.cross_entropy(self.tell(vectors).float(), true, reduction="none")
        return vectors[: len(batch)], surprise.reshape(self.turns, len(batch)).mean(dim=0)


@register("jigsaw")
class Jigsaw(Network):
    """Learns to tell in which order the tiles of a window were laid out.

        vectors       = backbone(each tile)                    (B, G, D)
        told          = head(vectors in another order)         (B, P)
        part          = -ln(chance given to the true order), of `draws` orders drawn anew   (B,)
        term          = the same, mean over all P orders
        embedding     = mean of the vectors                    (B, D)

    While learning, each tile is cut at a random place of its cell, so that edges and gradients that
    run on from tile to tile give nothing away; in judging, from the middle.

    shape     (C, H, W) or (H, W) of one window.
    backbone  name of what turns a tile into numbers; see `backbones`.
    options   settings of the backbone, by name.
    grid      2 or 3: each side is cut into as many cells; one shorter than 2 x grid stays whole.
    orders    P >= 2, how many orders are told apart, at most as many as there are. They differ from
              each other in as many places as can be; the first is the order as it is.
    draws     orders in which each window is shown in a step, >= 1; they cost little, since tiles
              are seen once.

    Sources: Noroozi & Favaro 2016, arXiv:1603.09246, whose tiles are also normalised one by one,
    and who choose orders by their mean distance, not by the least; judging as in `Rotation`.
    """

    def __init__(
        self,
        shape: tuple[int, int] | Shape,
        backbone: str = "resnet-small",
        options: dict[str, Any] | None = None,
        grid: int = 3,
        orders: int = 32,
        draws: int = 4,
    ) -> None:
        super().__init__()
        channels, height, width = _checked(shape, "jigsaw")
        if grid not in (2, 3) or orders < 2 or draws < 1:
            raise ParameterError(
                "jigsaw takes a grid of 2 or 3, orders >= 2 and draws >= 1, got "
                f"{grid}, {orders} and {draws}"
            )
        self.draws = draws
        self.grid = tuple(grid if side >= 2 * grid else 1 for side in (height, width))
        tiles = math.prod(self.grid)
        if tiles == 1:
            raise ParameterError(
                f"jigsaw with a grid of {grid} needs a side of at least {2 * grid}, got windows of "
                f"{named_shape(shape)}: use larger windows"
            )
        self.cell = height // self.grid[0], width // self.grid[1]
        self.tile = tuple(_with_gap(s, g) for s, g in zip(self.cell, self.grid, strict=True))
        far = far_orders(tiles, min(orders, math.factorial(tiles)))
        self.register_buffer("orders", torch.from_numpy(far), persistent=False)
        tile = (channels, *self.tile)
        self.backbone = backbones.create(backbone, shape=tile, **(options or {}))
        self.tell = nn.Sequential(
            nn.Linear(tiles * self.backbone.width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, len(far))
        )

    orders: Tensor

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        """How little is known of a few orders that are drawn, on average."""
        vectors = self._vectors(self._cut(batch))
        drawn = chosen(batch, len(self.orders), self.draws)  # (B, draws)
        return {"jigsaw": torch.stack([self._surprise(vectors, d) for d in drawn.T]).mean(dim=0)}

    def encode(self, batch: Tensor) -> Codes:
        """What the backbone makes of the tiles, and how little is known of the orders."""
        vectors = self._vectors(self._cut(batch, is_drawn=False))
        every = torch.arange(len(self.orders), device=batch.device)
        surprises = [self._surprise(vectors, each.expand(len(batch))) for each in every]
        return Codes(vectors.mean(dim=1), {"jigsaw": torch.stack(surprises).mean(dim=0)})

    def _surprise(self, vectors: Tensor, which: Tensor) -> Tensor:
        """-ln(chance given to the true order), (B,), of tiles (B, G, D) laid out in it."""
        order = self.orders[which][:, :, None].expand(-1, -1, vectors.shape[2])
        told = self.tell(vectors.gather(1, order).flatten(1))
        return nn.functional.cross_entropy(told.float(), which, reduction="none")

    def _vectors(self, tiles: Tensor) -> Tensor:
        """Tiles (B, G, C, h, w) -> (B, G, D)."""
        vectors: Tensor = self.backbone(tiles.flatten(0, 1))
        return vectors.reshape(*tiles.shape[:2], self.backbone.width)

    def _cut(self, batch: Tensor, is_drawn: bool = True) -> Tensor:
        """Windows (B, C, H, W) as tiles (B, G, C, h, w), each from its cell: from a place that is
        drawn, or from the middle."""
        rows, columns = self.grid
        (high, wide), (tall, broad) = self.cell, self.tile
        cells = batch[:, :, : rows * high, : columns * wide]
        cells = cells.reshape(len(batch), batch.shape[1], rows, high, columns, wide)
        cells = cells.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (B, G, C, high, wide)
        room = high - tall, wide - broad
        if not is_drawn:
            top, left = room[0] // 2, room[1] // 2
            return cells[..., top : top + tall, left : left + broad]
        every = cells.unfold(3, tall, 1).unfold(4, broad, 1)  # (B, G, C, places, places, h, w)
        window = torch.arange(len(batch), device=batch.device)[:, None]
        tile = torch.arange(rows * columns, device=batch.device)
        down, right = (chosen(batch, side + 1, rows * columns) for side in room)
        return every[window, tile, :, down, right]


def far_orders(tiles: int, count: int) -> IntArray:
    """Orders of so many tiles that differ from each other in as many places as can be, (count,
    tiles): one after the other that whose nearest among those chosen is farthest, then that which
    is farthest from all of them, then the first in the order of counting. The first is 0, 1, 2...

    tiles  1 to 9: all orders are looked through.
    count  at most tiles!
    """
    return _far_orders(tiles, count).copy()


@lru_cache
def _far_orders(tiles: int, count: int) -> IntArray:
    every = np.array(list(all_orders(range(tiles))), dtype=np.int8)  # (tiles!, tiles)
    least = np.full(len(every), tiles + 1)
    total = np.zeros(len(every), dtype=np.int64)
    found = [0]
    for _ in range(count - 1):
        apart = (every != every[found[-1]]).sum(axis=1)  # of each to the one chosen last
        least, total = np.minimum(least, apart), total + apart
        found.append(int(np.argmax(least * (tiles * count + 1) + total)))
    return every[found].astype(np.int64)


def _with_gap(cell: int, cells: int) -> int:
    """Pixels of a tile in a cell of so many; all of them where a side is not cut."""
    return cell if cells == 1 else max(1, cell - max(1, round(GAP * cell)))


def _checked(shape: tuple[int, ...], name: str) -> Shape:
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ParameterError(
            f"{name} takes windows of shape (H, W) or (C, H, W), got {named_shape(shape)}"
        )
    return shape[0] if len(shape) == 3 else 1, shape[-2], shape[-1]
