"""Target `ort-cuda`, on a machine without a GPU: what it refuses, and compiling across."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from support import blocky, model_proto, unstructured
from torch import nn

import nfcompile
from nfcompile.compiler import Options, compile_model
from nfcompile.errors import (
    EngineMissingError,
    InputError,
    UnsupportedModelError,
    VerificationError,
)
from nfcompile.runtime import cuda, reference
from nfcompile.runtime.ort import OrtEngine
from nfcompile.runtime.reference import CROSS_NOTE

RNG = np.random.default_rng(0)
N = 2048
BLOCKS = blocky(RNG, (N, N), 64, 0.05) / 8
BIAS = RNG.standard_normal(N).astype(np.float32)


def network(name: str = "float", dtype: Any = np.float32) -> onnx.ModelProto:
    return model_proto(
        f"agraph ({name}[b,{N}] x) => ({name}[b,{N}] y)"
        " { a = Gemm<transB=1>(x, w, c)\n r = Relu(a)\n h = MatMul(r, w)\n y = Sigmoid(h) }",
        w=BLOCKS.astype(dtype),
        c=BIAS.astype(dtype),
    )


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "cuda_problem", lambda: "no CUDA device")


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """A machine with CUDA, whose engine is the CPU's and remembers what it loads."""
    loaded: list[tuple[str, Path]] = []

    class Engine(OrtEngine):
        def __init__(self, op_libraries: Any, *, exact: bool) -> None:
            super().__init__(op_libraries)
            assert exact

        def load(self, path: Path, threads: int) -> Any:
            loaded.append(("load", path))
            return super().load(path, threads)

        def load_reference(self, path: Path) -> Any:
            loaded.append(("reference", path))
            return super().load_reference(path)

    monkeypatch.setattr(cuda, "cuda_problem", lambda: "")
    monkeypatch.setattr(reference, "OrtCudaEngine", Engine)
    return loaded


def test_without_cuda_it_is_told_how_to_compile_for_another_machine(no_gpu: None) -> None:
    with pytest.raises(EngineMissingError) as caught:
        nfcompile.compile(network(), target="ort-cuda")
    assert str(caught.value) == (
        "target ort-cuda needs CUDA: no CUDA device; with --cross (cross=True) it may be another "
        "machine's"
    )
    assert caught.value.exit_code == 4


def test_across_machines_it_is_verified_on_the_cpu_and_that_is_said(
    no_gpu: None, tmp_path: Path
) -> None:
    onnx.save(network(), tmp_path / "m.onnx")
    compiled = nfcompile.compile(tmp_path / "m.onnx", target="ort-cuda", cross=True)
    assert compiled.report.passed
    assert [node.op_type for node in compiled.model.graph] == ["BsrMatMul", "BsrMatMul"]
    assert compiled.model.metadata_props["nfcompile.target"] == "ort-cuda"
    assert any(CROSS_NOTE in str(item) for item in compiled.remarks)
    compiled.save(tmp_path / "o.onnx")
    with pytest.raises(
        EngineMissingError, match=r"o\.onnx needs CUDA: no CUDA device; with --cross"
    ):
        nfcompile.verify(tmp_path / "m.onnx", tmp_path / "o.onnx")
    report = nfcompile.verify(tmp_path / "m.onnx", tmp_path / "o.onnx", cross=True)
    assert report.passed and CROSS_NOTE in report.notes
    again = nfcompile.compile(tmp_path / "o.onnx", target="ort-cuda", cross=True)
    assert any("compiled by nfcompile already" in str(item) for item in again.remarks)
    with pytest.raises(UnsupportedModelError, match="compiled for ort-cuda already"):
        nfcompile.compile(tmp_path / "o.onnx")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_are_stored_as_asked(precision: str) -> None:
    compiled = nfcompile.compile(network(), target="ort-cuda", cross=True, precision=precision)
    values = compiled.model.graph[0].inputs[1]
    assert values.dtype == {"fp32": ir.DataType.FLOAT, "bf16": ir.DataType.BFLOAT16}[precision]
    assert compiled.model.metadata_props["nfcompile.precision"] == precision
    error = compiled.report.outputs[0].max_of_largest
    assert error < 1e-5 if precision == "fp32" else 1e-5 < error < 1e-2


def test_a_model_in_float16_keeps_its_type_across_machines(tmp_path: Path) -> None:
    onnx.save(network("float16", np.float16), tmp_path / "m.onnx")
    compiled = nfcompile.compile(tmp_path / "m.onnx", target="ort-cuda", cross=True)
    assert [node.op_type for node in compiled.model.graph] == ["BsrMatMul", "BsrMatMul"]
    kinds = {value.dtype for node in compiled.model.graph for value in node.inputs[:2]}
    assert kinds == {ir.DataType.FLOAT16}
    assert compiled.model.metadata_props["nfcompile.precision"] == "fp16"
    assert compiled.report.outputs[0].max_of_largest < 5e-3
    compiled.save(tmp_path / "o.onnx")
    assert nfcompile.verify(tmp_path / "m.onnx", tmp_path / "o.onnx", cross=True).passed
    on_cpu = nfcompile.compile(tmp_path / "m.onnx")
    assert {node.domain for node in on_cpu.model.graph} == {""}
    assert any("is FLOAT16, kernels take FLOAT" in str(item) for item in on_cpu.remarks)


