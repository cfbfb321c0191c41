"""Branches that are summed are one cascade of stacked factors."""

import itertools

import numpy as np
from scipy.sparse import csr_array

from nfcompile.topology.stacking import stack


def random_mask(rng, rows, columns):
    return csr_array((rng.random((rows, columns)) < 0.5).astype(np.int64))


def total(masks):
    paths = masks[0]
    for mask in masks[1:]:
        paths = mask @ paths
    return paths.toarray()


def test_branches_of_different_lengths_and_widths_add_up():
    rng = np.random.default_rng(0)
    widths = [(5, 7, 3, 4), (5, 2, 4), (5, 4)]
    branches = [[random_mask(rng, b, a) for a, b in itertools.pairwise(w)] for w in widths]
    stacked = stack(branches)
    assert [mask.shape for mask in stacked] == [(7 + 2 + 4, 5), (3 + 4 + 4, 13), (4, 11)]
    np.testing.assert_array_equal(total(stacked), sum(total(branch) for branch in branches))


def test_one_branch_is_left_as_it_is():
    rng = np.random.default_rng(0)
    branch = [random_mask(rng, 3, 4), random_mask(rng, 2, 3)]
    assert all(one is other for one, other in zip(stack([branch]), branch, strict=True))
