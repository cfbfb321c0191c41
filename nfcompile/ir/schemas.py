"""The operators of domain `nfcompile`, in one list.

The checker, the reference semantics, the legalize passes and the C++ library are all held to it.
"""

import onnx.defs
from onnx.defs import OpSchema

from nfcompile.ir.attention_schema import ATTENTION
from nfcompile.ir.chain_schemas import CHAIN, CONV_CHAIN, NORMS
from nfcompile.ir.product_schemas import (
    ACTIVATIONS,
    CONVS,
    DOMAIN,
    EPILOGUE_ATTRIBUTES,
    FLOAT,
    MATMULS,
    POINTER,
    VERSION,
    operand,
)

__all__ = [
    "ACTIVATIONS",
    "ATTENTION",
    "CHAIN",
    "CONVS",
    "CONV_CHAIN",
    "DOMAIN",
    "EPILOGUE_ATTRIBUTES",
    "MATMULS",
    "NORMS",
    "SCHEMAS",
    "VERSION",
    "register_schemas",
]

_CSR_TO_DENSE = OpSchema(
    "CsrToDense",
    DOMAIN,
    VERSION,
    "The dense W of a weight kept by its non-zeros. Front ends emit it; the pass fold-masks turns "
    "it into a constant, so that W never exists, and no runtime needs to have it.",
    inputs=[
        operand("values", "T", "Non-zeros, shape (nnz,)."),
        operand("indices", "P", "Column of each value, shape (nnz,)."),
        operand("indptr", "P", "Start of each row, shape (out + 1,)."),
    ],
    outputs=[OpSchema.FormalParameter("W", "T", "Shape (out, in).")],
    type_constraints=[FLOAT, POINTER],
    attributes=[OpSchema.Attribute("shape", OpSchema.AttrType.INTS, "[out, in]", required=True)],
)

SCHEMAS: tuple[OpSchema, ...] = (
    *MATMULS.values(),
    *CONVS.values(),
    CHAIN,
    CONV_CHAIN,
    ATTENTION,
    _CSR_TO_DENSE,
)
"""Every operator of the domain."""


def register_schemas() -> None:
    """Makes ONNX's checker know the domain; does nothing the second time."""
    for schema in SCHEMAS:
        if not onnx.defs.has(schema.name, schema.domain):
            onnx.defs.register_schema(schema)
