"""The encoding follows the pattern and the cost, and every refusal has a reason."""

import numpy as np
import onnx_ir as ir
import pytest
import scipy.sparse
from support import (
    blocky,
    butterfly_factor,
    evaluate,
    model,
    op_types,
    run_passes,
    said,
    unstructured,
)

from nfcompile.errors import UnsupportedModelError
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.remarks import decisions
from nfcompile.sparse import BlockDiagonalTensor, BsrTensor, CsrTensor

RNG = np.random.default_rng(0)
N = 256
X = RNG.standard_normal((3, N)).astype(np.float32)
GEMM = f"agraph (float[b,{N}] x) => (float[b,{N}] y) {{ y = Gemm<transB=1>(x, w) }}"
MATMUL = f"agraph (float[b,{N}] x) => (float[b,{N}] y) {{ y = MatMul(x, w) }}"
PATTERNS = {
    "csr": unstructured(RNG, (N, N), 0.03),
    "bsr": blocky(RNG, (N, N), 16, 0.1),
    "block-diagonal": butterfly_factor(RNG, N, 16, 16),
}
CLASSES = {"csr": CsrTensor, "bsr": BsrTensor, "block-diagonal": BlockDiagonalTensor}


def weight_of(source: ir.Model) -> ir.TensorProtocol:
    tensor = source.graph.initializers["w"].const_value
    assert tensor is not None
    return tensor


@pytest.mark.parametrize("text", [GEMM, MATMUL])
@pytest.mark.parametrize("kind", PATTERNS)
def test_the_pattern_of_the_zeros_gives_the_encoding(kind: str, text: str) -> None:
    stored = PATTERNS[kind] if text == GEMM else PATTERNS[kind].T.copy()
    source = model(text, w=stored)
    expected = evaluate(source, x=X)[0]
    assert run_passes(source, "encode-weights{threads=1}") == 1
    tensor = weight_of(source)
    assert isinstance(tensor, EncodedTensor)
    assert isinstance(tensor.encoding, CLASSES[kind])
    np.testing.assert_array_equal(tensor.numpy(), stored)
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-6)
    (decision,) = decisions(source)
    assert (decision.encoding, decision.shape) == (kind, (N, N))
    assert decision.density == pytest.approx(np.count_nonzero(stored) / stored.size, abs=1e-6)
    assert decision.bytes_encoded < decision.bytes_dense
    assert "faster than dense" in decision.reason
    assert run_passes(source, "encode-weights{threads=1}") <= 1
    assert type(weight_of(source).encoding) is CLASSES[kind]


def test_negative_zeros_are_zeros() -> None:
    weight = PATTERNS["csr"].copy()
    weight[weight == 0] = -0.0
    source = model(GEMM, w=weight)
    run_passes(source, "encode-weights{threads=1}")
    assert decisions(source)[0].encoding == "csr"


def test_a_weight_of_zeros_only_is_taken() -> None:
    source = model(GEMM, w=np.zeros((N, N), np.float32))
    run_passes(source, "encode-weights{threads=1}")
    assert decisions(source)[0].density == 0
    np.testing.assert_array_equal(evaluate(source, x=X)[0], np.zeros((3, N)))


@pytest.mark.parametrize("density", [0.5, 1.0])
def test_says_why_a_layer_stays_dense(density: float) -> None:
    source = model(GEMM, w=unstructured(RNG, (N, N), density))
    assert run_passes(source, "encode-weights{threads=1}") == 0
    (decision,) = decisions(source)
    assert decision.encoding == "dense"
    assert f"stays dense: {decision.reason}" in said(source, "missed")[0]


@pytest.mark.parametrize("kind", PATTERNS)
def test_an_encoding_can_be_forced(kind: str) -> None:
    source = model(GEMM, w=butterfly_factor(RNG, N, 16, 1))
    run_passes(source, f"encode-weights{{threads=1,force={kind}}}")
    assert isinstance(weight_of(source).encoding, CLASSES[kind])


def test_a_shared_weight_is_encoded_once_and_decided_for_each_layer() -> None:
    text = (
        f"agraph (float[b,{N}] x) => (float[b,{N}] y)"
        " { h = Gemm<transB=1>(x, w)\n y = Gemm<transB=1>(h, w) }"
    )
    source = model(text, w=PATTERNS["csr"])
    assert run_passes(source, "encode-weights{threads=1}") == 1
    assert [item.encoding for item in decisions(source)] == ["csr", "csr"]


TIED = (
    f"agraph (float[b,{N}] x, int64[b] i) => (float[b,{N}] y) {{ e = Gather(w, i)\n"
    " h = Gemm<transB=1>(x, w)\n k = Gemm<transB=1>(h, w)\n y = Add(e, k) }"
)


