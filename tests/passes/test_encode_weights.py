"""The encoding follows the pattern and the cost, and every refusal has a reason."""

import ml_dtypes
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
HALVES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
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


IMAGES = RNG.standard_normal((2, 64, 5, 4)).astype(np.float32)
CONV_HEAD = "agraph (float[n,64,5,4] x) => (float[n,64,5,4] y)"
PADDED = f'{CONV_HEAD} {{ y = Conv<auto_pad="SAME_UPPER">(x, w) }}'
WINDOWS = {
    "csr": unstructured(RNG, (64, 576), 0.03).reshape(64, 64, 3, 3),
    "bsr": blocky(RNG, (64, 576), 16, 0.1).reshape(64, 64, 3, 3),
    "block-diagonal": butterfly_factor(RNG, 64, 8, 8).reshape(64, 64, 1, 1),
}


@pytest.mark.parametrize("kind", WINDOWS)
def test_the_pattern_over_windows_gives_the_encoding_of_a_convolution(kind: str) -> None:
    weight = WINDOWS[kind]
    source = model(PADDED, w=weight)
    expected = evaluate(source, x=IMAGES)[0]
    assert run_passes(source, "infer-shapes,encode-weights{threads=1}") == 1
    assert op_types(source) == ["Conv"]
    tensor = weight_of(source)
    assert isinstance(tensor, EncodedTensor)
    assert isinstance(tensor.encoding, CLASSES[kind])
    np.testing.assert_array_equal(tensor.numpy(), weight)
    np.testing.assert_allclose(evaluate(source, x=IMAGES)[0], expected, rtol=1e-4, atol=1e-4)
    (decision,) = decisions(source)
    assert (decision.encoding, decision.shape) == (kind, (64, weight.size // 64))
    assert decision.density == pytest.approx(np.count_nonzero(weight) / weight.size, abs=1e-6)
    assert decision.bytes_encoded < decision.bytes_dense == 4 * weight.size


@pytest.mark.parametrize("kind", WINDOWS)
def test_an_encoding_of_a_convolution_can_be_forced(kind: str) -> None:
    weight = np.kron(butterfly_factor(RNG, 64, 8, 1), np.ones((1, 9), np.float32))
    weight = weight.reshape(64, 64, 3, 3)
    source = model(PADDED, w=weight)
    run_passes(source, f"encode-weights{{threads=1,force={kind}}}")
    assert isinstance(weight_of(source).encoding, CLASSES[kind])
    np.testing.assert_array_equal(weight_of(source).numpy(), weight)


@pytest.mark.parametrize(
    ("x", "y", "batches"),
    [
        ("3,64,5,4", "3,64,5,4", (60,)),
        ("n,64,5,4", "n,64,5,4", (20, 320)),
        ("1,64,h,w", "1,64,h,w", (28 * 28,)),
        ("n,64,h,w", "n,64,h,w", (28 * 28, 16 * 28 * 28)),
        ("n,64,h,4", "n,64,h,4", (28 * 4, 16 * 28 * 4)),
    ],
)
def test_the_batch_of_a_convolution_is_the_places_of_its_window(
    x: str, y: str, batches: tuple[int, ...]
) -> None:
    text = f"agraph (float[{x}] x) => (float[{y}] y) {{ y = Conv<pads=[1, 1, 1, 1]>(x, w) }}"
    source = model(text, w=WINDOWS["csr"])
    run_passes(source, "encode-weights{threads=1}")
    assert tuple(decisions(source)[0].batches) == batches


@pytest.mark.parametrize("groups", [2, 4])
@pytest.mark.parametrize("density", [0.05, 1.0])
def test_a_grouped_convolution_is_encoded_over_all_channels(groups: int, density: float) -> None:
    weight = unstructured(RNG, (64, 9 * 64 // groups), density).reshape(64, 64 // groups, 3, 3)
    text = f"{CONV_HEAD} {{ y = Conv<group={groups}, pads=[1, 1, 1, 1]>(x, w) }}"
    source = model(text, w=weight)
    expected = evaluate(source, x=IMAGES)[0]
    force = "csr" if density < 1 else "block-diagonal"
    run_passes(source, f"encode-weights{{threads=1,force={force}}}")
    tensor = weight_of(source)
    assert isinstance(tensor, EncodedTensor)
    assert tensor.encoding.shape == (64, 576)
    np.testing.assert_array_equal(tensor.numpy(), weight)
    np.testing.assert_allclose(evaluate(source, x=IMAGES)[0], expected, rtol=1e-4, atol=1e-4)
    (decision,) = decisions(source)
    assert decision.density == pytest.approx(np.count_nonzero(weight) / weight.size, abs=1e-6)
    assert decision.bytes_dense == 4 * weight.size


def test_a_dense_convolution_stays_dense_and_says_why() -> None:
    weight = unstructured(RNG, (64, 576), 0.9).reshape(64, 64, 3, 3)
    source = model(PADDED, w=weight)
    assert run_passes(source, "encode-weights{threads=1}") == 0
    assert type(weight_of(source)) is not EncodedTensor
    assert "stays dense: density 0.90 is above 0.7" in said(source, "missed")[0]
    assert decisions(source)[0].encoding == "dense"


@pytest.mark.parametrize("density", [0.6, 1.0])
def test_a_grouped_convolution_is_compared_with_what_its_groups_cost(density: float) -> None:
    weight = unstructured(RNG, (64, 144), density).reshape(64, 16, 3, 3)
    text = f"{CONV_HEAD} {{ y = Conv<group=4, pads=[1, 1, 1, 1]>(x, w) }}"
    source = model(text, w=weight)
    assert run_passes(source, "encode-weights{threads=1}") == 0
    (decision,) = decisions(source)
    assert (decision.encoding, decision.shape) == ("dense", (64, 144))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{CONV_HEAD} {{ y = Conv<pads=[1, 1, 1, 1], group=64>(x, w1) }}", "depthwise"),
        (
            "agraph (float[n,64,7] x) => (float[n,64,5] y) { y = Conv(x, w3) }",
            "its images have 1 axes, kernels take 2",
        ),
        (
            "agraph (float[n,64,5,4] x, float[64,64,3,3] w) => (float[n,64,5,4] y)"
            " { y = Conv<pads=[1, 1, 1, 1]>(x, w) }",
            "weight w is not constant",
        ),
    ],
)
def test_says_why_the_weight_of_a_convolution_is_left_alone(text: str, words: str) -> None:
    used = {
        "w1": WINDOWS["csr"][:, :1],
        "w3": unstructured(RNG, (64, 192), 0.03).reshape(64, 64, 3),
        "w": WINDOWS["csr"],
    }
    name = next(name for name in used if name in text)
    source = model(text, **{name: used[name]})
    assert run_passes(source, "encode-weights{threads=1,force=csr}") == 0
    assert any(words in line for line in said(source, "missed"))


@pytest.mark.parametrize(
    ("body", "other"),
    [
        ("z = ReduceSum(w)\n c = Conv<pads=[1, 1, 1, 1]>(x, w)\n y = Mul(c, z)", "ReduceSum"),
        (
            "c = Conv<pads=[1, 1, 1, 1]>(x, w)\n"
            " d = ConvTranspose<pads=[1, 1, 1, 1]>(x, w)\n y = Add(c, d)",
            "ConvTranspose",
        ),
    ],
)
def test_what_else_reads_the_weight_of_a_convolution_keeps_it_dense(body: str, other: str) -> None:
    source = model(f"{CONV_HEAD} {{ {body} }}", w=WINDOWS["csr"])
    expected = evaluate(source, x=IMAGES)[0]
    assert run_passes(source, "encode-weights{threads=1}") == 1
    weights = {node.op_type: node.inputs[-1].const_value for node in source.graph if node.inputs}
    assert isinstance(weights["Conv"], EncodedTensor)
    assert not isinstance(source.graph.initializers["w"].const_value, EncodedTensor)
    assert f"w stays dense too, for {other}" in said(source, "note")[0]
    np.testing.assert_allclose(evaluate(source, x=IMAGES)[0], expected, rtol=1e-4, atol=1e-4)


def test_a_weight_of_two_numbers_of_groups_is_encoded_for_each() -> None:
    text = (
        "agraph (float[n,64,5,4] x, float[n,128,5,4] z) => (float[n,64,5,4] y) {"
        " c = Conv<pads=[1, 1, 1, 1]>(x, w)\n"
        " d = Conv<pads=[1, 1, 1, 1], group=2>(z, w)\n y = Add(c, d) }"
    )
    source = model(text, w=WINDOWS["csr"])
    inputs = {"x": IMAGES, "z": np.concatenate([IMAGES, IMAGES + 1], axis=1)}
    expected = evaluate(source, **inputs)[0]
    assert run_passes(source, "encode-weights{threads=1}") == 1
    shapes = [node.inputs[1].const_value.encoding.shape for node in list(source.graph)[:2]]
    assert shapes == [(64, 576), (64, 1152)]
    np.testing.assert_allclose(evaluate(source, **inputs)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "dtype"), [("float16", np.float16), ("double", np.float64)])
def test_a_convolution_of_another_type_is_left_alone(name: str, dtype: type) -> None:
    source = model(PADDED.replace("float[", f"{name}["), w=WINDOWS["csr"].astype(dtype))
    assert run_passes(source, "encode-weights{threads=1,force=csr}") == 0
    kind = name.upper()
    assert f"stays dense: weight w is {kind}, kernels take FLOAT" in said(source, "missed")[0]


def test_portable_leaves_convolutions_to_the_runtime_and_says_so() -> None:
    source = model(PADDED, w=WINDOWS["block-diagonal"])
    assert run_passes(source, "encode-weights{target=portable,threads=1}") == 0
    words = "stays dense: no standard operators are faster for a sparse convolution"
    assert words in said(source, "missed")[0]


def test_on_cuda_convolutions_stay_with_cudnn_and_it_is_said() -> None:
    source = model(PADDED, w=WINDOWS["csr"])
    assert run_passes(source, "encode-weights{target=ort-cuda,threads=1,force=csr}") == 0
    words = "stays dense: cuDNN's dense convolution is faster than any sparse one there is for CUDA"
    assert words in said(source, "missed")[0]


@pytest.mark.parametrize(("name", "dtype"), HALVES.items())
def test_half_types_are_taken_on_cuda_only(name: str, dtype: type) -> None:
    text = GEMM.replace("float[", f"{name}[")
    source = model(text, w=PATTERNS["csr"].astype(dtype))
    assert run_passes(source, "encode-weights{threads=1,force=csr}") == 0
    words = f"stays dense: weight w is {name.upper()}, kernels take FLOAT"
    assert words in said(source, "missed")[0]
    assert run_passes(source, "encode-weights{target=ort-cuda,threads=1,force=csr}") == 1
    tensor = weight_of(source)
    assert isinstance(tensor, EncodedTensor)
    assert tensor.precision == {"float16": "fp16", "bfloat16": "bf16"}[name]
    np.testing.assert_array_equal(tensor.numpy(), PATTERNS["csr"].astype(dtype))


@pytest.mark.parametrize(("name", "dtype"), HALVES.items())
def test_a_half_weight_that_is_not_finite_is_named(name: str, dtype: type) -> None:
    weight = PATTERNS["csr"].astype(dtype)
    weight[2, 7] = np.inf
    source = model(GEMM.replace("float[", f"{name}["), w=weight)
    with pytest.raises(
        UnsupportedModelError, match=r"weight w must be finite, got inf at \[2, 7\]"
    ):
        run_passes(source, "encode-weights{target=ort-cuda}")


def test_a_weight_of_no_kernels_type_is_left_alone_on_cuda() -> None:
    source = model(GEMM.replace("float[", "double["), w=PATTERNS["csr"].astype(np.float64))
    assert run_passes(source, "encode-weights{target=ort-cuda,force=csr}") == 0
    words = "weight w is DOUBLE, kernels take FLOAT, FLOAT16, BFLOAT16"
    assert words in said(source, "missed")[0]


def test_on_cuda_a_dynamic_batch_counts_up_to_4096() -> None:
    source = model(GEMM, w=blocky(RNG, (N, N), 64, 0.1))
    run_passes(source, "encode-weights{target=ort-cuda,threads=1}")
    (decision,) = decisions(source)
    assert decision.batches == (1, 16, 256, 4096)
    blocks = {name for name in decision.estimates_us if name.startswith("blocks ")}
    assert blocks == {f"blocks {size}x{size}" for size in (16, 32, 64)}
    assert decision.encoding == "dense"
    assert "is estimated at up to" in decision.reason


def test_convolutions_that_share_a_weight_are_each_decided() -> None:
    text = (
        f"{CONV_HEAD} {{ h = Conv<pads=[1, 1, 1, 1]>(x, w)\n"
        " y = Conv<pads=[2, 2, 2, 2], dilations=[2, 2]>(h, w) }"
    )
    source = model(text, w=WINDOWS["csr"])
    expected = evaluate(source, x=IMAGES)[0]
    assert run_passes(source, "encode-weights{threads=1}") == 1
    first, second = decisions(source)
    assert (first.encoding, second.encoding) == ("csr", "csr")
    assert first.weight == second.weight
    np.testing.assert_allclose(evaluate(source, x=IMAGES)[0], expected, rtol=1e-3, atol=1e-3)


def test_a_weight_of_a_convolution_that_is_not_finite_is_named() -> None:
    weight = WINDOWS["csr"].copy()
    weight[3, 5, 1, 2] = np.nan
    words = r"weight w must be finite, got nan at \[3, 5, 1, 2\]"
    with pytest.raises(UnsupportedModelError, match=words):
        run_passes(model(PADDED, w=weight), "encode-weights")


def test_a_convolution_of_zeros_only_is_taken() -> None:
    source = model(PADDED, w=np.zeros((64, 64, 3, 3), np.float32))
    run_passes(source, "encode-weights{threads=1}")
    assert decisions(source)[0].density == 0
    np.testing.assert_array_equal(evaluate(source, x=IMAGES)[0], np.zeros_like(IMAGES))
