"""Passes of algebra go by measured times where they are given a timer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from support import butterfly_factor, evaluate, model, said, unstructured

from nfcompile.cost.costed_pass import CostedPass
from nfcompile.cost.measured import Measurement, Measurements
from nfcompile.errors import InputError
from nfcompile.ir.candidates import Candidate
from nfcompile.ir.linear import find_linears
from nfcompile.ir.pipeline import parse_pipeline
from nfcompile.passes import PASSES
from nfcompile.passes.collapse_products import CollapseProductsPass
from nfcompile.passes.drop_dead_units import DropDeadUnitsPass
from nfcompile.passes.merge_duplicates import MergeDuplicatesPass

N = 16
RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, N)).astype(np.float32)
HEAD = f"agraph (float[b,{N}] x) => (float[b,{N}] y)"
CHAIN = f"{HEAD} {{ h = Gemm<transB=1>(x, w0)\n y = Gemm<transB=1>(h, w1) }}"
BETWEEN = f"{HEAD} {{ h = Gemm<transB=1>(x, w0)\n r = Relu(h)\n y = Gemm<transB=1>(r, w1) }}"
FACTORS = {f"w{i}": butterfly_factor(RNG, N, 4, 4**i) for i in range(2)}


def timer_of(us: Callable[[Candidate], float]) -> Any:
    def timer(
        dense: Candidate, sparse: Sequence[Candidate], csr: Any, batches: Any, target: Any
    ) -> Mapping[Candidate, Measurements]:
        return {item: (Measurement(us(item)),) * len(batches) for item in (dense, *sparse)}

    return timer


def by_rows(item: Candidate) -> float:
    """A machine on which smaller layers are faster, and sparse ones a little."""
    return item.shape[0] * item.shape[1] * (1.0 if item.kind == "dense" else 0.9)


@pytest.mark.parametrize(
    ("us", "left", "words"),
    [
        (lambda item: 10.0, 1, "2 layers multiplied out to one of 16x16, dense: measured 2.0x"),
        (lambda item: 50.0 if item.kind == "dense" else 10.0, 2, "is measured at 2.50x the time"),
    ],
)
def test_chains_collapse_as_measured(us: Any, left: int, words: str) -> None:
    source = model(CHAIN, **FACTORS)
    expected = evaluate(source, x=X)[0]
    CollapseProductsPass(threads=1, timer=timer_of(us)).run(source)
    assert len(list(find_linears(source))) == left
    assert any(words in text for text in [*said(source, "applied"), *said(source, "missed")])
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("sign", "units"), [(1, N // 2), (-1, N)], ids=["small is fast", "small is slow"]
)
@pytest.mark.parametrize("rewrite", [DropDeadUnitsPass, MergeDuplicatesPass])
def test_units_go_if_that_is_measured_no_slower(
    rewrite: type[CostedPass], sign: int, units: int
) -> None:
    first = unstructured(RNG, (N, N), 0.5)
    first[N // 2 :] = 0 if rewrite is DropDeadUnitsPass else first[: N // 2]
    source = model(BETWEEN, w0=first, w1=unstructured(RNG, (N, N), 0.5))
    expected = evaluate(source, x=X)[0]
    rewrite(threads=1, timer=timer_of(lambda item: by_rows(item) ** sign)).run(source)
    assert next(find_linears(source)).out_in == (units, N)
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-3, atol=1e-3)


def test_the_timer_is_no_option_of_the_text() -> None:
    with pytest.raises(InputError, match="has no option 'timer'"):
        parse_pipeline("encode-weights{timer=1}", PASSES)
