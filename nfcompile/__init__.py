"""Compiles neural networks with sparse topologies into ONNX models that run sparse.

compiled = nfcompile.compile(module, example_inputs)
compiled.save("model.onnx")
outputs = nfcompile.session("model.onnx").run(None, inputs)
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from nfcompile.version import __version__

__all__ = ["__version__", "compile", "op_library_path", "session", "verify"]

if _TYPE_CHECKING:
    from nfcompile.api import compile, verify  # noqa: A004
    from nfcompile.runtime.op_library import op_library_path
    from nfcompile.runtime.ort import session

_HOMES = {
    "compile": "nfcompile.api",
    "verify": "nfcompile.api",
    "session": "nfcompile.runtime.ort",
    "op_library_path": "nfcompile.runtime.op_library",
}


def __getattr__(name: str) -> _Any:
    """Imports a public function when it is first asked for: onnx and torch load only if needed."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nfcompile' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
