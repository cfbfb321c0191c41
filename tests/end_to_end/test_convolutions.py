"""Pruned convolutional networks of torch, compiled, give in ONNX Runtime what torch gives."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support import blocky
from torch import Tensor, nn
from torch.nn.utils import prune

import nfcompile
from nfcompile.cost.choice import Choice
from nfcompile.frontend.onnx_file import read_model
from nfcompile.ir.remarks import decisions
from nfcompile.passes import default_pipeline
from nfcompile.runtime.ort import OrtEngine

C, SIZE, DENSITY = 16, (13, 11), 0.1
KINDS = ("csr", "bsr", "block-diagonal")
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")


class Residual(nn.Module):
    """`after(body(x) + shortcut(x))`."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut, self.after = body, shortcut, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.body(x) + self.shortcut(x))


class Twice(nn.Module):
    """One convolution with one weight, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(C, C, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.tanh(self.conv(x)))


def normed(conv: nn.Conv2d, *rest: nn.Module) -> nn.Sequential:
    norm = nn.BatchNorm2d(conv.out_channels)
    for values in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(values)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    return nn.Sequential(conv, norm, *rest)


def same(kernel: int = 3, out: int = C, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(C, out, kernel, padding=kernel // 2, **options)


def bottleneck() -> nn.Module:
    return Residual(
        nn.Sequential(
            normed(nn.Conv2d(C, 8, 1, bias=False), nn.ReLU()),
            normed(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.ReLU()),
            normed(nn.Conv2d(8, C, 1, bias=False)),
        ),
        nn.Identity(),
        nn.ReLU(),
    )


def halving_block() -> nn.Module:
    return Residual(
        nn.Sequential(normed(same(out=24, stride=2, bias=False), nn.ReLU()),
                      normed(nn.Conv2d(24, 24, 3, padding=1, bias=False))),
        normed(nn.Conv2d(C, 24, 1, stride=2, bias=False)),
        nn.ReLU(),
    )  # fmt: skip


SPARSE = {
    "pointwise": lambda: nn.Conv2d(C, 24, 1),
    "three": same,
    "column": lambda: nn.Conv2d(C, 8, (5, 1), padding=(2, 0)),
    "strided": lambda: same(stride=2),
    "strided_pointwise": lambda: nn.Conv2d(C, 24, 1, stride=(2, 3)),
    "dilated": lambda: nn.Conv2d(C, C, 3, stride=(1, 2), dilation=(2, 1), padding=2),
    "uneven_pads": lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 2, 3)), nn.Conv2d(C, C, 3)),
    "even_kernel": lambda: nn.Conv2d(C, C, (4, 3), padding="same"),
    "reflected": lambda: nn.Conv2d(C, C, 3, padding=1, padding_mode="reflect"),
    "two_groups": lambda: same(groups=2),
    "four_groups": lambda: same(groups=4, out=32, bias=False),
    "no_bias": lambda: same(bias=False),
    "norm": lambda: normed(same(bias=False), nn.ReLU()),
    "norm_of_bias_and_groups": lambda: normed(same(groups=2, stride=2), nn.SiLU()),
    "relu_six": lambda: nn.Sequential(same(5), nn.ReLU6()),
    "silu": lambda: nn.Sequential(same(1), nn.SiLU()),
    "hard_swish": lambda: nn.Sequential(same(), nn.Hardswish()),
    "gelu": lambda: nn.Sequential(same(), nn.GELU()),
    "residual_before": lambda: Residual(same(), nn.Identity(), nn.ReLU()),
    "residual_after": lambda: Residual(
        nn.Sequential(same(), nn.ReLU()), nn.Identity(), nn.Identity()
    ),
    "bottleneck": bottleneck,
    "halving_block": halving_block,
    "twice": Twice,
    "masked": lambda: prune.random_unstructured(same(), "weight", 1 - DENSITY),
}
DENSE = {
    "depthwise": lambda: same(groups=C),
    "depthwise_of_two": lambda: same(groups=C, out=2 * C),
    "full_groups": lambda: same(groups=4),
    "full": same,
}
BLOCKS = {"blocks_of_16": 16, "blocks_of_8": 8}


def make(name: str) -> nn.Module:
    if name in BLOCKS:
        conv = same(out=32)
        weight = blocky(np.random.default_rng(1), (32, C * 9), BLOCKS[name], 0.2)
        conv.weight.data = torch.from_numpy(weight).reshape(conv.weight.shape)
        return conv
    if name in DENSE:
        module = DENSE[name]()
        if name.startswith("depthwise"):
            thin_out(module)
        return module
    module = SPARSE[name]()
    if name != "masked":
        thin_out(module)
    return module


def thin_out(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            part.weight.data *= torch.rand(part.weight.shape) < DENSITY
            part.weight.data *= 3  # else hardly anything but the bias comes out


class Everything(nn.Module):
    """One output per kind of convolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.parts = nn.ModuleDict({name: make(name) for name in (*SPARSE, *DENSE, *BLOCKS)})

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(part(x) for part in self.parts.values())


