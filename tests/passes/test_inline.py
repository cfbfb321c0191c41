"""Functions are inlined where that means the same, whatever their names hide."""

from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from onnx import helper
from support import evaluate, model_proto, op_types, run_passes, said

from nfcompile.passes import InlinePass

N = 4
X = np.linspace(-1, 1, 3 * N, dtype=np.float32).reshape(3, N)
W = np.linspace(0, 1, N * N, dtype=np.float32).reshape(N, N)
ROWS = f"float[b,{N}]"


def function(
    name: str, inputs: str, outputs: str, nodes: list[onnx.NodeProto], **options: Any
) -> onnx.FunctionProto:
    opset = options.pop("opset", 18)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    return helper.make_function(
        "local", name, inputs.split(), outputs.split(), nodes, imports, **options
    )


def node(op_type: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs.split(), outputs.split(), **attributes)


def calling(text: str, *functions: onnx.FunctionProto, **constants: Any) -> onnx.ModelProto:
    proto = model_proto(text, **constants)
    proto.opset_import.append(helper.make_opsetid("local", 1))
    proto.functions.extend(functions)
    return proto


def inlined(proto: onnx.ModelProto, *, left: int = 0, **inputs: np.ndarray) -> ir.Model:
    """The model after the pass, which gives what it gave before."""
    expected = evaluate(proto, **inputs)
    model = ir.from_proto(proto)
    run_passes(model, "inline")
    assert len(model.functions) == left
    for right, got in zip(expected, evaluate(model, **inputs), strict=True):
        np.testing.assert_array_equal(got, right)
    return model


LINEAR = function("Linear", "a v", "b", [node("MatMul", "a v", "t"), node("Relu", "t", "b")])


def test_calls_in_a_row_become_their_nodes() -> None:
    text = f"agraph ({ROWS} x) => ({ROWS} y) {{ h = local.Linear(x, w)\n y = local.Linear(h, w) }}"
    model = inlined(calling(text, LINEAR, w=W), x=X)
    assert op_types(model) == ["MatMul", "Relu"] * 2


def test_a_function_that_calls_another_is_inlined_in_a_branch() -> None:
    twice = function(
        "Twice",
        "a v",
        "b",
        [node("Linear", "a v", "t", domain="local"), node("Linear", "t v", "b", domain="local")],
    )
    proto = calling(f"agraph ({ROWS} x, bool c) => ({ROWS} y) {{ y = If(c) }}", twice, LINEAR, w=W)
    for name, called in (("then_branch", "Twice"), ("else_branch", "Linear")):
        text = f"{name} () => ({ROWS} {name}_y) {{ {name}_y = local.{called}(x, w) }}"
        graph = onnx.parser.parse_graph(text)
        proto.graph.node[0].attribute.append(helper.make_attribute(name, graph))
    model = ir.from_proto(proto)
    run_passes(model, "inline")
    once = np.maximum(X @ W, 0)
    for taken, expected in ((True, np.maximum(once @ W, 0)), (False, once)):
        got = evaluate(model, x=X, c=np.array(taken))[0]
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_attributes_are_those_of_the_call_or_the_defaults() -> None:
    leaky = node("LeakyRelu", "a", "b")
    leaky.attribute.append(
        onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    )
    default = helper.make_attribute("slope", 0.5)
    text = (
        f"agraph ({ROWS} x) => ({ROWS} y)"
        " { h = local.Leaky<slope = 0.25>(x)\n y = local.Leaky(h) }"
    )
    leak = function("Leaky", "a", "b", [leaky], attribute_protos=[default])
    model = ir.from_proto(calling(text, leak))
    run_passes(model, "inline")
    assert [item.attributes.get_float("alpha") for item in model.graph] == [0.25, 0.5]


def test_an_input_that_is_left_out_stays_left_out() -> None:
    clip = function("Limit", "a low high", "b", [node("Clip", "a low high", "b")])
    text = f"agraph ({ROWS} x, float high) => ({ROWS} y) {{ y = local.Limit(x, , high) }}"
    inlined(calling(text, clip), x=X, high=np.array(0.5, np.float32))


