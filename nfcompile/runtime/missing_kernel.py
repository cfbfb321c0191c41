"""Says in the user's terms that ONNX Runtime has no kernel for an operator of a model."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import onnx_ir as ir

from nfcompile.errors import UnsupportedModelError

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


@contextmanager
def explained(model: ir.Model, subject: str) -> Iterator[None]:
    """Turns what ONNX Runtime says of a kernel that it lacks into an error in the user's terms.

    Args:
        model: The model that is loaded.
        subject: What messages call the model.

    Raises:
        UnsupportedModelError: Where ONNX Runtime has no kernel, or fails in another way.
    """
    try:
        yield
    except UnsupportedModelError as error:
        match = _MISSING.search(str(error))
        if match is None:
            raise
        raise UnsupportedModelError(_told(model, subject, *match.groups())) from error


def _told(model: ir.Model, subject: str, op_type: str, name: str) -> str:
    kind = _kind(model, op_type, name)
    advice = _ADVICE.get(kind, "") if kind is not None else ""
    return (
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
