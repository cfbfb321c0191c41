"""Runs the original of a model, whatever it is: what everything is verified against."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from nfcompile.errors import NfcompileError
from nfcompile.ir.cut import cut_foreign, foreign_nodes
from nfcompile.ir.publish import stage
from nfcompile.ir.source import Source
from nfcompile.runtime.engine import Runner
from nfcompile.runtime.ort import OrtEngine

__all__ = ["Reference"]


class Reference:
    """The original: a torch module as it is, or an ONNX model run as written by ONNX Runtime.

    A model with operators that ONNX Runtime does not know is cut at them, before and after.

    Attributes:
        model: Its inputs are those that `run` takes.
        error: What went wrong in the last run that gave None.
    """

    def __init__(self, source: Source, folder: Path, op_libraries: Sequence[str] = ()) -> None:
        self.model = source.model
        self.error: NfcompileError | None = None
        self._source = source
        self._folder = folder
        self._engine = OrtEngine(op_libraries)
        self._cut = bool(foreign_nodes(source.model)) and not op_libraries
        self._runner: Runner | None = None
        if self._cut:
            self.model = cut_foreign(source.model)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        """Outputs by name, or None if the original does not run on these inputs."""
        try:
            if self._source.run is not None:
                return self._source.run(inputs)
            if self._runner is None:
                self._runner = self._engine.load_reference(self._original())
            return self._runner.run(inputs)
        except NfcompileError as error:
            self.error = error
            return None

    def load_compiled(self, model: ir.Model, path: Path) -> Runner:
        """Loads the compiled `model`, stored at `path`, to be run on the same inputs."""
        self._runner = None  # frees the original's weights first
        if self._cut:
            path = self._folder / "cut-compiled.onnx"
            stage(cut_foreign(model), path)
        return self._engine.load(path, threads=0)

    def _original(self) -> Path:
        if self._source.path is not None and not self._cut:
            return self._source.path
        path = self._folder / "original.onnx"
        stage(self.model, path)
        return path
