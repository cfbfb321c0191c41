"""Chooses for each weight how its non-zeros are stored: dense, CSR, BSR or block-diagonal.

    MatMul(X, W)  ->  MatMul(X, W: encoding)        the node stays, the constant's encoding changes
    Conv(X, W)    ->  Conv(X, W: encoding)          W as a matrix over the windows of X

The pattern of the zeros gives the candidates, the cost model their times at the batch sizes that
count, or a timer measures them. A sparse encoding is taken only if it is faster than dense at each
of them: a layer must never get slower by being compiled. What else reads the constant, such as the
Gather of an embedding that a head is tied to, keeps it dense.
"""

import dataclasses
from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from nfcompile.cost.choice import Choice
from nfcompile.cost.costed_pass import CostedPass
from nfcompile.cost.encoding import MAX_DENSITY, best_encoding
from nfcompile.cost.linear import batches_of_layer
from nfcompile.errors import InputError, UnsupportedModelError
from nfcompile.ir.convolution import Convolution
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.half_floats import HALF_TYPES
from nfcompile.ir.layer import Layer
from nfcompile.ir.layers import find_layers, match_layer
from nfcompile.ir.remarks import Decision, set_decisions
from nfcompile.ir.rewrite import add_constant, main_graph
from nfcompile.target import Target

__all__ = ["EncodeWeightsPass"]

_MAX_DENSE_BYTES = 1 << 31
_KINDS = ("csr", "bsr", "block-diagonal")
_CONVOLUTIONS_STAY = {
    "portable": "no standard operators are faster for a sparse convolution",
    "ort-cuda": "cuDNN's dense convolution is faster than any sparse one there is for CUDA",
}


@dataclass(frozen=True)
class EncodeWeightsPass(CostedPass):
    """Replaces the constants of layers by encoded ones where that is faster.

    Attributes:
        target: Where the model will run: `ort-cpu`, `ort-cuda` or `portable`.
        threads: Threads per inference that costs are estimated for; 0 for all of this machine.
        max_density: Weights with a larger share of non-zeros stay dense without a closer look.
        force: Encoding to take wherever the pattern has it, whatever it costs; empty for none.
        precision: What sparse fp32 weights are stored as, and their products computed in: `fp32`
            or `bf16`. Dense ones stay as they are, and those of half precision keep their type.
        timer: Measures what layers take, given by the compiler; None leaves it to estimates.
    """

    name: ClassVar[str] = "encode-weights"
    max_density: float = MAX_DENSITY
    force: str = ""

    def __post_init__(self) -> None:
        if self.force not in ("", *_KINDS):
            raise InputError(f"option force must be one of {', '.join(_KINDS)}, got {self.force!r}")

    def run(self, model: ir.Model) -> int:
        """Encodes each weight once, however many layers share it."""
        target = self.where()
        self._remark_unmatched(model)
        taken: list[Decision] = []
        chosen: dict[tuple[ir.Value, Hashable], Decision] = {}
        count = 0
        for layer in list(find_layers(model)):
            key = layer.weight, layer.way
            if key in chosen:
                taken.append(_named(chosen[key], layer))
                continue
            if reason := self._refusal(layer):
                self.remark(model, "missed", layer.name, f"stays dense: {reason}")
                continue
            half = HALF_TYPES.get(layer.dtype, "")
            decision, encoded = self._decide(layer, dataclasses.replace(target, half=half))
            if encoded is not None:
                self._store(model, layer, encoded)
                decision = dataclasses.replace(decision, weight=str(layer.weight.name))
                count += 1
            if decision.encoding == "dense":
                self.remark(model, "missed", layer.name, f"stays dense: {decision.reason}")
            for other in _same_use(layer):
                chosen[other.weight, other.way] = decision
            taken.append(decision)
        set_decisions(model, taken)
        return count

    def _remark_unmatched(self, model: ir.Model) -> None:
        for node in ir.traversal.RecursiveGraphIterator(model.graph):
            reason = match_layer(node)
            if isinstance(reason, str):
                self.remark(model, "missed", node.name, reason)

    def _refusal(self, layer: Layer) -> str:
        tensor, name = layer.weight.const_value, layer.weight.name
        assert tensor is not None
        taken = [ir.DataType.FLOAT, *(HALF_TYPES if self.target == "ort-cuda" else ())]
        if tensor.dtype not in taken:
            return f"weight {name} is {tensor.dtype}, kernels take {', '.join(map(str, taken))}"
        if 0 in layer.out_in:
            return f"weight {name} is empty"
        if not isinstance(layer, Convolution):
            return ""
        return _CONVOLUTIONS_STAY.get(self.target, "")

    def _store(self, model: ir.Model, layer: Layer, encoded: ir.TensorProtocol) -> None:
        """Gives the layers that use the weight this way its encoding; others keep it dense."""
        weight, users = layer.weight, _same_use(layer)
        if len(users) == len(weight.uses()):
            weight.const_value = encoded
            return
        own = add_constant(main_graph(weight), f"{weight.name}.encoded", encoded)
        for user in users:
            user.node.replace_input_with(1, own)
        others = ", ".join(dict.fromkeys(use.node.op_type for use in weight.uses()))
        self.remark(model, "note", layer.name, f"{weight.name} stays dense too, for {others}")

    def _decide(self, layer: Layer, target: Target) -> tuple[Decision, ir.TensorProtocol | None]:
        weight = layer.weight.const_value
        assert weight is not None
        nonzeros = _count_nonzeros(layer, weight)
        choice = best_encoding(
            layer.dense_shape,
            nonzeros,
            layer.csr,
            batches_of_layer(layer, target),
            target,
            max_density=self.max_density,
            force=self.force,
            # What a timer runs are products over rows.
            timer=None if isinstance(layer, Convolution) else self.timer,
        )
        decision = _decision(layer, nonzeros, choice, target)
        if choice.candidate.make is None:
            return decision, _dense_again(layer, weight)
        return decision, layer.encoded(choice.candidate.make(), target.stored)


