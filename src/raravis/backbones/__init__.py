"""What turns pictures into numbers, for networks that learn without labels. One file a kind.

A backbone knows nothing of losses: `models` put heads on it and teach it. A new one is one class
in this folder with `@backbones.register("name")`, made as `create(name, shape=(C, H, W))`.
"""

from __future__ import annotations

from torch import Tensor, nn

from raravis.registry import Registry


class Backbone(nn.Module):
    """Pictures or spectrograms (B, C, H, W) in, one vector for each out.

    width  D, how many numbers a picture becomes.
    """

    width: int

    def maps(self, batch: Tensor) -> Tensor:
        """What stands at each place, (B, D, h, w), before anything is summed up."""
        raise TypeError(f"{type(self).__name__} defines no maps(batch)")

    def forward(self, batch: Tensor) -> Tensor:
        """Pictures (B, C, H, W) -> vectors (B, D); here the mean of what stands at each place."""
        return self.maps(batch).float().mean(dim=(2, 3))

    def attention(self, batch: Tensor) -> Tensor:
        """Where each head of the last layer looks, (B, heads, h, w), sums over places at most 1."""
        raise TypeError(
            f"{type(self).__name__} has no attention: choose a transformer, such as vit-tiny"
        )


_registry: Registry[Backbone] = Registry("backbone", __name__)
register, names, get, create = (
    _registry.register,
    _registry.names,
    _registry.get,
    _registry.create,
)
