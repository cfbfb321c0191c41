"""The operators for CUDA inside ONNX Runtime, end to end, and portable models there."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["check_operators"]

_N = 1024
_BATCHES = (1, 17, 300)
_TOKENS = 5


def check_operators(progress: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """Yields what was checked, and what is wrong with it (empty if nothing).

    Compiling verifies each model against its original on CUDA already; here more batch sizes run,
    and in a session as a user has it.

    Args:
        progress: Called with a few words.
    """
    import nfcompile
    from nfcompile.runtime.ort_cuda import OrtCudaEngine

    with tempfile.TemporaryDirectory() as folder:
        for name, proto, options in _models():
            progress(name)
            try:
                path = Path(folder) / "m.onnx"
                nfcompile.compile(proto, target="ort-cuda", **options).save(path)
                narrow = options["precision"] == "bf16"
                yield name, _compare(proto, nfcompile.session(path), narrow)
            except Exception as error:  # whatever onnxruntime raises
                yield name, _first_line(error)
        for name, proto in _portable():
            progress(name)
            try:
                path = Path(folder) / "p.onnx"
                text = nfcompile.passes.default_pipeline("portable", 1)
                forced = text.replace("encode-weights{", "encode-weights{force=block-diagonal,")
                nfcompile.compile(proto, target="portable", passes=forced).save(path)
                runner = OrtCudaEngine(exact=True, fallback=False).load(path, 0)
                yield name, _compare(proto, runner.session)
            except Exception as error:  # whatever onnxruntime raises
                yield name, _first_line(error)


def _compare(proto: Any, session: Any, narrow: bool = False) -> str:
    """What is wrong; the original runs on the CPU."""
    import onnxruntime

    original = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    half = any("16" in item.type for item in session.get_inputs())
    limit = 2e-2 if narrow else 5e-3 if half else 1e-4
    rng = np.random.default_rng(0)
    for batch in _BATCHES:
        feeds = {
            item.name: rng.standard_normal(_sizes(item.shape, batch)).astype(
                np.float16 if half else np.float32
            )
            for item in session.get_inputs()
        }
        (right,), (got,) = original.run(None, feeds), session.run(None, feeds)
        wide = right.astype(np.float64)
        error = np.abs(got.astype(np.float64) - wide).max() / np.abs(wide).max()
        if not error <= limit:
            return f"batch {batch}: off by {error:.1e} of the largest output"
    return ""


def _models() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    rng = np.random.default_rng(0)
    weights = {
        "bsr": _blocks(rng, 64, 0.05),
        "block-diagonal": _factor(rng, 32),
        "csr": rng.standard_normal((_N, _N)) * (rng.random((_N, _N)) < 0.02),
    }
    for kind, weight in weights.items():
        for types, dtype in (("float", np.float32), ("float16", np.float16)):
            for precision in ("fp32", "bf16") if types == "float" else ("fp32",):
                name = f"{kind} in {'fp16' if types == 'float16' else precision}"
                options = {"passes": _forced(kind, precision), "precision": precision}
                yield name, _network(types, weight.astype(dtype)), options


def _portable() -> Iterator[tuple[str, Any]]:
    rng = np.random.default_rng(1)
    for stride, axes in ((1, "b"), (32, "b"), (32, "b,t")):
        yield (
            f"portable, stride {stride}, x [{axes},{_N}], no node on the CPU",
            _network("float", _factor(rng, stride).astype(np.float32), axes),
        )


def _forced(kind: str, precision: str) -> str:
    return (
        f"infer-shapes,encode-weights{{target=ort-cuda,force={kind},precision={precision}}},"
        "legalize-ort-cuda,fuse-epilogue,remove-unused"
    )


def _sizes(shape: list[Any], batch: int) -> list[int]:
    return [batch, *(size if isinstance(size, int) else _TOKENS for size in shape[1:])]


def _network(types: str, weight: np.ndarray, axes: str = "b") -> Any:
    """Two layers with bias, activation and residual."""
    import onnx.parser

    text = f"""<ir_version: 9, opset_import: ["": 18]>
    agraph ({types}[{axes},{_N}] x) => ({types}[{axes},{_N}] y) {{
        a = MatMul(x, w)
        b = Add(a, c)
        r = Relu(b)
        h = MatMul(r, w)
        y = Add(h, x)
    }}"""
    proto = onnx.parser.parse_model(text)
    scaled = weight / np.sqrt(np.count_nonzero(weight) / _N)
    bias = np.linspace(-1, 1, _N)
    for name, array in (("w", scaled), ("c", bias)):
        constant = onnx.numpy_helper.from_array(array.astype(weight.dtype), name)
        proto.graph.initializer.append(constant)
    return proto


def _blocks(rng: np.random.Generator, size: int, density: float) -> np.ndarray:
    mask = rng.random((_N // size, _N // size)) < density
    mask[0, 0] = True
    return rng.standard_normal((_N, _N)) * np.kron(mask, np.ones((size, size)))


def _factor(rng: np.random.Generator, stride: int, size: int = 32) -> np.ndarray:
    from nfcompile.sparse.block_diagonal import strided_indices

    weight = np.zeros((_N, _N))
    index = strided_indices(_N // size, size, stride)
    weight[index[:, :, None], index[:, None, :]] = rng.standard_normal((_N // size, size, size))
    return weight


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
