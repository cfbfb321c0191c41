"""The torus joins neighbours on a grid that wraps."""

import itertools

import numpy as np
import pytest

from nfcompile.topology import Hypercube, Torus


def grid_mask(sides):
    """By coordinates: equal, or one step apart in a single dimension."""
    points = [point[::-1] for point in itertools.product(*map(range, sides[::-1]))]
    mask = np.zeros((len(points), len(points)), int)
    for (i, p), (j, q) in itertools.product(enumerate(points), repeat=2):
        steps = [min((a - b) % s, (b - a) % s) for a, b, s in zip(p, q, sides, strict=True)]
        mask[i, j] = sum(steps) <= 1
    return mask


@pytest.mark.parametrize(
    ("n", "dims", "sides"),
    [(7, 1, (7,)), (16, 2, (4, 4)), (12, 2, (3, 4)), (24, 3, (2, 3, 4)), (27, 3, (3, 3, 3)),
     (2, 1, (2,)), (36, 2, (6, 6)), (48, 2, (6, 8))],
)  # fmt: skip
def test_each_factor_joins_a_point_to_itself_and_its_neighbours(n, dims, sides):
    topology = Torus(n, dims)
    assert topology.sides == sides
    for mask in topology.factors():
        np.testing.assert_array_equal(mask.toarray(), grid_mask(sides))


def test_a_torus_of_sides_two_is_the_hypercube():
    for ours, cube in zip(Torus(16, 4).factors(), Hypercube(16).factors(), strict=True):
        np.testing.assert_array_equal(ours.toarray(), cube.toarray())


@pytest.mark.parametrize(("n", "out"), [(16, 9), (9, 16)])
def test_of_unequal_widths_the_surplus_ends_are_left_out(n, out):
    masks = Torus(n, 2, out=out).factors()
    np.testing.assert_array_equal(masks[0].toarray(), grid_mask((4, 4))[:, :n])
    np.testing.assert_array_equal(masks[-1].toarray(), grid_mask((4, 4))[:out])


@pytest.mark.parametrize("layers", [None, 1, 2, 3, 7])
@pytest.mark.parametrize(
    ("n", "dims", "out"), [(7, 1, 7), (7, 1, 3), (3, 1, 2), (2, 1, 2), (24, 3, 24), (9, 2, 16),
                           (24, 3, 5), (16, 4, 9)],
)  # fmt: skip
def test_edges_depth_and_widths_are_told_without_masks(n, dims, out, layers):
    topology = Torus(n, dims, layers, out=out)
    told = topology.edges, topology.depth, topology.layer_widths
    (masks,) = topology.branches()
    shapes = [n, *(mask.shape[0] for mask in masks)]
    assert told == (sum(mask.nnz for mask in masks), len(masks), shapes)


def test_sides_are_as_equal_as_they_can_be():
    assert Torus(14414400, 2).sides == (3744, 3850)
    assert Torus(720, 3).sides == (8, 9, 10)


def test_variants_have_every_number_of_dimensions_that_the_budget_joins():
    found = list(Torus.variants(16, 16, 16 * 30))  # a factor has 16 times 3, 5, 5 and 5
    assert found == [
        *(Torus(16, 1), Torus(16, 1, 10)),
        *(Torus(16, 2), Torus(16, 2, 6)),
        *(Torus(16, 3), Torus(16, 3, 6)),
        *(Torus(16, 4), Torus(16, 4, 6)),
    ]
    assert not any(t.dims == 1 for t in Torus.variants(16, 16, 16 * 3 * 8 - 1))
