"""Types that onnx-ir has no form for are set aside on a copy, beside what else is taken out."""

import numpy as np
import onnx
from onnx import TensorProto, helper
from support import model_proto

import nfcompile
from nfcompile.frontend.onnx_file import from_onnx_model


def with_a_map() -> onnx.ModelProto:
    """A classifier's output, a list of maps, beside a plain one."""
    proto = model_proto("agraph (float[2,3] x) => (float[2,3] y, float[2] z) { y = Mul(x, w) }")
    keys = helper.make_attribute("classlabels_int64s", [0, 1, 2])
    node = helper.make_node("ZipMap", ["y"], ["z"], domain="ai.onnx.ml")
    node.attribute.append(keys)
    proto.graph.node.append(node)
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    number = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.INT64, number))
    proto.graph.output[1].type.CopyFrom(maps)
    values = onnx.numpy_helper.from_array(np.array([2.0, 3.0], np.float32), "w")
    at = onnx.numpy_helper.from_array(np.array([0, 2]), "w.indices")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, at, [3]))
    return proto


def test_maps_and_sparse_constants_in_one_model_leave_the_callers_as_it_is() -> None:
    proto = with_a_map()
    before = proto.SerializeToString()
    read = from_onnx_model(proto).model
    np.testing.assert_array_equal(read.graph.initializers["w"].const_value.numpy(), [2, 0, 3])
    assert nfcompile.compile(proto).report.passed
    assert proto.SerializeToString() == before
