"""Encoded weights become operators of our domain."""

import numpy as np
import onnx_ir as ir
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


IMAGES = RNG.standard_normal((2, 16, 7, 6)).astype(np.float32)
CHANNEL_BIAS = RNG.standard_normal(16).astype(np.float32)
CONV_HEAD = "agraph (float[n,16,7,6] x) => (float[n,16,a,b] y)"
CONVOLUTIONS = {"csr": "CsrConv", "bsr": "BsrConv", "block-diagonal": "BlockDiagonalConv"}


def windows(kind: str, kernel: tuple[int, int], groups: int = 1) -> np.ndarray:
    """A weight of 16 channels with the pattern in every element of its window."""
    size = kernel[0] * kernel[1]
    if groups > 1:  # blocks of ones along the diagonal, where the groups are
        dense = RNG.standard_normal((16, 16 // groups * size))
        kept = np.ones_like(dense) if kind == "block-diagonal" else RNG.random(dense.shape) < 0.3
        kept = np.repeat(kept[::4], 4, axis=0) if kind == "bsr" else kept
    else:
        small = {
            "csr": RNG.random((16, 16)) < 0.2,
            "bsr": np.kron(np.eye(4) + np.eye(4, k=1), np.ones((4, 4))),
            "block-diagonal": butterfly_factor(RNG, 16, 4, 4) != 0,
        }[kind]
        dense = RNG.standard_normal((16, 16 * size))
        kept = np.repeat(small, size, axis=1)
    return (dense * kept).astype(np.float32).reshape(16, -1, *kernel)


@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        ((1, 1), ""),
        ((3, 3), "pads=[1, 1, 1, 1]"),
        ((3, 2), "strides=[2, 1], pads=[0, 1, 2, 3]"),
        ((5, 1), "dilations=[1, 2], pads=[3, 0, 1, 0]"),
        ((2, 2), "dilations=[2, 3], strides=[1, 2]"),
        ((3, 3), 'auto_pad="SAME_LOWER", strides=[2, 2]'),
        ((2, 2), 'auto_pad="SAME_UPPER"'),
        ((2, 3), 'auto_pad="VALID"'),
    ],
)
def test_a_convolution_becomes_one_operator_with_its_window(
    kind: str, bias: bool, kernel: tuple[int, int], attributes: str
) -> None:
    given = f"<{attributes}>" if attributes else ""
    operands = "x, w, b" if bias else "x, w"
    weight = windows(kind, kernel)
    constants = {"w": weight, "b": CHANNEL_BIAS} if bias else {"w": weight}
    source = model(f"{CONV_HEAD} {{ y = Conv{given}({operands}) }}", **constants)
    expected = evaluate(source, x=IMAGES)[0]
    run_passes(source, legalize(kind))
    assert op_types(source) == [CONVOLUTIONS[kind]]
    assert source.graph.opset_imports[DOMAIN] == 1
    (node,) = source.graph
    assert tuple(node.attributes["kernel_shape"].as_ints()) == kernel
    assert "auto_pad" not in node.attributes
    assert "w" not in source.graph.initializers
    got = evaluate(source, x=IMAGES)[0]
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    assert run_passes(source, "legalize-ort-cpu") == 0


@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("groups", [2, 4])
def test_groups_become_zeros_of_the_matrix(kind: str, groups: int) -> None:
    source = model(
        f"{CONV_HEAD} {{ y = Conv<group={groups}, pads=[1, 1, 1, 1]>(x, w, b) }}",
        w=windows(kind, (3, 3), groups),
        b=CHANNEL_BIAS,
    )
    expected = evaluate(source, x=IMAGES)[0]
    run_passes(source, legalize(kind))
    (node,) = source.graph
    assert "group" not in node.attributes
    assert node.attributes["in_features"].as_int() == 16 * 9
    assert node.op_type == CONVOLUTIONS[kind]
    np.testing.assert_allclose(evaluate(source, x=IMAGES)[0], expected, rtol=1e-4, atol=1e-4)


def test_a_bias_of_run_time_is_an_input_of_the_convolution() -> None:
    source = model(
        "agraph (float[n,16,7,6] x, float[16] c) => (float[n,16,7,6] y) { y = Conv(x, w, c) }",
        w=windows("csr", (1, 1)),
    )
    expected = evaluate(source, x=IMAGES, c=CHANNEL_BIAS)[0]
    run_passes(source, legalize("csr"))
    assert op_types(source) == ["CsrConv"]
    got = evaluate(source, x=IMAGES, c=CHANNEL_BIAS)[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_convolutions_that_share_a_weight_share_its_arrays_and_keep_their_windows() -> None:
    source = model(
        "agraph (float[n,16,7,6] x) => (float[n,16,7,6] y) { h = Conv<pads=[1, 1, 1, 1]>(x, w)\n"
        " y = Conv<pads=[2, 2, 2, 2], dilations=[2, 2]>(h, w) }",
        w=windows("csr", (3, 3)),
    )
    expected = evaluate(source, x=IMAGES)[0]
    run_passes(source, legalize("csr"))
    first, second = list(source.graph)
    assert list(first.inputs)[1:] == list(second.inputs)[1:]
    assert first.name != second.name
    assert list(first.attributes["dilations"].as_ints()) == [1, 1]
    assert list(second.attributes["dilations"].as_ints()) == [2, 2]
    np.testing.assert_allclose(evaluate(source, x=IMAGES)[0], expected, rtol=1e-3, atol=1e-3)


def test_values_of_a_convolution_are_stored_in_bfloat16_where_asked() -> None:
    source = model(
        "agraph (float[n,16,7,6] x) => (float[n,16,7,6] y) { y = Conv(x, w, b) }",
        w=windows("csr", (1, 1)),
        b=CHANNEL_BIAS,
    )
    expected = evaluate(source, x=IMAGES)[0]
    run_passes(source, legalize("csr").replace("force", "precision=bf16,force"))
    values, *_, bias = (value.const_value.dtype for value in source.graph[0].inputs[1:])
    assert (values, bias) == (ir.DataType.BFLOAT16, ir.DataType.FLOAT)
    got = evaluate(source, x=IMAGES)[0]
    error = np.abs(got - expected).max() / np.abs(expected).max()
    assert 1e-6 < error < 1e-2


def test_a_dense_convolution_is_left_alone() -> None:
    source = model(f"{CONV_HEAD} {{ y = Conv(x, w) }}", w=windows("csr", (3, 3)))
    assert run_passes(source, "legalize-ort-cpu") == 0
    assert op_types(source) == ["Conv"]
    assert DOMAIN not in source.graph.opset_imports


def test_a_convolution_inside_a_branch_is_rewritten_too() -> None:
    source = model(
        "agraph (float[n,16,7,6] x, bool c) => (float[n,16,7,6] y) { y = If (c) <"
        " then_branch = t () => (float[n,16,7,6] u) { u = Conv(x, w) },"
        " else_branch = e () => (float[n,16,7,6] v) { v = Neg(x) }> }",
        w=windows("csr", (1, 1)),
    )
    inputs = {"x": IMAGES, "c": np.array(True)}
    expected = evaluate(source, **inputs)[0]
    run_passes(source, "encode-weights{threads=1,force=csr},legalize-ort-cpu")
    branch = source.graph[0].attributes["then_branch"].as_graph()
    assert [node.op_type for node in branch] == ["CsrConv"]
    np.testing.assert_allclose(evaluate(source, **inputs)[0], expected, rtol=1e-4, atol=1e-4)
