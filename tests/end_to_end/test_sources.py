"""However sparsity was made, and however the model comes, its layers are found and run sparse."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from scipy.sparse import random_array
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from typer.testing import CliRunner

import nfcompile
from nfcompile.cli import app
from nfcompile.errors import InputError
from nfcompile.frontend.onnx_file import read_model
from nfcompile.ir.remarks import decisions
from nfcompile.nn import SparseCascade, SparseLinear
from nfcompile.topology import ParallelButterfly

N, DENSITY = 512, 0.02
BATCHES = (1, 6)
Make = Callable[[], nn.Module]


def mask() -> Tensor:
    return (torch.rand(N, N) < DENSITY).float()


class MaskTimesWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(N, N) / 4)
        self.bias = nn.Parameter(torch.randn(N))
        self.register_buffer("mask", mask())

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight * self.mask, self.bias)


class BooleanMask(MaskTimesWeight):
    def forward(self, x: Tensor) -> Tensor:
        kept = torch.where(self.mask > 0, self.weight, torch.zeros(()))
        return nn.functional.linear(x, kept, self.bias)


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", mask())

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


class Product(nn.Module):
    """`x @ W`, or `x @ W.T`."""

    def __init__(self, transposed: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(N, N) / 4 * mask())
        self.transposed = transposed

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.weight.T if self.transposed else self.weight)


def pruned(remove: bool) -> nn.Module:
    layer = nn.Linear(N, N)
    prune.random_unstructured(layer, "weight", amount=1 - DENSITY)
    if remove:
        prune.remove(layer, "weight")
    return layer


def parametrized() -> nn.Module:
    layer = nn.Linear(N, N)
    parametrize.register_parametrization(layer, "weight", Masked())
    return layer


def with_zeros() -> nn.Module:
    layer = nn.Linear(N, N)
    layer.weight.data *= mask()
    return layer


def sparse_linear() -> nn.Module:
    return SparseLinear(N, N, random_array((N, N), density=DENSITY, format="csr", rng=0))


SPARSE: dict[str, Make] = {
    "mask_times_weight": MaskTimesWeight,
    "boolean_mask": BooleanMask,
    "prune": lambda: pruned(remove=False),
    "prune_removed": lambda: pruned(remove=True),
    "parametrize": parametrized,
    "zeros_in_weight": with_zeros,
    "x_times_w": lambda: Product(transposed=False),
    "x_times_w_transposed": lambda: Product(transposed=True),
    "sparse_linear": sparse_linear,
    "sparse_cascade": lambda: SparseCascade(ParallelButterfly(N, 8, 2)),
}


class Everything(nn.Module):
    """One output per way to make a layer sparse, behind a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(24, N)
        self.parts = nn.ModuleDict({name: make() for name, make in SPARSE.items()})

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        h = torch.relu(self.first(x))
        return tuple(part(h) for part in self.parts.values())


def sparse_layers(path: Path, name: str) -> int:
    """Checks that the layers of a part run sparse, and counts them."""
    inside = (f"{name}/", f"{name}.")
    found = [item for item in decisions(read_model(path)) if item.layer.startswith(inside)]
    assert all(item.encoding != "dense" and 0 < item.density < 0.1 for item in found)
    return len(found)


def check_outputs(path: Path, module: nn.Module) -> None:
    """The compiled file has a free batch, is small, and gives what the module gives."""
    (x_info,) = onnx.load(path).graph.input
    assert x_info.type.tensor_type.shape.dim[0].dim_param
    session = nfcompile.session(path)
    for batch in BATCHES:
        x = torch.randn(batch, 24)
        with torch.no_grad():
            expected = module(x)
        expected = expected if isinstance(expected, tuple) else (expected,)
        got = session.run(None, {x_info.name: x.numpy()})
        for left, right in zip(got, expected, strict=True):
            atol = 1e-4 * float(right.abs().max())
            np.testing.assert_allclose(left, right.numpy(), rtol=1e-4, atol=atol)


