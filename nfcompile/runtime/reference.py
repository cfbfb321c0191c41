"""Runs the original of a model, whatever it is: what everything is verified against."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from nfcompile.errors import UnsupportedModelError
from nfcompile.ir.cut import Cut, cut_foreign, foreign_nodes
from nfcompile.ir.publish import stage
from nfcompile.ir.source import Source
from nfcompile.runtime.engine import Runner
from nfcompile.runtime.ort import OrtEngine

__all__ = ["Reference"]

Arrays = Mapping[str, np.ndarray]


class Reference:
    """The original: a torch module as it is, or an ONNX model run as written by ONNX Runtime.

    A model with operators that ONNX Runtime does not know is cut at them, before and after.

    Attributes:
        model: Its inputs are those that `run` takes.
    """

    def __init__(self, source: Source, folder: Path, op_libraries: Sequence[str] = ()) -> None:
        self.model = source.model
        self._source = source
        self._folder = folder
        self._engine = OrtEngine(op_libraries)
        self._cut: Cut | None = None
        self._dropped: set[str] = set()
        self._shared: set[str] | None = None
        self._runner: Runner | None = None
        if foreign_nodes(source.model) and not op_libraries:
            self._cut = cut_foreign(source.model)
            self.model = self._cut.model

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the model cannot be compared, in words."""
        return self._cut.notes if self._cut is not None else ()

    def narrow(self) -> bool:
        """Leaves out what follows operators that are cut; False if nothing more can be left out.

        First those whose results are of a guessed shape, then all.

        Raises:
            UnsupportedModelError: If that leaves nothing to compare.
        """
        if self._cut is None or not self._cut.plugs:
            return False
        guesses = {plug.name for plug in self._cut.plugs if plug.assumed}
        self._dropped |= guesses or {plug.name for plug in self._cut.plugs}
        operators = ", ".join(dict.fromkeys(plug.operator for plug in self._cut.plugs))
        self._cut = cut_foreign(self._source.model, self._dropped)
        self.model, self._runner = self._cut.model, None
        if not self.model.graph.outputs:
            raise UnsupportedModelError(
                f"{self._source.name} cannot be compared with its compiled form without "
                f"{operators}: give the library of it as --op-library"
            )
        return True

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Outputs by name.

        Raises:
            NfcompileError: If the original does not run on these inputs.
        """
        if self._source.run is not None and self._cut is None:
            return self._source.run(inputs)
        if self._runner is None:
            self._runner = self._engine.load_reference(self._original())
        return self._runner.run(inputs)

    def load_compiled(self, model: ir.Model, path: Path) -> Runner:
        """Loads the compiled `model`, stored at `path`, to be run on the same inputs."""
        self._runner = None  # frees the original's weights first
        if self._cut is None:
            return self._engine.load(path, threads=0)
        path = self._folder / "cut-compiled.onnx"
        cut = cut_foreign(model, self._dropped, like=self._cut.model)
        self._shared = self._cut.shared(cut)
        stage(cut.model, path)
        return _Fitted(self._engine.load(path, threads=0), cut.model)

    def comparable(self, outputs: Arrays) -> Arrays:
        """Those outputs of the original that the compiled model must have too."""
        if self._shared is None:
            return outputs
        return {name: item for name, item in outputs.items() if name in self._shared}

    def _original(self) -> Path:
        if self._source.path is not None and self._cut is None:
            return self._source.path
        path = self._folder / "original.onnx"
        stage(self.model, path)
        return path


class _Fitted:
    """Runs a model that may have fewer inputs than it is given."""

    def __init__(self, runner: Runner, model: ir.Model) -> None:
        self._runner = runner
        self._names = {value.name for value in model.graph.inputs}

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        return self._runner.run(
            {name: item for name, item in inputs.items() if name in self._names}
        )
