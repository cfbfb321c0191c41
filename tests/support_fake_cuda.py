"""What `nfcompile._native.cuda` offers, in numpy on the host: for benchmarks without a GPU.

Pointers are those of arrays, so that what is launched computes.
"""

import ctypes
from typing import Any

import ml_dtypes
import numpy as np

from nfcompile.ir.reference import activate
from nfcompile.sparse.block_diagonal import strided_indices

__all__ = ["FakeCuda", "FakeProduct"]

DTYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}


class FakeProduct:
    """A dense product that rounds as kernels do."""

    def __init__(self, name: str, dense: np.ndarray, precision: str, x_type: str) -> None:
        self.name, self.precision, self.x_type = name, precision, x_type
        self.weight = self._round(dense, precision)

    def kernel(self, batch: int) -> str:
        return f"{self.name}_{self.x_type}_{self.precision}_{'small' if batch <= 16 else 'large'}"

    def kernels(self) -> list[str]:
        return [self.kernel(1), self.kernel(1000)]

    def run(
        self, x: np.ndarray, bias: np.ndarray | None = None, residual: np.ndarray | None = None,
        activation: str = "none", alpha: float = 0.0, beta: float = 0.0,
        residual_mode: int = 0, kernel: str = "",
    ) -> np.ndarray:  # fmt: skip
        t = self._round(self._round(x, self.x_type), self.precision) @ self.weight.T
        t = t if bias is None else t + self._round(bias, self.x_type)
        other = 0 if residual is None else self._round(residual, self.x_type)
        t = t if residual_mode else t + other
        t = activate(t, activation, alpha, beta)
        return self._round([t, t + other, t * other][residual_mode], self.x_type)

    def launch(self, x: int, y: int, batch: int, stream: int = 0, **epilogue: Any) -> None:
        bias = epilogue.pop("bias", 0)
        out, inside = self.weight.shape
        given = self._at(x, (batch, inside)).astype(np.float32)
        wide = self._at(bias, (out,)).astype(np.float32) if bias else None
        y_given = self.run(given, wide, **epilogue)
        self._at(y, (batch, out))[:] = y_given.astype(DTYPES[self.x_type])

    def _at(self, pointer: int, shape: tuple[int, ...]) -> np.ndarray:
        dtype = np.dtype(DTYPES[self.x_type])
        size = int(np.prod(shape)) * dtype.itemsize
        raw = (ctypes.c_char * size).from_address(pointer)
        return np.frombuffer(raw, dtype).reshape(shape)

    @staticmethod
    def _round(values: np.ndarray, kind: str) -> np.ndarray:
        return values.astype(DTYPES[kind]).astype(np.float32)


class FakeCuda:
    """The module."""

    product = FakeProduct

    def available(self) -> str:
        return ""

    def device(self) -> dict[str, Any]:
        return {
            "name": "Fake GPU", "sm": 90, "multiprocessors": 4, "memory_bytes": 1 << 30,
            "l2_bytes": 1 << 16, "driver_version": 13000,
        }  # fmt: skip

    def CsrProduct(  # noqa: N802
        self, values: np.ndarray, indices: np.ndarray, indptr: np.ndarray, in_features: int,
        precision: str, x_type: str,
    ) -> FakeProduct:  # fmt: skip
        dense = np.zeros((len(indptr) - 1, in_features), np.float32)
        dense[np.repeat(np.arange(len(dense)), np.diff(indptr)), indices] = values
        return self.product("csr", dense, precision, x_type)

    def BsrProduct(  # noqa: N802
        self, values: np.ndarray, indices: np.ndarray, indptr: np.ndarray, in_features: int,
        precision: str, x_type: str,
    ) -> FakeProduct:  # fmt: skip
        _, height, width = values.shape
        dense = np.zeros((len(indptr) - 1, in_features // width, height, width), np.float32)
        dense[np.repeat(np.arange(len(dense)), np.diff(indptr)), indices] = values
        dense = dense.transpose(0, 2, 1, 3).reshape(-1, in_features)
        return self.product(f"bsr{height}", dense, precision, x_type)

    def BlockDiagonalProduct(  # noqa: N802
        self, values: np.ndarray, rows: None, cols: None, row_stride: int, col_stride: int,
        in_features: int, out_features: int, precision: str, x_type: str,
    ) -> FakeProduct:  # fmt: skip
        blocks, height, width = values.shape
        row = strided_indices(blocks, height, row_stride)
        col = strided_indices(blocks, width, col_stride)
        dense = np.zeros((out_features, in_features), np.float32)
        dense[row[:, :, None], col[:, None, :]] = values
        return self.product("block_diagonal", dense, precision, x_type)
