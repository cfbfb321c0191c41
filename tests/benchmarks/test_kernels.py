"""A kernel's figures follow from its samples, its work and the roofline."""

import pytest
from kernels import Case, measure

from nfcompile.bench.roofline import Level, Roofline
from nfcompile.target import isa

ROOFLINE = Roofline(1, {f"f32-{isa()}": 1e9}, (Level("L1", 1_000, 1e9), Level("DRAM", None, 1e8)))


def case(nbytes: float, error: float = 0.0) -> Case:
    return Case("csr", "a weight", 1, 1e6, nbytes, lambda: error, lambda: None)


def test_the_share_is_the_least_time_over_the_measured_one() -> None:
    made = case(nbytes=500)
    made.seconds = [4e-3, 2e-3, 8e-3]
    found = made.result(ROOFLINE)
    assert found["level"] == "L1"
    assert found["gflops"] == pytest.approx(0.25)
    assert found["share"] == pytest.approx(0.25)
    assert found["share_best"] == pytest.approx(0.5)
    made.nbytes = 3e5  # takes 3 ms from memory, longer than the arithmetic
    assert made.result(ROOFLINE)["level"] == "DRAM"
    assert made.result(ROOFLINE)["share"] == pytest.approx(0.75)


def test_a_wrong_kernel_is_not_timed() -> None:
    with pytest.raises(SystemExit, match=r"csr a weight: wrong by 1\.0e-01"):
        measure([case(1, error=0.1)], rounds=2)


def test_each_round_takes_a_sample_of_each_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernels.MIN_SECONDS", 0.0)
    todo = [case(1), case(2)]
    measure(todo, rounds=3)
    assert [len(item.seconds) for item in todo] == [3, 3]
