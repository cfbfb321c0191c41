"""DeepSparse behind serve.py: it compiles a model for one shape of its inputs.

It writes that shape into the file that it is given, so it is given a copy.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import deepsparse
import numpy as np

__all__ = ["load"]


class _Peer:
    def __init__(self, path: str, threads: int) -> None:
        self._path = path
        self._threads = threads
        self._names: list[str] = []

    def bind(self, inputs: "dict[str, np.ndarray]") -> Callable[[], Any]:
        """Compiles for these inputs."""
        arrays = [np.ascontiguousarray(array) for array in inputs.values()]
        with tempfile.TemporaryDirectory(dir=os.path.dirname(self._path)) as folder:
            copy = shutil.copy(self._path, folder)
            engine = deepsparse.Engine(
                copy,
                batch_size=len(arrays[0]),
                num_cores=self._threads,
                input_shapes=[list(array.shape) for array in arrays],
            )
        self._names = list(engine.output_names)
        return lambda: engine.run(arrays, val_inp=False)

    def outputs(self, result: Any) -> "dict[str, np.ndarray]":
        """Arrays by name."""
        return dict(zip(self._names, result, strict=True))


def load(model: str, threads: int) -> _Peer:
    """`model` is the path of an `.onnx` file."""
    return _Peer(model, threads)
