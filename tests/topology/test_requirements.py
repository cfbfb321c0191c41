"""Each requirement is met and unmet where it should be, with its number."""

import numpy as np
import pytest

from nfcompile.topology import (
    Butterfly,
    Clos,
    Dense,
    Hypercube,
    LowRank,
    ParallelButterfly,
    Pixelfly,
    Torus,
)
from nfcompile.topology.requirements import requirements

NAMES = ["reachability", "bandwidth", "equal paths", "depth", "path diversity", "gradient path"]


def judge(topology):
    return {item.name: item for item in requirements(topology)}


def test_there_are_six_with_a_line_of_text_each():
    found = requirements(Butterfly(16, 4))
    assert [item.name for item in found] == NAMES
    assert all(item.text and "\n" not in item.text for item in found)


@pytest.mark.parametrize(
    ("topology", "name", "met", "value"),
    [
        (Butterfly(64, 4), "reachability", True, 1),
        (Pixelfly(64, 8), "reachability", False, 4 / 8),
        (Torus(16, 2, 1), "reachability", False, 5 / 16),
        (Butterfly(64, 4), "bandwidth", True, 64),
        (LowRank(64, 63), "bandwidth", False, 63),
        (Clos(64, 7, 8), "bandwidth", False, 56),
        (Clos(64, 8, 8), "bandwidth", True, 64),
        (Butterfly(64, 4, out=16), "bandwidth", True, 16),
        (Butterfly(64, 4), "equal paths", True, 0),
        (ParallelButterfly(64, 4, 3), "equal paths", True, 0),
        (Pixelfly(64, 8), "equal paths", False, 1),  # half of the pairs have one, half none
        (Butterfly(64, 2), "depth", True, 6),
        (Hypercube(64, 7), "depth", False, 7),
        (Torus(64, 1), "depth", False, 32),
        (Clos(16, 4, 4, out=4), "depth", True, 3),
        (Dense(2), "depth", True, 1),
        (Butterfly(64, 4), "path diversity", False, 1),
        (Clos(64, 2, 8), "path diversity", True, 2),
        (Torus(16, 2, 1), "path diversity", False, 0),
        (Butterfly(64, 4), "gradient path", False, 0),
        (Butterfly(64, 4, skip=True), "gradient path", True, 1),
    ],
    ids=str,
)
def test_each_is_decided_by_its_number(topology, name, met, value):
    item = judge(topology)[name]
    assert item.met is met or item.met == met
    assert item.value == pytest.approx(value)


def test_unequal_paths_are_told_with_their_spread():
    item = judge(Hypercube(16))["equal paths"]
    assert not item.met
    # 1, 4, 6, 4, 1 outputs at distances 0 to 4.
    counts = [65] + [44] * 10 + [24] * 5
    mean = sum(counts) / 16
    spread = (sum((c - mean) ** 2 for c in counts) / 16) ** 0.5 / mean
    assert item.value == pytest.approx(spread)
    assert "24 to 65 paths" in item.text


def test_no_pair_at_all_does_not_count_as_equal(handmade):
    unjoined = judge(handmade(np.zeros((4, 4)), np.ones((4, 4))))
    assert not unjoined["equal paths"].met
    assert unjoined["equal paths"].text.startswith("0 paths per pair")
    assert unjoined["reachability"].value == unjoined["bandwidth"].value == 0
    assert judge(Dense(4))["equal paths"].met


def test_parallel_butterflies_with_a_skip_meet_all_six_and_no_part_of_them_does():
    assert all(item.met for item in requirements(ParallelButterfly(64, 4, 2, skip=True)))
    for part in (Butterfly(64, 4, skip=True), ParallelButterfly(64, 4, 2, skip=False)):
        assert sum(not item.met for item in requirements(part)) == 1


def test_wide_ones_are_sampled_and_say_so():
    item = judge(ParallelButterfly(2048, 16, 2))["reachability"]
    assert item.met
    assert "1024 inputs sampled" in item.text
    assert "sampled" not in judge(Butterfly(1024, 32))["reachability"].text
