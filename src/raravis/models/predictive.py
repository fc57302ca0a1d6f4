"""Foretelling what comes later, not in pixels but in the numbers that a network sees it by.

What can be foretold of a sky or of a soundscape goes into the embedding, what cannot stays out;
and where the future comes otherwise than foretold, something happened.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from raravis import backbones, distributed
from raravis.errors import ParameterError
from raravis.joint_terms import covariance, variance
from raravis.models import register
from raravis.networks import Codes, Network, named_shape

WAVES = 4  # by which an offset is told to the predictor, beside the offset itself


@dataclass(frozen=True)
class Foretold:
    """What was foretold for one offset, what came, and what was there before, (B, D) each.

    predicted  the embedding foretold for the later moment.
    true       the later moment, as the trailing branch sees it.
    present    the present, as the trailing branch sees it: what stands still where nothing moves,
               and so the persistence that a prediction has to beat.
    """

    predicted: Tensor
    true: Tensor
    present: Tensor


@register("predictive")
class Predictive(Network):
    """Learns to foretell the embedding of a later moment; what comes otherwise is strange.

        z          = branch(present)                                   (B, D), the embedding
        prediction = z + MLP([z, offset])                              the MLP learns what changes
        error      = mean over D of (prediction - trailing(later))^2   (B,)
        parts      = error, and of z over the batch: variance, covariance

    A branch is a backbone, means of its maps over a grid of places, and a linear layer. The
    trailing branch gets no gradient: before each step it goes a little towards the branch,
    t <- momentum t + (1 - momentum) b, and is saved with the rest. The variance term keeps each
    number of z at deviation 1 at least, so an error of 2 is that of a guess that knows nothing.

    A window brings its own future, in one of two ways. Without `split` it is a clip (C, F, T): the
    present is its beginning, and a later moment is as much of it, further on in time. With `split`
    later pictures are laid on the present one, channel upon channel: ((1 + K) split, H, W).

    shape       (H, W) or (C, H, W) of one window.
    split       channels of the present picture, >= 1; None: the window is a clip.
    offsets     how much later the futures are, each > 0. Of pictures: K numbers in any one unit of
                time; None: 1 ... K. Of clips: columns, at most as far as the clip goes; None: from
                right after the present to the clip's end, in three steps. Training draws one for
                each window (of clips any whole number from the least to the largest); the term is
                the mean over all.
    context     in (0, 1): share of a clip that is the present.
    backbone    one of `backbones.names()`, with
    options     of its own.
    grid        >= 1: places along each side over which maps are averaged apart. With 1 the branch
                knows what is there; with more, also where, which is what moves.
    embedding   D, >= 1.
    hidden      numbers in each of the two layers of the predictor, >= 1.
    momentum    in [0, 1): how slowly the trailing branch trails.
    variance    >= 0: weight of the variance term, where the error weighs 1.
    covariance  >= 0: weight of the covariance term.

    Sources: Assran et al. 2023, arXiv:2301.08243 (prediction between embeddings; ours foretells in
    time and not in the picture), Grill et al. 2020, arXiv:2006.07733 (the trailing branch), Bardes
    et al. 2022, arXiv:2105.04906 (variance and covariance).
    """

    def __init__(
        self,
        shape: tuple[int, int] | tuple[int, int, int],
        split: int | None = None,
        offsets: Sequence[float] | None = None,
        context: float = 0.3,
        backbone: str = "resnet-small",
        options: Mapping[str, Any] | None = None,
        grid: int = 4,
        embedding: int = 128,
        hidden: int = 256,
        momentum: float = 0.99,
        variance: float = 1.0,
        covariance: float = 0.04,
    ) -> None:
        super().__init__()
        self.shape = (1, *shape) if len(shape) == 2 else tuple(shape)
        self.split = split
        if min(grid, embedding, hidden) < 1:
            raise ParameterError(
                f"grid, embedding and hidden must be >= 1, got {grid}, {embedding} and {hidden}"
            )
        if not 0 <= momentum < 1 or min(variance, covariance) < 0:
            raise ParameterError(
                "momentum must be in [0, 1), variance and covariance >= 0, got "
                f"{momentum}, {variance} and {covariance}"
            )
        self.momentum, self.weights = momentum, {"variance": variance, "covariance": covariance}
        if split is None:
            self.length = _length(self.shape, context)
            self.offsets = _columns(offsets, self.length, self.shape[-1])
            self.places = [int(offset) for offset in self.offsets]
            seen = (*self.shape[:2], self.length)
        else:
            self.offsets = _moments(offsets, self.shape[0], split)
            self.places = list(range(len(self.offsets)))
            seen = (split, *self.shape[1:])
        self.branch = _Branch(seen, backbone, options or {}, grid, embedding)
        self.trailing = _without_gradient(self.branch)
        self.predictor = nn.Sequential(
            nn.Linear(embedding + 1 + 2 * WAVES, hidden), nn.LayerNorm(hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.ReLU(),
            nn.Linear(hidden, embedding),
        )  # fmt: skip

    def present(self, batch: Tensor) -> Tensor:
        """The present of windows: what the branches see, (B, C, H, W)."""
        if batch.shape[1:] != self.shape:
            raise ParameterError(
                f"this predictive was built for windows of {named_shape(self.shape)}, got "
                f"{named_shape(batch.shape[1:])}: build one for that shape"
            )
        return batch[..., : self.length] if self.split is None else batch[:, : self.split]

    def later(self, batch: Tensor, places: Tensor) -> Tensor:
        """What comes later in each window, cut as the present is.

        places  (B,): of clips, how many columns later; of pictures, which of the offsets, from 0.
        """
        rows = torch.arange(len(batch), device=batch.device)
        if self.split is None:
            return batch.unfold(3, self.length, 1)[rows, :, :, places]  # (B, C, F, length)
        pictures = torch.stack(
            torch.split(batch, self.split, dim=1), dim=1
        )  # (B, 1 + K, split, H, W)
        return pictures[rows, 1 + places]

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        """The error of each window, and what keeps the embedding from collapsing."""
        if self.training:
            self._trail()
        present = self.branch(self.present(batch))  # (B, D)
        if self.training:
            error = self._error(batch, present, self._drawn(batch))
        else:
            error = self._errors(batch, present)
        everyone = distributed.gathered(present)
        return {
            "prediction": error,
            "variance": self.weights["variance"] * variance(everyone),
            "covariance": self.weights["covariance"] * covariance(everyone),
        }

    def encode(self, batch: Tensor) -> Codes:
        """The embedding of the present, and how badly the future was foretold, "prediction"."""
        present = self.branch(self.present(batch))
        return Codes(present, {"prediction": self._errors(batch, present)})

    def embeddings(self, batch: Tensor) -> dict[str, Tensor]:
        """Of the present: what foretells, and the backbone's own."""
        present = self.present(batch)
        return {"embedding": self.branch(present), "backbone": self.branch.backbone(present)}

    def batch_terms(self, batch: Tensor) -> dict[str, Tensor]:
        """The mean error of a batch, and its variance and covariance terms, unweighted."""
        present = self.branch(self.present(batch))
        return {
            "prediction": self._errors(batch, present).mean(),
            "variance": variance(present),
            "covariance": covariance(present),
        }

    def foretell(self, batch: Tensor, offset: float) -> Foretold:
        """What is foretold `offset` later, what came, and what was there; offset is one of
        `offsets`, or of clips any whole number of columns up to the largest possible."""
        if self.split is None:
            last = self.shape[-1] - self.length
            if offset != int(offset) or not 1 <= offset <= last:
                raise ParameterError(
                    f"offset must be a whole number of columns in 1 ... {last}, got {offset}"
                )
        elif offset not in self.offsets:
            known = ", ".join(f"{known:g}" for known in self.offsets)
            raise ParameterError(f"offset must be one of {known}, got {offset:g}")
        place = int(offset) if self.split is None else self.offsets.index(offset)
        places = torch.full((len(batch),), place, device=batch.device)
        now = self.present(batch)
        return Foretold(
            self._predicted(self.branch(now), places),
            self.trailing(self.later(batch, places)),
            self.trailing(now),
        )

    def _errors(self, batch: Tensor, present: Tensor) -> Tensor:
        """The error of each window, its mean over all offsets, (B,)."""
        errors = [
            self._error(batch, present, torch.full((len(batch),), place, device=batch.device))
            for place in self.places
        ]
        return torch.stack(errors).mean(dim=0)

    def _error(self, batch: Tensor, present: Tensor, places: Tensor) -> Tensor:
        with torch.no_grad():
            later = self.trailing(self.later(batch, places))
        apart: Tensor = self._predicted(present, places) - later
        return apart.square().mean(dim=1)

    def _predicted(self, present: Tensor, places: Tensor) -> Tensor:
        """What is foretold for each window, (B, D); places as `later` takes them."""
        offsets = places
        if self.split is not None:
            offsets = present.new_tensor(self.offsets)[places]
        share = (offsets.to(present) / max(self.offsets))[:, None]  # (B, 1)
        waves = share * (math.pi * torch.arange(1, WAVES + 1, device=share.device))
        told = torch.cat([present, share, waves.sin(), waves.cos()], dim=1)
        changed: Tensor = self.predictor(told)
        return present + changed.to(present)

    def _drawn(self, batch: Tensor) -> Tensor:
        """For each window a place to learn from, (B,), as `later` takes it."""
        first, last = min(self.places), max(self.places)
        # The rank of a normal number: so a window gets its own, whoever shares the batch.
        share = torch.special.ndtr(torch.randn_like(batch[:, 0, 0, 0]))  # in [0, 1]
        drawn: Tensor = first + share * (last - first + 1)
        return drawn.long().clamp_max(last)

    @torch.no_grad()
    def _trail(self) -> None:
        """The trailing branch goes a little towards the branch."""
        for name, weight in self.branch.named_parameters():
            self.trailing.get_buffer(name).lerp_(weight, 1 - self.momentum)


