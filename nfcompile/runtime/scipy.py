"""scipy's CSR matrices, one thread: the plainest way to run a sparse network in Python."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from scipy.special import erf, expit

from nfcompile.errors import UnsupportedModelError
from nfcompile.runtime.engine import TimedCall, stopwatch
from nfcompile.runtime.linear_graph import (
    Activate,
    LinearGraph,
    Multiply,
    Sum,
    read_linear_graph,
)

__all__ = ["ScipyEngine"]


class _ScipyRunner:
    """Activations are feature-major between layers: transposed once in, once out."""

    def __init__(self, graph: LinearGraph) -> None:
        self._graph = graph
        self._freed = graph.freed_after()
        self._weights: list[csr_array | None] = [
            step.csr() if isinstance(step, Multiply) else None for step in graph.steps
        ]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for inputs by name."""
        return {self._graph.output: self._once(inputs[self._graph.input])}

    def timed(self, inputs: Mapping[str, np.ndarray]) -> TimedCall:
        """A call on these inputs."""
        x = inputs[self._graph.input]
        return stopwatch(lambda: self._once(x))

    def _once(self, x: np.ndarray) -> np.ndarray:
        values = {self._graph.input: np.ascontiguousarray(x.reshape(-1, x.shape[-1]).T)}
        for step, weight, freed in zip(self._graph.steps, self._weights, self._freed, strict=True):
            operand = values[step.x]
            if isinstance(step, Multiply):
                y = weight @ operand
                if step.bias is not None:
                    y += step.bias[:, None]
            elif isinstance(step, Sum):
                other = step.other
                y = operand + (values[other] if isinstance(other, str) else other[:, None])
            else:
                y = _activate(operand, step)
            values[step.y] = y
            for name in freed:
                del values[name]
        y = np.ascontiguousarray(values[self._graph.output].T)
        return y.reshape(*x.shape[:-1], y.shape[-1])


class ScipyEngine:
    """scipy, on graphs of linear layers; it has one thread whatever is asked for."""

    name = "scipy"

    def load(self, path: Path, threads: int) -> _ScipyRunner:
        """Takes the weights of the model at `path`.

        Raises:
            UnsupportedModelError: If the model is more than linear layers.
        """
        return _ScipyRunner(read_linear_graph(path))


def _activate(x: np.ndarray, step: Activate) -> np.ndarray:
    """In place where numpy can: a product's result is read by its activation alone."""
    if step.name == "relu":
        return np.asarray(np.maximum(x, 0, out=x))
    if step.name == "clip":
        return np.clip(x, step.alpha, step.beta, out=x)
    if step.name == "tanh":
        return np.asarray(np.tanh(x, out=x))
    if step.name == "gelu":
        half = erf(x * np.float32(2**-0.5))
        half += 1
        half *= np.float32(0.5)
        return np.asarray(np.multiply(x, half, out=x))
    if step.name in ("sigmoid", "silu"):
        gate = expit(x)
        return np.asarray(gate if step.name == "sigmoid" else np.multiply(x, gate, out=x))
    raise UnsupportedModelError(f"the scipy engine has no activation {step.name}")