def test_outputs_that_are_inputs_or_the_same_keep_the_callers_names() -> None:
    odd = function("Odd", "a", "a b b", [node("Relu", "a", "b")])
    text = f"agraph ({ROWS} x) => ({ROWS} p, {ROWS} q, {ROWS} r) {{ p, q, r = local.Odd(x) }}"
    model = inlined(calling(text, odd), x=X)
    assert [value.name for value in (*model.graph.inputs, *model.graph.outputs)] == [*"xpqr"]


def test_outputs_that_the_caller_leaves_out_are_left_out() -> None:
    two = function("Two", "a", "b c", [node("Relu", "a", "b"), node("Neg", "a", "c")])
    for call in ("y = local.Two(x)", ", y = local.Two(x)"):
        proto = calling(f"agraph ({ROWS} x) => ({ROWS} y) {{ {call} }}", two)
        model = ir.from_proto(proto)
        run_passes(model, "inline,remove-unused")
        expected = np.maximum(X, 0) if call[0] == "y" else -X
        np.testing.assert_array_equal(evaluate(model, x=X)[0], expected)


def test_a_body_does_not_take_its_own_value_for_the_callers() -> None:
    # The loop inside reads `a`; the caller calls it `i`, as the loop calls its own input.
    graph = onnx.parser.parse_graph(
        f"b (int64 n, bool ci, {ROWS} i) => (bool co, {ROWS} o)"
        " { co = Identity(ci)\n o = Add(i, a) }"
    )
    loop = function("Loop3", "a k", "b", [node("Loop", "k  a", "b", body=graph)])
    loop.node[0].input[:] = ["k", "", "a"]
    text = (
        f"agraph ({ROWS} i, int64 k) => ({ROWS} y, {ROWS} z)"
        " { h = Neg(i)\n y = local.Loop3(i, k)\n z = local.Loop3(h, k) }"
    )
    inlined(calling(text, loop), i=X, k=np.array(2))


def test_another_version_of_the_operators_is_inlined_where_it_means_the_same() -> None:
    old = function("Linear", "a v", "b", LINEAR.node, opset=17)
    text = f"agraph ({ROWS} x) => ({ROWS} y) {{ y = local.Linear(x, w) }}"
    model = ir.from_proto(calling(text, old, w=W))
    run_passes(model, "inline")
    assert op_types(model) == ["MatMul", "Relu"]


@pytest.mark.parametrize("nested", [False, True])
def test_another_meaning_of_an_operator_keeps_the_function(nested: bool) -> None:
    relu = function("Positive", "a", "b", [node("Relu", "a", "b")], opset=17)
    nodes = [node("ReduceMax", "a", "t", axes=[1]), node("Positive", "t", "b", domain="local")]
    peak = function("Peak", "a", "b", nodes if nested else nodes[:1], opset=17)
    if not nested:
        peak.node[0].output[0] = "b"
    text = f"agraph ({ROWS} x) => (float[b,1] y) {{ y = local.Peak(x) }}"
    proto = calling(text, peak, *([relu] if nested else []))
    model = ir.from_proto(proto)
    assert InlinePass().run(model) == 0
    assert op_types(model) == ["Peak"]
    reason = "Peak: stays a function: its ReduceMax is of version 17 of ai.onnx, not 18"
    assert any(reason in line for line in said(model, "missed"))
    assert any("Peak calls it" in line for line in said(model, "missed")) == nested


def test_a_function_that_calls_itself_is_left_alone() -> None:
    loop = function("Self", "a", "b", [node("Self", "a", "b", domain="local")])
    proto = calling(f"agraph ({ROWS} x) => ({ROWS} y) {{ y = local.Self(x) }}", loop)
    model = ir.from_proto(proto)
    assert InlinePass().run(model) == 0
    assert any("it calls itself" in line for line in said(model, "missed"))
