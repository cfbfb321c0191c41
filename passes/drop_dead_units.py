"""Removes units between two layers that do nothing: constant ones, and ones that nobody reads.

    y = V f(W x + b) + c
    W[r, :] = 0   ->   row r, b[r] and V[:, r] go, and c gains V[:, r] f(b[r])       it is constant
    V[:, r] = 0   ->   row r, b[r] and V[:, r] go                                    nobody reads it

Pruning leaves such units. Dropping one may leave others without inputs or readers, so layers are
looked at until nothing is left. f is whatever elementwise operators stand between.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import scipy.sparse

from nfcompile.cost.costed_pass import CostedPass
from nfcompile.cost.layer_cost import slower_nowhere, together
from nfcompile.cost.linear import batches_of
from nfcompile.cost.measured import LayerTimer
from nfcompile.cost.products import cost_of_matrix
from nfcompile.ir.affine import Affine, match_affine
from nfcompile.ir.affine_rewrite import set_affine, set_features
from nfcompile.ir.elementwise import Region, elementwise_region
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.external_tensors import release
from nfcompile.ir.linear import Linear, find_linears, match_linear
from nfcompile.ir.rewrite import single_use
from nfcompile.target import Target

__all__ = ["DropDeadUnitsPass"]


@dataclass(frozen=True)
class DropDeadUnitsPass(CostedPass):
    """Removes constant and unread units, where the layers are not estimated slower without them.

    Attributes:
        target: Where the model will run: `ort-cpu`, `ort-cuda` or `portable`.
        threads: Threads per inference that costs are estimated for; 0 for all of this machine.
        precision: Of sparse weights: `fp32` or `bf16`.
        timer: Measures what layers take, given by the compiler; None leaves it to estimates.
    """

    name: ClassVar[str] = "drop-dead-units"

    def run(self, model: ir.Model) -> int:
        """Drops units until there are none to drop, and counts the layers that got smaller."""
        target = self.where()
        nodes = [linear.node for linear in find_linears(model)]
        count = 0
        while True:
            # Forwards constants move on, backwards units without readers do.
            dropped = sum(self._drop(model, node, target) for node in (*nodes, *reversed(nodes)))
            if not dropped:
                return count
            count += dropped

    def _drop(self, model: ir.Model, node: ir.Node, target: Target) -> int:
        layer = match_affine(node)
        if not isinstance(layer, Affine):
            return 0
        region = elementwise_region(layer.output)
        user = single_use(region.end)
        reader = match_linear(user) if user is not None else None
        if not isinstance(reader, Linear) or reader.x is not region.end:
            return 0
        constant, unread = ~_used(layer.linear, 0), ~_used(reader, 1)
        dead = constant | unread
        if not dead.any():
            return 0
        name, units = layer.linear.name, f"{int(dead.sum())} of {len(dead)} units are dead"
        follower = match_affine(reader.node)
        if not isinstance(follower, Affine):
            self.remark(model, "missed", name, f"{units}, but the next layer stays: {follower}")
            return 0
        step = _Step.of(layer, region, follower, constant & ~unread, dead, model)
        if isinstance(step, str):
            self.remark(model, "missed", name, f"{units}, but stay: {step}")
            return 0
        if step is None:
            return 0
        if not step.wins(target, self.timer):
            self.remark(model, "missed", name, f"{units}, but without them the pattern is slower")
            return 0
        step.apply()
        self.remark(
            model,
            "applied",
            name,
            f"{units} and dropped: {int(unread.sum())} that nobody reads, "
            f"{int((constant & ~unread).sum())} that are constant",
        )
        return 1


@dataclass(frozen=True)
class _Step:
    """Two layers, what is between them, and both of them without the dead units."""

    layer: Affine
    region: Region
    follower: Affine
    first: scipy.sparse.csr_array
    first_bias: np.ndarray | None
    second: scipy.sparse.csr_array
    second_bias: np.ndarray | None

    @classmethod
    def of(
        cls,
        layer: Affine,
        region: Region,
        follower: Affine,
        folded: np.ndarray,
        dead: np.ndarray,
        model: ir.Model,
    ) -> "_Step | str | None":
        """The step, or why it cannot be made; None if a single unit is left, which has to be.

        Args:
            layer: The layer whose units die.
            region: What is done to each of them.
            follower: The layer that reads them.
            folded: The units whose constant goes into the follower's bias.
            dead: The units to drop, those included.
            model: Gives the versions of the operators.
        """
        bias, weight = layer.bias(), follower.weight()
        keep = ~dead
        if not keep.any():
            keep[0] = True  # a layer without outputs is no layer
            if len(keep) == 1:
                return None
        folded = folded & ~keep
        values = (np.zeros(len(dead)) if bias is None else bias)[folded].astype(np.float32)
        try:
            constants = region.apply(values, model.graph.opset_imports).astype(np.float64)
        except Exception as error:  # whatever an operator's reference implementation raises
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return f"what follows them cannot be evaluated: {lines[0]}"
        if not np.isfinite(constants).all():
            return "a constant one is not finite"
        gained = weight[:, folded].astype(np.float64) @ constants
        second_bias = follower.bias()
        return cls(
            layer,
            region,
            follower,
            layer.weight()[keep],
            None if bias is None else bias[keep],
            scipy.sparse.csr_array(weight[:, keep]),
            gained if second_bias is None else second_bias + gained,
        )

    def wins(self, target: Target, timer: LayerTimer | None) -> bool:
        """Whether both layers together are slower at no batch size."""
        batches = batches_of(self.layer.linear.x, target)
        before, after = (
            together([cost_of_matrix(matrix, batches, target, timer)[0] for matrix in pair])
            for pair in (
                (self.layer.weight(), self.follower.weight()),
                (self.first, self.second),
            )
        )
        return slower_nowhere(after, before)

    def apply(self) -> None:
        """Rewrites both layers; a follower's new bias may become an Add behind it."""
        set_affine(self.follower, self.second, self.second_bias)
        set_affine(self.layer, self.first, self.first_bias)
        for node in self.region.nodes:
            set_features(node.outputs[0], self.first.shape[0])


def _used(linear: Linear, axis: int) -> np.ndarray:
    """Which outputs (axis 0) or inputs (axis 1) of a layer have a weight that is not zero."""
    tensor = linear.weight.const_value
    assert tensor is not None
    if isinstance(tensor, EncodedTensor):
        csr = linear.csr()
        used = (
            np.diff(csr.indptr) if axis == 0 else np.bincount(csr.indices, minlength=csr.shape[1])
        )
        return np.asarray(used > 0)
    over = axis if linear.transposed else 1 - axis
    used = np.asarray(tensor.numpy().any(axis=over))
    release(tensor)
    return used
