"""Whatever the kind: masks are canonical, and what is said of them without masks is true."""

import dataclasses
import itertools
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfcompile.errors import InputError
from nfcompile.topology import (
    KINDS,
    Butterfly,
    Clos,
    Dense,
    Expander,
    Hypercube,
    LowRank,
    Monarch,
    ParallelButterfly,
    Pixelfly,
    RadixNet,
    RandomRegular,
    Torus,
    parse,
)

MEMBERS = [
    Dense(8),
    Dense(8, out=12),
    LowRank(16, 3),
    LowRank(16, 3, out=8),
    Torus(12, 1),
    Torus(24, 3, 5),
    Torus(16, 2, out=9),
    Torus(9, 2, out=16),
    Hypercube(16),
    Hypercube(16, 6, skip=True),
    Hypercube(16, out=11),
    Hypercube(9, out=16),
    Butterfly(16, 4, skip=True),
    Butterfly(48, 4),
    Butterfly(30, (2, 3, 5)),
    Butterfly(64, 4, out=16),
    Butterfly(12, 4, out=20),
    Clos(16, 4, 4),
    Clos(16, 3, 8, out=6),
    RandomRegular(24, 3, seed=1),
    RandomRegular(24, 3, layers=4, out=10),
    RandomRegular(10, 3, out=24),
    Expander(24, 3),
    Expander(24, 3, out=10),
    Expander(10, 3, out=24),
    RadixNet((2, 3, 4), skip=True),
    RadixNet((2, 4), (1, 3, 2)),
    Monarch(12),
    Monarch(16, out=36),
    Pixelfly(16, 2, 0),
    Pixelfly(16, 4, 3),
    Pixelfly(8, 2, 3, out=32),
    Pixelfly(32, 2, 3, out=8),
    ParallelButterfly(64, 4, 3),
    ParallelButterfly(32, 4, 2, out=64),
]
WIDE = [
    LowRank(65536, 16),
    Torus(65536, 4),
    Hypercube(65536),
    Butterfly(65536, 16),
    Clos(65536, 32, 256),
    RandomRegular(65536, 16),
    Expander(65536, 16),
    RadixNet((16,) * 4),
    Monarch(65536),
    Pixelfly(65536, 1, 4),
    Pixelfly(65536, 16, 4),
    ParallelButterfly(65536, 16, 2),
]


def product(masks):
    paths = masks[0].toarray().astype(float)
    for mask in masks[1:]:
        paths = mask.toarray() @ paths
    return paths


def assert_told_right(topology):
    branches = topology.branches()
    assert topology.edges == sum(mask.nnz for branch in branches for mask in branch)
    assert topology.depth == max(map(len, branches)) == len(topology.factors())
    assert topology.layer_widths == [
        topology.in_features,
        *(mask.shape[0] for mask in topology.factors()),
    ]


def test_the_list_of_kinds_and_the_members_tried_here_are_complete():
    assert {type(member) for member in MEMBERS} == set(KINDS.values())
    assert all(kind.name == name for name, kind in KINDS.items())
    assert list(KINDS) == [
        "dense", "low-rank", "torus", "hypercube", "butterfly", "clos", "random", "expander",
        "radix-net", "monarch", "pixelfly", "parallel-butterfly",
    ]  # fmt: skip


@pytest.mark.parametrize("topology", MEMBERS, ids=str)
def test_edges_depth_and_widths_are_what_the_masks_say(topology):
    assert_told_right(topology)
    size = topology.in_features * topology.out_features
    assert topology.density == topology.edges / size


@pytest.mark.parametrize("topology", MEMBERS, ids=str)
def test_rows_are_outputs_and_each_factor_takes_what_the_one_before_gives(topology):
    for branch in [*topology.branches(), topology.factors()]:
        assert branch[0].shape[1] == topology.in_features
        assert branch[-1].shape[0] == topology.out_features
        for first, second in itertools.pairwise(branch):
            assert first.shape[0] == second.shape[1]


@pytest.mark.parametrize("topology", MEMBERS, ids=str)
def test_masks_are_sorted_csr_of_ones_without_repetitions(topology):
    for mask in [*(m for branch in topology.branches() for m in branch), *topology.factors()]:
        assert mask.format == "csr"
        assert np.issubdtype(mask.dtype, np.integer)
        assert (mask.data == 1).all()
        for row in range(mask.shape[0]):
            columns = mask.indices[mask.indptr[row] : mask.indptr[row + 1]]
            assert (np.diff(columns) > 0).all()


