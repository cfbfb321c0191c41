"""What chains and sums of layers cost as they are, cut best, or as one layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import onnx_ir as ir

from nfcompile.cost.layer_cost import Cost, alike, together
from nfcompile.cost.linear import batches_of
from nfcompile.cost.measured import LayerTimer
from nfcompile.cost.products import MergedCost, bound, cost_of_matrix, cost_of_sum
from nfcompile.cost.segments import best_segments, share, total
from nfcompile.ir.affine import Affine
from nfcompile.ir.chains import Group
from nfcompile.sparse.product import estimate_nnz, estimate_segments
from nfcompile.target import Target

__all__ = ["CollapseCosts", "Plan"]


@dataclass(frozen=True)
class Plan:
    """The best cut of a chain.

    Attributes:
        segments: The cut: layers i ... j - 1 of each segment.
        merged: Costs of segments of two layers or more, also of those not taken.
        refusal: Why the whole is not one layer, or empty.
    """

    segments: list[tuple[int, int]]
    merged: dict[tuple[int, int], MergedCost]
    refusal: str


class CollapseCosts:
    """What layers cost as they are, cut best, or merged; each looked at once."""

    def __init__(self, target: Target, max_length: int, timer: LayerTimer | None = None) -> None:
        self._target = target
        self._timer = timer
        self._max_length = max_length
        self._costs: dict[ir.Value, Cost] = {}
        self._plans: dict[tuple[ir.Value, ...], Plan | str] = {}
        self._sums: dict[tuple[tuple[ir.Value, ...], ...], MergedCost | str] = {}

    def plan(self, chain: Sequence[Affine]) -> Plan | str:
        """The best cut, or why the chain is left alone."""
        key = _key(chain)
        if key not in self._plans:
            self._plans[key] = self._cut(chain)
        return self._plans[key]

    def merged(self, group: Group) -> MergedCost | str:
        """A group as one layer, or why it stays a sum."""
        key = tuple(map(_key, group.members))
        if key not in self._sums:
            self._sums[key] = self._merge(group)
        return self._sums[key]

    def kept(self, layers: Sequence[Affine]) -> Cost:
        """Times of layers as they are."""
        return together([self._single(layer) for layer in layers])

    def _cut(self, chain: Sequence[Affine]) -> Plan | str:
        weights = [layer.weight() for layer in chain]
        batches = batches_of(chain[0].linear.x, self._target)
        for layer, weight in zip(chain, weights, strict=True):
            if not np.isfinite(weight.data).all():
                return f"weight {layer.linear.weight.name} is not finite"
        nonzeros = estimate_segments(weights, self._max_length)
        bounds = [bound(weight, batches, self._target) for weight in weights]
        merged: dict[tuple[int, int], MergedCost] = {}
        refusals: list[str] = []
        for start, end in combinations(range(len(chain) + 1), 2):
            if end - start == 1 or (start, end) not in nonzeros:
                continue
            found = cost_of_sum(
                [weights[start:end]],
                (weights[end - 1].shape[0], weights[start].shape[1]),
                nonzeros[start, end],
                total(bounds[start:end]),
                partial(self.kept, chain[start:end]),
                batches,
                self._target,
                self._timer,
            )
            if isinstance(found, MergedCost):
                merged[start, end] = found
            else:
                refusals.append(found)
        refusal = refusals[-1] if refusals else ""
        if not merged:
            return Plan([(i, i + 1) for i in range(len(chain))], {}, refusal)
        singles = [self._single(layer) for layer in chain]
        costs = alike([*singles, *(item.cost for item in merged.values())])
        as_one = {cut: cost.times for cut, cost in zip(merged, costs[len(chain) :], strict=True)}
        segments = best_segments(
            [cost.times for cost in costs[: len(chain)]],
            lambda start, end: as_one.get((start, end)),
        )
        return Plan(segments, merged, refusal)

    def _merge(self, group: Group) -> MergedCost | str:
        chains = [member for member in group.members if member]
        plans = [self.plan(chain) for chain in chains]
        if reason := next((item for item in plans if isinstance(item, str)), ""):
            return reason
        layers = [layer for chain in chains for layer in chain]
        batches = batches_of(group.x, self._target)
        terms = [[layer.weight() for layer in member] for member in group.members]
        found = cost_of_sum(
            terms,
            group.out_in,
            estimate_nnz(terms, group.out_in),
            total([bound(layer.weight(), batches, self._target) for layer in layers]),
            partial(self.kept, layers),
            batches,
            self._target,
            self._timer,
        )
        if isinstance(found, str):
            return f"a sum of {group} stays: {found}"
        apart = together(
            [
                plan.merged[cut].cost if cut in plan.merged else self.kept(chain[slice(*cut)])
                for chain, plan in zip(chains, plans, strict=True)
                if isinstance(plan, Plan)
                for cut in plan.segments
            ]
        )
        one, several, kept = (cost.times for cost in alike([found.cost, apart, self.kept(layers)]))
        if share(one, kept) > share(several, kept) * (1 + 1e-9):
            return f"a sum of {group} stays: its layers are faster multiplied out apart"
        return found

    def _single(self, layer: Affine) -> Cost:
        value = layer.linear.weight
        if value not in self._costs:
            batches = batches_of(layer.linear.x, self._target)
            weight = layer.weight()
            self._costs[value], _ = cost_of_matrix(weight, batches, self._target, self._timer)
        return self._costs[value]


def _key(chain: Sequence[Affine]) -> tuple[ir.Value, ...]:
    return tuple(layer.linear.weight for layer in chain)
