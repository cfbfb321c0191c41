"""Attention next to our products becomes one operator, however it is spelled."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from support import evaluate, model, op_types, run_passes, said, unstructured

RNG = np.random.default_rng(0)
N, HEADS, SIZE = 32, 4, 8
BATCH, TOKENS, KEYS = 2, 5, 7
C, D = 0.7, 2.5
X = RNG.standard_normal((BATCH, TOKENS, N)).astype(np.float32)
LOWER = (
    "infer-shapes,encode-weights{threads=1,force=csr},legalize-ort-cpu,fuse-epilogue,remove-unused"
)
CONSTANTS = {
    **{f"w{name}": unstructured(RNG, (N, N), 0.3) for name in "qkvy"},
    "split": np.array([0, 0, HEADS, SIZE]),
    "join": np.array([0, 0, N]),
    "c": np.float32(C),
    "c1": np.array([C], np.float32),
    "d": np.float32(D),
    "zero": np.float32(0),
}
ATTENTION = """
    q = MatMul(x, wq)
    k = MatMul(x, wk)
    v = MatMul(x, wv)
    q4 = Reshape(q, split)
    qh = Transpose<perm=[0, 2, 1, 3]>(q4)
    k4 = Reshape(k, split)
    kt = Transpose<perm=[0, 2, 3, 1]>(k4)
    v4 = Reshape(v, split)
    vh = Transpose<perm=[0, 2, 1, 3]>(v4)
    qk = MatMul(qh, kt)
    s = Mul(qk, c)
    p = Softmax<axis=-1>(s)
    o4 = MatMul(p, vh)
    o = Transpose<perm=[0, 2, 1, 3]>(o4)
    j = Reshape(o, join)
    y = MatMul(j, wy)