@pytest.mark.parametrize("topology", MEMBERS, ids=str)
def test_the_joined_cascade_counts_the_paths_of_all_branches(topology):
    expected = sum(product(branch) for branch in topology.branches())
    np.testing.assert_array_equal(product(topology.factors()), expected)


@pytest.mark.parametrize("topology", MEMBERS, ids=str)
def test_equal_parameters_make_equal_values_with_equal_masks(topology):
    again = dataclasses.replace(topology)
    assert again == topology
    assert len({again, topology, Dense(1024)}) == 2
    for one, other in zip(topology.factors(), again.factors(), strict=True):
        assert (one != other).nnz == 0


@pytest.mark.parametrize("topology", MEMBERS, ids=str)
def test_text_reads_back_as_the_same_value(topology):
    assert parse(str(topology)) == topology
    assert str(parse(str(topology))) == str(topology)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    ends=st.tuples(st.integers(2, 40), st.integers(2, 40))
    | st.integers(2, 48).map(lambda n: (n, n)),
    edges=st.integers(1, 1200),
)
def test_variants_keep_the_budget_the_widths_and_their_text(kind, ends, edges):
    for found in KINDS[kind].variants(*ends, edges):
        assert type(found) is KINDS[kind]
        assert (found.in_features, found.out_features) == ends
        assert parse(str(found)) == found
        assert_told_right(found)
        assert found.edges <= edges
        if kind not in ("random", "expander"):
            assert (product(found.factors()) > 0).all()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_variants_of_square_and_of_rectangular_widths(kind):
    assert list(KINDS[kind].variants(64, 64, 4096))
    assert list(KINDS[kind].variants(64, 16, 4096))
    assert list(KINDS[kind].variants(16, 64, 4096))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("topology", WIDE, ids=str)
def test_width_65536_is_built_in_seconds_in_memory_proportional_to_the_edges(topology):
    tracemalloc.start()
    start = time.process_time()
    masks = [mask for branch in topology.branches() for mask in branch]
    taken, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 15
    # An entry takes 16 bytes, and in the making a few times that; a dense mask takes 65536 * 8
    # bytes per output, thousands for each entry here.
    assert peak < 128 * topology.edges
    # A factor that is repeated is one mask.
    assert sum(mask.nnz for mask in masks) == topology.edges


def test_torus_of_one_dimension_repeats_its_mask_and_does_not_copy_it():
    (masks,) = Torus(32768, 1).branches()
    assert len(masks) == 16384
    assert len({id(mask) for mask in masks}) <= 3


