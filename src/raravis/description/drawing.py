"""The picture of a network: an SVG with a box for each layer, framed by the layers around them."""

from __future__ import annotations

import math
from html import escape

from torch import nn

from raravis.description.graph import Arrow, Box, Graph, Place, trace
from raravis.description.layers import Shape
from raravis.description.layout import Layout, Point, lay_out

TITLE, SMALL = 12.5, 10.5  # sizes of letters, px
MARGIN = 20.0
MOST_WEIGHTS = 4  # arrays named in a box; where there are more, they are counted
ROLES = {"Q": "#b5541c", "K": "#7a5195", "V": "#2f6f8f"}
STYLE = """
svg { background: #f8f6f1; font-family: system-ui, "Segoe UI", "Noto Sans", "DejaVu Sans", Arial,
  sans-serif; font-variant-numeric: tabular-nums; }
text { fill: #232b27; font-size: 12.5px; } .small { font-size: 10.5px; fill: #69726c; }
.title { font-weight: 600; } .kind { fill: #69726c; font-weight: 400; }
.frame { fill: #5a543c; fill-opacity: .045; stroke: #cbc6b9; }
.box { fill: #fffefb; stroke: #cbc6b9; } .learns { stroke: #4d837c; stroke-width: 1.4; }
.end { fill: #232b27; stroke: none; } .end + text, .end + text .title { fill: #fffefb; }
.arrow { fill: none; stroke: #7d857f; stroke-width: 1.3; }
.shape { font-size: 10.5px; fill: #4b544e; }
.under { fill: #f1efea; }
.halo { paint-order: stroke; stroke: #f1efea; stroke-width: 3px; stroke-linejoin: round; }
.role { font-size: 10.5px; font-weight: 700; fill: #fffefb; }
""".strip()


def graph_svg(network: nn.Module, shape: Shape, depth: int | None = None) -> str:
    """The graph that a window of `shape` (C, H, W) passes, as SVG.

    Boxes with a coloured border learn; under their name stand their parameters. At the arrows
    stand the shapes of tensors, without the batch, where they changed. What attention takes as
    queries, keys and values is marked Q, K and V.

    depth  >= 1: layers so many levels down are one box each; None draws as deep as is readable.

    Raises ParameterError for a depth below 1, and for a network that cannot be traced.
    """
    graph = trace(network, shape, depth)
    lines = {place: _lines(box) for place, box in graph.boxes.items()}
    room = {
        place: sum(100.0 if a.role else 60.0 for a in graph.arrows if a.target == place)
        for place in graph.boxes
    }

    def size(place: Place) -> tuple[float, float]:
        box = graph.boxes[place]
        title = _width(f"{box.title} {box.kind}", TITLE) + (26 if box.role else 0)
        widest = max([title, *(_width(line, SMALL) for line in lines[place])]) + 24
        return max(widest, 80.0, room[place]), 28.0 + 14.0 * len(lines[place])

    def header(place: Place) -> float:
        return _width(" ".join(graph.frames[place]) + _count(graph, place), TITLE) + 40

    frames = {place: box.frame for place, box in graph.boxes.items()}
    layout = lay_out(frames, [(a.source, a.target) for a in graph.arrows], size, header)
    return _page(graph, layout, lines)


def _page(graph: Graph, layout: Layout, lines: dict[Place, list[str]]) -> str:
    _, _, width, height = layout.frames[()]
    view = f"{-MARGIN:g} {-MARGIN:g} {width + 2 * MARGIN:.0f} {height + 2 * MARGIN:.0f}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" '
        f'width="{width + 2 * MARGIN:.0f}" height="{height + 2 * MARGIN:.0f}" role="img">',
        f"<title>{escape(graph.frames[()][1])}</title><style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0.8 L7.5 4 L0 7.2 z" fill="#7d857f"/>'
        "</marker></defs>",
    ]
    parts += [_frame(place, layout) for place in sorted(graph.frames, key=len)]
    parts += [f'<path class="arrow" d="{_path(way)}" marker-end="url(#head)"/>'
              for way in layout.arrows.values()]  # fmt: skip
    parts += [_box(box, lines[place], layout.boxes[place]) for place, box in graph.boxes.items()]
    parts += [_heading(graph, place, layout) for place in graph.frames]
    parts += [_role(arrow, layout) for arrow in graph.arrows if arrow.role]
    leaving: dict[Place, list[Arrow]] = {}
    for arrow in graph.arrows:
        if not arrow.role and _is_new(arrow, graph):
            leaving.setdefault(arrow.source, []).append(arrow)
    parts += [_shape(arrows, layout) for arrows in leaving.values()]
    return "\n".join([*parts, "</svg>\n"])


def _frame(place: Place, layout: Layout) -> str:
    x, y, width, height = layout.frames[place]
    return (
        f'<rect class="frame" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        'rx="10"/>'
    )


