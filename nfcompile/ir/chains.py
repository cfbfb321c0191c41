"""Chains of affine layers with nothing between them, and sums of such chains.

y = W_k (... (W_1 x + b_1) ...) + b_k                      a chain from x
y = chain_1(x) + ... + chain_p(x) + x + rest               a sum, with a skip
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import scipy.sparse

from nfcompile.ir.affine import Affine
from nfcompile.ir.rewrite import single_use

__all__ = ["Group", "Sum", "chain_to", "find_chains", "find_sums", "fold_bias", "groups"]

Layers = Mapping[ir.Value, Affine | str]


@dataclass(frozen=True)
class Sum:
    """A tree of Adds whose inner values nothing else reads.

    Attributes:
        adds: Its nodes, the last to run first.
        leaves: What is added, in order.
    """

    adds: tuple[ir.Node, ...]
    leaves: tuple[ir.Value, ...]


@dataclass(frozen=True)
class Group:
    """Those leaves of a sum that are linear in one value.

    Attributes:
        x: The value.
        members: For each leaf its chain of layers from `x`; none for `x` itself.
        leaves: The leaves.
    """

    x: ir.Value
    members: tuple[tuple[Affine, ...], ...]
    leaves: tuple[ir.Value, ...]

    @property
    def out_in(self) -> tuple[int, int]:
        """(out, in) of the whole."""
        chain = next(filter(None, self.members))
        return chain[-1].linear.out_in[0], chain[0].linear.out_in[1]

    def __str__(self) -> str:
        layers = sum(map(len, self.members))
        return f"{layers} layer{'s' * (layers > 1)}" + " and a skip" * (() in self.members)

    def subset(self, *chosen: int) -> "Group":
        """The group of some of its members."""
        members = tuple(self.members[i] for i in chosen)
        return Group(self.x, members, tuple(self.leaves[i] for i in chosen))


def chain_to(layers: Layers, value: ir.Value) -> tuple[Affine, ...]:
    """The longest chain that ends in `value`; empty if no layer gives it."""
    chain: list[Affine] = []
    layer = layers.get(value)
    while isinstance(layer, Affine):
        chain.append(layer)
        x = layer.linear.x
        layer = layers.get(x) if single_use(x) is layer.linear.node else None
    return tuple(reversed(chain))


def find_chains(layers: Layers) -> Iterator[tuple[Affine, ...]]:
    """All longest chains of two layers or more."""
    products = {layer.linear.node for layer in layers.values() if isinstance(layer, Affine)}
    for value in list(layers):
        user = single_use(value)
        goes_on = user in products and user.inputs[0] is value if user is not None else False
        if not goes_on and len(chain := chain_to(layers, value)) > 1:
            yield chain


def find_sums(model: ir.Model, layers: Layers) -> list[Sum]:
    """All largest trees of Adds, but for those that add a layer's bias."""
    sums = []
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if not _is_add(node, layers):
            continue
        user = single_use(node.outputs[0])
        if user is None or not _is_add(user, layers):
            sums.append(_tree(node, layers))
    return sums


def groups(tree: Sum, layers: Layers) -> list[Group]:
    """The groups of a sum with two members or more, one of them a chain."""
    found: dict[ir.Value, list[tuple[tuple[Affine, ...], ir.Value]]] = {}
    for leaf in tree.leaves:
        chain = chain_to(layers, leaf) if single_use(leaf) in tree.adds else ()
        found.setdefault(chain[0].linear.x if chain else leaf, []).append((chain, leaf))
    made = []
    for x, items in found.items():
        group = Group(x, tuple(chain for chain, _ in items), tuple(leaf for _, leaf in items))
        outs = {chain[-1].linear.out_in[0] for chain in group.members if chain}
        if len(items) < 2 or len(outs) != 1:
            continue
        if () in group.members and group.out_in[0] != group.out_in[1]:
            continue  # x is broadcast
        made.append(group)
    return made


def fold_bias(
    chain: Sequence[Affine], weights: Sequence[scipy.sparse.csr_array]
) -> np.ndarray | None:
    """The bias of a chain as one layer, float64: W_k ... W_2 b_1 + ... + b_k."""
    folded: np.ndarray | None = None
    for layer, weight in zip(chain, weights, strict=True):
        bias = layer.bias()
        if folded is not None:
            folded = weight.astype(np.float64) @ folded
            bias = folded if bias is None else folded + bias
        folded = bias
    return folded


def _is_add(node: ir.Node, layers: Layers) -> bool:
    return node.op_type == "Add" and node.domain == "" and node.outputs[0] not in layers


def _tree(root: ir.Node, layers: Layers) -> Sum:
    adds: list[ir.Node] = []
    leaves: list[ir.Value] = []
    pending: list[ir.Value] = [root.outputs[0]]
    while pending:
        value = pending.pop()
        node = value.producer()
        inner = node is root or single_use(value) in adds
        if node is None or not inner or not _is_add(node, layers):
            leaves.append(value)
            continue
        adds.append(node)
        pending.extend(item for item in reversed(node.inputs) if item is not None)
    return Sum(tuple(adds), tuple(leaves))
