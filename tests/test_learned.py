"""What was learned goes out as arrays and comes back the same."""

import numpy as np
import pytest

from raravis.encoded import Encoded
from raravis.errors import ParameterError, RunError
from raravis.learned import Learned


class Inner(Learned):
    def __init__(self):
        self.setting = 3


class Outer(Learned):
    def __init__(self):
        self.inner_ = Inner()
        self.other = 5


def fitted():
    outer = Outer()
    outer.mean_ = np.arange(3.0)
    outer.level_ = 2.5
    outer.count_ = 7
    outer.inner_.bank_ = np.ones((2, 2), dtype=np.float32)
    return outer


def test_only_what_was_learned_goes_out():
    state = fitted().state()
    assert set(state) == {"mean_", "level_", "count_", "inner_.bank_"}
    assert all(isinstance(array, np.ndarray) for array in state.values())
    assert state["level_"].shape == ()


def test_comes_back_the_same():
    outer = Outer().restore(fitted().state())
    np.testing.assert_array_equal(outer.mean_, [0, 1, 2])
    assert (outer.level_, outer.count_) == (2.5, 7)
    assert type(outer.level_) is float
    assert type(outer.count_) is int
    assert outer.inner_.bank_.dtype == np.float32
    assert outer.inner_.setting == 3


def test_is_fitted_once_something_was_learned():
    assert not Outer().is_fitted
    assert fitted().is_fitted


def test_what_has_no_place_is_refused():
    with pytest.raises(RunError, match="Inner has no part 'deeper_' to restore"):
        Outer().restore({"inner_.deeper_.x_": np.zeros(1)})
    with pytest.raises(RunError, match="Outer has no part 'other' to restore"):
        Outer().restore({"other.x_": np.zeros(1)})


# Encoded


def test_encoded_rows_are_picked_and_put_together():
    some = Encoded(np.arange(8.0).reshape(4, 2), {"loud": np.arange(4.0)})
    again = Encoded.concatenate([some[:1], some[np.array([1, 2])], some[some.terms["loud"] > 2]])
    np.testing.assert_array_equal(again.embedding, some.embedding)
    np.testing.assert_array_equal(again.terms["loud"], some.terms["loud"])
    assert len(again) == 4


def test_encoded_refuses_columns_that_do_not_fit():
    with pytest.raises(ParameterError, match=r"embedding must be \(B, D\), got shape \(3,\)"):
        Encoded(np.zeros(3))
    with pytest.raises(ParameterError, match=r"'loud' must be \(3,\) .* got \(2,\)"):
        Encoded(np.zeros((3, 1)), {"loud": np.zeros(2)})
