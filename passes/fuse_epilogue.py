"""Fuses what follows one of our products into it: bias, activation, residual.

    Add(M(X), b)               ->  M(X; bias=b)                          b: one value per output
    Add(M(X), R)               ->  M(X; residual=R)                      R: shape of the product
    Add(M(X; residual=N(Z)), R)  ->  M(X; residual=N(Z; residual=R))     N: a product without one
    Relu(M(X))                 ->  M(X; activation=relu)                 and Gelu, SiLU, Clip, ...
    Add(Relu(M(X)), R)         ->  M(X; activation=relu, residual=R, residual_mode=1)
    Mul(SiLU(M(X)), R)         ->  M(X; activation=silu, residual=R, residual_mode=2)
                                                                 R: another product, or an input

Each saves reading and writing the whole output once, which is most of the time of a sparse layer.
It runs after legalization, since only our operators have an epilogue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import onnx_ir as ir

from nfcompile.ir.activations import match_activation
from nfcompile.ir.linear import constant, is_row
from nfcompile.ir.pass_base import Pass
from nfcompile.ir.rewrite import add_constant, main_graph, single_use
from nfcompile.ir.schemas import CONVS, DOMAIN, MATMULS

__all__ = ["FuseEpiloguePass"]

_SLOTS = {
    schema.name: [item.name for item in schema.inputs]
    for schema in (*MATMULS.values(), *CONVS.values())
}
_CONVOLUTIONS = {schema.name for schema in CONVS.values()}


@dataclass(frozen=True)
class FuseEpiloguePass(Pass):
    """Grows the epilogue of each product as far as it goes.

    Attributes:
        max_length: Most operations fused into one product.
    """

    name: ClassVar[str] = "fuse-epilogue"
    max_length: int = 3

    def run(self, model: ir.Model) -> int:
        """Fuses into every product of our domain."""
        products = [
            node
            for node in ir.traversal.RecursiveGraphIterator(model.graph)
            if node.domain == DOMAIN and node.op_type in _SLOTS
        ]
        fused: dict[ir.Node, list[str]] = {node: [] for node in products}
        for node in products:
            while len(fused[node]) < self.max_length:
                step = _next_step(node, model.graph.opset_imports)
                if isinstance(step, str):
                    if step:
                        self.remark(model, "missed", node.name, f"epilogue ends: {step}")
                    break
                step.apply()
                fused[node].append(step.label)
        while any(self._fuse_gate(node, fused[node]) for node in _activated_first(products)):
            pass  # what was multiplied may be a factor now
        for node, labels in fused.items():
            if labels:
                self.remark(model, "applied", node.name, f"fused {', '.join(labels)}")
        return sum(map(len, fused.values()))

    def _fuse_gate(self, node: ir.Node, fused: list[str]) -> bool:
        step = _gate(node) if len(fused) < self.max_length else None
        if step is None:
            return False
        step.apply()
        fused.append(step.label)
        return True


def _activated_first(products: Sequence[ir.Node]) -> list[ir.Node]:
    """Of two that are multiplied the one with an activation looks at its sums again anyway."""
    return sorted(products, key=_has_activation, reverse=True)


@dataclass(frozen=True)
class _Step:
    """One operation to fuse into a product.

    Attributes:
        product: The product that takes it in.
        label: What remarks call it.
        replaced: The nodes that it replaces, in order; the last gives its output.
        inputs: Inputs to set, by formal name.
        attributes: Attributes to set.
        inner: Product that takes the residual instead; it moves along, ahead of `product`.
    """

    product: ir.Node
    label: str
    replaced: tuple[ir.Node, ...]
    inputs: dict[str, ir.Value]
    attributes: dict[str, Any]
    inner: ir.Node | None = None

    def apply(self) -> None:
        """Moves the product to where the operation ends; what it replaces becomes dead."""
        product = self.product
        taker = self.inner or product
        for name, value in self.inputs.items():
            slot = _slot(taker, name)
            taker.resize_inputs(max(slot + 1, len(taker.inputs)))
            taker.replace_input_with(slot, value)
        for attribute in ir.convenience.convert_attributes(self.attributes):
            product.attributes[attribute.name] = attribute
        graph = product.graph
        assert graph is not None
        moved = [product] if self.inner is None else [self.inner, product]
        graph.remove(moved)
        graph.insert_after(self.replaced[-1], moved)
        old, new = self.replaced[-1].outputs[0], product.outputs[0]
        name = old.name or ""
        old.name = None
        new.name, new.shape, new.type = name, old.shape, old.type
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        for node in reversed(self.replaced):
            graph.remove(node, safe=True)


def _next_step(product: ir.Node, opset_imports: dict[str, int]) -> _Step | str:
    """What can be fused next, or the reason why not (empty if nothing elementwise follows)."""
    value = product.outputs[0]
    has_activation = _has_activation(product)
    mode = product.attributes.get_int("residual_mode", 0)
    if not (has_activation or mode) and (found := match_activation(value, opset_imports)):
        attributes = {
            "activation": found.name,
            "activation_alpha": found.alpha,
            "activation_beta": found.beta,
        }
        return _Step(product, found.name, found.nodes, {}, attributes)
    follower = single_use(value)
    if follower is None:
        names = {use.node.op_type for use in value.uses()}
        return "its output has other uses" if "Add" in names and not has_activation else ""
    if follower.op_type != "Add" or follower.domain != "":
        return ""
    other = follower.inputs[1] if follower.inputs[0] is value else follower.inputs[0]
    if other is None or other is value:
        return ""
    if bias := _as_bias(product, value, other):
        return _Step(product, "bias", (follower,), {"bias": bias}, {})
    if reason := _not_same_shape(value, other):
        return reason
    residual = _input(product, "residual")
    if residual is None:
        attributes = {"residual_mode": int(has_activation)}
        return _Step(product, "residual", (follower,), {"residual": other}, attributes)
    inner = _without_residual(residual)
    if has_activation or mode or inner is None:
        return "it has a residual already"
    return _Step(product, "second residual", (follower,), {"residual": other}, {}, inner)


def _without_residual(value: ir.Value) -> ir.Node | None:
    """The product that gives `value` to one reader only and could still add something to it."""
    node = value.producer()
    if node is None or node.domain != DOMAIN or node.op_type not in _SLOTS:
        return None
    if single_use(value) is None or _input(node, "residual") is not None:
        return None
    return None if _has_activation(node) else node


def _has_activation(product: ir.Node) -> bool:
    return product.attributes.get_string("activation", "none") != "none"


def _gate(product: ir.Node) -> _Step | None:
    """The multiplication of its output with an input or another product, as in SwiGLU.

    Not with what other nodes compute: a chain could not have this product as well as those that
    such a node reads.
    """
    value = product.outputs[0]
    follower = single_use(value)
    if _input(product, "residual") is not None or follower is None:
        return None
    if follower.op_type != "Mul" or follower.domain != "":
        return None
    other = follower.inputs[1] if follower.inputs[0] is value else follower.inputs[0]
    if other is None or other is value or _not_same_shape(value, other):
        return None
    given_by = other.producer()
    if given_by is not None and (given_by.domain != DOMAIN or given_by.op_type not in _SLOTS):
        return None
    inputs, attributes = {"residual": other}, {"residual_mode": 2}
    return _Step(product, f"multiplication by {other.name}", (follower,), inputs, attributes)


def _as_bias(product: ir.Node, value: ir.Value, other: ir.Value) -> ir.Value | None:
    """`other` as a bias of shape (out,), if it is one and the epilogue still has room for it."""
    taken = any(_input(product, name) is not None for name in ("bias", "residual"))
    if taken or _has_activation(product):
        return None
    if value.shape is None or other.shape is None or len(other.shape) > len(value.shape):
        return None
    tensor = constant(other)
    if product.op_type in _CONVOLUTIONS:
        # One value per channel: (1, out, 1, 1), and maybe without the first 1.
        channels = ir.Shape(other.shape[-3:-2])
        single = all(size == 1 for size in (*other.shape[:-3], *other.shape[-2:]))
        if tensor is None or not single or not is_row(channels, value.shape[1]):
            return None
        return add_constant(main_graph(other), f"{other.name}.row", tensor.numpy().reshape(-1))
    out_features = value.shape[-1]
    if not isinstance(out_features, int) or not is_row(other.shape, out_features):
        return None
    if len(other.shape) == 1 or tensor is None:
        return other if len(other.shape) == 1 else None
    return add_constant(main_graph(other), f"{other.name}.row", tensor.numpy().reshape(-1))


def _not_same_shape(value: ir.Value, other: ir.Value) -> str:
    if value.shape is None or other.shape is None:
        return f"the shape of {value.name if value.shape is None else other.name} is not known"
    if value.shape != other.shape or any(dim == ir.SymbolicDim(None) for dim in value.shape):
        return f"{other.name} of shape {other.shape} is broadcast to {value.shape}"
    return ""


def _slot(product: ir.Node, name: str) -> int:
    return _SLOTS[product.op_type].index(name)


def _input(product: ir.Node, name: str) -> ir.Value | None:
    slot = _slot(product, name)
    return product.inputs[slot] if slot < len(product.inputs) else None
