"""Imported first by every front end that needs torch: says how to get it."""

from importlib.util import find_spec

from nfcompile.errors import EngineMissingError

__all__: list[str] = []

for _package in ("torch", "onnxscript"):
    if find_spec(_package) is None:
        raise EngineMissingError(
            f"compiling a torch module needs {_package}, which is not installed: "
            "pip install torch onnxscript"
        )
