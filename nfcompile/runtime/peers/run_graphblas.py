"""SuiteSparse:GraphBLAS behind serve.py: the layers of the Sparse DNN Graph Challenge.

Y = Y W over plus_times, then b is added to the entries that are stored, entries not above 0 are
dropped and the others clipped: Y stays sparse. As in Davis et al., "Write Quick, Run Fast: Sparse
Deep Neural Network in 20 Minutes of Development Time via SuiteSparse:GraphBLAS", HPEC 2019.
"""

import io
from collections.abc import Callable
from typing import Any

import graphblas as gb
import numpy as np
from graphblas import Matrix, binary, select, semiring

__all__ = ["load"]


class _Peer:
    def __init__(self, model: "dict[str, Any]", threads: int) -> None:
        gb.ss.config["nthreads"] = threads
        self._output = model["output"]
        self._layers = []
        for layer in model["layers"]:
            parts = {k: np.load(io.BytesIO(v)) for k, v in layer["csr"].items()}
            rows, columns = layer["shape"]
            weight = Matrix.from_csr(
                parts["indptr"], parts["indices"], parts["values"], nrows=rows, ncols=columns
            )
            weight.wait()
            self._layers.append((weight, layer["bias"], layer["ceiling"]))

    def bind(self, inputs: "dict[str, np.ndarray]") -> Callable[[], Any]:
        """The inputs as a sparse matrix of their non-zeros."""
        (dense,) = inputs.values()
        rows, columns = np.nonzero(dense)
        x = Matrix.from_coo(
            rows, columns, dense[rows, columns], nrows=len(dense), ncols=dense.shape[1]
        )
        x.wait()
        return lambda: self._run(x)

    def _run(self, y: "Matrix") -> "Matrix":
        for weight, bias, ceiling in self._layers:
            z = y.mxm(weight, semiring.plus_times).new(dtype="FP32")
            z << z.apply(binary.plus, right=np.float32(bias))
            z << z.select(select.valuegt, np.float32(0))
            z << z.apply(binary.min, right=np.float32(ceiling))
            y = z
        y.wait()
        return y

    def outputs(self, result: "Matrix") -> "dict[str, np.ndarray]":
        """The dense matrix."""
        return {self._output: result.to_dense(fill_value=0, dtype=np.float32)}


def load(model: "dict[str, Any]", threads: int) -> _Peer:
    """`model` has `output` and `layers`, each with csr, shape, bias, ceiling; W is (in, out)."""
    return _Peer(model, threads)