def command_line(*args: Any) -> None:
    called("compile", "--threads", 1, *args)


def called(*args: Any) -> str:
    done = CliRunner().invoke(app, [*map(str, args)])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def everything() -> nn.Module:
    return Everything().eval()


def from_module(module: nn.Module, folder: Path) -> None:
    nfcompile.compile(module, torch.randn(2, 24), threads=1).save(folder / "model.onnx")


def from_program_file(module: nn.Module, folder: Path) -> None:
    free = ({0: torch.export.Dim.AUTO},)
    program = torch.export.export(module, (torch.randn(2, 24),), dynamic_shapes=free)
    torch.export.save(program, folder / "model.pt2")
    command_line(folder / "model.pt2", "-o", folder / "model.onnx")


@pytest.fixture(scope="module", params=[from_module, from_program_file])
def compiled(request: pytest.FixtureRequest, everything: nn.Module, tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("everything")
    request.param(everything, folder)
    return folder / "model.onnx"


@pytest.mark.parametrize("name", SPARSE)
def test_every_way_to_make_a_layer_sparse_is_found(
    name: str, compiled: Path, everything: Everything
) -> None:
    parts = everything.parts[name].modules()
    wanted = sum(isinstance(part, SparseLinear) for part in parts) or 1
    assert sparse_layers(compiled, f"parts.{name}") == wanted


def test_every_layer_gives_what_torch_gives(compiled: Path, everything: nn.Module) -> None:
    check_outputs(compiled, everything)
    dense = sum(4 * N * N for _ in SPARSE)
    assert compiled.stat().st_size < dense / 5


REFERENCE = """
import torch
from torch import nn

class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros({n}, {n}))
        self.register_buffer("mask", torch.zeros({n}, {n}))

    def forward(self, x):
        return nn.functional.linear(x, self.weight * self.mask)

def make():
    return nn.Sequential(nn.Linear(24, {n}), nn.Tanh(), Masked(), nn.ReLU(), nn.Linear({n}, 8))
"""


@pytest.mark.parametrize("kind", ["safetensors", "state_dict"])
def test_a_reference_with_weights_compiles_from_the_command_line(kind: str, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(REFERENCE.format(n=N))
    namespace: dict[str, Any] = {}
    exec((tmp_path / "model.py").read_text(), namespace)
    module = namespace["make"]()
    with torch.no_grad():
        module[2].weight.copy_(torch.randn(N, N))
        module[2].mask.copy_(mask())
    weights = tmp_path / f"weights.{kind}"
    if kind == "safetensors":
        from safetensors.torch import save_file

        save_file(module.state_dict(), weights)
    else:
        torch.save(module.state_dict(), weights)
    command_line(
        f"{tmp_path / 'model.py'}:make", "--weights", weights, "--input-shape", "2,24",
        "-o", tmp_path / "model.onnx",
    )  # fmt: skip
    check_outputs(tmp_path / "model.onnx", module.eval())
    assert sparse_layers(tmp_path / "model.onnx", "2") == 1


TEXT = """
import torch
from torch import nn

class Text(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(64, {n})
        self.linear = nn.Linear({n}, {n})
        self.linear.weight.data *= torch.rand({n}, {n}) < 0.02

    def forward(self, ids, mask):
        return self.linear(self.embedding(ids)) * mask[..., None]

def make():
    return Text()

def with_inputs():
    ids = torch.randint(64, (2, 7))
    return Text(), {{"ids": ids, "mask": torch.ones(2, 7)}}, dict.fromkeys(
        ("ids", "mask"), {{0: "batch", 1: "tokens"}}
    )
"""


@pytest.mark.parametrize(
    ("name", "shapes"),
    [("make", ["batch=2,tokens=7:int64", "batch=2,tokens=7"]), ("with_inputs", [])],
)
def test_a_module_of_token_ids_compiles_from_the_command_line_for_any_length(
    name: str, shapes: list[str], tmp_path: Path
) -> None:
    (tmp_path / "text.py").write_text(TEXT.format(n=N))
    options = [part for shape in shapes for part in ("--input-shape", shape)]
    source = f"{tmp_path / 'text.py'}:{name}"
    command_line(source, *options, "-o", tmp_path / "m.onnx")
    assert called("verify", source, tmp_path / "m.onnx", *options).endswith("PASSED\n")
    (item,) = decisions(read_model(tmp_path / "m.onnx"))
    assert item.encoding == "csr"
    namespace: dict[str, Any] = {}
    exec((tmp_path / "text.py").read_text(), namespace)
    module, session = namespace["make"](), nfcompile.session(tmp_path / "m.onnx")
    assert [value.shape for value in session.get_inputs()] == [["batch", "tokens"]] * 2
    for size in ((1, 1), (3, 20)):
        ids, mask = torch.randint(64, size), torch.rand(size)
        (got,) = session.run(None, {"ids": ids.numpy(), "mask": mask.numpy()})
        expected = module(ids, mask).detach().numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_dynamic_shapes_go_with_a_module_only(compiled_mlp: Path) -> None:
    with pytest.raises(InputError, match="dynamic shapes go with a torch module only"):
        nfcompile.compile(compiled_mlp, dynamic_shapes={})


def test_an_onnx_file_of_the_exporter_compiles_from_the_command_line(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(24, N), nn.Tanh(), MaskTimesWeight()).eval()
    program = torch.onnx.export(
        module,
        (torch.randn(2, 24),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    program.save(str(tmp_path / "dense.onnx"))
    command_line(tmp_path / "dense.onnx", "-o", tmp_path / "model.onnx")
    check_outputs(tmp_path / "model.onnx", module)
    assert any(item.encoding == "csr" for item in decisions(read_model(tmp_path / "model.onnx")))
    assert nfcompile.verify(tmp_path / "dense.onnx", tmp_path / "model.onnx").passed


def test_compiling_what_was_compiled_changes_nothing(compiled_mlp: Path, tmp_path: Path) -> None:
    command_line(compiled_mlp, "-o", tmp_path / "again.onnx")
    first, second = onnx.load(compiled_mlp), onnx.load(tmp_path / "again.onnx")
    assert first.graph.node == second.graph.node
    assert first.graph.input == second.graph.input
    assert first.graph.output == second.graph.output
    tensors = [{t.name: t for t in proto.graph.initializer} for proto in (first, second)]
    assert tensors[0] == tensors[1]


WIDE = """
import sys
import numpy as np, torch
import nfcompile
from nfcompile.nn import SparseLinear
n, k = 65536, 8
rng = np.random.default_rng(0)
indices = np.arange(n)[:, None] + rng.choice(n // k, (n, k)) + np.arange(k) * (n // k)
indices = np.sort(indices % n).reshape(-1)
layer = SparseLinear(n, n, (np.arange(0, n * k + 1, k), indices))
assert layer.nnz == n * k
compiled = nfcompile.compile(layer, torch.randn(1, n), threads=1, samples=1)
assert [item.encoding for item in compiled.decisions] == ["csr"]
assert compiled.report.passed
compiled.save(sys.argv[1])
x = torch.randn(2, n)
(y,) = nfcompile.session(sys.argv[1], threads=1).run(None, {"x": x.numpy()})
np.testing.assert_allclose(y, layer(x).detach().numpy(), rtol=1e-4, atol=1e-4)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_a_layer_65536_wide_never_becomes_dense(tmp_path: Path) -> None:
    # The dense weight would take 17 GB.
    path = tmp_path / "model.onnx"
    done = subprocess.run(
        [sys.executable, "-c", WIDE, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < 2.5e9
    nnz = 65536 * 8
    assert 6 * nnz < path.stat().st_size < 6 * nnz + 8 * 65536 + 10_000
