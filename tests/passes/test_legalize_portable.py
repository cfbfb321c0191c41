"""Block-diagonal layers in standard operators."""

import numpy as np
import pytest
from support import butterfly_factor, evaluate, model, op_types, run_passes, said, unstructured

from nfcompile.sparse.block_diagonal import strided_indices

RNG = np.random.default_rng(0)
N = 64
FORCED = (
    "infer-shapes,encode-weights{target=ort-cpu,threads=1,force=block-diagonal},legalize-portable"
)


def rectangular(stride: int) -> np.ndarray:
    """16 blocks of 3x4: rows and columns with strides of their own."""
    weight = np.zeros((48, 64), np.float32)
    for rows, cols in zip(strided_indices(16, 3, 1), strided_indices(16, 4, stride), strict=True):
        weight[np.ix_(rows, cols)] = RNG.standard_normal((3, 4))
    return weight


WEIGHTS = {
    "identity": butterfly_factor(RNG, N, 4, 1),
    "stride 4": butterfly_factor(RNG, N, 4, 4),
    "full transpose": butterfly_factor(RNG, N, 4, 16),
    "shuffled": butterfly_factor(RNG, N, 8, 8)[RNG.permutation(N)][:, RNG.permutation(N)],
    "rectangular": rectangular(16),
    "unused inputs": np.pad(butterfly_factor(RNG, N, 4, 1)[:48, :48], ((0, 0), (0, 16))),
    "empty rows": np.where(np.arange(N)[:, None] % 7 == 0, 0, butterfly_factor(RNG, N, 4, 4)),
}


ON_CUDA = {"Gather", "MatMul", "Reshape", "Shape", "Transpose"}
"""Those among the operators emitted here that are CUDA's in ONNX Runtime, whatever they read: one
that computes on shapes, such as Concat, would be the CPU's."""


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize(
    "shape", [(3, N), (2, 3, N), (1, N), (0, N), (2, 1, 3, N), (0, 3, N), (N,)]
)
@pytest.mark.parametrize("still", [0, 1, 2], ids="{} fixed".format)
def test_the_product_is_the_same_with_standard_operators(
    name: str, shape: tuple[int, ...], still: int
) -> None:
    weight = WEIGHTS[name].astype(np.float32)
    open_axes = max(len(shape) - 1 - still, 0)
    axes = "".join(f"{size if i >= open_axes else f'd{i}'}," for i, size in enumerate(shape[:-1]))
    source = model(
        f"agraph (float[{axes}{N}] x) => (float[{axes}{len(weight)}] y) {{ y = MatMul(x, w) }}",
        w=weight.T.copy(),
    )
    x = RNG.standard_normal(shape).astype(np.float32)
    assert run_passes(source, FORCED) >= 2
    operators = op_types(source)
    assert set(operators) <= ON_CUDA
    assert all(
        use.node.op_type == "Reshape"
        for node in source.graph
        if node.op_type == "Shape"
        for use in node.outputs[0].uses()
    )
    constants = source.graph.initializers.values()
    assert max(value.const_value.size for value in constants if value.uses()) < weight.size
    np.testing.assert_allclose(evaluate(source, x=x)[0], x @ weight.T, rtol=1e-4, atol=1e-5)
    assert run_passes(source, "legalize-portable") == 0


def test_alpha_beta_and_bias_of_gemm_are_kept() -> None:
    weight = WEIGHTS["stride 4"]
    source = model(
        "agraph (float[b,64] x) => (float[b,64] y)"
        " { y = Gemm<transB=1, alpha=0.5, beta=2.0>(x, w, c) }",
        w=weight,
        c=np.arange(N, dtype=np.float32),
    )
    x = RNG.standard_normal((3, N)).astype(np.float32)
    expected = evaluate(source, x=x)[0]
    run_passes(source, FORCED)
    assert "Gemm" not in op_types(source)
    np.testing.assert_allclose(evaluate(source, x=x)[0], expected, rtol=1e-4, atol=1e-4)


def test_activations_of_unknown_rank_leave_a_layer_dense_and_it_is_said() -> None:
    source = model(
        "agraph (float x, int64[r] s) => (float y) { h = Reshape(x, s)\n y = MatMul(h, w) }",
        w=WEIGHTS["stride 4"],
    )
    run_passes(source, FORCED)
    assert op_types(source) == ["Reshape", "MatMul"]
    assert "stays dense: the rank of h is not known" in said(source, "missed")[-1]


def test_an_encoding_without_standard_form_becomes_dense_and_says_so() -> None:
    weight = unstructured(RNG, (N, N), 0.1)
    source = model(
        "agraph (float[b,64] x) => (float[b,64] y) { y = Gemm<transB=1>(x, w) }", w=weight
    )
    assert run_passes(source, "encode-weights{threads=1,force=csr},legalize-portable") == 1
    assert op_types(source) == ["Gemm"]
    assert "stays dense: csr has no form in standard operators" in said(source, "missed")[0]
    np.testing.assert_array_equal(source.graph.initializers["w"].const_value.numpy(), weight)
