"""Turns linear layers with encoded weights into operators of domain `nfcompile`, for CUDA.

    MatMul(X, W: CSR)            ->  nfcompile.CsrMatMul(X, values, indices, indptr)
    MatMul(X: fp16, W: BSR)      ->  nfcompile.BsrMatMul(X, float16(values), ...)

The operators and the files are those of `legalize-ort-cpu`; their kernels take half types, too, and
convolutions have none.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from nfcompile.ir.half_floats import HALF_TYPES
from nfcompile.ir.layer import Layer
from nfcompile.ir.linear import find_linears
from nfcompile.passes.legalize_ort_cpu import LegalizeOrtCpuPass

__all__ = ["LegalizeOrtCudaPass"]

_TYPES = {ir.DataType.FLOAT, *HALF_TYPES}


@dataclass(frozen=True)
class LegalizeOrtCudaPass(LegalizeOrtCpuPass):
    """Rewrites every linear layer whose weight is encoded."""

    name: ClassVar[str] = "legalize-ort-cuda"

    def layers(self, model: ir.Model) -> Iterable[Layer]:
        """The linear layers of the types that kernels have."""
        return (layer for layer in find_linears(model) if layer.dtype in _TYPES)
