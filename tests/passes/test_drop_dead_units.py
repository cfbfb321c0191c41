"""Units that are constant or that nobody reads disappear."""

import numpy as np
import onnx_ir as ir
import pytest
import torch
from support import evaluate, model, op_types, run_passes, said

import nfcompile
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.linear import find_linears
from nfcompile.sparse import CsrTensor

RNG = np.random.default_rng(0)
N = 32
X = RNG.standard_normal((3, N)).astype(np.float32)
DROP = "drop-dead-units{threads=1}"
HEAD = f"agraph (float[b,{N}] x) => (float[b,{N}] y)"
BIAS = RNG.standard_normal(N).astype(np.float32)
GEMM = "{ h = Gemm<transB=1>(x, w0, b0)\n r = Relu(h)\n y = Gemm<transB=1>(r, w1, b1) }"


def weight(dead_rows: int = 0, dead_columns: int = 0) -> np.ndarray:
    """A dense weight whose first rows and last columns are zero."""
    made = RNG.standard_normal((N, N)).astype(np.float32)
    made[:dead_rows] = 0
    made[:, N - dead_columns :] = 0
    return made


def shapes(source: ir.Model) -> list[tuple[int, int]]:
    return [linear.out_in for linear in find_linears(source)]


def check(source: ir.Model, expected_shapes: list[tuple[int, int]]) -> None:
    """Runs the pass: shapes are as said, numbers agree, a second run finds nothing."""
    expected = evaluate(source, x=X)[0]
    assert run_passes(source, f"infer-shapes,{DROP}") >= 1
    assert shapes(source) == expected_shapes
    found = evaluate(source, x=X)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert run_passes(source, DROP) == 0


@pytest.mark.parametrize(
    "body",
    [
        GEMM,
        "{ h = Gemm<transB=1, alpha=2.0, beta=0.5>(x, w0, b0)\n r = Exp(h)\n"
        " y = Gemm<transB=1, alpha=3.0>(r, w1) }",
        "{ g = MatMul(x, w0t)\n h = Add(g, b0)\n r = Sigmoid(h)\n y = MatMul(r, w1t) }",
        "{ h = MatMul(x, w0t)\n r = Exp(h)\n g = MatMul(r, w1t)\n y = Add(g, b1) }",
        "{ h = MatMul(x, w0t)\n s = Sigmoid(h)\n r = Mul(h, s)\n y = MatMul(r, w1t) }",
        "{ h = Gemm<transB=1>(x, w0, b0)\n y = MatMul(h, w1t) }",
    ],
)
def test_constant_units_fold_into_the_next_bias_and_unread_ones_go(body: str) -> None:
    w0, w1 = weight(dead_rows=5), weight(dead_columns=3)
    named = {"w0": w0, "w0t": w0.T.copy(), "w1": w1, "w1t": w1.T.copy(), "b0": BIAS, "b1": BIAS}
    used = {name: array for name, array in named.items() if f" {name}" in body}
    source = model(f"{HEAD} {body}", **used)
    check(source, [(N - 8, N), (N, N - 8)])
    line = said(source, "applied")[0]
    assert "8 of 32 units are dead and dropped: 3 that nobody reads, 5 that are constant" in line


def test_a_new_bias_becomes_an_add_where_the_layer_had_none() -> None:
    body = "{ h = MatMul(x, w0)\n r = Exp(h)\n y = MatMul(r, w1) }"
    source = model(f"{HEAD} {body}", w0=weight(dead_rows=5).T.copy(), w1=weight())
    check(source, [(N - 5, N), (N, N - 5)])
    assert op_types(source) == ["MatMul", "Exp", "MatMul", "Add"]
    assert source.graph.outputs[0].name == "y"


def test_death_spreads_both_ways() -> None:
    w0, w1, w2 = weight(), weight(), weight(dead_columns=4)
    w1[: N - 4, :6] = 0  # inputs 0 to 5 are read by the last four units only, which nobody reads
    body = (
        "{ a = MatMul(x, w0)\n r = Relu(a)\n c = MatMul(r, w1)\n s = Relu(c)\n y = MatMul(s, w2) }"
    )
    source = model(f"{HEAD} {body}", w0=w0.T.copy(), w1=w1.T.copy(), w2=w2.T.copy())
    check(source, [(N - 6, N), (N - 4, N - 6), (N, N - 4)])


