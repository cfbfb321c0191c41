"""ONNX Runtime with our library of kernels registered, on the CPU unless told otherwise."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nfcompile.errors import EngineMissingError, InputError, UnsupportedModelError
from nfcompile.ir.protobuf import read_metadata
from nfcompile.runtime.cuda import CUDA_PROVIDER, preload_cuda, require_cuda
from nfcompile.runtime.engine import TimedCall, stopwatch
from nfcompile.runtime.op_library import op_library_path
from nfcompile.runtime.ort_values import describe, fed, is_narrow_type, run_narrow

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["CPU_PROVIDER", "OrtEngine", "OrtRunner", "Provider", "session"]

Provider = str | tuple[str, Mapping[str, Any]]
"""An execution provider's name, maybe with options."""

CPU_PROVIDER = "CPUExecutionProvider"
_SILENT = 4
"""Errors are raised as well; inputs that a model turns out not to take are none of the user's."""


def session(
    path: str | os.PathLike[str],
    providers: Sequence[Provider] | None = None,
    *,
    threads: int | None = None,
    **options: Any,
) -> "onnxruntime.InferenceSession":
    """A plain `onnxruntime.InferenceSession` on the model at `path`, with our operators registered.

    Args:
        path: A compiled model, or any other `.onnx` file.
        providers: Execution providers, best first, as onnxruntime takes them. By default CUDA and
            then the CPU for a model that was compiled for `ort-cuda`, for any other the CPU.
        threads: Threads of one inference; all cores if None.
        **options: Further attributes of `onnxruntime.SessionOptions` to set.

    Raises:
        EngineMissingError: If onnxruntime, the library of kernels or a GPU is missing.
        InputError: If there is no such file.
        UnsupportedModelError: If ONNX Runtime cannot load the model.
    """
    if not Path(path).is_file():
        raise InputError(f"no such file: {path}")
    settings = _settings()
    if threads is not None:
        settings.intra_op_num_threads = threads
    for name, value in options.items():
        setattr(settings, name, value)
    if providers is not None:
        return _load(path, settings, providers)
    for_cuda = _is_for_cuda(path)
    if not for_cuda:
        return _load(path, settings, [CPU_PROVIDER])
    require_cuda(str(path), f"providers=['{CPU_PROVIDER}'] runs it on the CPU, if it is in fp32")
    return _load(path, settings, [CUDA_PROVIDER, CPU_PROVIDER])


class OrtRunner:
    """One session."""

    def __init__(self, session: "onnxruntime.InferenceSession") -> None:
        self.session = session
        self._outputs = [output.name for output in session.get_outputs()]
        self._narrow = any(is_narrow_type(output.type) for output in session.get_outputs())

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs by name for inputs by name: arrays, lists for sequences, None for no value.

        Raises:
            UnsupportedModelError: If the model fails on these inputs.
        """
        try:
            if self._narrow:
                results = run_narrow(self.session, self._outputs, inputs)
            else:
                feeds = {name: fed(value) for name, value in inputs.items()}
                results = self.session.run(self._outputs, feeds)
            return dict(zip(self._outputs, results, strict=True))
        except Exception as error:  # onnxruntime raises classes of its own, by the status code
            shapes = ", ".join(f"{name} {describe(item)}" for name, item in inputs.items())
            raise UnsupportedModelError(
                f"ONNX Runtime fails on inputs {shapes}: {_first_line(error)}"
            ) from error

    def timed(self, inputs: Mapping[str, np.ndarray]) -> TimedCall:
        """A call on these inputs, to be timed."""
        feeds = dict(inputs)
        return stopwatch(lambda: self.session.run(None, feeds))


class OrtEngine:
    """ONNX Runtime, all graph optimizations on, as a deployed model would run."""

    name = "ort"
    providers: Sequence[Provider] = (CPU_PROVIDER,)

    def __init__(self, op_libraries: Sequence[str] = ()) -> None:
        self._op_libraries = op_libraries

    def load(self, path: Path, threads: int) -> OrtRunner:
        """Loads the model at `path`; `threads` 0 takes all cores."""
        settings = _settings()
        settings.intra_op_num_threads = threads
        return self.runner(path, settings)

    def load_for_timing(self, path: Path, threads: int) -> OrtRunner:
        """As `load`, but idle sessions leave the cores alone, so that several can take turns."""
        settings = _settings()
        settings.log_severity_level = _SILENT
        settings.intra_op_num_threads = threads
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        return self.runner(path, settings)

    def load_reference(self, path: Path) -> OrtRunner:
        """Loads a model to compare with, as written: nothing fused, and little memory taken."""
        settings = _settings()
        settings.log_severity_level = _SILENT
        settings.graph_optimization_level = _import().GraphOptimizationLevel.ORT_DISABLE_ALL
        settings.add_session_config_entry("session.disable_prepacking", "1")
        settings.enable_cpu_mem_arena = False
        return self.runner(path, settings)

    def runner(self, path: Path, settings: Any) -> OrtRunner:
        """A session with these settings."""
        return OrtRunner(_load(path, settings, self.providers, self._op_libraries))


def _is_for_cuda(path: str | os.PathLike[str]) -> bool:
    """Whether a model was compiled for CUDA, and has operators that need our library for it."""
    return read_metadata(Path(path)).get("nfcompile.target") == "ort-cuda"


def _library_on_cuda(path: str | os.PathLike[str], ort: Any) -> str:
    """Which library to register there: one for the CPU will do where ours for CUDA is not built."""
    if _is_for_cuda(path) or CUDA_PROVIDER not in ort.get_available_providers():
        require_cuda(CUDA_PROVIDER)
    try:
        op_library_path("cuda")
    except EngineMissingError:
        return "cpu"
    return "cuda"


def _settings() -> Any:
    settings = _import().SessionOptions()
    settings.log_severity_level = 4  # what goes wrong comes as an exception
    return settings


def _load(
    path: str | os.PathLike[str],
    settings: Any,
    providers: Sequence[Provider],
    op_libraries: Sequence[str] = (),
) -> "onnxruntime.InferenceSession":
    ort = _import()
    names = [item if isinstance(item, str) else item[0] for item in providers]
    on_cuda = CUDA_PROVIDER in names
    ours = "cpu"
    if on_cuda:
        ours = _library_on_cuda(path, ort)
        preload_cuda(ort)
    try:
        for library in (op_library_path(ours), *op_libraries):
            settings.register_custom_ops_library(library)
        made = ort.InferenceSession(os.fspath(path), settings, providers=list(providers))
        if on_cuda and CUDA_PROVIDER not in made.get_providers():
            raise EngineMissingError(
                f"onnxruntime could not load its {CUDA_PROVIDER}, which needs the libraries of "
                "CUDA: pip install 'onnxruntime-gpu[cuda,cudnn]'"
            )
        return made
    except EngineMissingError:
        raise
    except Exception as error:  # see OrtRunner.run
        raise UnsupportedModelError(
            f"ONNX Runtime cannot load {path}: {_first_line(error)}"
        ) from error


def _import() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineMissingError("onnxruntime is not installed: pip install onnxruntime") from error
    return onnxruntime


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
