"""What a model is made of, counted by hand and held against torch's own counter."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

from raravis import models
from raravis.description import (
    describe_learned,
    describe_network,
    fresh_network,
    parts_of,
)
from raravis.detector import Detector
from raravis.errors import ParameterError
from raravis.networks import Network

NETWORKS = [
    name
    for name in models.names()
    if isinstance(models.get(name), type) and issubclass(models.get(name), Network)
]


class Tiny(Network):
    """Two layers whose sizes can be counted on paper."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, kernel_size=3, padding=1)
        self.second = nn.Conv2d(4, 1, kernel_size=1, bias=False)

    def reconstruct(self, batch: Tensor) -> Tensor:
        return self.second(self.first(batch))


class ByHand(nn.Module):
    """Attention written out: softmax(Q K^T) V."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(32, 32) for _ in range(3))
        self.fused = fused

    def forward(self, batch: Tensor) -> Tensor:
        q, k, v = self.query(batch), self.key(batch), self.value(batch)
        if self.fused:
            return scaled_dot_product_attention(q, k, v)
        return (q @ k.transpose(1, 2) / 32**0.5).softmax(-1) @ v


class Twice(nn.Module):
    """One layer that is passed two times."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, batch: Tensor) -> Tensor:
        return self.layer(self.layer(batch))


def transformer(layers: int = 1) -> nn.Module:
    layer = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True)
    return nn.TransformerEncoder(layer, layers)


def multiply_adds(network: nn.Module, shape: tuple[int, ...]) -> int:
    return sum(row.multiply_adds for row in describe_network(network, shape))


def test_layers_shapes_and_parameters_by_hand():
    rows = describe_network(Tiny(), (1, 6, 5))
    assert [(r.name, r.kind, r.inputs, r.outputs, r.parameters) for r in rows] == [
        ("first", "Conv2d", (1, 6, 5), (4, 6, 5), 4 * 9 + 4),
        ("second", "Conv2d", (4, 6, 5), (1, 6, 5), 4),
    ]
    assert [r.multiply_adds for r in rows] == [6 * 5 * 4 * 9, 6 * 5 * 4]
    assert [r.bytes for r in rows] == [160, 16]


@pytest.mark.parametrize(
    ("network", "shape", "expected"),
    [
        (nn.Linear(6, 7), (6,), 6 * 7),
        (nn.Linear(6, 7), (5, 6), 5 * 6 * 7),
        (nn.Conv1d(4, 6, 5, stride=2, padding=2), (4, 9), 5 * 6 * 4 * 5),
        (nn.Conv2d(4, 6, 3, groups=2), (4, 8, 7), 6 * 5 * 6 * 2 * 9),
        (nn.ConvTranspose1d(3, 5, 4, stride=2), (3, 6), 6 * 3 * 5 * 4),
        (nn.ConvTranspose2d(3, 5, 3, stride=2), (3, 4, 4), 16 * 3 * 5 * 9),
        (nn.LSTM(3, 5, batch_first=True), (7, 3), 7 * 4 * 5 * (3 + 5)),
        (nn.LSTM(3, 5, 2, batch_first=True), (7, 3), 7 * 4 * 5 * (3 + 5 + 5 + 5)),
        (nn.GRU(3, 5, batch_first=True, bidirectional=True), (7, 3), 2 * 7 * 3 * 5 * (3 + 5)),
        (ByHand(fused=False), (16, 32), 3 * 16 * 32 * 32 + 2 * 16 * 16 * 32),
        (ByHand(fused=True), (16, 32), 3 * 16 * 32 * 32 + 2 * 16 * 16 * 32),
        (transformer(), (16, 64), 4 * 16 * 64 * 64 + 2 * 16 * 16 * 64 + 2 * 16 * 64 * 256),
        (Twice(), (6,), 2 * 36),
        (nn.Upsample(scale_factor=2, mode="bilinear"), (3, 8, 8), 0),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)), (3, 8, 8), 0),
    ],
)
def test_multiply_adds_by_hand(network, shape, expected):
    assert multiply_adds(network, shape) == expected


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("weights_asked", [True, False])
def test_attention_counts_in_its_quick_way_as_in_training(training, weights_asked):
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

        def forward(self, batch: Tensor) -> Tensor:
            return self.attention(batch, batch, batch, need_weights=weights_asked)[0]

    rows = describe_network(Attending().train(training), (10, 32))
    assert [(r.name, r.kind) for r in rows] == [("attention", "MultiheadAttention")]
    assert rows[0].multiply_adds == 4 * 10 * 32 * 32 + 2 * 10 * 10 * 32
    assert rows[0].parameters == 4 * 32 * 32 + 4 * 32  # with those of its layer that is not called


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (transformer(2), (16, 64)),
        (nn.Transformer(32, 4, 1, 1, 64, batch_first=True).encoder, (9, 32)),
        (
            nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2)),
            (3, 9, 9),
        ),
        (fresh_network("conv-ae", (1, 64, 50)), (1, 64, 50)),
        (fresh_network("conv1d-ae", (8, 16, 1)), (8, 16, 1)),
    ],
)
def test_multiply_adds_are_half_the_operations_that_torch_counts_in_training(network, shape):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        batch = torch.zeros(2, *shape)
        network.train().reconstruct(batch) if isinstance(network, Network) else network(batch)
    assert multiply_adds(network, shape) == counter.get_total_flops() // 2 // 2  # of two windows


