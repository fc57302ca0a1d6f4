"""What networks are made of, against what it stands for."""

from __future__ import annotations

import pytest
import torch

from raravis.blocks import squared_errors


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_squared_errors_are_what_one_would_write_first(layout):
    draw = torch.Generator().manual_seed(0)
    batch, start, weight = (torch.randn(s, generator=draw) for s in ((5, 3, 4, 2), (5, 3, 4, 2), 5))
    batch = batch.to(memory_format=layout)
    ours, naive = (start.clone().to(memory_format=layout).requires_grad_() for _ in range(2))
    errors = squared_errors(ours, batch)
    expected = (naive - batch).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(errors, expected)
    (errors * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(ours.grad, naive.grad)


def test_squared_errors_of_bfloat16_are_summed_in_the_precision_of_the_batch():
    batch = torch.full((1, 1, 1, 3), 1e-4)
    rebuilt = torch.tensor([[[[1.0, 2.0, 3.0]]]], dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        errors = squared_errors(rebuilt, batch)
    exact = (0.9999**2 + 1.9999**2 + 2.9999**2) / 3
    assert errors.dtype == torch.float32 and errors.item() == pytest.approx(exact, rel=1e-6)
    errors.backward(torch.ones(1))
    torch.testing.assert_close(
        rebuilt.grad, torch.tensor([[[[2, 4, 6]]]]) / 3, check_dtype=False, rtol=0.01, atol=0
    )
