"""The demo's claims hold: what it trains classifies, and what it compares is the same function."""

import numpy as np
import pytest
import torch
from torch import nn

from nfcompile import demo
from nfcompile.data import load
from nfcompile.demo_picture import Timing, draw
from nfcompile.models.cascade_mlp import cascade_mlp
from nfcompile.study.training import standardize
from nfcompile.topology import ParallelButterfly


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def test_the_butterfly_classifier_learns_to_read_digits(digits):
    module = demo.train_digits(digits, epochs=8)
    with torch.no_grad():
        assert demo.accuracy(digits, module(standardize(digits)[1]).numpy()) > 0.94


def test_accuracy_is_the_share_of_right_labels(digits):
    scores = np.eye(10)[digits.test_y]
    assert demo.accuracy(digits, scores) == 1.0
    assert demo.accuracy(digits, -scores) == 0.0


@pytest.mark.parametrize("skip", [True, False])
def test_the_dense_twin_is_the_same_function(skip):
    topology = ParallelButterfly(64, 4, 2, skip=skip)
    module = cascade_mlp(40, 10, depth=2, topology=topology, seed=0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    twin = demo.dense_twin(module)
    assert [type(layer).__name__ for layer in twin] == [
        "Spread",
        *("Linear", "ReLU") * 2,
        "Linear",
    ]
    x = torch.randn(5, 40)
    torch.testing.assert_close(twin(x), module(x), rtol=1e-4, atol=1e-4)


def test_the_picture_is_written(tmp_path):
    timings = [Timing("a", batch, 100.0 * batch, 20.0 * batch) for batch in (1, 64)]
    timings += [Timing("b", batch, 100.0, 20.0) for batch in (1, 64)]
    path = draw(ParallelButterfly(16, 4, 2), timings, tmp_path / "picture.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_compiled_classifier_is_as_accurate_as_the_trained_one(tmp_path, capsys):
    assert demo.main(["--out", str(tmp_path), "--digits-only", "--epochs", "3"]) == 0
    assert (tmp_path / "digits.onnx").stat().st_size > 1000
    line = next(x for x in capsys.readouterr().out.splitlines() if "test accuracy" in x)
    in_torch, in_onnx = (word.strip(",") for word in line.split() if "%" in word)
    assert in_torch == in_onnx
