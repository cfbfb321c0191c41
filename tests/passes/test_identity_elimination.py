"""Identities go, but for those that a graph needs to give what is not its own."""

import numpy as np
import onnx.parser
import onnx_ir as ir
from onnx import helper
from support import evaluate, model, model_proto, op_types, run_passes

X = np.array([-1, 2, 3], np.float32)


def test_an_identity_inside_goes() -> None:
    source = model("agraph (float[3] x) => (float[3] y) { a = Identity(x)\n y = Relu(a) }")
    assert run_passes(source, "identity-elimination") == 1
    assert op_types(source) == ["Relu"]
    assert run_passes(source, "identity-elimination") == 0


def test_an_output_keeps_its_name() -> None:
    source = model("agraph (float[3] x) => (float[3] y) { a = Relu(x)\n y = Identity(a) }")
    run_passes(source, "identity-elimination")
    assert op_types(source) == ["Relu"]
    assert [value.name for value in source.graph.outputs] == ["y"]


def test_an_input_or_a_constant_as_an_output_stays() -> None:
    text = "agraph (float[3] x) => (float[3] y, float[3] z) { y = Identity(x)\n z = Identity(w) }"
    source = model(text, w=X)
    assert run_passes(source, "identity-elimination") == 0


def test_two_outputs_that_are_equal_stay_two() -> None:
    text = "agraph (float[3] x) => (float[3] y, float[3] z) { y = Relu(x)\n z = Identity(y) }"
    source = model(text)
    assert run_passes(source, "identity-elimination") == 0
    np.testing.assert_array_equal(*evaluate(source, x=X))


def test_a_body_gives_no_value_from_around_it() -> None:
    proto = model_proto("agraph (float[3] x, bool c) => (float[3] y) { h = Relu(x)\n y = If(c) }")
    for name, op_type in (("then_branch", "Identity"), ("else_branch", "Neg")):
        graph = onnx.parser.parse_graph(
            f"{name} () => (float[3] {name}y) {{ {name}y = {op_type}(h) }}"
        )
        proto.graph.node[1].attribute.append(helper.make_attribute(name, graph))
    source = ir.from_proto(proto)
    assert run_passes(source, "identity-elimination") == 0
