"""Layers whose weight and bias are both constant, so that algebra can be done on them.

y = x W^T + b        W: (out, in); b from Gemm's C, or from an Add right behind the product
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import scipy.sparse

from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.linear import (
    Linear,
    constant,
    csr_weight,
    find_linears,
    is_row,
    match_linear,
)
from nfcompile.ir.rewrite import (
    add_constant,
    insert_before,
    main_graph,
    replace_node,
    single_use,
    unique_name,
)
from nfcompile.sparse import CsrTensor
from nfcompile.sparse.product import Matrix

__all__ = [
    "Affine",
    "affine_nodes",
    "constant_row",
    "drop_constants",
    "find_affines",
    "match_affine",
    "replace_with_affine",
    "set_affine",
    "set_features",
]

_KEEP_SPARSE = 0.7


@dataclass(frozen=True)
class Affine:
    """A linear layer with its constant bias: a view of one or two nodes.

    Attributes:
        linear: The product.
        add: The Add of a constant behind it, or None.
    """

    linear: Linear
    add: ir.Node | None

    @property
    def last(self) -> ir.Node:
        """The node that gives y."""
        return self.add or self.linear.node

    @property
    def output(self) -> ir.Value:
        """The value y."""
        return self.last.outputs[0]

    @property
    def nodes(self) -> list[ir.Node]:
        """Its nodes, last first."""
        return [self.linear.node] if self.add is None else [self.add, self.linear.node]

    def weight(self) -> scipy.sparse.csr_array:
        """W with Gemm's alpha in it, float32."""
        matrix = csr_weight(self.linear).to_scipy()
        return matrix if self.linear.alpha == 1.0 else matrix * np.float32(self.linear.alpha)

    def bias(self) -> np.ndarray | None:
        """The bias b, shape (out,), float64; None if there is none."""
        rows = []
        if self.linear.bias is not None and self.linear.beta:
            rows.append(_row(self.linear.bias) * self.linear.beta)
        if self.add is not None:
            rows.extend(_row(item) for item in self.add.inputs if constant(item) is not None)
        if not rows:
            return None
        return np.array(np.broadcast_to(sum(rows), (self.linear.out_in[0],)))


def match_affine(node: ir.Node) -> Affine | str | None:
    """`node` as the product of an affine layer; None if it is no linear layer, else why not."""
    linear = match_linear(node)
    if not isinstance(linear, Linear):
        return None
    return _refusal(linear) or Affine(linear, _bias_add(linear))


def find_affines(model: ir.Model) -> dict[ir.Value, Affine | str]:
    """All linear layers by the value they give, or the reason why no algebra is done on one."""
    found: dict[ir.Value, Affine | str] = {}
    for linear in find_linears(model):
        layer = match_affine(linear.node)
        assert layer is not None
        found[layer.output if isinstance(layer, Affine) else linear.node.outputs[0]] = layer
    return found


def constant_row(value: ir.Value | None, like: ir.Value, out_features: int) -> bool:
    """Whether `value` is a constant that adds one number to each feature of `like`, no more."""
    tensor = constant(value)
    if tensor is None or not (tensor.size == 1 or is_row(tensor.shape, out_features)):
        return False
    return len(tensor.shape) <= (1 if like.shape is None else len(like.shape))


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
    graph, name = main_graph(like.linear.weight), like.linear.weight.name or "weight"
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
    node, name = layer.linear.node, layer.linear.weight.name or "weight"
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


def _refusal(linear: Linear) -> str:
    weight = linear.weight
    assert weight.const_value is not None
    if weight.const_value.dtype != ir.DataType.FLOAT:
        return f"weight {weight.name} is {weight.const_value.dtype}"
    if 0 in linear.out_in:
        return f"weight {weight.name} is empty"
    if len(weight.uses()) > 1:
        return f"weight {weight.name} has other uses"
    if linear.bias is None or linear.beta == 0.0:
        return ""
    if not constant_row(linear.bias, linear.node.outputs[0], linear.out_in[0]):
        return "its bias is not a constant of one value per output"
    return ""


def _bias_add(linear: Linear) -> ir.Node | None:
    value = linear.node.outputs[0]
    follower = single_use(value)
    if follower is None or follower.op_type != "Add" or follower.domain != "":
        return None
    others = [item for item in follower.inputs if item is not value]
    if len(others) == 1 and constant_row(others[0], value, linear.out_in[0]):
        return follower
    return None


def _row(value: ir.Value | None) -> np.ndarray:
    tensor = constant(value)
    assert tensor is not None
    return tensor.numpy().reshape(-1).astype(np.float64)


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
