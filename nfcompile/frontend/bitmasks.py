"""Decodes weights that the compressed-tensors package stored by a bitmask and their non-zeros.

    <layer>.compressed   the values that the mask keeps, row by row: [nnz], or [out, in / 2] for 2:4
    <layer>.bitmask      a bit per weight, the least significant first: uint8 [out, ceil(in / 8)]
    <layer>.shape        of the weight: [2], or [2, 1]
    <layer>.row_offsets  where each row begins in the values: [out], not there for 2:4

Formats `sparse-bitmask` and `sparse-24-bitmask`. Versions differ in whether `<layer>` ends in
`.weight`. Source: github.com/neuralmagic/compressed-tensors, checked against release 0.13.0.
"""

import nfcompile.frontend.require_torch  # noqa: F401  isort: skip

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from nfcompile.errors import UnsupportedModelError
from nfcompile.frontend.torch_onnx import quiet

__all__ = ["decode_bitmasks"]

_PARTS = ("compressed", "bitmask", "shape", "row_offsets")
_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_AT_ONCE = 1 << 22
"""Bits that are unpacked at once, a byte each."""


def decode_bitmasks(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state with a CSR tensor for each weight that was stored by a bitmask.

    No matrix is made dense on the way; what has other than two dimensions becomes dense.

    Args:
        state: Tensors by name.

    Raises:
        UnsupportedModelError: If the parts of a weight are missing or contradict each other.
    """
    decoded = dict(state)
    for name in [key.removesuffix(".bitmask") for key in state if key.endswith(".bitmask")]:
        parts = {part: decoded.pop(f"{name}.{part}", None) for part in _PARTS}
        weight = name if name.endswith("weight") else f"{name}.weight"
        decoded[weight] = _decode(weight, parts)
    return decoded


def _decode(name: str, parts: Mapping[str, Tensor | None]) -> Tensor:
    values, mask, shape = (parts[part] for part in _PARTS[:3])
    if values is None or mask is None or shape is None:
        lacking = next(part for part in _PARTS if parts[part] is None)
        raise UnsupportedModelError(f"weight {name} stored by a bitmask lacks its {lacking}")
    if values.dtype not in _DTYPES:
        raise UnsupportedModelError(
            f"weight {name} stored by a bitmask must be float, got {values.dtype}: it is quantized"
        )
    dims = [int(size) for size in shape.reshape(-1)]
    columns = dims[-1] if dims else 1
    rows = int(np.prod(dims[:-1], dtype=object))
    width = -(-columns // 8)
    if min(dims, default=0) < 1 or mask.dtype != torch.uint8 or mask.numel() != rows * width:
        raise UnsupportedModelError(
            f"weight {name} of shape {dims} needs a bitmask of {rows} x {width} bytes, "
            f"got {mask.dtype} {list(mask.shape)}"
        )
    indptr, indices = _unpack(mask.reshape(rows, width).numpy(), columns)
    values = values.reshape(-1)
    if len(indices) != len(values):
        raise UnsupportedModelError(
            f"weight {name} has {len(values)} values for {len(indices)} bits of its bitmask"
        )
    offsets = parts["row_offsets"] if len(dims) == 2 else None  # else they are no rows' offsets
    if offsets is not None and not np.array_equal(offsets.reshape(-1).numpy(), indptr[:-1]):
        raise UnsupportedModelError(f"weight {name} has row_offsets that contradict its bitmask")
    if len(dims) == 2:
        with quiet():  # torch says that its CSR is beta
            return torch.sparse_csr_tensor(
                torch.from_numpy(indptr), torch.from_numpy(indices), values, (rows, columns)
            )
    at = torch.from_numpy(np.repeat(np.arange(rows), np.diff(indptr)) * columns + indices).long()
    return torch.zeros(rows * columns, dtype=values.dtype).index_put((at,), values).reshape(dims)


def _unpack(mask: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Where rows begin, and the column of each bit that is set, of one integer type."""
    dtype = np.int32 if mask.size * 8 < 1 << 31 else np.int64
    step = max(1, _AT_ONCE // columns)
    counts, indices = [], []
    for first in range(0, len(mask), step):
        bits = np.unpackbits(mask[first : first + step], axis=1, count=columns, bitorder="little")
        counts.append(np.count_nonzero(bits, axis=1))
        indices.append((np.flatnonzero(bits) % columns).astype(dtype))
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(dtype)
    return indptr, np.concatenate(indices)
