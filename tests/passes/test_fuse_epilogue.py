"""Bias, activation and residual join the product before them."""

import re

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from support import evaluate, model, op_types, run_passes, said, unstructured

RNG = np.random.default_rng(0)
N = 32
W = unstructured(RNG, (N, N), 0.2)
X = RNG.standard_normal((3, N)).astype(np.float32)
SCALARS = {
    name: np.float32(value)
    for name, value in {
        "half": 0.5, "one": 1, "root2": 2**0.5, "iroot2": 2**-0.5, "three": 3, "zero": 0,
        "tiny": 1e-6, "far": 40,
        "six": 6, "c0": 0.044715, "c1": (2 / np.pi) ** 0.5,
    }.items()
}  # fmt: skip
ERF = "d = Div(h, root2)\n e = Erf(d)\n a = Add(e, one)\n"
ACTIVATIONS = {
    "relu": "y = Relu(h)",
    "leaky_relu": "y = LeakyRelu<alpha=0.2>(h)",
    "elu": "y = Elu<alpha=0.7>(h)",
    "clip": "y = Clip(h, zero, six)",
    "clip below": "y = Clip(h, zero)",
    "clip above": "y = Clip(h, , six)",
    "clip by max": "y = Max(h, zero)",
    "clip by min": "y = Min(h, six)",
    "sigmoid": "y = Sigmoid(h)",
    "tanh": "y = Tanh(h)",
    "hard_swish": "y = HardSwish(h)",
    "hard_swish spelled out": "s = HardSigmoid<alpha=0.16666667, beta=0.5>(h)\n y = Mul(h, s)",
    "silu": "s = Sigmoid(h)\n y = Mul(h, s)",
    "silu turned": "s = Sigmoid(h)\n y = Mul(s, h)",
    "gelu half last": f"{ERF} m = Mul(h, a)\n y = Mul(m, half)",
    "gelu half first": f"g = Mul(h, half)\n {ERF} y = Mul(g, a)",
    "gelu half inside": f"{ERF} m = Mul(a, half)\n y = Mul(h, m)",
    "gelu product": "d = Mul(h, iroot2)\n e = Erf(d)\n a = Add(one, e)\n m = Mul(a, h)\n"
    " y = Mul(half, m)",
    "gelu_tanh": "p = Pow(h, three)\n q = Mul(p, c0)\n r = Add(h, q)\n s = Mul(r, c1)\n"
    " t = Tanh(s)\n a = Add(t, one)\n m = Mul(h, a)\n y = Mul(m, half)",
}
FUSE = (
    "infer-shapes,encode-weights{threads=1,force=csr},legalize-ort-cpu,fuse-epilogue,remove-unused"
)

ON_CUDA = FUSE.replace("threads", "target=ort-cuda,threads").replace("ort-cpu", "ort-cuda")


def fused(body: str, signature: str = "", **constants: np.ndarray) -> tuple[object, np.ndarray]:
    head = f"agraph (float[b,{N}] x{signature}) => (float[b,{N}] y)"
    used = {
        k: v
        for k, v in SCALARS.items()
        if k in body.replace(",", " ").replace(")", " ").split() or f"({k}" in body
    }
    source = model(f"{head} {{ h = MatMul(x, w)\n {body} }}", w=W, **used, **constants)
    return source, evaluate(source, x=X, **({"r": X + 1} if signature else {}))[0]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_recognized_however_it_is_spelled(name: str) -> None:
    source, expected = fused(ACTIVATIONS[name])
    run_passes(source, FUSE)
    assert op_types(source) == ["CsrMatMul"]
    assert source.graph[0].attributes["activation"].as_string() == name.split(maxsplit=1)[0]
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-4, atol=1e-5)
    assert f"fused {name.split(maxsplit=1)[0]}" in said(source, "applied")[-1]
    assert run_passes(source, "fuse-epilogue") == 0


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_an_activation_in_half_precision_is_recognized(name: str, half: str) -> None:
    dtype = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}[half]
    constants = {key: value.astype(dtype) for key, value in SCALARS.items()}
    source = model(
        f"agraph ({half}[b,{N}] x) => ({half}[b,{N}] y)"
        f" {{ h = MatMul(x, w)\n {ACTIVATIONS[name]} }}",
        w=W.astype(dtype),
        **constants,
    )
    run_passes(source, ON_CUDA)
    assert op_types(source) == ["CsrMatMul"]
    found = source.graph[0].attributes["activation"].as_string()
    told = name.split(maxsplit=1)[0]
    # With constants of 8 bits GELU and its tanh form are the same.
    assert found == told or (half == "bfloat16" and {found, told} == {"gelu", "gelu_tanh"})


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_what_is_only_like_an_activation_stays_in_half_precision(half: str) -> None:
    dtype = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}[half]
    source = model(
        f"agraph ({half}[b,{N}] x) => ({half}[b,{N}] y)"
        " { h = MatMul(x, w)\n d = Mul(h, steep)\n s = Sigmoid(d)\n y = Mul(h, s) }",
        w=W.astype(dtype),
        steep=np.array(1.702, dtype),  # GELU as OpenAI approximates it
    )
    run_passes(source, ON_CUDA)
    assert op_types(source) == ["CsrMatMul", "Mul", "Sigmoid", "Mul"]


