"""Fixtures that several folders share."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from support import blocky, butterfly_factor, model_proto, unstructured

from nfcompile.cost.calibration import SIZES, Constants
from nfcompile.cost.gpu import GpuConstants

# Tests run side by side, and on layers so small that threads of torch slow them down.
os.environ.setdefault("OMP_NUM_THREADS", "1")

N = 256

FIXED = {  # nanoseconds per multiply-add at batch 1, 16, 64, 256
    "dense": (0.1, 0.03, 0.025, 0.025),
    "csr": (0.5, 0.06, 0.05, 0.05),
    "bsr": (0.12, 0.03, 0.03, 0.03),
    "bsr thin": (0.2, 0.05, 0.04, 0.04),
    "bsr narrow": (0.5, 0.1, 0.06, 0.06),
    "block-diagonal": (0.1, 0.05, 0.04, 0.04),
    "block-diagonal permuted": (0.2, 0.1, 0.08, 0.08),
    "portable": (0.2, 0.1, 0.05, 0.05),
    "gather": (0.5, 0.5, 0.5, 0.5),
}


FIXED_GPU = GpuConstants(
    start_us=3.0,
    node_us=5.0,
    multiprocessors=100,
    memory_tbps=4.0,
    read_tbps=4.0,
    l2_mb=50,
    l2_tbps=5.0,
    tflops={
        "dense": {"fp32": 400, "fp16": 800, "bf16": 800},
        **{
            kernel: {
                size: {"fp32": rate / 6, "fp16": rate, "bf16": rate}
                for size, rate in (("16", 150), ("32", 300), ("64", 500), ("128", 600))
            }
            for kernel in ("bsr", "block_diagonal")
        },
        "block_diagonal_small": {
            size: {"fp32": 16, "fp16": 16, "bf16": 16} for size in ("2", "4", "8")
        },
    },
)


@pytest.fixture(autouse=True)
def fixed_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs that do not move with each calibration, so that choices can be asserted."""
    made = {
        name: Constants(
            np.array([row] * len(SIZES)), np.full((len(SIZES), 4), 0.05), overhead_us=2.0
        )
        for name, row in FIXED.items()
    }
    made |= {f"{name} bf16": costs for name, costs in made.items()}
    monkeypatch.setattr("nfcompile.cost.linear.constants", lambda isa: made)
    monkeypatch.setattr("nfcompile.cost.gpu.constants", lambda: FIXED_GPU)


@pytest.fixture(scope="session")
def mlp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network file: one layer of each pattern, and a dense one."""
    rng = np.random.default_rng(0)
    text = f"""agraph (float[batch,{N}] x) => (float[batch,16] y) {{
        a = Gemm<transB=1>(x, w0, b0)
        r = Relu(a)
        c = MatMul(r, w1)
        d = Add(c, b1)
        s = Sigmoid(d)
        e = Mul(d, s)
        f = Gemm<transB=1>(e, w2, b2)
        g = Add(f, e)
        t = Tanh(g)
        y = Gemm<transB=1>(t, w3)
    }}"""
    weights = {
        "w0": unstructured(rng, (N, N), 0.05) / 4,
        "w1": blocky(rng, (N, N), 16, 0.1).T.copy() / 4,
        "w2": butterfly_factor(rng, N, 16, 16) / 4,
        "w3": rng.standard_normal((16, N)).astype(np.float32) / 16,
    }
    biases = {f"b{i}": rng.standard_normal(N).astype(np.float32) for i in range(3)}
    path = tmp_path_factory.mktemp("mlp") / "mlp.onnx"
    onnx.save(model_proto(text, **weights, **biases), path)
    return path
