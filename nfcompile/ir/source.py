"""What a front end hands to the compiler."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

__all__ = ["Arrays", "Source"]

Arrays = Mapping[str, Any]
"""Values by name: arrays; lists of them for sequences, dicts for maps, None for an optional without
a value."""


@dataclass(frozen=True)
class Source:
    """A model as it came, with every weight dense or stored by its non-zeros.

    Attributes:
        name: What messages call it: a file name or a class name.
        model: The graph; the compiler rewrites it in place.
        example_inputs: Input arrays by graph input name, if the user gave any.
        run: Runs the original on inputs by name and returns outputs by name: the reference
            that the compiled model is verified against. None: run `path` in ONNX Runtime.
        files: Every file that it was read from, none of which may be written over.
        path: The `.onnx` file that `model` was read from, if it was one.
        notes: What the user should know of how the model was read, one line each.
    """

    name: str
    model: ir.Model
    example_inputs: Arrays | None = None
    run: Callable[[Arrays], dict[str, Any]] | None = None
    path: Path | None = None
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
