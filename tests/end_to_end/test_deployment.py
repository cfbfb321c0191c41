"""A compiled file and the library of kernels run where nfcompile is not installed.

The program that runs them is the Python snippet of docs/deploy.md.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from end_to_end.elf import Library
from onnx.reference import ReferenceEvaluator
from torch import nn

import nfcompile
from nfcompile import _native

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the library is built for Linux")

ROOT = Path(__file__).parents[2]
SITE = Path(sysconfig.get_path("platlib"))
OLDEST = ROOT / "build" / "oldest-ort"
LIBRARY = Path(nfcompile.op_library_path())
SNIPPET = re.findall(r"```python\n(.*?)```", (ROOT / "docs/deploy.md").read_text(), re.DOTALL)[0]
ALONE = """
for name in ("nfcompile", "onnx", "torch", "scipy"):
    try:
        __import__(name)
    except ImportError:
        continue
    raise SystemExit(f"{name} can be imported here")
import onnxruntime
print(onnxruntime.__version__)
"""


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Python packages: this environment's onnxruntime and numpy, nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    for name in ("onnxruntime", "numpy", "numpy.libs"):
        if (SITE / name).exists():
            (folder / name).symlink_to(SITE / name)
    return folder


@pytest.fixture(params=["this onnxruntime", "the oldest onnxruntime"])
def packages(request: pytest.FixtureRequest, bare: Path) -> Path:
    if request.param == "this onnxruntime":
        return bare
    if not (OLDEST / "onnxruntime").is_dir():
        pytest.skip(f"no onnxruntime in {OLDEST.relative_to(ROOT)}: make test installs it there")
    return OLDEST


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A working directory with the library of kernels, and nothing else of ours."""
    shutil.copy(LIBRARY, tmp_path)
    return tmp_path


def python(packages: Path | None, host: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a Python that finds the standard library and `packages`."""
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=host,
        env={**os.environ, "PYTHONPATH": str(packages or "")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def deploy(packages: Path, host: Path, code: str = SNIPPET) -> np.ndarray:
    done = python(packages, host, ALONE + code)
    assert done.returncode == 0, done.stderr
    oldest = packages == OLDEST
    assert done.stdout.startswith("1.17.3\n") is oldest
    return np.load(host / "y.npy")


def dense(path: Path, x: np.ndarray) -> np.ndarray:
    """Output of an uncompiled model, by onnx's own evaluator."""
    return np.asarray(ReferenceEvaluator(onnx.load(path)).run(None, {"x": x})[0])


def versions(path: Path) -> tuple[int, dict[str, int]]:
    proto = onnx.load(path)
    return proto.ir_version, {entry.domain: entry.version for entry in proto.opset_import}


@pytest.mark.parametrize("batch", [1, 5])
def test_a_compiled_model_runs_where_nfcompile_is_not_installed(
    mlp: Path, compiled_mlp: Path, packages: Path, host: Path, batch: int
) -> None:
    ir_version, opsets = versions(compiled_mlp)
    assert ir_version <= 9
    assert opsets[""] <= 20
    shutil.copy(compiled_mlp, host / "model.onnx")
    x = np.random.default_rng(batch).standard_normal((batch, 256)).astype(np.float32)
    np.save(host / "x.npy", x)
    np.testing.assert_allclose(deploy(packages, host), dense(mlp, x), rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def from_torch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    """A compiled module, an input, and the output of the module."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(512, 512), nn.GELU(), nn.LayerNorm(512), nn.Linear(512, 512))
    for layer in (module[0], module[3]):
        layer.weight.data *= torch.rand(512, 512) < 0.02
    x = torch.randn(5, 512)
    compiled = nfcompile.compile(module, x[:2], threads=1)
    assert "dense" not in {item.encoding for item in compiled.decisions}
    path = tmp_path_factory.mktemp("torch") / "model.onnx"
    compiled.save(path)
    return path, x.numpy(), module(x).detach().numpy()


def test_a_model_that_comes_from_torch_runs_there_too(
    from_torch: tuple[Path, np.ndarray, np.ndarray], packages: Path, host: Path
) -> None:
    path, x, expected = from_torch
    ir_version, opsets = versions(path)
    assert ir_version <= 9
    assert opsets[""] <= 20
    shutil.copy(path, host / "model.onnx")
    np.save(host / "x.npy", x)
    code = SNIPPET.replace('"x"', f'"{onnx.load(path).graph.input[0].name}"')
    np.testing.assert_allclose(deploy(packages, host, code), expected, rtol=1e-4, atol=1e-4)


def test_without_the_library_the_error_is_the_one_in_the_manual(
    compiled_mlp: Path, packages: Path, host: Path
) -> None:
    shutil.copy(compiled_mlp, host / "model.onnx")
    code = "\n".join(line for line in SNIPPET.splitlines() if "register" not in line)
    done = python(packages, host, code)
    message = "Fatal error: nfcompile:SparseChain(-1) is not a registered function/op"
    assert done.returncode == 1
    assert message in done.stderr
    assert message in (ROOT / "docs/deploy.md").read_text()


def test_the_library_loads_in_a_process_without_onnxruntime(host: Path) -> None:
    code = (
        "import ctypes, os\n"
        f"library = ctypes.CDLL('./{LIBRARY.name}', mode=os.RTLD_NOW)\n"
        "assert library.RegisterCustomOps\n"
        "maps = open('/proc/self/maps').read()\n"
        f"assert '{LIBRARY.name}' in maps and 'onnxruntime' not in maps\n"
    )
    done = python(None, host, code)
    assert done.returncode == 0, done.stderr


def test_the_library_needs_only_the_c_library_and_exports_one_function() -> None:
    library = Library(LIBRARY)
    names = {name.split(".so")[0] for name in library.needed()}
    assert "libc" in names
    assert names <= {"libc", "libm", "libpthread", "libdl", "ld-linux-x86-64"}
    assert library.exported() == {"RegisterCustomOps"}


def test_the_library_needs_no_symbol_version_but_of_the_c_library() -> None:
    wanted = Library(LIBRARY).versions()
    assert wanted["libc.so.6"]
    assert all(name.startswith("GLIBC_") for names in wanted.values() for name in names)
    newest = max(
        tuple(int(part) for part in name.removeprefix("GLIBC_").split("."))
        for name in wanted["libc.so.6"]
    )
    here = tuple(int(part) for part in os.confstr("CS_GNU_LIBC_VERSION").split()[1].split("."))
    assert newest <= here


def test_the_reader_of_libraries_sees_what_others_need_and_export() -> None:
    library = Library(Path(_native.__file__))
    assert {"libc.so.6", "libstdc++.so.6"} <= library.needed()
    assert "PyInit__native" in library.exported()
    assert any(name.startswith("GLIBCXX_") for name in library.versions()["libstdc++.so.6"])
