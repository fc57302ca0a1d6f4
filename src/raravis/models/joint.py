"""Joint embeddings: two views of one thing are to get the same numbers, and no two things the same.

`vicreg` makes both views of one window; `vicreg-pair` takes two cameras that saw the same. Nothing
is reconstructed, so what is learned is what the views have in common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from raravis import backbones, distributed, joint_terms, views
from raravis.blocks import BatchNorm
from raravis.errors import ParameterError
from raravis.models import register
from raravis.networks import Codes, Network, named_shape

Shape = tuple[int, int, int]
Options = Mapping[str, Any]
TERMS = ("invariance", "variance", "covariance")


@register("vicreg")
class VICReg(Network):
    """Learns what two views of a window have in common, and to tell windows apart by it.

        vector    = backbone(view)                             (B, D)
        projected = projector(vector)                          (B, P)
        loss      = invariance  mean squared difference of the projected views
                  + variance    how far each number falls short of deviation 1, mean of both views
                  + covariance  of different numbers, squared, sum over both views

    each times its weight. The embedding is the vector of the whole window (of spectrograms in
    pieces: the mean of both ends'). While learning, variance and covariance are of the batch, over
    all processes that share it. The terms of `encode` are of the window alone: its fixed left and
    right views, and shares of variance and covariance among the projected views met last while
    learning (`joint_terms.Remembered`), which are saved with the weights.

    shape         (C, H, W) or (H, W) of a window.
    views         "crop", "paper" or "none" for pictures, "halves" or "crops" for spectrograms.
    augmentation  single settings of the views, such as {"crop": (0.2, 1.0)}; see `views`.
    backbone      one of `backbones.names()`, with
    options       of its own.
    projector     P of each layer of the projector, each >= 1; the last is that of the terms.
    invariance, variance, covariance
                  weights >= 0; one that is 0 is left out of the loss, and one at least is not.
    memory        projected views that are remembered, >= 2.

    Source: Bardes et al. 2022, arXiv:2105.04906, with the means of the authors' code.
    """

    def __init__(
        self,
        shape: tuple[int, int] | Shape,
        views: str = "crop",
        augmentation: Options | None = None,
        backbone: str = "resnet-small",
        options: Options | None = None,
        projector: Sequence[int] = (512, 512),
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        memory: int = 1024,
    ) -> None:
        super().__init__()
        self.shape = _checked(shape)
        self.views = make_views(views, self.shape, augmentation)
        self.branch = Branch(self.views.shape, backbone, options, projector)
        self.terms = Terms(invariance, variance, covariance)
        self.remembered = joint_terms.Remembered(memory, projector[-1])

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        """Invariance of each window; variance and covariance of the whole batch."""
        _check(batch, self.shape, "vicreg")
        first, second = self.views.drawn(batch)
        projected = self.branch.projected(self.branch.vectors(torch.cat([first, second])))
        first, second = projected.chunk(2)
        both = distributed.gathered(torch.cat([first, second], dim=1))  # (B, 2 P) of all
        together = both.chunk(2, dim=1)
        if self.training:
            self.remembered.remember(torch.cat(together))
        return self.terms.parts(first, second, *together)

    def encode(self, batch: Tensor) -> Codes:
        """The vector, the terms of each window and their weighted sum "vicreg"."""
        _check(batch, self.shape, "vicreg")
        left, right = (self.branch.vectors(view) for view in self.views.fixed(batch))
        whole = self.views.whole(batch)
        vectors = (left + right) / 2 if whole is None else self.branch.vectors(whole)
        projected = self.branch.projected(left), self.branch.projected(right)
        return Codes(vectors, self.terms.of_each(*projected, [self.remembered] * 2))

    def embeddings(self, batch: Tensor) -> dict[str, Tensor]:
        """The vectors of "backbone" and of "projector"."""
        whole = self.views.whole(batch)
        seen = self.views.fixed(batch) if whole is None else (whole,)
        vectors = [self.branch.vectors(view) for view in seen]
        projected = [self.branch.projected(each) for each in vectors]
        return {
            "backbone": torch.stack(vectors).mean(dim=0),
            "projector": torch.stack(projected).mean(dim=0),
        }

    def batch_terms(self, batch: Tensor) -> dict[str, Tensor]:
        """Each term of this batch as a whole, a scalar each, and their weighted sum "vicreg"."""
        _check(batch, self.shape, "vicreg")
        left, right = (self.branch.vectors(view) for view in self.views.fixed(batch))
        return self.terms.of_batch(self.branch.projected(left), self.branch.projected(right))

    def heats(self, batch: Tensor) -> dict[str, Tensor]:
        """Where the backbone looks, "attention", if it tells; of pictures only."""
        _check(batch, self.shape, "vicreg")
        if not isinstance(self.views, views.Pictures):
            return {}
        heat = self.branch.heat(self.views.plain(batch))
        return {} if heat is None else {"attention": heat}


@register("vicreg-pair")
class VICRegPair(Network):
    """Learns what two cameras that saw the same have in common, each with a network of its own.

    The first `split` channels of a window are what the first camera saw, the others the second.
    The loss is that of `vicreg`, between the projected vectors of the two cameras. The embedding
    is both vectors, one after the other. The terms of `encode` are of the window alone.

    shape         (C, H, W) of a window, with C >= 2.
    split         channels of the first camera, in [1, C); None: half of them.
    views, second_views
                  what is done to the pictures of each camera while learning: "none", "crop" or
                  "paper"; each is cut and mirrored by itself.
    augmentation, second_augmentation
                  single settings of those.
    backbone, second
                  networks of each camera, from `backbones.names()`; None: the same kind for both.
    options, second_options
                  of those.
    projector, invariance, variance, covariance, memory
                  as in `vicreg`.

    Source: Bardes et al. 2022, arXiv:2105.04906, section 5.2 (several modalities).
    """

    def __init__(
        self,
        shape: Shape,
        split: int | None = None,
        views: str = "none",
        second_views: str = "none",
        augmentation: Options | None = None,
        second_augmentation: Options | None = None,
        backbone: str = "resnet-small",
        second: str | None = None,
        options: Options | None = None,
        second_options: Options | None = None,
        projector: Sequence[int] = (512, 512),
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        memory: int = 1024,
    ) -> None:
        super().__init__()
        self.shape = _checked(shape)
        channels = self.shape[0]
        self.split = channels // 2 if split is None else split
        if not 1 <= self.split < channels or (split is None and channels % 2):
            raise ParameterError(
                "vicreg-pair takes two cameras' pictures, channel upon channel: split must be in "
                f"[1, C), got {split} of {channels} channels"
            )
        first_shape = (self.split, *self.shape[1:])
        second_shape = (channels - self.split, *self.shape[1:])
        self.views = (
            make_pictures(views, first_shape, augmentation),
            make_pictures(second_views, second_shape, second_augmentation),
        )
        if second is None:
            second, second_options = backbone, second_options or options
        self.first = Branch(first_shape, backbone, options, projector)
        self.second = Branch(second_shape, second, second_options, projector)
        self.terms = Terms(invariance, variance, covariance)
        self.remembered_first = joint_terms.Remembered(memory, projector[-1])
        self.remembered_second = joint_terms.Remembered(memory, projector[-1])

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        """Invariance of each window; variance and covariance of the whole batch."""
        seen = [v.one(part) for v, part in zip(self.views, self._parted(batch), strict=True)]
        first = self.first.projected(self.first.vectors(seen[0]))
        second = self.second.projected(self.second.vectors(seen[1]))
        together = distributed.gathered(torch.cat([first, second], dim=1)).chunk(2, dim=1)
        if self.training:
            self.remembered_first.remember(together[0])
            self.remembered_second.remember(together[1])
        return self.terms.parts(first, second, *together)

    def encode(self, batch: Tensor) -> Codes:
        """Both vectors, the terms of each window and their weighted sum "vicreg"."""
        vectors = self._vectors(batch)
        projected = self.first.projected(vectors[0]), self.second.projected(vectors[1])
        remembered = self.remembered_first, self.remembered_second
        return Codes(torch.cat(vectors, dim=1), self.terms.of_each(*projected, remembered))

    def embeddings(self, batch: Tensor) -> dict[str, Tensor]:
        """The vectors of each camera: "backbone_1", "projector_1", "backbone_2", "projector_2"."""
        first, second = self._vectors(batch)
        return {
            "backbone_1": first, "projector_1": self.first.projected(first),
            "backbone_2": second, "projector_2": self.second.projected(second),
        }  # fmt: skip

    def batch_terms(self, batch: Tensor) -> dict[str, Tensor]:
        """Each term of this batch as a whole, a scalar each, and their weighted sum "vicreg"."""
        first, second = self._vectors(batch)
        return self.terms.of_batch(self.first.projected(first), self.second.projected(second))

    def heats(self, batch: Tensor) -> dict[str, Tensor]:
        """Where each backbone looks that tells, "attention_1" and "attention_2"."""
        seen = [v.plain(part) for v, part in zip(self.views, self._parted(batch), strict=True)]
        heats = {
            "attention_1": self.first.heat(seen[0]),
            "attention_2": self.second.heat(seen[1]),
        }
        return {name: heat for name, heat in heats.items() if heat is not None}

    def _vectors(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Of each camera's pictures as they are."""
        first, second = (
            v.plain(part) for v, part in zip(self.views, self._parted(batch), strict=True)
        )
        return self.first.vectors(first), self.second.vectors(second)

    def _parted(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        _check(batch, self.shape, "vicreg-pair")
        return batch[:, : self.split], batch[:, self.split :]


# ----------------------------------------------------------------- what they are made of


class Branch(nn.Module):
    """A backbone, and the projector that spreads its vectors out for the terms.

    The projector is thrown away in the paper; here its embedding can be asked for as well. Its
    layers are 1 x 1 convolutions, so that they fold with their normalisations.
    """

    def __init__(
        self, shape: Shape, backbone: str, options: Options | None, projector: Sequence[int]
    ) -> None:
        super().__init__()
        if not projector or min(projector) < 1:
            raise ParameterError(f"projector must be widths >= 1, got {list(projector)}")
        self.backbone = backbones.create(backbone, shape=shape, **(options or {}))
        *hidden, width = projector
        self.projector = nn.Sequential(nn.Unflatten(1, (-1, 1, 1)))
        for inputs, outputs in pairwise([self.backbone.width, *hidden]):
            self.projector.append(nn.Conv2d(inputs, outputs, kernel_size=1, bias=False))
            self.projector.append(BatchNorm(outputs))
            self.projector.append(nn.ReLU(inplace=True))
        last = hidden[-1] if hidden else self.backbone.width
        self.projector.append(nn.Conv2d(last, width, kernel_size=1, bias=False))
        self.projector.append(nn.Flatten())

    def vectors(self, view: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D)."""
        vectors: Tensor = self.backbone(view)
        return vectors

    def projected(self, vectors: Tensor) -> Tensor:
        """(B, D) -> (B, P), float32."""
        projected: Tensor = self.projector(vectors)
        return projected.float()

    def heat(self, view: Tensor) -> Tensor | None:
        """Where the backbone looks, all heads together, (B, H, W); None where it does not tell."""
        if type(self.backbone).attention is backbones.Backbone.attention:
            return None
        looks = self.backbone.attention(view).float().mean(dim=1, keepdim=True)  # (B, 1, h, w)
        return nn.functional.interpolate(looks, view.shape[2:], mode="bilinear")[:, 0]


class Terms(nn.Module):
    """The three terms with their weights: of a batch that learns, of a batch, of each window.

    Variance is the mean of both views', covariance their sum, as in the authors' code.
    """

    def __init__(self, invariance: float, variance: float, covariance: float) -> None:
        super().__init__()
        self.weights = dict(zip(TERMS, (invariance, variance, covariance), strict=True))
        if min(self.weights.values()) < 0 or not any(self.weights.values()):
            raise ParameterError(
                "invariance, variance and covariance must be weights >= 0, one at least above 0, "
                f"got {invariance}, {variance} and {covariance}"
            )

    def parts(
        self, first: Tensor, second: Tensor, every_first: Tensor, every_second: Tensor
    ) -> dict[str, Tensor]:
        """Weighted parts of the loss; of this process's windows (B_r, P) and of all (B, P)."""
        found = {"invariance": joint_terms.invariances(first, second)}
        found |= self._coupled(every_first, every_second)
        return {name: found[name] * weight for name, weight in self.weights.items() if weight}

    def of_batch(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        """Terms of a batch, unweighted scalars, and "vicreg"."""
        found = {"invariance": joint_terms.invariance(first, second)}
        return self._summed(found | self._coupled(first, second))

    def of_each(
        self, first: Tensor, second: Tensor, remembered: Sequence[joint_terms.Remembered]
    ) -> dict[str, Tensor]:
        """Terms (B,) of each window by what is remembered, unweighted, and "vicreg"."""
        both = list(zip(remembered, (first, second), strict=True))
        variances = [memory.variances(projected) for memory, projected in both]
        covariances = [memory.covariances(projected) for memory, projected in both]
        return self._summed(
            {
                "invariance": joint_terms.invariances(first, second),
                "variance": torch.stack(variances).mean(dim=0),
                "covariance": torch.stack(covariances).sum(dim=0),
            }
        )

    def _coupled(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        both = (first, second)
        return {
            "variance": torch.stack([joint_terms.variance(view) for view in both]).mean(),
            "covariance": torch.stack([joint_terms.covariance(view) for view in both]).sum(),
        }

    def _summed(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        weighted = [found[name] * weight for name, weight in self.weights.items()]
        return found | {"vicreg": torch.stack(weighted).sum(dim=0)}


make_views = views.create  # where a setting is called `views`


def make_pictures(name: str, shape: Shape, options: Options | None) -> views.Pictures:
    """Views of a camera's pictures. Raises ParameterError for those of sounds."""
    made = views.create(name, shape, options)
    if not isinstance(made, views.Pictures):
        raise ParameterError(
            f"views {name!r} are of spectrograms: choose one of {', '.join(views.SETS)}"
        )
    return made


def _checked(shape: Sequence[int]) -> Shape:
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ParameterError(
            f"a joint embedding takes windows of (C, H, W) or (H, W), got {named_shape(shape)}"
        )
    return shape[0] if len(shape) == 3 else 1, shape[-2], shape[-1]


def _check(batch: Tensor, shape: Shape, name: str) -> None:
    if batch.shape[1:] != shape:
        raise ParameterError(
            f"this {name} was built for windows of {named_shape(shape)}, got "
            f"{named_shape(batch.shape[1:])}: build one for that shape"
        )