def test_a_head_that_is_tied_to_an_embedding_is_encoded_and_the_embedding_stays_dense() -> None:
    source = model(TIED, w=PATTERNS["csr"])
    inputs = {"x": X, "i": np.array([3, 0, N - 1])}
    before = evaluate(source, **inputs)[0]
    assert run_passes(source, "encode-weights{threads=1}") == 1
    gather, first, second, _ = source.graph
    assert not isinstance(gather.inputs[0].const_value, EncodedTensor)
    assert first.inputs[1] is second.inputs[1]
    assert isinstance(first.inputs[1].const_value, EncodedTensor)
    assert [item.encoding for item in decisions(source)] == ["csr", "csr"]
    assert "w stays dense too, for Gather" in said(source, "note")[0]
    np.testing.assert_allclose(evaluate(source, **inputs)[0], before, rtol=1e-4, atol=1e-5)
    assert run_passes(source, "legalize-ort-cpu") == 1
    np.testing.assert_allclose(evaluate(source, **inputs)[0], before, rtol=1e-4, atol=1e-5)


def test_a_tied_weight_without_zeros_is_not_copied() -> None:
    source = model(TIED, w=unstructured(RNG, (N, N), 1.0))
    assert run_passes(source, "encode-weights{threads=1}") == 0
    assert list(source.graph.initializers) == ["w"]


def test_a_weight_that_is_used_both_ways_around_is_encoded_for_each() -> None:
    text = (
        f"agraph (float[b,{N}] x) => (float[b,{N}] y)"
        " { h = Gemm<transB=1>(x, w)\n y = MatMul(h, w) }"
    )
    source = model(text, w=PATTERNS["csr"])
    before = evaluate(source, x=X)[0]
    assert run_passes(source, "encode-weights{threads=1}") == 1
    assert [item.encoding for item in decisions(source)] == ["csr", "csr"]
    assert run_passes(source, "legalize-ort-cpu") == 1
    assert not {"Gemm", "MatMul"} & set(op_types(source))
    np.testing.assert_allclose(evaluate(source, x=X)[0], before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            f"agraph (float[b,{N}] x, float[{N},{N}] w) => (float[b,{N}] y) {{ y = MatMul(x, w) }}",
            "weight w is also a graph input",
        ),
        (
            f"agraph (float[{N},b] x) => (float[b,{N}] y) {{ y = Gemm<transA=1>(x, w) }}",
            "transA is set",
        ),
    ],
)
def test_says_why_a_weight_is_left_alone(text: str, words: str) -> None:
    source = model(text, w=PATTERNS["csr"])
    assert run_passes(source, "encode-weights{threads=1}") == 0
    assert any(words in line for line in said(source, "missed"))


def test_a_weight_of_another_type_is_left_alone() -> None:
    text = f"agraph (double[b,{N}] x) => (double[b,{N}] y) {{ y = MatMul(x, w) }}"
    source = model(text, w=PATTERNS["csr"].astype(np.float64))
    assert run_passes(source, "encode-weights{threads=1}") == 0
    assert "is DOUBLE, kernels take FLOAT" in said(source, "missed")[0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_an_error_that_names_it(value: float) -> None:
    weight = PATTERNS["csr"].copy()
    weight[3, 5] = value
    with pytest.raises(UnsupportedModelError, match=r"weight w must be finite, got .* at \[3, 5\]"):
        run_passes(model(GEMM, w=weight), "encode-weights")


def test_an_empty_weight_is_left_alone() -> None:
    source = model(
        "agraph (float[b,0] x) => (float[b,8] y) { y = MatMul(x, w) }",
        w=np.zeros((0, 8), np.float32),
    )
    assert run_passes(source, "encode-weights") == 0
    assert "is empty" in said(source, "missed")[0]


def test_portable_takes_block_diagonal_only_and_says_so() -> None:
    source = model(GEMM, w=PATTERNS["csr"])
    assert run_passes(source, "encode-weights{target=portable,threads=1}") == 0
    assert "no standard operators are faster for this pattern" in said(source, "missed")[0]


def test_portable_refuses_a_huge_weight_that_would_be_dense() -> None:
    size = 40_000
    matrix = scipy.sparse.random_array((size, size), density=4 / size, rng=0, dtype=np.float32)
    csr = CsrTensor.from_scipy(matrix.tocsr())
    source = model("agraph (float[b,40000] x) => (float[b,40000] y) { y = MatMul(x, w) }", w=X)
    source.graph.initializers["w"].const_value = EncodedTensor(csr, transposed=True, name="w")
    with pytest.raises(UnsupportedModelError, match="use target ort-cpu"):
        run_passes(source, "encode-weights{target=portable,threads=1}")


def test_a_static_batch_decides_alone() -> None:
    source = model(
        f"agraph (float[7,{N}] x) => (float[7,{N}] y) {{ y = Gemm<transB=1>(x, w) }}",
        w=PATTERNS["csr"],
    )
    run_passes(source, "encode-weights{threads=1}")
    assert "at batch 7" in decisions(source)[0].reason
