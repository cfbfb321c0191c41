"""Random masks are drawn evenly and in reasonable time at every degree."""

import numpy as np
import pytest
from scipy import stats

from nfcompile.topology.random_masks import biregular_mask, picked_mask


@pytest.mark.parametrize("degree", [3, 30])  # by repeated drawing, and by sorting
def test_picked_columns_are_uniform(degree):
    mask = picked_mask(4000, 40, degree, np.random.default_rng(0))
    np.testing.assert_array_equal(mask.sum(axis=1), degree)
    _, p_value = stats.chisquare(mask.sum(axis=0))
    assert p_value > 1e-3


def test_each_set_of_columns_is_equally_likely():
    mask = picked_mask(60000, 8, 2, np.random.default_rng(1))
    sets = mask.indices.reshape(-1, 2) @ [8, 1]
    _, counts = np.unique(sets, return_counts=True)
    assert len(counts) == 28
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.timeout(20)
@pytest.mark.parametrize("degree", [128, 256, 257, 700])
def test_high_degrees_do_not_take_forever(degree):
    # A row of 256 out of 1024 is free of repetitions once in e^32 draws.
    mask = picked_mask(512, 1024, degree, np.random.default_rng(0))
    np.testing.assert_array_equal(mask.sum(axis=1), degree)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("degree", [1, 64, 128, 129, 255, 256])
def test_regular_masks_of_every_degree_are_found(degree):
    mask = biregular_mask(256, 256, degree, np.random.default_rng(0))
    np.testing.assert_array_equal(mask.sum(axis=0), degree)
    np.testing.assert_array_equal(mask.sum(axis=1), degree)