NAMES = (*SPARSE, *DENSE, *BLOCKS)


@contextmanager
def smallest_encodings() -> Iterator[None]:
    """Each layer gets the encoding that is smallest, whatever it is estimated to cost."""

    def smallest(dense: Any, sparse: Any, batches: Any, *rest: Any) -> Choice:
        best = min((dense, *sparse), key=lambda item: item.nbytes)
        return Choice(best, best.pattern, {}, "smallest", (1.0,) * len(batches))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nfcompile.cost.encoding.choose", smallest)
        yield


@pytest.fixture(scope="module")
def everything() -> Everything:
    return Everything().eval()


FREE: dict[str, Any] = {"batch": None, "batch and size": {"x": {0: "n", 2: "height", 3: "width"}}}


@pytest.fixture(scope="module", params=FREE)
def compiled(
    request: pytest.FixtureRequest, everything: Everything, tmp_path_factory: Any
) -> tuple[str, Path]:
    path = tmp_path_factory.mktemp("convolutions") / "model.onnx"
    with smallest_encodings():
        nfcompile.compile(
            everything, torch.randn(2, C, *SIZE), threads=1, dynamic_shapes=FREE[request.param]
        ).save(path)
    return request.param, path


@pytest.fixture(scope="module")
def runs(compiled: tuple[str, Path], everything: Everything) -> list[Any]:
    """What torch gives in float64 and what the file gives, for some shapes and threads."""
    free, path = compiled
    shapes = [(1, *SIZE), (3, *SIZE), (0, *SIZE), (17, *SIZE)]
    if free == "batch and size":
        shapes += [(2, 8, 23), (1, 6, 5), (0, 9, 9)]
    torch.manual_seed(4)
    exact = copy.deepcopy(everything).double()
    runners = [OrtEngine().load(path, threads=threads) for threads in (1, 2)]
    found = []
    for images, *size in shapes:
        x = torch.randn(images, C, *size)
        with torch.no_grad():
            expected = [y.numpy() for y in exact(x.double())]
        for runner in runners:
            got = runner.run({runner.session.get_inputs()[0].name: x.numpy()})
            found.append((expected, list(got.values())))
    return found


def compare(got: np.ndarray, expected: np.ndarray, limit: float = 1e-5) -> None:
    assert got.shape == expected.shape
    if expected.size:
        assert np.abs(got - expected).max() <= limit * max(np.abs(expected).max(), 1)


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_convolution_gives_what_torch_gives(name: str, runs: list[Any]) -> None:
    at = NAMES.index(name)
    for expected, got in runs:
        compare(got[at], expected[at])


def layers_of(path: Path, name: str) -> list[Any]:
    inside = (f"parts.{name}/", f"parts.{name}.")
    return [item for item in decisions(read_model(path)) if item.layer.startswith(inside)]


@pytest.mark.parametrize("name", SPARSE)
def test_every_pruned_convolution_runs_sparse(
    name: str, compiled: tuple[str, Path], everything: Everything
) -> None:
    found = layers_of(compiled[1], name)
    convs = [part for part in everything.parts[name].modules() if isinstance(part, nn.Conv2d)]
    assert len(found) == (2 if name == "twice" else len(convs))
    assert all(item.encoding != "dense" and 0.05 < item.density < 0.2 for item in found)


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_zeros_give_block_sparse_rows(name: str, compiled: tuple[str, Path]) -> None:
    (found,) = layers_of(compiled[1], name)
    assert (found.encoding, found.pattern) == ("bsr", f"blocks {BLOCKS[name]}x{BLOCKS[name]}")


def test_convolutions_that_are_dense_or_depthwise_stay_those_of_the_runtime(
    compiled: tuple[str, Path],
) -> None:
    left = [node for node in onnx.load(compiled[1]).graph.node if node.op_type == "Conv"]
    assert len(left) == len(DENSE)


def test_convolutions_of_one_size_run_as_one_operator(compiled: tuple[str, Path]) -> None:
    nodes = onnx.load(compiled[1]).graph.node
    kinds = {node.op_type for node in nodes}
    assert not kinds & {"BatchNormalization", "Relu", "Add"}
    assert {"CsrConv", "BsrConv"} <= kinds
    layers = sorted(
        next(item.s for item in node.attribute if item.name == "encodings").count(b",") + 1
        for node in nodes
        if node.op_type == "SparseConvChain"
    )
    # One convolution twice; the bottleneck; the block with its projection.
    assert layers == [2, 3, 3]


