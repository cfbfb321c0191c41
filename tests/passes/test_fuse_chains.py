"""Products that feed each other become one operator."""

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
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

from nfcompile.ir.region import Region
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


def outputs(node: ir.Node) -> list[int]:
    """Slots of a chain's results, in order."""
    return sorted(node.attributes["outputs"].as_ints())


def test_what_others_read_is_another_result() -> None:
    body = (
        "a = MatMul(x, w0)\n b = MatMul(a, w1)\n s = Softmax(b)\n t = MatMul(b, w2)\n"
        " u = MatMul(t, w3)\n y = Mul(s, u)"
    )
    source = check(lowered(body), ["SparseChain", "Softmax", "Mul"])
    assert outputs(source.graph[0]) == [2, 4]


def test_an_output_of_the_graph_is_another_result() -> None:
    body = "z = MatMul(x, w0)\n y = MatMul(z, w1)"
    source = check(lowered(body, outputs=f", float[b,{N}] z"), ["SparseChain"])
    assert {value.name for value in source.graph.outputs} == {"y", "z"}
    assert outputs(source.graph[0]) == [1, 2]


def test_layers_that_read_the_same_are_one_operator() -> None:
    body = (
        "s = Softmax(x)\n a = MatMul(s, w0)\n c = Exp(a)\n b = MatMul(s, w1)\n"
        " d = MatMul(s, w2)\n e = Max(b, d)\n y = Add(c, e)"
    )
    source = check(lowered(body), ["Softmax", "SparseChain", "Exp", "Max", "Add"])
    assert outputs(source.graph[1]) == [1, 2, 3]


def test_a_path_that_leaves_a_chain_does_not_come_back() -> None:
    body = (
        "a = MatMul(x, w0)\n s = Softmax(a)\n b = MatMul(s, w1)\n c = Add(b, a)\n"
        " d = MatMul(c, w2)\n y = Softmax(d)"
    )
    source = check(lowered(body), ["CsrMatMul", "Softmax", "SparseChain", "Softmax"])
    assert source.graph[2].attributes["inputs"].as_int() == 2


def test_a_path_through_a_body_does_not_come_back() -> None:
    body = (
        "a = MatMul(x, w0)\n c = ReduceSum<keepdims=0>(x)\n k = Cast<to=9>(c)\n"
        f" s = If(k) <then_branch = g1 () => (float[b,{N}] p) {{ p = Neg(a) }},"
        f" else_branch = g2 () => (float[b,{N}] q) {{ q = Exp(a) }}>\n"
        " d = MatMul(s, w1)\n e = Add(d, a)\n y = MatMul(e, w2)"
    )
    source = lowered(body)
    expected = evaluate(source, x=X)[0]
    run_passes(source, "fuse-chains")
    assert op_types(source) == ["CsrMatMul", "ReduceSum", "Cast", "If", "SparseChain"]
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_body_that_reads_a_chain_comes_after_it() -> None:
    body = (
        "a = MatMul(x, w0)\n c = ReduceSum<keepdims=0>(x)\n k = Cast<to=9>(c)\n"
        f" s = If(k) <then_branch = g1 () => (float[b,{N}] p) {{ p = Neg(a) }},"
        f" else_branch = g2 () => (float[b,{N}] q) {{ q = Exp(a) }}>\n"
        " d = MatMul(x, w1)\n y = Add(d, s)"
    )
    source = lowered(body.replace("y = Add(d, s)", "y = Sub(d, s)"))
    expected = evaluate(source, x=X)[0]
    run_passes(source, "fuse-chains")
    assert sorted(op_types(source))[-2:] == ["SparseChain", "Sub"]
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-4, atol=1e-5)