def test_bias_and_residual_in_half_precision_are_fused() -> None:
    bias = RNG.standard_normal((1, N)).astype(np.float16)
    source = model(
        f"agraph (float16[b,{N}] x) => (float16[b,{N}] y)"
        " { h = MatMul(x, w)\n a = Add(h, bias)\n r = Relu(a)\n y = Add(r, x) }",
        w=W.astype(np.float16),
        bias=bias,
    )
    x = X.astype(np.float16)
    expected = evaluate(source, x=x)[0].astype(np.float32)
    run_passes(source, ON_CUDA)
    assert op_types(source) == ["CsrMatMul"]
    assert source.graph[0].inputs[4].dtype == ir.DataType.FLOAT16
    got = evaluate(source, x=x)[0]
    assert got.dtype == np.float16
    np.testing.assert_allclose(got.astype(np.float32), expected, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("body", ["y = Add(h, bias)", "y = Add(bias, h)", "y = Add(h, row)"])
def test_a_bias_is_fused(body: str) -> None:
    bias = RNG.standard_normal(N).astype(np.float32)
    source, expected = fused(body, bias=bias, row=bias[None])
    run_passes(source, FUSE)
    assert op_types(source) == ["CsrMatMul"]
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "after"),
    [
        ("y = Add(h, r)", 0),
        ("s = Add(r, h)\n y = Relu(s)", 0),
        ("s = Relu(h)\n y = Add(s, r)", 1),
        ("b = Add(h, bias)\n s = Relu(b)\n y = Add(r, s)", 1),
        ("b = Add(h, bias)\n q = Sqrt(r)\n s = Add(b, q)\n y = Relu(s)", 0),
    ],
)
def test_a_residual_is_fused_before_or_after_the_activation(body: str, after: int) -> None:
    bias = RNG.standard_normal(N).astype(np.float32)
    source, _ = fused(body, signature=f", float[b,{N}] r", bias=bias)
    r = np.abs(X) + 1
    expected = evaluate(source, x=X, r=r)[0]
    run_passes(source, FUSE)
    product = source.graph[-1]
    assert product.op_type == "CsrMatMul"
    assert set(op_types(source)) <= {"CsrMatMul", "Sqrt"}
    assert product.attributes["residual_mode"].as_int() == after
    np.testing.assert_allclose(evaluate(source, x=X, r=r)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("body", ["y = Mul(s, r)", "y = Mul(r, s)"])
@pytest.mark.parametrize("act", ["s = Relu(h)", "s = Add(h, bias)"])
def test_a_factor_of_the_same_shape_is_fused(act: str, body: str) -> None:
    bias = RNG.standard_normal(N).astype(np.float32)
    source, _ = fused(f"{act}\n {body}", signature=f", float[b,{N}] r", bias=bias)
    r = X + 1
    expected = evaluate(source, x=X, r=r)[0]
    run_passes(source, FUSE)
    assert op_types(source) == ["CsrMatMul"]
    assert source.graph[0].attributes["residual_mode"].as_int() == 2
    assert "multiplication by r" in said(source, "applied")[-1]
    np.testing.assert_allclose(evaluate(source, x=X, r=r)[0], expected, rtol=1e-4, atol=1e-5)
    assert run_passes(source, "fuse-epilogue") == 0


def products(body: str, left: list[str], signature: str = "", **inputs: np.ndarray) -> ir.Model:
    """A model whose products with w and v are fused once and for all: to these, and the same."""
    source = model(
        f"agraph (float[b,{N}] x{signature}) => (float[b,{N}] y) {{ {body} }}",
        w=W,
        v=W[::-1].copy(),
    )
    inputs = {"x": X, **inputs}
    expected = evaluate(source, **inputs)[0]
    run_passes(source, FUSE)
    assert op_types(source) == left
    assert run_passes(source, "fuse-epilogue") == 0
    np.testing.assert_allclose(evaluate(source, **inputs)[0], expected, rtol=1e-4, atol=1e-5)
    return source


def test_of_two_products_that_are_multiplied_the_one_with_an_activation_takes_the_other() -> None:
    body = (
        "u = MatMul(x, v)\n g = MatMul(x, w)\n s = Sigmoid(g)\n a = Mul(g, s)\n"
        " m = Mul(a, u)\n y = MatMul(m, w)"
    )
    source = products(body, ["CsrMatMul"] * 3)
    up, gate, _ = source.graph
    assert gate.attributes["activation"].as_string() == "silu"
    assert gate.inputs[5] is up.outputs[0]
    expected = evaluate(source, x=X)[0]
    run_passes(source, "fuse-chains")
    assert op_types(source) == ["SparseChain"]
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_product_that_multiplies_takes_no_second_residual() -> None:
    body = "g = MatMul(x, v)\n h = MatMul(x, w)\n m = Mul(g, h)\n y = Add(m, r)"
    products(body, ["CsrMatMul", "CsrMatMul", "Add"], f", float[b,{N}] r", r=X + 1)


def test_factors_that_become_products_are_fused_in_the_same_run() -> None:
    body = (
        "z = Abs(x)\n a = MatMul(x, w)\n b = MatMul(x, v)\n m = Mul(a, b)\n c = MatMul(z, w)\n"
        " s = Relu(c)\n y = Mul(s, m)"
    )
    products(body, ["Abs", *["CsrMatMul"] * 3])


def test_a_factor_counts_among_the_operations_that_are_fused() -> None:
    bias = RNG.standard_normal(N).astype(np.float32)
    body = "a = Add(h, bias)\n s = Relu(a)\n y = Mul(s, r)"
    for most, left in ((1, ["Relu", "Mul"]), (2, ["Mul"]), (3, [])):
        source, _ = fused(body, signature=f", float[b,{N}] r", bias=bias)
        run_passes(source, FUSE.replace("fuse-epilogue", f"fuse-epilogue{{max_length={most}}}"))
        assert op_types(source) == ["CsrMatMul", *left]


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ("s = Relu(h)\n y = Mul(s, r)\n z = Abs(s)", f", float[b,{N}] z"),  # read twice
        ("h2 = Relu(h)\n z = Identity(h2)\n y = Mul(h2, r)", f", float[b,{N}] z"),
    ],
)
def test_a_product_that_others_read_does_not_multiply(body: str, outputs: str) -> None:
    source = model(
        f"agraph (float[b,{N}] x, float[b,{N}] r) => (float[b,{N}] y{outputs})"
        f" {{ h = MatMul(x, w)\n {body} }}",
        w=W,
    )
    run_passes(source, FUSE)
    assert "Mul" in op_types(source)


