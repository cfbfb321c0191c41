"""Lets products read activations as they are, where Reshapes flatten and restore their rows.

    Reshape(M(Reshape(X, (m, in))), (..., out))  ->  M(X)            X: (..., in), m its rows

So exporters write the layers of GPT-2 and others that compute on matrices. Rows stay rows, and the
Reshapes would keep products from what stands between them. It runs after legalization, since our
products take any rank, and before epilogues are fused.
"""

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from nfcompile.ir.pass_base import Pass
from nfcompile.ir.schemas import DOMAIN, MATMULS
from nfcompile.ir.shape_inference import known_dims

__all__ = ["UnflattenProductsPass"]

_PRODUCTS = {schema.name for schema in MATMULS.values()}
_RESIDUAL = [item.name for item in MATMULS["csr"].inputs].index("residual")  # as of all of them


@dataclass(frozen=True)
class UnflattenProductsPass(Pass):
    """Removes the Reshapes around products of ours."""

    name: ClassVar[str] = "unflatten-products"

    def run(self, model: ir.Model) -> int:
        """Looks at every product of our domain."""
        count = 0
        for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
            if node.domain != DOMAIN or node.op_type not in _PRODUCTS:
                continue
            found = _around(node)
            if found is None:
                continue
            x, restored = found
            node.replace_input_with(0, x)
            y = node.outputs[0]
            y.shape = restored[0].outputs[0].shape
            for reshape in restored:
                y_again = reshape.outputs[0]
                if y_again.is_graph_output():
                    name, y_again.name = y_again.name, None
                    y.name = name
                y_again.replace_all_uses_with(y, replace_graph_outputs=True)
                assert reshape.graph is not None
                reshape.graph.remove(reshape, safe=True)
            self.remark(model, "applied", node.name, "reads activations as they are, not flattened")
            count += 1
        return count


def _around(node: ir.Node) -> tuple[ir.Value, list[ir.Node]] | None:
    """The activations before they are flattened, and what restores the result."""
    flat, y = node.inputs[0], node.outputs[0]
    flatten = None if flat is None else flat.producer()
    readers = {use.node for use in y.uses()}
    if flatten is None or flatten.domain or flatten.op_type != "Reshape" or y.is_graph_output():
        return None
    if any(value is not None for value in node.inputs[_RESIDUAL : _RESIDUAL + 1]):
        return None  # which has the shape of the flat result
    if not readers or any(of.op_type != "Reshape" or of.domain for of in readers):
        return None
    if any(use.idx != 0 or use.node.graph is not node.graph for use in y.uses()):
        return None
    x = flatten.inputs[0]
    before, rows, result = known_dims(x), known_dims(flat), known_dims(y)
    if x is None or not before or not rows or not result:
        return None
    sizes = before[-1], rows[-1], result[-1]
    if not all(isinstance(size, int) for size in sizes) or before[-1] != rows[-1]:
        return None
    if any(known_dims(of.outputs[0]) != [*before[:-1], result[-1]] for of in readers):
        return None
    # A graph has one name for each output.
    if sum(of.outputs[0].is_graph_output() for of in readers) > 1:
        return None
    return x, sorted(readers, key=lambda of: not of.outputs[0].is_graph_output())
