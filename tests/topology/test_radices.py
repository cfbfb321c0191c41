"""Widths as products: every factorization once, and pairs of them without a narrow cut."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfcompile.errors import InputError
from nfcompile.topology.digits import digit_widths
from nfcompile.topology.radices import divisors, factorizations, radices, rectangular


def rising(n, smallest=2):
    """All multisets of integers above one whose product is n, by trying all of them."""
    if n == 1:
        return {()}
    return {
        (first, *rest)
        for first in range(smallest, n + 1)
        if n % first == 0
        for rest in rising(n // first, first)
    }


@pytest.mark.parametrize("n", [2, 7, 12, 36, 64, 96, 210, 720])
def test_factorizations_are_all_of_them_each_once(n):
    found = list(factorizations(n))
    assert len(found) == len(set(found))
    assert set(found) == rising(n)


@given(n=st.integers(1, 2000))
def test_divisors_are_all_in_rising_order(n):
    assert divisors(n) == [d for d in range(1, n + 1) if n % d == 0]


@given(base=st.integers(2, 9), power=st.integers(1, 5), rest=st.integers(1, 80))
def test_radices_are_the_radix_as_often_as_it_divides_and_one_digit_more(base, power, rest):
    n = base**power * rest
    try:
        found = radices(n, base)
    except InputError:
        while rest % base == 0:
            rest //= base
        assert rest >= base * base
        return
    assert math.prod(found) == n
    assert set(found[:-1]) <= {base}
    assert found[-1] < base * base


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [((4, 4), (4, 4, 4)), ((4, 4, 4), (4, 4)), ((2, 8), (4, 4)), ((5,), (2, 3)), ((4, 6), (5, 3))],
)
def test_pairs_of_widths_mix_each_digit_once_from_end_to_end(inputs, outputs):
    sizes, steps = rectangular(inputs, outputs)
    assert sorted(digit for digit, _ in steps) == list(range(len(sizes)))
    widths = digit_widths(sizes, steps)
    assert (widths[0], widths[-1]) == (math.prod(inputs), math.prod(outputs))
    assert min(widths) == min(widths[0], widths[-1])
