"""Layers are really run, each candidate beside dense; how fast they are is never tested."""

import dataclasses

import numpy as np
import pytest
from support import blocky, butterfly_factor, unstructured

from nfcompile.errors import UnsupportedModelError
from nfcompile.ir.candidates import Candidate, dense_candidate, sparse_candidates
from nfcompile.ir.schemas import register_schemas
from nfcompile.sparse import CsrTensor
from nfcompile.target import Target
from nfcompile.tuning import stopwatch
from nfcompile.tuning.layer_model import repeats
from nfcompile.tuning.stopwatch import measure_layer, summarize

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    register_schemas()
    for name in ("_TIME_S", "_WARMUP_S", "_TURN_S"):
        monkeypatch.setattr(stopwatch, name, 1e-4)


def candidates(weight: np.ndarray) -> tuple[CsrTensor, Candidate, list[Candidate]]:
    csr = CsrTensor.from_dense(weight)
    return csr, dense_candidate(csr.shape), sparse_candidates(csr)[0]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "weight",
    [
        unstructured(RNG, (40, 24), 0.1),
        blocky(RNG, (64, 64), 16, 0.3) / 4,
        butterfly_factor(RNG, 64, 8, 8) / 2,
    ],
)
def test_every_candidate_has_a_time_at_every_batch(weight: np.ndarray, precision: str) -> None:
    csr, dense, sparse = candidates(weight)
    target = Target.host("ort-cpu", 1, precision)
    found = measure_layer(dense, sparse, lambda: csr, (1, 5), target, 60.0)
    assert found is not None
    assert set(found) == {dense, *sparse}
    assert all(at.median_us > 0 for times in found.values() for at in times)
    assert {len(times) for times in found.values()} == {2}


def test_the_portable_form_is_measured_too() -> None:
    csr, dense, sparse = candidates(butterfly_factor(RNG, 64, 8, 8))
    diagonal = [item for item in sparse if item.kind == "block-diagonal"]
    target = Target.host("portable", 1)
    assert set(measure_layer(dense, diagonal, lambda: csr, (3,), target, 60.0) or ()) == {
        dense,
        *diagonal,
    }


def test_a_candidate_that_computes_something_else_has_no_time() -> None:
    csr, dense, (right, *_) = candidates(unstructured(RNG, (32, 32), 0.1))
    other = CsrTensor.from_dense(unstructured(RNG, (32, 32), 0.1))
    wrong = dataclasses.replace(right, pattern="wrong", make=lambda: other)
    target = Target.host("ort-cpu", 1)
    found = measure_layer(dense, [right, wrong], lambda: csr, (1,), target, 60.0)
    assert set(found or ()) == {dense, right}


def test_nothing_is_given_if_the_time_does_not_do() -> None:
    csr, dense, sparse = candidates(unstructured(RNG, (32, 32), 0.1))
    ticks = iter(range(100))
    assert (
        measure_layer(
            dense, sparse, lambda: csr, (1,), Target.host("ort-cpu", 1), 2.5,
            clock=lambda: float(next(ticks)),
        )
        is None
    )  # fmt: skip


def test_square_layers_repeat_unless_their_outputs_die() -> None:
    weight = unstructured(RNG, (128, 128), 0.2)
    assert repeats(CsrTensor.from_dense(weight)) == 4
    assert repeats(CsrTensor.from_dense(-np.abs(weight))) == 1
    assert repeats(CsrTensor.from_dense(weight * np.float32(1e8))) == 1
    assert repeats(CsrTensor.from_dense(weight[:64])) == 1


def test_a_layer_too_large_to_be_dense_is_refused() -> None:
    huge = CsrTensor(
        np.empty(0, np.float32), np.empty(0, np.uint8), np.zeros(65537, np.int32), 65536
    )
    with pytest.raises(UnsupportedModelError, match="65536x65536 is too large"):
        repeats(huge)


def test_the_noise_is_how_far_parts_of_the_run_differ_and_one_burst_is_not() -> None:
    steady = summarize([10.0] * 50, 2)
    assert steady.median_us == 5.0
    assert steady.noise_us == pytest.approx(0.05)
    burst = summarize([10.0] * 40 + [90.0] * 10)
    assert (burst.median_us, burst.noise_us) == (10.0, pytest.approx(0.1))
    drift = summarize([10.0] * 20 + [20.0] * 10 + [30.0] * 20)
    assert (drift.median_us, drift.noise_us) == (20.0, 20.0)
