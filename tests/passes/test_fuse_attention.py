"""Attention next to our products becomes one operator, however it is spelled."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from support import evaluate, model, op_types, run_passes, said, unstructured

from nfcompile.ir.heads import agree

RNG = np.random.default_rng(0)
N, HEADS, SIZE = 32, 4, 8
BATCH, TOKENS, KEYS = 2, 5, 7
C, D = 0.7, 2.5


def numbers(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def weight(rows: int, columns: int) -> np.ndarray:
    return unstructured(RNG, (rows, columns), 0.3)


X = numbers(BATCH, TOKENS, N)
CONSTANTS = {
    **{f"w{name}": weight(N, N) for name in "qkvy"},
    "split": np.array([0, 0, HEADS, SIZE]),
    "join": np.array([0, 0, N]),
    "c": np.float32(C),
    "c1": np.array([C], np.float32),
    "d": np.float32(D),
    "zero": np.float32(0),
    "row": numbers(1, 1, 1, TOKENS),
}
HEADS_FIRST = "Transpose<perm=[0, 2, 1, 3]>"
TURNED = "Transpose<perm=[0, 1, 3, 2]>"
SOFTMAX = "Softmax<axis=-1>"
ATTENTION = {
    "q": "MatMul(x, wq)",
    "k": "MatMul(x, wk)",
    "v": "MatMul(x, wv)",
    "q4": "Reshape(q, split)",
    "qh": f"{HEADS_FIRST}(q4)",
    "k4": "Reshape(k, split)",
    "kt": "Transpose<perm=[0, 2, 3, 1]>(k4)",
    "v4": "Reshape(v, split)",
    "vh": f"{HEADS_FIRST}(v4)",
    "qk": "MatMul(qh, kt)",
    "s": "Mul(qk, c)",
    "p": f"{SOFTMAX}(s)",
    "o4": "MatMul(p, vh)",
    "o": f"{HEADS_FIRST}(o4)",
    "j": "Reshape(o, join)",
    "y": "MatMul(j, wy)",
}
FUSED = ["CsrMatMul", "CsrMatMul", "CsrMatMul", "MultiHeadAttention", "CsrMatMul"]


def spelled(**changes: str) -> str:
    """The attention with some values computed otherwise: `a = A(x); B(a)`."""
    lines = []
    for name, text in {**ATTENTION, **changes}.items():
        *first, last = text.split("; ")
        lines += [*first, f"{name} = {last}"]
    return "\n".join(lines)


def lowered(
    body: str,
    *,
    x: str = "b,s,32",
    y: str = "b,s,32",
    inputs: str = "",
    outputs: str = "",
    opset: int = 18,
    precision: str = "fp32",
    **constants: np.ndarray,
) -> ir.Model:
    """The model with its products as our operators."""
    head = f"agraph (float[{x}] x{inputs}) => (float[{y}] y{outputs})"
    source = model(f"{head} {{ {body} }}", opset=opset, **{**CONSTANTS, **constants})
    lower(source, precision=precision)
    return source


def lower(source: ir.Model, target: str = "ort-cpu", precision: str = "fp32") -> None:
    encode = f"encode-weights{{threads=1,force=csr,target={target},precision={precision}}}"
    run_passes(source, f"infer-shapes,{encode},legalize-{target},fuse-epilogue,remove-unused")


def fused(source: ir.Model, **inputs: np.ndarray) -> ir.Node:
    """Fuses, checks numbers and that a second run finds nothing, and gives the operator."""
    inputs = {"x": X, **inputs}
    expected = evaluate(source, **inputs)
    assert run_passes(source, "fuse-attention") == 1
    assert run_passes(source, "fuse-attention") == 0
    run_passes(source, "remove-unused")
    assert_same(source, expected, **inputs)
    assert "attention runs as one operator [fuse-attention]" in said(source, "applied")[-1]
    assert not missed(source)
    (found,) = (node for node in source.graph if node.op_type == "MultiHeadAttention")
    return found


def assert_same(source: ir.Model, expected: list[np.ndarray], **inputs: np.ndarray) -> None:
    for got, right in zip(evaluate(source, **inputs), expected, strict=True):
        assert got.shape == right.shape
        np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-5)


def assert_left_alone(source: ir.Model, reason: str = "", **inputs: np.ndarray) -> None:
    """It is valid, and the pass changes nothing: for this reason, or silently."""
    with np.errstate(all="ignore"):
        evaluate(source, **{"x": X, **inputs})
    types = op_types(source)
    assert run_passes(source, "fuse-attention") == 0
    assert op_types(source) == types
    uses = [use for node in source.graph for value in node.outputs for use in value.uses()]
    assert {use.node for use in uses} <= set(source.graph)
    reasons = [f"(unnamed): attention is not fused: {reason} [fuse-attention]"] if reason else []
    assert missed(source) == reasons


def missed(source: ir.Model) -> list[str]:
    return [text for text in said(source, "missed") if "[fuse-attention]" in text]


UNSCALED = {"p": f"{SOFTMAX}(qk)"}
KEYS_TWICE = {"kt": f"kh = {HEADS_FIRST}(k4); {TURNED}(kh)"}
SCALES: dict[str, tuple[dict[str, str], float]] = {
    "scores times a constant": ({}, C),
    "a constant times scores": ({"s": "Mul(c, qk)"}, C),
    "scores times one element": ({"s": "Mul(qk, c1)"}, C),
    "scores divided": ({"s": "Div(qk, d)"}, 1 / D),
    "scores twice": ({"s": "a = Div(qk, d); Mul(c, a)"}, C / D),
    "queries before the split": ({**UNSCALED, "q4": "a = Mul(q, c); Reshape(a, split)"}, C),
    "queries after the split": ({**UNSCALED, "qh": f"a = Div(q4, d); {HEADS_FIRST}(a)"}, 1 / D),
    "queries by head": ({**UNSCALED, "qk": "a = Mul(c, qh); MatMul(a, kt)"}, C),
    "keys before the split": ({**UNSCALED, "k4": "a = Div(k, d); Reshape(a, split)"}, 1 / D),
    "keys after the split": (
        {**UNSCALED, "kt": "a = Mul(k4, c); Transpose<perm=[0, 2, 3, 1]>(a)"},
        C,
    ),
    "keys by head": ({**UNSCALED, "qk": "a = Mul(kt, c); MatMul(qh, a)"}, C),
    "keys between two transposes": (
        {**UNSCALED, "kt": f"kh = {HEADS_FIRST}(k4); a = Mul(kh, c); {TURNED}(a)"},
        C,
    ),
    "keys behind two transposes": (
        {**UNSCALED, **KEYS_TWICE, "qk": "a = Div(kt, d); MatMul(qh, a)"},
        1 / D,
    ),
    "scores, queries and keys": ({"qk": "a = Mul(qh, c); b = Div(kt, d); MatMul(a, b)"}, C * C / D),
    "nothing": (UNSCALED, 1),
}


@pytest.mark.parametrize("name", SCALES)
def test_the_scale_is_found_wherever_it_is(name: str) -> None:
    changes, scale = SCALES[name]
    source = lowered(spelled(**changes))
    found = fused(source)
    assert op_types(source) == FUSED
    assert found.attributes["heads"].as_int() == HEADS
    assert found.attributes["scale"].as_float() == pytest.approx(scale)


SPELLINGS = {
    "keys transposed twice": KEYS_TWICE,
    "axis from the front": {"p": "Softmax<axis=3>(s)"},
    "cast of queries": {"q4": "a = Cast<to=1>(q); Reshape(a, split)"},
    "cast of keys": {"qk": "a = Cast<to=1>(kt); MatMul(qh, a)"},
    "cast of values": {"o4": "a = Cast<to=1>(vh); MatMul(p, a)"},
    "cast before the scale": {"s": "a = Cast<to=1>(qk); Mul(a, c)"},
    "cast before the softmax": {"p": f"a = Cast<to=1>(s); {SOFTMAX}(a)"},
    "cast behind the bias": {"p": f"a = Add(s, row); b = Cast<to=1>(a); {SOFTMAX}(b)"},
    "casts of probabilities": {"o4": "a = Cast<to=1>(p); b = Cast<to=1>(a); MatMul(b, vh)"},
    "cast before the transpose": {"o": f"a = Cast<to=1>(o4); {HEADS_FIRST}(a)"},
    "cast behind the transpose": {"j": "a = Cast<to=1>(o); Reshape(a, join)"},
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_spelling_does_not_matter(name: str) -> None:
    source = lowered(spelled(**SPELLINGS[name]))
    fused(source)
    assert op_types(source) == FUSED


@pytest.mark.parametrize("add", ["Add(s, m)", "Add(m, s)"])
@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ("b,1,s,s", (BATCH, 1, TOKENS, TOKENS)),
        ("1,4,s,s", (1, HEADS, TOKENS, TOKENS)),
        ("b,1,1,s", (BATCH, 1, 1, TOKENS)),
        ("b,4,s,s", (BATCH, HEADS, TOKENS, TOKENS)),
    ],
)
def test_what_is_added_to_the_scores_is_the_bias(
    add: str, shape: str, sizes: tuple[int, ...]
) -> None:
    source = lowered(spelled(p=f"a = {add}; {SOFTMAX}(a)"), inputs=f", float[{shape}] m")
    found = fused(source, m=numbers(*sizes))
    assert op_types(source) == FUSED
    assert found.inputs[3].name == "m"
    assert found.attributes["scale"].as_float() == pytest.approx(C)


def test_a_bias_may_be_a_product_too() -> None:
    body = spelled(p=f"m = MatMul(qh, r); a = Add(s, m); {SOFTMAX}(a)")
    assert fused(lowered(body, r=numbers(1, 1, SIZE, TOKENS))).inputs[3].name == "m"


@pytest.mark.parametrize("join", [(0, 0, 2 * N), (0, 0, -1)])
def test_values_may_have_another_size_than_queries(join: tuple[int, ...]) -> None:
    source = lowered(
        spelled(v4="Reshape(v, split_v)"),
        wv=weight(N, 2 * N),
        wy=weight(2 * N, N),
        split_v=np.array([0, 0, HEADS, 2 * SIZE]),
        join=np.array(join),
    )
    found = fused(source)
    assert found.attributes["heads"].as_int() == HEADS
    assert found.outputs[0].shape[2] == 2 * N


def test_keys_and_values_may_come_from_other_tokens() -> None:
    body = spelled(k="MatMul(z, wk)", v="MatMul(z, wv)")
    found = fused(lowered(body, inputs=", float[b,t,32] z"), z=numbers(BATCH, KEYS, N))
    assert [str(value.shape[1]) for value in found.inputs] == ["s", "t", "t"]


OTHERS = {"q": "Tanh(x)", "k": "Sin(x)", "v": "Cos(x)", "y": "Tanh(j)"}


@pytest.mark.parametrize("ours", OTHERS)
def test_one_product_of_ours_is_enough(ours: str) -> None:
    source = lowered(spelled(**{name: text for name, text in OTHERS.items() if name != ours}))
    fused(source)
    assert op_types(source).count("CsrMatMul") == 1


def test_attention_without_a_product_of_ours_is_left_alone() -> None:
    assert_left_alone(lowered(spelled(**OTHERS)))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_computes_in_the_precision_of_the_products(precision: str) -> None:
    found = fused(lowered(spelled(), precision=precision))
    assert found.attributes.get_string("precision", "fp32") == precision


def test_attentions_that_share_what_they_read_are_both_fused() -> None:
    again = (
        f"s2 = Mul(qk, d); p2 = {SOFTMAX}(s2); o42 = MatMul(p2, vh); o2 = {HEADS_FIRST}(o42);"
        " j2 = Reshape(o2, join); a = Add(j, j2); MatMul(a, wy)"
    )
    source = lowered(spelled(y=again))
    expected = evaluate(source, x=X)
    run_passes(source, "fuse-attention,remove-unused")
    assert op_types(source) == [*FUSED[:4], "MultiHeadAttention", "Add", "CsrMatMul"]
    scales = [node.attributes["scale"].as_float() for node in list(source.graph)[3:5]]
    assert scales == pytest.approx([C, D])
    assert_same(source, expected, x=X)


def test_attention_inside_a_body_is_fused_there() -> None:
    # Shape inference sees no constants of other graphs.
    inner = spelled(
        q="split = Constant<value_ints=[0, 0, 4, 8]>(); MatMul(x, wq)",
        k="join = Constant<value_ints=[0, 0, 32]>(); MatMul(z, wk)",
        v="MatMul(z, wv)",
        y="u = MatMul(j, wy); Identity(u)",
    )
    body = (
        f"z = MatMul(x, wz)\n y = If (i) <then_branch = g () => (float[b,s,32] u) {{ {inner} }},"
        f" else_branch = h () => (float[b,s,32] w) {{ w = Identity(z) }}>"
    )
    inputs = {"x": X, "i": np.array(True)}
    source = lowered(body, inputs=", bool i", wz=weight(N, N))
    expected = evaluate(source, **inputs)
    run_passes(source, "fuse-attention,remove-unused")
    inner_types = [node.op_type for node in source.graph[-1].attributes["then_branch"].as_graph()]
    assert inner_types == FUSED
    assert op_types(source) == ["CsrMatMul", "If"]
    assert_same(source, expected, **inputs)
    assert run_passes(source, "fuse-attention") == 0


def test_an_output_of_the_graph_keeps_its_name() -> None:
    body = "\n".join(spelled().splitlines()[:-2])
    assert fused(lowered(f"{body}\n y = Reshape(o, join)")).outputs[0].name == "y"


def test_a_product_that_reads_the_result_tells_its_features() -> None:
    source = lowered(spelled())
    joined = next(node for node in source.graph if node.outputs[0].name == "j").outputs[0]
    joined.shape = ir.Shape(["b", "s", None])
    fused(source)
    # Without one, heads of the bias may have multiplied them.
    source = lowered(spelled(y="Exp(j)"))
    joined = next(node for node in source.graph if node.outputs[0].name == "j").outputs[0]
    joined.shape = ir.Shape(["b", "s", None])
    assert_left_alone(source, RESULT)


# As torch's exporter writes scaled_dot_product_attention.
GUARD = f"a = {SOFTMAX}(s); n = IsNaN(a); Where(n, zero, a)"
MERGED = (
    "kh = Transpose<perm=[0, 2, 1, 3]>(k4); k3 = Reshape(kh, merge);"
    " kz = Transpose<perm=[0, 2, 1]>(k3); k6 = Reshape(kz, apart); root = Sqrt(c);"
    " Mul(k6, root)"
)
TORCH = {
    "q4": "Reshape(q, split)",
    "qh": f"a0 = {HEADS_FIRST}(q4); root0 = Sqrt(c); Mul(a0, root0)",
    "kt": MERGED,
    "s": "Add(qk, m)",
    "p": GUARD,
    "o": f"same = Reshape(o4, full); {HEADS_FIRST}(same)",
}
FIXED = {
    "x": "2,5,32",
    "y": "2,5,32",
    "inputs": ", float[2,1,5,5] m",
    "merge": np.array([-1, TOKENS, SIZE]),
    "apart": np.array([BATCH, HEADS, SIZE, TOKENS]),
    "full": np.array([BATCH, HEADS, TOKENS, SIZE]),
}


def test_attention_as_torch_writes_it_is_fused_with_its_guard() -> None:
    source = lowered(spelled(**TORCH), **FIXED)
    mask = numbers(BATCH, 1, TOKENS, TOKENS)
    mask[0, :, 3] = -np.inf  # a query that sees nothing
    node = fused(source, m=mask)
    assert node.attributes["nan_is_zero"].as_int() == 1
    assert node.attributes["scale"].as_float() == pytest.approx(C)
    assert np.isfinite(evaluate(source, x=X, m=mask)[0]).all()


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("Where(n, zero, a)", "Where(n, c, a)"),
        ("Where(n, zero, a)", "Where(n, a, zero)"),
        ("n = IsNaN(a)", "n = IsInf(a)"),
        ("n = IsNaN(a)", "n = IsNaN(s)"),
    ],
)
def test_what_is_no_guard_of_the_weights_is_left_alone(was: str, now: str) -> None:
    assert was in GUARD
    source = lowered(spelled(p=GUARD.replace(was, now)))
    with np.errstate(all="ignore"):
        expected = evaluate(source, x=X)
    run_passes(source, "fuse-attention")
    assert "MultiHeadAttention" not in op_types(source)
    np.testing.assert_array_equal(evaluate(source, x=X)[0], expected[0])


@pytest.mark.parametrize("perm", ["0, 1, 2", "0, 2, 1"])
def test_keys_that_are_not_turned_within_their_heads_are_left_alone(perm: str) -> None:
    keys = MERGED.replace("perm=[0, 2, 1]>(k3)", f"perm=[{perm}]>(k3)")
    body = spelled(**{**TORCH, "kt": keys, "s": "Mul(qk, c)"})
    mixed = {**FIXED, "inputs": "", "merge": np.array([-1, SIZE, TOKENS])}
    assert_left_alone(lowered(body, **mixed), SPLIT_OFF)


GROUPS = 2
SHARED = {
    "wk": weight(N, GROUPS * SIZE),
    "wv": weight(N, GROUPS * SIZE),
    "fewer": np.array([0, 0, GROUPS, SIZE]),
    "two": np.array([2]),
    "many": np.array([1, 1, HEADS // GROUPS, 1, 1]),
    "all": np.array([0, HEADS, TOKENS, SIZE]),
}
BY_HEAD: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "heads that are interleaved": (
        {"q4": "Reshape(q, turned)", "qh": "Transpose<perm=[0, 3, 1, 2]>(q4)"},
        {"turned": np.array([0, 0, SIZE, HEADS])},
    ),
    "rotated queries": (
        {"qh": f"q6 = {HEADS_FIRST}(q4); q7 = Mul(q6, cos); Add(q7, sin)"},
        {"cos": numbers(1, 1, 1, SIZE), "sin": numbers(1, 1, 1, SIZE)},
    ),
    "rotated keys": (
        {"kt": f"k6 = {HEADS_FIRST}(k4); k7 = Mul(k6, cos); {TURNED}(k7)"},
        {"cos": numbers(1, 1, 1, SIZE)},
    ),
    "keys and values that heads share": (
        {
            "k4": "Reshape(k, fewer)",
            "kt": f"kg = {HEADS_FIRST}(k4); kg5 = Unsqueeze(kg, two); kg6 = Expand(kg5, many);"
            f" kg7 = Reshape(kg6, all); {TURNED}(kg7)",
            "v4": "Reshape(v, fewer)",
            "vh": f"vg = {HEADS_FIRST}(v4); vg5 = Unsqueeze(vg, two); vg6 = Expand(vg5, many);"
            " Reshape(vg6, all)",
        },
        SHARED,
    ),
}


@pytest.mark.parametrize("name", BY_HEAD)
@pytest.mark.parametrize("x", ["b,s,32", "2,5,32"])
def test_heads_that_are_not_split_off_rows_are_used_as_they_are(name: str, x: str) -> None:
    changes, constants = BY_HEAD[name]
    if name == "keys and values that heads share":
        x = "b,5,32"  # nothing tells what the Reshape makes of a length that is open
    found = fused(lowered(spelled(**changes), x=x, y=x, **constants))
    assert found.attributes["heads"].as_int() == HEADS
    shared = name == "keys and values that heads share"
    ranks = [len(value.shape) for value in found.inputs]
    assert ranks == [3, 3, 3] if shared else sorted(ranks) == [3, 3, 4]
    assert found.inputs[2].shape[-1] == (GROUPS if shared else HEADS) * SIZE


@pytest.mark.parametrize("shared", [False, True])
def test_keys_and_values_out_of_a_cache_are_used_as_they_are(shared: bool) -> None:
    heads = GROUPS if shared else HEADS
    changes, constants = BY_HEAD["keys and values that heads share"] if shared else ({}, {})
    first = {
        "kc": f"{HEADS_FIRST}(k4)",
        "kg": "Concat<axis=2>(pk, kc)",
        "vc": f"{HEADS_FIRST}(v4)",
        "vg": "Concat<axis=2>(pv, vc)",
    }
    if shared:
        constants = {**constants, "all": np.array([0, HEADS, TOKENS + 7, SIZE])}
        k, v = (changes[name].split("; ", 1)[1] for name in ("kt", "vh"))
    else:
        k, v = f"{TURNED}(kg)", "Identity(vg)"
    body = spelled(
        k4=changes.get("k4", ATTENTION["k4"]),
        kt=f"kc = {first['kc']}; kg = {first['kg']}; {k}",
        v4=changes.get("v4", ATTENTION["v4"]),
        vh=f"vc = {first['vc']}; vg = {first['vg']}; {v}",
    )
    past = f", float[b,{heads},7,{SIZE}] pk, float[b,{heads},7,{SIZE}] pv"
    source = lowered(body, x="b,5,32", y="b,5,32", inputs=past, **constants)
    run_passes(source, "identity-elimination")
    caches = {name: numbers(BATCH, heads, 7, SIZE) for name in ("pk", "pv")}
    found = fused(source, **caches)
    assert [list(value.shape)[1:] for value in found.inputs[1:]] == [[heads, 12, SIZE]] * 2


@pytest.mark.parametrize(
    ("keys", "values", "known"),
    [
        ("p + s", "s + p", True),
        ("p + s", "p + s", True),
        ("p + s", "p + t", False),
        ("2*(p + s) + t", "2*(p + t + s)", False),
    ],
)
def test_sums_of_dimensions_agree_in_any_order(keys: str, values: str, known: bool) -> None:
    dims = [ir.SymbolicDim(text) for text in (keys, values)]
    assert agree(dims[:1], dims[1:]) == known
    assert not agree([ir.SymbolicDim(None)], [ir.SymbolicDim(None)])


SPLIT_OFF = "its heads are not known to be (batch, heads, tokens, size)"
SCORES = "its scores are not a product of queries and keys"
READ = "its scores are read by something else"
HEADS_DIFFER = "queries, keys and values differ in their heads"
SIZES_DIFFER = "queries, keys and values are not known to agree in their sizes"
RESULT = "its result is not known to be (batch, tokens, features)"
RANK = "what is added to its scores has not rank 4"
MIXED = {"x": "2,5,32", "split": np.array([5, 2, HEADS, SIZE]), "join": np.array([2, 5, N])}
SINGLE = np.array([0, 0, 1, SIZE])
REFUSED: dict[str, tuple[dict[str, str], str, dict[str, Any]]] = {
    "softmax over queries": ({"p": "Softmax<axis=2>(s)"}, "its softmax is not over the keys", {}),
    "scale of rank 4": ({"s": "Mul(qk, f)"}, SCORES, {"f": numbers(1, 1, 1, 1)}),
    "scale per key": ({"s": "Mul(qk, f)"}, SCORES, {"f": numbers(TOKENS)}),
    "scale of zero": ({"s": "Mul(qk, zero)"}, SCORES, {}),
    "scale that overflows": ({"s": "Div(qk, f)"}, SCORES, {"f": np.float32(1e-45)}),
    "division by zero": ({"s": "Div(qk, zero)"}, SCORES, {}),
    "division by scores": ({"s": "Div(c, qk)"}, SCORES, {}),
    "scale of run time": ({"s": "Mul(qk, e)"}, SCORES, {"inputs": ", float e"}),
    "scale that is also an input": ({}, SCORES, {"inputs": ", float c"}),
    "scale behind the bias": ({"s": "a = Add(qk, row); Mul(a, c)"}, SCORES, {}),
    "difference": ({"s": "Sub(qk, row)"}, SCORES, {}),
    "bias of rank 2": ({"s": "Add(qk, m)"}, RANK, {"inputs": ", float[s,s] m"}),
    "bias of rank 0": ({"s": "Add(qk, d)"}, RANK, {}),
    "scores that are an output": ({}, READ, {"outputs": ", float[b,4,s,s] s"}),
    "scores that are read": ({"y": "a = ReduceMax<keepdims=0>(s); Add(j, a)"}, READ, {}),
    "one head of queries": (
        {"q4": "Reshape(q, one)"}, HEADS_DIFFER, {"wq": weight(N, SIZE), "one": SINGLE}
    ),
    "one head of keys": (
        {"k4": "Reshape(k, one)"}, HEADS_DIFFER, {"wk": weight(N, SIZE), "one": SINGLE}
    ),
    "one head of values": (
        {"v4": "Reshape(v, one)"}, HEADS_DIFFER, {"wv": weight(N, SIZE), "one": SINGLE}
    ),
    "scaled values": ({"o4": "a = Mul(vh, c); MatMul(p, a)"}, "its values are scaled", {}),
    "one sequence of keys": (
        {"k": "MatMul(z, wk)", "v": "MatMul(z, wv)"}, SIZES_DIFFER, {"inputs": ", float[1,t,32] z"}
    ),
    "one sequence of values": (
        {"v": "MatMul(z, wv)"}, SIZES_DIFFER, {"inputs": ", float[1,s,32] z"}
    ),
    "batch that is not known": ({}, SPLIT_OFF, {"split": np.array([-1, TOKENS, HEADS, SIZE])}),
    "tokens that are not known": ({}, SPLIT_OFF, {"split": np.array([BATCH, -1, HEADS, SIZE])}),
    "batch and tokens mixed": ({}, SPLIT_OFF, {**MIXED, "y": "2,5,32"}),
    "tokens without a name": ({}, SIZES_DIFFER, {"x": "b,?,32", "y": "b,?,32"}),
    "inputs without a name": (
        {f"{name}4": "Reshape(x, split)" for name in "qkv"}, SPLIT_OFF, {"x": "b,?,32"}
    ),
    "halves of tokens": (
        {},
        SPLIT_OFF,
        {"x": "2,5,32", "y": "2,5,32",
         "split": np.array([2, 10, 2, SIZE]), "join": np.array([2, 5, N])},
    ),
    "heads without elements": (
        {name: f"{name}n = Slice({name[0]}, first, first, last);"
               f" Reshape<allowzero=1>({name}n, empty)" for name in ("q4", "k4")},
        SPLIT_OFF,
        {"x": "2,5,32", "y": "2,5,32", "empty": np.array([2, 5, HEADS, 0]),
         "first": np.array([0]), "last": np.array([2])},
    ),
    "keys that are not transposed": (
        {"kt": f"{HEADS_FIRST}(k4)"}, SPLIT_OFF, {"x": "b,8,32", "y": "b,8,32"}
    ),
    "keys that stay as they are": (
        {"kt": f"kh = {HEADS_FIRST}(k4); Transpose<perm=[0, 1, 2, 3]>(kh)"},
        SPLIT_OFF,
        {"x": "b,8,32", "y": "b,8,32"},
    ),
    "keys from elsewhere": ({"qk": "MatMul(qh, z)"}, SPLIT_OFF, {"inputs": ", float[b,4,8,s] z"}),
    "probabilities on the right": (
        {"o4": f"a = {TURNED}(vh); MatMul(a, p)", "y": "Tanh(j)"},
        SPLIT_OFF,
        {"y": "b,8,20", "join": np.array([0, 0, HEADS * TOKENS])},
    ),
    "result of rank 4": (
        {"y": "Tanh(j)"}, RESULT, {"y": "b,s,32,1", "join": np.array([0, 0, N, 1])}
    ),
    "result of rank 2": ({"y": "Tanh(j)"}, RESULT, {"y": "b,e", "join": np.array([0, -1])}),
    "result with tokens first": (
        {}, RESULT, {"x": "2,5,32", "y": "5,2,32", "join": np.array([5, 2, N])}
    ),
    "bias that makes more heads of one": (
        {"s": "Add(qk, m)", "y": "Tanh(j)"},
        RESULT,
        {"x": "2,5,32", "y": "2,5,128", "m": numbers(1, HEADS, TOKENS, TOKENS),
         "split": np.array([0, 0, 1, N]), "join": np.array([0, 0, HEADS * N])},
    ),
    "bias that makes more queries of one": (
        {"q": "a = ReduceMax<keepdims=1>(x, second); MatMul(a, wq)", "s": "Add(qk, m)"},
        RESULT,
        {"x": "2,5,32", "y": "2,6,32", "m": numbers(1, 1, 6, TOKENS), "second": np.array([1])},
    ),
    "bias that makes more keys of one": (
        {"k": "a = ReduceMax<keepdims=1>(x, second); MatMul(a, wk)", "s": "Add(qk, row)"},
        SIZES_DIFFER,
        {"second": np.array([1])},
    ),
    "logarithms": ({"p": "LogSoftmax<axis=-1>(s)"}, "", {}),
    "probabilities that are an output": ({}, "", {"outputs": ", float[b,4,s,s] p"}),
    "probabilities that are read": ({"y": "a = ReduceMax<keepdims=0>(p); Add(j, a)"}, "", {}),
    "sums that are an output": ({}, "", {"outputs": ", float[b,4,s,8] o4"}),
    "sums that are not transposed": (
        {"o": "Transpose<perm=[0, 1, 2, 3]>(o4)", "y": "Tanh(j)"},
        "",
        {"y": "b,4,e", "join": np.array([0, 0, TOKENS * SIZE])},
    ),
}  # fmt: skip
GIVEN = {
    "scale of run time": {"e": np.float32(1)},
    "bias of rank 2": {"m": numbers(TOKENS, TOKENS)},
    "one sequence of keys": {"z": numbers(1, KEYS, N)},
    "one sequence of values": {"z": numbers(1, TOKENS, N)},
    "keys that are not transposed": {"x": numbers(BATCH, SIZE, N)},
    "keys that stay as they are": {"x": numbers(BATCH, SIZE, N)},
    "keys from elsewhere": {"z": numbers(BATCH, HEADS, SIZE, TOKENS)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_operator_does_not_compute_is_left_alone(name: str) -> None:
    changes, reason, options = REFUSED[name]
    assert_left_alone(lowered(spelled(**changes), **options), reason, **GIVEN.get(name, {}))


def test_half_precision_is_left_alone() -> None:
    half = {
        name: value.astype(np.float16) if value.dtype == np.float32 else value
        for name, value in CONSTANTS.items()
    }
    head = "agraph (float16[b,s,32] x) => (float16[b,s,32] y)"
    source = model(f"{head} {{ {spelled()} }}", **half)
    lower(source, target="ort-cuda")
    assert op_types(source).count("CsrMatMul") == 4
    assert_left_alone(source, "it computes in FLOAT16, not in fp32", x=X.astype(np.float16))


def test_a_softmax_of_old_operator_sets_is_over_all_but_the_batch() -> None:
    body = spelled(p="Softmax(s)")
    assert_left_alone(lowered(body, opset=12), "its softmax is not over the keys")
    fused(lowered(body, opset=13))
    fused(lowered(spelled(), opset=12))
