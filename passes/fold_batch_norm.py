"""Folds an inference batch normalization into the layer before it.

    BatchNormalization(X W^T + b)        =  X (diag(s) W)^T + s o (b - mean) + shift
    BatchNormalization(Conv(X, W) + b)   =  Conv(X, diag(s) W) + s o (b - mean) + shift
    s = scale / sqrt(var + eps)

It scales rows, so every zero stays a zero, and the layer's epilogue is free for what follows.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.layer import Layer
from nfcompile.ir.layers import find_layers
from nfcompile.ir.linear import Linear, constant, is_row
from nfcompile.ir.pass_base import Pass
from nfcompile.ir.rewrite import add_constant, main_graph, replace_node, single_use

__all__ = ["FoldBatchNormPass"]


@dataclass(frozen=True)
class FoldBatchNormPass(Pass):
    """Scales weights and biases by what follows them."""

    name: ClassVar[str] = "fold-batch-norm"

    def run(self, model: ir.Model) -> int:
        """Folds every batch normalization that directly follows a layer."""
        count = 0
        for layer in list(find_layers(model)):
            chain = _chain(layer)
            if chain is None:
                continue
            if reason := _refusal(layer, chain):
                self.remark(model, "missed", layer.name, reason)
                continue
            _fold(layer, chain)
            self.remark(
                model,
                "applied",
                layer.name,
                f"folded {chain.norm.name or 'BatchNormalization'}",
            )
            count += 1
        return count


@dataclass(frozen=True)
class _Chain:
    """What follows a layer: maybe an Add of a constant, then the normalization."""

    add: ir.Node | None
    bias: ir.Value | None
    norm: ir.Node


def _chain(layer: Layer) -> _Chain | None:
    follower = single_use(layer.node.outputs[0])
    add, bias = None, layer.bias
    after_add = isinstance(layer, Linear) and layer.bias is None
    if follower is not None and follower.op_type == "Add" and after_add:
        others = [item for item in follower.inputs if item is not layer.node.outputs[0]]
        if len(others) == 1 and constant(others[0]) is not None:
            add, bias = follower, others[0]
            follower = single_use(add.outputs[0])
    if follower is None or follower.op_type != "BatchNormalization" or follower.domain != "":
        return None
    return _Chain(add, bias, follower)


def _refusal(layer: Layer, chain: _Chain) -> str:
    norm = chain.norm
    if norm.attributes.get_int("training_mode", 0) or len(norm.outputs) > 1:
        return "its batch normalization is in training mode"
    if any(constant(item) is None for item in norm.inputs[1:]):
        return "the statistics of its batch normalization are not constant"
    rank = layer.node.outputs[0].shape
    if layer.node.op_type == "MatMul" and (rank is None or len(rank) != 2):
        return "batch normalization after a product of rank other than 2 is over another axis"
    if len(layer.weight.uses()) > 1:
        return f"weight {layer.weight.name} has other uses"
    if chain.bias is not None:
        tensor = constant(chain.bias)
        if tensor is None or not (tensor.size == 1 or is_row(tensor.shape, layer.out_in[0])):
            return "its bias is not a constant of one value per output"
        if len(tensor.shape) > 2:
            return "its bias raises the rank"
    if layer.weight.dtype not in (ir.DataType.FLOAT, ir.DataType.DOUBLE):
        return f"its weight is {layer.weight.dtype}"
    return ""


def _fold(layer: Layer, chain: _Chain) -> None:
    scale, shift, mean, variance = (
        _array(item).astype(np.float64) for item in chain.norm.inputs[1:5]
    )
    factor = scale / np.sqrt(variance + chain.norm.attributes.get_float("epsilon", 1e-5))
    bias = np.zeros(layer.out_in[0]) if chain.bias is None else _array(chain.bias).reshape(-1)
    beta = layer.beta if isinstance(layer, Linear) and chain.add is None else 1.0
    bias = factor * (bias * beta - mean) + shift

    graph = main_graph(layer.weight)
    name = layer.weight.name or "weight"
    weight = add_constant(graph, f"{name}.scaled", _scale_rows(layer, factor))
    dtype = _array(chain.norm.inputs[1]).dtype
    bias_value = add_constant(graph, f"{name}.bias", bias.astype(dtype))
    layer.node.replace_input_with(1, weight)
    if layer.node.op_type != "MatMul":
        layer.node.resize_inputs(3)
        layer.node.replace_input_with(2, bias_value)
    if layer.node.op_type == "Gemm":
        layer.node.attributes["beta"] = ir.AttrFloat32("beta", 1.0)
    last = chain.add or layer.node
    if chain.add is not None:
        chain.add.replace_input_with(0, layer.node.outputs[0])
        chain.add.replace_input_with(1, bias_value)
    if layer.node.op_type == "MatMul" and chain.add is None:
        replace_node(chain.norm, ir.node("Add", [last.outputs[0], bias_value]))
    else:
        replace_node(chain.norm, ir.node("Identity", [last.outputs[0]]))


def _scale_rows(layer: Layer, factor: np.ndarray) -> ir.TensorProtocol:
    tensor = layer.weight.const_value
    assert tensor is not None
    if isinstance(tensor, EncodedTensor):
        return layer.encoded(layer.csr().scale_rows(factor))
    dense = tensor.numpy()
    last = isinstance(layer, Linear) and layer.transposed  # where outputs are
    rows = factor if last else factor.reshape(-1, *[1] * (dense.ndim - 1))
    return ir.Tensor((dense * rows).astype(dense.dtype))


def _array(value: ir.Value | None) -> np.ndarray:
    tensor = constant(value)
    assert tensor is not None
    return tensor.numpy()
