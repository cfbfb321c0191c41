"""A constant whose values are stored in a sparse encoding.

Sparsity is a property of a tensor, not of an operator: until legalization a node stays `MatMul` or
`Gemm` and only its weight's encoding differs. Everything that asks for an array gets a dense one.
"""

import numpy as np
import onnx_ir as ir

from nfcompile.sparse import Encoding

__all__ = ["EncodedTensor"]


class EncodedTensor(ir.LazyTensor):
    """An ONNX constant over an encoding, made dense only when an array is asked for.

    The encoding describes (out, in). ONNX's MatMul wants (in, out): then `transposed` is True and
    the constant's shape is the encoding's, reversed.

    Attributes:
        encoding: How the values are stored.
        transposed: Whether the constant is the encoding's transpose.
        precision: `fp32`, or `bf16`: what legalization stores the values as.
    """

    def __init__(
        self, encoding: Encoding, *, transposed: bool, name: str | None, precision: str = "fp32"
    ) -> None:
        self.encoding = encoding
        self.transposed = transposed
        self.precision = precision
        super().__init__(
            lambda: _dense(encoding, transposed),
            dtype=ir.DataType.from_numpy(encoding.dtype),
            shape=ir.Shape(encoding.shape[::-1] if transposed else encoding.shape),
            name=name,
        )


def _dense(encoding: Encoding, transposed: bool) -> ir.Tensor[np.ndarray]:
    dense = encoding.numpy()
    return ir.Tensor(np.ascontiguousarray(dense.T) if transposed else dense)
