"""Models are brought into onnx-ir's form on a copy, and only where they have to be."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from support import model_proto

from nfcompile.errors import UnsupportedModelError
from nfcompile.frontend.representable import representable

DENSE = np.array([[0, 2, 0], [0, 0, 3]], np.float32)


def sparse(indices: np.ndarray) -> onnx.SparseTensorProto:
    values = numpy_helper.from_array(DENSE[DENSE != 0], "values")
    return helper.make_sparse_tensor(values, numpy_helper.from_array(indices), DENSE.shape)


def test_a_model_that_has_a_form_is_not_copied() -> None:
    proto = model_proto("agraph (float[3] x) => (float[3] y) { y = Neg(x) }")
    same, meta = representable(proto)
    assert same is proto
    assert meta == {}


@pytest.mark.parametrize("indices", [np.flatnonzero(DENSE), np.argwhere(DENSE)])
def test_sparse_constants_become_dense_wherever_they_are(indices: np.ndarray) -> None:
    proto = model_proto("agraph (bool c) => (float[2,3] y) { y = If(c) }")
    for name in ("then_branch", "else_branch"):
        output = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, DENSE.shape)
        node = helper.make_node("Constant", [], [name], sparse_value=sparse(indices))
        graph = helper.make_graph([node], name, [], [output])
        proto.graph.node[0].attribute.append(helper.make_attribute(name, graph))
    copy, _ = representable(proto)
    for attribute in copy.graph.node[0].attribute:
        (value,) = attribute.g.node[0].attribute
        assert value.name == "value"
        np.testing.assert_array_equal(numpy_helper.to_array(value.t), DENSE)
    assert proto.graph.node[0].attribute[0].g.node[0].attribute[0].name == "sparse_value"


def test_a_sparse_initializer_in_a_body_is_refused_instead_of_lost() -> None:
    proto = model_proto("agraph (bool c) => (float[2,3] y) { y = If(c) }")
    graph = onnx.parser.parse_graph("then_branch () => (float[2,3] values) { }")
    graph.sparse_initializer.append(sparse(np.flatnonzero(DENSE)))
    proto.graph.node[0].attribute.append(helper.make_attribute("then_branch", graph))
    with pytest.raises(UnsupportedModelError, match="graph then_branch has sparse_initializer"):
        representable(proto)
