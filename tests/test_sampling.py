"""Every epoch covers each kept window exactly once, however many processes share it."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raravis import distributed
from raravis.sampling import MaskedBatches
from raravis.windows import IntArray


def batches_of(rows: int, batch: int, left_out: set[int], seed: int = 0) -> MaskedBatches:
    batches = MaskedBatches(np.arange(100, 100 + rows), batch, seed)
    batches.kept = ~np.isin(np.arange(rows), list(left_out))
    return batches


def parts_of(rows: IntArray, size: int) -> list[IntArray]:
    """What each of several processes takes of a batch."""
    parts = []
    for rank in range(size):
        with mock.patch.multiple(distributed, size=lambda: size, rank=lambda r=rank: r):
            parts.append(distributed.own_part(rows))
    return parts


@given(
    rows=st.integers(1, 60),
    batch=st.integers(1, 17),
    size=st.integers(1, 5),
    number=st.integers(0, 99),
    left_out=st.sets(st.integers(0, 59)),
)
def test_each_kept_window_is_learned_from_exactly_once(
    rows: int, batch: int, size: int, number: int, left_out: set[int]
) -> None:
    kept = [100 + row for row in range(rows) if row not in left_out]
    epoch = batches_of(rows, batch, left_out).epoch(number)
    learned = [row for rows in epoch for part in parts_of(rows, size) for row in part.tolist()]
    assert sorted(learned) == kept
    for rows_of_batch in epoch:
        sizes = [len(part) for part in parts_of(rows_of_batch, size)]
        assert len(rows_of_batch) <= batch
        assert max(sizes) - min(sizes) <= 1
    sizes = [len(rows_of_batch) for rows_of_batch in epoch]
    assert not sizes or max(sizes) - min(sizes) <= 1


def test_the_order_follows_seed_epoch_and_mask_alone() -> None:
    def order(seed: int, number: int, left_out: set[int]) -> list[list[int]]:
        return [rows.tolist() for rows in batches_of(30, 8, left_out, seed).epoch(number)]

    first = order(0, 0, {3})
    assert first == order(0, 0, {3})
    assert first != order(0, 1, {3}) and first != order(1, 0, {3}) and first != order(0, 0, {4})


def test_a_batch_is_read_in_the_order_of_the_disk_but_drawn_at_random() -> None:
    epoch = batches_of(64, 8, set()).epoch(0)
    assert all((np.diff(rows) > 0).all() for rows in epoch)
    assert np.mean([rows.max() - rows.min() for rows in epoch]) > 40  # neighbours would be 7 apart


def test_where_all_are_left_out_there_is_nothing_to_learn_from() -> None:
    assert batches_of(4, 2, {0, 1, 2, 3}).epoch(0) == []


@pytest.mark.parametrize("size", [1, 2, 3])
def test_parts_follow_each_other_in_the_order_of_the_ranks(size: int) -> None:
    rows = np.arange(10)
    np.testing.assert_array_equal(np.concatenate(parts_of(rows, size)), rows)
