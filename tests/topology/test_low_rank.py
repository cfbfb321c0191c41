"""Low rank: two dense factors around a narrow middle; and dense, its one-factor limit."""

import numpy as np

from nfcompile.topology import Dense, LowRank


def test_the_factors_are_dense_around_the_rank():
    down, up = (mask.toarray() for mask in LowRank(12, 5, out=9).factors())
    np.testing.assert_array_equal(down, np.ones((5, 12)))
    np.testing.assert_array_equal(up, np.ones((9, 5)))


def test_the_only_variant_has_the_largest_rank_of_the_budget():
    assert list(LowRank.variants(16, 16, 100)) == [LowRank(16, 3)]
    assert list(LowRank.variants(16, 16, 31)) == []
    assert list(LowRank.variants(16, 8, 10**6)) == [LowRank(16, 8, out=8)]


def test_dense_is_one_factor_of_ones_and_fits_from_its_size_on():
    (mask,) = Dense(5, out=3).factors()
    np.testing.assert_array_equal(mask.toarray(), np.ones((3, 5)))
    assert list(Dense.variants(5, 3, 15)) == [Dense(5, out=3)]
    assert list(Dense.variants(5, 3, 14)) == []
