"""The roofline is the larger of two plain quotients, of figures that were measured here."""

import math

import pytest

from nfcompile import _native
from nfcompile.bench import roofline as module
from nfcompile.bench.roofline import Level, Roofline, measure_roofline

LEVELS = (Level("L1", 1_000, 100.0), Level("L2", 10_000, 50.0), Level("DRAM", None, 10.0))
MADE = Roofline(1, {"f32-scalar": 4.0, "f32-avx2": 8.0, "bf16-avx512": 32.0}, LEVELS)


@pytest.fixture(autouse=True)
def avx2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "isa", lambda: "avx2")


@pytest.mark.parametrize(
    ("nbytes", "name"), [(1, "L1"), (1_000, "L1"), (1_001, "L2"), (10_001, "DRAM")]
)
def test_a_working_set_comes_from_the_nearest_level_that_holds_it(nbytes: int, name: str) -> None:
    assert MADE.level(nbytes).name == name


def test_threads_share_a_working_set() -> None:
    two = Roofline(2, MADE.peaks, LEVELS)
    assert two.seconds(0, 2_000) == pytest.approx(2_000 / 100)
    assert MADE.seconds(0, 2_000) == pytest.approx(2_000 / 50)


def test_the_limit_is_arithmetic_or_bandwidth_whichever_takes_longer() -> None:
    assert MADE.seconds(flops=8_000, nbytes=100) == pytest.approx(1_000)
    assert MADE.seconds(flops=8, nbytes=100) == pytest.approx(1)
    assert MADE.seconds(flops=8_000, nbytes=100, dtype="bf16") == pytest.approx(250)
    assert MADE.share(8_000, 100, seconds=4_000) == pytest.approx(0.25)


def test_the_fp32_peak_is_that_of_the_selected_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MADE.peak() == 8.0
    monkeypatch.setattr(module, "isa", lambda: "scalar")
    assert MADE.peak() == 4.0
    assert MADE.peak("bf16") == 32.0
    with pytest.raises(KeyError, match="f16"):
        MADE.peak("f16")


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_measured_is_all_that_this_machine_has(threads: int) -> None:
    found = measure_roofline(threads, seconds=1e-3)
    assert list(found.peaks) == _native.arithmetic()
    own = set(_native.isas()) - {"avx512_bf16", "amx_bf16"}  # without fp32 arithmetic of their own
    assert own == {n[4:] for n in found.peaks if n.startswith("f32-")}
    assert found.levels[-1].name == "DRAM"
    rates = [*found.peaks.values(), *(level.bandwidth for level in found.levels)]
    assert all(math.isfinite(rate) and rate > 0 for rate in rates)
    assert found.to_json()["levels"][-1]["capacity"] is None


def test_sizes_are_read_as_linux_writes_them() -> None:
    assert [module._bytes(text) for text in ("32K", "2M", "1G", "512")] == [
        32 << 10, 2 << 20, 1 << 30, 512,
    ]  # fmt: skip


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="arithmetic f32-none is not one of this machine's"):
        _native.measure_flops("f32-none", seconds=0)
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        _native.measure_flops("f32-scalar", seconds=0, threads=0)
    with pytest.raises(ValueError, match="bytes must be at least 1, got 0"):
        _native.measure_read_bandwidth(0, seconds=0)