SCALE = RNG.standard_normal(N).astype(np.float32)
LAYER_NORM = "n = LayerNormalization<axis=-1, epsilon=0.02>(a, scale, bias)"
SPELLED = (
    "m = ReduceMean<keepdims=1>(a, axes)\n c = Sub(a, m)\n sq = Pow(c, two)\n"
    " v = ReduceMean<keepdims=1>(sq, axes)\n ve = Add(v, eps)\n sd = Sqrt(ve)\n"
    " q = Div(c, sd)\n g = Mul(q, scale)\n n = Add(g, bias)"
)
TWICE = SPELLED.replace("sq = Pow(c, two)", "c2 = Sub(a, m)\n sq = Mul(c2, c2)")
RMS = (
    "sq = Pow(a, two)\n v = ReduceMean<keepdims=1>(sq, axes)\n ve = Add(eps, v)\n"
    " sd = Sqrt(ve)\n r = Reciprocal(sd)\n q = Mul(a, r)\n n = Mul(scale, q)"
)
NORMS = {
    "operator": (LAYER_NORM, "layer-norm"),
    "without bias": (LAYER_NORM.replace(", bias", ""), "layer-norm"),
    "spelled": (SPELLED, "layer-norm"),
    "spelled with two differences": (TWICE, "layer-norm"),
    "spelled without bias": (
        SPELLED.split("\n n = ", maxsplit=1)[0].replace("g = ", "n = "),
        "layer-norm",
    ),
    "root mean square": (RMS, "rms-norm"),
    "root mean square by division": (
        RMS.replace("r = Reciprocal(sd)\n q = Mul(a, r)", "q = Div(a, sd)"),
        "rms-norm",
    ),
    "root mean square by one over": (
        RMS.replace("r = Reciprocal(sd)", "r = Div(one, sd)"),
        "rms-norm",
    ),
}


def normed(body: str, **options: str) -> ir.Model:
    """As `lowered`, with the constants of norms."""
    named = {
        "scale": SCALE,
        "axes": np.array([-1]),
        "two": np.float32(2),
        "one": np.float32(1),
        "eps": np.float32(0.02),
    }
    head = f"agraph (float[b,{N}] x) => (float[b,{N}] y{options.get('outputs', '')})"
    used = {
        name: value for name, value in {**WEIGHTS, **named, "bias": BIAS}.items() if name in body
    }
    source = model(f"{head} {{ {body} }}", **used)
    run_passes(source, LOWER.format(force="csr", precision=options.get("precision", "fp32")))
    return source


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_between_products_is_a_layer(name: str) -> None:
    text, kind = NORMS[name]
    body = f"a = MatMul(x, w0)\n {text}\n b = MatMul(n, w1)\n y = Add(b, n)"
    source = check(normed(body), ["SparseChain"])
    attributes = source.graph[0].attributes
    assert attributes["encodings"].as_string() == f"csr,{kind},csr"
    assert attributes["epsilons"].as_floats() == pytest.approx((0, 0.02, 0))
    assert attributes["sources"].as_ints() == (0, 1, 2)
    assert attributes["residuals"].as_ints() == (-1, -1, 2)


