"""What measured times belong to: on anything else they mean nothing."""

import hashlib
from pathlib import Path

from nfcompile.runtime.op_library import op_library_path
from nfcompile.target import Target, cpu_name
from nfcompile.version import __version__

__all__ = ["Machine", "machine"]

Machine = dict[str, str]
"""Processor, instruction set, versions and target by name."""


def machine(target: Target) -> Machine:
    """This machine, as far as times on it depend on it.

    The kernels are told apart by their library's contents: a version may be built many times.

    Args:
        target: What is measured for.

    Raises:
        EngineMissingError: If the library of kernels is not built.
    """
    import onnxruntime

    library = Path(op_library_path()).read_bytes()
    return {
        "cpu": cpu_name(),
        "isa": target.isa,
        "onnxruntime": onnxruntime.__version__,
        "nfcompile": __version__,
        "kernels": hashlib.sha256(library).hexdigest()[:16],
        "target": target.name,
        "threads": str(target.threads),
        "precision": target.precision,
    }
