"""Products read activations as they are where Reshapes flatten and restore their rows."""

import numpy as np
import onnx_ir as ir
import pytest
from support import evaluate, model, op_types, run_passes, said, unstructured

RNG = np.random.default_rng(0)
N, OUT = 32, 24
X = RNG.standard_normal((2, 5, N)).astype(np.float32)
CONSTANTS = {
    "w": unstructured(RNG, (N, OUT), 0.3),
    "u": unstructured(RNG, (OUT, OUT), 0.3),
    "flat": np.array([-1, N]),
    "flat2": np.array([-1, OUT]),
    "full": np.array([2, 5, OUT]),
    "other": np.array([5, 2, OUT]),
    "wide": np.array([2, 5, 4, 6]),
    "few": np.array([-1, 2 * N]),
}
BODY = "r = Reshape(x, flat)\n p = MatMul(r, w)\n y = Reshape(p, full)"


def lowered(body: str, y: str = "2,5,24", outputs: str = "") -> ir.Model:
    used = {name: value for name, value in CONSTANTS.items() if f"{name})" in body}
    source = model(f"agraph (float[2,5,{N}] x) => (float[{y}] y{outputs}) {{ {body} }}", **used)
    encode = "encode-weights{threads=1,force=csr}"
    run_passes(source, f"infer-shapes,{encode},legalize-ort-cpu,remove-unused")
    return source


def check(source: ir.Model, types: list[str]) -> None:
    expected = evaluate(source, x=X)
    assert run_passes(source, "unflatten-products") == 1
    assert run_passes(source, "unflatten-products") == 0
    run_passes(source, "remove-unused")
    assert op_types(source) == types
    for got, right in zip(evaluate(source, x=X), expected, strict=True):
        assert got.shape == right.shape
        np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-6)


def test_the_reshapes_around_a_product_go() -> None:
    source = lowered(BODY)
    check(source, ["CsrMatMul"])
    assert [value.name for value in source.graph.outputs] == ["y"]
    assert "reads activations as they are" in said(source, "applied")[-1]


def test_products_with_an_activation_between_become_a_chain() -> None:
    body = (
        "r = Reshape(x, flat)\n p = MatMul(r, w)\n h = Reshape(p, full)\n a = Relu(h)\n"
        " s = Reshape(a, flat2)\n q = MatMul(s, u)\n y = Reshape(q, full)"
    )
    source = lowered(body)
    check(source, ["CsrMatMul", "Relu", "CsrMatMul"])
    run_passes(source, "fuse-epilogue,fuse-chains")
    assert op_types(source) == ["SparseChain"]


def test_all_that_restore_the_result_go() -> None:
    body = f"{BODY.replace('y =', 'h =')}\n k = Reshape(p, full)\n e = Exp(k)\n y = Add(h, e)"
    check(lowered(body), ["CsrMatMul", "Exp", "Add"])


def test_a_result_that_is_given_keeps_its_name() -> None:
    body = f"{BODY}\n k = Reshape(p, full)\n z = Exp(k)"
    source = lowered(body, outputs=f", float[2,5,{OUT}] z")
    check(source, ["CsrMatMul", "Exp"])
    assert [value.name for value in source.graph.outputs] == ["y", "z"]


@pytest.mark.parametrize(
    ("body", "y", "outputs"),
    [
        (BODY.replace("full", "other"), "5,2,24", ""),
        (BODY.replace("full", "wide"), "2,5,4,6", ""),
        (f"{BODY}\n z = Exp(p)", "2,5,24", f", float[10,{OUT}] z"),
        (BODY, "2,5,24", f", float[10,{OUT}] p"),
        (f"{BODY}\n z = Reshape(p, full)", "2,5,24", f", float[2,5,{OUT}] z"),
        (BODY.replace("r = Reshape(x, flat)", "r = Exp(x)"), "2,5,24", ""),
    ],
    ids=["other rows", "more axes", "read flat", "given flat", "given twice", "not flattened"],
)
def test_what_needs_its_reshapes_keeps_them(body: str, y: str, outputs: str) -> None:
    source = lowered(body, y, outputs)
    types = op_types(source)
    assert run_passes(source, "unflatten-products") == 0
    assert op_types(source) == types


def test_a_product_that_adds_something_flat_is_left_alone() -> None:
    body = f"{BODY.replace('y = Reshape(p, full)', 's = Add(p, f)')}\n y = Reshape(s, full)"
    body = f"e = Exp(x)\n g = Reshape(e, flat)\n f = Slice(g, start, stop, axis)\n {body}"
    source = model(
        f"agraph (float[2,5,{N}] x) => (float[2,5,{OUT}] y) {{ {body} }}",
        start=np.array([0]),
        stop=np.array([OUT]),
        axis=np.array([1]),
        **{name: CONSTANTS[name] for name in ("w", "flat", "full")},
    )
    encode = "encode-weights{threads=1,force=csr}"
    run_passes(source, f"infer-shapes,{encode},legalize-ort-cpu,fuse-epilogue,remove-unused")
    (product,) = (node for node in source.graph if node.op_type == "CsrMatMul")
    assert product.inputs[-1] is not None and product.inputs[-1].name == "f"
    expected = evaluate(source, x=X)[0]
    assert run_passes(source, "unflatten-products") == 0
    np.testing.assert_array_equal(evaluate(source, x=X)[0], expected)


def test_unknown_rows_are_left_alone() -> None:
    source = lowered(BODY)
    source.graph[-1].outputs[0].shape = ir.Shape([None, None, OUT])
    assert run_passes(source, "unflatten-products") == 0
