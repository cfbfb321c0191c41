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
    "a mask that multiplies the weight": MaskTimesWeight,
    "a mask that selects from the weight": BooleanMask,
    "prune with its reparametrization": lambda: pruned(remove=False),
    "prune after remove": lambda: pruned(remove=True),
    "parametrize": parametrized,
    "zeros in the weight": with_zeros,
    "x @ W": lambda: Product(transposed=False),
    "x @ W.T": lambda: Product(transposed=True),
    "SparseLinear": sparse_linear,
    "SparseCascade": lambda: SparseCascade(ParallelButterfly(256, 4, 4)),
}


def network(part: Make) -> nn.Module:
    """The part between two small dense layers, as it would stand in a model."""
    torch.manual_seed(0)
    made = part()
    width = 256 if isinstance(made, SparseCascade) else N
    return nn.Sequential(nn.Linear(24, width), nn.ReLU(), made, nn.GELU(), nn.Linear(width, 8))


def check(path: Path, module: nn.Module) -> None:
    """The compiled file has sparse layers, a free batch, and gives what the module gives."""
    proto = onnx.load(path)
    (x_info,) = proto.graph.input
    assert x_info.type.tensor_type.shape.dim[0].dim_param
    assert any(node.domain == "nfcompile" for node in proto.graph.node)
    assert path.stat().st_size < N * N
    session = nfcompile.session(path)
    for batch in BATCHES:
        x = torch.randn(batch, 24)
        with torch.no_grad():
            expected = module(x).numpy()
        (got,) = session.run(None, {x_info.name: x.numpy()})
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def command_line(*args: Any) -> None:
    done = CliRunner().invoke(app, ["compile", *map(str, args)])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("kind", SPARSE)
def test_every_way_to_make_a_layer_sparse_is_found_in_a_module(kind: str, tmp_path: Path) -> None:
    module = network(SPARSE[kind]).eval()
    compiled = nfcompile.compile(module, torch.randn(2, 24))
    sparse = [item for item in compiled.decisions if item.encoding != "dense"]
    assert len(sparse) == (sum(isinstance(part, SparseLinear) for part in module.modules()) or 1)
    assert all(0 < item.density < 0.1 for item in sparse)
    compiled.save(tmp_path / "model.onnx")
    check(tmp_path / "model.onnx", module)


@pytest.mark.parametrize(
    "kind", ["prune with its reparametrization", "parametrize", "SparseLinear", "x @ W"]
)
def test_a_saved_program_compiles_from_the_command_line(kind: str, tmp_path: Path) -> None:
    module = network(SPARSE[kind]).eval()
    free = ({0: torch.export.Dim.AUTO},)
    program = torch.export.export(module, (torch.randn(2, 24),), dynamic_shapes=free)
    torch.export.save(program, tmp_path / "model.pt2")
    command_line(tmp_path / "model.pt2", "-o", tmp_path / "model.onnx")
    check(tmp_path / "model.onnx", module)


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
    return nn.Sequential(nn.Linear(24, {n}), Masked(), nn.ReLU(), nn.Linear({n}, 8))
"""


@pytest.mark.parametrize("kind", ["safetensors", "state_dict"])
def test_a_reference_with_weights_compiles_from_the_command_line(kind: str, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(REFERENCE.format(n=N))
    namespace: dict[str, Any] = {}
    exec((tmp_path / "model.py").read_text(), namespace)
    module = namespace["make"]()
    with torch.no_grad():
        module[1].weight.copy_(torch.randn(N, N))
        module[1].mask.copy_(mask())
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
    check(tmp_path / "model.onnx", module.eval())


def test_an_onnx_file_of_the_exporter_compiles_from_the_command_line(tmp_path: Path) -> None:
    module = network(MaskTimesWeight).eval()
    program = torch.onnx.export(
        module,
        (torch.randn(2, 24),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    program.save(str(tmp_path / "dense.onnx"))
    command_line(tmp_path / "dense.onnx", "-o", tmp_path / "model.onnx")
    check(tmp_path / "model.onnx", module)
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
indices = (np.arange(n)[:, None] + np.sort(rng.choice(n // k, (n, k)) + np.arange(k) * (n // k))) % n
indices = np.sort(indices).reshape(-1)
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
