"""How `nfcompile::csr_linear` is written in ONNX: a virtual dense weight, then a plain MatMul.

    W = nfcompile::CsrToDense(values, indices, indptr; shape=[out, in])
    Y = MatMul(X, Transpose(W, perm=[1, 0]))

The compiler folds CsrToDense into a CSR-encoded constant, so no dense W is ever made.
"""

from collections.abc import Callable
from typing import Any

import torch

from nfcompile.ir.schemas import DOMAIN, SCHEMAS, VERSION
from nfcompile.nn.csr_linear import csr_linear

__all__ = ["translation_table"]


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """The `custom_translation_table` that `torch.onnx.export` needs for our operators."""
    assert csr_linear is not None  # registers the operator that is looked up here
    return {torch.ops.nfcompile.csr_linear.default: _translate()}


def _translate() -> Callable[..., Any]:
    from onnxscript import opset18
    from onnxscript.values import Op, Opset

    schema = next(schema for schema in SCHEMAS if schema.name == "CsrToDense")
    csr_to_dense = Op(Opset(DOMAIN, VERSION), schema.name, schema)

    def translate(
        x: Any, values: Any, indices: Any, indptr: Any, out_features: int, in_features: int
    ) -> Any:
        weight = csr_to_dense(values, indices, indptr, shape=[out_features, in_features])
        return opset18.MatMul(x, opset18.Transpose(weight, perm=[1, 0]))

    return translate
