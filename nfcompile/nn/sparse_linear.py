"""A linear layer with a fixed sparse pattern."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from nfcompile.errors import InputError
from nfcompile.nn.csr_linear import csr_linear
from nfcompile.nn.init import Init, sparse_normal_

__all__ = ["IndexArray", "Pattern", "SparseLinear", "canonical"]

IndexArray: TypeAlias = npt.NDArray[np.integer]
Pattern: TypeAlias = "csr_array | tuple[IndexArray, IndexArray]"


class SparseLinear(nn.Module):
    """`y = x W^T + b` with a sparse `W` of which only the pattern's entries exist.

    The state holds `values` [nnz], `indices` [nnz] and `indptr` [out_features + 1], in CSR
    with sorted columns, and `bias` [out_features] if there is one. It takes `x` of any rank.
    """

    values: Tensor
    indices: Tensor
    indptr: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        mask: Pattern,
        bias: bool = True,
        *,
        init: Init = "glorot",
        gain: float = 1.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        """Makes the layer and initializes it by its true degrees.

        Args:
            in_features: Columns of the weight.
            out_features: Rows of the weight.
            mask: Pattern of shape `[out_features, in_features]` whose non-zeros are the
                weights, or its `(indptr, indices)`.
            bias: Whether to add a bias, which starts at zero.
            init: Variance of the initial values, see `nfcompile.nn.init`.
            gain: Factor on their standard deviation.
            dtype: Of values and bias.
            device: Of everything.

        Raises:
            InputError: If the mask is not a pattern of this shape.
        """
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.init: Init = init
        self.gain = gain
        indptr, indices = canonical(mask, (out_features, in_features))
        self.register_buffer("indices", torch.from_numpy(indices).to(device))
        self.register_buffer("indptr", torch.from_numpy(indptr).to(device))
        self.values = nn.Parameter(torch.empty(len(indices), dtype=dtype, device=device))
        self.bias = (
            nn.Parameter(torch.empty(out_features, dtype=dtype, device=device)) if bias else None
        )
        self.reset_parameters()

    @classmethod
    def from_dense(cls, linear: nn.Linear) -> "SparseLinear":
        """Copies a dense layer, keeping the non-zeros of its weight and nothing else."""
        weight = linear.weight.detach()
        mask = csr_array((weight != 0).cpu().numpy())
        rows, columns = weight.shape
        has_bias = linear.bias is not None
        layer = cls(columns, rows, mask, has_bias, dtype=weight.dtype, device=weight.device)
        with torch.no_grad():
            layer.values.copy_(weight[weight != 0])
            if layer.bias is not None:
                layer.bias.copy_(linear.bias)
        return layer

    @classmethod
    def from_csr(cls, weight: csr_array, bias: Tensor | None) -> "SparseLinear":
        """A layer with these values, which are not trained, and this very bias.

        Args:
            weight: Shape `[out_features, in_features]`, sorted, without explicit zeros.
            bias: `[out_features]`, or None.
        """
        rows, columns = weight.shape
        with torch.random.fork_rng(devices=[]):  # initial values are drawn and thrown away
            layer = cls(columns, rows, (weight.indptr, weight.indices), bias=False)
        layer.values = nn.Parameter(torch.from_numpy(weight.data), requires_grad=False)
        layer.bias = bias
        return layer

    @property
    def nnz(self) -> int:
        """Number of weights."""
        return self.values.numel()

    @property
    def density(self) -> float:
        """Share of the dense weight that is stored."""
        return self.nnz / (self.out_features * self.in_features)

    def reset_parameters(self) -> None:
        """Draws new values and sets the bias to zero."""
        layout = self.values, self.indices, self.indptr, self.in_features
        sparse_normal_(*layout, self.init, self.gain)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def to_dense(self) -> Tensor:
        """The weight as a dense `[out_features, in_features]` tensor."""
        rows = torch.repeat_interleave(torch.diff(self.indptr).long())
        dense = self.values.new_zeros((self.out_features, self.in_features))
        return dense.index_put((rows, self.indices.long()), self.values)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[..., in_features]` to `[..., out_features]`."""
        y: Tensor = csr_linear(
            x, self.values, self.indices, self.indptr, self.out_features, self.in_features
        )
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"nnz={self.nnz}, density={self.density:.4g}, bias={self.bias is not None}"
        )


def canonical(mask: Pattern, shape: tuple[int, int]) -> tuple[IndexArray, IndexArray]:
    """The mask's `indptr` and `indices`, sorted and unique, int32 unless that is too narrow."""
    try:
        if isinstance(mask, tuple):
            indptr, indices = mask
            mask = csr_array((np.ones(len(indices), dtype=bool), indices, indptr), shape=shape)
        pattern = csr_array(mask).astype(bool)
        pattern.check_format(full_check=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"mask of a {shape[0]}x{shape[1]} weight: {error}") from error
    if pattern.shape != shape:
        got = "x".join(map(str, pattern.shape))
        raise InputError(
            f"mask of a {shape[0]}x{shape[1]} weight must have that shape, got {got}; "
            f"rows are outputs"
        )
    pattern.sum_duplicates()
    pattern.eliminate_zeros()
    wide = max(pattern.nnz, *shape) > np.iinfo(np.int32).max
    dtype = np.int64 if wide else np.int32
    return pattern.indptr.astype(dtype), pattern.indices.astype(dtype)
