"""Runs the original of a model, whatever it is: what everything is verified against."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir

from nfcompile.errors import NfcompileError, UnsupportedModelError
from nfcompile.ir.cut import Cut, cut_foreign, foreign_nodes
from nfcompile.ir.publish import stage
from nfcompile.ir.source import Arrays, Source
from nfcompile.ir.widened import widened
from nfcompile.runtime.engine import Runner
from nfcompile.runtime.missing_kernel import explained
from nfcompile.runtime.ort import OrtEngine
from nfcompile.runtime.ort_cuda import OrtCudaEngine

__all__ = ["CROSS_NOTE", "Reference"]

CROSS_NOTE = "verified on this CPU, by its kernels of the same operators: nothing ran on CUDA"
"""What is said of a model for CUDA that is verified on a machine without."""


class Reference:
    """The original: a torch module as it is, or an ONNX model run as written by ONNX Runtime.

    A model with operators that ONNX Runtime does not know, or random ones, is cut at them, before
    and after.

    Attributes:
        model: Its inputs are those that `run` takes.
    """

    def __init__(
        self,
        source: Source,
        folder: Path,
        op_libraries: Sequence[str] = (),
        *,
        cuda: bool = False,
    ) -> None:
        """Makes it, without running anything.

        Args:
            source: The original.
            folder: For files that are made on the way.
            op_libraries: Libraries of the user's own operators.
            cuda: Whether it and the compiled model run on CUDA, in fp32 where they are fp32; on the
                CPU products of half precision are computed in fp32.
        """
        self.model = source.model
        self._source = source
        self._folder = folder
        self._cuda = cuda
        self._engine = OrtCudaEngine(op_libraries, exact=True) if cuda else OrtEngine(op_libraries)
        self._cut: Cut | None = None
        self._dropped: set[str] = set()
        self._shared: set[str] | None = None
        self._runner: Runner | None = None
        self._staged: Path | None = None
        self._all_known = bool(op_libraries)
        if foreign_nodes(source.model, all_known=self._all_known):
            self._cut = cut_foreign(source.model, all_known=self._all_known)
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
        self._cut = cut_foreign(self._source.model, self._dropped, all_known=self._all_known)
        self.model, self._runner, self._staged = self._cut.model, None, None
        if not self.model.graph.outputs:
            raise UnsupportedModelError(
                f"{self._source.name} cannot be compared with its compiled form without "
                f"{operators}: give the library of it as --op-library"
            )
        return True

    def run(self, inputs: Arrays) -> dict[str, Any]:
        """Outputs by name.

        Raises:
            NfcompileError: If the original does not run on these inputs.
        """
        if self._source.run is not None and self._cut is None:
            return self._source.run(inputs)
        with explained(self.model, self._source.name):
            if self._runner is None:
                self._runner = self._engine.load_reference(self._original())
            return self._runner.run(inputs)

    def run_optimized(self, inputs: Sequence[Arrays]) -> list[dict[str, Any]] | None:
        """Outputs of the original as ONNX Runtime optimizes it; None if that cannot be run.

        Its optimizations may move results by more than is taken for equal: of quantized models by
        whole steps.
        """
        if self._source.run is not None or self._cut is not None:
            return None
        self._runner = None
        try:
            runner = self._engine.load(self._original(), threads=0)
            return [runner.run(item) for item in inputs]
        except NfcompileError:
            return None

    def load_compiled(self, model: ir.Model, path: Path) -> Runner:
        """Loads the compiled `model`, stored at `path`, to be run on the same inputs.

        Raises:
            UnsupportedModelError: If ONNX Runtime cannot load it.
        """
        self._runner = None  # frees the original's weights first
        with explained(model, self._source.name):
            return self._load_compiled(model, path)

    def _load_compiled(self, model: ir.Model, path: Path) -> Runner:
        if not self._cuda and (wide := widened(model)) is not model:
            model, path = wide, self._folder / "widened.onnx"
            stage(model, path)
        if self._cut is None:
            return self._engine.load(path, threads=0)
        path = self._folder / "cut-compiled.onnx"
        cut = cut_foreign(model, self._dropped, like=self._cut.model, all_known=self._all_known)
        self._shared = self._cut.shared(cut)
        stage(cut.model, path)
        return _Fitted(self._engine.load(path, threads=0), cut.model)

    def comparable(self, outputs: Arrays) -> Arrays:
        """Those outputs of the original that the compiled model must have too."""
        if self._shared is None:
            return outputs
        return {name: item for name, item in outputs.items() if name in self._shared}

    def _original(self) -> Path:
        """The file of the original, written before the model is compiled."""
        if self._source.path is not None and self._cut is None:
            return self._source.path
        if self._staged is None:
            path = self._folder / "original.onnx"
            stage(self.model, path)
            self._staged = path
        return self._staged


class _Fitted:
    """Runs a model that may have fewer inputs than it is given."""

    def __init__(self, runner: Runner, model: ir.Model) -> None:
        self._runner = runner
        self._names = {value.name for value in model.graph.inputs}

    def run(self, inputs: Arrays) -> dict[str, Any]:
        return self._runner.run(
            {name: item for name, item in inputs.items() if name in self._names}
        )
