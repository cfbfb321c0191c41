"""Turns layers with encoded weights into operators of domain `nfcompile`, run by our library.

    MatMul(X, W: CSR)                ->  nfcompile.CsrMatMul(X, values, indices, indptr)
    Gemm(X, W: BSR, C; alpha, beta)  ->  nfcompile.BsrMatMul(X, alpha * values, ..., bias=beta * C)
    MatMul(X, W: block-diagonal)     ->  nfcompile.BlockDiagonalMatMul(X, values, rows?, cols?)
    MatMul(X, W: CSR in bf16)        ->  nfcompile.CsrMatMul(X, bfloat16(values), indices, indptr)
    Conv(X, W: CSR, B)               ->  nfcompile.CsrConv(X, values, indices, indptr, bias=B)

Components are plain initializers: any tool can read the file, and ONNX Runtime loads nothing dense.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
import onnx_ir as ir

from nfcompile.ir.convolution import Convolution
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.layer import Layer
from nfcompile.ir.layers import find_layers
from nfcompile.ir.linear import Linear, constant, is_row
from nfcompile.ir.pass_base import Pass
from nfcompile.ir.rewrite import add_constant, insert_before, main_graph, replace_node
from nfcompile.ir.schemas import CONVS, DOMAIN, MATMULS, VERSION
from nfcompile.sparse import BlockDiagonalTensor, Encoding

__all__ = ["LegalizeOrtCpuPass"]


_STORED = {"bf16": ml_dtypes.bfloat16, "fp16": np.float16}


@dataclass(frozen=True)
class LegalizeOrtCpuPass(Pass):
    """Rewrites every layer whose weight is encoded."""

    name: ClassVar[str] = "legalize-ort-cpu"

    def layers(self, model: ir.Model) -> Iterable[Layer]:
        """The layers that there are operators for, if their weight is encoded."""
        return (layer for layer in find_layers(model) if layer.dtype == ir.DataType.FLOAT)

    def run(self, model: ir.Model) -> int:
        """Emits our operators and imports their domain."""
        components: dict[tuple[ir.Value, float], list[ir.Value | None]] = {}
        count = 0
        for layer in list(self.layers(model)):
            tensor = layer.weight.const_value
            if not isinstance(tensor, EncodedTensor):
                continue
            alpha = layer.alpha if isinstance(layer, Linear) else 1.0
            key = (layer.weight, alpha)
            if key not in components:
                components[key] = _add_components(layer.weight, tensor, alpha)
            if isinstance(layer, Linear):
                _rewrite_linear(layer, tensor.encoding, components[key])
            elif isinstance(layer, Convolution):
                _rewrite_convolution(layer, tensor.encoding, components[key])
            count += 1
        if count:
            model.graph.opset_imports[DOMAIN] = VERSION
        return count


def _add_components(weight: ir.Value, tensor: EncodedTensor, alpha: float) -> list[ir.Value | None]:
    """The weight's arrays as initializers, in the order of the operator's inputs."""
    graph = main_graph(weight)
    encoding = tensor.encoding
    arrays = encoding.components()
    values: list[ir.Value | None] = []
    for formal in list(MATMULS[encoding.kind].inputs)[1:-2]:
        array = arrays.get(formal.name)
        if array is None:
            values.append(None)
            continue
        if formal.name == "values" and alpha != 1.0:
            array = (array * np.float32(alpha)).astype(array.dtype)
        if formal.name == "values" and tensor.precision in _STORED:
            array = array.astype(_STORED[tensor.precision])
        values.append(add_constant(graph, f"{weight.name}.{formal.name}", array))
    return values


def _attributes(encoding: Encoding) -> dict[str, Any]:
    out_features, in_features = encoding.shape
    if not isinstance(encoding, BlockDiagonalTensor):
        return {"in_features": in_features}
    return {
        "in_features": in_features,
        "out_features": out_features,
        "row_stride": encoding.row_stride,
        "col_stride": encoding.col_stride,
    }


def _rewrite_convolution(
    layer: Convolution, encoding: Encoding, components: list[ir.Value | None]
) -> None:
    inputs = [layer.x, *components] + ([layer.bias] if layer.bias is not None else [])
    attributes = {**_attributes(encoding), **layer.window}
    name = CONVS[encoding.kind].name
    replace_node(layer.node, ir.node(name, inputs, attributes, domain=DOMAIN, name=layer.name))


def _rewrite_linear(linear: Linear, encoding: Encoding, components: list[ir.Value | None]) -> None:
    out_features = encoding.shape[0]
    attributes = _attributes(encoding)
    bias, remainder = _split_bias(linear, out_features)
    inputs = [linear.x, *components] + ([bias] if bias is not None else [])
    node = ir.node(MATMULS[encoding.kind].name, inputs, attributes, domain=DOMAIN, name=linear.name)
    if remainder is None:
        replace_node(linear.node, node)
        return
    insert_before(linear.node, node)
    node.outputs[0].type = linear.node.outputs[0].type
    node.outputs[0].shape = linear.node.outputs[0].shape
    replace_node(linear.node, ir.node("Add", [node.outputs[0], remainder]))


def _split_bias(linear: Linear, out_features: int) -> tuple[ir.Value | None, ir.Value | None]:
    """Gemm's C as (bias of shape (out,), what has to be added by a node of its own)."""
    if linear.bias is None or linear.beta == 0.0:
        return None, None
    bias = linear.bias
    tensor = constant(bias)
    if tensor is not None and (tensor.size == 1 or is_row(tensor.shape, out_features)):
        if linear.beta == 1.0 and tuple(tensor.shape.numpy()) == (out_features,):
            return bias, None
        row = np.broadcast_to(tensor.numpy().reshape(-1) * np.float32(linear.beta), out_features)
        row = row.astype(tensor.dtype.numpy())
        return add_constant(main_graph(bias), f"{bias.name}.row", row), None
    if linear.beta == 1.0:
        if bias.shape is not None and bias.shape.dims == (out_features,):
            return bias, None
        return None, bias
    beta = np.array(linear.beta, linear.dtype.numpy())
    factor = add_constant(main_graph(linear.weight), "beta", beta)
    scaled = ir.node("Mul", [bias, factor])
    insert_before(linear.node, scaled)
    return None, scaled.outputs[0]