def test_a_factor_that_is_made_later_moves_the_product_behind_it() -> None:
    body = "g = MatMul(x, w)\n s = Relu(g)\n t = Abs(x)\n u = MatMul(t, v)\n y = Mul(s, u)"
    products(body, ["Abs", "CsrMatMul", "CsrMatMul"])


@pytest.mark.parametrize(
    "body",
    [
        "y = Mul(h, row)",
        "y = Mul(h, c0)",
        "z = Mul(h, h)\n y = Abs(z)",
        "s = Sqrt(x)\n y = Mul(h, s)",
    ],
)
def test_other_multiplications_stay(body: str) -> None:
    row = RNG.standard_normal(N).astype(np.float32)
    source, expected = fused(body, row=row)
    run_passes(source, FUSE)
    assert "Mul" in op_types(source)
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-4, atol=1e-5)


def test_two_products_that_are_added_become_one_the_residual_of_the_other() -> None:
    products("g = MatMul(x, v)\n h = MatMul(x, w)\n y = Add(g, h)", ["CsrMatMul", "CsrMatMul"])


@pytest.mark.parametrize(
    ("body", "kept", "words"),
    [
        ("s = Relu(h)\n y = Add(s, h)", ["Relu", "Add"], "its output has other uses"),
        ("y = Add(h, col)", ["Add"], "is broadcast"),
        ("y = Mul(h, bias)", ["Mul"], ""),
        ("y = Selu(h)", ["Selu"], ""),
    ],
)
def test_what_cannot_be_fused_stays_with_a_reason(body: str, kept: list[str], words: str) -> None:
    constants = {
        "bias": RNG.standard_normal(N).astype(np.float32),
        "col": np.ones((3, 1), np.float32),
    }
    source, expected = fused(body, **{k: v for k, v in constants.items() if k in body})
    run_passes(source, FUSE)
    assert op_types(source) == ["CsrMatMul", *kept]
    missed = said(source, "missed")
    assert words in " ".join(missed)
    assert bool(missed) == bool(words)
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_product_that_is_a_graph_output_keeps_its_value() -> None:
    source = model(
        f"agraph (float[b,{N}] x) => (float[b,{N}] h, float[b,{N}] y)"
        " { h = MatMul(x, w)\n y = Relu(h) }",
        w=W,
    )
    expected = evaluate(source, x=X)
    run_passes(source, FUSE)
    assert op_types(source) == ["CsrMatMul", "Relu"]
    for got, want in zip(evaluate(source, x=X), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_the_length_is_limited_by_the_option() -> None:
    source, _ = fused("b = Add(h, bias)\n y = Relu(b)", bias=np.ones(N, np.float32))
    run_passes(source, FUSE.replace("fuse-epilogue", "fuse-epilogue{max_length=1}"))
    assert op_types(source) == ["CsrMatMul", "Relu"]


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("s = Min(h, far)\n y = Relu(s)", ["CsrMatMul", "Relu"]),
        ("s = Max(h, tiny)\n y = Sqrt(s)", ["CsrMatMul", "Sqrt"]),
        ("s = Add(h, tiny)\n y = Relu(s)", ["CsrMatMul", "Add", "Relu"]),
        ("s = Sub(h, far)\n t = Relu(s)\n y = Add(t, far)", ["CsrMatMul", "Sub", "Relu", "Add"]),
    ],
)
def test_what_is_nearly_an_activation_is_not_taken_for_it(body: str, kept: list[str]) -> None:
    source, _ = fused(body)
    expected = evaluate(source, x=100 * X)[0]
    run_passes(source, FUSE)
    assert op_types(source) == kept
    np.testing.assert_allclose(evaluate(source, x=100 * X)[0], expected, rtol=1e-4, atol=1e-4)


