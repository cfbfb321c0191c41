"""The CPU suite's networks are what they are called."""

from pathlib import Path

import numpy as np
import pytest

from nfcompile.bench.suites import SUITES
from nfcompile.runtime.linear_graph import Multiply, read_linear_graph
from nfcompile.runtime.ort import OrtEngine
from nfcompile.runtime.scipy import ScipyEngine

pick_cases = SUITES["cpu"].pick_cases


def test_the_tall_layer_has_its_shape_and_density(tmp_path: Path) -> None:
    (case,) = pick_cases(["tall"])
    network = case.build(tmp_path)
    (step,) = read_linear_graph(network.graph).steps
    assert isinstance(step, Multiply)
    assert step.dense().shape == (10_000, 512)
    assert np.mean(step.dense() != 0) == pytest.approx(0.10, abs=0.005)
    assert case.inputs[""](7)["x"].shape == (7, 512)


def test_a_cascade_is_the_dense_product_of_its_factors(tmp_path: Path) -> None:
    (case,) = pick_cases(["cascade-1024"])
    network = case.build(tmp_path)
    assert network.dense is not None
    inputs = case.inputs[""](3)
    (factors,) = ScipyEngine().load(network.graph, 1).run(inputs).values()
    (product,) = OrtEngine().load(network.dense, 1).run(inputs).values()
    np.testing.assert_allclose(factors, product, rtol=1e-4, atol=1e-4)
    kinds = [type(step) for step in read_linear_graph(network.dense).steps]
    assert kinds.count(Multiply) == 3


def test_inputs_are_the_same_every_time() -> None:
    for case in pick_cases(["ffn", "graph-challenge-1024"]):
        for make in case.inputs.values():
            (first,), (second,) = make(7).values(), make(7).values()
            np.testing.assert_array_equal(first, second)
            assert len(first) == 7 and first.dtype == np.float32
