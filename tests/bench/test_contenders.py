"""Each contender runs its own file of a network, and says why where it cannot."""

from pathlib import Path

import numpy as np
import pytest
from support import unstructured

from nfcompile.bench import contenders as module
from nfcompile.bench.case import Network
from nfcompile.bench.contenders import CONTENDERS, Contender
from nfcompile.errors import EngineMissingError, UnsupportedModelError
from nfcompile.ir.protobuf import write_model
from nfcompile.models.chain import chain

LIMITS = {"fp32": 1e-5, "tf32": 2e-3, "bf16": 0.03, "int8": 0.1}


@pytest.fixture
def network(tmp_path: Path) -> Network:
    rng = np.random.default_rng(0)
    weights = [unstructured(rng, (64, 64), 0.1) for _ in range(2)]
    write_model(chain(weights, relu=True), tmp_path / "m.onnx")
    return Network(tmp_path / "m.onnx", tmp_path / "m.onnx", tmp_path / "m.onnx")


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda item: item.name)
def test_a_contender_computes_the_case(
    contender: Contender, network: Network, tmp_path: Path
) -> None:
    if contender.name == "torch-compile":
        pytest.skip("compiles C++ for a minute; its runner is tested with another backend")
    x = np.random.default_rng(1).standard_normal((3, 64)).astype(np.float32)
    reference = CONTENDERS[0].load(network.graph, 1).run({"x": x})["y"]
    try:
        runner = contender.load(contender.file(network, tmp_path, 1), 1)
    except (EngineMissingError, UnsupportedModelError) as error:
        told = str(error)
    else:
        told = ""
    if told:
        assert contender.cases or any(
            words in told for words in ("yet", "make bench-peers", "needs CUDA")
        )
        return
    (got,) = runner.run({"x": x}).values()
    error = np.abs(got - reference).max() / np.abs(reference).max()
    assert error < LIMITS[contender.precision]


def test_dense_engines_leave_out_what_has_no_dense_file(network: Network, tmp_path: Path) -> None:
    wide = Network(network.graph, None, network.source)
    reasons = {}
    for contender in CONTENDERS:
        try:
            contender.file(wide, tmp_path, 1)
        except (UnsupportedModelError, EngineMissingError) as error:
            reasons[contender.name] = str(error)
    without = {name for name, reason in reasons.items() if "8 GB" in reason}
    assert {"ort", "ort-cuda", "ort-int8", "portable", "openvino", "torch", "deepsparse"} <= without
    assert not without & {"nfcompile", "scipy", "torch-csr", "graphblas"}


def test_files_are_made_once(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = next(item for item in CONTENDERS if item.name == "nfcompile")
    first = ours.file(network, tmp_path, 1)
    monkeypatch.setattr(module, "compile_network", None)
    assert ours.file(network, tmp_path, 1) == first
