"""Computes equal outputs of a layer once.

    W = E U                  U: the distinct rows of W (with their bias), E repeats them
    f(E U x)  =  E f(U x)    f elementwise
    V f(E U x)  =  (V E) f(U x)             the next layer's columns are summed

Rows that are made equal by summing are merged in the next layer too, and so on down the network.
Where no layer follows that could take E in, one Gather repeats the outputs.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import scipy.sparse

from nfcompile.cost.costed_pass import CostedPass
from nfcompile.cost.layer_cost import Cost, gain, slower_nowhere, together, worst
from nfcompile.cost.linear import batches_of, estimate_gather_us
from nfcompile.cost.measured import LayerTimer
from nfcompile.cost.products import cost_of_matrix
from nfcompile.ir.affine import Affine, match_affine
from nfcompile.ir.affine_rewrite import set_affine, set_features
from nfcompile.ir.elementwise import Region, elementwise_region
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.external_tensors import release
from nfcompile.ir.linear import Linear, find_linears, match_linear
from nfcompile.ir.rewrite import add_constant, main_graph, single_use, unique_name
from nfcompile.sparse.duplicates import equal_rows, rows_differ
from nfcompile.target import Target

__all__ = ["MergeDuplicatesPass"]

_LOOKED_AT = 64


@dataclass(frozen=True)
class MergeDuplicatesPass(CostedPass):
    """Merges rows of a weight that give equal outputs, where that is estimated faster.

    Attributes:
        target: Where the model will run: `ort-cpu`, `ort-cuda` or `portable`.
        threads: Threads per inference that costs are estimated for; 0 for all of this machine.
        precision: Of sparse weights: `fp32` or `bf16`.
        enabled: Off leaves all rows, so that a kernel can be measured on the layers as they came.
        timer: Measures what layers take, given by the compiler; None leaves it to estimates.
    """

    name: ClassVar[str] = "merge-duplicates"
    enabled: bool = True

    def run(self, model: ir.Model) -> int:
        """Merges the rows of each layer, first layers first."""
        if not self.enabled:
            return 0
        target = self.where()
        nodes = [linear.node for linear in find_linears(model)]
        return sum(self._merge(model, node, target) for node in nodes)

    def _merge(self, model: ir.Model, node: ir.Node, target: Target) -> int:
        layer = match_affine(node)
        if not isinstance(layer, Affine):
            self._remark_refused(model, node, layer)
            return 0
        if _first_columns_differ(layer.linear):
            return 0
        weight, bias = layer.weight(), layer.bias()
        if not np.isfinite(weight.data).all():
            return 0
        first, inverse = equal_rows(weight, bias)
        if len(first) == len(inverse):
            return 0
        step = _Step.of(layer, weight, bias, first, inverse)
        before, after = step.costs(target, self.timer)
        name, rows = (
            layer.linear.name,
            f"{len(inverse)} outputs, of which {len(first)} are distinct",
        )
        if not slower_nowhere(after, before):
            batches = batches_of(layer.linear.x, target)
            reason = f"{rows}, stay: merged they are {worst(after, before, batches)}"
            self.remark(model, "missed", name, reason)
            return 0
        step.apply()
        into = "repeated by a Gather" if step.follower is None else "taken in by the next layer"
        self.remark(
            model,
            "applied",
            name,
            f"{rows}: {len(inverse) - len(first)} rows merged, {into}: {gain(after, before)}",
        )
        return 1

    def _remark_refused(self, model: ir.Model, node: ir.Node, reason: str | None) -> None:
        """Says why equal rows of a weight that cannot be changed stay."""
        linear = match_linear(node)
        if not isinstance(linear, Linear) or linear.weight.dtype != ir.DataType.FLOAT:
            return
        if 0 in linear.out_in or _first_columns_differ(linear):
            return
        first, inverse = equal_rows(linear.csr().to_scipy(), None)
        if len(first) < len(inverse):
            rows = f"{len(inverse)} outputs, with {len(first)} distinct rows"
            self.remark(model, "missed", linear.name, f"{rows}, stay: {reason}")


@dataclass(frozen=True)
class _Step:
    """One layer's rows to merge, and what follows it.

    Attributes:
        layer: The layer.
        weight: Its weight.
        reduced: Its distinct rows.
        bias: Their biases.
        inverse: Which of them each output is.
        region: What is done to each output alone.
        follower: The layer that reads the region's end and nothing else does, or None.
    """

    layer: Affine
    weight: scipy.sparse.csr_array
    reduced: scipy.sparse.csr_array
    bias: np.ndarray | None
    inverse: np.ndarray
    region: Region
    follower: Affine | None

    @classmethod
    def of(
        cls,
        layer: Affine,
        weight: scipy.sparse.csr_array,
        bias: np.ndarray | None,
        first: np.ndarray,
        inverse: np.ndarray,
    ) -> "_Step":
        region = elementwise_region(layer.output)
        user = single_use(region.end)
        follower = match_affine(user) if user is not None else None
        taken = isinstance(follower, Affine) and follower.linear.x is region.end
        return cls(
            layer,
            weight,
            weight[first],
            None if bias is None else bias[first],
            inverse,
            region,
            follower if taken and isinstance(follower, Affine) else None,
        )

    def costs(self, target: Target, timer: LayerTimer | None) -> tuple[Cost, Cost]:
        """Times of both layers as they are, and merged."""
        batches = batches_of(self.layer.linear.x, target)

        gathers = self.follower is None and target.name != "ort-cuda"
        timer = None if gathers else timer  # a Gather is not measured, and like goes with like

        def cost(matrix: scipy.sparse.csr_array) -> Cost:
            return cost_of_matrix(matrix, batches, target, timer)[0]

        before, after = [cost(self.weight)], [cost(self.reduced)]
        if gathers:
            shape = len(self.inverse), self.reduced.shape[0]
            after.append(Cost(tuple(estimate_gather_us(shape, at, target) for at in batches)))
        elif self.follower is None:
            # A Gather moves what a layer with one non-zero per row does, and computes nothing.
            after.append(cost(_expansion(self.inverse)))
        else:
            before.append(cost(self.follower.weight()))
            after.append(cost(self._summed(self.follower)))
        return together(before), together(after)

    def apply(self) -> None:
        """Rewrites both layers, or puts a Gather behind the first."""
        features = self.reduced.shape[0]
        if self.follower is not None:
            set_affine(self.follower, self._summed(self.follower), self.follower.bias())
        else:
            self._gather()
        set_affine(self.layer, self.reduced, self.bias)
        for node in self.region.nodes:
            set_features(node.outputs[0], features)

    def _summed(self, follower: Affine) -> scipy.sparse.csr_array:
        expansion = _expansion(self.inverse)
        return scipy.sparse.csr_array(follower.weight().astype(np.float64) @ expansion)

    def _gather(self) -> None:
        end, producer = self.region.end, self.region.end.producer()
        assert producer is not None and producer.graph is not None
        graph = main_graph(self.layer.linear.weight)
        name = f"{self.layer.linear.weight.name}.outputs"
        index = add_constant(graph, name, self.inverse.astype(np.int64))
        gather = ir.node("Gather", [end, index], {"axis": -1})
        whole = gather.outputs[0]
        whole.type, whole.shape = end.type, end.shape
        if end.is_graph_output():
            whole.name, end.name = end.name, unique_name(graph, f"{end.name}.distinct")
        end.replace_all_uses_with(whole, replace_graph_outputs=True)
        gather.replace_input_with(0, end)
        producer.graph.insert_after(producer, [gather])


def _expansion(inverse: np.ndarray) -> scipy.sparse.csr_array:
    """E of shape (outputs, distinct ones)."""
    count = len(inverse)
    data = (np.ones(count, np.float32), inverse, np.arange(count + 1))
    return scipy.sparse.csr_array(data, shape=(count, int(inverse.max()) + 1))


def _first_columns_differ(linear: Linear) -> bool:
    """Whether a look at a few columns of a dense weight already tells all rows apart."""
    tensor = linear.weight.const_value
    if tensor is None or isinstance(tensor, EncodedTensor):
        return False
    dense = tensor.numpy()
    part = dense[:_LOOKED_AT].T if linear.transposed else dense[:, :_LOOKED_AT]
    distinct = rows_differ(part)
    del dense, part  # what is mapped from a file cannot be let go while it is looked at
    release(tensor)
    return distinct
