"""Pixelfly: the union of block butterfly factors, and low rank beside it."""

import numpy as np
import pytest

from nfcompile.topology import Butterfly, Pixelfly


def flat(grid, block):
    """The union of the factors of a radix-2 butterfly over blocks."""
    union = np.eye(grid, dtype=int)
    if grid > 1:
        union = sum(mask.toarray() for mask in Butterfly(grid, 2).factors())
    return np.kron((union > 0).astype(int), np.ones((block, block), int))


@pytest.mark.parametrize(("n", "block"), [(16, 1), (16, 4), (32, 4), (24, 3), (8, 8)])
def test_the_flat_branch_is_the_union_of_butterfly_factors_in_blocks(n, block):
    (branch,) = Pixelfly(n, block).branches()
    (mask,) = branch
    np.testing.assert_array_equal(mask.toarray(), flat(n // block, block))


@pytest.mark.parametrize(("n", "out"), [(16, 48), (48, 16)])
def test_of_unequal_widths_the_pattern_repeats_along_the_wider(n, out):
    ((mask,),) = Pixelfly(n, 4, out=out).branches()
    repeated = np.tile(flat(4, 4), (out // 16, n // 16))
    np.testing.assert_array_equal(mask.toarray(), repeated)


def test_the_second_branch_is_low_rank_and_only_weights_are_counted():
    topology = Pixelfly(16, 2, 3)
    one, (down, up) = topology.branches()
    assert one[0].nnz == 16 * 2 * 4
    np.testing.assert_array_equal(down.toarray(), np.ones((3, 16)))
    np.testing.assert_array_equal(up.toarray(), np.ones((16, 3)))
    assert topology.edges == 16 * 2 * 4 + 2 * 16 * 3
    # As one cascade the flat branch is carried on by an identity, which is no weight.
    assert sum(mask.nnz for mask in topology.factors()) == topology.edges + 16
    assert topology.layer_widths == [16, 16 + 3, 16]


def test_the_flat_branch_alone_does_not_join_all_pairs_but_low_rank_does():
    (alone,) = Pixelfly(32, 2).factors()
    assert (alone.toarray() == 0).any()
    first, last = Pixelfly(32, 2, 1).factors()
    assert (last @ first).toarray().min() == 1


def test_variants_fill_the_budget_with_rank():
    found = list(Pixelfly.variants(64, 64, 2048))
    assert {t.block for t in found} == {1, 2, 4}  # 8 alone takes 2048
    assert all(t.rank >= 1 and 2048 - t.edges < 128 for t in found)