def test_a_norm_in_front_of_products_is_part_of_their_chain() -> None:
    norm = LAYER_NORM.replace("(a,", "(x,")
    body = f"{norm}\n b = MatMul(n, w0)\n c = MatMul(n, w1)\n y = Max(b, c)"
    source = check(normed(body), ["SparseChain", "Max"])
    assert source.graph[0].attributes["encodings"].as_string() == "layer-norm,csr,csr"


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("ReduceMean<keepdims=1>(a, axes)", "ReduceMean<keepdims=1>(a, zero)"),
        ("Pow(c, two)", "Pow(c, three)"),
        ("Sub(a, m)", "Sub(m, a)"),
        ("Div(c, sd)", "Div(a, sd)"),
        ("y = MatMul(n, w1)", "e = MatMul(n, w1)\n y = Add(e, q)"),
        ("Add(v, eps)", "Add(v, row)"),
        ("Mul(q, scale)", "Mul(q, single)"),
    ],
)
def test_what_is_no_layer_norm_is_not_taken_for_one(was: str, now: str) -> None:
    body = f"a = MatMul(x, w0)\n {SPELLED}\n y = MatMul(n, w1)"
    assert was in body
    more = {
        "zero": np.array([0]),
        "three": np.float32(4),
        "row": np.full(N, 0.02, np.float32),
        "single": np.ones(1, np.float32),
    }
    body = body.replace(was, now)
    source = model(
        f"agraph (float[b,{N}] x) => (float[b,{N}] y) {{ {body} }}",
        **{name: value for name, value in WEIGHTS.items() if name in body},
        **{name: value for name, value in more.items() if name in now},
        scale=SCALE, bias=BIAS, axes=np.array([-1]), two=np.float32(2), eps=np.float32(0.02),
    )  # fmt: skip
    run_passes(source, LOWER.format(force="csr", precision="fp32"))
    expected = evaluate(source, x=X)[0]
    run_passes(source, "fuse-chains,remove-unused")
    chains = [node for node in source.graph if node.op_type == "SparseChain"]
    assert not any("layer-norm" in node.attributes["encodings"].as_string() for node in chains)
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_norm_whose_epsilon_adds_axes_is_left_alone() -> None:
    source = model(
        f"agraph (float[b,{N}] x) => (float[1,1,b,{N}] y) {{ a = MatMul(x, w0)\n {SPELLED}\n"
        " y = MatMul(n, w1) }",
        **{name: WEIGHTS[name] for name in ("w0", "w1")},
        scale=SCALE, bias=BIAS, axes=np.array([-1]), two=np.float32(2),
        eps=np.full((1, 1, 1, 1), 0.02, np.float32),
    )  # fmt: skip
    run_passes(source, LOWER.format(force="csr", precision="fp32"))
    expected = evaluate(source, x=X)[0]
    run_passes(source, "fuse-chains,remove-unused")
    assert "Sqrt" in op_types(source)
    assert evaluate(source, x=X)[0].shape == expected.shape == (1, 1, len(X), N)


def test_a_norm_that_begins_around_a_body_is_left_alone() -> None:
    outer, inner = SPELLED.split("\n q = ")
    body = (
        f"a = MatMul(x, w0)\n {outer}\n c0 = ReduceSum<keepdims=0>(x)\n k = Cast<to=9>(c0)\n"
        f" y = If(k) <then_branch = g1 () => (float[b,{N}] p)"
        f" {{ q = {inner}\n p = MatMul(n, w1) }},"
        f" else_branch = g2 () => (float[b,{N}] s) {{ s = Identity(a) }}>"
    )
    source = normed(body)
    expected = evaluate(source, x=X)[0]
    run_passes(source, "fuse-chains")
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-4, atol=1e-5)


def test_what_nothing_reads_is_a_result_all_the_same() -> None:
    body = "a = MatMul(x, w0)\n y = Softmax(a)\n b = MatMul(a, w1)\n c = MatMul(b, w2)"
    source = lowered(body, outputs=f", float[b,{N}] c")
    source.graph.outputs.pop()
    run_passes(source, "fuse-chains")
    assert outputs(source.graph[0]) == [1, 3]
    evaluate(source, x=X)


def test_a_loop_takes_no_more_questions_than_pairs_of_layers() -> None:
    """Steps that read one context, joined by what cannot be part of a chain."""
    steps = 100
    lines = [
        f"a{i} = MatMul(x, w0)\n b{i} = Softmax(h{i})\n c{i} = MatMul(b{i}, w1)\n"
        f" h{i + 1} = Add(a{i}, c{i})"
        for i in range(steps)
    ]
    body = "h0 = Softmax(x)\n " + "\n ".join(lines) + f"\n y = Softmax(h{steps})"
    source = lowered(body)
    asked = []
    closed = Region.is_closed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Region, "is_closed", lambda self: asked.append(self) or closed(self))
        run_passes(source, "fuse-chains")
    assert len(asked) < 2 * steps**2
    assert 0 < op_types(source).count("SparseChain") <= steps


def test_a_norm_over_another_axis_is_left_alone() -> None:
    body = f"a = MatMul(x, w0)\n {LAYER_NORM.replace('axis=-1', 'axis=0')}\n y = MatMul(n, w1)"
    source = normed(body)
    run_passes(source, "fuse-chains")
    assert "LayerNormalization" in op_types(source)


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