def test_a_wrong_product_in_float16_is_found_across_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spoil(model: ir.Model, *args: Any, **kwargs: Any) -> None:
        run_pipeline(model, *args, **kwargs)
        values = model.graph[0].inputs[1]
        assert values is not None and values.const_value is not None
        values.const_value = ir.Tensor(values.const_value.numpy() * 2, name=values.name)

    from nfcompile.ir.pipeline import run_pipeline

    monkeypatch.setattr("nfcompile.compiler.run_pipeline", spoil)
    with pytest.raises(VerificationError, match="output y differs in"):
        nfcompile.compile(network("float16", np.float16), target="ort-cuda", cross=True)


def module() -> nn.Module:
    made = nn.Sequential(nn.Linear(N, N), nn.ReLU())
    with torch.no_grad():
        made[0].weight.copy_(torch.from_numpy(BLOCKS))
    return made


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_module_in_half_precision_is_compiled(dtype: torch.dtype) -> None:
    x = torch.randn(3, N, dtype=dtype)
    compiled = nfcompile.compile(module().to(dtype), x, target="ort-cuda", cross=True)
    assert [node.op_type for node in compiled.model.graph] == ["BsrMatMul"]
    assert compiled.decisions[0].encoding == "bsr"
    assert compiled.report.passed


def test_what_the_cpu_cannot_run_in_bfloat16_is_told_across_machines() -> None:
    with pytest.raises(UnsupportedModelError, match="ONNX Runtime has no Gemm for BFLOAT16"):
        nfcompile.compile(network("bfloat16", ml_dtypes.bfloat16), target="ort-cuda", cross=True)


def test_with_cuda_both_models_run_there_in_exact_fp32(
    engines: list[tuple[str, Path]], tmp_path: Path
) -> None:
    onnx.save(network(), tmp_path / "m.onnx")
    compiled = nfcompile.compile(tmp_path / "m.onnx", target="ort-cuda")
    assert [(how, path.name) for how, path in engines] == [
        ("reference", "m.onnx"), ("load", "compiled.onnx"),
    ]  # fmt: skip
    assert not any(CROSS_NOTE in str(item) for item in compiled.remarks)
    compiled.save(tmp_path / "o.onnx")
    engines.clear()
    assert CROSS_NOTE not in nfcompile.verify(tmp_path / "m.onnx", tmp_path / "o.onnx").notes
    assert [path.name for _, path in engines] == ["m.onnx", "o.onnx"]


def test_convolutions_stay_dense_and_linear_layers_behind_them_do_not() -> None:
    proto = model_proto(
        f"agraph (float[b,4,8,8] x) => (float[b,{N}] y)"
        " { c = Conv(x, k)\n f = Flatten(c)\n y = MatMul(f, w) }",
        k=unstructured(RNG, (32, 4), 0.1).reshape(32, 4, 1, 1),
        w=BLOCKS,
    )
    compiled = nfcompile.compile(proto, target="ort-cuda", cross=True)
    assert [node.op_type for node in compiled.model.graph] == ["Conv", "Flatten", "BsrMatMul"]
    assert any("cuDNN's dense convolution" in str(item) for item in compiled.remarks)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(cross=True), "cross goes with target ort-cuda only, got target ort-cpu"),
        (
            Options(target="ort-cuda", cross=True, tune=True),
            "tune measures layers on the CPU: it does not go with target ort-cuda",
        ),
        (
            Options(target="ort-cuda", precision="fp16"),
            "precision must be one of fp32, bf16, got 'fp16': a model in fp16 is compiled as it is",
        ),
    ],
)
def test_options_that_do_not_go_together_are_told(options: Options, words: str) -> None:
    with pytest.raises(InputError, match=words):
        compile_model(network(), None, options)


@pytest.mark.parametrize("name", ["float", "float16"])
def test_layers_of_equal_rows_and_dead_units_still_agree(name: str) -> None:
    dtype = {"float": np.float32, "float16": np.float16}[name]
    first = np.repeat(unstructured(RNG, (64, N), 0.1), 32, axis=0)
    first[::7] = 0
    proto = model_proto(
        f"agraph ({name}[b,{N}] x) => ({name}[b,{N}] y)"
        " { a = Gemm<transB=1>(x, v)\n r = Relu(a)\n y = Gemm<transB=1>(r, w) }",
        v=(first / 8).astype(dtype),
        w=BLOCKS.astype(dtype),
    )
    assert nfcompile.compile(proto, target="ort-cuda", cross=True).report.passed
