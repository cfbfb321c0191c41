"""Picks the front end by what it is given."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir

from nfcompile.errors import InputError
from nfcompile.frontend.onnx_file import from_onnx_file, from_onnx_model
from nfcompile.ir.source import Source

__all__ = ["load_source"]


def load_source(
    src: Any,
    example_inputs: Any = None,
    *,
    weights: Path | None = None,
    input_shapes: Sequence[tuple[int, ...] | str] | None = None,
    dynamic_shapes: Any = None,
) -> Source:
    """Reads `src`, whatever it is.

    Args:
        src: A torch module, an ExportedProgram, an ONNX model in memory, or a path or text: a
            `.onnx` or `.pt2` file, or a reference `package.module:callable`, `path.py:callable`.
        example_inputs: For a module what it is called with; for ONNX arrays by input name.
        weights: State for a referenced module.
        input_shapes: Shapes of random example inputs for a referenced module.
        dynamic_shapes: For a module, in memory or referenced, the dimensions that may vary.

    Raises:
        InputError: If it is none of these.
        UnsupportedModelError: If it is a model that we cannot take.
        EngineMissingError: If torch is needed and not installed.
    """
    if isinstance(src, (str, os.PathLike)):
        source = _from_path(os.fspath(src), example_inputs, weights, input_shapes, dynamic_shapes)
        return dataclasses.replace(source, files=_files(source, os.fspath(src), weights))
    if weights is not None or input_shapes is not None:
        raise InputError("weights and input shapes go with a reference module:callable only")
    kind = type(src).__module__.partition(".")[0]
    exported = type(src).__name__ == "ExportedProgram"
    if callable(src) and not exported:
        from nfcompile.frontend.torch_module import from_module

        return from_module(src, example_inputs, dynamic_shapes=dynamic_shapes)
    _refuse_dynamic_shapes(dynamic_shapes, f"a {type(src).__name__}")
    if kind in ("onnx", "onnx_ir"):
        return from_onnx_model(src, example_inputs)
    if exported:
        from nfcompile.frontend.exported_program import from_exported_program

        return from_exported_program(src, example_inputs)
    raise InputError(
        f"cannot compile a {type(src).__name__}: give a torch module, an ExportedProgram, an ONNX "
        "model or a path"
    )


def _from_path(
    text: str,
    example_inputs: Any,
    weights: Path | None,
    input_shapes: Sequence[tuple[int, ...] | str] | None,
    dynamic_shapes: Any,
) -> Source:
    suffix = Path(text).suffix.lower()
    if ":" in text and not Path(text).exists() and suffix not in (".onnx", ".pt2"):
        from nfcompile.frontend.python_reference import from_python_reference

        return from_python_reference(
            text,
            example_inputs,
            weights=weights,
            input_shapes=input_shapes,
            dynamic_shapes=dynamic_shapes,
        )
    if weights is not None or input_shapes is not None:
        raise InputError(f"weights and input shapes go with module:callable only, not with {text}")
    _refuse_dynamic_shapes(dynamic_shapes, text)
    if suffix == ".pt2":
        from nfcompile.frontend.exported_program import from_pt2

        return from_pt2(Path(text), example_inputs)
    if suffix == ".py":
        raise InputError(f"{text} is Python: name the function that makes the model, {text}:NAME")
    if suffix in (".pt", ".pth", ".bin", ".safetensors"):
        raise InputError(
            f"{text} looks like weights: give module:callable and --weights {text}, or a .pt2 file"
        )
    if suffix == ".onnx" or Path(text).is_file():
        return from_onnx_file(Path(text), example_inputs)
    if Path(text).exists():
        raise InputError(f"not a file: {text}")
    raise InputError(
        f"no such file: {text} (give a .onnx or .pt2 file, or a reference module:callable)"
    )


def _refuse_dynamic_shapes(dynamic_shapes: Any, subject: str) -> None:
    if dynamic_shapes is not None:
        raise InputError(
            f"dynamic shapes go with a torch module only: {subject} has those it was exported with"
        )


def _files(source: Source, text: str, weights: Path | None) -> tuple[Path, ...]:
    """What was read: the model, its external data, the Python file, the weights."""
    named = [Path(text), Path(text.rpartition(":")[0] or text), *([weights] if weights else [])]
    external = [
        Path(value.const_value.path)
        for value in source.model.graph.initializers.values()
        if isinstance(value.const_value, ir.ExternalTensor)
    ]
    return tuple({path.resolve() for path in (*named, *external) if path.is_file()})
