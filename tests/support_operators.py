"""One operator of our domain as a model of its own."""

from typing import Any

import onnx
import onnx.helper

from nfcompile.ir.schemas import DOMAIN, MATMULS, VERSION, register_schemas
from nfcompile.sparse import BlockDiagonalTensor, Encoding

__all__ = ["operator_model"]


def operator_model(
    encoding: Encoding, leading: list[str | int], **attributes: Any
) -> onnx.ModelProto:
    """X, bias and residual in, Y out; the weight's components are initializers."""
    register_schemas()
    schema = MATMULS[encoding.kind]
    components = encoding.components()
    out_features, in_features = encoding.shape
    attributes["in_features"] = in_features
    if isinstance(encoding, BlockDiagonalTensor):
        attributes["out_features"] = out_features
        attributes["row_stride"] = encoding.row_stride
        attributes["col_stride"] = encoding.col_stride
    names = [item.name if item.name in components else "" for item in list(schema.inputs)[1:-2]]
    node = onnx.helper.make_node(
        schema.name, ["X", *names, "bias", "residual"], ["Y"], domain=DOMAIN, **attributes
    )
    shapes: dict[str, list[str | int]] = {
        "X": [*leading, in_features],
        "bias": [out_features],
        "residual": [*leading, out_features],
        "Y": [*leading, out_features],
    }
    infos = {
        name: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    }
    output = infos.pop("Y")
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in components.items()]
    graph = onnx.helper.make_graph([node], "operator", list(infos.values()), [output], constants)
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid(DOMAIN, VERSION)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model