"""


LAST_OPERATORS = ["MultiHeadAttention", "CsrMatMul"]


def spelled(*changes: tuple[str, str], body: str = ATTENTION) -> str:
    """The body with lines replaced."""
    for was, now in changes:
        assert body.count(was) == 1
        body = body.replace(was, now)
    return body


def lowered(
    body: str = ATTENTION,
    *,
    x: str = "b,s,32",
    y: str = "b,s,32",
    inputs: str = "",
    outputs: str = "",
    opset: int = 18,
    **more: np.ndarray,
) -> ir.Model:
    """The model with its products as our operators."""
    head = f"agraph (float[{x}] x{inputs}) => (float[{y}] y{outputs})"
    source = model(f"{head} {{ {body} }}", opset=opset, **{**CONSTANTS, **more})
    run_passes(source, LOWER)
    return source


def fused(source: ir.Model, **inputs: np.ndarray) -> ir.Node:
    """Fuses, checks numbers and that a second run finds nothing, and gives the operator."""
    inputs = {"x": X, **inputs}
    expected = evaluate(source, **inputs)
    run_passes(source, "fuse-attention")
    assert run_passes(source, "fuse-attention") == 0
    run_passes(source, "remove-unused")
    assert_same(source, expected, **inputs)
    assert "attention runs as one operator [fuse-attention]" in said(source, "applied")[-1]
    assert not missed(source)
    (found,) = (node for node in source.graph if node.op_type == "MultiHeadAttention")
    return found


def assert_same(source: ir.Model, expected: list[np.ndarray], **inputs: np.ndarray) -> None:
    for got, right in zip(evaluate(source, **inputs), expected, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-5)


def assert_left_alone(source: ir.Model, reason: str = "", **inputs: np.ndarray) -> None:
    """It is valid, and the pass changes nothing: for this reason, or silently."""
    evaluate(source, **{"x": X, **inputs})
    types = op_types(source)
    assert run_passes(source, "fuse-attention") == 0
    assert op_types(source) == types
    nodes = set(source.graph)
    uses = [use for node in source.graph for value in node.outputs for use in value.uses()]
    assert {use.node for use in uses} <= nodes
    assert len(missed(source)) == bool(reason)
    assert not reason or f"attention is not fused: {reason}" in missed(source)[0]


def missed(source: ir.Model) -> list[str]:
    return [text for text in said(source, "missed") if "[fuse-attention]" in text]


def numbers(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


UNSCALED = ("s = Mul(qk, c)\n    p = Softmax<axis=-1>(s)", "p = Softmax<axis=-1>(qk)")
KEYS_TWICE = (
    "kt = Transpose<perm=[0, 2, 3, 1]>(k4)",
    "kh = Transpose<perm=[0, 2, 1, 3]>(k4)\n kt = Transpose<perm=[0, 1, 3, 2]>(kh)",
)
SCALES = {
    "scores times a constant": ([], C),
    "a constant times scores": ([("Mul(qk, c)", "Mul(c, qk)")], C),
    "scores times one element": ([("Mul(qk, c)", "Mul(qk, c1)")], C),
    "scores divided": ([("Mul(qk, c)", "Div(qk, d)")], 1 / D),
    "scores twice": ([("s = Mul(qk, c)", "s0 = Div(qk, d)\n s = Mul(c, s0)")], C / D),
    "queries before the split": (
        [UNSCALED, ("q4 = Reshape(q,", "qc = Mul(q, c)\n q4 = Reshape(qc,")], C
    ),
    "queries after the split": (
        [UNSCALED, ("3]>(q4)", "3]>(qc)"), ("qh =", "qc = Div(q4, d)\n qh =")], 1 / D
    ),
    "queries by head": ([UNSCALED, ("(qh, kt)", "(qc, kt)"), ("qk =", "qc = Mul(c, qh)\n qk =")], C),
    "keys before the split": (
        [UNSCALED, ("k4 = Reshape(k,", "kc = Div(k, d)\n k4 = Reshape(kc,")], 1 / D
    ),
    "keys after the split": (
        [UNSCALED, ("1]>(k4)", "1]>(kc)"), ("kt =", "kc = Mul(k4, c)\n kt =")], C
    ),
    "keys by head": ([UNSCALED, ("(qh, kt)", "(qh, kc)"), ("qk =", "kc = Mul(kt, c)\n qk =")], C),
    "keys between two transposes": (
        [UNSCALED, KEYS_TWICE, ("2]>(kh)", "2]>(kc)"), ("kt =", "kc = Mul(kh, c)\n kt =")], C
    ),
    "queries, keys and scores": (
        [
            ("(qh, kt)", "(qc, kc)"),
            ("qk =", "qc = Mul(qh, c)\n kc = Div(kt, d)\n qk ="),
        ],
        C * C / D,
    ),
    "nothing": ([UNSCALED], 1),
}  # fmt: skip


@pytest.mark.parametrize("name", SCALES)
def test_the_scale_is_found_wherever_it_is(name: str) -> None:
    changes, scale = SCALES[name]
    source = lowered(spelled(*changes))
    found = fused(source)
    assert op_types(source) == ["CsrMatMul"] * 3 + LAST_OPERATORS
    assert found.attributes["heads"].as_int() == HEADS
    assert found.attributes["scale"].as_float() == pytest.approx(scale)
    assert [value.producer().op_type for value in found.inputs] == ["CsrMatMul"] * 3


def test_keys_may_be_transposed_twice() -> None:
    source = lowered(spelled(KEYS_TWICE))
    fused(source)
    assert op_types(source) == ["CsrMatMul"] * 3 + LAST_OPERATORS


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("qk = MatMul(qh, kt)", "qx = Cast<to=1>(qh)\n qk = MatMul(qx, kt)"),
        ("k4 = Reshape(k,", "kx = Cast<to=1>(k)\n k4 = Reshape(kx,"),
        ("s = Mul(qk, c)", "sx = Cast<to=1>(qk)\n s = Mul(sx, c)"),
        ("p = Softmax<axis=-1>(s)", "sx = Cast<to=1>(s)\n p = Softmax<axis=-1>(sx)"),
        (
            "p = Softmax<axis=-1>(s)",
            "sb = Add(s, x4)\n sx = Cast<to=1>(sb)\n p = Softmax<axis=-1>(sx)",
        ),
        ("o4 = MatMul(p, vh)", "px = Cast<to=1>(p)\n o4 = MatMul(px, vh)"),
        ("o4 = MatMul(p, vh)", "vx = Cast<to=1>(vh)\n o4 = MatMul(p, vx)"),
        ("o = Transpose<perm=[0, 2, 1, 3]>(o4)", "ox = Cast<to=1>(o4)\n o = Transpose<perm=[0, 2, 1, 3]>(ox)"),
        ("j = Reshape(o, join)", "ox = Cast<to=1>(o)\n j = Reshape(ox, join)"),
    ],
)  # fmt: skip
def test_casts_that_change_nothing_do_not_matter(was: str, now: str) -> None:
    source = lowered(spelled((was, now)), x4=numbers(1, 1, 1, TOKENS))
    fused(source)
    assert op_types(source) == ["CsrMatMul"] * 3 + LAST_OPERATORS


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
    body = spelled(("Softmax<axis=-1>(s)", "Softmax<axis=-1>(sm)"), ("p =", f"sm = {add}\n p ="))
    source = lowered(body, inputs=f", float[{shape}] m")
    found = fused(source, m=numbers(*sizes))
    assert found.inputs[3].name == "m"
    assert found.attributes["scale"].as_float() == pytest.approx(C)


def test_a_bias_may_be_a_product_too() -> None:
    body = spelled(
        ("Softmax<axis=-1>(s)", "Softmax<axis=-1>(sm)"),
        ("p =", "m = MatMul(qh, r)\n sm = Add(s, m)\n p ="),
    )
    assert fused(lowered(body, r=numbers(1, 1, SIZE, TOKENS))).inputs[3].name == "m"


def test_values_may_have_another_size_than_queries() -> None:
    body = spelled(
        ("v4 = Reshape(v, split)", "v4 = Reshape(v, split_v)"),
        ("Reshape(o, join)", "Reshape(o, join_v)"),
    )
    found = fused(
        lowered(
            body,
            wv=unstructured(RNG, (N, 2 * N), 0.3),
            wy=unstructured(RNG, (2 * N, N), 0.3),
            split_v=np.array([0, 0, HEADS, 2 * SIZE]),
            join_v=np.array([0, 0, 2 * N]),
        )
    )
    assert found.attributes["heads"].as_int() == HEADS
    assert found.outputs[0].shape[2] == 2 * N


def test_keys_and_values_may_come_from_other_tokens() -> None:
    body = spelled(("MatMul(x, wk)", "MatMul(z, wk)"), ("MatMul(x, wv)", "MatMul(z, wv)"))
    found = fused(lowered(body, inputs=", float[b,t,32] z"), z=numbers(BATCH, KEYS, N))
    assert [str(value.shape[1]) for value in found.inputs] == ["s", "t", "t"]


OTHER = {"q": ("MatMul(x, wq)", "Tanh(x)"), "k": ("MatMul(x, wk)", "Sin(x)"),
         "v": ("MatMul(x, wv)", "Cos(x)"), "y": ("MatMul(j, wy)", "Tanh(j)")}  # fmt: skip


@pytest.mark.parametrize("ours", OTHER)
def test_one_product_of_ours_is_enough(ours: str) -> None:
    changes = [change for name, change in OTHER.items() if name != ours]
    source = lowered(spelled(*changes))
    fused(source)
    assert op_types(source).count("CsrMatMul") == 1


def test_attention_without_a_product_of_ours_is_left_alone() -> None:
    assert_left_alone(lowered(spelled(*OTHER.values())))


def test_attentions_that_share_all_they_read_are_both_fused() -> None:
    again = "\n".join(
        f"{line.split(' = ')[0]}{line[line.index(' = ') :]}".replace("    s = ", "    t = ")
        for line in ATTENTION.strip("\n").splitlines()[11:15]
    )
    for name in ("p", "o4", "o", "j"):
        again = again.replace(f"{name} = ", f"{name}b = ").replace(f"({name},", f"({name}b,")
        again = again.replace(f"({name})", f"({name}b)")
    again = again.replace("(s)", "(t)")
    body = spelled(
        ("y = MatMul(j, wy)", f"t = Mul(qk, d)\n {again}\n z = Add(j, jb)\n y = MatMul(z, wy)")
    )
    source = lowered(body)
    expected = evaluate(source, x=X)
    run_passes(source, "fuse-attention,remove-unused")
    found = [node for node in source.graph if node.op_type == "MultiHeadAttention"]
    assert [node.attributes["scale"].as_float() for node in found] == pytest.approx([C, D])
    assert_same(source, expected, x=X)


def test_attention_inside_a_body_is_fused_there() -> None:
    # Shape inference sees no constants of other graphs.
    shapes = "split = Constant<value_ints=[0, 0, 4, 8]>()\n join = Constant<value_ints=[0, 0, 32]>()"
    queries = "    q = MatMul(x, wq)\n"
    inner = spelled((queries, f"{shapes}\n"), ("y = ", "u = "))
    body = (
        f"{queries} y = If (i) <then_branch = g () => (float[b,s,32] u) {{ {inner} }},"
        f" else_branch = h () => (float[b,s,32] w) {{ w = Identity(x) }}>"
    )
    source = lowered(body, inputs=", bool i")
    expected = evaluate(source, x=X, i=np.array(True))
    run_passes(source, "fuse-attention,remove-unused")
    then = source.graph[-1].attributes["then_branch"].as_graph()
    assert [node.op_type for node in then] == ["CsrMatMul"] * 2 + LAST_OPERATORS
    assert_same(source, expected, x=X, i=np.array(True))
    assert run_passes(source, "fuse-attention") == 0


def test_an_output_of_the_graph_keeps_its_name() -> None:
    source = lowered(spelled(("    j = ", "    y = "), ("y = MatMul(j, wy)", "")))
    assert fused(source).outputs[0].name == "y"


SPLIT_OFF = "its heads are not split off (batch, tokens, features)"
SCORES = "its scores are not a product of queries and keys"
HEADS_DIFFER = "queries, keys and values differ in their heads"
RESULT = "its result is not known to be (batch, tokens, features)"
DENSE_END = ("y = MatMul(j, wy)", "y = Tanh(j)")
REFUSED: dict[str, tuple[list[tuple[str, str]], str, dict[str, Any]]] = {
    "softmax over queries": ([("axis=-1", "axis=2")], "its softmax is not over the keys", {}),
    "scale of rank 4": ([("Mul(qk, c)", "Mul(qk, f)")], SCORES, {"f": numbers(1, 1, 1, 1)}),
    "scale of zero": ([("Mul(qk, c)", "Mul(qk, zero)")], SCORES, {}),
    "division by zero": ([("Mul(qk, c)", "Div(qk, zero)")], SCORES, {}),
    "constant over scores": ([("Mul(qk, c)", "Div(c, qk)")], SCORES, {}),
    "scale of run time": ([("Mul(qk, c)", "Mul(qk, e)")], SCORES, {"inputs": ", float e"}),
    "scale that is also an input": ([], SCORES, {"inputs": ", float c"}),
    "bias before the scale": (
        [("s = Mul(qk, c)", "sm = Add(qk, m)\n s = Mul(sm, c)")],
        SCORES,
        {"m": numbers(1, 1, 1, TOKENS)},
    ),
    "difference": (
        [("s = Mul(qk, c)", "s = Sub(qk, m)")], SCORES, {"m": numbers(1, 1, 1, TOKENS)}
    ),
    "bias of rank 2": (
        [("s = Mul(qk, c)", "s = Add(qk, m)")],
        "what is added to its scores has not rank 4",
        {"inputs": ", float[s,s] m"},
    ),
    "bias of rank 0": (
        [("s = Mul(qk, c)", "s = Add(qk, d)")], "what is added to its scores has not rank 4", {}
    ),
    "scores that are an output": (
        [], "its scores are read by something else", {"outputs": ", float[b,4,s,s] s"}
    ),
    "scores that something else reads": (
        [DENSE_END, ("y = Tanh(j)", "r = ReduceMax<keepdims=0>(s)\n y = Add(j, r)")],
        "its scores are read by something else",
        {},
    ),
    "one head of keys": (
        [("k4 = Reshape(k, split)", "k4 = Reshape(k, single)")],
        HEADS_DIFFER,
        {"wk": unstructured(RNG, (N, SIZE), 0.4), "single": np.array([0, 0, 1, SIZE])},
    ),
    "one head of values": (
        [("v4 = Reshape(v, split)", "v4 = Reshape(v, single)")],
        HEADS_DIFFER,
        {"wv": unstructured(RNG, (N, SIZE), 0.4), "single": np.array([0, 0, 1, SIZE])},
    ),
    "one head of queries": (
        [("q4 = Reshape(q, split)", "q4 = Reshape(q, single)")],
        HEADS_DIFFER,
        {"wq": unstructured(RNG, (N, SIZE), 0.4), "single": np.array([0, 0, 1, SIZE])},
    ),
    "scaled values": (
        [("(p, vh)", "(p, vc)"), ("o4 =", "vc = Mul(vh, c)\n o4 =")], "its values are scaled", {}
    ),
    "one sequence of keys": (
        [("MatMul(x, wk)", "MatMul(z, wk)"), ("MatMul(x, wv)", "MatMul(z, wv)")],
        "queries, keys and values differ in their sizes",
        {"inputs": ", float[1,t,32] z"},
    ),
    "one sequence of values": (
        [("MatMul(x, wv)", "MatMul(z, wv)")],
        "queries, keys and values differ in their sizes",
        {"inputs": ", float[1,s,32] z"},
    ),
    "batch that is not known": ([], SPLIT_OFF, {"split": np.array([-1, TOKENS, HEADS, SIZE])}),
    "tokens that are not known": ([], SPLIT_OFF, {"split": np.array([BATCH, -1, HEADS, SIZE])}),
    "tokens and batch mixed": (
        [], SPLIT_OFF, {"x": "2,5,32", "y": "2,5,32",
                        "split": np.array([5, 2, HEADS, SIZE]), "join": np.array([2, 5, N])}
    ),
    "heads that are interleaved": (
        [("qh = Transpose<perm=[0, 2, 1, 3]>", "qh = Transpose<perm=[0, 3, 1, 2]>"),
         ("q4 = Reshape(q, split)", "q4 = Reshape(q, turned)")],
        SPLIT_OFF,
        {"turned": np.array([0, 0, SIZE, HEADS])},
    ),
    "keys that are not transposed": (
        [KEYS_TWICE, ("kt = Transpose<perm=[0, 1, 3, 2]>(kh)", "kt = Identity(kh)")],
        SPLIT_OFF,
        {"x": "b,8,32", "y": "b,8,32"},
    ),
    "keys from elsewhere": (
        [("(qh, kt)", "(qh, z)")], SPLIT_OFF, {"inputs": ", float[b,4,8,s] z"}
    ),
    "probabilities on the right": (
        [("MatMul(p, vh)", "MatMul(vt, p)"), ("o4 =", "vt = Transpose<perm=[0, 1, 3, 2]>(vh)\n o4 ="),
         DENSE_END],
        SPLIT_OFF,
        {"y": "b,8,20", "join": np.array([0, 0, HEADS * TOKENS])},
    ),
    "result of rank 4": (
        [DENSE_END], RESULT, {"y": "b,s,2,16", "join": np.array([0, 0, 2, 2 * SIZE])}
    ),
    "result of rank 2": ([DENSE_END], RESULT, {"y": "b,e", "join": np.array([0, -1])}),
    "result with tokens first": (
        [DENSE_END],
        RESULT,
        {"x": "2,5,32", "y": "5,2,32", "join": np.array([5, 2, N])},
    ),
    "probabilities that are an output": ([], "", {"outputs": ", float[b,4,s,s] p"}),
    "probabilities that something else reads": (
        [DENSE_END, ("y = Tanh(j)", "r = ReduceMax<keepdims=0>(p)\n y = Add(j, r)")], "", {}
    ),
    "sums that are an output": ([], "", {"outputs": ", float[b,4,s,8] o4"}),
    "result that is transposed otherwise": (
        [("o = Transpose<perm=[0, 2, 1, 3]>", "o = Transpose<perm=[0, 1, 2, 3]>"), DENSE_END],
        "",
        {"y": "b,4,e", "join": np.array([0, 0, TOKENS * SIZE])},
    ),
}  # fmt: skip
GIVEN = {
    "scale of run time": {"e": np.float32(1)},
    "bias of rank 2": {"m": numbers(TOKENS, TOKENS)},
    "one sequence of keys": {"z": numbers(1, KEYS, N)},
    "one sequence of values": {"z": numbers(1, TOKENS, N)},
    "keys from elsewhere": {"z": numbers(BATCH, HEADS, SIZE, TOKENS)},
    "keys that are not transposed": {"x": numbers(BATCH, SIZE, N)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_does_not_stand_for_is_left_alone(name: str) -> None:
    changes, reason, options = REFUSED[name]
    assert_left_alone(lowered(spelled(*changes), **options), reason, **GIVEN.get(name, {}))


def test_half_precision_is_left_alone() -> None:
    half = {
        name: value.astype(np.float16) if value.dtype == np.float32 else value
        for name, value in CONSTANTS.items()
    }
    source = model(
        f"agraph (float16[b,s,32] x) => (float16[b,s,32] y) {{ {ATTENTION} }}", **half
    )
    run_passes(source, LOWER.replace("{", "{target=ort-cuda,").replace("ort-cpu", "ort-cuda"))
    assert op_types(source).count("CsrMatMul") == 4
    assert_left_alone(source, "it computes in FLOAT16, not in fp32", x=X.astype(np.float16))


def test_a_bias_that_makes_more_heads_of_one_is_left_alone() -> None:
    source = lowered(
        spelled(("s = Mul(qk, c)", "s = Add(qk, m)"), DENSE_END),
        x="2,5,32",
        y="2,5,128",
        split=np.array([0, 0, 1, N]),
        join=np.array([0, 0, HEADS * N]),
        m=numbers(1, HEADS, TOKENS, TOKENS),
    )
    assert_left_alone(source, RESULT)


def test_the_softmax_of_old_operator_sets_is_over_all_but_the_batch() -> None:
    old = spelled(("Softmax<axis=-1>(s)", "Softmax(s)"))
    assert_left_alone(lowered(old, opset=12), "its softmax is not over the keys")
    fused(lowered(old, opset=13))
    fused(lowered(opset=12))
