"""A torch module from a file of `torch.save`, called with its inputs by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from nfcompile.runtime.engine import TimedCall, stopwatch

__all__ = ["ModuleRunner"]


class ModuleRunner:
    """A module as its author wrote it, or compiled by TorchInductor."""

    def __init__(self, path: Path, threads: int, *, compiled: bool = False) -> None:
        """Loads the module, which runs the code in the file: give files of your own only.

        Args:
            path: What `torch.save(module, path)` wrote.
            threads: Threads of one inference.
            compiled: Whether it goes through `torch.compile`.
        """
        module = torch.load(path, weights_only=False).eval()
        self._call: Any = torch.compile(module) if compiled else module
        self._threads = threads

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs, named by their number, for inputs by name."""
        leaves = pytree.tree_leaves(self._once(self._tensors(inputs)))
        return {f"output_{index}": leaf.numpy() for index, leaf in enumerate(leaves)}

    def timed(self, inputs: Mapping[str, np.ndarray]) -> TimedCall:
        """A call on these inputs as tensors."""
        tensors = self._tensors(inputs)
        return stopwatch(lambda: self._once(tensors))

    def _tensors(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        torch.set_num_threads(self._threads)
        return {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in inputs.items()}

    def _once(self, tensors: Mapping[str, Tensor]) -> Any:
        with torch.inference_mode():
            return self._call(**tensors)
