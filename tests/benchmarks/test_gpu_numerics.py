"""The checks of kernels for CUDA pass right ones and find wrong ones."""

from typing import Any

import numpy as np
import pytest
from gpu_numerics import TYPES, Check, check_all, exact, round_to, uncovered
from support_fake_cuda import FakeCuda, FakeProduct

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_numerics._BLOCKS", (16, 64))


class Wrong(FakeProduct):
    """One output of a large batch is off by one percent of the largest."""

    def run(self, x: np.ndarray, *args: Any, **kwargs: Any) -> np.ndarray:
        y = super().run(x, *args, **kwargs)
        if y.size and len(x) > 16:
            y[-1, -1] += 0.01 * np.abs(y).max() + 0.01
        return y


class Unwritten(FakeProduct):
    """The last row is never written."""

    def run(self, x: np.ndarray, *args: Any, **kwargs: Any) -> np.ndarray:
        y = super().run(x, *args, **kwargs)
        y[-1:] = np.nan
        return y


class Broken(FakeProduct):
    """Cannot be launched."""

    def run(self, x: np.ndarray, *args: Any, **kwargs: Any) -> np.ndarray:
        raise RuntimeError("cannot launch: out of memory")


def checks(product: type[FakeProduct], *batches: int) -> list[Check]:
    cuda = FakeCuda()
    cuda.product = product
    return list(check_all(cuda, batches))


def test_right_kernels_pass_in_every_type() -> None:
    found = checks(FakeProduct, 1, 17)
    failed = [item for item in found if not item.passed]
    assert not failed, failed[:3]
    assert max(item.error for item in found) > 0.1  # what is allowed is not far from what it takes
    kernels = {item.kernel for item in found}
    assert {f"bsr64_{x}_{v}_large" for x, v in TYPES} <= kernels
    assert uncovered(found, ["bsr16_f32_f32_small", "csr_f64_f64_small"]) == ["csr_f64_f64_small"]


def test_a_wrong_output_is_found() -> None:
    found = checks(Wrong, 17)
    assert not any(item.passed for item in found if " f32" in item.what or "f16" in item.what)


def test_an_output_that_is_not_written_is_found() -> None:
    assert not any(item.passed for item in checks(Unwritten, 1))


def test_a_kernel_that_does_not_run_is_told() -> None:
    (reason,) = {item.reason for item in checks(Broken, 1)}
    assert reason == "cannot launch: out of memory"


def test_a_weight_that_no_kernel_computes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> FakeProduct:
        raise ValueError("no kernel computes csr")

    cuda = FakeCuda()
    monkeypatch.setattr(cuda, "CsrProduct", refuse)
    told = [item for item in check_all(cuda, [1]) if not item.passed]
    assert {item.reason for item in told} == {"no kernel computes csr"}
    assert len(told) == 3 * len(TYPES)


@pytest.mark.parametrize("types", TYPES, ids=str)
def test_the_oracle_rounds_as_a_kernel_and_uses_a_residual_as_it_says(
    types: tuple[str, str],
) -> None:
    x, weight = RNG.standard_normal((3, 8)), round_to(RNG.standard_normal((5, 8)), types[1])
    residual = RNG.standard_normal((3, 5))
    sums = round_to(round_to(x, types[0]), types[1]) @ weight.T
    r = round_to(residual, types[0])
    by_hand = [np.maximum(sums + r, 0), np.maximum(sums, 0) + r, np.maximum(sums, 0) * r]
    for mode, expected in enumerate(by_hand):
        y, allowed = exact(x, weight, types, None, residual, activation="relu", residual_mode=mode)
        np.testing.assert_allclose(y, expected, rtol=1e-12)
        assert (allowed > 0).all()
    default, _ = exact(x, weight, types, None, residual, activation="relu")
    np.testing.assert_allclose(default, by_hand[0], rtol=1e-12)


def test_what_a_product_of_two_may_be_off_by_grows_with_the_factor() -> None:
    x, weight = RNG.standard_normal((3, 8)), RNG.standard_normal((5, 8))
    (_, once), (_, far) = (
        exact(x, weight, TYPES[0], None, np.full((3, 5), factor), residual_mode=2)
        for factor in (1.0, 100.0)
    )
    assert (far > 50 * once).all()