def _same_use(layer: Layer) -> list[Layer]:
    """The layers that use the weight of `layer` the same way, itself among them."""
    others = (match_layer(use.node) for use in layer.weight.uses() if use.idx == 1)
    return [other for other in others if isinstance(other, Layer) and other.way == layer.way]


def _dense_again(layer: Layer, weight: ir.TensorProtocol) -> ir.TensorProtocol | None:
    """A dense constant for a weight that came by its non-zeros; None if it is dense already."""
    if not isinstance(weight, EncodedTensor):
        return None
    if weight.nbytes > _MAX_DENSE_BYTES:
        rows, columns = layer.out_in
        raise UnsupportedModelError(
            f"weight {layer.weight.name} of {rows}x{columns} would take {weight.nbytes >> 30} GiB "
            "stored dense, and this target has no sparse form for it: use target ort-cpu"
        )
    return ir.Tensor(weight.numpy(), name=layer.weight.name)


def _count_nonzeros(layer: Layer, weight: ir.TensorProtocol) -> int:
    if isinstance(weight, EncodedTensor):
        values = weight.encoding.components()["values"]
    else:
        values = weight.numpy()
    if not np.isfinite(values).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise UnsupportedModelError(
            f"weight {layer.weight.name} must be finite, got {values[at]} at {list(at)}: "
            "the checkpoint is damaged or training diverged"
        )
    return int(np.count_nonzero(values))


def _decision(layer: Layer, nonzeros: int, choice: Choice, target: Target) -> Decision:
    chosen = choice.candidate
    assert layer.weight.const_value is not None
    size = layer.weight.const_value.size
    return Decision(
        layer=layer.name,
        weight=layer.weight.name or "",
        shape=chosen.shape,
        density=round(nonzeros / size, 6),
        pattern=choice.pattern,
        encoding=chosen.kind,
        bytes_dense=target.activation_bytes * size,
        bytes_encoded=chosen.nbytes,
        estimates_us=choice.estimates_us,
        reason=choice.reason,
        batches=batches_of_layer(layer, target),
        measured_us=choice.measured_us,
    )


def _named(decision: Decision, layer: Layer) -> Decision:
    """The same decision for another layer that shares the weight."""
    return Decision(**{**decision.__dict__, "layer": layer.name})
