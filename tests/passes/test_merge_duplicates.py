"""Equal outputs of a layer are computed once, where that is estimated faster."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from support import evaluate, model, model_proto, op_types, run_passes, said, unstructured

import nfcompile
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.linear import find_linears
from nfcompile.models.graph_challenge import graph_challenge
from nfcompile.passes import default_pipeline
from nfcompile.sparse import CsrTensor

RNG = np.random.default_rng(0)
N, DISTINCT = 256, 5
X = RNG.standard_normal((3, N)).astype(np.float32)
MERGE = "merge-duplicates{threads=1}"
HEAD = f"agraph (float[b,{N}] x) => (float[b,{N}] y)"


def repeated(count: int = DISTINCT, rows: int = N) -> np.ndarray:
    """A weight of so many distinct rows, each of them several times."""
    order = np.concatenate([np.arange(count), RNG.integers(0, count, rows - count)])
    return (RNG.standard_normal((count, N)) / 8).astype(np.float32)[RNG.permutation(order)]


def plain() -> np.ndarray:
    return (RNG.standard_normal((N, N)) / 8).astype(np.float32)


def row(value: float) -> np.ndarray:
    return np.full(N, value, np.float32)


def shapes(source: ir.Model) -> list[tuple[int, int]]:
    return [linear.out_in for linear in find_linears(source)]


def check(source: ir.Model, x: np.ndarray, expected_shapes: list[tuple[int, int]]) -> None:
    """Runs the pass: shapes are as said, numbers agree, a second run finds nothing."""
    expected = evaluate(source, x=x)[0]
    assert run_passes(source, f"infer-shapes,{MERGE}") >= 1
    assert shapes(source) == expected_shapes
    found = evaluate(source, x=x)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    assert run_passes(source, MERGE) == 0
    run_passes(source, "infer-shapes")
    for node in source.graph:
        assert node.outputs[0].shape is None or node.outputs[0].shape[-1] in (N, DISTINCT)


@pytest.mark.parametrize(
    "body",
    [
        "{ h = Gemm<transB=1>(x, w0, b0)\n r = Relu(h)\n y = Gemm<transB=1>(r, w1, b1) }",
        "{ h = Gemm<transB=1, alpha=2.0, beta=3.0>(x, w0, b0)\n y = Gemm<transB=1>(h, w1) }",
        "{ g = MatMul(x, w0t)\n h = Add(g, b0)\n r = Clip(h, low, high)\n y = MatMul(r, w1) }",
        "{ h = MatMul(x, w0t)\n s = Sigmoid(h)\n m = Mul(h, s)\n y = MatMul(m, w1) }",
        "{ h = MatMul(x, w0t)\n s = Mul(h, two)\n m = PRelu(s, two)\n y = MatMul(m, w1) }",
    ],
)
def test_equal_rows_are_merged_and_the_next_layer_takes_them_in(body: str) -> None:
    w0 = repeated()
    constants: dict[str, Any] = {
        "w0": w0, "w0t": w0.T.copy(), "w1": plain(), "b0": row(0.5), "b1": row(0.25),
        "low": np.float32(0), "high": np.float32(0.4), "two": np.array([2.0], np.float32),
    }  # fmt: skip
    constants = {name: array for name, array in constants.items() if name in body}
    source = model(f"{HEAD} {body}", **constants)
    check(source, X, [(DISTINCT, N), (N, DISTINCT)])
    assert "Gather" not in op_types(source)
    line = said(source, "applied")[0]
    assert (
        "256 outputs, of which 5 are distinct: 251 rows merged, taken in by the next layer" in line
    )


def test_rows_that_differ_in_their_bias_are_not_equal() -> None:
    bias = np.arange(N, dtype=np.float32)
    body = "{ h = Gemm<transB=1>(x, w0, b0)\n r = Relu(h)\n y = Gemm<transB=1>(r, w1) }"
    source = model(f"{HEAD} {body}", w0=repeated(1), b0=bias, w1=plain())
    assert run_passes(source, MERGE) == 0


@pytest.mark.parametrize("tail", ["y = Relu(h)", "s = Sigmoid(h)\n y = Mul(h, s)"])
def test_at_the_end_of_a_chain_one_gather_repeats(tail: str) -> None:
    source = model(f"{HEAD} {{ h = MatMul(x, w0)\n {tail} }}", w0=repeated().T.copy())
    check(source, X, [(DISTINCT, N)])
    assert op_types(source)[-1] == "Gather"
    assert source.graph.outputs[0].name == "y"
    assert "repeated by a Gather" in said(source, "applied")[0]


def test_without_an_activation_the_gather_follows_the_layer() -> None:
    source = model(f"{HEAD} {{ y = MatMul(x, w0) }}", w0=repeated().T.copy())
    check(source, X, [(DISTINCT, N)])
    assert op_types(source) == ["MatMul", "Gather"]


def test_outputs_that_a_gather_repeats_more_slowly_stay() -> None:
    few = "agraph (float[batch,8] x) => (float[batch,256] y)"
    source = model(f"{few} {{ y = MatMul(x, w0) }}", w0=repeated()[:, :8].T.copy())
    assert run_passes(source, MERGE) == 0
    assert "stay: merged they are estimated at" in said(source, "missed")[0]


def test_what_several_read_is_repeated_for_all_of_them() -> None:
    body = "{ h = MatMul(x, w0)\n r = Relu(h)\n a = MatMul(r, w1)\n y = Add(a, r) }"
    source = model(f"{HEAD} {body}", w0=repeated().T.copy(), w1=plain())
    check(source, X, [(DISTINCT, N), (N, N)])
    assert op_types(source) == ["MatMul", "Relu", "Gather", "MatMul", "Add"]


def test_rows_made_equal_by_summing_are_merged_in_turn() -> None:
    first = np.repeat(plain()[:2], N // 2, axis=0)  # after it only two sums of columns matter
    second = plain()
    second[1:] = second[0][np.argsort(RNG.random((N - 1, N)) + (np.arange(N) >= N // 2) * 2)]
    assert len(np.unique(second, axis=0)) > DISTINCT
    second = np.round(second * 64) / 64  # sums of these are exact in any order
    body = (
        "{ h = MatMul(x, w0)\n r = Relu(h)\n g = MatMul(r, w1)\n s = Relu(g)\n y = MatMul(s, w2) }"
    )
    source = model(f"{HEAD} {body}", w0=first.T.copy(), w1=second.T.copy(), w2=plain())
    expected = evaluate(source, x=X)[0]
    run_passes(source, MERGE)
    assert shapes(source) == [(2, N), (1, 2), (N, 1)]
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-4, atol=1e-5)


def test_weights_kept_by_their_non_zeros_stay_so() -> None:
    w0 = unstructured(RNG, (8, N), 0.1)[RNG.integers(0, 8, N)]
    body = "{ h = MatMul(x, w0)\n r = Relu(h)\n y = MatMul(r, w1) }"
    source = model(f"{HEAD} {body}", w0=w0.T.copy(), w1=plain())
    tensor = EncodedTensor(CsrTensor.from_dense(w0), transposed=True, name="w0")
    source.graph.initializers["w0"].const_value = tensor
    expected = evaluate(source, x=X)[0]
    assert run_passes(source, MERGE) == 1
    first = next(iter(find_linears(source)))
    assert isinstance(first.weight.const_value, EncodedTensor)
    assert first.out_in == (len(np.unique(w0, axis=0)), N)
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["w0", "w0t"])
def test_weights_mapped_from_a_file_are_let_go(name: str, tmp_path: Path) -> None:
    product = f"Gemm<transB=1>(x, {name})" if name == "w0" else f"MatMul(x, {name})"
    body = f"{{ h = {product}\n r = Relu(h)\n y = Gemm<transB=1>(r, w1) }}"
    for repeats, first in ((True, (DISTINCT, N)), (False, (N, N))):
        weight = repeated() if repeats else plain()
        weight = weight if name == "w0" else weight.T.copy()
        proto = model_proto(f"{HEAD} {body}", **{name: weight, "w1": plain()})
        onnx.save(proto, tmp_path / "model.onnx")
        compiled = nfcompile.compile(tmp_path / "model.onnx", threads=1)
        assert compiled.decisions[0].shape == first


def test_any_rank_of_activations_will_do() -> None:
    text = f"agraph (float[2,b,{N}] x) => (float[2,b,{N}] y) {{ h = MatMul(x, w0)\n y = Tanh(h) }}"
    check(model(text, w0=repeated().T.copy()), np.stack([X, -X]), [(DISTINCT, N)])


def test_says_why_equal_rows_stay_where_merging_does_not_pay() -> None:
    weight = plain()
    weight[-1] = weight[0]
    source = model(f"{HEAD} {{ y = MatMul(x, w0) }}", w0=weight.T.copy())
    assert run_passes(source, MERGE) == 0
    assert "256 outputs, of which 255 are distinct, stay" in said(source, "missed")[0]


def test_says_why_equal_rows_of_a_shared_weight_stay() -> None:
    body = "{ h = Gemm<transB=1>(x, w0)\n y = Gemm<transB=1>(h, w0) }"
    source = model(f"{HEAD} {body}", w0=repeated())
    assert run_passes(source, MERGE) == 0
    assert "5 distinct rows, stay: weight w0 has other uses" in said(source, "missed")[0]


def test_layers_without_equal_rows_are_left_alone_without_a_word() -> None:
    body = "{ h = Gemm<transB=1>(x, w0)\n y = Gemm<transB=1>(h, w1) }"
    source = model(
        f"{HEAD} {body}",
        w0=plain(),
        w1=unstructured(RNG, (N, N), 0.1) + np.eye(N, dtype=np.float32),
    )
    assert run_passes(source, MERGE) == 0
    assert not said(source, "missed")


def test_it_can_be_switched_off() -> None:
    source = model(f"{HEAD} {{ y = MatMul(x, w0) }}", w0=repeated().T.copy())
    assert run_passes(source, "merge-duplicates{threads=1,enabled=false}") == 0
    assert "merge-duplicates" in default_pipeline("ort-cpu", 1)
    assert "merge-duplicates" not in default_pipeline("ort-cpu", 1, without=["merge-duplicates"])


@pytest.mark.parametrize("target", ["ort-cpu", "portable"])
def test_the_graph_challenge_shrinks_to_its_distinct_neurons(target: str) -> None:
    module = graph_challenge(64, 8).eval()
    x = (torch.rand((20, 64), generator=torch.Generator().manual_seed(0)) < 0.4).float()
    compiled = nfcompile.compile(module, x, target, threads=1)
    assert compiled.report.passed
    assert len(compiled.decisions) == 8
    assert all(max(item.shape) <= 4 for item in compiled.decisions[1:-1])
    without = default_pipeline(target, 1, without=["merge-duplicates"])
    plain = nfcompile.compile(module, x, target, passes=without)
    assert all(item.shape == (64, 64) for item in plain.decisions)