def _heading(graph: Graph, place: Place, layout: Layout) -> str:
    x, y, width, _ = layout.frames[place]
    name, kind = graph.frames[place]
    return (
        f'<text class="halo" x="{x + 12:.1f}" y="{y + 19:.1f}"><tspan class="title">{escape(name)}'
        f'</tspan> <tspan class="kind">{escape(kind)}</tspan></text>'
        f'<text class="halo small" text-anchor="end" x="{x + width - 12:.1f}" y="{y + 19:.1f}">'
        f"{_count(graph, place)}</text>"
    )


def _box(box: Box, lines: list[str], at: tuple[float, float, float, float]) -> str:
    x, y, width, height = at
    kind = "end" if box.title in ("input", "output") and not box.kind else "box"
    learns = " learns" if box.weights else ""
    middle = x + width / 2
    shift = 11 if box.role else 0
    parts = [
        f'<g><rect class="{kind}{learns}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" rx="{14 if kind == "end" else 6}"/>'
        f'<text text-anchor="middle" x="{middle + shift:.1f}" y="{y + 18.5:.1f}">'
        f'<tspan class="title">{escape(box.title)}</tspan> '
        f'<tspan class="kind">{escape(box.kind)}</tspan></text>'
    ]
    if box.role:
        parts.append(
            f'<circle cx="{x + 15:.1f}" cy="{y + 14:.1f}" r="8.5" fill="{ROLES[box.role]}"/>'
            f'<text class="role" text-anchor="middle" x="{x + 15:.1f}" y="{y + 17.8:.1f}">'
            f"{box.role}</text>"
        )
    parts += [
        f'<text class="small" text-anchor="middle" x="{middle:.1f}" y="{y + 33 + 14 * i:.1f}">'
        f"{escape(line)}</text>"
        for i, line in enumerate(lines)
    ]
    return "".join([*parts, "</g>"])


def _role(arrow: Arrow, layout: Layout) -> str:
    """Role and shape where an arrow arrives at attention."""
    x, y = layout.arrows[arrow.source, arrow.target][-1]
    role = f'<tspan font-weight="700" fill="{ROLES[arrow.role]}">{arrow.role}</tspan>'
    shape = _sides(arrow.shape)
    return f'<text class="halo shape" x="{x + 6:.1f}" y="{y - 7:.1f}">{role} {shape}</text>'


def _shape(arrows: list[Arrow], layout: Layout) -> str:
    """The shape of what leaves a box, on the side where fewer of the arrows go."""
    ways = [layout.arrows[a.source, a.target] for a in arrows]
    x, y = ways[0][0]
    shape = _sides(arrows[0].shape)
    width = _width(shape, SMALL)
    x += -width - 6 if any(way[1][0] > x + 1 for way in ways) else 6
    return (
        f'<rect class="under" x="{x - 2:.1f}" y="{y + 4:.1f}" width="{width + 4:.1f}" height="13" '
        f'rx="3"/><text class="shape" textLength="{width:.1f}" x="{x:.1f}" y="{y + 14:.1f}">'
        f"{shape}</text>"
    )


def _is_new(arrow: Arrow, graph: Graph) -> bool:
    """Whether a tensor has another shape than what it was made from."""
    return arrow.shape not in [a.shape for a in graph.arrows if a.target == arrow.source]


def _path(points: list[Point]) -> str:
    """A line through points that runs straight down at each of them."""
    x, y = points[0]
    path = [f"M{x:.1f} {y:.1f}"]
    for to_x, to_y in points[1:]:
        middle = (y + to_y) / 2
        if abs(to_x - x) < 0.5:
            path.append(f"L{to_x:.1f} {to_y:.1f}")
        else:
            path.append(f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    return " ".join(path)


def _lines(box: Box) -> list[str]:
    """What a box says of its parameters: two to a line, or only how many."""
    if len(box.weights) > MOST_WEIGHTS:
        total = sum(math.prod(shape) for shape in box.weights.values())
        return [f"{total:,} parameters in {len(box.weights)} arrays"]
    around = f"{box.layer}." if box.layer else ""
    named = [f"{n.removeprefix(around)} {_sides(shape)}" for n, shape in box.weights.items()]
    return [", ".join(named[at : at + 2]) for at in range(0, len(named), 2)]


def _count(graph: Graph, place: Place) -> str:
    """How many numbers are learned inside a frame, those used twice counted once."""
    inside: dict[str, Shape] = {}
    for box in graph.boxes.values():
        if box.frame[: len(place)] == place:
            inside |= box.weights
    total = sum(math.prod(shape) for shape in inside.values())
    return f"{total:,} parameters" if total else ""


def _sides(shape: Shape) -> str:
    return " × ".join(map(str, shape))


def _width(text: str, letters: float) -> float:
    return 0.57 * letters * len(text)
