"""What a model is made of, counted by hand."""

import pytest
import torch
from torch import Tensor, nn

from raravis.description import describe_learned, describe_network, fresh_network
from raravis.detector import Detector
from raravis.errors import ParameterError
from raravis.networks import Network


class Tiny(Network):
    """Two layers whose sizes can be counted on paper."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, kernel_size=3, padding=1)
        self.second = nn.Conv2d(4, 1, kernel_size=1, bias=False)

    def reconstruct(self, batch: Tensor) -> Tensor:
        return self.second(self.first(batch))


def test_layers_shapes_and_parameters_by_hand():
    rows = describe_network(Tiny(), (1, 6, 5))
    assert [(r.name, r.kind, r.shape, r.size) for r in rows] == [
        ("first", "Conv2d", (4, 6, 5), 4 * 9 + 4),
        ("second", "Conv2d", (1, 6, 5), 4),
    ]


def test_describing_changes_neither_mode_nor_weights():
    network = Tiny().train()
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    describe_network(network, (1, 6, 5))
    assert network.training
    for name, weight in network.state_dict().items():
        torch.testing.assert_close(weight, before[name])


def test_all_parameters_of_the_autoencoder_are_counted():
    network = fresh_network("conv-ae", (1, 64, 50), latent=10)
    assert network is not None
    rows = describe_network(network, (1, 64, 50))
    assert sum(row.size for row in rows) == sum(p.numel() for p in network.parameters())
    assert rows[-1].shape == (1, 64, 50)


def test_a_closed_form_model_is_described_by_what_it_learned(run):
    rows = describe_learned(Detector.load(run).layers["segments"].model)
    assert len(rows) > 0 and all(row.size > 0 for row in rows)


def test_a_closed_form_model_is_no_network_and_its_settings_are_checked():
    assert fresh_network("sound-events", (1, 64, 50)) is None
    with pytest.raises(ParameterError, match="has no setting 'latent'"):
        fresh_network("sound-events", (1, 64, 50), latent=10)
