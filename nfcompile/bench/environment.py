"""What a figure was measured on; it goes into every report."""

import os
import platform
from importlib import metadata
from typing import Any

from nfcompile.target import caches, cpu_name, isa

__all__ = ["describe"]


def describe(threads: int | None = None) -> dict[str, Any]:
    """Processor, cores, threads and versions.

    Args:
        threads: Threads used; all cores if None.
    """
    cores = len(os.sched_getaffinity(0))
    return {
        "cpu": cpu_name(),
        "cores": cores,
        "caches": caches(),
        "kernels": isa(),
        "threads": cores if threads is None else threads,
        "python": platform.python_version(),
        "onnxruntime": metadata.version("onnxruntime"),
        "nfcompile": metadata.version("nfcompile"),
    }