BAD = [
    (lambda: Dense(0), "dense n must be an integer of at least 2, got 0"),
    (lambda: Dense(-4), "dense n .* got -4"),
    (lambda: Dense(2**24 + 1), "dense n must be at most 16777216, got 16777217"),
    (lambda: Dense(8, out=10**18), "dense out must be at most 16777216, got 1000000000000000000"),
    (lambda: Hypercube(2**50), "hypercube n must be at most 16777216"),
    (lambda: Hypercube(16, 10**18), "hypercube layers must be at most 65536"),
    (lambda: Torus(999999999999999989, 2), "torus n must be at most 16777216"),
    (lambda: Torus(16, 2, 10**18), "torus layers must be at most 65536"),
    (lambda: Torus(16, 10**18), "product of dims=1000000000000000000 integers"),
    (lambda: Expander(16, 2, layers=10**18), "expander layers must be at most 65536"),
    (lambda: Clos(16, 10**18, 4), "clos m must be at most 16777216"),
    (lambda: RadixNet((4096, 4097)), "radix-net width must be at most 16777216, got 16781312"),
    (lambda: RadixNet((2, 2), (1, 2**23, 1)), "radix-net width must be at most 16777216"),
    (lambda: RadixNet((2**25,)), "must be at most 16777216, got 33554432"),
    (lambda: RadixNet((2,) * 65), "radices must be at most 64 integers, got 65"),
    (lambda: Dense(8.0), "dense n .* got 8.0"),
    (lambda: Dense("8"), "dense n .* got '8'"),
    (lambda: Dense([8]), r"dense n .* got \[8\]"),
    (lambda: Dense(True), "dense n .* got True"),
    (lambda: Dense(8, out=0), "dense out .* at least 2, got 0"),
    (lambda: Dense(8, skip=1), "dense skip must be true or false, got 1"),
    (lambda: Dense(8, out=4, skip=True), "dense skip .* widths must be equal, got in=8 and out=4"),
    (lambda: LowRank(8, 0), "low-rank rank .* at least 1, got 0"),
    (lambda: LowRank(8, 9), "low-rank rank must be at most the smaller width 8, got 9"),
    (lambda: LowRank(8, 5, out=4), "at most the smaller width 4, got 5"),
    (lambda: Torus(16, 0), "torus dims .* at least 1, got 0"),
    (lambda: Torus(7, 2), "torus width 7 must be a product of dims=2 integers above 1"),
    (lambda: Torus(16, 2, 0), "torus layers .* at least 1, got 0"),
    (lambda: Torus(16, (4, 4)), r"torus dims .* got \(4, 4\)"),
    (lambda: Hypercube(12), "power of two, got 12; the nearest are 8 and 16"),
    (lambda: Hypercube(16, -1), "hypercube layers .* got -1"),
    (lambda: Hypercube(8, out=12), "power of two, got 12"),
    (lambda: Clos(16, 0, 4), "clos m .* got 0"),
    (lambda: Clos(16, 4, 0), "clos q .* got 0"),
    (lambda: Clos(16, 4, 5), "clos q=5 must divide the input width 16"),
    (lambda: Clos(16, 4, 4, out=6), "multiple of the 4 switches .* got 6"),
    (lambda: RandomRegular(16, 1), "random degree .* at least 2, got 1"),
    (lambda: RandomRegular(16, 17), "degree must be at most the smaller width 16, got 17"),
    (lambda: RandomRegular(16, 4, seed=-1), "random seed .* at least 0, got -1"),
    (lambda: RandomRegular(16, 4, layers=0), "random layers .* got 0"),
    (lambda: Expander(16, 5, out=4), "expander degree must be at most the smaller width 4, got 5"),
    (lambda: RadixNet(()), r"radices must be a list of integers, got \(\)"),
    (lambda: RadixNet(4), "radices must be a list of integers, got 4"),
    (lambda: RadixNet((2, 1)), r"radices of \[2, 1\] must be an integer of at least 2, got 1"),
    (lambda: RadixNet((2, 2), (1, 1)), "one more than the 2 radices, got 2"),
    (lambda: RadixNet((2, 2), (1, 0, 1)), "widths of .* at least 1, got 0"),
    (lambda: RadixNet((2, 2), (1, 1, 2), skip=True), "widths must be equal, got in=4 and out=8"),
    (lambda: Monarch(13), "product of two integers above 1, got 13"),
    (lambda: Monarch(16, out=13), "product of two integers above 1, got 13"),
    (lambda: Pixelfly(48, 32), "pixelfly width 48 must be block=32 times a power of two"),
    (lambda: Pixelfly(96, 32), "pixelfly width 96 must be block=32 times a power of two"),
    (lambda: Pixelfly(16, 32), "pixelfly width 16 must be block=32"),
    (lambda: Pixelfly(16, 0), "pixelfly block .* got 0"),
    (lambda: Pixelfly(16, 4, -1), "pixelfly rank .* at least 0, got -1"),
    (lambda: Pixelfly(16, 4, 17), "pixelfly rank must be at most the smaller width 16, got 17"),
    (lambda: Pixelfly(16, 4, out=24), "width 24 must be a multiple of the other, 16"),
    (lambda: Butterfly(16, (4, 3)), r"must multiply to n=16, got 4 \* 3 = 12"),
    (lambda: Butterfly(16, (16, 1)), "radix of .* at least 2, got 1"),
    (lambda: Butterfly(16, ()), "radix must be a list of integers"),
    (lambda: Butterfly(16, (4, 4), out=8), "radix must be one integer where in and out differ"),
]  # fmt: skip


@pytest.mark.parametrize(
    "topology",
    [
        Dense(65536),
        LowRank(2**24, 2**23),
        Torus(2**24, 1),
        Hypercube(2**24, 65536),
        Clos(64, 2**24, 8),
        RandomRegular(2**24, 128),
        Expander(2**20, 2, layers=65536),
        RadixNet((2, 2), (1, 2**22, 2**10)),
        Pixelfly(2**24, 2**20),
        ParallelButterfly(2**20, 1024, 65536),
        Monarch(2**24),
    ],
    ids=str,
)
def test_masks_that_no_memory_holds_are_refused_before_they_are_built(topology):
    for build in (topology.branches, topology.factors):
        with pytest.raises(InputError, match="at most 2147483648 entries to be built") as caught:
            build()
        assert "\n" not in str(caught.value)
        assert str(topology.edges) in str(caught.value)


@pytest.mark.parametrize(("make", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_parameters_are_refused_in_one_line(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
