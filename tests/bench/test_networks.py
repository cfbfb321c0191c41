"""A network of the suite is one file for all engines, with inputs that it takes at any batch."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from nfcompile.bench import networks as module
from nfcompile.bench.case import Case
from nfcompile.bench.contenders import CONTENDERS
from nfcompile.bench.networks import NETWORKS
from nfcompile.errors import EngineMissingError
from nfcompile.models.bert import bert
from nfcompile.models.llama import llama
from nfcompile.models.vision import resnet

LIMITS = {"fp32": 1e-4, "bf16": 0.1, "int8": 0.5}
ENGINES = ["ort", "ort-int8", "nfcompile", "nfcompile-bf16", "openvino", "torch", "deepsparse"]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks at sizes for tests."""
    monkeypatch.setattr(module, "_VOCABULARY", 64)
    shape = {"layers": 1, "hidden": 64, "heads": 2, "intermediate": 128, "vocabulary": 64}
    monkeypatch.setattr("nfcompile.models.bert.bert", lambda **_: bert(**shape))
    made = {"stem": 16, "widths": [32, 64], "depths": [1, 1], "classes": 64}
    monkeypatch.setattr("nfcompile.models.vision.resnet50", lambda: resnet(**made))
    monkeypatch.setattr(module, "_LLAMA_LAYERS", 2)
    monkeypatch.setattr(module, "_LLAMA_CACHE", (4, 8))
    monkeypatch.setattr(module, "_PAST", 7)
    monkeypatch.setattr(
        "nfcompile.models.llama.llama", lambda **given: llama(**{**given, "intermediate": 256})
    )


def case(name: str) -> Case:
    return next(item for item in NETWORKS if item.name == name)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("name", "outputs", "excluded"),
    [
        ("bert-block-16-0.10", 1, ()),
        ("resnet50-unstructured-0.10", 1, ()),
        # Torch's module takes lists, which inputs by name are not.
        ("llama-block-16-0.10", 5, ("torch",)),
    ],
)
def test_every_engine_runs_the_file_and_agrees(
    name: str, outputs: int, excluded: tuple[str, ...], tmp_path: Path
) -> None:
    network = case(name).build(tmp_path)
    inputs = case(name).inputs[""](2)
    contenders = {item.name: item for item in CONTENDERS}
    expected: list[np.ndarray] = []
    for engine in ENGINES:
        if engine in excluded:
            continue
        item = contenders[engine]
        try:
            runner = item.load(item.file(network, tmp_path, 1), 1)
        except EngineMissingError:
            assert engine == "deepsparse"
            continue
        got = list(runner.run(inputs).values())
        assert len(got) == outputs
        expected = expected or got
        for y, right in zip(got, expected, strict=True):
            assert y.shape == right.shape
            error = np.abs(y - right).max() / np.abs(right).max()
            assert error < LIMITS[item.precision], engine
        assert runner.timed(inputs)() > 0


@pytest.mark.usefixtures("small")
def test_every_layer_has_the_density_that_its_case_is_called_by(tmp_path: Path) -> None:
    network = case("resnet50-unstructured-0.10").build(tmp_path)
    proto = onnx.load(network.graph)
    weights = {item.name: onnx.numpy_helper.to_array(item) for item in proto.graph.initializer}
    layers = [node.input[1] for node in proto.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == 1 + 2 * 4 + 1
    densities = [np.mean(weights[name] != 0) for name in layers]
    assert densities == pytest.approx([0.10] * len(layers), abs=0.03)
    shape = proto.graph.input[0].type.tensor_type.shape.dim
    assert shape[0].dim_param == "batch"


def test_inputs_are_the_same_every_time() -> None:
    for item in NETWORKS:
        first, second = (item.inputs[""](3) for _ in range(2))
        assert all(len(array) == 3 for array in first.values())
        for name, array in first.items():
            np.testing.assert_array_equal(array, second[name])