class _Branch(nn.Module):
    """Pictures (B, C, H, W) -> embeddings (B, D)."""

    def __init__(
        self,
        shape: tuple[int, ...],
        backbone: str,
        options: Mapping[str, Any],
        grid: int,
        embedding: int,
    ) -> None:
        super().__init__()
        self.backbone = backbones.create(backbone, shape=shape, **options)
        self.grid = (1, 1)
        if grid > 1:
            with torch.no_grad():
                sides = self.backbone.eval().maps(torch.zeros(1, *shape)).shape[2:]
            self.backbone.train()
            self.grid = (min(grid, sides[0]), min(grid, sides[1]))
        self.squeeze = nn.Linear(self.backbone.width * math.prod(self.grid), embedding)

    def forward(self, batch: Tensor) -> Tensor:
        if self.grid == (1, 1):
            seen = self.backbone(batch)
        else:
            maps = self.backbone.maps(batch).float()
            seen = nn.functional.adaptive_avg_pool2d(maps, self.grid).flatten(1)
        squeezed: Tensor = self.squeeze(seen).float()
        return squeezed


def _without_gradient(branch: _Branch) -> _Branch:
    """A copy whose weights are noted, not learned: buffers, as running means are."""
    trailing = copy.deepcopy(branch)
    for layer in trailing.modules():
        for name, weight in list(layer.named_parameters(recurse=False)):
            delattr(layer, name)
            layer.register_buffer(name, weight.detach().clone())
    return trailing


