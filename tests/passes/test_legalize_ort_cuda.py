"""Linear layers become operators for CUDA, in the type that they have; convolutions stay."""

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from support import blocky, butterfly_factor, evaluate, model, op_types, run_passes, unstructured

from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.remarks import decisions
from nfcompile.ir.schemas import DOMAIN
from nfcompile.passes import default_pipeline

RNG = np.random.default_rng(0)
N = 64
BIAS = RNG.standard_normal(N).astype(np.float32)
WEIGHTS = {
    "csr": unstructured(RNG, (N, N), 0.1),
    "bsr": blocky(RNG, (N, N), 16, 0.3),
    "block-diagonal": butterfly_factor(RNG, N, 4, 4)[::-1].copy(),
}
OPERATORS = {"csr": "CsrMatMul", "bsr": "BsrMatMul", "block-diagonal": "BlockDiagonalMatMul"}
TYPES = {"float": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
LIMITS = {"float": 1e-5, "float16": 3e-3, "bfloat16": 3e-2}


def legalize(kind: str, precision: str = "fp32") -> str:
    options = f"target=ort-cuda,threads=1,precision={precision},force={kind}"
    return f"infer-shapes,encode-weights{{{options}}},legalize-ort-cuda,remove-unused"


def gemm(name: str, weight: np.ndarray, attributes: str = "") -> ir.Model:
    dtype = TYPES[name]
    return model(
        f"agraph ({name}[b,{N}] x) => ({name}[b,{N}] y)"
        f" {{ y = Gemm<transB=1{attributes}>(x, w, bias) }}",
        w=weight.astype(dtype),
        bias=BIAS.astype(dtype),
    )


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("attributes", ["", ", alpha=0.5, beta=2.0"])
def test_a_layer_keeps_its_type(kind: str, name: str, attributes: str) -> None:
    source = gemm(name, WEIGHTS[kind], attributes)
    x = RNG.standard_normal((3, N)).astype(TYPES[name])
    alpha, beta = (0.5, 2.0) if attributes else (1.0, 1.0)
    wide, bias = WEIGHTS[kind].astype(TYPES[name]), BIAS.astype(TYPES[name])
    expected = alpha * x.astype(np.float64) @ wide.astype(np.float64).T + beta * bias
    run_passes(source, legalize(kind))
    assert op_types(source) == [OPERATORS[kind]]
    assert source.graph.opset_imports[DOMAIN] == 1
    values, *_, bias_input = source.graph[0].inputs[1:]
    assert values.const_value.dtype == bias_input.const_value.dtype == source.graph.inputs[0].dtype
    (y,) = evaluate(source, x=x)
    assert y.dtype == TYPES[name]
    error = np.abs(y.astype(np.float64) - expected).max() / np.abs(expected).max()
    assert error < LIMITS[name]
    assert run_passes(source, "legalize-ort-cuda") == 0


def test_half_values_are_those_of_the_model() -> None:
    source = gemm("float16", WEIGHTS["csr"])
    kept = WEIGHTS["csr"].astype(np.float16)
    run_passes(source, legalize("csr", "bf16"))
    values = source.graph[0].inputs[1].const_value
    assert values.dtype == ir.DataType.FLOAT16  # whatever the precision
    np.testing.assert_array_equal(values.numpy(), kept[kept != 0])
    (decision,) = decisions(source)
    assert decision.bytes_dense == 2 * N * N
    assert decision.bytes_encoded < 2 * N * N


def test_fp32_is_stored_narrow_where_asked() -> None:
    source = gemm("float", WEIGHTS["bsr"])
    run_passes(source, legalize("bsr", "bf16"))
    dtypes = [item.const_value.dtype for item in source.graph[0].inputs[1:] if item is not None]
    assert dtypes[0] == ir.DataType.BFLOAT16
    assert dtypes[-1] == ir.DataType.FLOAT


def test_a_computed_bias_with_a_factor_is_scaled_in_its_type() -> None:
    source = model(
        "agraph (float16[b,64] x, float16[64] c) => (float16[b,64] y)"
        " { y = Gemm<transB=1, beta=3.0>(x, w, c) }",
        w=WEIGHTS["csr"].astype(np.float16),
    )
    run_passes(source, legalize("csr"))
    assert op_types(source) == ["Mul", "CsrMatMul", "Add"]
    x, c = (RNG.standard_normal(shape).astype(np.float16) for shape in ((3, N), (N,)))
    (y,) = evaluate(source, x=x, c=c)
    assert y.dtype == np.float16


def test_a_convolution_is_left_alone() -> None:
    source = model(
        "agraph (float[n,16,7,6] x) => (float[n,16,7,6] y) { y = Conv(x, w) }",
        w=unstructured(RNG, (16, 16), 0.1).reshape(16, 16, 1, 1),
    )
    run_passes(source, "infer-shapes,encode-weights{threads=1,force=csr}")
    assert isinstance(source.graph.initializers["w"].const_value, EncodedTensor)
    assert run_passes(source, "legalize-ort-cuda") == 0
    assert op_types(source) == ["Conv"]


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_on_the_cpu_half_types_are_left_alone(name: str) -> None:
    source = gemm(name, WEIGHTS["csr"])
    run_passes(source, "infer-shapes,encode-weights{target=ort-cuda,threads=1,force=csr}")
    assert isinstance(source.graph.initializers["w"].const_value, EncodedTensor)
    assert run_passes(source, "legalize-ort-cpu") == 0
    assert op_types(source) == ["Gemm"]


def test_the_pipeline_fuses_epilogues_and_makes_no_chains() -> None:
    text = default_pipeline("ort-cuda", 1)
    assert "legalize-ort-cuda,unflatten-products,fuse-epilogue," in text
    assert "fuse-chains" not in text
    wide = blocky(RNG, (2048, 2048), 64, 0.05)
    source = model(
        "agraph (float16[b,2048] x) => (float16[b,2048] y)"
        " { a = MatMul(x, w)\n h = Relu(a)\n c = MatMul(h, w)\n y = Add(c, x) }",
        w=wide.astype(np.float16),
    )
    run_passes(source, text)
    assert op_types(source) == ["BsrMatMul", "BsrMatMul"]
    assert source.graph[0].attributes["activation"].as_string() == "relu"
