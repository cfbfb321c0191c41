"""Says in the user's terms that ONNX Runtime has no kernel for an operator of a model."""

import re

import onnx_ir as ir

from nfcompile.errors import NfcompileError, UnsupportedModelError

__all__ = ["explained"]

_MISSING = re.compile(
    r"(?:an implementation|kernel) for (\w+)\(\d+\) (?:node with name |\(node:)'([^']*)'"
)
_ADVICE = {
    ir.DataType.BFLOAT16: "convert it to float32, and give precision bf16 to store sparse weights "
    "as bfloat16",
    ir.DataType.FLOAT16: "convert it to float32",
    ir.DataType.DOUBLE: "convert it to float32",
}


def explained(error: NfcompileError, model: ir.Model, subject: str) -> NfcompileError:
    """The error to raise for one of ONNX Runtime's about `model`.

    Args:
        error: What ONNX Runtime said.
        model: The model that it was to load.
        subject: What messages call the model.
    """
    match = _MISSING.search(str(error))
    if match is None:
        return error
    op_type, name = match.groups()
    kind = _kind(model, op_type, name)
    advice = _ADVICE.get(kind, "") if kind is not None else ""
    return UnsupportedModelError(
        f"{subject} cannot be run: ONNX Runtime has no {op_type}"
        + (f" for {kind}" if kind is not None else "")
        + " on the CPU"
        + (f" (node {name})" if name else "")
        + (f": {advice}" if advice else "")
    )


def _kind(model: ir.Model, op_type: str, name: str) -> ir.DataType | None:
    """The type that the node works on: its first operand's, or where none is odd the first's."""
    kinds = [
        node.inputs[0].dtype
        for node in ir.traversal.RecursiveGraphIterator(model.graph)
        if node.op_type == op_type and (node.name or "") == name and node.inputs and node.inputs[0]
    ]
    return next((kind for kind in kinds if kind in _ADVICE), next(iter(kinds), None))
