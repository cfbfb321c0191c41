"""Sessions on compiled models may be shared by threads, stand side by side, and come and go."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import nfcompile

THREADS, ROUNDS = 4, 25
RNG = np.random.default_rng(0)
INPUTS = [RNG.standard_normal((size, 256)).astype(np.float32) for size in (1, 2, 7, 16, 33, 64)]


@pytest.fixture(scope="module")
def expected(mlp: Path) -> list[np.ndarray]:
    reference = ReferenceEvaluator(onnx.load(mlp))
    return [np.asarray(reference.run(None, {"x": x})[0]) for x in INPUTS]


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_that_share_a_session_get_what_one_would(
    compiled_mlp: Path, expected: list[np.ndarray], threads: int
) -> None:
    session = nfcompile.session(compiled_mlp, threads=threads)
    serial = [session.run(None, {"x": x})[0] for x in INPUTS]
    for got, right in zip(serial, expected, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-4)
    together = threading.Barrier(THREADS)

    def work(first: int) -> int:
        together.wait()
        wrong = 0
        for turn in range(ROUNDS):
            index = (first + turn) % len(INPUTS)
            (got,) = session.run(None, {"x": INPUTS[index]})
            wrong += not np.array_equal(got, serial[index])
        return wrong

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(work, range(THREADS))) == [0] * THREADS


def test_two_sessions_run_at_once_in_one_process(
    mlp: Path, compiled_mlp: Path, expected: list[np.ndarray], tmp_path: Path
) -> None:
    forced = "infer-shapes,encode-weights{force=csr},legalize-ort-cpu,fuse-epilogue"
    nfcompile.compile(mlp, passes=forced).save(tmp_path / "csr.onnx")
    paths = (compiled_mlp, tmp_path / "csr.onnx")
    sessions = [nfcompile.session(path, threads=2) for path in paths]
    together = threading.Barrier(2)

    def work(index: int) -> None:
        together.wait()
        for _ in range(ROUNDS):
            for x, right in zip(INPUTS, expected, strict=True):
                (got,) = sessions[index].run(None, {"x": x})
                np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-4)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))


def test_sessions_come_and_go(compiled_mlp: Path, expected: list[np.ndarray]) -> None:
    # ONNX Runtime unloads the library with its last session, and loads it again for the next.
    for _ in range(5):
        session = nfcompile.session(compiled_mlp)
        (got,) = session.run(None, {"x": INPUTS[2]})
        np.testing.assert_allclose(got, expected[2], rtol=1e-4, atol=1e-4)
        del session
    kept = nfcompile.session(compiled_mlp)
    del kept
    sessions = [nfcompile.session(compiled_mlp, threads=1) for _ in range(3)]
    del sessions[0]
    for session in sessions:
        (got,) = session.run(None, {"x": INPUTS[3]})
        np.testing.assert_allclose(got, expected[3], rtol=1e-4, atol=1e-4)


def test_models_can_be_compiled_by_several_threads(mlp: Path, tmp_path: Path) -> None:
    def work(index: int) -> bool:
        path = tmp_path / f"{index}.onnx"
        nfcompile.compile(mlp, threads=1).save(path)
        return nfcompile.verify(mlp, path).passed

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(work, range(THREADS)))
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
