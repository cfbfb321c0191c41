"""Fuses products that feed each other into one operator.

    M2(M1(X))                          ->  SparseChain(X; M1, M2)
    M3(M1(X); residual=M2(X))          ->  SparseChain(X; M1, M2, M3)
    M2(M1(X); residual=R)              ->  SparseChain(X, R; M1, M2)
    C2(C1(X))                          ->  SparseConvChain(X; C1, C2)          convolutions

A chain of products runs a few rows of the batch at a time through all its layers, so that
activations stay in the cache, and transposes none of them in between: each product alone brings its
input into the kernels' order and its output back. It runs after epilogues are fused, which leaves
nothing between the products of a chain. Of convolutions, a few images at a time go through all
layers; so a chain of them ends where the images become larger than any of its results, since fewer
of them would fit the cache.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import onnx_ir as ir

from nfcompile.ir.linear import constant
from nfcompile.ir.pass_base import Pass
from nfcompile.ir.rewrite import replace_node
from nfcompile.ir.schemas import CHAIN, CONV_CHAIN, CONVS, DOMAIN, MATMULS

__all__ = ["FuseChainsPass"]

_CONVOLUTIONS = {schema.name for schema in CONVS.values()}
_KINDS = {schema.name: kind for of in (MATMULS, CONVS) for kind, schema in of.items()}
_SLOTS = {
    schema.name: [item.name for item in schema.inputs]
    for of in (MATMULS, CONVS)
    for schema in of.values()
}
_WINDOW = {"kernel_shape": "kernel_shapes", "strides": "strides", "dilations": "dilations",
           "pads": "pads"}  # fmt: skip


@dataclass(frozen=True)
class FuseChainsPass(Pass):
    """Makes each chain as long as it can be.

    Attributes:
        max_layers: Most layers of one chain.
    """

    name: ClassVar[str] = "fuse-chains"
    max_layers: int = 1024

    def run(self, model: ir.Model) -> int:
        """Fuses in the main graph and in every subgraph."""
        taken: set[ir.Node] = set()
        count = 0
        nodes = list(ir.traversal.RecursiveGraphIterator(model.graph))
        for last in reversed(nodes):
            if last in taken or not _is_product(last):
                continue
            if reason := _apart(last):
                self.remark(model, "missed", str(last.name), f"stays apart: {reason}")
                continue
            members = self._members(last)
            if len(members) < 2:
                continue
            taken |= members
            chain = [node for node in nodes if node in members]
            names = ", ".join(str(node.name) for node in chain)
            self.remark(model, "applied", str(last.name), f"runs as one operator with {names}")
            replace_node(last, _chain_node(chain))
            for node in reversed(chain[:-1]):
                assert node.graph is not None
                node.graph.remove(node, safe=True)
            count += 1
        return count

    def _members(self, last: ir.Node) -> set[ir.Node]:
        """`last` and what it is made from, as far as nothing else sees it."""
        members = dict.fromkeys([last])  # in the order in which they are found
        grown = True
        while grown and len(members) < self.max_layers:
            grown = False
            read = dict.fromkeys(value for node in members for value in _activations(node))
            for value in read:
                if len(members) >= self.max_layers:
                    break
                node = value.producer()
                if node is None or node in members or not _is_product(node):
                    continue
                inside = all(use.node in members for use in value.uses())
                if not inside or value.is_graph_output() or node.graph is not last.graph:
                    continue
                if _apart(node) or not _alike(node, last) or not _fits(node, members, last):
                    continue
                members[node] = None
                grown = True
        return set(members)


def _is_product(node: ir.Node) -> bool:
    return node.domain == DOMAIN and node.op_type in _KINDS


def _alike(node: ir.Node, last: ir.Node) -> bool:
    """Whether two of our operators can be part of one chain."""
    return _precision(node) == _precision(last) and _convolves(node) == _convolves(last)


def _fits(node: ir.Node, members: Iterable[ir.Node], last: ir.Node) -> bool:
    """Whether as many images of a result fit the cache as of those in the chain."""
    if not _convolves(node):
        return True
    size = _size(node)
    if size is None or size == _size(last):
        return size is not None
    elements = _elements(node)
    return elements is not None and elements <= max(_elements(of) or 0 for of in members)


def _elements(node: ir.Node) -> int | None:
    """Elements of one image of a result; None where they are not known."""
    shape = node.outputs[0].shape
    dims = () if shape is None else shape.dims[1:]
    sizes = [dim for dim in dims if isinstance(dim, int)]
    return math.prod(sizes) if len(sizes) == len(dims) == 3 else None


def _convolves(node: ir.Node) -> bool:
    return node.op_type in _CONVOLUTIONS


def _size(node: ir.Node) -> tuple[object, ...] | None:
    """Height and width of a result; None where they are not known."""
    shape = node.outputs[0].shape
    if shape is None or any(dim == ir.SymbolicDim(None) for dim in shape.dims[2:]):
        return None
    return tuple(shape.dims[2:])


def _apart(node: ir.Node) -> str:
    """Why a product cannot be part of a chain; empty if it can."""
    bias = _input(node, "bias")
    if bias is not None and constant(bias) is None:
        return f"its bias {bias.name} is computed at run time"
    return ""


def _input(node: ir.Node, name: str) -> ir.Value | None:
    slot = _SLOTS[node.op_type].index(name)
    return node.inputs[slot] if slot < len(node.inputs) else None


def _activations(node: ir.Node) -> Iterator[ir.Value]:
    """What a product reads besides its constants."""
    for name in ("X", "residual"):
        value = _input(node, name)
        if value is not None:
            yield value


def _precision(node: ir.Node) -> ir.DataType | None:
    values = _input(node, "values")
    return None if values is None else values.dtype


def _chain_node(chain: list[ir.Node]) -> ir.Node:
    """The operator for products in topological order."""
    made = {node.outputs[0] for node in chain}
    inputs = dict.fromkeys(value for node in chain for value in _activations(node))
    slots = [*(value for value in inputs if value not in made)]
    builder = _Builder(len(slots))
    for node in chain:
        builder.add(node, slots)
        slots.append(node.outputs[0])
    operands = [*slots[: builder.inputs], *builder.constants]
    name = f"{chain[0].name}..{chain[-1].name}"
    kind = CONV_CHAIN if _convolves(chain[-1]) else CHAIN
    return ir.node(kind.name, operands, builder.attributes(), domain=DOMAIN, name=name)


@dataclass
class _Builder:
    """Collects the lists of a chain's attributes, and its constants."""

    inputs: int
    constants: list[ir.Value] = field(default_factory=list)
    encodings: list[str] = field(default_factory=list)
    activations: list[str] = field(default_factory=list)
    lists: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, node: ir.Node, slots: list[ir.Value]) -> None:
        kind, attributes = _KINDS[node.op_type], node.attributes
        weights = [_input(node, name) for name in _SLOTS[node.op_type][1:4]]
        self.constants += [value for value in weights if value is not None]
        bias, residual = _input(node, "bias"), _input(node, "residual")
        if bias is not None:
            self.constants.append(bias)
        source = _input(node, "X")
        assert source is not None
        self.encodings.append(kind)
        self.activations.append(attributes.get_string("activation", "none"))
        entries = {
            "in_features": attributes.get_int("in_features"),
            "out_features": _out_features(node),
            "row_strides": attributes.get_int("row_stride", 0),
            "col_strides": attributes.get_int("col_stride", 0),
            "has_bias": int(bias is not None),
            "sources": slots.index(source),
            "residuals": -1 if residual is None else slots.index(residual),
            "residual_after_activation": attributes.get_int("residual_after_activation", 0),
            "activation_alphas": attributes.get_float("activation_alpha", 0.0),
            "activation_betas": attributes.get_float("activation_beta", 0.0),
        }
        for name, entry in entries.items():
            self.lists.setdefault(name, []).append(entry)
        for name, of_chain in _WINDOW.items() if _convolves(node) else ():
            self.lists.setdefault(of_chain, []).extend(attributes.get_ints(name))

    def attributes(self) -> dict[str, Any]:
        return {
            "inputs": self.inputs,
            "encodings": ",".join(self.encodings),
            "activations": ",".join(self.activations),
            **self.lists,
        }


def _out_features(node: ir.Node) -> int:
    """Rows of the weight, from the shapes of its components."""
    given = node.attributes.get_int("out_features", 0)
    if given:
        return given
    values, indptr = _input(node, "values"), _input(node, "indptr")
    assert values is not None and values.shape is not None
    assert indptr is not None and indptr.shape is not None
    rows = int(indptr.shape.numpy()[0]) - 1
    return rows * (int(values.shape.numpy()[1]) if len(values.shape) == 3 else 1)
