"""The hypercube joins what differs in at most one bit."""

import numpy as np
import pytest

from nfcompile.topology import Hypercube


def cube(n):
    i = np.arange(n)
    differ = i[:, None] ^ i[None, :]
    return np.vectorize(lambda bits: int(bits).bit_count())(differ) <= 1


@pytest.mark.parametrize("n", [2, 4, 16, 32])
def test_each_factor_joins_i_to_itself_and_to_i_xor_each_power_of_two(n):
    for mask in Hypercube(n).factors():
        np.testing.assert_array_equal(mask.toarray(), cube(n))


def test_the_number_of_paths_depends_on_the_distance_alone():
    total = np.eye(16, dtype=int)
    for mask in Hypercube(16).factors():
        total = mask @ total
    np.testing.assert_array_equal(total, np.linalg.matrix_power(cube(16).astype(int), 4))
    distance = np.array([i.bit_count() for i in range(16)])
    assert [set(total[0, distance == d]) for d in range(5)] == [{65}, {44}, {44}, {24}, {24}]


@pytest.mark.parametrize(("n", "out"), [(16, 11), (11, 16), (16, 2)])
def test_of_unequal_widths_the_surplus_ends_are_left_out(n, out):
    masks = Hypercube(n, 3, out=out).factors()
    np.testing.assert_array_equal(masks[0].toarray(), cube(16)[:, :n])
    np.testing.assert_array_equal(masks[1].toarray(), cube(16))
    np.testing.assert_array_equal(masks[2].toarray(), cube(16)[:out])


def test_a_single_factor_is_left_out_of_on_both_sides():
    (mask,) = Hypercube(16, 1, out=5).factors()
    np.testing.assert_array_equal(mask.toarray(), cube(16)[:5])


@pytest.mark.parametrize("layers", [None, 1, 2, 3, 7])
@pytest.mark.parametrize(("n", "out"), [(16, 16), (16, 11), (11, 16), (2, 2), (16, 2)])
def test_edges_depth_and_widths_are_told_without_masks(n, out, layers):
    topology = Hypercube(n, layers, out=out)
    told = topology.edges, topology.depth, topology.layer_widths
    (masks,) = topology.branches()
    shapes = [n, *(mask.shape[0] for mask in masks)]
    assert told == (sum(mask.nnz for mask in masks), len(masks), shapes)


def test_variants_add_factors_up_to_the_budget():
    fewest, most = Hypercube.variants(16, 16, 1000)
    assert fewest == Hypercube(16)
    assert most == Hypercube(16, 1000 // (16 * 5))
    assert list(Hypercube.variants(16, 16, 4 * 16 * 5 - 1)) == []
    assert list(Hypercube.variants(12, 12, 10**6)) == []
