"""The terms of VICReg: by hand, against slow twins, share by share, and without the batch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from raravis import joint_terms
from raravis.errors import ParameterError
from raravis.joint_terms import Remembered

SIZES = [(12, 5), (5, 12), (7, 7), (8, 7), (7, 8), (2, 30), (30, 2), (24, 96)]
every_size = pytest.mark.parametrize("size", SIZES)


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Numbers that are correlated, spread unequally around 1, and do not stand around 0."""
    random = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=random, dtype=torch.float64)
    mixed = values @ torch.randn(shape[-1], shape[-1], generator=random, dtype=torch.float64)
    return (1.3 * mixed / math.sqrt(shape[-1]) + 0.7).to(dtype)


# --- slow twins: loops, as the formulas read ------------------------------------------------------


def naive_covariances(values: Tensor) -> list[list[Tensor]]:
    rows, width = values.shape
    means = [sum(values[i, d] for i in range(rows)) / rows for d in range(width)]
    return [
        [
            sum((values[i, d] - means[d]) * (values[i, e] - means[e]) for i in range(rows))
            / (rows - 1)
            for e in range(width)
        ]
        for d in range(width)
    ]


def naive_variance(values: Tensor, target: float = 1.0) -> Tensor:
    matrix, width = naive_covariances(values), values.shape[1]
    lacking = [target - (matrix[d][d] + 1e-4) ** 0.5 for d in range(width)]
    return torch.stack([value * (value > 0) for value in lacking]).sum() / width


def naive_covariance(values: Tensor) -> Tensor:
    matrix, width = naive_covariances(values), values.shape[1]
    apart = [matrix[d][e] ** 2 for d in range(width) for e in range(width) if d != e]
    return torch.stack(apart).sum() / width


def naive_invariance(first: Tensor, second: Tensor) -> Tensor:
    total = torch.zeros((), dtype=first.dtype)
    for i in range(first.shape[0]):
        for d in range(first.shape[1]):
            total = total + (first[i, d] - second[i, d]) ** 2
    return total / first.numel()


def with_gradient(term, *values: Tensor) -> list[Tensor]:
    """The value of a term, and its gradient by each of what it was given."""
    given = [value.clone().requires_grad_() for value in values]
    answer = term(*given)
    return [answer.detach(), *torch.autograd.grad(answer, given)]


SMALL = [(6, 3), (3, 6), (4, 4), (5, 4), (4, 5), (2, 5)]


@pytest.mark.parametrize("size", SMALL)
@pytest.mark.parametrize("name", ["variance", "covariance", "invariance"])
def test_values_and_gradients_are_those_of_the_slow_twin(name: str, size: tuple[int, int]) -> None:
    given = [drawn(*size)] if name != "invariance" else [drawn(*size), drawn(*size, seed=1)]
    twin = globals()[f"naive_{name}"]
    for ours, theirs in zip(
        with_gradient(getattr(joint_terms, name), *given), with_gradient(twin, *given), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def explicit_covariance(values: Tensor) -> Tensor:
    """Through the D x D matrix, in one line."""
    matrix = torch.cov(values.T)
    return (matrix - matrix.diag().diag()).square().sum() / values.shape[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(128, 1024), (1024, 128), (256, 257)])
def test_the_gram_matrix_gives_the_same_to_a_millionth(
    size: tuple[int, int], dtype: torch.dtype
) -> None:
    values = drawn(*size)
    expected, slope = with_gradient(explicit_covariance, values)
    value, gradient = with_gradient(joint_terms.covariance, values.to(dtype))
    assert value.dtype == dtype
    assert abs(value.double() / expected - 1) < 1e-6
    assert (gradient.double() - slope).norm() < 1e-6 * slope.norm()


def test_no_matrix_of_the_width_is_made_where_the_batch_is_smaller() -> None:
    values = torch.zeros(2, 2_000_000)  # its covariance would take 16 TB
    values[0, :2] = torch.tensor([2.0, 4.0])
    assert joint_terms.covariance(values).item() == pytest.approx(2 * (2 * 4 / 2) ** 2 / 2e6)
    assert joint_terms.covariances(values).shape == (2,)


def test_the_terms_by_hand() -> None:
    # x in {-1, 1, 0, 0}: variance 2/3; y in {0, 0, -2, 2}: variance 8/3; together 0
    cross = torch.tensor([[-1.0, 0], [1, 0], [0, -2], [0, 2]], dtype=torch.float64)
    assert joint_terms.covariance(cross).item() == pytest.approx(0, abs=1e-12)
    lacking = 1 - math.sqrt(2 / 3 + 1e-4)
    assert joint_terms.variance(cross).item() == pytest.approx(lacking / 2)
    assert joint_terms.variance(cross, target=2).item() == pytest.approx(
        (1 + lacking + 2 - math.sqrt(8 / 3 + 1e-4)) / 2
    )
    # both numbers the same: C = [[1, 1], [1, 1]], so (1 + 1) / 2
    same = torch.tensor([[-1.0, -1], [1, 1], [0, 0]])
    assert joint_terms.covariance(same).item() == pytest.approx(1)
    assert joint_terms.invariance(cross, -cross).item() == pytest.approx(4 * 10 / 8)
    torch.testing.assert_close(
        joint_terms.invariances(cross, -cross), torch.tensor([2.0, 2, 8, 8]).double()
    )


