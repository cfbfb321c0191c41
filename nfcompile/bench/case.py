"""What a suite measures: a network as files for every engine, and inputs of any batch size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Case", "Inputs", "Network"]

Inputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Network:
    """A case as files and objects.

    Attributes:
        graph: `.onnx` file with the weights by their non-zeros where they are wide: what engines
            with sparse matrices read.
        dense: `.onnx` file of standard operators with dense weights, cascades multiplied out;
            None where that would be too large.
        source: What is compiled: a path, or a torch module.
        example: Example inputs for a module, else None.
        module: File of `torch.save` with the module itself, for torch; None where the layers of
            `dense` say all.
    """

    graph: Path
    dense: Path | None
    source: Any
    example: Any = None
    module: Path | None = None


@dataclass(frozen=True)
class Case:
    """A network to measure.

    Attributes:
        name: Family and parameters, such as `mlp-block-16-0.10`.
        what: In words.
        build: Writes its files into a folder.
        inputs: By regime ("" where there is only one) what gives inputs of a batch size.
        alive: Regimes in which every row must have an output that is not zero throughout.
    """

    name: str
    what: str
    build: Callable[[Path], Network]
    inputs: Mapping[str, Callable[[int], Inputs]]
    alive: Sequence[str] = field(default=())