def test_a_layer_passed_twice_multiplies_twice_and_learns_once():
    (row,) = describe_network(Twice(), (6,))
    assert (row.calls, row.parameters, row.multiply_adds) == (2, 42, 72)


def test_parameters_beside_layers_count_with_the_network_itself():
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(6))
            self.layer = nn.Linear(6, 2)

        def forward(self, batch: Tensor) -> Tensor:
            return self.layer(batch + self.shift)

    rows = describe_network(Shifted(), (6,))
    assert [(r.name, r.inputs, r.outputs, r.parameters) for r in rows] == [
        ("", (6,), (2,), 6),
        ("layer", (6,), (2,), 14),
    ]


def test_the_dense_autoencoder_of_the_books():
    network = fresh_network("dense-ae", (1, 1000, 1))
    rows = describe_network(network, (1, 1000, 1))
    assert sum(row.parameters for row in rows) == 1_058_824
    assert sum(row.multiply_adds for row in rows) == 2 * (1000 * 512 + 512 * 32)


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_of_every_network_sum_up_to_the_whole(name):
    rebuilds = models.get(name).reconstruct is not Network.reconstruct
    shape = (8, 16, 1) if rebuilds else (2, 16, 13)
    network = fresh_network(name, shape)
    rows = describe_network(network, shape)
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in network.parameters())
    held = [*network.parameters(), *network.buffers()]
    assert sum(row.bytes for row in rows) == sum(t.numel() * t.element_size() for t in held)
    assert rows[0].inputs[0] == shape[0]
    if rebuilds and len(rows[-1].outputs) == 3:  # a transformer's last layer gives patches
        assert rows[0].inputs == rows[-1].outputs == shape


def test_describing_changes_neither_mode_nor_weights():
    network = Tiny().train()
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    describe_network(network, (1, 6, 5))
    assert network.training
    assert not network.first._forward_hooks and not network.first._forward_pre_hooks
    assert torch.backends.mha.get_fastpath_enabled()
    for name, weight in network.state_dict().items():
        torch.testing.assert_close(weight, before[name])


def test_a_network_that_does_not_reconstruct_is_described_by_its_code():
    class Coder(Network):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 2)

        def encode(self, batch):
            from raravis.networks import Codes

            return Codes(self.layer(batch.flatten(1)), {})

    assert [row.outputs for row in describe_network(Coder(), (1, 2, 3))] == [(2,)]


def test_a_closed_form_model_is_described_by_what_it_learned(run):
    parts = parts_of(Detector.load(run).sense)
    assert set(parts) == {"segments", "windows"}
    assert parts["segments"].rows and all(row.parameters > 0 for row in parts["segments"].rows)
    assert parts["segments"].network is None
    assert parts["windows"].network is not None
    model = Detector.load(run).sense.layers["segments"].model
    assert parts["segments"].rows == describe_learned(model)


def test_a_closed_form_model_is_no_network_and_its_settings_are_checked():
    assert fresh_network("sound-events", (1, 64, 50)) is None
    with pytest.raises(ParameterError, match="has no setting 'latent'"):
        fresh_network("sound-events", (1, 64, 50), latent=10)


def test_what_learns_while_it_judges_has_nothing_to_describe():
    with pytest.raises(ParameterError, match="keeps no model: there is nothing to describe"):
        parts_of(Detector(kind="series").sense)


def test_members_of_an_ensemble_of_rows_are_parts(tmp_path):
    rows = torch.randn(300, 2, generator=torch.Generator().manual_seed(0)).numpy()
    lines = ["a,b", *(f"{a},{b}" for a, b in rows)]
    (tmp_path / "plant.csv").write_text("\n".join(lines))
    training = {"epochs": 1, "max_steps": 1, "device": "cpu"}
    detector = Detector(kind="series", model="window-pca,dense-ae", training=training)
    parts = parts_of(detector.fit(tmp_path).sense)
    assert set(parts) == {"window-pca", "dense-ae"}
    assert parts["window-pca"].network is None and parts["window-pca"].rows
    assert parts["dense-ae"].shape == (2, 16, 1)
    assert parts["dense-ae"].rows[-1].outputs == (2, 16, 1)