C = 16
IMAGES = RNG.standard_normal((3, C, 6, 5)).astype(np.float32)
MASKS = {
    "csr": lambda shape: unstructured(RNG, shape, 0.3),
    "bsr": lambda shape: blocky(RNG, shape, 4, 0.4),
    "block-diagonal": lambda shape: np.kron(
        butterfly_factor(RNG, C, 4, 4), np.ones((1, shape[1] // C), np.float32)
    ),
}
CONV_WEIGHTS = {
    kind: {
        f"{name}{i}": make((C, C * size * size)).reshape(C, C, size, size)
        for name, size in (("k", 3), ("p", 1))
        for i in range(4)
    }
    for kind, make in MASKS.items()
}
SAME = "<pads=[1, 1, 1, 1]>"
OPEN_IMAGE = f"n,{C},6,5"


def lowered_images(
    body: str,
    inputs: str = "",
    outputs: str = "",
    kind: str = "csr",
    precision: str = "fp32",
    x: str = OPEN_IMAGE,
    y: str = OPEN_IMAGE,
    more: dict[str, np.ndarray] | None = None,
) -> ir.Model:
    """Convolutions by our operators: weights k0 ... are 3x3, p0 ... are 1x1, besides `more`."""
    used = {name: value for name, value in CONV_WEIGHTS[kind].items() if f" {name})" in body}
    used |= {name: value for name, value in CONV_WEIGHTS[kind].items() if f" {name}," in body}
    constants = {"bias": RNG.standard_normal(C).astype(np.float32)} if "bias" in body else {}
    head = f"agraph (float[{x}] x{inputs}) => (float[{y}] y{outputs})"
    source = model(f"{head} {{ {body} }}", **used, **constants, **(more or {}))
    run_passes(source, LOWER.format(force=kind, precision=precision))
    return source


def check_images(source: ir.Model, types: list[str], **inputs: np.ndarray) -> ir.Model:
    """As `check`, on images."""
    inputs = {"x": IMAGES, **inputs}
    expected = evaluate(source, **inputs)
    macs = summarize(source).macs
    run_passes(source, "fuse-chains,remove-unused")
    assert op_types(source) == types
    for got, right in zip(evaluate(source, **inputs), expected, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-4)
    assert summarize(source).macs == macs
    assert run_passes(source, "fuse-chains") == 0
    return source


BOTTLENECK = (
    "a = Conv(x, p0, bias)\n b = Relu(a)\n"
    f" c = Conv{SAME}(b, k0)\n d = Relu(c)\n e = Conv(d, p1)\n f = Add(e, x)\n y = Relu(f)"
)


@pytest.mark.parametrize("kind", MASKS)
def test_a_bottleneck_with_its_shortcut_becomes_one_operator(kind: str) -> None:
    source = check_images(lowered_images(BOTTLENECK, kind=kind), ["SparseConvChain"])
    (node,) = source.graph
    assert node.attributes["inputs"].as_int() == 1
    assert node.attributes["encodings"].as_string() == ",".join([kind] * 3)
    assert node.attributes["activations"].as_string() == "relu,relu,relu"
    assert tuple(node.attributes["has_bias"].as_ints()) == (1, 0, 0)
    assert tuple(node.attributes["sources"].as_ints()) == (0, 1, 2)
    assert tuple(node.attributes["residuals"].as_ints()) == (-1, -1, 0)
    assert tuple(node.attributes["kernel_shapes"].as_ints()) == (1, 1, 3, 3, 1, 1)
    assert tuple(node.attributes["pads"].as_ints()) == (0,) * 4 + (1,) * 4 + (0,) * 4
    assert "runs as one operator" in said(source, "applied")[-1]


def test_a_projected_shortcut_is_a_branch_of_the_chain() -> None:
    body = (
        f"a = Conv{SAME}(x, k0)\n b = Relu(a)\n c = Conv{SAME}(b, k1)\n"
        " s = Conv(x, p0)\n f = Add(c, s)\n y = Relu(f)"
    )
    source = check_images(lowered_images(body), ["SparseConvChain"])
    assert sorted(source.graph[0].attributes["residuals"].as_ints())[:2] == [-1, -1]


def test_a_residual_after_the_activation_stays_after_it() -> None:
    body = f"a = Conv{SAME}(x, k0)\n b = Conv{SAME}(a, k1)\n c = Relu(b)\n y = Add(c, x)"
    source = check_images(lowered_images(body), ["SparseConvChain"])
    assert tuple(source.graph[0].attributes["residual_modes"].as_ints()) == (0, 1)


def test_images_from_elsewhere_are_another_input_of_the_chain() -> None:
    body = f"a = Conv{SAME}(x, k0)\n b = Conv(a, p0)\n y = Add(b, r)"
    source = lowered_images(body, f", float[{OPEN_IMAGE}] r")
    check_images(source, ["SparseConvChain"], r=IMAGES + 1)
    assert source.graph[0].attributes["inputs"].as_int() == 2


def test_windows_of_a_chain_keep_strides_and_dilations_of_their_own() -> None:
    body = (
        "a = Conv<strides=[2, 1], pads=[1, 0, 1, 2]>(x, k0)\n"
        " y = Conv<dilations=[1, 2], pads=[1, 2, 1, 2]>(a, k1)"
    )
    source = check_images(lowered_images(body, y=f"n,{C},3,5"), ["SparseConvChain"])
    attributes = source.graph[0].attributes
    assert tuple(attributes["strides"].as_ints()) == (2, 1, 1, 1)
    assert tuple(attributes["dilations"].as_ints()) == (1, 1, 1, 2)
    assert tuple(attributes["pads"].as_ints()) == (1, 0, 1, 2, 1, 2, 1, 2)


def test_a_chain_begins_where_the_images_were_larger() -> None:
    body = (
        f"a = Conv{SAME}(x, k0)\n b = Conv(a, p0)\n"
        f" c = Conv<strides=[2, 2], pads=[1, 1, 1, 1]>(b, k1)\n y = Conv{SAME}(c, k2)"
    )
    source = lowered_images(body, y=f"n,{C},3,3")
    check_images(source, ["SparseConvChain", "SparseConvChain"])
    first, second = source.graph
    assert tuple(first.attributes["strides"].as_ints()) == (1, 1, 1, 1)
    assert tuple(second.attributes["strides"].as_ints()) == (2, 2, 1, 1)


def test_larger_images_of_fewer_channels_are_part_of_a_chain() -> None:
    masked = np.zeros((4, C, 1, 1), np.float32)
    masked[[0, 1, 2, 3], [2, 3, 5, 7]] = 1.5
    wide = unstructured(RNG, (C, 4 * 9), 0.3).reshape(C, 4, 3, 3)
    body = (
        "a = Conv(x, few)\n b = Conv<strides=[2, 2], pads=[1, 1, 1, 1]>(a, wide)\n"
        f" y = Conv{SAME}(b, k2)"
    )
    source = lowered_images(body, y=f"n,{C},3,3", more={"few": masked, "wide": wide})
    check_images(source, ["SparseConvChain"])
    assert tuple(source.graph[0].attributes["strides"].as_ints()) == (1, 1, 2, 2, 1, 1)


def test_a_single_convolution_between_two_sizes_is_left_alone() -> None:
    body = "a = Conv(x, k0)\n y = Conv(a, k1)"
    check_images(lowered_images(body, y=f"n,{C},2,1"), ["CsrConv", "CsrConv"])


@pytest.mark.parametrize("rank_is_known", [True, False])
def test_convolutions_of_unknown_size_stay_apart(rank_is_known: bool) -> None:
    body = f"a = Conv{SAME}(x, k0)\n b = Conv{SAME}(a, k1)\n y = Conv{SAME}(b, k2)"
    source = lowered_images(body, x=f"n,{C},h,w", y=f"n,{C},h2,w2")
    for node in list(source.graph)[:2]:
        node.outputs[0].shape = ir.Shape(["n", C, None, None]) if rank_is_known else None
    check_images(source, ["CsrConv", "CsrConv", "CsrConv"])


def test_convolutions_of_a_size_that_has_a_name_run_as_one() -> None:
    size = f"n,{C},h,w"
    source = lowered_images(f"a = Conv{SAME}(x, k0)\n y = Conv{SAME}(a, k1)", x=size, y=size)
    source.graph[0].outputs[0].shape = ir.Shape(["n", C, "h", "w"])
    check_images(source, ["SparseConvChain"])


def test_the_longest_chain_of_convolutions_can_be_limited() -> None:
    body = f"a = Conv{SAME}(x, k0)\n b = Conv(a, p0)\n c = Conv(b, p1)\n y = Conv{SAME}(c, k1)"
    source = lowered_images(body)
    expected = evaluate(source, x=IMAGES)[0]
    run_passes(source, "fuse-chains{max_layers=2}")
    assert op_types(source) == ["SparseConvChain", "SparseConvChain"]
    np.testing.assert_allclose(evaluate(source, x=IMAGES)[0], expected, rtol=1e-4, atol=1e-4)


def test_weights_of_convolutions_in_bfloat16_stay_so() -> None:
    source = check_images(lowered_images(BOTTLENECK, precision="bf16"), ["SparseConvChain"])
    values = [v for name, v in source.graph.initializers.items() if name.endswith("values")]
    assert {value.dtype for value in values} == {ir.DataType.BFLOAT16}


def test_convolutions_of_different_precision_are_not_mixed() -> None:
    body = f"a = Conv{SAME}(x, k0)\n b = Conv(a, p0)\n c = Conv{SAME}(b, k1)\n y = Conv(c, p1)"
    source = lowered_images(body)
    for node in list(source.graph)[2:]:
        values = node.inputs[1]
        assert values is not None and values.const_value is not None
        array = values.const_value.numpy().astype(ml_dtypes.bfloat16)
        values.const_value = ir.Tensor(array, name=values.name)
        values.type = ir.TensorType(ir.DataType.BFLOAT16)
    check_images(source, ["SparseConvChain", "SparseConvChain"])


def test_convolutions_and_products_are_not_mixed() -> None:
    body = "a = Conv(x, p0)\n y = MatMul(a, q)"
    source = model(
        f"agraph (float[n,{C},6,5] x) => (float[n,{C},6,5] y) {{ {body} }}",
        p0=CONV_WEIGHTS["csr"]["p0"],
        q=unstructured(RNG, (5, 5), 0.5),
    )
    run_passes(source, LOWER.format(force="csr", precision="fp32"))
    check_images(source, ["CsrConv", "CsrMatMul"])


def test_a_convolution_that_others_read_starts_a_chain_of_its_own() -> None:
    body = (
        f"a = Conv{SAME}(x, k0)\n b = Conv(a, p0)\n s = Softmax<axis=1>(b)\n"
        f" t = Conv{SAME}(b, k1)\n u = Conv(t, p1)\n y = Mul(s, u)"
    )
    check_images(lowered_images(body), ["SparseConvChain", "Softmax", "SparseConvChain", "Mul"])


def test_a_convolution_that_the_graph_gives_is_not_hidden_in_a_chain() -> None:
    body = f"z = Conv{SAME}(x, k0)\n y = Conv{SAME}(z, k1)"
    source = lowered_images(body, outputs=f", float[{OPEN_IMAGE}] z")
    check_images(source, ["CsrConv", "CsrConv"])


def test_a_convolution_with_a_bias_of_run_time_stays_apart() -> None:
    body = f"a = Conv{SAME}(x, k0)\n y = Conv(a, p0, c)"
    source = lowered_images(body, f", float[{C}] c")
    check_images(source, ["CsrConv", "CsrConv"], c=np.ones(C, np.float32))
    assert "stays apart: its bias c is computed at run time" in said(source, "missed")[-1]


def test_multiply_adds_of_a_chain_are_those_of_its_convolutions() -> None:
    source = lowered_images(BOTTLENECK)
    stored = sum(np.count_nonzero(CONV_WEIGHTS["csr"][name]) for name in ("p0", "k0", "p1"))
    run_passes(source, "fuse-chains")
    assert summarize(source).macs == 30 * stored
