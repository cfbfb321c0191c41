"""ONNX Runtime on a GPU, with our library of kernels for CUDA registered."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nfcompile.runtime.cuda import CUDA_PROVIDER
from nfcompile.runtime.engine import TimedCall, stopwatch
from nfcompile.runtime.ort import CPU_PROVIDER, OrtEngine, OrtRunner

__all__ = ["OrtCudaEngine", "OrtCudaRunner"]

_DEVICE = "cuda"


class OrtCudaRunner(OrtRunner):
    """One session."""

    def timed(self, inputs: Mapping[str, np.ndarray]) -> TimedCall:
        """A call on these inputs, which lie on the device, as what it gives will."""
        from onnxruntime import OrtValue

        binding = self.session.io_binding()
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(array, _DEVICE, 0))
        for output in self.session.get_outputs():
            binding.bind_output(output.name, _DEVICE, 0)

        def call() -> None:
            self.session.run_with_iobinding(binding)
            binding.synchronize_outputs()

        return stopwatch(call)


class OrtCudaEngine(OrtEngine):
    """ONNX Runtime's provider for CUDA, and behind it the CPU's."""

    name = "ort-cuda"

    def __init__(
        self, op_libraries: Sequence[str] = (), *, exact: bool = False, fallback: bool = True
    ) -> None:
        """Makes the engine.

        Args:
            op_libraries: Libraries of the user's own operators.
            exact: Whether fp32 is multiplied as such, and not in TF32 as by default.
            fallback: Whether operators that CUDA has no kernel for run on the CPU; without it a
                model that has any is not loaded.
        """
        super().__init__(op_libraries)
        self._fallback = fallback
        cuda = (CUDA_PROVIDER, {"use_tf32": "0" if exact else "1"})
        self.providers = [cuda, CPU_PROVIDER] if fallback else [cuda]

    def runner(self, path: Path, settings: Any) -> OrtCudaRunner:
        """A session with these settings."""
        if not self._fallback:
            settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        return OrtCudaRunner(super().runner(path, settings).session)
