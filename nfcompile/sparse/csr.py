"""Compressed sparse rows: fits any mask, and costs an index per non-zero.

y[o] = sum_{e = indptr[o]}^{indptr[o+1]-1} values[e] * x[indices[e]]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse

from nfcompile.sparse.encoding import Array, check_rule, narrowest_index_dtype

__all__ = ["CsrTensor"]


@dataclass(frozen=True, eq=False)
class CsrTensor:
    """A weight by its non-zeros, row by row.

    Canonical form: columns sorted within a row, no duplicates; `from_dense` and `from_scipy`
    drop explicit zeros and -0.0.

    Attributes:
        values: Shape (nnz,).
        indices: Column of each value, shape (nnz,), the narrowest type that fits.
        indptr: Start of each row in `values`, shape (out + 1,), int32 (int64 past 2**31 values).
        in_features: Number of columns.

    Raises:
        InputError: If lengths or types do not fit together.
    """

    values: Array
    indices: Array
    indptr: Array
    in_features: int
    kind: ClassVar[str] = "csr"

    def __post_init__(self) -> None:
        shape = f"{len(self.indptr) - 1}x{self.in_features}"
        check_rule(
            self.values.ndim == self.indices.ndim == self.indptr.ndim == 1,
            f"CSR arrays of a {shape} weight must have 1 dimension",
        )
        check_rule(
            len(self.indptr) >= 1 and self.indptr[0] == 0 and self.indptr[-1] == len(self.values),
            f"CSR indptr of a {shape} weight must run from 0 to {len(self.values)}",
        )
        check_rule(
            len(self.indices) == len(self.values),
            f"CSR indices of a {shape} weight must have {len(self.values)} entries, "
            f"got {len(self.indices)}",
        )

    @classmethod
    def from_dense(cls, weight: Array) -> "CsrTensor":
        """Keeps the non-zeros of `weight`, shape (out, in)."""
        out_features, in_features = weight.shape
        flat = np.ascontiguousarray(weight).reshape(-1)
        # Comparing a float with zero is slow next to scanning bools: one pass, then indices.
        at = np.flatnonzero(flat != 0)
        rows, columns = np.divmod(at, max(in_features, 1))
        indptr = np.zeros(out_features + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=out_features), out=indptr[1:])
        return cls(
            values=flat[at],
            indices=columns.astype(narrowest_index_dtype(in_features)),
            indptr=indptr.astype(_indptr_dtype(len(at))),
            in_features=in_features,
        )

    @classmethod
    def from_components(
        cls, values: Array, indices: Array, indptr: Array, shape: tuple[int, int]
    ) -> "CsrTensor":
        """Takes arrays from outside, checks every entry, sorts and drops explicit zeros.

        Raises:
            InputError: If they do not describe a matrix of `shape` (out, in).
        """
        given = cls(values, indices, indptr, shape[1])
        check_rule(
            given.shape == shape, f"CSR weight must have {shape[0]} rows, got {given.shape[0]}"
        )
        given.check(canonical=False)
        return cls.from_scipy(given.to_scipy())

    @classmethod
    def from_scipy(cls, matrix: scipy.sparse.csr_array) -> "CsrTensor":
        """Keeps the non-zeros of a scipy matrix of shape (out, in); the matrix is not changed."""
        matrix = scipy.sparse.csr_array(matrix, copy=True)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return cls(
            values=matrix.data,
            indices=matrix.indices.astype(narrowest_index_dtype(matrix.shape[1])),
            indptr=matrix.indptr.astype(_indptr_dtype(matrix.nnz)),
            in_features=matrix.shape[1],
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        return len(self.indptr) - 1, self.in_features

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return self.values.dtype

    @property
    def stored(self) -> int:
        """Number of values."""
        return len(self.values)

    def components(self) -> Mapping[str, Array]:
        """values, indices, indptr."""
        return {"values": self.values, "indices": self.indices, "indptr": self.indptr}

    def check(self, *, canonical: bool = True) -> None:
        """Checks every entry: indptr never falls, columns are in range.

        Args:
            canonical: Also that columns are sorted in each row, without duplicates.

        Raises:
            InputError: If a rule is broken.
        """
        out_features, in_features = self.shape
        name = f"{out_features}x{in_features} CSR weight"
        check_rule(bool((np.diff(self.indptr) >= 0).all()), f"indptr of a {name} must not fall")
        if not self.stored:
            return
        columns = self.indices.astype(np.int64)
        check_rule(
            columns.min() >= 0 and columns.max() < in_features,
            f"indices of a {name} must be in [0, {in_features}), "
            f"got {columns.min()} to {columns.max()}",
        )
        if not canonical:
            return
        keys = self.rows() * in_features + columns
        check_rule(
            bool((np.diff(keys) > 0).all()),
            f"indices of a {name} must be sorted in each row, without duplicates",
        )

    def rows(self) -> Array:
        """Row of each value, shape (nnz,), int64."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    def to_scipy(self) -> scipy.sparse.csr_array:
        """The same matrix for scipy."""
        return scipy.sparse.csr_array(
            (self.values, self.indices.astype(np.int32), self.indptr), shape=self.shape
        )

    def transposed(self) -> "CsrTensor":
        """The weight with rows and columns exchanged."""
        return CsrTensor.from_scipy(scipy.sparse.csr_array(self.to_scipy().T))

    def scale_rows(self, factor: Array) -> "CsrTensor":
        """The weight with row o multiplied by factor[o], shape (out,); new zeros are dropped."""
        scaled = self.to_scipy()
        scaled.data = (self.values * factor[self.rows()]).astype(self.dtype)
        return CsrTensor.from_scipy(scaled)

    def numpy(self) -> Array:
        """Dense, shape (out, in)."""
        dense = np.zeros(self.shape, self.dtype)
        dense[self.rows(), self.indices] = self.values
        return dense


def _indptr_dtype(nnz: int) -> np.dtype:
    return np.dtype(np.int32 if nnz < 1 << 31 else np.int64)
