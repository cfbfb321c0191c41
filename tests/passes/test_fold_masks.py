"""Constant expressions before weights become constants, however they were written."""

import numpy as np
import onnx_ir as ir
import pytest
from support import evaluate, model, op_types, run_passes, said, unstructured

from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.sparse import CsrTensor

RNG = np.random.default_rng(0)
W = RNG.standard_normal((8, 6)).astype(np.float32)
MASK = (RNG.random((8, 6)) < 0.3).astype(np.float32)
X = RNG.standard_normal((3, 6)).astype(np.float32)
SIGNATURE = "agraph (float[b,6] x) => (float[b,8] y)"


@pytest.mark.parametrize(
    "body",
    [
        "{ m = Mul(w_orig, mask)\n y = Gemm<transB=1>(x, m) }",
        "{ m = Mul(mask, w_orig)\n t = Transpose<perm=[1,0]>(m)\n y = MatMul(x, t) }",
        "{ c = Cast<to=9>(mask)\n z = Sub(w_orig, w_orig)\n m = Where(c, w_orig, z)\n"
        " y = Gemm<transB=1>(x, m) }",
    ],
)
def test_a_masked_weight_becomes_one_constant_with_its_name(body: str) -> None:
    source = model(f"{SIGNATURE} {body}", w_orig=W, mask=MASK)
    expected = evaluate(source, x=X)[0]
    assert run_passes(source, "fold-masks,remove-unused") == 2
    assert len(op_types(source)) == 1
    weight = source.graph[0].inputs[1]
    assert weight is not None
    assert weight.name == "w"
    assert np.count_nonzero(weight.const_value.numpy()) == MASK.sum()
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-6)
    assert "folded" in said(source, "applied")[0]


def test_a_second_run_finds_nothing() -> None:
    source = model(f"{SIGNATURE} {{ m = Mul(w, mask)\n y = Gemm<transB=1>(x, m) }}", w=W, mask=MASK)
    run_passes(source, "fold-masks")
    assert run_passes(source, "fold-masks") == 0


def test_a_shared_expression_is_folded_once() -> None:
    body = (
        "{ m = Mul(w, mask)\n a = Gemm<transB=1>(x, m)\n b = Gemm<transB=1>(x, m)\n y = Add(a, b) }"
    )
    source = model(f"{SIGNATURE} {body}", w=W, mask=MASK)
    expected = evaluate(source, x=X)[0]
    run_passes(source, "fold-masks,remove-unused")
    gemms = [node for node in source.graph if node.op_type == "Gemm"]
    assert gemms[0].inputs[1] is gemms[1].inputs[1]
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-6)


def test_a_weight_from_a_graph_input_is_left_alone() -> None:
    source = model(
        "agraph (float[b,6] x, float[8,6] m) => (float[b,8] y)"
        " { w = Mul(v, m)\n y = Gemm<transB=1>(x, w) }",
        v=W,
    )
    assert run_passes(source, "fold-masks") == 0
    assert op_types(source) == ["Mul", "Gemm"]


def test_an_initializer_that_is_also_an_input_is_no_constant() -> None:
    source = model(
        "agraph (float[b,6] x, float[8,6] w) => (float[b,8] y)"
        " { m = Mul(w, mask)\n y = Gemm<transB=1>(x, m) }",
        w=W,
        mask=MASK,
    )
    assert run_passes(source, "fold-masks") == 0


def test_says_why_a_random_mask_is_left_alone() -> None:
    source = model(
        f"{SIGNATURE} {{ r = RandomNormalLike(w)\n m = Mul(w, r)\n y = Gemm<transB=1>(x, m) }}", w=W
    )
    assert run_passes(source, "fold-masks") == 0
    assert "m comes from RandomNormalLike, which is random" in said(source, "missed")[0]


def test_a_weight_kept_by_its_non_zeros_never_becomes_dense() -> None:
    csr = CsrTensor.from_dense(unstructured(RNG, (8, 6), 0.3))
    source = model(
        f"{SIGNATURE} {{ w = nfcompile.CsrToDense<shape=[8,6]>(fc.values, indices, indptr)\n"
        " t = Transpose<perm=[1,0]>(w)\n y = MatMul(x, t) }".replace("fc.values", "values"),
        values=csr.values,
        indices=csr.indices.astype(np.int64),
        indptr=csr.indptr.astype(np.int64),
    )
    source.graph.opset_imports["nfcompile"] = 1
    expected = evaluate(source, x=X)[0]
    run_passes(source, "fold-masks,remove-unused")
    tensor = source.graph[0].inputs[1].const_value
    assert isinstance(tensor, EncodedTensor)
    assert isinstance(tensor.encoding, CsrTensor)
    assert tensor.encoding.shape == (8, 6)
    assert op_types(source) == ["MatMul"]
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-5)


def test_the_weight_of_a_convolution_is_folded_too() -> None:
    kernel = RNG.standard_normal((4, 2, 3, 3)).astype(np.float32)
    source = model(
        "agraph (float[b,2,8,8] x) => (float[b,4,6,6] y) { m = Mul(k, mask)\n y = Conv(x, m) }",
        k=kernel,
        mask=(RNG.random(kernel.shape) < 0.5).astype(np.float32),
    )
    run_passes(source, "fold-masks,remove-unused")
    assert op_types(source) == ["Conv"]
    assert isinstance(source.graph[0].inputs[1].const_value, ir.Tensor)