class Groups(nn.Module):
    """Channels joined in four groups, by zeros or by an attribute; all of a group are joined."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.one = nn.Conv2d(32, 32, 3, padding=1)
        self.four = nn.Conv2d(32, 32, 3, padding=1, groups=4)
        mask = np.kron(np.eye(4), np.ones((8, 72)))
        self.one.weight.data *= torch.from_numpy(mask).float().reshape(self.one.weight.shape)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.one(x)) + torch.sigmoid(self.four(x))


@pytest.mark.parametrize("kind", KINDS)
def test_every_encoding_of_a_convolution_is_right_in_the_runtime(kind: str, tmp_path: Path) -> None:
    module, path = Groups().eval(), tmp_path / "model.onnx"
    pipeline = default_pipeline("ort-cpu", 1)
    assert "encode-weights{" in pipeline
    passes = pipeline.replace("encode-weights{", f"encode-weights{{force={kind},")
    made = nfcompile.compile(module, torch.randn(2, 32, 5, 6), passes=passes)
    made.save(path)
    assert [item.encoding for item in made.decisions] == [kind, kind]
    assert "Conv" not in {node.op_type for node in onnx.load(path).graph.node}
    check(path, module, torch.randn(3, 32, 5, 6))


def check(path: Path, module: nn.Module, x: Tensor, limit: float = 1e-5) -> None:
    with torch.no_grad():
        expected = copy.deepcopy(module).double()(x.double()).numpy()
    for threads in (1, 2):
        runner = OrtEngine().load(path, threads=threads)
        (got,) = runner.run({runner.session.get_inputs()[0].name: x.numpy()}).values()
        compare(got, expected, limit)


def network() -> nn.Module:
    """A small residual network with a dense stem and head."""
    torch.manual_seed(2)
    stem = nn.Sequential(nn.Conv2d(3, C, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    body = nn.Sequential(bottleneck(), bottleneck(), halving_block())
    thin_out(body)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10))
    return nn.Sequential(stem, body, head).eval()


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-5), ("bf16", 2e-2)])
def test_a_residual_network_gives_what_torch_gives(
    precision: str, limit: float, tmp_path: Path
) -> None:
    module, path = network(), tmp_path / "model.onnx"
    with smallest_encodings():
        nfcompile.compile(module, torch.randn(2, 3, 33, 29), precision=precision).save(path)
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert "SparseConvChain" in kinds
    assert kinds.count("Conv") == 1
    for batch in (1, 5, 0):
        check(path, module, torch.randn(batch, 3, 33, 29), limit)


def test_portable_keeps_convolutions_and_needs_no_library(tmp_path: Path) -> None:
    torch.manual_seed(5)
    module, path = bottleneck().eval(), tmp_path / "model.onnx"
    thin_out(module)
    made = nfcompile.compile(module, torch.randn(2, C, 7, 6), "portable")
    made.save(path)
    assert not made.decisions
    assert {node.op_type for node in onnx.load(path).graph.node} == {"Conv", "Relu", "Add"}
    session = onnxruntime.InferenceSession(path)
    x = torch.randn(3, C, 7, 6)
    (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        compare(got, module.double()(x.double()).numpy())


class Others(nn.Module):
    """Convolutions that have no sparse kernel, with weights that are mostly zero."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.turned = nn.ConvTranspose2d(4, 6, 3, stride=2)
        self.line = nn.Conv1d(4, 6, 3)
        self.volume = nn.Conv3d(4, 6, 3)
        for layer in (self.turned, self.line, self.volume):
            layer.weight.data *= torch.rand(layer.weight.shape) < DENSITY

    def forward(self, line: Tensor, image: Tensor, volume: Tensor) -> tuple[Tensor, ...]:
        return self.line(line), self.turned(image), self.volume(volume)


def test_convolutions_along_other_axes_pass_through(tmp_path: Path) -> None:
    module, path = Others().eval(), tmp_path / "model.onnx"
    inputs = tuple(torch.randn(2, 4, *[7] * axes) for axes in (1, 2, 3))
    made = nfcompile.compile(module, inputs)
    made.save(path)
    assert not made.decisions
    kinds = sorted(node.op_type for node in onnx.load(path).graph.node)
    assert kinds == ["Conv", "Conv", "ConvTranspose"]
    session = nfcompile.session(path)
    names = [item.name for item in session.get_inputs()]
    got = session.run(None, dict(zip(names, (x.numpy() for x in inputs), strict=True)))
    with torch.no_grad():
        for left, right in zip(got, module(*inputs), strict=True):
            compare(left, right.numpy())


def test_small_windows_that_move_pixels_read_what_layers_before_them_wrote() -> None:
    torch.manual_seed(0)
    layers = [
        torch.nn.Conv2d(64, 64, 3, padding=1),
        torch.nn.Conv2d(64, 64, 1, padding=1),
        torch.nn.Conv2d(64, 64, 1, stride=(2, 1)),
        torch.nn.Conv2d(64, 192, (3, 1), padding=1),
    ]
    for layer in layers:
        layer.weight.data *= torch.rand_like(layer.weight) < 0.1
    # Verified: what differs is an error.
    compiled = nfcompile.compile(torch.nn.Sequential(*layers).eval(), torch.randn(2, 64, 20, 18))
    assert [node.op_type for node in compiled.model.graph] == ["SparseConvChain"]
