"""The three terms of VICReg: invariance, variance and covariance of embeddings (B, D).

Each comes for a batch (`variance`) and for every sample in it (`variances`); the mean of the second
is the first. A loss is made of the first. The second says which sample made it large: invariance is
each sample's own, while the shares of variance and covariance are relative to the samples beside
it. `Remembered` gives them relative to what was learned from instead, so that a sample's numbers
are its own. All is computed in float32 at least, also where convolutions answer in bfloat16.

Where processes share a batch, give `distributed.gathered(...)` embeddings to what couples it.

Source: Bardes et al. 2022, arXiv:2105.04906, equations 1, 3 and 4; averaged over D as in the
authors' code. The shares of samples and the way through the Gram matrix are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import torch
from torch import Tensor, nn

from raravis.errors import ParameterError

EPSILON = 1e-4  # added to a variance before its root is taken, whose slope at 0 is infinite

Given = ParamSpec("Given")


def _exactly(term: Callable[Given, Tensor]) -> Callable[Given, Tensor]:
    """The same, without automatic bfloat16: sums of squares of rounded products would be noise."""

    @wraps(term)
    def exact(*given: Given.args, **options: Given.kwargs) -> Tensor:
        device = next(value.device.type for value in given if isinstance(value, Tensor))
        with torch.autocast(device, enabled=False):
            return term(*given, **options)

    return exact


# ----------------------------------------------------------------- of a batch


@_exactly
def invariance(first: Tensor, second: Tensor) -> Tensor:
    """How far two views of the same things lie apart: mean squared difference, a scalar.

    first, second  (B, D) each; row by row the views of one thing.
    """
    return nn.functional.mse_loss(*_alike(first, second))


@_exactly
def variance(values: Tensor, target: float = 1.0) -> Tensor:
    """By how much the numbers of an embedding spread too little over the batch, a scalar.

        mean over d of max(0, target - sqrt(var_d + 1e-4))

    values  (B, D). A batch of one has no spread at all.
    target  > 0, the standard deviation that is enough.
    """
    centred = _centred(values)
    return (target - _deviations(centred)).clamp_min(0).mean()


@_exactly
def covariance(values: Tensor) -> Tensor:
    """How much different numbers of an embedding say the same, a scalar.

        sum over d != e of C_de^2 / D,   C the covariance (D, D) of the batch

    values  (B, D). Where B < D no (D, D) matrix is made: with X the centred values, the sum of all
    squares of C is that of the Gram matrix X X^T / (B - 1), which is (B, B).
    """
    centred = _centred(values)
    rows, width = centred.shape
    products = centred @ centred.T if rows < width else centred.T @ centred
    whole = products.square().sum() / _degrees(rows) ** 2
    return (whole - _variances(centred).square().sum()) / width


# ----------------------------------------------------------------- of each sample


@_exactly
def invariances(first: Tensor, second: Tensor) -> Tensor:
    """How far the two views of each sample lie apart: mean squared difference, (B,)."""
    first, second = _alike(first, second)
    return (first - second).square().mean(dim=1)


@_exactly
def variances(values: Tensor, target: float = 1.0) -> Tensor:
    """Each sample's share of `variance`, (B,), which is their mean.

        mean over d with s_d < target of target - (B / (B - 1) x_d^2 + 1e-4) / s_d

    where x is the sample, centred, and s_d the deviation of the batch, so that the mean of the
    fraction over the batch is s_d. Small or negative: this sample spreads the batch. Large: it
    stands in the middle with the crowd.
    """
    centred = _centred(values)
    share = len(centred) / _degrees(len(centred))
    return _variance_shares(share * centred.square(), _deviations(centred), target)


@_exactly
def covariances(values: Tensor) -> Tensor:
    """Each sample's share of `covariance`, (B,), which is their mean.

        B / (B - 1) sum over d != e of x_d C_de x_e / D

    where x is the sample, centred, and C the covariance of the batch. Large: the sample lies far
    out in the directions in which the batch is correlated. Negative: it goes against them.
    """
    centred = _centred(values)
    rows, width = centred.shape
    if rows < width:
        along = (centred @ centred.T).square().sum(dim=1) / _degrees(rows)
    else:
        along = (centred @ (centred.T @ centred) * centred).sum(dim=1) / _degrees(rows)
    own = centred.square() @ _variances(centred)
    return (along - own) * (rows / _degrees(rows) / width)


# ----------------------------------------------------------------- of a sample by itself


class Remembered(nn.Module):
    """The embeddings that were met last while learning, to judge others by when it is over.

    With these in place of the batch, `variances` and `covariances` of a sample depend on nothing
    beside it. No (D, D) matrix is made or kept: the rows are the covariance.

    capacity  rows that are kept, >= 2; an older one makes room for a newer one.
    width     D.

    Where processes share a batch, each must be given the gathered embeddings, so that all
    remember the same.
    """

    rows: Tensor
    count: Tensor

    def __init__(self, capacity: int, width: int) -> None:
        super().__init__()
        if capacity < 2 or width < 1:
            raise ParameterError(
                f"capacity must be >= 2 and width >= 1, got {capacity} and {width}"
            )
        self.register_buffer("rows", torch.zeros(capacity, width))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))  # ever met

    @torch.no_grad()
    def remember(self, values: Tensor) -> None:
        """Takes in embeddings (B, D)."""
        newest = values.detach()[-len(self.rows) :].to(self.rows.dtype)
        first = self.count + len(values) - len(newest)
        places = (first + torch.arange(len(newest), device=values.device)) % len(self.rows)
        self.rows.index_copy_(0, places, newest)
        self.count += len(values)

    @_exactly
    def variances(self, values: Tensor, target: float = 1.0) -> Tensor:
        """`variances` of samples (B, D) by what is remembered, (B,)."""
        mean, spread, known = self._moments()
        share = known / (known - 1).clamp_min(1)
        return _variance_shares(
            share * (values.to(mean.dtype) - mean).square(), (spread + EPSILON).sqrt(), target
        )

    @_exactly
    def covariances(self, values: Tensor) -> Tensor:
        """`covariances` of samples (B, D) by what is remembered, (B,)."""
        mean, spread, known = self._moments()
        centred = values.to(mean.dtype) - mean
        products = centred @ self.rows.T - (centred @ mean)[:, None]  # (B, capacity)
        is_known = torch.arange(len(self.rows), device=mean.device) < known
        degrees = (known - 1).clamp_min(1)
        along = (products.square() * is_known).sum(dim=1) / degrees
        own = centred.square() @ spread
        return (along - own) * (known / degrees / len(mean))

    def _moments(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (D,) and variance (D,) of the rows there are, and () of how many they are."""
        known = self.count.clamp(max=len(self.rows))
        is_known = (torch.arange(len(self.rows), device=known.device) < known)[:, None]
        mean = self.rows.sum(dim=0) / known.clamp_min(1)  # rows not yet written are 0
        squares = ((self.rows - mean) * is_known).square().sum(dim=0)
        return mean, squares / (known - 1).clamp_min(1), known


# ----------------------------------------------------------------- what they are made of


def _alike(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    if first.shape != second.shape or first.ndim != 2:
        raise ParameterError(
            f"two views must have embeddings (B, D) of one shape, got {tuple(first.shape)} and "
            f"{tuple(second.shape)}"
        )
    return _exact(first), _exact(second)


def _exact(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _centred(values: Tensor) -> Tensor:
    if values.ndim != 2:
        raise ParameterError(f"embeddings must be (B, D), got {tuple(values.shape)}")
    values = _exact(values)
    return values - values.mean(dim=0)


def _degrees(rows: int) -> int:
    return max(rows - 1, 1)


def _variances(centred: Tensor) -> Tensor:
    """Variance (D,) of each number."""
    return centred.square().sum(dim=0) / _degrees(len(centred))


def _deviations(centred: Tensor) -> Tensor:
    return (_variances(centred) + EPSILON).sqrt()


def _variance_shares(squares: Tensor, deviations: Tensor, target: float) -> Tensor:
    """What samples with squares (B, D), whose means are variances, add to the hinge, (B,)."""
    lacking = target - (squares + EPSILON) / deviations
    return (lacking * (deviations < target)).mean(dim=1)