def test_a_constant_that_raises_the_rank_is_not_fused() -> None:
    source = model(
        f"agraph (float[b,{N}] x) => (float[1,b,{N}] y) {{ h = MatMul(x, w)\n y = Max(h, deep) }}",
        w=W,
        deep=np.zeros((1, 1, 1), np.float32),
    )
    expected = evaluate(source, x=X)[0]
    run_passes(source, FUSE)
    assert op_types(source) == ["CsrMatMul", "Max"]
    assert evaluate(source, x=X)[0].shape == expected.shape == (1, 3, N)


def test_an_activation_inside_a_branch_stays_there() -> None:
    source = model(
        f"agraph (float[b,{N}] x, bool c) => (float[b,{N}] y) {{ h = MatMul(x, w)\n y = If (c) <"
        f" then_branch = t () => (float[b,{N}] u) {{ u = Relu(h) }},"
        f" else_branch = e () => (float[b,{N}] v) {{ v = Identity(x) }}> }}",
        w=W,
    )
    expected = evaluate(source, x=X, c=np.array(True))[0]
    run_passes(source, FUSE)
    assert op_types(source) == ["CsrMatMul", "If"]
    got = evaluate(source, x=X, c=np.array(True))[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_a_second_residual_goes_to_the_product_that_gives_the_first() -> None:
    body = "g = MatMul(x, v)\n s = Add(h, g)\n t = Add(s, r)\n y = Relu(t)"
    source, expected = fused(body, f", float[b,{N}] r", v=W[::-1].copy())
    run_passes(source, FUSE)
    assert op_types(source) == ["CsrMatMul", "CsrMatMul"]
    np.testing.assert_allclose(evaluate(source, x=X, r=X + 1)[0], expected, rtol=1e-4, atol=1e-5)
    assert "second residual" in said(source, "applied")[-1]
    assert run_passes(source, "fuse-epilogue") == 0


def test_a_second_residual_that_is_computed_late_moves_both_products_behind_it() -> None:
    body = "g = MatMul(x, v)\n s = Add(h, g)\n l = Softmax(r)\n t = Add(l, s)\n y = Relu(t)"
    source, expected = fused(body, f", float[b,{N}] r", v=W[::-1].copy())
    run_passes(source, FUSE)
    assert op_types(source) == ["Softmax", "CsrMatMul", "CsrMatMul"]
    np.testing.assert_allclose(evaluate(source, x=X, r=X + 1)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_third_residual_is_left_alone() -> None:
    body = "g = MatMul(x, v)\n s = Add(h, g)\n t = Add(s, r)\n y = Add(t, x)"
    source, expected = fused(body, f", float[b,{N}] r", v=W[::-1].copy())
    run_passes(source, FUSE)
    assert op_types(source) == ["CsrMatMul", "CsrMatMul", "Add"]
    np.testing.assert_allclose(evaluate(source, x=X, r=X + 1)[0], expected, rtol=1e-4, atol=1e-5)
    assert any("it has a residual already" in text for text in said(source, "missed"))


CHANNELS, IMAGE = 12, (2, 12, 5, 4)
CONV_WEIGHT = unstructured(RNG, (CHANNELS, CHANNELS * 9), 0.2).reshape(CHANNELS, CHANNELS, 3, 3)
IMAGES = RNG.standard_normal(IMAGE).astype(np.float32)
SUMMAND = np.abs(IMAGES) + 1
CONSTANTS = {
    "channels": RNG.standard_normal((1, CHANNELS, 1, 1)).astype(np.float32),
    "three_axes": RNG.standard_normal((CHANNELS, 1, 1)).astype(np.float32),
    "one_axis": RNG.standard_normal(4).astype(np.float32),
    "scalar": np.float32(2),
    "single": np.full(1, 3, np.float32),
    "columns": RNG.standard_normal((1, 1, 1, 4)).astype(np.float32),
    "whole": RNG.standard_normal((1, *IMAGE[1:])).astype(np.float32),
}
ANY_IMAGE = "n,12,5,4"


def fused_images(
    body: str, signature: str = "", outputs: str = "", conv: str = "x, w", **constants: np.ndarray
) -> tuple[ir.Model, list[np.ndarray]]:
    """A convolution `h` of `x`, followed by `body`, with fused epilogue; and what it gives."""
    head = f"agraph (float[{ANY_IMAGE}] x{signature}) => (float[{ANY_IMAGE}] y{outputs})"
    used = {name: value for name, value in {**SCALARS, **CONSTANTS}.items() if reads(body, name)}
    source = model(
        f"{head} {{ h = Conv<pads=[1, 1, 1, 1]>({conv})\n {body} }}",
        w=CONV_WEIGHT, **used, **constants,
    )  # fmt: skip
    expected = evaluate(source, x=IMAGES, **({"r": SUMMAND} if signature else {}))
    run_passes(source, FUSE)
    got = evaluate(source, x=IMAGES, **({"r": SUMMAND} if signature else {}))
    for left, right in zip(got, expected, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-4)
    return source, expected


def reads(body: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", body) is not None


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_behind_a_convolution_is_recognized(name: str) -> None:
    source, _ = fused_images(ACTIVATIONS[name])
    assert op_types(source) == ["CsrConv"]
    assert source.graph[0].attributes["activation"].as_string() == name.split(maxsplit=1)[0]
    assert run_passes(source, "fuse-epilogue") == 0


def test_the_bounds_of_a_clip_behind_a_convolution_are_kept() -> None:
    source, expected = fused_images("y = Clip(h, zero, six)")
    attributes = source.graph[0].attributes
    assert attributes["activation_alpha"].as_float() == 0
    assert attributes["activation_beta"].as_float() == 6
    assert expected[0].min() == 0


@pytest.mark.parametrize(
    "body", ["y = Add(h, channels)", "y = Add(channels, h)", "y = Add(h, three_axes)"]
)
def test_a_summand_per_channel_is_the_bias_of_a_convolution(body: str) -> None:
    source, _ = fused_images(body)
    assert op_types(source) == ["CsrConv"]
    bias = source.graph[0].inputs[4]
    assert tuple(bias.const_value.shape) == (CHANNELS,)
    assert "fused bias" in said(source, "applied")[-1]


@pytest.mark.parametrize("name", ["one_axis", "scalar", "single", "columns", "whole"])
def test_a_summand_that_is_not_per_channel_is_no_bias(name: str) -> None:
    source, _ = fused_images(f"y = Add(h, {name})")
    assert op_types(source) == ["CsrConv", "Add"]
    assert "is broadcast" in said(source, "missed")[-1]


def test_a_row_that_is_as_long_as_there_are_channels_is_no_bias() -> None:
    source = model(
        "agraph (float[n,4,5,4] x) => (float[n,4,5,4] y) { h = Conv(x, w)\n y = Add(h, row) }",
        w=unstructured(RNG, (4, 4), 0.6).reshape(4, 4, 1, 1),
        row=RNG.standard_normal(4).astype(np.float32),
    )
    expected = evaluate(source, x=IMAGES[:, :4])[0]
    run_passes(source, FUSE)
    assert op_types(source) == ["CsrConv", "Add"]
    np.testing.assert_allclose(evaluate(source, x=IMAGES[:, :4])[0], expected, rtol=1e-4, atol=1e-4)


def test_a_summand_of_run_time_per_channel_is_no_bias() -> None:
    head = f"agraph (float[{ANY_IMAGE}] x, float[1,12,1,1] c) => (float[{ANY_IMAGE}] y)"
    source = model(f"{head} {{ h = Conv<pads=[1, 1, 1, 1]>(x, w)\n y = Add(h, c) }}", w=CONV_WEIGHT)
    inputs = {"x": IMAGES, "c": CONSTANTS["channels"]}
    expected = evaluate(source, **inputs)[0]
    run_passes(source, FUSE)
    assert op_types(source) == ["CsrConv", "Add"]
    np.testing.assert_allclose(evaluate(source, **inputs)[0], expected, rtol=1e-4, atol=1e-4)


def test_a_second_bias_of_a_convolution_stays() -> None:
    source, _ = fused_images(
        "y = Add(h, channels)", conv="x, w, b", b=np.ones(CHANNELS, np.float32)
    )
    assert op_types(source) == ["CsrConv", "Add"]


@pytest.mark.parametrize(
    ("body", "after", "activation"),
    [
        ("y = Add(h, r)", 0, "none"),
        ("s = Add(r, h)\n y = Relu(s)", 0, "relu"),
        ("b = Add(h, channels)\n s = Add(b, r)\n y = HardSwish(s)", 0, "hard_swish"),
        ("s = Relu(h)\n y = Add(s, r)", 1, "relu"),
        ("b = Add(h, channels)\n s = Clip(b, zero, six)\n y = Add(r, s)", 1, "clip"),
        ("q = Sqrt(r)\n s = Add(h, q)\n y = Relu(s)", 0, "relu"),
    ],
)
def test_a_residual_of_images_is_fused_before_or_after_the_activation(
    body: str, after: int, activation: str
) -> None:
    source, _ = fused_images(body, f", float[{ANY_IMAGE}] r")
    assert [name for name in op_types(source) if name != "Sqrt"] == ["CsrConv"]
    attributes = source.graph[-1].attributes
    assert attributes["residual_mode"].as_int() == after
    assert attributes.get_string("activation", "none") == activation


@pytest.mark.parametrize("shape", ["1,12,5,4", "n,12,1,1", "n,1,5,4", "n,12,5,1"])
def test_a_residual_of_another_shape_stays_with_a_reason(shape: str) -> None:
    head = f"agraph (float[{ANY_IMAGE}] x, float[{shape}] r) => (float[{ANY_IMAGE}] y)"
    source = model(f"{head} {{ h = Conv<pads=[1, 1, 1, 1]>(x, w)\n y = Add(h, r) }}", w=CONV_WEIGHT)
    sizes = zip(shape.split(","), IMAGE, strict=True)
    r = np.ones([size if text == "n" else int(text) for text, size in sizes], np.float32)
    expected = evaluate(source, x=IMAGES, r=r)[0]
    run_passes(source, FUSE)
    assert op_types(source) == ["CsrConv", "Add"]
    assert "r of shape" in said(source, "missed")[-1]
    np.testing.assert_allclose(evaluate(source, x=IMAGES, r=r)[0], expected, rtol=1e-4, atol=1e-4)


def test_a_residual_of_images_whose_size_is_not_known_stays() -> None:
    head = "agraph (float[n,12,h1,w1] x, float[n,12,h2,w2] r) => (float[n,12,h3,w3] y)"
    source = model(f"{head} {{ h = Conv<pads=[1, 1, 1, 1]>(x, w)\n y = Add(h, r) }}", w=CONV_WEIGHT)
    r = np.ones((2, 12, 1, 4), np.float32)
    expected = evaluate(source, x=IMAGES, r=r)[0]
    run_passes(source, FUSE)
    assert op_types(source) == ["CsrConv", "Add"]
    np.testing.assert_allclose(evaluate(source, x=IMAGES, r=r)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("s = Relu(h)\n y = Add(s, h)", ["Relu", "Add"]),
        ("s = Relu(h)\n t = Softmax<axis=1>(h)\n y = Mul(s, t)", ["Relu", "Softmax", "Mul"]),
        ("y = Selu(h)", ["Selu"]),
        ("y = Mul(h, channels)", ["Mul"]),
    ],
)
def test_what_cannot_be_fused_into_a_convolution_stays(body: str, kept: list[str]) -> None:
    source, _ = fused_images(body)
    assert op_types(source) == ["CsrConv", *kept]


def test_a_convolution_that_is_a_graph_output_keeps_its_value() -> None:
    source, _ = fused_images("y = Relu(h)", outputs=f", float[{ANY_IMAGE}] h")
    assert op_types(source) == ["CsrConv", "Relu"]


def test_two_convolutions_that_are_added_become_one_the_residual_of_the_other() -> None:
    body = "g = Conv(x, v)\n s = Add(h, g)\n y = Relu(s)"
    source, _ = fused_images(body, v=CONV_WEIGHT[:, :, :1, :1].copy())
    assert op_types(source) == ["CsrConv", "CsrConv"]


def test_a_second_residual_goes_to_the_convolution_that_gives_the_first() -> None:
    body = "g = Conv(x, v)\n s = Add(h, g)\n t = Add(s, r)\n y = Relu(t)"
    signature = f", float[{ANY_IMAGE}] r"
    source, _ = fused_images(body, signature, v=CONV_WEIGHT[:, :, :1, :1].copy())
    assert op_types(source) == ["CsrConv", "CsrConv"]
    assert "second residual" in said(source, "applied")[-1]
