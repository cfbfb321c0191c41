"""The one interface behind which every engine runs a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

__all__ = ["Engine", "Runner"]


class Runner(Protocol):
    """A model loaded by an engine, ready to run."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for inputs by name."""
        ...


class Engine(Protocol):
    """Something that loads `.onnx` files."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    def load(self, path: Path, threads: int) -> Runner:
        """Loads the model at `path` to run on `threads` threads.

        Raises:
            EngineMissingError: If the engine is not installed.
            UnsupportedModelError: If it cannot load the model.
        """
        ...
