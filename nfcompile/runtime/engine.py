"""The one interface behind which every engine runs a model."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

__all__ = ["Engine", "Runner", "TimedCall", "TimedRunner", "stopwatch"]

TimedCall = Callable[[], float]
"""Runs a model once on inputs that it holds, and gives the microseconds that took."""


class Runner(Protocol):
    """A model loaded by an engine, ready to run."""

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs by name for inputs by name."""
        ...


class TimedRunner(Runner, Protocol):
    """A runner whose calls can be timed without what a user of the engine would not pay."""

    def timed(self, inputs: Mapping[str, np.ndarray]) -> TimedCall:
        """A call on these inputs, which are brought into the engine's own form here, once."""
        ...


class Engine(Protocol):
    """Something that loads `.onnx` files."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    def load(self, path: Path, threads: int) -> TimedRunner:
        """Loads the model at `path` to run on `threads` threads.

        Raises:
            EngineMissingError: If the engine is not installed.
            UnsupportedModelError: If it cannot load the model.
        """
        ...


def stopwatch(call: Callable[[], object]) -> TimedCall:
    """`call`, timed by this process's clock."""

    def timed() -> float:
        begin = time.perf_counter_ns()
        call()
        return (time.perf_counter_ns() - begin) / 1e3

    return timed
