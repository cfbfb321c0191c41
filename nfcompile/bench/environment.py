"""What a figure was measured on; it goes into every report."""

import os
import platform
from importlib import metadata
from typing import Any

from nfcompile.bench.held import held_to
from nfcompile.errors import EngineMissingError
from nfcompile.runtime.cuda import gpu_name
from nfcompile.target import caches, cpu_flags, cpu_name, isa
from nfcompile.version import __version__

__all__ = ["describe", "instruction_sets", "packages", "peers"]

_PACKAGES = (
    "nfcompile",
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "triton",
    "openvino",
    "numpy",
    "scipy",
)
_PEERS = ("deepsparse", "python-graphblas", "suitesparse-graphblas", "numpy")
_FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")


def describe(threads: int | None = None) -> dict[str, Any]:
    """Processor, GPU, cores, threads and versions.

    Args:
        threads: Threads used; all cores if None.
    """
    cores = len(os.sched_getaffinity(0))
    present = packages()
    return {
        "cpu": cpu_name(),
        "cores": cores,
        "caches": caches(),
        "instruction_sets": instruction_sets(),
        "kernels": isa(),
        "held_to": held_to(),
        "gpu": gpu_name(),
        "threads": cores if threads is None else threads,
        "python": platform.python_version(),
        "onnxruntime": present.get("onnxruntime") or present.get("onnxruntime-gpu"),
        "nfcompile": __version__,
        "packages": present,
        "peers": peers(),
    }


def instruction_sets() -> list[str]:
    """Those of this processor that matter to kernels, as Linux names them."""
    return [flag for flag in _FLAGS if flag in cpu_flags()]


def packages() -> dict[str, str]:
    """Versions of those packages that are installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def peers() -> dict[str, str]:
    """Versions of the engines that have an interpreter of their own; empty if there is none."""
    from nfcompile.runtime.worker import peers_python

    try:
        root = peers_python().parents[1]
    except EngineMissingError:
        return {}
    folders = [str(path) for path in root.glob("lib/python*/site-packages")]
    installed = metadata.distributions(path=folders)
    versions = {item.metadata["Name"].lower(): item.version for item in installed}
    return {name: versions[name] for name in _PEERS if name in versions}
