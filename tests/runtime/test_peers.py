"""The peers that have an interpreter of their own, where they are set up, agree with ours."""

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from nfcompile.errors import EngineMissingError, UnsupportedModelError
from nfcompile.ir.protobuf import write_model
from nfcompile.models.chain import chain, unstructured_weight
from nfcompile.models.graph_challenge import layer_bias, radix_net_weight
from nfcompile.runtime.deepsparse import DeepSparseEngine
from nfcompile.runtime.graphblas import GraphBlasEngine
from nfcompile.runtime.ort import OrtEngine
from nfcompile.runtime.scipy import ScipyEngine
from nfcompile.runtime.worker import peers_python


@pytest.fixture
def peers() -> None:
    try:
        peers_python()
    except EngineMissingError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("peers")
def test_deepsparse_agrees_at_any_batch(tmp_path: Path) -> None:
    weights = [unstructured_weight((64, 64), 0.2, seed) for seed in range(2)]
    write_model(chain(weights, relu=True), tmp_path / "m.onnx")
    before = (tmp_path / "m.onnx").read_bytes()
    runner = DeepSparseEngine().load(tmp_path / "m.onnx", 1)
    right = OrtEngine().load(tmp_path / "m.onnx", 1)
    for batch in (1, 5):
        x = np.random.default_rng(0).standard_normal((batch, 64)).astype(np.float32)
        expected = right.run({"x": x})["y"]
        np.testing.assert_allclose(runner.run({"x": x})["y"], expected, rtol=1e-4, atol=1e-5)
    assert runner.timed({"x": x})() > 0
    assert (tmp_path / "m.onnx").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.usefixtures("peers")
def test_deepsparse_tells_what_it_cannot_load(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("no model")
    runner = DeepSparseEngine().load(tmp_path / "m.onnx", 1)
    with pytest.raises(UnsupportedModelError, match="DeepSparse fails at bind"):
        runner.run({"x": np.zeros((1, 4), np.float32)})


def challenge(path: Path, bias: float) -> Path:
    weights = [csr_array(radix_net_weight(64, layer).T) for layer in range(6)]
    write_model(chain(weights, bias=bias, clip=(0, 32)), path)
    return path


@pytest.mark.usefixtures("peers")
def test_graphblas_agrees_on_rows_that_live_and_rows_that_die(tmp_path: Path) -> None:
    path = challenge(tmp_path / "m.onnx", layer_bias(64))
    rng = np.random.default_rng(0)
    x = (rng.random((20, 64)) < np.linspace(0, 0.6, 20)[:, None]).astype(np.float32)
    expected = ScipyEngine().load(path, 1).run({"x": x})["y"]
    assert expected.any(axis=1).any() and not expected.any(axis=1).all()
    got = GraphBlasEngine().load(path, 1).run({"x": x})["y"]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.usefixtures("peers")
def test_graphblas_refuses_layers_whose_bias_would_wake_zeros(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="the Graph Challenge"):
        GraphBlasEngine().load(challenge(tmp_path / "m.onnx", 0.1), 1)
