"""Clos: dense switches, a transpose, dense switches, a transpose, dense switches."""

import numpy as np
import pytest

from nfcompile.topology import Clos


def switches(count, outputs, inputs):
    return np.kron(np.eye(count, dtype=int), np.ones((outputs, inputs), int))


def transpose(rows, columns):
    """The permutation that reads a [rows, columns] array, stored by rows, by columns."""
    order = np.arange(rows * columns).reshape(rows, columns).T.ravel()
    return np.eye(rows * columns, dtype=int)[order]


@pytest.mark.parametrize(
    ("n", "m", "q", "out"), [(16, 4, 4, 16), (24, 3, 4, 24), (24, 5, 8, 12), (16, 1, 2, 24)]
)
def test_the_stages_are_switches_with_a_transpose_before_and_after_the_middle(n, m, q, out):
    s = n // q
    first, middle, last = (mask.toarray() for mask in Clos(n, m, q, out=out).factors())
    to_middle = transpose(s, m)
    np.testing.assert_array_equal(first, switches(s, m, q))
    np.testing.assert_array_equal(middle, to_middle.T @ switches(m, s, s) @ to_middle)
    np.testing.assert_array_equal(last, switches(s, out // s, m))


def test_middle_switches_are_the_paths_and_the_narrowest_width():
    topology = Clos(16, 3, 4)
    first, middle, last = (mask.toarray() for mask in topology.factors())
    np.testing.assert_array_equal(last @ middle @ first, np.full((16, 16), 3))
    assert topology.layer_widths == [16, 12, 12, 16]


def test_variants_use_every_switch_size_that_divides_both_widths():
    found = list(Clos.variants(36, 24, 10**4))
    assert [t.n // t.q for t in found] == [2, 3, 4, 6, 12]
    assert [t.n // t.q for t in Clos.variants(36, 12, 10**4)] == [2, 3, 4, 6]
    assert list(Clos.variants(36, 35, 10**4)) == []


def test_variants_take_the_most_middle_switches_for_each_size():
    # A middle switch costs s (q + s + q) weights: 36, 48 and 96 for 2, 4 and 8 switches.
    assert list(Clos.variants(16, 16, 200)) == [Clos(16, 5, 8), Clos(16, 4, 4), Clos(16, 2, 2)]