def test_a_layer_that_gives_constants_only_keeps_one_unit() -> None:
    source = model(f"{HEAD} {GEMM}", w0=weight(dead_rows=N), w1=weight(), b0=BIAS, b1=BIAS)
    check(source, [(1, N), (N, 1)])


def test_weights_kept_by_their_non_zeros_are_taken() -> None:
    w0, w1 = weight(dead_rows=5), weight(dead_columns=3)
    source = model(f"{HEAD} {GEMM}", w0=w0, w1=w1, b0=BIAS, b1=BIAS)
    for name, array in (("w0", w0), ("w1", w1)):
        tensor = EncodedTensor(CsrTensor.from_dense(array), transposed=False, name=name)
        source.graph.initializers[name].const_value = tensor
    check(source, [(N - 8, N), (N, N - 8)])


def test_living_units_are_left_alone_without_a_word() -> None:
    source = model(f"{HEAD} {GEMM}", w0=weight(), w1=weight(), b0=BIAS, b1=BIAS)
    assert run_passes(source, DROP) == 0
    assert not said(source, "missed")


def test_what_something_else_reads_too_is_left_alone() -> None:
    body = "{ h = MatMul(x, w0)\n r = Relu(h)\n a = MatMul(r, w1)\n y = Add(a, r) }"
    source = model(f"{HEAD} {body}", w0=weight(dead_rows=5).T.copy(), w1=weight())
    assert run_passes(source, DROP) == 0


def test_says_why_units_stay_that_cannot_be_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise NotImplementedError("no Relu here\nnor there")

    monkeypatch.setattr("nfcompile.ir.elementwise.ReferenceEvaluator", fails)
    source = model(f"{HEAD} {GEMM}", w0=weight(dead_rows=5), w1=weight(), b0=BIAS, b1=BIAS)
    assert run_passes(source, DROP) == 0
    assert "cannot be evaluated: no Relu here [" in said(source, "missed")[0]


def test_says_that_a_pattern_would_be_lost() -> None:
    n = 256
    mask = np.kron(np.eye(8) + np.roll(np.eye(8), 1, axis=1), np.ones((32, 32)))
    w0 = (RNG.standard_normal((n, n)) * mask).astype(np.float32)
    w0[40] = 0  # without this row nothing is left of the blocks of 32 rows
    w1 = RNG.standard_normal((n, n)).astype(np.float32)
    body = "{ h = Gemm<transB=1>(x, w0)\n r = Relu(h)\n y = Gemm<transB=1>(r, w1) }"
    source = model(f"agraph (float[b,{n}] x) => (float[b,{n}] y) {body}", w0=w0, w1=w1)
    assert run_passes(source, DROP) == 0
    assert "1 of 256 units are dead, but without them" in said(source, "missed")[0]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "{ h = Gemm<transB=1>(x, w0)\n r = Reciprocal(h)\n y = Gemm<transB=1>(r, w1) }",
            "a constant one is not finite",
        ),
        (
            "{ h = Gemm<transB=1>(x, w0)\n g = Gemm<transB=1>(h, w1)\n y = Gemm<transB=1>(g, w1) }",
            "the next layer stays: weight w1 has other uses",
        ),
    ],
)
def test_says_why_dead_units_stay(body: str, words: str) -> None:
    source = model(f"{HEAD} {body}", w0=weight(dead_rows=5), w1=weight())
    assert run_passes(source, DROP) == 0
    assert words in said(source, "missed")[0]


@pytest.mark.parametrize("target", ["ort-cpu", "portable"])
def test_a_network_pruned_by_units_compiles_to_a_narrower_one(target: str) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(N, N), torch.nn.GELU(), torch.nn.Linear(N, N), torch.nn.ReLU(),
        torch.nn.Linear(N, 4),
    ).eval()  # fmt: skip
    with torch.no_grad():
        module[0].weight[:10] = 0
        module[2].weight[:, 20:] = 0
        module[2].weight[5] = 0
    compiled = nfcompile.compile(module, torch.randn(3, N), target, threads=1)
    assert compiled.report.passed
    assert [item.shape for item in compiled.decisions] == [(10, N), (N - 1, 10), (4, N - 1)]
