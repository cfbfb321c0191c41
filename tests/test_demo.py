"""The demo's claims hold: what it trains classifies, and what it compares is the same function."""

import numpy as np
import pytest
import torch

from nfcompile import demo
from nfcompile.data import load
from nfcompile.demo_picture import Timing, draw
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