@every_size
def test_the_mean_of_the_shares_is_the_term(size: tuple[int, int]) -> None:
    first, second = drawn(*size), drawn(*size, seed=1)
    pairs = [
        (joint_terms.invariance, joint_terms.invariances, (first, second)),
        (joint_terms.variance, joint_terms.variances, (first,)),
        (joint_terms.variance, joint_terms.variances, (first, 1.5)),
        (joint_terms.covariance, joint_terms.covariances, (first,)),
    ]
    for whole, shares, given in pairs:
        assert shares(*given).shape == (size[0],)
        torch.testing.assert_close(shares(*given).mean(), whole(*given), rtol=1e-9, atol=1e-12)


def test_who_goes_along_with_the_correlation_has_the_larger_share() -> None:
    along, against = [3.0, 3.0], [3.0, -3.0]
    crowd = [[x, x] for x in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    shares = joint_terms.covariances(torch.tensor([*crowd, along, against]))
    assert shares.argmax() == 5 and shares.argmin() == 6
    assert shares[6] < 0 < shares[5]


def test_who_spreads_the_batch_has_the_smaller_share_of_variance() -> None:
    shares = joint_terms.variances(torch.tensor([[0.0], [0.1], [-0.1], [1.5]]))
    assert shares.argmin() == 3


@every_size
def test_what_is_remembered_judges_as_the_batch_did(size: tuple[int, int]) -> None:
    values = drawn(*size)
    remembered = Remembered(size[0], size[1]).double()
    remembered.remember(drawn(4, size[1], seed=2))  # will be forgotten
    remembered.remember(values[: size[0] // 2])
    remembered.remember(values[size[0] // 2 :])
    torch.testing.assert_close(remembered.variances(values), joint_terms.variances(values))
    torch.testing.assert_close(remembered.covariances(values), joint_terms.covariances(values))


def test_a_remembering_that_is_not_full_counts_what_is_there() -> None:
    values = drawn(9, 4)
    remembered = Remembered(50, 4).double()
    remembered.remember(values)
    torch.testing.assert_close(remembered.covariances(values), joint_terms.covariances(values))
    torch.testing.assert_close(remembered.variances(values), joint_terms.variances(values))
    few = Remembered(5, 4).double()
    few.remember(values)  # more at once than there is room for: the last stay
    assert {tuple(row.tolist()) for row in few.rows} == {tuple(row.tolist()) for row in values[4:]}


def test_a_sample_judged_by_what_is_remembered_does_not_depend_on_the_others() -> None:
    remembered = Remembered(64, 8)
    remembered.remember(drawn(64, 8, dtype=torch.float32))
    values = drawn(6, 8, seed=3, dtype=torch.float32)
    for verb in (remembered.variances, remembered.covariances):
        alone = torch.cat([verb(row[None]) for row in values])
        torch.testing.assert_close(verb(values), alone)
        assert verb(values[:0]).shape == (0,)


def test_nothing_remembered_and_a_batch_of_one_give_finite_numbers() -> None:
    empty, one = Remembered(8, 3), drawn(1, 3, dtype=torch.float32)
    assert empty.variances(one).isfinite().all() and empty.covariances(one).tolist() == [0]
    assert joint_terms.covariance(one) == 0
    assert joint_terms.variance(one).item() == pytest.approx(1 - 0.01)  # the root of 1e-4


def test_bfloat16_around_them_and_in_them_changes_little() -> None:
    values, other = drawn(16, 40, dtype=torch.float32), drawn(16, 40, seed=1, dtype=torch.float32)
    plain = [joint_terms.covariance(values), joint_terms.covariances(values)]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(joint_terms.covariance(values), plain[0])
        assert torch.equal(joint_terms.covariances(values), plain[1])
        rounded = joint_terms.invariance(values.bfloat16(), other.bfloat16())
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, joint_terms.invariance(values, other), rtol=0.02, atol=0)


def test_terms_refuse_and_say_why() -> None:
    with pytest.raises(ParameterError, match=r"of one shape, got \(3, 2\) and \(3, 1\)"):
        joint_terms.invariance(torch.zeros(3, 2), torch.zeros(3, 1))
    with pytest.raises(ParameterError, match=r"embeddings must be \(B, D\), got \(4,\)"):
        joint_terms.covariance(torch.zeros(4))
    with pytest.raises(ParameterError, match="capacity must be >= 2 and width >= 1, got 1 and 3"):
        Remembered(1, 3)
