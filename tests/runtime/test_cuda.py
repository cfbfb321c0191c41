"""What is missing for CUDA is told in one line; with all of it there, sessions run on it."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from support import blocky, model_proto

import nfcompile
from nfcompile.errors import EngineMissingError, InputError
from nfcompile.runtime import cuda, op_library
from nfcompile.runtime.cuda import CUDA_PROVIDER, cuda_problem, gpu_name, require_cuda
from nfcompile.runtime.ort import CPU_PROVIDER
from nfcompile.runtime.ort_cuda import OrtCudaEngine, OrtCudaRunner

RNG = np.random.default_rng(0)
N = 1024
TEXT = f"agraph (float[b,{N}] x) => (float[b,{N}] y) {{ h = MatMul(x, w)\n y = Relu(h) }}"
GPU = {"name": "Some GPU", "sm": 90}


class Session:
    """Stands for an `InferenceSession`, and remembers how it was made."""

    loads_cuda = True

    def __init__(self, path: str, settings: Any, providers: list[Any]) -> None:
        self.path, self.settings, self.providers = path, settings, providers
        self.bound: list[tuple[str, str]] = []

    def get_providers(self) -> list[str]:
        names = [item if isinstance(item, str) else item[0] for item in self.providers]
        return names if self.loads_cuda else [CPU_PROVIDER]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="y", type="tensor(float)")]

    def io_binding(self) -> Any:
        return SimpleNamespace(
            bind_ortvalue_input=lambda name, value: self.bound.append((name, value)),
            bind_output=lambda name, device, ordinal: self.bound.append((name, device)),
            synchronize_outputs=lambda: self.bound.append(("", "synchronized")),
        )

    def run_with_iobinding(self, binding: Any) -> None:
        self.bound.append(("", "run"))


class Settings:
    """Stands for `SessionOptions`."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.libraries: list[str] = []

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value

    def register_custom_ops_library(self, path: str) -> None:
        self.libraries.append(path)


