"""Where the libraries of kernels are that ONNX Runtime loads."""

import importlib.util
from pathlib import Path

from nfcompile.errors import EngineMissingError, InputError

__all__ = ["op_library_path"]

_LIBRARIES = {"cpu": "libnfcompile_ops.so", "cuda": "libnfcompile_ops_cuda.so"}
_REMEDIES = {
    "cpu": "install nfcompile with pip, or run make setup",
    "cuda": "it takes Triton: pip install triton, then nfcompile again",
}


def op_library_path(provider: str = "cpu") -> str:
    """Path of a library of operators: register it in any ONNX Runtime host to run compiled models.

    A session takes one of them: that of `cuda` has the operators of the CPU, too.

    Args:
        provider: `cpu` for `libnfcompile_ops.so`, `cuda` for `libnfcompile_ops_cuda.so`.

    Raises:
        EngineMissingError: If it is not built.
        InputError: If there is no such provider.
    """
    if provider not in _LIBRARIES:
        raise InputError(f"provider must be one of {', '.join(_LIBRARIES)}, got {provider!r}")
    name = _LIBRARIES[provider]
    # In an editable install the compiled files lie apart from the sources, beside `_native`.
    spec = importlib.util.find_spec("nfcompile._native")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).with_name(name)
        if path.is_file():
            return str(path)
    raise EngineMissingError(f"{name} is not built: {_REMEDIES[provider]}")
