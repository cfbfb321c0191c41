"""OpenVINO on the CPU, for models of standard operators."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nfcompile.errors import EngineMissingError, UnsupportedModelError
from nfcompile.runtime.engine import TimedCall, stopwatch

__all__ = ["OpenVinoEngine"]

Shapes = dict[str, tuple[int, ...]]


class _OpenVinoRunner:
    """A model that is compiled for the shapes of the inputs it is given, anew when they change."""

    def __init__(self, core: Any, model: Any, config: dict[str, Any]) -> None:
        self._core = core
        self._model = model
        self._config = config
        self._shapes: Shapes | None = None
        self._request: Any = None

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for inputs by name."""
        result = self._for_shapes(inputs).infer(dict(inputs))
        return {key.get_any_name(): np.array(item) for key, item in result.items()}

    def timed(self, inputs: Mapping[str, np.ndarray]) -> TimedCall:
        """A call on these inputs that copies neither them nor its outputs."""
        request, feeds = self._for_shapes(inputs), dict(inputs)
        return stopwatch(lambda: request.infer(feeds, share_inputs=True, share_outputs=True))

    def _for_shapes(self, inputs: Mapping[str, np.ndarray]) -> Any:
        shapes = {name: item.shape for name, item in inputs.items()}
        if shapes != self._shapes:
            model = self._model.clone()
            model.reshape({name: list(shape) for name, shape in shapes.items()})
            compiled = self._core.compile_model(model, "CPU", self._config)
            self._request, self._shapes = compiled.create_infer_request(), shapes
        return self._request


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
        core = openvino.Core()
        try:
            return _OpenVinoRunner(core, core.read_model(str(path)), config)
        except RuntimeError as error:
            raise UnsupportedModelError(
                f"OpenVINO cannot load {path}: {str(error).strip().splitlines()[0]}"
            ) from error
