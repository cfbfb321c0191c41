"""Multiplies out linear layers with nothing between them, in whole or in part, where that wins.

    (x W1^T + b1) W2^T + b2         ->  x (W2 W1)^T + (W2 b1 + b2)
    (x A^T + a) + (x B^T + b) + x   ->  x (A + B + I)^T + (a + b)         A, B: layers or chains

A cascade of sparse factors does fewer multiplications than its product; below some width one layer
is faster all the same. Each segment of a chain is costed as one layer, and the best cut is found by
dynamic programming. Nothing is replaced by what is estimated slower at a batch size that counts;
what Adds cost is not counted, so that merging a sum has to win by its products alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from nfcompile.cost.collapse import CollapseCosts
from nfcompile.cost.costed_pass import CostedPass
from nfcompile.cost.layer_cost import gain
from nfcompile.ir.affine import Affine, find_affines
from nfcompile.ir.affine_rewrite import affine_nodes, drop_constants, replace_with_affine
from nfcompile.ir.chains import Group, Sum, find_chains, find_sums, fold_bias, groups
from nfcompile.ir.linear import is_row
from nfcompile.ir.rewrite import insert_before, replace_node, single_use
from nfcompile.sparse.product import multiply

__all__ = ["CollapseProductsPass"]

_MOST_PAIRED = 8


@dataclass(frozen=True)
class CollapseProductsPass(CostedPass):
    """Replaces chains and sums of linear layers by fewer layers that compute the same.

    Attributes:
        target: Where the model will run: `ort-cpu`, `ort-cuda` or `portable`.
        threads: Threads per inference that costs are estimated for; 0 for all of this machine.
        precision: Of sparse weights: `fp32` or `bf16`.
        max_length: Most layers multiplied out to one.
        timer: Measures what layers take, given by the compiler; None leaves it to estimates.
    """

    name: ClassVar[str] = "collapse-products"
    max_length: int = 64

    def run(self, model: ir.Model) -> int:
        """Merges sums, then chains, until there is nothing left that wins."""
        costs = CollapseCosts(self.where(), self.max_length, self.timer)
        count = 0
        while True:
            layers = find_affines(model)
            # One sum at a time: the others may hold values that it replaces.
            sums = (
                self._merge_sum(model, tree, layers, costs) for tree in find_sums(model, layers)
            )
            merged = next(filter(None, sums), 0)
            if not merged:
                merged = sum(self._collapse(model, chain, costs) for chain in find_chains(layers))
            if not merged:
                break
            count += merged
        self._remark_broken(model, layers)
        return count

    def _collapse(self, model: ir.Model, chain: tuple[Affine, ...], costs: "CollapseCosts") -> int:
        name = chain[-1].linear.name
        plan = costs.plan(chain)
        if isinstance(plan, str):
            self.remark(model, "missed", name, plan)
            return 0
        count = 0
        for start, end in plan.segments:
            part = chain[start:end]
            if len(part) == 1:
                continue
            weights = [layer.weight() for layer in part]
            weight = multiply([weights], (part[-1].linear.out_in[0], part[0].linear.out_in[1]))
            merged = plan.merged[start, end]
            rows, columns = weight.shape
            self.remark(
                model,
                "applied",
                part[-1].linear.name,
                f"{len(part)} layers multiplied out to one of {rows}x{columns}, {merged.kind}: "
                f"{gain(merged.cost, costs.kept(part))}",
            )
            replace_with_affine(part[0].linear.x, part, weight, fold_bias(part, weights))
            count += 1
        if len(plan.segments) > 1 and plan.refusal:
            reason = f"{len(plan.segments)} layers stay apart: {plan.refusal}"
            self.remark(model, "missed", name, reason)
        return count

    def _merge_sum(
        self,
        model: ir.Model,
        tree: Sum,
        layers: dict[ir.Value, Affine | str],
        costs: "CollapseCosts",
    ) -> int:
        for group in groups(tree, layers):
            for part in _subsets(group):
                found = costs.merged(part)
                chain = next(filter(None, part.members))
                if isinstance(found, str):
                    if part is group:
                        self.remark(model, "missed", chain[-1].linear.name, found)
                    continue
                weights = [[layer.weight() for layer in member] for member in part.members]
                weight = multiply(weights, part.out_in)
                biases = [
                    bias
                    for member, factors in zip(part.members, weights, strict=True)
                    if (bias := fold_bias(member, factors)) is not None
                ]
                rows, columns = part.out_in
                self.remark(
                    model,
                    "applied",
                    chain[-1].linear.name,
                    f"a sum of {part} merged into one layer of {rows}x{columns}, {found.kind}",
                )
                _replace_sum(tree, part, affine_nodes(part.x, chain[-1], weight, _add(biases)))
                return 1
        return 0

    def _remark_broken(self, model: ir.Model, layers: dict[ir.Value, Affine | str]) -> None:
        """Says why two adjacent layers are not one chain."""
        for value, layer in layers.items():
            node = layer.linear.node if isinstance(layer, Affine) else value.producer()
            assert node is not None and node.inputs[0] is not None
            x = node.inputs[0]
            before = layers.get(x)
            if before is None:
                continue
            reason = next((item for item in (before, layer) if isinstance(item, str)), "")
            if not reason and single_use(x) is not node:
                reason = f"{x.name} before it has other uses"
            if reason:
                name = node.name or str(node.inputs[1].name if node.inputs[1] else "")
                self.remark(model, "missed", name, f"not multiplied out: {reason}")


def _subsets(group: Group) -> Iterator[Group]:
    """The whole group, then each pair of its members."""
    yield group
    if 2 < len(group.members) <= _MOST_PAIRED:
        for pair in combinations(range(len(group.members)), 2):
            if any(group.members[i] for i in pair):
                yield group.subset(*pair)


def _add(biases: list[np.ndarray]) -> np.ndarray | None:
    return np.sum(biases, axis=0) if biases else None


def _replace_sum(tree: Sum, group: Group, nodes: list[ir.Node]) -> None:
    """Puts the sum of the merged layer and of the leaves that are left in the tree's place."""
    root, left = tree.adds[0], list(tree.leaves)
    for leaf in group.leaves:
        left.remove(leaf)
    value = nodes[-1].outputs[0]
    for leaf in left:
        nodes.append(ir.node("Add", [value, leaf]))
        total_value = nodes[-1].outputs[0]
        total_value.type = value.type
        if value.shape is not None and leaf.shape is not None:
            features = group.out_in[0]
            row = is_row(leaf.shape, features) and len(leaf.shape) <= len(value.shape)
            total_value.shape = value.shape if row or leaf.shape == value.shape else None
        value = total_value
    insert_before(root, *nodes[:-1])
    replace_node(root, nodes[-1])
    weights = [layer.linear.weight for chain in group.members for layer in chain]
    old = [*tree.adds[1:]]
    old += [node for chain in group.members for layer in reversed(chain) for node in layer.nodes]
    for node in old:
        assert node.graph is not None
        node.graph.remove(node, safe=True)
    drop_constants(weights)
