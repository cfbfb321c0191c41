"""Mixing one digit of an index: Kronecker products, by formula."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfcompile.topology.digits import (
    digit_edges,
    digit_mask,
    digit_orders,
    digit_widths,
    mix_digits,
)

SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=4)


@given(sizes=SIZES, digit=st.integers(0, 3), size=st.integers(1, 6))
def test_a_digit_mask_is_an_identity_around_ones(sizes, digit, size):
    digit %= len(sizes)
    low, high = math.prod(sizes[:digit]), math.prod(sizes[digit + 1 :])
    expected = np.kron(np.kron(np.eye(high), np.ones((size, sizes[digit]))), np.eye(low))
    np.testing.assert_array_equal(digit_mask(sizes, digit, size).toarray(), expected)


@given(sizes=SIZES, data=st.data())
def test_widths_and_edges_are_what_the_masks_say_and_each_pair_has_one_path(sizes, data):
    order = data.draw(st.permutations(range(len(sizes))))
    steps = [(digit, data.draw(st.integers(1, 5))) for digit in order]
    masks = mix_digits(sizes, steps)
    assert digit_widths(sizes, steps) == [masks[0].shape[1], *(m.shape[0] for m in masks)]
    assert digit_edges(sizes, steps) == sum(mask.nnz for mask in masks)
    paths = np.eye(math.prod(sizes))
    for mask in masks:
        paths = mask @ paths
    assert (paths == 1).all()


def test_orders_are_distinct_rotations_first_then_the_other_permutations():
    steps = ((0, 2), (1, 2), (2, 2))
    orders = digit_orders((2, 2, 2), steps, 6)
    assert orders[:3] == [steps, steps[1:] + steps[:1], steps[2:] + steps[:2]]
    assert len(set(orders)) == 6
    assert digit_orders((2, 2, 2), steps, 8) == orders


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_no_order_narrows_the_signal_below_the_given_one(count):
    sizes, steps = (4, 1, 2), ((1, 4), (0, 2), (2, 2))
    narrowest = min(digit_widths(sizes, steps))
    orders = digit_orders(sizes, steps, count)
    assert 1 <= len(orders) == len(set(orders)) <= count
    for order in orders:
        assert sorted(order) == sorted(steps)
        assert min(digit_widths(sizes, order)) >= narrowest
