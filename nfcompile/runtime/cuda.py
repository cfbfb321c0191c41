"""Whether models can run on a GPU here, and what is missing where they cannot."""

import contextlib
import importlib
import importlib.util
import io
from functools import cache
from typing import Any

from nfcompile.errors import EngineMissingError
from nfcompile.runtime.op_library import op_library_path

__all__ = ["CUDA_PROVIDER", "cuda_problem", "gpu_name", "preload_cuda", "require_cuda"]

CUDA_PROVIDER = "CUDAExecutionProvider"


def cuda_problem() -> str:
    """What is missing, in a clause that says how to get it; empty where nothing is."""
    try:
        op_library_path("cuda")
    except EngineMissingError as error:
        return str(error)
    if reason := str(_kernels().available()):
        return reason
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is not installed: pip install onnxruntime-gpu"
    import onnxruntime

    if CUDA_PROVIDER not in onnxruntime.get_available_providers():
        return (
            f"onnxruntime {onnxruntime.__version__} has no {CUDA_PROVIDER}: "
            "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        )
    return ""


def require_cuda(subject: str, advice: str = "") -> None:
    """Raises EngineMissingError with what `subject` lacks, and `advice` behind it, if anything."""
    if problem := cuda_problem():
        raise EngineMissingError(f"{subject} needs CUDA: {problem}{advice and '; '}{advice}")


def gpu_name() -> str:
    """The name of the GPU that kernels would run on; empty if there is none."""
    if importlib.util.find_spec("nfcompile._native") is None:
        return ""
    kernels = _kernels()
    return "" if kernels.available() else str(kernels.device()["name"])


def _kernels() -> Any:
    return importlib.import_module("nfcompile._native").cuda


@cache
def preload_cuda(onnxruntime: Any) -> None:
    """Loads the libraries of CUDA that came as Python packages, where onnxruntime can do that."""
    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # of what may be loaded later
            onnxruntime.preload_dlls()
