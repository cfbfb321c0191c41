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


@pytest.mark.parametrize("cleanup", ["", ",remove-unused"])
def test_a_mask_inside_a_body_is_folded_there_under_a_name_of_its_own(cleanup: str) -> None:
    branch = (
        "() => (float[b,2] {0}) <float[2,2] w = {{{1}, 2.0, 3.0, 4.0}},"
        " float[2,2] k = {{1.0, 0.0, 0.0, 1.0}}> {{ {0}m = Mul(w, k)\n {0} = MatMul(x, {0}m) }}"
    )
    source = model(
        "agraph (bool c, float[b,2] x) => (float[b,2] y) { y = If(c) <then_branch = t "
        + branch.format("p", "1.0")
        + ", else_branch = e "
        + branch.format("q", "-1.0")
        + "> }"
    )
    run_passes(source, "fold-masks" + cleanup)
    x = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(evaluate(source, c=np.array(True), x=x)[0], [[1, 4]])
    np.testing.assert_array_equal(evaluate(source, c=np.array(False), x=x)[0], [[-1, 4]])
    bodies = [body.as_graph() for body in source.graph[0].attributes.values()]
    names = [body[-1].inputs[1].name for body in bodies]
    assert names[0] in bodies[0].initializers and names[1] in bodies[1].initializers
    assert names[0] != names[1]


def test_a_name_inside_a_body_does_not_hide_a_weight_folded_outside() -> None:
    source = model(
        "agraph (bool c, float[b,2] x) => (float[b,2] y)"
        " <float[2,2] w_orig = {1.0, 2.0, 3.0, 4.0}, float[2,2] k = {1.0, 0.0, 0.0, 1.0}>"
        " { m = Mul(w_orig, k)\n y = If(c) <"
        "then_branch = t () => (float[b,2] p) <float[1] w = {9.0}>"
        " { a = MatMul(x, m)\n p = Add(a, w) },"
        "else_branch = e () => (float[b,2] q) { q = Identity(x) }> }"
    )
    run_passes(source, "fold-masks,remove-unused")
    result = evaluate(source, c=np.array(True), x=np.ones((1, 2), np.float32))[0]
    np.testing.assert_array_equal(result, [[10, 13]])


def test_the_weight_takes_over_the_name_of_the_expression_that_it_replaces() -> None:
    source = model(f"{SIGNATURE} {{ w = Mul(w_orig, k)\n y = MatMul(x, w) }}", w_orig=W.T, k=MASK.T)
    expected = evaluate(source, x=X)[0]
    run_passes(source, "fold-masks")
    assert source.graph[1].inputs[1].name == "w"
    np.testing.assert_array_equal(evaluate(source, x=X)[0], expected)


def test_an_expression_that_stays_in_use_keeps_its_name() -> None:
    source = model(
        "agraph (float[b,6] x) => (float[b,8] y, float[6,8] w)"
        " { w = Mul(w_orig, k)\n y = MatMul(x, w) }",
        w_orig=W.T,
        k=MASK.T,
    )
    run_passes(source, "fold-masks")
    assert source.graph.outputs[1].name == "w"
    assert source.graph[1].inputs[1].name == "w_1"


@pytest.mark.parametrize("opset", [13, 19])
def test_a_quantized_weight_stays_quantized(opset: int) -> None:
    source = model(
        f"{SIGNATURE} {{ w = DequantizeLinear(q, scale)\n t = Identity(w)\n y = MatMul(x, t) }}",
        opset=opset,
        q=RNG.integers(-128, 128, (6, 8), dtype=np.int8),
        scale=np.float32(0.1),
    )
    assert run_passes(source, "fold-masks") == 0
    assert op_types(source) == ["DequantizeLinear", "Identity", "MatMul"]
    assert "t comes from DequantizeLinear, which keeps it quantized" in said(source, "missed")[0]


def test_a_weight_in_half_precision_is_not_widened() -> None:
    source = model(
        f"{SIGNATURE} {{ w = Cast<to=1>(h)\n y = MatMul(x, w) }}", h=W.T.astype(np.float16)
    )
    assert run_passes(source, "fold-masks") == 0
    assert "it would take 192 bytes instead of 96" in said(source, "missed")[0]


