"""Portable models run in engines that know nothing of us, and give the same results in each."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator
from support import butterfly_factor, model_proto

import nfcompile
from nfcompile.passes import default_pipeline
from nfcompile.runtime.openvino import OpenVinoEngine

N = 192
FORCED = default_pipeline("portable", 1, without=("collapse-products",)).replace(
    "encode-weights{", "encode-weights{force=block-diagonal,"
)


def in_onnxruntime(path: Path, x: np.ndarray) -> np.ndarray:
    """Without our library."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def in_openvino(path: Path, x: np.ndarray) -> np.ndarray:
    return OpenVinoEngine().load(path, threads=1).run({"x": x})["y"]


def in_the_reference(path: Path, x: np.ndarray) -> np.ndarray:
    """Without our operators."""
    return np.asarray(ReferenceEvaluator(onnx.load(path)).run(None, {"x": x})[0])


def weights() -> dict[str, np.ndarray]:
    """Blocks on the diagonal, over a stride, in disorder, and not square."""
    rng = np.random.default_rng(0)
    tall = np.zeros((2 * N, N), np.float32)
    for block in range(N // 16):
        rows, columns = slice(32 * block, 32 * block + 32), slice(16 * block, 16 * block + 16)
        tall[rows, columns] = rng.standard_normal((32, 16))
    disorder = butterfly_factor(rng, N, 16, 1)[rng.permutation(N)][:, rng.permutation(N)]
    return {
        "w0": butterfly_factor(rng, N, 16, 1),
        "w1": butterfly_factor(rng, N, 16, 12).T.copy(),
        "w2": disorder,
        "w3": tall,
    }


BIAS = np.random.default_rng(1).standard_normal(N).astype(np.float32)


def by_hand(x: np.ndarray) -> np.ndarray:
    """What the models compute, in 64 bits."""
    w = {name: weight.astype(np.float64) / 4 for name, weight in weights().items()}
    h = np.maximum(x.astype(np.float64) @ w["w0"].T + BIAS, 0)
    return np.asarray(np.tanh(h @ w["w1"]) @ w["w2"].T @ w["w3"].T)


def network(rank: int) -> onnx.ModelProto:
    """Four layers; Gemm where X is a matrix, else MatMul."""
    lead = "batch" if rank == 2 else "batch, 3"
    constants = {name: weight / np.float32(4) for name, weight in weights().items()}
    if rank == 2:
        layers = "h0 = Gemm<transB=1>(x, w0, b)\n t = Gemm<transB=1>(a1, w2)\n"
    else:
        layers = "p = MatMul(x, w0)\n h0 = Add(p, b)\n t = MatMul(a1, w2)\n"
        for name in ("w0", "w2"):
            constants[name] = constants[name].T.copy()
    constants["w3"] = constants["w3"].T.copy()
    first, last = layers.rsplit(" t =", 1)
    text = f"""agraph (float[{lead}, {N}] x) => (float[{lead}, {2 * N}] y) {{
        {first} a0 = Relu(h0)
        h1 = MatMul(a0, w1)
        a1 = Tanh(h1)
        t ={last} y = MatMul(t, w3)
    }}"""
    return model_proto(text, **constants, b=BIAS)


@pytest.fixture(scope="module", params=[2, 3], ids=["matrices", "3-D"])
def portable(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, int]:
    compiled = nfcompile.compile(network(request.param), target="portable", passes=FORCED)
    assert [item.encoding for item in compiled.decisions] == ["block-diagonal"] * 4
    path = tmp_path_factory.mktemp("portable") / "model.onnx"
    compiled.save(path)
    return path, request.param


@pytest.mark.parametrize("engine", [in_onnxruntime, in_openvino, in_the_reference])
@pytest.mark.parametrize("batch", [1, 5])
def test_every_engine_gives_what_the_dense_model_gives(
    portable: tuple[Path, int], engine: Callable[[Path, np.ndarray], np.ndarray], batch: int
) -> None:
    path, rank = portable
    shape = (batch, N) if rank == 2 else (batch, 3, N)
    x = np.random.default_rng(batch).standard_normal(shape).astype(np.float32)
    expected = by_hand(x)
    got = engine(path, x)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_a_portable_model_stores_and_computes_less(portable: tuple[Path, int]) -> None:
    path, _ = portable
    assert {node.domain for node in onnx.load(path).graph.node} == {""}
    assert path.stat().st_size < sum(weight.nbytes for weight in weights().values()) / 8


def test_where_blocks_pay_they_are_taken_without_being_forced(tmp_path: Path) -> None:
    n, rng = 2048, np.random.default_rng(2)
    proto = model_proto(
        f"agraph (float[16, {n}] x) => (float[16, {n}] y) {{ y = Gemm<transB=1>(x, w) }}",
        w=butterfly_factor(rng, n, 32, 32) / 4,
    )
    compiled = nfcompile.compile(proto, target="portable", threads=1)
    assert [item.encoding for item in compiled.decisions] == ["block-diagonal"]
    compiled.save(tmp_path / "model.onnx")
    x = rng.standard_normal((16, n)).astype(np.float32)
    expected = np.asarray(ReferenceEvaluator(proto).run(None, {"x": x})[0])
    for engine in (in_onnxruntime, in_openvino):
        got = engine(tmp_path / "model.onnx", x)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
