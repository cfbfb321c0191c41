"""Half precision between passes: fp32 in encodings, its own type in the model."""

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from support import blocky, butterfly_factor, evaluate, model, run_passes, unstructured

from nfcompile.ir.chain import stored_precision
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.half_floats import widen
from nfcompile.ir.layers import find_layers
from nfcompile.ir.widened import widened
from nfcompile.sparse import CsrTensor

RNG = np.random.default_rng(0)
N = 64
TYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
KINDS = {
    "csr": unstructured(RNG, (N, N), 0.1),
    "bsr": blocky(RNG, (N, N), 16, 0.3),
    "block-diagonal": butterfly_factor(RNG, N, 4, 4),
}


def compiled(name: str, kind: str, body: str) -> ir.Model:
    source = model(
        f"agraph ({name}[b,{N}] x) => ({name}[b,{N}] y) {{ {body} }}",
        w=KINDS[kind].T.astype(TYPES[name]).copy(),
        c=RNG.standard_normal(N).astype(TYPES[name]),
    )
    run_passes(
        source,
        f"infer-shapes,encode-weights{{target=ort-cuda,threads=1,force={kind}}},"
        "legalize-ort-cuda,fuse-epilogue,remove-unused",
    )
    return source


def test_only_half_types_are_widened() -> None:
    for dtype in TYPES.values():
        narrow = RNG.standard_normal(9).astype(dtype)
        wide = widen(narrow)
        assert wide.dtype == np.float32
        np.testing.assert_array_equal(wide.astype(dtype), narrow)
    for dtype in (np.float32, np.float64, np.int8):
        values = np.arange(3, dtype=dtype)
        assert widen(values) is values


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("transposed", [True, False])
def test_the_non_zeros_of_a_half_layer_are_exact_in_fp32(name: str, transposed: bool) -> None:
    weight = KINDS["csr"].astype(TYPES[name])
    operator = "MatMul(x, w)" if transposed else "Gemm<transB=1>(x, w)"
    source = model(
        f"agraph ({name}[b,{N}] x) => ({name}[b,{N}] y) {{ y = {operator} }}",
        w=weight.T.copy() if transposed else weight,
    )
    (layer,) = find_layers(source)
    csr = layer.csr()
    assert csr.dtype == np.float32
    np.testing.assert_array_equal(csr.numpy(), weight.astype(np.float32))
    encoded = layer.encoded(csr, "fp16")
    assert encoded.dtype == layer.dtype
    back = encoded.numpy()
    assert back.dtype == TYPES[name]
    np.testing.assert_array_equal(back.T if transposed else back, weight)
    layer.weight.const_value = encoded
    np.testing.assert_array_equal(layer.csr().numpy(), csr.numpy())


def test_half_non_zeros_from_elsewhere_are_widened_too() -> None:
    narrow = CsrTensor.from_dense(KINDS["csr"].astype(np.float16))
    source = model(
        f"agraph (float16[b,{N}] x) => (float16[b,{N}] y) {{ y = MatMul(x, w) }}",
        w=KINDS["csr"].T.astype(np.float16).copy(),
    )
    weight = source.graph.initializers["w"]
    weight.const_value = EncodedTensor(narrow, transposed=True, name="w")
    assert weight.const_value.dtype == ir.DataType.FLOAT16
    (layer,) = find_layers(source)
    assert layer.csr().dtype == np.float32
    np.testing.assert_array_equal(layer.csr().numpy(), narrow.numpy())


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_widened_copy_computes_the_same_in_fp32(name: str, kind: str) -> None:
    body = "h = MatMul(x, w)\n a = Add(h, c)\n r = Relu(a)\n g = MatMul(r, w)\n y = Add(g, x)"
    source = compiled(name, kind, body)
    assert len(source.graph) == 2  # bias, activation and residual are theirs
    assert stored_precision(source) == {"float16": "fp16", "bfloat16": "bf16"}[name]
    copy = widened(source)
    assert copy is not source
    assert stored_precision(copy) == "fp32"
    assert len(source.graph) == 2
    products = [node for node in copy.graph if node.domain]
    assert all(
        value is None or value.dtype not in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
        for node in products
        for value in node.inputs
    )
    assert products[0].inputs[1] is products[1].inputs[1]
    x = RNG.standard_normal((3, N)).astype(TYPES[name])
    got, expected = (evaluate(item, x=x)[0] for item in (copy, source))
    assert got.dtype == expected.dtype == TYPES[name]
    np.testing.assert_array_equal(got, expected)


def test_what_is_fp32_is_not_copied() -> None:
    source = model(
        f"agraph (float[b,{N}] x) => (float[b,{N}] y) {{ y = MatMul(x, w) }}", w=KINDS["csr"]
    )
    for precision in ("fp32", "bf16"):
        run_passes(
            source,
            f"infer-shapes,encode-weights{{target=ort-cuda,precision={precision},force=csr}},"
            "legalize-ort-cuda",
        )
        assert widened(source) is source
