"""RadiX-Net: sums of rolled identities, widened by Kronecker products."""

import numpy as np
import pytest

from nfcompile.topology import RadixNet


def rolled(ring, radix, place):
    return sum(np.roll(np.eye(ring, dtype=int), -j * place, axis=1) for j in range(radix))


@pytest.mark.parametrize(
    ("radices", "widths"),
    [
        ((2, 2, 2), None),
        ((2, 3, 4), None),
        ((4, 3), (1, 2, 1)),
        ((2, 5), (3, 1, 2)),
        ((7,), (2, 3)),
    ],
)
def test_factors_are_rolls_by_place_values_with_all_copies_joined(radices, widths):
    ring, place = int(np.prod(radices)), 1
    copies = widths or [1] * (len(radices) + 1)
    for t, mask in enumerate(RadixNet(radices, widths).factors()):
        ones = np.ones((copies[t + 1], copies[t]), int)
        expected = np.kron(ones, rolled(ring, radices[t], place))
        np.testing.assert_array_equal(mask.toarray(), expected)
        place *= radices[t]


@pytest.mark.parametrize("widths", [None, (1, 3, 2, 1), (2, 3, 2, 5)])
def test_each_pair_has_as_many_paths_as_the_inner_widths_multiply_to(widths):
    paths = np.eye(24 * (widths or [1])[0])
    for mask in RadixNet((2, 3, 4), widths).factors():
        paths = mask @ paths
    assert (paths == np.prod((widths or [1, 1])[1:-1])).all()


def test_widths_of_one_are_the_default():
    assert RadixNet((2, 3), (1, 1, 1)) == RadixNet((2, 3))
    assert RadixNet((2, 3), (1, 1, 1)).widths is None


@pytest.mark.parametrize("radices", [(2, 3), (2, 3, 5), (4, 2), (3, 3, 2, 2)])
@pytest.mark.parametrize("edges", [400, 1777, 5000])
def test_inner_widths_grow_in_turn_as_far_as_the_budget_goes(radices, edges):
    ring = int(np.prod(radices))

    def cost(copies):
        return ring * sum(r * copies[t] * copies[t + 1] for t, r in enumerate(radices))

    copies, grown = [1] * (len(radices) + 1), True
    while grown:
        grown = False
        for index in sorted(range(1, len(radices)), key=copies.__getitem__):
            trial = [width + (t == index) for t, width in enumerate(copies)]
            if cost(trial) <= edges:
                copies, grown = trial, True
    found = [t for t in RadixNet.variants(ring, ring, edges) if t.radices == radices]
    if radices == tuple(sorted(radices)) or radices == tuple(sorted(radices))[::-1]:
        assert [t.copies for t in found] == [tuple(copies)] * (cost([1] * len(copies)) <= edges)


def test_variants_use_the_largest_common_ring_and_widen_the_middle():
    found = list(RadixNet.variants(12, 18, 400))
    assert all(np.prod(t.radices) == 6 for t in found)
    assert all((t.copies[0], t.copies[-1]) == (2, 3) for t in found)
    deep = [t for t in found if t.depth == 2]
    assert {t.radices for t in deep} == {(2, 3), (3, 2)}
    for t in deep:  # one more copy in the middle would cost too much
        more = 6 * (t.radices[0] * 2 + t.radices[1] * 3)
        assert t.edges <= 400 < t.edges + more
    assert list(RadixNet.variants(7, 9, 10**6)) == []
