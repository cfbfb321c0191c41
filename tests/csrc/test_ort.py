"""The operator library in a stock onnxruntime: the newest one here, the oldest where present."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from nfcompile import _native

LIBRARY = Path(_native.__file__).with_name("libnfcompile_ops.so")
CUDA_LIBRARY = LIBRARY.with_name("libnfcompile_ops_cuda.so")
LIBRARIES = [
    LIBRARY,
    pytest.param(
        CUDA_LIBRARY,
        marks=pytest.mark.skipif(not CUDA_LIBRARY.exists(), reason="built without Triton"),
    ),
]
OLDEST = Path(__file__).parents[2] / "build" / "oldest-ort"


def model(
    op: str,
    constants: dict[str, Any],
    x_shape: list[int | str],
    *,
    run_time: tuple[str, ...] = (),
    **attributes: Any,
) -> bytes:
    """One node named `layer`; inputs in `run_time` are fed, "" or None leaves one out."""
    names = [name if value is not None else "" for name, value in constants.items()]
    while names and not names[-1]:
        names.pop()
    node = helper.make_node(
        op, ["X", *names], ["Y"], name="layer", domain="nfcompile", **attributes
    )
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, x_shape)]
    for name in run_time:
        kind = helper.np_dtype_to_tensor_dtype(constants[name].dtype)
        inputs.append(helper.make_tensor_value_info(name, kind, constants[name].shape))
    graph = helper.make_graph(
        [node],
        "graph",
        inputs,
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(value, name)
            for name, value in constants.items()
            if value is not None and name not in run_time
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("nfcompile", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def session(proto: bytes, threads: int = 2) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.register_custom_ops_library(str(LIBRARY))
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return ort.InferenceSession(proto, options, providers=["CPUExecutionProvider"])


def csr(out: int = 200, in_: int = 300) -> tuple[np.ndarray, dict[str, Any]]:
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((out, in_)) < 0.2, rng.standard_normal((out, in_)), 0)
    dense = dense.astype(np.float32)
    row, column = np.nonzero(dense)
    starts = np.concatenate([[0], np.cumsum((dense != 0).sum(axis=1))])
    return dense, {
        "values": dense[row, column],
        "indices": column.astype(np.uint16),
        "indptr": starts.astype(np.int32),
    }


def bsr() -> tuple[np.ndarray, dict[str, Any]]:
    rng = np.random.default_rng(1)
    values = rng.standard_normal((5, 16, 8)).astype(np.float32)
    indices, indptr = np.array([0, 2, 1, 0, 2], np.uint8), np.array([0, 2, 2, 5], np.int64)
    dense = np.zeros((3, 3, 16, 8), np.float32)
    for block, i, j in zip(values, [0, 0, 2, 2, 2], indices, strict=True):
        dense[i, j] = block
    return dense.transpose(0, 2, 1, 3).reshape(48, 24), {
        "values": values,
        "indices": indices,
        "indptr": indptr,
    }


def butterfly() -> tuple[np.ndarray, dict[str, Any]]:
    values = np.random.default_rng(2).standard_normal((32, 4, 4)).astype(np.float32)
    dense = np.zeros((128, 128), np.float32)
    for b, block in enumerate(values):
        at = b // 8 * 32 + np.arange(4) * 8 + b % 8
        dense[np.ix_(at, at)] = block
    return dense, {"values": values}


def cases() -> dict[str, tuple[np.ndarray, str, dict[str, Any], dict[str, Any]]]:
    dense, weights = butterfly()
    index = np.concatenate([b // 8 * 32 + np.arange(4) * 8 + b % 8 for b in range(32)])
    lists = {**weights, "rows": index.astype(np.int32), "cols": index.astype(np.int32)}
    size: dict[str, Any] = {"in_features": 128, "out_features": 128}
    return {
        "csr": (*csr()[:1], "CsrMatMul", csr()[1], {"in_features": 300}),
        "bsr": (*bsr()[:1], "BsrMatMul", bsr()[1], {"in_features": 24}),
        "rule": (
            dense,
            "BlockDiagonalMatMul",
            {**weights, "rows": None, "cols": None},
            {**size, "row_stride": 8, "col_stride": 8},
        ),
        "lists": (dense, "BlockDiagonalMatMul", lists, size),
        "one-list": (
            dense,
            "BlockDiagonalMatMul",
            {**weights, "rows": None, "cols": lists["cols"]},
            {**size, "row_stride": 8},
        ),
    }


CASES = cases()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("lead", [[], [1], [3], [0], [2, 3], [2, 1, 33], [2, 0, 3]])
def test_operators_take_x_of_any_rank(name: str, lead: list[int]) -> None:
    dense, op, weights, attributes = CASES[name]
    run = session(
        model(op, weights, [*[f"d{i}" for i in range(len(lead))], dense.shape[1]], **attributes)
    )
    x = np.asarray(np.random.default_rng(3).standard_normal((*lead, dense.shape[1])), np.float32)
    (y,) = run.run(None, {"X": x})
    assert y.shape == (*lead, dense.shape[0])
    np.testing.assert_allclose(y, x @ dense.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_shapes_are_inferred(name: str) -> None:
    dense, op, weights, attributes = CASES[name]
    run = session(model(op, weights, ["batch", 7, dense.shape[1]], **attributes))
    assert run.get_outputs()[0].shape == ["batch", 7, dense.shape[0]]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_bias_and_residual_may_change_from_run_to_run(name: str, mode: int) -> None:
    dense, op, weights, attributes = CASES[name]
    rng = np.random.default_rng(4)
    out, in_ = dense.shape
    bias = rng.standard_normal(out, dtype=np.float32)
    residual = rng.standard_normal((3, out)).astype(np.float32)
    run = session(
        model(
            op,
            {**weights, "bias": bias, "residual": residual},
            ["batch", in_],
            run_time=("bias", "residual"),
            activation="relu",
            residual_mode=mode,
            **attributes,
        )
    )
    for scale in (1, 2):
        x = rng.standard_normal((3, in_)).astype(np.float32)
        feeds = {"X": x, "bias": bias * scale, "residual": residual * scale}
        (y,) = run.run(None, feeds)
        t = x @ dense.T + scale * bias
        expected = np.maximum(t + scale * residual * (mode == 0), 0)
        expected = [expected, expected + scale * residual, expected * scale * residual][mode]
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_a_residual_without_bias_and_the_parameters_of_an_activation() -> None:
    dense, weights = csr()
    residual = np.ones((2, 200), np.float32)
    proto = model(
        "CsrMatMul",
        {**weights, "bias": None, "residual": residual},
        [2, 300],
        in_features=300,
        activation="clip",
        activation_alpha=-0.25,
        activation_beta=0.5,
    )
    x = np.random.default_rng(5).standard_normal((2, 300)).astype(np.float32)
    (y,) = session(proto).run(None, {"X": x})
    np.testing.assert_allclose(y, np.clip(x @ dense.T + 1, -0.25, 0.5), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_threads_may_run_one_session_at_once(name: str) -> None:
    dense, op, weights, attributes = CASES[name]
    run = session(model(op, weights, ["batch", dense.shape[1]], **attributes))
    wrong: list[int] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for i in range(30):
            x = rng.standard_normal((1 + (seed + i) % 40, dense.shape[1])).astype(np.float32)
            (y,) = run.run(None, {"X": x})
            if not np.allclose(y, x @ dense.T, rtol=1e-4, atol=1e-4):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("threads", [1, 2])
def test_large_products_are_shared_by_threads(threads: int) -> None:
    dense, weights = csr(900, 1100)
    run = session(model("CsrMatMul", weights, ["batch", 1100], in_features=1100), threads)
    for batch in (1, 5, 100):
        x = np.random.default_rng(6).standard_normal((batch, 1100)).astype(np.float32)
        np.testing.assert_allclose(run.run(None, {"X": x})[0], x @ dense.T, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"indptr": np.arange(201, dtype=np.int32)[::-1]}, "indptr must start with 0, got 200"),
        ({"indptr": np.arange(201, dtype=np.float32)}, "indptr must be of type int32 or int64"),
        ({"indices": np.zeros(3, np.uint16)}, "indices must have as many entries as values"),
        ({"indices": np.zeros((3, 1), np.uint16)}, r"must have rank 1, got shape \[3, 1\]"),
        ({"values": np.zeros((3, 1), np.float32)}, r"must have rank 1, got shape \[3, 1\]"),
        ({"in_features": 200}, "indices must lie in 0 .. 199"),
        ({"activation": "swish"}, "activation must be one of .*, got swish"),
        ({"in_features": None}, "attribute in_features must be given"),
    ],
)
def test_malformed_nodes_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    attributes: dict[str, Any] = {"in_features": 300}
    constants = csr()[1]
    for key, value in change.items():
        if key in constants:
            constants[key] = np.ascontiguousarray(value)
        elif value is None:
            del attributes[key]
        else:
            attributes[key] = value
    with pytest.raises(Exception, match=f"CsrMatMul node 'layer': .*{message}"):
        session(model("CsrMatMul", constants, ["batch", 300], **attributes))


@pytest.mark.parametrize("name", ["values", "indices", "indptr"])
def test_weights_must_be_constant(name: str) -> None:
    proto = model("CsrMatMul", csr()[1], ["batch", 300], run_time=(name,), in_features=300)
    with pytest.raises(Exception, match=f"'layer': {name} must be a constant initializer"):
        session(proto)


def test_lists_of_blocks_must_be_constant() -> None:
    constants = {**butterfly()[1], "rows": np.arange(128, dtype=np.int32)}
    size: dict[str, Any] = {"in_features": 128, "out_features": 128, "col_stride": 1}
    proto = model("BlockDiagonalMatMul", constants, ["n", 128], run_time=("rows",), **size)
    with pytest.raises(Exception, match=r"rows must be a constant initializer, got .* rows"):
        session(proto)
    with pytest.raises(Exception, match="rows and row_stride must be given, got neither"):
        session(model("BlockDiagonalMatMul", butterfly()[1], ["n", 128], **size))


def test_operands_of_another_shape_are_refused_at_run_time() -> None:
    constants = {**csr()[1], "bias": None, "residual": np.zeros((2, 200), np.float32)}
    run = session(model("CsrMatMul", constants, ["batch", "in"], in_features=300))
    with pytest.raises(Exception, match=r"X must have 300 elements .* got shape \[2, 299\]"):
        run.run(None, {"X": np.zeros((2, 299), np.float32)})
    with pytest.raises(Exception, match=r"residual must have shape \[3, 200\], got \[2, 200\]"):
        run.run(None, {"X": np.zeros((3, 300), np.float32)})
    run.run(None, {"X": np.zeros((2, 300), np.float32)})


SCRIPT = """
import sys
sys.path[:0] = sys.argv[1].split(":")
import numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.register_custom_ops_library(sys.argv[2])
options.log_severity_level = 4
session = ort.InferenceSession(sys.argv[3], options, providers=["CPUExecutionProvider"])
np.save(sys.argv[5], session.run(None, {"X": np.load(sys.argv[4])})[0])
print(ort.__version__)
"""


def run_elsewhere(
    folder: Path, name: str, path: list[str], library: Path = LIBRARY, **environment: str
) -> tuple[subprocess.CompletedProcess[str], np.ndarray | None]:
    """Runs a case in a process of its own; the output is None where that failed."""
    _, op, weights, attributes = CASES[name]
    in_ = attributes["in_features"]
    onnx.save(
        onnx.load_from_string(model(op, weights, ["n", in_], **attributes)), folder / "m.onnx"
    )
    np.save(folder / "x.npy", np.ones((9, in_), np.float32))
    files = [str(folder / file) for file in ("m.onnx", "x.npy", "y.npy")]
    done = subprocess.run(
        [sys.executable, "-S", "-c", SCRIPT, ":".join(path), str(library), *files],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done, np.load(files[2]) if done.returncode == 0 else None


@pytest.mark.skipif(not (OLDEST / "onnxruntime").exists(), reason=f"no {OLDEST}")
@pytest.mark.parametrize("library", LIBRARIES, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", CASES)
def test_the_oldest_onnxruntime_runs_it(tmp_path: Path, name: str, library: Path) -> None:
    done, y = run_elsewhere(tmp_path, name, [str(OLDEST)], library)
    assert y is not None, done.stderr
    assert done.stdout.startswith("1.17.")
    expected = CASES[name][0].sum(axis=1)[None].repeat(9, 0)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_the_library_for_cuda_runs_on_a_cpu_without_it(tmp_path: Path, name: str) -> None:
    if not CUDA_LIBRARY.exists():
        pytest.skip("built without Triton")
    done, y = run_elsewhere(tmp_path, name, [path for path in sys.path if path], CUDA_LIBRARY)
    assert y is not None, done.stderr
    expected = CASES[name][0].sum(axis=1)[None].repeat(9, 0)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512", "avx512_bf16", "amx_bf16"])
def test_the_environment_lowers_the_instruction_set(tmp_path: Path, isa: str) -> None:
    here = [path for path in sys.path if path]
    done, y = run_elsewhere(tmp_path, "csr", here, NFCOMPILE_MAX_ISA=isa)
    assert y is not None, done.stderr
    np.testing.assert_allclose(
        y, CASES["csr"][0].sum(axis=1)[None].repeat(9, 0), rtol=1e-4, atol=1e-4
    )
    asked = "from nfcompile import _native; print(_native.selected_isa())"
    selected = subprocess.run(
        [sys.executable, "-c", asked],
        env={**os.environ, "NFCOMPILE_MAX_ISA": isa},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    order = ["scalar", "avx2", "avx512", "avx512_bf16", "amx_bf16"]
    best = max(order.index(usable) for usable in _native.isas())
    assert selected == order[min(order.index(isa), best)]


def test_an_unknown_instruction_set_in_the_environment_is_refused(tmp_path: Path) -> None:
    here = [path for path in sys.path if path]
    done, y = run_elsewhere(tmp_path, "csr", here, NFCOMPILE_MAX_ISA="sse9")
    assert y is None
    assert (
        "NFCOMPILE_MAX_ISA must be one of scalar, avx2, avx512, avx512_bf16, amx_bf16, got sse9"
        in done.stderr
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF")
def test_the_library_needs_only_the_c_library_and_exports_one_function() -> None:
    def readelf(*arguments: str) -> str:
        return subprocess.run(
            ["readelf", "--wide", *arguments, str(LIBRARY)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    needed = {
        line.split("[")[1].rstrip("]")
        for line in readelf("--dynamic").splitlines()
        if "NEEDED" in line
    }
    allowed = ("libc.so", "libm.so", "libpthread.so", "ld-linux")
    assert all(name.startswith(allowed) for name in needed), needed
    exported = [
        line.split()[-1]
        for line in readelf("--dyn-syms").splitlines()
        if " GLOBAL " in line and " UND " not in line and " FUNC " in line
    ]
    assert exported == ["RegisterCustomOps"]
