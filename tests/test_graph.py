"""The picture of a network: what is in it, and that everything has a place of its own."""

import re
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

from raravis import models
from raravis.description import fresh_network, graph_svg
from raravis.description.graph import trace
from raravis.description.layout import lay_out
from raravis.errors import ParameterError
from raravis.networks import Network
from test_description import NETWORKS, ByHand, Twice, transformer


def titles(graph):
    return [box.title for box in graph.boxes.values()]


def arrows(graph):
    return [
        (graph.boxes[a.source].title, graph.boxes[a.target].title, a.shape, a.role)
        for a in graph.arrows
    ]


class Branching(nn.Module):
    """A residual connection around two layers, inside a frame inside a frame."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 6))
        self.after = nn.Linear(6, 2)

    def forward(self, batch: Tensor) -> Tensor:
        return self.after(batch + self.inner(batch))


def test_a_residual_connection_by_hand():
    graph = trace(Branching(), (6,))
    assert titles(graph) == ["input", "0", "1", "2", "add", "after", "output"]
    assert arrows(graph) == [
        ("input", "0", (6,), ""),
        ("0", "1", (9,), ""),
        ("1", "2", (9,), ""),
        ("input", "add", (6,), ""),
        ("2", "add", (6,), ""),
        ("add", "after", (6,), ""),
        ("after", "output", (2,), ""),
    ]
    assert list(graph.frames.values()) == [("", "Branching"), ("inner", "Sequential")]
    weights = graph.boxes[next(p for p in graph.boxes if p[-1].endswith("after"))].weights
    assert weights == {"after.weight": (2, 6), "after.bias": (2,)}


def test_depth_makes_layers_one_box_each():
    graph = trace(Branching(), (6,), depth=1)
    assert titles(graph) == ["input", "inner", "add", "after", "output"]
    assert len(next(b for b in graph.boxes.values() if b.title == "inner").weights) == 4


def test_large_networks_are_drawn_only_as_deep_as_is_readable():
    deep = nn.Sequential(*(Branching().inner for _ in range(30)))
    assert len(trace(deep, (6,)).boxes) == 30 + 2
    assert len(trace(deep, (6,), depth=2).boxes) == 90 + 2


def test_queries_keys_and_values_are_named_in_torch_attention():
    graph = trace(transformer(), (16, 64))
    named = {box.title: box.role for box in graph.boxes.values()}
    assert (named["queries"], named["keys"], named["values"]) == ("Q", "K", "V")
    assert ("queries", "attention", (4, 16, 16), "Q") in arrows(graph)
    assert ("values", "attention", (4, 16, 16), "V") in arrows(graph)
    assert {"in_proj", "out_proj"} <= set(named)
    assert ("layers.0", "TransformerEncoderLayer") in graph.frames.values()
    assert ("self_attn", "MultiheadAttention") in graph.frames.values()


@pytest.mark.parametrize("fused", [True, False])
def test_layers_that_attention_asks_are_marked(fused):
    graph = trace(ByHand(fused), (16, 32))
    roles = {box.title: box.role for box in graph.boxes.values()}
    assert [roles[name] for name in ("query", "key", "value")] == ["Q", "K", "V"]
    found = [role for *_, role in arrows(graph) if role]
    assert sorted(found) == ["K", "Q", "V"]
    assert ("Q · Kᵀ" in roles) != fused


def test_cross_attention_asks_what_a_learned_query_finds():
    class Asking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query = nn.Parameter(torch.zeros(1, 1, 32))
            self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

        def forward(self, batch: Tensor) -> Tensor:
            asked = self.query.expand(len(batch), -1, -1)
            return self.attention(asked, batch, batch, need_weights=False)[0]

    graph = trace(Asking(), (16, 32))
    roles = {box.title: box.role for box in graph.boxes.values()}
    assert [roles[name] for name in ("queries", "keys", "values")] == ["Q", "K", "V"]
    assert "part" not in roles and "in_proj" in roles
    (queries,) = [box for box in graph.boxes.values() if box.role == "Q"]
    assert set(queries.weights) == {
        "query", "attention.in_proj_weight", "attention.in_proj_bias"
    }  # fmt: skip


def test_a_layer_passed_twice_has_two_boxes_and_counts_once():
    svg = graph_svg(Twice(), (6,))
    assert svg.count(">layer</tspan>") == 2
    assert "42 parameters" in svg


def test_parameters_beside_layers_stand_where_they_are_used():
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(6))

        def forward(self, batch: Tensor) -> Tensor:
            return batch + self.shift

    (box,) = [b for b in trace(Shifted(), (6,)).boxes.values() if b.title == "add"]
    assert box.weights == {"shift": (6,)}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_drawn_with_all_that_it_learns(name):
    rebuilds = models.get(name).reconstruct is not Network.reconstruct
    shape = (8, 16, 1) if rebuilds else (2, 16, 13)
    network = fresh_network(name, shape)
    drawn = [w for box in trace(network, shape, depth=9).boxes.values() for w in box.weights]
    if not rebuilds:  # what leads to the code
        network.eval().encode(torch.ones(2, *shape)).embedding.sum().backward()
    learned = {
        weight: w.numel()
        for weight, w in network.named_parameters()
        if rebuilds or w.grad is not None
    }
    assert set(drawn) == set(learned)
    svg = graph_svg(network, shape)
    assert f"{sum(learned.values()):,} parameters" in svg
    assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_names_are_escaped():
    network = nn.Sequential()
    network.add_module("a<b", nn.Linear(2, 2))
    svg = graph_svg(network, (2,))
    assert "a&lt;b" in svg and ElementTree.fromstring(svg) is not None


def test_the_picture_refuses_and_says_why():
    class Choosing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 2)

        def forward(self, batch: Tensor) -> Tensor:
            return self.layer(batch) if batch.sum() > 0 else batch

    with pytest.raises(ParameterError, match=r"depth must be >= 1, got 0"):
        graph_svg(Branching(), (6,), depth=0)
    with pytest.raises(ParameterError, match="through Choosing cannot be traced, so there is no"):
        graph_svg(Choosing(), (6,))


# --- places --------------------------------------------------------------------------------------


def placed(network, shape):
    graph = trace(network, shape, depth=9)
    frames = {place: box.frame for place, box in graph.boxes.items()}
    pairs = [(a.source, a.target) for a in graph.arrows]
    return graph, lay_out(frames, pairs, lambda place: (120.0, 30.0), lambda place: 200.0)


EXAMPLES = pytest.mark.parametrize(
    ("network", "shape"),
    [
        (Branching(), (6,)),
        (ByHand(fused=False), (16, 32)),
        (transformer(2), (16, 64)),
        (fresh_network("conv-ae", (1, 64, 50), unet=True), (1, 64, 50)),
    ],
)


@EXAMPLES
def test_boxes_do_not_overlap_and_lie_within_their_frames(network, shape):
    graph, layout = placed(network, shape)
    for (ax, ay, aw, ah), (bx, by, bw, bh) in combinations(layout.boxes.values(), 2):
        assert ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay
    for place, (x, y, width, height) in layout.boxes.items():
        fx, fy, fw, fh = layout.frames[graph.boxes[place].frame]
        assert fx <= x and x + width <= fx + fw and fy <= y and y + height <= fy + fh


@EXAMPLES
def test_arrows_run_down_from_box_to_box_and_through_none(network, shape):
    _graph, layout = placed(network, shape)
    for (source, target), points in layout.arrows.items():
        assert all(a[1] <= b[1] + 1e-6 for a, b in pairwise(points))
        x, y, width, height = layout.boxes[source]
        assert x <= points[0][0] <= x + width and points[0][1] == pytest.approx(y + height)
        x, y, width, _ = layout.boxes[target]
        assert x <= points[-1][0] <= x + width and points[-1][1] == pytest.approx(y)
        for place, (bx, by, bw, bh) in layout.boxes.items():
            inside = [p for p in points if bx < p[0] < bx + bw and by < p[1] < by + bh]
            assert not inside, f"{source} -> {target} runs through {place}"


def test_the_main_path_of_a_chain_is_a_straight_line():
    chain = {("a",): (), ("f", "b"): ("f",), ("f", "c"): ("f",), ("d",): ()}
    pairs = [(("a",), ("f", "b")), (("f", "b"), ("f", "c")), (("f", "c"), ("d",))]
    layout = lay_out(chain, pairs, lambda place: (50.0, 20.0), lambda place: 0.0)
    xs = {round(x, 3) for points in layout.arrows.values() for x, _ in points}
    assert len(xs) == 1


def test_shapes_stand_where_they_change():
    svg = graph_svg(nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 2)), (6,))
    assert re.findall(r'class="shape"[^>]*>([^<]*)<', svg) == ["6", "9", "2"]
