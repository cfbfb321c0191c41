"""What is inferred is taken over, with the right type, and believed only as far as it holds."""

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper
from support import model, model_proto, run_passes

from nfcompile.ir.light import light_proto


def value(source: ir.Model, name: str) -> ir.Value:
    return next(
        out for node in source.graph.all_nodes() for out in node.outputs if out.name == name
    )


def test_shapes_are_inferred_once() -> None:
    source = model(
        "agraph (float[b,4] x) => (y) { h = MatMul(x, w)\n y = Relu(h) }",
        w=np.eye(4, dtype=np.float32),
    )
    assert run_passes(source, "infer-shapes") == 1
    assert str(value(source, "h").shape) == "[b,4]"
    assert value(source, "y").dtype == ir.DataType.FLOAT
    assert run_passes(source, "infer-shapes") == 0


def test_sequences_and_optionals_keep_their_type() -> None:
    text = (
        "agraph (float[b,4] x) => (float[b,4] y) { s = SplitToSequence<axis = 0>(x)\n"
        " o = Optional(s)\n g = OptionalGetElement(o)\n y = ConcatFromSequence<axis = 0>(g) }"
    )
    source = model(text)
    run_passes(source, "infer-shapes")
    assert isinstance(value(source, "s").type, ir.SequenceType)
    assert isinstance(value(source, "o").type, ir.OptionalType)
    onnx.checker.check_model(light_proto(source), full_check=True)


def test_values_in_bodies_are_inferred() -> None:
    proto = model_proto("agraph (float[b,4] x, bool c) => (float[b,4] y) { y = If(c) }")
    for name in ("then_branch", "else_branch"):
        text = f"{name} () => (float[b,4] {name}y) {{ {name}h = Neg(x)\n {name}y = Relu({name}h) }}"
        graph = onnx.parser.parse_graph(text)
        proto.graph.node[0].attribute.append(helper.make_attribute(name, graph))
    source = ir.from_proto(proto)
    run_passes(source, "infer-shapes")
    assert str(value(source, "then_branchh").shape) == "[b,4]"


def test_a_default_of_an_input_is_not_believed() -> None:
    text = "agraph (float[4] x, int64[2] s) => (y) { y = Expand(x, s) }"
    proto = model_proto(text)
    proto.graph.initializer.append(numpy_helper.from_array(np.array([3, 4]), "s"))
    source = ir.from_proto(proto)
    run_passes(source, "infer-shapes")
    shape = value(source, "y").shape
    assert shape is not None and not isinstance(shape[0], int)


def test_what_does_not_fit_leaves_the_rest_inferred() -> None:
    text = (
        "agraph (float[2,4] x) => (float[2,4] y, z) { y = Relu(x)\n"
        " k = Reshape(x, s)\n z = Neg(x) }"
    )
    source = model(text, s=np.array([5, 5]))
    run_passes(source, "infer-shapes")
    assert str(value(source, "z").shape) == "[2,4]"
