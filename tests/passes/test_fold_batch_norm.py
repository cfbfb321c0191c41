"""Batch normalization folds into the layer before it."""

from typing import Any

import numpy as np
import pytest
from support import evaluate, model, op_types, run_passes, said, unstructured

from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.sparse import CsrTensor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 6)).astype(np.float32)
NORM: dict[str, Any] = {
    "scale": RNG.standard_normal(8).astype(np.float32),
    "shift": RNG.standard_normal(8).astype(np.float32),
    "mean": RNG.standard_normal(8).astype(np.float32),
    "var": RNG.random(8).astype(np.float32) + 0.5,
}
BIAS = RNG.standard_normal(8).astype(np.float32)
HEAD = "agraph (float[b,6] x) => (float[b,8] y)"
BN = "y = BatchNormalization<epsilon=0.01>(h, scale, shift, mean, var)"


@pytest.mark.parametrize(
    "body",
    [
        f"{{ h = Gemm<transB=1>(x, w, bias)\n {BN} }}",
        f"{{ h = Gemm<transB=1, alpha=0.5, beta=3.0>(x, w, bias)\n {BN} }}",
        f"{{ h = Gemm<transB=1>(x, w)\n {BN} }}",
        f"{{ h = MatMul(x, wt)\n {BN} }}",
        f"{{ g = MatMul(x, wt)\n h = Add(g, bias)\n {BN} }}",
        f"{{ g = MatMul(x, wt)\n h = Add(bias, g)\n {BN} }}",
    ],
)
def test_the_normalization_goes_and_zeros_stay_zeros(body: str) -> None:
    weight = unstructured(RNG, (8, 6), 0.4)
    source = model(f"{HEAD} {body}", w=weight, wt=weight.T.copy(), bias=BIAS, **NORM)
    expected = evaluate(source, x=X)[0]
    passes = "infer-shapes,fold-batch-norm,identity-elimination,remove-unused"
    assert run_passes(source, passes) >= 2
    assert "BatchNormalization" not in op_types(source)
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-4, atol=1e-5)
    folded = source.graph[0].inputs[1].const_value.numpy()
    assert np.count_nonzero(folded) == np.count_nonzero(weight)
    assert run_passes(source, "fold-batch-norm") == 0


def test_a_weight_kept_by_its_non_zeros_is_scaled_as_such() -> None:
    weight = unstructured(RNG, (8, 6), 0.4)
    source = model(f"{HEAD} {{ h = MatMul(x, w)\n {BN} }}", w=weight.T.copy(), **NORM)
    expected = evaluate(source, x=X)[0]
    value = source.graph.initializers["w"]
    value.const_value = EncodedTensor(CsrTensor.from_dense(weight), transposed=True, name="w")
    run_passes(source, "infer-shapes,fold-batch-norm,remove-unused")
    assert isinstance(source.graph[0].inputs[1].const_value, EncodedTensor)
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f"{{ h = Gemm<transB=1>(x, w)\n {BN}\n z = Gemm<transB=1>(x, w) }}", "has other uses"),
        (
            "{ h = Gemm<transB=1>(x, w)\n m = Relu(x)\n r = ReduceMean<keepdims=0>(m)\n"
            " q = Expand(r, eight)\n y = BatchNormalization(h, scale, shift, q, var) }",
            "statistics of its batch normalization are not constant",
        ),
    ],
)
def test_says_why_a_normalization_stays(body: str, words: str) -> None:
    source = model(f"{HEAD} {body}", w=unstructured(RNG, (8, 6), 0.4), eight=np.array([8]), **NORM)
    assert run_passes(source, "infer-shapes,fold-batch-norm") <= 1
    assert "BatchNormalization" in op_types(source)
    assert words in said(source, "missed")[0]


def test_a_product_of_rank_three_is_left_alone_since_its_axis_is_another() -> None:
    source = model(
        f"agraph (float[b,8,6] x) => (float[b,8,8] y) {{ h = MatMul(x, w)\n {BN} }}",
        w=unstructured(RNG, (6, 8), 0.4),
        **NORM,
    )
    run_passes(source, "infer-shapes,fold-batch-norm")
    assert op_types(source) == ["MatMul", "BatchNormalization"]
    assert "over another axis" in said(source, "missed")[0]


def test_a_product_that_others_read_is_left_alone() -> None:
    source = model(
        f"{HEAD} {{ h = Gemm<transB=1>(x, w)\n n = BatchNormalization(h, scale, shift, mean, var)\n"
        " y = Add(n, h) }",
        w=unstructured(RNG, (8, 6), 0.4),
        **NORM,
    )
    assert run_passes(source, "fold-batch-norm") == 0


def test_a_bias_per_row_is_not_taken_for_one_per_output() -> None:
    source = model(
        f"agraph (float[8,6] x) => (float[8,8] y) {{ h = Gemm<transB=1>(x, w, column)\n {BN} }}",
        w=unstructured(RNG, (8, 6), 0.4),
        column=RNG.standard_normal((8, 1)).astype(np.float32),
        **NORM,
    )
    assert run_passes(source, "infer-shapes,fold-batch-norm") <= 1
    assert op_types(source) == ["Gemm", "BatchNormalization"]
    assert "not a constant of one value per output" in said(source, "missed")[0]


