"""Compiles neural networks with sparse topologies into ONNX models that run sparse.

compiled = nfcompile.compile(module, example_inputs)
compiled.save("model.onnx")
outputs = nfcompile.session("model.onnx").run(None, inputs)

Subpackages, such as `nfcompile.topology` and `nfcompile.nn`, are imported when first asked for.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from nfcompile.version import __version__

__all__ = ["__version__", "compile", "op_library_path", "session", "verify"]

if _TYPE_CHECKING:
    from nfcompile import bench as bench
    from nfcompile import cost as cost
    from nfcompile import data as data
    from nfcompile import errors as errors
    from nfcompile import frontend as frontend
    from nfcompile import gpu as gpu
    from nfcompile import ir as ir
    from nfcompile import models as models
    from nfcompile import nn as nn
    from nfcompile import passes as passes
    from nfcompile import runtime as runtime
    from nfcompile import sparse as sparse
    from nfcompile import study as study
    from nfcompile import topology as topology
    from nfcompile import tuning as tuning
    from nfcompile.api import compile, verify  # noqa: A004
    from nfcompile.runtime.op_library import op_library_path
    from nfcompile.runtime.ort import session

_HOMES = {
    "compile": "nfcompile.api",
    "verify": "nfcompile.api",
    "session": "nfcompile.runtime.ort",
    "op_library_path": "nfcompile.runtime.op_library",
}


_SUBPACKAGES = (
    "bench", "cost", "data", "errors", "frontend", "gpu", "ir", "models", "nn", "passes",
    "runtime", "sparse", "study", "topology", "tuning",
)  # fmt: skip


def __getattr__(name: str) -> _Any:
    """Imports what is public when it is first asked for: onnx and torch load only if needed."""
    import importlib

    if name in _SUBPACKAGES:
        return importlib.import_module(f"nfcompile.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'nfcompile' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, *_SUBPACKAGES]
