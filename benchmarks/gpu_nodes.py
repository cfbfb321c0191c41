"""What a node costs inside ONNX Runtime on CUDA: the slope of chains of small layers."""

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["node_costs"]

_WIDTH = 256
_BLOCK = 64
_DENSITY = 0.3
_SHORT, _LONG = 4, 44
_WARMUPS, _ROUNDS = 20, 60
_PASSES = (
    "infer-shapes,encode-weights{target=ort-cuda,force=bsr,precision=fp32},"
    "legalize-ort-cuda,remove-unused"
)


def node_costs() -> dict[str, float]:
    """Microseconds that one more layer takes at batch 1, fp32: `dense`, and `nfcompile`'s BSR.

    So small a layer is bound by what the host does for a node.

    Raises:
        EngineMissingError: If onnxruntime cannot run on CUDA here.
    """
    import nfcompile
    from nfcompile.runtime.cuda import require_cuda
    from nfcompile.runtime.ort_cuda import OrtCudaEngine

    require_cuda("the cost of nodes")
    engine = OrtCudaEngine()
    calls = {}
    x = np.random.default_rng(0).standard_normal((1, _WIDTH)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for count in (_SHORT, _LONG):
            dense, ours = (Path(folder) / f"{name}{count}.onnx" for name in ("dense", "ours"))
            model = _chain(count)
            dense.write_bytes(model.SerializeToString())
            nfcompile.compile(model, target="ort-cuda", passes=_PASSES).save(ours)
            for name, path in (("dense", dense), ("nfcompile", ours)):
                calls[name, count] = engine.load_for_timing(path, 0).timed({"x": x})
    for call in calls.values():
        for _ in range(_WARMUPS):
            call()
    times: dict[tuple[str, int], list[float]] = {key: [] for key in calls}
    for _ in range(_ROUNDS):
        for key, call in calls.items():
            times[key].append(call())
    medians = {key: statistics.median(values) for key, values in times.items()}
    return {
        name: (medians[name, _LONG] - medians[name, _SHORT]) / (_LONG - _SHORT)
        for name in ("dense", "nfcompile")
    }


def _chain(count: int) -> Any:
    """That many layers of random blocks, one after the other."""
    import onnx
    import onnx.parser

    rng = np.random.default_rng(count)
    names = ["x", *(f"h{i}" for i in range(1, count)), "y"]
    nodes = "\n".join(f"{names[i + 1]} = MatMul({names[i]}, w{i})" for i in range(count))
    model = onnx.parser.parse_model(
        f"""<ir_version: 9, opset_import: ["": 18]>
        chain (float[b,{_WIDTH}] x) => (float[b,{_WIDTH}] y) {{ {nodes} }}"""
    )
    blocks = _WIDTH // _BLOCK
    for i in range(count):
        mask = rng.random((blocks, blocks)) < _DENSITY
        mask[0] = True
        weight = np.kron(mask, np.ones((_BLOCK, _BLOCK))) * rng.standard_normal((_WIDTH, _WIDTH))
        scaled = (weight / np.sqrt(_WIDTH * _DENSITY)).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(scaled, f"w{i}"))
    return model
