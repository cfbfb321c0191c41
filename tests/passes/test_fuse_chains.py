"""Products that feed each other become one operator."""

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from support import blocky, evaluate, model, op_types, run_passes, said, unstructured

from nfcompile.ir.summary import summarize

RNG = np.random.default_rng(0)
N = 32
WEIGHTS = {f"w{i}": unstructured(RNG, (N, N), 0.3) for i in range(4)}
BLOCKS = {f"w{i}": blocky(RNG, (N, N), 8, 0.3) for i in range(4)}
BIAS = RNG.standard_normal(N).astype(np.float32)
X = RNG.standard_normal((5, N)).astype(np.float32)
LOWER = (
    "infer-shapes,encode-weights{{threads=1,force={force},precision={precision}}},legalize-ort-cpu,"
    "fuse-epilogue,remove-unused"
)


def lowered(
    body: str, inputs: str = "", force: str = "csr", precision: str = "fp32", outputs: str = ""
) -> ir.Model:
    weights = BLOCKS if force == "bsr" else WEIGHTS
    used = {name: value for name, value in weights.items() if name in body}
    head = f"agraph (float[b,{N}] x{inputs}) => (float[b,{N}] y{outputs})"
    constants = {"bias": BIAS} if "bias" in body and "bias" not in inputs else {}
    source = model(f"{head} {{ {body} }}", **used, **constants)
    run_passes(source, LOWER.format(force=force, precision=precision))
    return source


def check(source: ir.Model, types: list[str], **inputs: np.ndarray) -> ir.Model:
    """Fuses, and checks structure, numbers and that a second run finds nothing."""
    expected = evaluate(source, x=X, **inputs)
    macs = summarize(source).macs
    run_passes(source, "fuse-chains,remove-unused")
    assert op_types(source) == types
    for got, right in zip(evaluate(source, x=X, **inputs), expected, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-5)
    assert summarize(source).macs == macs
    assert run_passes(source, "fuse-chains") == 0
    return source


STRAIGHT = "a = MatMul(x, w0)\n b = Add(a, bias)\n c = Relu(b)\n d = MatMul(c, w1)\n y = Relu(d)"


@pytest.mark.parametrize("force", ["csr", "bsr"])
def test_layers_in_a_row_become_one_operator(force: str) -> None:
    source = check(lowered(STRAIGHT, force=force), ["SparseChain"])
    node = source.graph[0]
    assert node.attributes["activations"].as_string() == "relu,relu"
    assert node.attributes["has_bias"].as_ints() == (1, 0)
    assert node.attributes["sources"].as_ints() == (0, 1)
    assert "runs as one operator" in said(source, "applied")[-1]


def test_branches_and_a_skip_become_one_operator() -> None:
    body = (
        "a = MatMul(x, w0)\n b = MatMul(a, w1)\n c = Add(b, x)\n d = MatMul(x, w2)\n"
        " e = MatMul(d, w3)\n f = Add(e, c)\n y = Relu(f)"
    )
    source = check(lowered(body), ["SparseChain"])
    residuals = source.graph[0].attributes["residuals"].as_ints()
    assert sorted(residuals)[:2] == [-1, -1]
    assert sum(slot >= 0 for slot in residuals) == 2


def test_a_residual_from_elsewhere_is_another_input() -> None:
    body = "a = MatMul(x, w0)\n b = Relu(a)\n c = MatMul(b, w1)\n y = Add(c, r)"
    source = check(lowered(body, f", float[b,{N}] r"), ["SparseChain"], r=X + 1)
    assert source.graph[0].attributes["inputs"].as_int() == 2


def test_weights_in_bfloat16_stay_so() -> None:
    source = check(lowered(STRAIGHT, precision="bf16"), ["SparseChain"])
    values = next(v for name, v in source.graph.initializers.items() if name.endswith("values"))
    assert values.const_value is not None
    assert values.const_value.numpy().dtype == ml_dtypes.bfloat16


def test_a_layer_that_others_read_starts_a_chain_of_its_own() -> None:
    body = (
        "a = MatMul(x, w0)\n b = MatMul(a, w1)\n s = Softmax(b)\n t = MatMul(b, w2)\n"
        " u = MatMul(t, w3)\n y = Mul(s, u)"
    )
    check(lowered(body), ["SparseChain", "Softmax", "SparseChain", "Mul"])


def test_an_output_of_the_graph_is_not_hidden_in_a_chain() -> None:
    body = "z = MatMul(x, w0)\n y = MatMul(z, w1)"
    check(lowered(body, outputs=f", float[b,{N}] z"), ["CsrMatMul", "CsrMatMul"])


def test_says_why_a_layer_with_a_bias_of_run_time_stays_apart() -> None:
    body = "a = MatMul(x, w0)\n b = MatMul(a, w1)\n y = Add(b, bias)"
    source = lowered(body, f", float[{N}] bias")
    check(source, ["CsrMatMul", "CsrMatMul"], bias=BIAS)
    assert "stays apart: its bias bias is computed at run time" in said(source, "missed")[-1]


def test_a_single_layer_is_left_alone() -> None:
    check(lowered("y = MatMul(x, w0)"), ["CsrMatMul"])


def test_a_body_is_fused_within_itself() -> None:
    body = (
        "c = ReduceSum<keepdims=0>(x)\n k = Cast<to=9>(c)\n"
        f" y = If(k) <then_branch = g1 () => (float[b,{N}] p) {{ q = MatMul(x, w0)\n"
        f" p = MatMul(q, w1) }}, else_branch = g2 () => (float[b,{N}] s) {{ s = Identity(x) }}>"
    )
    source = lowered(body)
    before = evaluate(source, x=X)[0]
    run_passes(source, "fuse-chains")
    inner = source.graph[-1].attributes["then_branch"].as_graph()
    assert [node.op_type for node in inner] == ["SparseChain"]
    np.testing.assert_allclose(evaluate(source, x=X)[0], before, rtol=1e-4, atol=1e-5)


def test_the_longest_chain_can_be_limited() -> None:
    body = "a = MatMul(x, w0)\n b = MatMul(a, w1)\n c = MatMul(b, w2)\n y = MatMul(c, w3)"
    source = lowered(body)
    run_passes(source, "fuse-chains{max_layers=2}")
    assert op_types(source) == ["SparseChain", "SparseChain"]


def test_the_limit_holds_where_a_layer_reads_two_others() -> None:
    body = "a = MatMul(x, w0)\n b = MatMul(x, w1)\n c = MatMul(a, w2)\n y = Add(c, b)"
    source = lowered(body)
    run_passes(source, "fuse-chains{max_layers=2}")
    assert sorted(op_types(source)) == ["CsrMatMul", "SparseChain"]
