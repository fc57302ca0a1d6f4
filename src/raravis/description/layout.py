"""A place for each part of a graph: layers from top to bottom, frames inside frames.

Every frame is laid out by itself, innermost first, and then is one large box in the frame around
it. What enters or leaves a frame does so at a port on its border. Long arrows get a lane of their
own in every layer that they pass, so that they run around boxes, not through them.

Sources: Sugiyama et al. 1981, doi:10.1109/TSMC.1981.4308636; the places within layers as in Gansner
et al. 1993, doi:10.1109/32.221135, by a linear programme.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import lil_array

Place = tuple[str, ...]
Size = tuple[float, float]
Point = tuple[float, float]
Item = tuple[str, Place]  # ("box" | "frame", its place), ("in" | "out", the tensor's source), ...
Link = tuple[Place, Item, Item]  # the tensor's source, from where, to where

GAP_X, GAP_Y = 26.0, 30.0
PADDING, HEADER = 16.0, 30.0  # of a frame
LANE = 8.0
SWEEPS = 12


@dataclass
class Layout:
    """Where everything is: (x, y, width, height) of boxes and frames, and the points of each arrow
    by source and target; y grows downwards."""

    boxes: dict[Place, tuple[float, float, float, float]] = field(default_factory=dict)
    frames: dict[Place, tuple[float, float, float, float]] = field(default_factory=dict)
    arrows: dict[tuple[Place, Place], list[Point]] = field(default_factory=dict)


def lay_out(
    boxes: Mapping[Place, Place],
    arrows: Sequence[tuple[Place, Place]],
    size: Callable[[Place], Size],
    header: Callable[[Place], float],
) -> Layout:
    """Places boxes so that arrows run downwards.

    boxes   place of a box -> the frame around it, in an order in which they can be computed.
    arrows  (source, target).
    size    width and height of a box; header, width that a frame's heading needs.
    """
    frames = {frame[:level] for frame in boxes.values() for level in range(len(frame) + 1)}
    panes: dict[Place, _Pane] = {}
    for frame in sorted(frames, key=len, reverse=True):
        panes[frame] = _Pane(frame, boxes, arrows, panes, size, header(frame))
    layout = Layout()
    _settle((), 0.0, 0.0, panes, layout)
    for source, target in arrows:
        points: list[Point] = []
        for frame, link in _links(source, target, boxes):
            x, y, *_ = layout.frames[frame]
            points += [(x + px, y + py) for px, py in panes[frame].way(link)]
        layout.arrows[source, target] = points
    return layout


def _settle(frame: Place, x: float, y: float, panes: dict[Place, _Pane], layout: Layout) -> None:
    """Turns places within frames into places on the page."""
    pane = panes[frame]
    layout.frames[frame] = (x, y, pane.width, pane.height)
    for (kind, place), (left, top) in pane.corners():
        if kind == "frame":
            _settle(place, x + left, y + top, panes, layout)
        elif kind == "box":
            layout.boxes[place] = (x + left, y + top, *pane.sizes[kind, place])


def _links(
    source: Place, target: Place, boxes: Mapping[Place, Place]
) -> Iterator[tuple[Place, Link]]:
    """The parts of an arrow, each within one frame: out of frames, across, into frames."""
    out_of, into = boxes[source], boxes[target]
    shared = 0
    while shared < min(len(out_of), len(into)) and out_of[shared] == into[shared]:
        shared += 1
    here: Item = ("box", source)
    for level in range(len(out_of), shared, -1):
        yield out_of[:level], (source, here, ("out", source))
        here = ("frame", out_of[:level])
    for level in range(shared, len(into)):
        yield into[:level], (source, here, ("frame", into[: level + 1]))
        here = ("in", source)
    yield into, (source, here, ("box", target))


class _Pane:
    """The inside of one frame, in its own coordinates."""

    def __init__(
        self,
        frame: Place,
        boxes: Mapping[Place, Place],
        arrows: Sequence[tuple[Place, Place]],
        panes: dict[Place, _Pane],
        size: Callable[[Place], Size],
        header: float,
    ) -> None:
        self.panes = panes
        self.links: list[Link] = list(
            dict.fromkeys(
                link
                for source, target in arrows
                for where, link in _links(source, target, boxes)
                if where == frame
            )
        )
        self.sizes: dict[Item, Size] = {}
        for place, around in boxes.items():
            if around == frame:
                self.sizes["box", place] = size(place)
            elif around[: len(frame)] == frame:
                inner = around[: len(frame) + 1]
                self.sizes["frame", inner] = panes[inner].width, panes[inner].height
        ports = [item for _, *ends in self.links for item in ends if item not in self.sizes]
        self.sizes |= dict.fromkeys(ports, (LANE, 0.0))
        self._rank()
        self._lanes()
        self._order()
        self._place(header)

    # --- layers ------------------------------------------------------------------------------

    def _rank(self) -> None:
        """Each item below all those that it needs, and no higher than it has to be."""
        self.rank = {item: 0 if item[0] == "in" else 1 for item in self.sizes}
        for _ in self.sizes:
            before = dict(self.rank)
            for _, first, second in self.links:
                self.rank[second] = max(self.rank[second], self.rank[first] + 1)
            if before == self.rank:
                break
        needing = {second for _, _, second in self.links}
        for item in self.sizes:
            below = [self.rank[second] for _, first, second in self.links if first == item]
            if item not in needing and item[0] != "in" and below:
                self.rank[item] = min(below) - 1
        last = 1 + max(rank for item, rank in self.rank.items() if item[0] != "out")
        self.rank |= {item: last for item in self.sizes if item[0] == "out"}

    def _lanes(self) -> None:
        """Cuts links so that each goes from one layer to the next. Links of the same tensor share
        their lanes."""
        self.steps: dict[Link, list[Item]] = {}
        for link in self.links:
            source, first, second = link
            between = range(self.rank[first] + 1, self.rank[second])
            lanes: list[Item] = [(f"lane {rank} {first[0]}", source) for rank in between]
            for rank, lane in zip(between, lanes, strict=True):
                self.sizes[lane], self.rank[lane] = (LANE, 0.0), rank
            self.steps[link] = [first, *lanes, second]
        self.pairs = dict.fromkeys(
            (link[0], *pair) for link, steps in self.steps.items() for pair in pairwise(steps)
        )

    def _order(self) -> None:
        """The order within each layer: by where the neighbours above, then those below, stand."""
        count = max(self.rank.values()) + 1
        self.layers: list[list[Item]] = [[] for _ in range(count)]
        for item in sorted(self.sizes, key=lambda item: item[0].startswith("lane")):
            self.layers[self.rank[item]].append(item)
        for sweep in range(SWEEPS):
            down = sweep % 2 == 0
            for layer in self.layers if down else self.layers[::-1]:
                at = {item: i for row in self.layers for i, item in enumerate(row)}
                middle = {
                    item: np.mean([at[n] for n in self._neighbours(item, down)] or [at[item]])
                    for item in layer
                }
                layer.sort(key=lambda item: float(middle[item]))

    def _neighbours(self, item: Item, above: bool) -> list[Item]:
        if above:
            return [first for _, first, second in self.pairs if second == item]
        return [second for _, first, second in self.pairs if first == item]

    # --- places ------------------------------------------------------------------------------

    def _place(self, header: float) -> None:
        self.x = dict(zip(self.sizes, self._straightest(), strict=True))  # of the middle
        left = min(self.x[item] - size[0] / 2 for item, size in self.sizes.items()) - PADDING
        right = max(self.x[item] + size[0] / 2 for item, size in self.sizes.items()) + PADDING
        more = max(0.0, header - (right - left))
        self.x = {item: x - left + more / 2 for item, x in self.x.items()}
        self.width = right - left + more
        y = 0.0 if any(item[0] == "in" for item in self.layers[0]) else HEADER - GAP_Y
        self.tops, self.heights = [], []
        for number, layer in enumerate(self.layers):
            tall = max((self.sizes[item][1] for item in layer), default=0.0)
            self.tops.append(y)
            self.heights.append(tall)
            is_header = number == 0 and y == 0.0
            y += tall + (HEADER + 14.0 if is_header else GAP_Y if layer else 0.0)
        is_open = any(item[0] == "out" for item in self.layers[-1])
        self.height = y - GAP_Y + (0.0 if is_open else PADDING)

    def _straightest(self) -> list[float]:
        """Places at which arrows bend least, and nothing in a layer overlaps.

        Least is the sum over arrows from layer to layer of stiffness |x of its end - x of its
        start|: a linear programme in the places and the bends.
        """
        number = {item: i for i, item in enumerate(self.sizes)}
        apart = [pair for layer in self.layers for pair in pairwise(layer)]
        bends = len(number) + np.arange(len(self.pairs))
        rows = lil_array((len(apart) + 2 * len(bends), len(number) + len(bends)))
        bounds: list[float] = []
        for left, right in apart:
            rows[len(bounds), number[left]], rows[len(bounds), number[right]] = 1, -1
            bounds.append(-(self.sizes[left][0] + self.sizes[right][0]) / 2 - GAP_X)
        for bend, (source, first, second) in zip(bends, self.pairs, strict=True):
            shift = self._leaves(first, source) - self._arrives(second, source)
            for sign in (1, -1):
                row = len(bounds)
                rows[row, number[first]], rows[row, number[second]] = sign, -sign
                rows[row, bend] = -1
                bounds.append(-sign * shift)
        cost = [0.0] * len(number) + [_stiffness(a, b) for _, a, b in self.pairs]
        found = linprog(cost, rows.tocsr(), bounds, bounds=(-1e5, 1e5)) if bounds else None
        return [0.0] * len(number) if found is None else found.x[: len(number)].tolist()

    def _arrives(self, item: Item, source: Place) -> float:
        """x, from the middle of an item, at which a tensor arrives."""
        width = self.sizes[item][0]
        if item[0] == "frame":
            return self.panes[item[1]].x["in", source] - width / 2
        if item[0] != "box":
            return 0.0
        arriving = sorted(
            (self.layers[self.rank[first]].index(first), tensor)
            for tensor, first, second in self.pairs
            if second == item
        )
        slot = [tensor for _, tensor in arriving].index(source)
        return width * ((slot + 0.5) / len(arriving) - 0.5)

    def _leaves(self, item: Item, source: Place) -> float:
        """x, from the middle of an item, at which a tensor leaves."""
        if item[0] != "frame":
            return 0.0
        return self.panes[item[1]].x["out", source] - self.sizes[item][0] / 2

    # --- what comes of it --------------------------------------------------------------------

    def corners(self) -> Iterator[tuple[Item, Point]]:
        """Upper left corner of each item."""
        for item, (width, _) in self.sizes.items():
            yield item, (self.x[item] - width / 2, self.tops[self.rank[item]])

    def way(self, link: Link) -> list[Point]:
        """The points of a link, from the bottom of one item to the top of another."""
        source, first, _ = link
        points = [(self.x[first] + self._leaves(first, source), self._floor(first))]
        for item in self.steps[link][1:]:
            x = self.x[item] + self._arrives(item, source)
            points.append((x, self.tops[self.rank[item]]))
            if item[0].startswith("lane"):
                points.append((x, self.tops[self.rank[item]] + self.heights[self.rank[item]]))
        return points

    def _floor(self, item: Item) -> float:
        return self.tops[self.rank[item]] + self.sizes[item][1]


def _stiffness(first: Item, second: Item) -> float:
    """How much an arrow from layer to layer resists a bend: most within its lane."""
    lanes = first[0].startswith("lane") + second[0].startswith("lane")
    return (2.0, 1.0, 8.0)[lanes]
