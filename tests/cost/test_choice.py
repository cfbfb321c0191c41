"""Costs follow the calibration, and dense wins wherever it may be faster."""

import numpy as np
import pytest

from nfcompile.cost.calibration import BATCHES, SIZES, Constants, constants, provenance
from nfcompile.cost.choice import choose
from nfcompile.cost.linear import DEFAULT_BATCHES, estimate_gather_us, estimate_us, way_of_running
from nfcompile.ir.candidates import Candidate, dense_candidate
from nfcompile.target import Target

TARGET = Target("ort-cpu", 1, "avx2")
SHAPE = (1024, 1024)
DENSE = dense_candidate(SHAPE)


def candidate(kind: str = "csr", stored: int = 100_000, pattern: str = "p") -> Candidate:
    return Candidate(kind, pattern, SHAPE, stored, 6 * stored, make=lambda: None)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("isa", ["amx_bf16", "avx512_bf16", "avx512", "avx2", "scalar"])
def test_every_instruction_set_has_constants_for_every_way_of_running(isa: str) -> None:
    names = {
        way_of_running(
            Candidate(kind, "", SHAPE, 1, 1, blocksize, regular), Target(name, 1, isa, precision)
        )
        for name, precision in (("ort-cpu", "fp32"), ("ort-cpu", "bf16"), ("portable", "fp32"))
        for kind in ("csr", "bsr", "block-diagonal", "dense")
        for blocksize in ((4, 4), (8, 1), (16, 16))
        for regular in (True, False)
    }
    assert names | {"gather"} == set(constants(isa))
    for entry in constants(isa).values():
        assert entry.ns_per_mac.shape == entry.ns_per_io.shape == (len(SIZES), len(BATCHES))
        assert (entry.ns_per_mac > 0).all() or not entry.ns_per_mac.any()
        assert (entry.ns_per_io >= 0).all()
    where = provenance(isa)
    assert isinstance(where, dict)
    assert where["cpu"] and where["date"] and where["command"]


def test_estimates_are_the_measured_points_and_between_them() -> None:
    table = np.array([[0.5, 0.5, 0.5, 0.5], [1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    made = Constants(table, np.zeros_like(table), overhead_us=1.0)
    assert made.estimate_us((256, 256), 1000, 16) == pytest.approx(1 + 16 * 1000 * 2 / 1e3)
    assert made.estimate_us((2048, 2048), 1000, 256) == pytest.approx(1 + 256 * 1000 * 8 / 1e3)
    assert made.estimate_us((128, 128), 1000, 1) == pytest.approx(1 + 1000 * 0.75 / 1e3)
    assert made.estimate_us((16, 16), 1000, 1) == pytest.approx(1 + 1000 * 0.5 / 1e3)
    assert made.estimate_us((256, 256), 1000, 4) == pytest.approx(1 + 4 * 1000 * 1.5 / 1e3)


def test_arithmetic_is_never_free_and_a_portable_product_is_a_dense_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made(*rates: float) -> Constants:
        return Constants(np.array([rates] * len(SIZES)), np.zeros((len(SIZES), 4)), overhead_us=0.0)

    ways = {
        "dense": made(0.4, 0.3, 0.2, 0.2),
        "bsr": made(0, 0, 0, 0),
        "portable": made(0, 0, 0, 0),
    }
    monkeypatch.setattr("nfcompile.cost.linear.constants", lambda isa: ways)
    blocks = Candidate("bsr", "", SHAPE, 1000, 0, (32, 32))
    assert estimate_us(blocks, 16, TARGET) == pytest.approx(16 * 1000 * 0.2 / 1e3)
    diagonal = Candidate("block-diagonal", "", SHAPE, 1000, 0, (32, 32), regular=True)
    portable = Target("portable", 1, "avx2")
    assert estimate_us(diagonal, 16, portable) == pytest.approx(16 * 1000 * 0.3 / 1e3)


def test_a_gather_costs_by_the_element_that_it_gives() -> None:
    at = [estimate_gather_us((features, 64), 16, TARGET) for features in (1000, 2000)]
    # See conftest.
    assert at[1] - at[0] == pytest.approx(16 * 1000 * (0.5 + 0.05) / 1e3)
    half = estimate_gather_us((2000, 64), 16, Target("ort-cpu", 2, "avx2"))
    assert half - 2.0 == pytest.approx((at[1] - 2.0) / 2)


def test_threads_share_the_work_but_not_the_overhead() -> None:
    one = estimate_us(candidate(), 64, TARGET)
    two = estimate_us(candidate(), 64, Target("ort-cpu", 2, "avx2"))
    overhead = 2.0  # see conftest
    assert two - overhead == pytest.approx((one - overhead) / 2)


def test_the_cheapest_encoding_wins_with_its_gain_as_the_reason() -> None:
    few, many = candidate(stored=10_000, pattern="few"), candidate(stored=90_000, pattern="many")
    choice = choose(DENSE, [many, few], DEFAULT_BATCHES, TARGET)
    assert choice.candidate is few
    assert "faster than dense at batch 1, 16, 64, 256" in choice.reason
    assert choice.estimates_us["few"] < choice.estimates_us["many"] < choice.estimates_us["dense"]


def test_dense_wins_if_the_other_is_slower_at_any_batch_that_counts() -> None:
    most = SHAPE[0] * SHAPE[1] * 7 // 10
    mixed = Candidate("block-diagonal", "p", SHAPE, most, 4 * most, (16, 16), regular=True)
    ratios = [
        estimate_us(mixed, batch, TARGET) / estimate_us(DENSE, batch, TARGET) for batch in (1, 256)
    ]
    assert ratios[0] < 1 < ratios[1]
    assert choose(DENSE, [mixed], (1,), TARGET).candidate is mixed
    choice = choose(DENSE, [mixed], (1, 256), TARGET)
    assert choice.candidate is DENSE
    assert "the time of dense" in choice.reason


def test_dense_wins_a_tie() -> None:
    twin = Candidate("dense", "twin", SHAPE, DENSE.stored, DENSE.nbytes)
    assert choose(DENSE, [twin], (1,), TARGET).candidate is DENSE


def test_a_forced_kind_is_taken_whatever_it_costs() -> None:
    full = candidate(stored=SHAPE[0] * SHAPE[1])
    assert choose(DENSE, [full], (1,), TARGET, force="csr").candidate is full
    assert choose(DENSE, [full], (1,), TARGET, force="bsr").candidate is DENSE
