"""Monarch is the butterfly of radix sqrt(n): two block-diagonal factors and a transpose."""

import numpy as np
import pytest

from nfcompile.topology import Butterfly, Monarch


@pytest.mark.parametrize("root", [2, 4, 5, 8])
def test_at_squares_it_is_the_butterfly_of_radix_sqrt_n(root):
    ours, butterfly = Monarch(root**2), Butterfly(root**2, root)
    assert ours.edges == 2 * root**3
    for one, other in zip(ours.factors(), butterfly.factors(), strict=True):
        np.testing.assert_array_equal(one.toarray(), other.toarray())


@pytest.mark.parametrize(("small", "large"), [(3, 4), (4, 8), (2, 7), (6, 6)])
def test_its_factors_are_block_diagonal_before_and_after_a_transpose(small, large):
    n = small * large
    first, second = (mask.toarray() for mask in Monarch(n).factors())
    swap = np.eye(n)[np.arange(n).reshape(large, small).T.ravel()]
    np.testing.assert_array_equal(first, np.kron(np.eye(large), np.ones((small, small))))
    np.testing.assert_array_equal(
        swap @ second @ swap.T, np.kron(np.eye(small), np.ones((large, large)))
    )


@pytest.mark.parametrize(("n", "out"), [(16, 36), (64, 16), (12, 100)])
def test_of_unequal_widths_each_pair_has_one_path_through_no_narrower_cut(n, out):
    topology = Monarch(n, out=out)
    first, second = (mask.toarray() for mask in topology.factors())
    np.testing.assert_array_equal(second @ first, np.ones((out, n)))
    assert min(topology.layer_widths) == min(n, out)


def test_there_is_one_variant_if_it_fits():
    assert list(Monarch.variants(64, 64, 1024)) == [Monarch(64)]
    assert list(Monarch.variants(64, 64, 1023)) == []
    assert list(Monarch.variants(61, 61, 10**5)) == []
