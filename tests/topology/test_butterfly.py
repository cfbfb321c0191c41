"""A butterfly has exactly one path per pair, at every width that factorizes."""

import math

import numpy as np
import pytest

from nfcompile.errors import InputError
from nfcompile.topology import Butterfly

WIDTHS = [(2, 2), (16, 2), (16, 4), (16, 16), (32, 4), (48, 4), (96, 2), (196, 14), (100, 10)]


def product(masks):
    paths = masks[0].toarray()
    for mask in masks[1:]:
        paths = mask.toarray() @ paths
    return paths


@pytest.mark.parametrize(("n", "radix"), WIDTHS)
def test_the_product_of_the_factors_has_one_path_per_pair(n, radix):
    np.testing.assert_array_equal(product(Butterfly(n, radix).factors()), np.ones((n, n)))


@pytest.mark.parametrize(("n", "radix"), WIDTHS)
def test_edges_are_the_stored_entries_and_n_times_the_radices(n, radix):
    topology = Butterfly(n, radix)
    assert topology.edges == sum(mask.nnz for mask in topology.factors())
    assert topology.edges == n * sum(topology.radices)
    assert np.prod(topology.radices) == n


def test_a_factor_joins_exactly_the_indices_that_differ_in_its_digit():
    topology = Butterfly(24, 4)
    assert topology.radices == (4, 6)
    for digit, mask in enumerate(topology.factors()):
        for i in range(24):
            for j in range(24):
                others_equal = (i % 4 == j % 4) if digit == 1 else (i // 4 == j // 4)
                assert bool(mask[i, j]) == others_equal


def test_the_mixed_radix_takes_one_digit_of_another_size():
    assert Butterfly(2048, 4).radices == (4, 4, 4, 4, 4, 2)
    assert Butterfly(1024, 4).radices == (4,) * 5


def test_masks_are_canonical():
    for mask in Butterfly(48, 4).factors():
        assert mask.has_canonical_format
        assert set(mask.data) == {1}


@pytest.mark.timeout(20)
def test_a_butterfly_of_width_65536_is_built_in_seconds():
    topology = Butterfly(65536, 16)
    masks = topology.factors()
    assert len(masks) == 4
    assert sum(mask.nnz for mask in masks) == topology.edges == 65536 * 64


@pytest.mark.parametrize(
    ("n", "radix", "message"),
    [
        (7, 2, "n=7 must be a power of radix=2 times one digit below 4; .* n=8"),
        (4036, 4, "n=4036 .* the nearest width above it is n=4096"),
        (6, 16, "n=6 .* n=16"),
        (0, 2, "n must be an integer of at least 2, got 0"),
        (-8, 2, "got -8"),
        (16, 0, "radix must be an integer of at least 2, got 0"),
        (16, "4", "radix must be an integer of at least 2, got '4'"),
        (16, 1, "radix must be an integer of at least 2, got 1"),
        (16.0, 2, "got 16.0"),
        (True, 2, "got True"),
    ],
)
def test_a_width_without_a_factorization_is_refused_in_one_line(n, radix, message):
    with pytest.raises(InputError, match=message) as caught:
        Butterfly(n, radix)
    assert "\n" not in str(caught.value)


def test_the_width_that_is_advised_factorizes():
    for n in range(2, 300):
        for radix in (2, 3, 4, 16):
            try:
                Butterfly(n, radix)
            except InputError as error:
                advised = int(str(error).rpartition("n=")[2])
                assert advised > n
                Butterfly(advised, radix)


@pytest.mark.parametrize("radices", [(2, 3, 5), (5, 3, 2), (4, 4), (2, 8, 3), (7,)])
def test_a_list_of_radices_gives_the_digits_in_order(radices):
    n = math.prod(radices)
    topology = Butterfly(n, radices)
    assert topology.edges == n * sum(radices)
    i = np.arange(n)
    place = 1
    for radix, mask in zip(radices, topology.factors(), strict=True):
        rest = i // (place * radix) * place + i % place  # the index without this digit
        np.testing.assert_array_equal(mask.toarray(), rest[:, None] == rest[None, :])
        place *= radix


@pytest.mark.parametrize(
    ("n", "out", "radix"),
    [(64, 16, 4), (16, 64, 4), (512, 128, 8), (12, 20, 4), (16, 64, 8), (64, 3, 2)],
)
def test_of_unequal_widths_each_pair_has_one_path_through_no_narrower_cut(n, out, radix):
    topology = Butterfly(n, radix, out=out)
    assert (product(topology.factors()) == 1).all()
    assert min(topology.layer_widths) == min(n, out)
    assert topology.edges < n * out


def test_variants_are_all_mixed_radices_within_the_budget():
    found = list(Butterfly.variants(16, 16, 16 * 10))
    assert set(found) == {
        Butterfly(16, 2), Butterfly(16, 4), Butterfly(16, (2, 8)), Butterfly(16, (2, 2, 4))
    }  # fmt: skip
    assert set(Butterfly.variants(16, 16, 16 * 8)) == set(found) - {Butterfly(16, (2, 8))}


def test_equal_butterflies_are_equal_values():
    assert Butterfly(16, 4) == Butterfly(16, 4)
    assert len({Butterfly(16, 4), Butterfly(16, 4), Butterfly(16, 2)}) == 2
