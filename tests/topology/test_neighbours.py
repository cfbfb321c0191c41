"""Masks from the columns of their rows are sorted, and cropping drops ends only."""

import numpy as np

from nfcompile.topology.neighbours import crop, neighbour_mask, regular_csr


def test_rows_may_come_in_any_order():
    mask = regular_csr(np.array([[2, 0], [1, 3]]), 4)
    np.testing.assert_array_equal(mask.toarray(), [[1, 0, 1, 0], [0, 1, 0, 1]])
    np.testing.assert_array_equal(mask.indices, [0, 2, 1, 3])


def test_a_grid_without_dimensions_is_one_point():
    np.testing.assert_array_equal(neighbour_mask([]).toarray(), [[1]])


def test_cropping_leaves_the_masks_that_it_is_given_alone():
    mask = neighbour_mask([4, 2])
    cropped = crop([mask, mask, mask], 5, 3)
    assert [m.shape for m in cropped] == [(8, 5), (8, 8), (3, 8)]
    assert cropped[1] is mask
    assert mask.shape == (8, 8)
