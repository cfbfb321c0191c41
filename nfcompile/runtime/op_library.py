"""Where the library of kernels is that ONNX Runtime loads."""

import importlib.util
from pathlib import Path

from nfcompile.errors import EngineMissingError

__all__ = ["op_library_path"]


def op_library_path() -> str:
    """Path of `libnfcompile_ops.so`: register it in any ONNX Runtime host to run compiled models.

    Raises:
        EngineMissingError: If the native part of nfcompile is not built.
    """
    # In an editable install the compiled files lie apart from the sources, beside `_native`.
    spec = importlib.util.find_spec("nfcompile._native")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).with_name("libnfcompile_ops.so")
        if path.is_file():
            return str(path)
    raise EngineMissingError(
        "libnfcompile_ops.so is not built: install nfcompile with pip, or run make setup"
    )