def test_a_constant_that_is_read_twice_counts_once() -> None:
    source = model(
        f"{SIGNATURE} {{ w = Concat<axis=1>(half, half)\n y = MatMul(x, w) }}", half=W.T[:, :4]
    )
    assert run_passes(source, "fold-masks") == 0
    assert "192 bytes instead of 96" in said(source, "missed")[0]


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.int64])
def test_a_mask_of_another_type_is_folded(kind: type[np.generic]) -> None:
    source = model(
        f"{SIGNATURE} {{ f = Cast<to=1>(mask)\n m = Mul(f, w)\n y = MatMul(x, m) }}",
        w=W.T,
        mask=MASK.T.astype(kind),
    )
    assert run_passes(source, "fold-masks,remove-unused") == 2
    np.testing.assert_array_equal(source.graph[0].inputs[1].const_value.numpy(), (W * MASK).T)


def test_an_expression_that_cannot_be_evaluated_is_left_alone() -> None:
    source = model(
        f"{SIGNATURE} {{ r = Reshape(w, shape)\n y = MatMul(x, r) }}", w=W, shape=np.array([7, 7])
    )
    assert run_passes(source, "fold-masks") == 0
    assert "r cannot be evaluated: cannot reshape" in said(source, "missed")[0]
    assert op_types(source) == ["Reshape", "MatMul"]


def test_what_depends_on_an_input_is_nothing_to_remark_on() -> None:
    source = model(f"{SIGNATURE} {{ d = Dropout(x)\n y = MatMul(d, w) }}", w=W.T)
    assert run_passes(source, "fold-masks") == 0
    assert said(source, "missed") == []


@pytest.mark.parametrize("start", ["x", "w"])
def test_depth_does_not_matter(start: str) -> None:
    steps = [f"{start}{i} = Relu({start}{i - 1 if i else ''})" for i in range(2000)]
    x, w = ("x1999", "w") if start == "x" else ("x", "w1999")
    source = model(f"{SIGNATURE} {{ {chr(10).join(steps)}\n y = MatMul({x}, {w}) }}", w=W.T)
    assert run_passes(source, "fold-masks") == (start == "w")
    if start == "w":
        np.testing.assert_array_equal(
            source.graph[-1].inputs[1].const_value.numpy(), np.maximum(W.T, 0)
        )
        assert "folded Relu of w into" in said(source, "applied")[0]


def test_sharing_does_not_matter() -> None:
    steps = [f"w{i} = Mul(w{i - 1 if i else ''}, w{i - 1 if i else ''})" for i in range(64)]
    source = model(f"{SIGNATURE} {{ {chr(10).join(steps)}\n y = MatMul(x, w63) }}", w=np.sign(W.T))
    assert run_passes(source, "fold-masks") == 1
    assert "folded Mul of w into" in said(source, "applied")[0]


def test_a_long_expression_is_described_briefly() -> None:
    names = [f"k{i}" for i in range(7)]
    source = model(
        f"{SIGNATURE} {{ s = Sum({', '.join(names)})\n t = Transpose(s)\n y = MatMul(x, t) }}",
        **dict.fromkeys(names, W),
    )
    run_passes(source, "fold-masks")
    assert "folded Sum, Transpose of k0, k1, k2, k3 and 3 more" in said(source, "applied")[0]


def test_a_constant_node_becomes_the_weight_under_its_name() -> None:
    source = model(
        "agraph (float[b,2] x) => (float[b,2] y)"
        " { w = Constant<value = float[2,2] {1.0, 0.0, 0.0, 2.0}>()\n y = MatMul(x, w) }"
    )
    assert run_passes(source, "fold-masks") == 1
    assert source.graph[1].inputs[1].name == "w"
    result = evaluate(source, x=np.ones((1, 2), np.float32))[0]
    np.testing.assert_array_equal(result, [[1, 2]])
