"""New weights for affine layers: in their place, or as one layer instead of several."""

import re
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import scipy.sparse

from nfcompile.ir.affine import Affine
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.rewrite import (
    add_constant,
    insert_before,
    main_graph,
    replace_node,
    unique_name,
)
from nfcompile.sparse import CsrTensor
from nfcompile.sparse.product import Matrix

__all__ = [
    "affine_nodes",
    "drop_constants",
    "replace_with_affine",
    "set_affine",
    "set_features",
]

_KEEP_SPARSE = 0.7
"""A weight with a larger share of non-zeros is stored dense between passes."""


def affine_nodes(
    x: ir.Value, like: Affine, weight: Matrix, bias: np.ndarray | None
) -> list[ir.Node]:
    """New nodes for y = x W^T + b, of the same operator as the layer `like`, in no graph yet.

    Args:
        x: The activations.
        like: Gives names, the operator, and the graph that owns constants.
        weight: W, (out, in); stored as float32, by its non-zeros where it has zeros.
        bias: The bias b, (out,), or None.
    """
    graph, name = main_graph(like.linear.weight), _base_name(like)
    gemm = like.linear.node.op_type == "Gemm"
    value = add_constant(graph, f"{name}.merged", _tensor(weight, transposed=not gemm))
    inputs = [x, value]
    row = None
    if bias is not None and bias.any():
        row = add_constant(graph, f"{name}.merged.bias", bias.astype(np.float32))
    if gemm:
        attributes = {"transB": 1}
        nodes = [ir.node("Gemm", [*inputs, *([row] if row else [])], attributes)]
    else:
        nodes = [ir.node("MatMul", inputs)]
        if row is not None:
            nodes.append(ir.node("Add", [nodes[0].outputs[0], row]))
    nodes[0].name = like.linear.node.name
    for node in nodes:
        node.outputs[0].type = x.type
        if x.shape is not None:
            node.outputs[0].shape = ir.Shape([*x.shape.dims[:-1], weight.shape[0]])
    return nodes


def replace_with_affine(
    x: ir.Value,
    layers: Sequence[Affine],
    weight: Matrix,
    bias: np.ndarray | None,
) -> None:
    """Puts one layer y = x W^T + b in the place of a chain of layers, first to last."""
    nodes = affine_nodes(x, layers[-1], weight, bias)
    last = layers[-1].last
    shape = nodes[-1].outputs[0].shape
    insert_before(last, *nodes[:-1])
    weights = [layer.linear.weight for layer in layers]
    old = [node for layer in reversed(layers) for node in layer.nodes][1:]
    replace_node(last, nodes[-1])
    nodes[-1].outputs[0].shape = shape or nodes[-1].outputs[0].shape
    for node in old:
        assert node.graph is not None
        node.graph.remove(node, safe=True)
    drop_constants(weights)


def drop_constants(values: Sequence[ir.Value]) -> None:
    """Lets go of constants that nothing reads any more, so that they take no memory."""
    for value in values:
        if value.uses() or value.is_graph_output() or value.is_graph_input():
            continue
        main_graph(value).initializers.pop(str(value.name))
        value.const_value = None


def set_affine(layer: Affine, weight: Matrix, bias: np.ndarray | None) -> None:
    """Gives a layer another weight (out, in) and bias (out,) where it is; sizes may change."""
    node, name = layer.linear.node, _base_name(layer)
    graph = main_graph(layer.linear.weight)
    tensor = _tensor(weight, transposed=layer.linear.transposed)
    old = layer.linear.weight
    node.replace_input_with(1, add_constant(graph, f"{name}.reduced", tensor))
    drop_constants([old])
    for factor in ("alpha", "beta"):
        node.attributes.pop(factor, None)
    outputs = [item.outputs[0] for item in layer.nodes]
    _set_bias(layer, None if bias is None else bias.astype(np.float32), f"{name}.reduced.bias")
    for value in outputs:
        set_features(value, weight.shape[0])


def set_features(value: ir.Value, features: int) -> None:
    """Sets the last dimension of a value's shape."""
    if value.shape is not None:
        value.shape = ir.Shape([*value.shape.dims[:-1], features])


def _set_bias(layer: Affine, bias: np.ndarray | None, name: str) -> None:
    node, product = layer.linear.node, layer.linear.node.outputs[0]
    if node.op_type == "Gemm":
        node.resize_inputs(2)
    if layer.add is None and (bias is None or not bias.any()):
        return
    row = np.zeros(1, np.float32) if bias is None else bias
    value = add_constant(main_graph(layer.linear.weight), name, row)
    if layer.add is not None:
        layer.add.replace_input_with(0, product)
        layer.add.replace_input_with(1, value)
    elif node.op_type == "Gemm":
        node.resize_inputs(3)
        node.replace_input_with(2, value)
    else:
        add = ir.node("Add", [product, value])
        add.outputs[0].type, add.outputs[0].shape = product.type, product.shape
        assert node.graph is not None
        whole, product.name = product.name, unique_name(node.graph, f"{product.name}.product")
        add.outputs[0].name = whole
        product.replace_all_uses_with(add.outputs[0], replace_graph_outputs=True)
        add.replace_input_with(0, product)
        node.graph.insert_after(node, [add])


def _base_name(layer: Affine) -> str:
    """The user's name of the weight, less what an earlier rewrite added."""
    name = layer.linear.weight.name or "weight"
    return re.sub(r"\.(merged|reduced)(_\d+)?$", "", name)


def _tensor(weight: Matrix, *, transposed: bool) -> ir.TensorProtocol:
    narrow = weight.astype(np.float32)
    size = weight.shape[0] * weight.shape[1]
    if isinstance(narrow, np.ndarray):
        stored = int(np.count_nonzero(narrow))
        if stored > _KEEP_SPARSE * size:
            return ir.Tensor(np.ascontiguousarray(narrow.T) if transposed else narrow)
        csr = CsrTensor.from_dense(narrow)
    else:
        csr = CsrTensor.from_scipy(scipy.sparse.csr_array(narrow))
        if csr.stored > _KEEP_SPARSE * size:
            dense = csr.numpy()
            return ir.Tensor(np.ascontiguousarray(dense.T) if transposed else dense)
    return EncodedTensor(csr, transposed=transposed, name=None)
