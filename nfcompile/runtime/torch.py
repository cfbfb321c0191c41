"""PyTorch on the CPU: dense layers, as written or compiled by TorchInductor, and its CSR layout."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nfcompile.errors import EngineMissingError
from nfcompile.runtime.engine import TimedCall, TimedRunner, stopwatch
from nfcompile.runtime.linear_graph import LinearGraph, read_linear_graph

if TYPE_CHECKING:
    import torch

__all__ = ["TorchEngine"]

Mode = Literal["eager", "compile", "csr"]


class _TorchRunner:
    """A module on row-major tensors, or on feature-major ones where its weights are CSR."""

    def __init__(self, graph: LinearGraph, mode: Mode, threads: int) -> None:
        import torch

        from nfcompile.runtime.torch_modules import CsrModule, DenseModule

        self._graph = graph
        self._threads = threads
        module = CsrModule(graph) if mode == "csr" else DenseModule(graph)
        self._call: Any = torch.compile(module) if mode == "compile" else module

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for inputs by name."""
        return {self._graph.output: self._once(self._tensor(inputs)).numpy()}

    def timed(self, inputs: Mapping[str, np.ndarray]) -> TimedCall:
        """A call on these inputs as a tensor."""
        x = self._tensor(inputs)
        return stopwatch(lambda: self._once(x))

    def _tensor(self, inputs: Mapping[str, np.ndarray]) -> "torch.Tensor":
        import torch

        torch.set_num_threads(self._threads)
        return torch.from_numpy(np.ascontiguousarray(inputs[self._graph.input]))

    def _once(self, x: "torch.Tensor") -> "torch.Tensor":
        import torch

        with torch.inference_mode():
            y: torch.Tensor = self._call(x)
        return y


class TorchEngine:
    """PyTorch, on graphs of linear layers, or on modules that were saved whole.

    Attributes:
        mode: `eager`, `compile` (TorchInductor's default mode), or `csr` (`torch.sparse_csr`
            weights, run eagerly).
    """

    def __init__(self, mode: Mode = "eager") -> None:
        self.mode = mode

    @property
    def name(self) -> str:
        """What tables call it."""
        return "torch" if self.mode == "eager" else f"torch-{self.mode}"

    def load(self, path: Path, threads: int) -> TimedRunner:
        """Takes the weights of the `.onnx` model at `path`, or the module in a `.pt` file.

        Raises:
            EngineMissingError: If torch is not installed.
            UnsupportedModelError: If the model is more than linear layers.
        """
        try:
            import torch  # noqa: F401
        except ImportError as error:
            raise EngineMissingError("torch is not installed: pip install torch") from error
        if path.suffix == ".pt":
            from nfcompile.runtime.torch_module import ModuleRunner

            return ModuleRunner(path, threads, compiled=self.mode == "compile")
        return _TorchRunner(read_linear_graph(path), self.mode, threads)
