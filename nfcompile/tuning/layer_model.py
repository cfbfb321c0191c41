"""Models of one layer in each of its encodings, to be timed side by side.

y = f(W ... f(W x + b) + b)      a square W: four times, as in the chains that layers run in
y = f(W x + b)                   any other
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from nfcompile.errors import UnsupportedModelError
from nfcompile.ir.candidates import Candidate
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.pipeline import parse_pipeline, run_pipeline
from nfcompile.ir.publish import stage
from nfcompile.models.chain import chain
from nfcompile.passes import PASSES
from nfcompile.sparse import CsrTensor
from nfcompile.target import Target

__all__ = ["repeats", "write_layer"]

_REPEATS = 4
_MOST_BYTES = 1 << 28
_BIAS = 0.01
_TINY = 1e-20
_LEAST_ALIVE = 0.25
_LOWER = {
    "ort-cpu": "infer-shapes,legalize-ort-cpu,fuse-epilogue,fuse-chains,remove-unused",
    "portable": "infer-shapes,legalize-portable,remove-unused",
}


def repeats(weight: CsrTensor) -> int:
    """How many times a layer is in its model.

    Raises:
        UnsupportedModelError: If it is too large to be timed beside a dense one.
    """
    rows, columns = weight.shape
    nbytes = 4 * rows * columns
    if nbytes > _MOST_BYTES:
        raise UnsupportedModelError(f"a dense layer of {rows}x{columns} is too large to be timed")
    fits = rows == columns and _REPEATS * nbytes <= _MOST_BYTES
    return _REPEATS if fits and _stays_alive(weight) else 1


def _stays_alive(weight: CsrTensor) -> bool:
    """Whether repetitions compute ordinary numbers, which take the time that such do."""
    matrix = weight.to_scipy()
    x = np.random.default_rng(0).standard_normal(weight.shape[1])
    for _ in range(_REPEATS):
        x = np.maximum(matrix @ x + _BIAS, 0)
        if np.count_nonzero(x) < _LEAST_ALIVE * x.size:
            return False
    return bool(_TINY < x.max(initial=0) < 1 / _TINY)


def write_layer(
    path: Path, candidate: Candidate, dense: np.ndarray, count: int, target: Target
) -> None:
    """Writes the model of a layer, each of whose repetitions has a weight of its own in memory.

    Args:
        path: Where to.
        candidate: The encoding.
        dense: The weight, (out, in).
        count: How many times it is applied.
        target: Where it will run.

    Raises:
        InputError: If it cannot be written.
    """
    model = chain([dense] * count, relu=True, bias=_BIAS)
    if candidate.make is not None:
        encoding = candidate.make()
        for value in _weights(model, count):
            value.const_value = EncodedTensor(
                encoding, transposed=False, name=value.name, precision=target.precision
            )
    run_pipeline(model, parse_pipeline(_LOWER[target.name], PASSES))
    stage(model, path)


def _weights(model: ir.Model, count: int) -> Sequence[ir.Value]:
    return [model.graph.initializers[f"fc{index}.weight"] for index in range(count)]