IMAGES = RNG.standard_normal((2, 6, 5, 4)).astype(np.float32)
CONV_HEAD = "agraph (float[n,6,5,4] x) => (float[n,8,a,b] y)"


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("attributes", ["", "strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2]"])
def test_the_normalization_goes_into_a_convolution(
    bias: bool, groups: int, attributes: str
) -> None:
    weight = unstructured(RNG, (8, 6 // groups * 6), 0.4).reshape(8, 6 // groups, 3, 2)
    given = ", ".join(filter(None, [f"group={groups}", attributes]))
    operands = "x, w, bias" if bias else "x, w"
    used = {"bias": BIAS} if bias else {}
    source = model(
        f"{CONV_HEAD} {{ h = Conv<{given}>({operands})\n {BN} }}", w=weight, **used, **NORM
    )
    expected = evaluate(source, x=IMAGES)[0]
    passes = "infer-shapes,fold-batch-norm,identity-elimination,remove-unused"
    assert run_passes(source, passes) >= 2
    assert op_types(source) == ["Conv"]
    np.testing.assert_allclose(evaluate(source, x=IMAGES)[0], expected, rtol=1e-4, atol=1e-4)
    folded = source.graph[0].inputs[1].const_value.numpy()
    assert folded.shape == weight.shape
    np.testing.assert_array_equal(folded != 0, weight != 0)
    assert said(source, "applied")
    assert run_passes(source, "fold-batch-norm") == 0


@pytest.mark.parametrize("groups", [1, 2])
def test_an_encoded_weight_of_a_convolution_is_scaled_as_what_it_stands_for(groups: int) -> None:
    weight = unstructured(RNG, (8, 6 // groups * 9), 0.4).reshape(8, 6 // groups, 3, 3)
    source = model(f"{CONV_HEAD} {{ h = Conv<group={groups}>(x, w)\n {BN} }}", w=weight, **NORM)
    expected = evaluate(source, x=IMAGES)[0]
    run_passes(source, "encode-weights{threads=1,force=csr}")
    assert isinstance(source.graph.initializers["w"].const_value, EncodedTensor)
    run_passes(source, "infer-shapes,fold-batch-norm,identity-elimination,remove-unused")
    assert op_types(source) == ["Conv"]
    np.testing.assert_allclose(evaluate(source, x=IMAGES)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f"{{ h = Conv(x, w)\n {BN}\n z = Conv(x, w) }}", "has other uses"),
        (
            "{ h = Conv(x, w)\n m = Relu(x)\n r = ReduceMean<keepdims=0>(m)\n"
            " q = Expand(r, eight)\n y = BatchNormalization(h, scale, shift, q, var) }",
            "statistics of its batch normalization are not constant",
        ),
        (
            "{ r = ReduceMean<keepdims=0>(x)\n q = Expand(r, eight)\n"
            f" h = Conv(x, w, q)\n {BN} }}",
            "its bias is not a constant of one value per output",
        ),
        (
            "{ h = Conv(x, w)\n"
            " y, u, v = BatchNormalization<training_mode=1>(h, scale, shift, mean, var) }",
            "its batch normalization is in training mode",
        ),
    ],
)
def test_says_why_a_normalization_stays_behind_a_convolution(body: str, words: str) -> None:
    weight = unstructured(RNG, (8, 54), 0.4).reshape(8, 6, 3, 3)
    source = model(f"{CONV_HEAD} {body}", w=weight, eight=np.array([8]), **NORM)
    assert run_passes(source, "fold-batch-norm") == 0
    assert "BatchNormalization" in op_types(source)
    assert words in said(source, "missed")[0]


@pytest.mark.parametrize(
    "body",
    [
        "{ h = Conv<group=6>(x, depthwise)\n y = BatchNormalization(h, s, s, s, s) }",
        "{ h = ConvTranspose(x, turned)\n y = BatchNormalization(h, s, s, s, s) }",
        "{ h = Conv(x, w)\n n = BatchNormalization(h, s, s, s, s)\n y = Add(n, h) }",
        "{ h = Conv(x, w)\n a = Add(h, k)\n y = BatchNormalization(a, s, s, s, s) }",
        "{ h = Conv(x, w)\n a = Add(h, two)\n y = BatchNormalization(a, s, s, s, s) }",
        "{ h = Conv(x, w)\n a = Relu(h)\n y = BatchNormalization(a, s, s, s, s) }",
    ],
)
def test_a_normalization_that_does_not_follow_a_convolution_of_ours_stays(body: str) -> None:
    weights = {
        "depthwise": RNG.standard_normal((6, 1, 3, 3)).astype(np.float32),
        "turned": RNG.standard_normal((6, 6, 3, 3)).astype(np.float32),
        "w": unstructured(RNG, (6, 54), 0.4).reshape(6, 6, 3, 3),
        "k": np.ones((1, 6, 1, 1), np.float32),
        "two": np.float32(2),
        "s": RNG.random(6).astype(np.float32) + 0.5,
    }
    used = {name: value for name, value in weights.items() if f"{name})" in body or name == "s"}
    source = model(f"agraph (float[n,6,5,4] x) => (float[n,6,a,b] y) {body}", **used)
    before = op_types(source)
    assert run_passes(source, "fold-batch-norm") == 0
    assert op_types(source) == before
