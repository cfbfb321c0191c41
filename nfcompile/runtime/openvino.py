"""OpenVINO on the CPU, for models of standard operators."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nfcompile.errors import EngineMissingError, UnsupportedModelError

__all__ = ["OpenVinoEngine"]


class _OpenVinoRunner:
    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._request = compiled.create_infer_request()

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for inputs by name."""
        result = self._request.infer(dict(inputs))
        return {output.get_any_name(): result[output].copy() for output in self._compiled.outputs}


class OpenVinoEngine:
    """OpenVINO, latency mode.

    Attributes:
        precision: `f32`, or empty for what it picks itself (bf16 where the CPU has it).
    """

    name = "openvino"

    def __init__(self, precision: str = "f32") -> None:
        self.precision = precision

    def load(self, path: Path, threads: int) -> _OpenVinoRunner:
        """Loads the model at `path`."""
        try:
            import openvino
        except ImportError as error:
            raise EngineMissingError("openvino is not installed: pip install openvino") from error
        config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        if self.precision:
            config["INFERENCE_PRECISION_HINT"] = self.precision
        try:
            return _OpenVinoRunner(openvino.Core().compile_model(str(path), "CPU", config))
        except RuntimeError as error:
            raise UnsupportedModelError(
                f"OpenVINO cannot load {path}: {str(error).strip().splitlines()[0]}"
            ) from error