def _length(shape: tuple[int, ...], context: float) -> int:
    """Columns of the present of a clip."""
    if not 0 < context < 1:
        raise ParameterError(f"context must be in (0, 1), got {context}")
    length = max(1, round(context * shape[-1]))
    if length >= shape[-1]:
        raise ParameterError(
            f"a clip of {shape[-1]} columns leaves no future beside a present of {length}: use "
            "longer windows, or a smaller context"
        )
    return length


def _columns(offsets: Sequence[float] | None, length: int, columns: int) -> tuple[float, ...]:
    """How many columns later the futures of a clip begin."""
    last = columns - length
    if offsets is None:
        first = min(length, last)
        return tuple(sorted({float(first), float((first + last) // 2), float(last)}))
    if not offsets or any(o != int(o) or not 1 <= o <= last for o in offsets):
        raise ParameterError(
            f"offsets of clips must be whole numbers of columns in 1 ... {last}, the clip's "
            f"{columns} less the {length} of a present, got {list(offsets)}"
        )
    return tuple(map(float, offsets))


def _moments(offsets: Sequence[float] | None, channels: int, split: int) -> tuple[float, ...]:
    """How much later the pictures are that are laid on the present one."""
    if split < 1 or channels % split or channels == split:
        raise ParameterError(
            f"later pictures must be laid on the present one, each of its {split} channels, got "
            f"{channels} channels in all: join a camera with itself at a later time, as pairs"
        )
    count = channels // split - 1
    if offsets is None:
        return tuple(float(number) for number in range(1, count + 1))
    if len(offsets) != count or min(offsets) <= 0 or len(set(offsets)) < count:
        raise ParameterError(
            f"offsets must be {count} different numbers above 0, one for each later picture, got "
            f"{list(offsets)}"
        )
    return tuple(map(float, offsets))
