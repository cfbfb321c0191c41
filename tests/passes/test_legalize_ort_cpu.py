"""Encoded weights become operators of our domain."""

import numpy as np
import pytest
from support import blocky, butterfly_factor, evaluate, model, op_types, run_passes, unstructured

from nfcompile.ir.schemas import DOMAIN

RNG = np.random.default_rng(0)
N = 64
X = RNG.standard_normal((3, N)).astype(np.float32)
BIAS = RNG.standard_normal(N).astype(np.float32)
WEIGHTS = {
    "csr": unstructured(RNG, (N, N), 0.1),
    "bsr": blocky(RNG, (N, N), 16, 0.3),
    "block-diagonal": butterfly_factor(RNG, N, 4, 4)[::-1].copy(),
}
OPERATORS = {"csr": "CsrMatMul", "bsr": "BsrMatMul", "block-diagonal": "BlockDiagonalMatMul"}
HEAD = f"agraph (float[b,{N}] x) => (float[b,{N}] y)"


def legalize(kind: str) -> str:
    return f"infer-shapes,encode-weights{{threads=1,force={kind}}},legalize-ort-cpu,remove-unused"


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize(
    "body",
    [
        "{ y = Gemm<transB=1>(x, w, bias) }",
        "{ y = Gemm<transB=1, alpha=0.5, beta=2.0>(x, w, bias) }",
        "{ y = Gemm<transB=1, beta=0.0>(x, w, bias) }",
        "{ y = Gemm<transB=1>(x, w, row) }",
        "{ y = Gemm<transB=1>(x, w, scalar) }",
        "{ y = Gemm(x, wt) }",
        "{ y = MatMul(x, wt) }",
    ],
)
def test_a_layer_becomes_one_operator_with_plain_initializers(kind: str, body: str) -> None:
    weight = WEIGHTS[kind]
    source = model(
        f"{HEAD} {body}",
        w=weight,
        wt=weight.T.copy(),
        bias=BIAS,
        row=BIAS[None, :],
        scalar=np.float32(2),
    )
    expected = evaluate(source, x=X)[0]
    run_passes(source, legalize(kind))
    assert op_types(source) == [OPERATORS[kind]]
    assert source.graph.opset_imports[DOMAIN] == 1
    assert all(value.const_value.size < weight.size for value in source.graph.initializers.values())
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-4, atol=1e-4)
    assert run_passes(source, "legalize-ort-cpu") == 0


def test_a_bias_that_is_computed_is_an_input_and_one_per_row_an_add() -> None:
    for shape, operators in (("64", ["CsrMatMul"]), ("b,64", ["CsrMatMul", "Add"])):
        source = model(
            f"agraph (float[b,64] x, float[{shape}] c) => (float[b,64] y)"
            " { y = Gemm<transB=1>(x, w, c) }",
            w=WEIGHTS["csr"],
        )
        c = RNG.standard_normal((3, N) if "b" in shape else N).astype(np.float32)
        expected = evaluate(source, x=X, c=c)[0]
        run_passes(source, legalize("csr"))
        assert op_types(source) == operators
        np.testing.assert_allclose(evaluate(source, x=X, c=c)[0], expected, rtol=1e-4, atol=1e-4)


def test_a_computed_bias_with_a_factor_is_scaled() -> None:
    source = model(
        "agraph (float[b,64] x, float[64] c) => (float[b,64] y)"
        " { y = Gemm<transB=1, beta=3.0>(x, w, c) }",
        w=WEIGHTS["csr"],
    )
    expected = evaluate(source, x=X, c=BIAS)[0]
    run_passes(source, legalize("csr"))
    np.testing.assert_allclose(evaluate(source, x=X, c=BIAS)[0], expected, rtol=1e-4, atol=1e-4)


def test_layers_that_share_a_weight_share_its_arrays() -> None:
    source = model(
        f"{HEAD} {{ h = Gemm<transB=1>(x, w)\n y = Gemm<transB=1>(h, w) }}", w=WEIGHTS["csr"]
    )
    expected = evaluate(source, x=X)[0]
    run_passes(source, legalize("csr"))
    first, second = list(source.graph)
    assert list(first.inputs)[1:] == list(second.inputs)[1:]
    assert first.name != second.name  # ONNX Runtime refuses two nodes of one name
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-3, atol=1e-3)


def test_a_dense_layer_is_left_alone() -> None:
    source = model(f"{HEAD} {{ y = Gemm<transB=1>(x, w) }}", w=WEIGHTS["csr"])
    assert run_passes(source, "legalize-ort-cpu") == 0
    assert op_types(source) == ["Gemm"]
    assert DOMAIN not in source.graph.opset_imports


def test_layers_inside_a_branch_are_rewritten_too() -> None:
    source = model(
        "agraph (float[b,64] x, bool c) => (float[b,64] y) { y = If (c) <"
        " then_branch = t () => (float[b,64] u) { u = MatMul(x, w) },"
        " else_branch = e () => (float[b,64] v) { v = Neg(x) }> }",
        w=WEIGHTS["csr"],
    )
    expected = evaluate(source, x=X, c=np.array(True))[0]
    run_passes(source, "encode-weights{threads=1,force=csr},legalize-ort-cpu")
    branch = source.graph[0].attributes["then_branch"].as_graph()
    assert [node.op_type for node in branch] == ["CsrMatMul"]
    got = evaluate(source, x=X, c=np.array(True))[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