def fake_onnxruntime(providers: list[str]) -> ModuleType:
    module = ModuleType("onnxruntime")
    module.__spec__ = SimpleNamespace()  # type: ignore[assignment]
    module.__version__ = "9.9"  # type: ignore[attr-defined]
    module.get_available_providers = lambda: providers  # type: ignore[attr-defined]
    module.InferenceSession = Session  # type: ignore[attr-defined]
    module.SessionOptions = Settings  # type: ignore[attr-defined]
    module.preloaded = []  # type: ignore[attr-defined]
    module.preload_dlls = lambda: (  # type: ignore[attr-defined]
        module.preloaded.append(True), print("Failed to load libcufft.so")
    )  # fmt: skip
    level = SimpleNamespace(ORT_DISABLE_ALL=0)
    module.GraphOptimizationLevel = level  # type: ignore[attr-defined]
    module.OrtValue = SimpleNamespace(  # type: ignore[attr-defined]
        ortvalue_from_numpy=lambda array, device, ordinal: f"{array.shape} on {device}:{ordinal}"
    )
    return module


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A build with kernels for CUDA, and a machine with a GPU."""
    (tmp_path / "built").mkdir()
    for name in ("_native.so", "libnfcompile_ops.so", "libnfcompile_ops_cuda.so"):
        (tmp_path / "built" / name).touch()
    spec = SimpleNamespace(origin=str(tmp_path / "built" / "_native.so"))
    util = SimpleNamespace(
        find_spec=lambda name: spec if name == "nfcompile._native" else SimpleNamespace()
    )
    monkeypatch.setattr(op_library, "importlib", SimpleNamespace(util=util))
    found = SimpleNamespace(available=lambda: "", device=lambda: GPU, folder=tmp_path / "built")
    monkeypatch.setattr("nfcompile._native.cuda", found, raising=False)
    return found


@pytest.fixture
def onnxruntime(monkeypatch: pytest.MonkeyPatch, native: SimpleNamespace) -> ModuleType:
    """An onnxruntime with the provider for CUDA, and all else that it takes."""
    module = fake_onnxruntime([CUDA_PROVIDER, CPU_PROVIDER])
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    return module


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cuda") / "m.onnx"
    proto = model_proto(TEXT, w=blocky(RNG, (N, N), 64, 0.05))
    text = (
        "infer-shapes,encode-weights{target=ort-cuda,force=bsr},legalize-ort-cuda,fuse-epilogue,"
        "remove-unused"
    )
    nfcompile.compile(proto, target="ort-cuda", passes=text, cross=True).save(path)
    return path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    onnx.save(
        model_proto("agraph (float[b,4] x) => (float[b,4] y) { y = Relu(x) }"), tmp_path / "p.onnx"
    )
    return tmp_path / "p.onnx"


def test_the_libraries_lie_beside_each_other(native: SimpleNamespace) -> None:
    assert nfcompile.op_library_path() == str(native.folder / "libnfcompile_ops.so")
    assert nfcompile.op_library_path("cuda") == str(native.folder / "libnfcompile_ops_cuda.so")
    with pytest.raises(InputError, match="provider must be one of cpu, cuda, got 'gpu'"):
        nfcompile.op_library_path("gpu")


def test_a_library_that_took_triton_to_build_is_told(native: SimpleNamespace) -> None:
    (native.folder / "libnfcompile_ops_cuda.so").unlink()
    assert Path(nfcompile.op_library_path()).is_file()
    with pytest.raises(
        EngineMissingError, match=r"ops_cuda\.so is not built: .* pip install triton"
    ):
        nfcompile.op_library_path("cuda")
    assert "libnfcompile_ops_cuda.so is not built" in cuda_problem()


def test_what_the_driver_lacks_is_told(native: SimpleNamespace) -> None:
    native.available = lambda: "libcuda.so.1 is not installed"
    assert cuda_problem() == "libcuda.so.1 is not installed"
    assert gpu_name() == ""
    with pytest.raises(EngineMissingError) as caught:
        require_cuda("this", "do that")
    assert str(caught.value) == "this needs CUDA: libcuda.so.1 is not installed; do that"
    assert caught.value.exit_code == 4


def test_an_onnxruntime_without_the_provider_is_told_with_how_to_get_it(
    native: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", fake_onnxruntime([CPU_PROVIDER]))
    assert cuda_problem() == (
        "onnxruntime 9.9 has no CUDAExecutionProvider: pip uninstall onnxruntime, then "
        "pip install onnxruntime-gpu"
    )


def test_a_missing_onnxruntime_is_told(
    native: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cuda_problem() == "onnxruntime is not installed: pip install onnxruntime-gpu"


def test_nothing_is_missing(onnxruntime: ModuleType) -> None:
    assert cuda_problem() == ""
    require_cuda("this")
    assert gpu_name() == "Some GPU"


def test_a_model_for_cuda_runs_there_by_default(compiled: Path, onnxruntime: ModuleType) -> None:
    session = nfcompile.session(compiled, threads=3)
    assert session.get_providers() == [CUDA_PROVIDER, CPU_PROVIDER]
    assert [Path(name).name for name in session.settings.libraries] == ["libnfcompile_ops_cuda.so"]
    assert session.settings.intra_op_num_threads == 3


def test_any_other_model_runs_on_the_cpu_by_default(plain: Path, onnxruntime: ModuleType) -> None:
    session = nfcompile.session(plain)
    assert session.get_providers() == [CPU_PROVIDER]
    assert [Path(name).name for name in session.settings.libraries] == ["libnfcompile_ops.so"]
    assert not onnxruntime.preloaded


@pytest.mark.parametrize(
    "providers", [[CUDA_PROVIDER], [(CUDA_PROVIDER, {"device_id": 1}), CPU_PROVIDER]], ids=str
)
def test_providers_are_the_users_if_given(
    plain: Path, onnxruntime: ModuleType, providers: Any
) -> None:
    session = nfcompile.session(plain, providers)
    assert session.providers == providers
    assert [Path(name).name for name in session.settings.libraries] == ["libnfcompile_ops_cuda.so"]


def test_libraries_of_cuda_are_loaded_beforehand_and_quietly(
    plain: Path, onnxruntime: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        nfcompile.session(plain, [CUDA_PROVIDER])
    assert onnxruntime.preloaded == [True]
    assert capfd.readouterr().out == ""
    del onnxruntime.preload_dlls  # older versions have none
    cuda.preload_cuda.cache_clear()
    nfcompile.session(plain, [CUDA_PROVIDER])


def test_a_provider_that_does_not_load_is_told(
    plain: Path, onnxruntime: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "loads_cuda", False)
    words = r"could not load its CUDAExecutionProvider.*pip install 'onnxruntime-gpu\[cuda,cudnn\]'"
    with pytest.raises(EngineMissingError, match=words):
        nfcompile.session(plain, [CUDA_PROVIDER, CPU_PROVIDER])


def test_without_cuda_a_model_for_it_is_told_with_what_to_do(
    compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "cuda_problem", lambda: "no CUDA device")
    with pytest.raises(EngineMissingError) as caught:
        nfcompile.session(compiled)
    assert str(caught.value) == (
        f"{compiled} needs CUDA: no CUDA device; providers=['CPUExecutionProvider'] runs it on "
        "the CPU, if it is in fp32"
    )
    with pytest.raises(EngineMissingError, match="CUDAExecutionProvider needs CUDA: "):
        nfcompile.session(compiled, [CUDA_PROVIDER])
    x = RNG.standard_normal((3, N)).astype(np.float32)
    (y,) = nfcompile.session(compiled, [CPU_PROVIDER]).run(None, {"x": x})
    assert (y >= 0).all() and y.any()


def test_the_engine_takes_inputs_and_outputs_on_the_device(
    plain: Path, onnxruntime: ModuleType
) -> None:
    runner = OrtCudaEngine().load_for_timing(plain, 1)
    assert isinstance(runner, OrtCudaRunner)
    assert runner.session.providers == [(CUDA_PROVIDER, {"use_tf32": "1"}), CPU_PROVIDER]
    call = runner.timed({"x": np.zeros((2, 4), np.float32)})
    assert runner.session.bound == [("x", "(2, 4) on cuda:0"), ("y", "cuda")]
    assert call() >= 0
    assert runner.session.bound[2:] == [("", "run"), ("", "synchronized")]


def test_the_engine_can_be_exact_and_without_the_cpu(plain: Path, onnxruntime: ModuleType) -> None:
    alone = OrtCudaEngine(exact=True, fallback=False).load(plain, 1).session
    assert alone.providers == [(CUDA_PROVIDER, {"use_tf32": "0"})]
    assert alone.settings.entries["session.disable_cpu_ep_fallback"] == "1"
    both = OrtCudaEngine().load_reference(plain).session
    assert "session.disable_cpu_ep_fallback" not in both.settings.entries
