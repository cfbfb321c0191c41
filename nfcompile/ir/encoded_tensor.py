"""A constant whose values are stored in a sparse encoding.

Sparsity is a property of a tensor, not of an operator: until legalization a node stays `MatMul` or
`Gemm` and only its weight's encoding differs. Everything that asks for an array gets a dense one.
"""

import math

import numpy as np
import onnx_ir as ir

from nfcompile.sparse import Encoding

__all__ = ["EncodedTensor"]


class EncodedTensor(ir.LazyTensor):
    """An ONNX constant over an encoding, made dense only when an array is asked for.

    The encoding describes (out, in). ONNX's MatMul wants (in, out): then `transposed` is True and
    the constant's shape is the encoding's, reversed. Its Conv wants (out, channels, height, width):
    then `shape` is that, and of an encoding that sees several groups of channels, each row's own
    group is what remains.

    Attributes:
        encoding: How the values are stored.
        transposed: Whether the constant is the encoding's transpose.
        shape: Of a convolution's constant; None for a matrix.
        precision: `fp32`, `bf16` or `fp16`: what legalization stores the values as.
        dtype: Type of the constant, the values' own if None; fp32 values stand for those of half
            precision, since scipy knows no such types.
    """

    def __init__(
        self,
        encoding: Encoding,
        *,
        transposed: bool = False,
        name: str | None,
        precision: str = "fp32",
        shape: tuple[int, ...] | None = None,
        dtype: ir.DataType | None = None,
    ) -> None:
        self.encoding = encoding
        self.transposed = transposed
        self.precision = precision
        kind = dtype or ir.DataType.from_numpy(encoding.dtype)
        super().__init__(
            lambda: _dense(encoding, transposed, shape, kind),
            dtype=kind,
            shape=ir.Shape(shape or (encoding.shape[::-1] if transposed else encoding.shape)),
            name=name,
        )


def _dense(
    encoding: Encoding, transposed: bool, shape: tuple[int, ...] | None, dtype: ir.DataType
) -> ir.Tensor[np.ndarray]:
    dense = encoding.numpy().astype(dtype.numpy(), copy=False)
    if shape is None:
        return ir.Tensor(np.ascontiguousarray(dense.T) if transposed else dense)
    groups = dense.size // math.prod(shape)
    by_group = dense.reshape(groups, shape[0] // groups, groups, -1)
    own = by_group[np.arange(groups), :, np.arange(groups)]
    return ir.Tensor(own.reshape(shape))
