"""A graph of linear layers is read as steps that compute the same, however it is spelled."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from scipy.sparse import csr_array
from support import evaluate, model_proto, unstructured

from nfcompile.errors import UnsupportedModelError
from nfcompile.ir.protobuf import write_model
from nfcompile.models.chain import chain, feed_forward, unstructured_weight
from nfcompile.runtime.linear_graph import (
    Activate,
    LinearGraph,
    Multiply,
    Sum,
    read_linear_graph,
)
from nfcompile.runtime.scipy import ScipyEngine
from nfcompile.runtime.torch import TorchEngine

RNG = np.random.default_rng(0)
W0, W1 = (unstructured(RNG, (8, 8), 0.5) for _ in range(2))
B = RNG.standard_normal(8).astype(np.float32)

GRAPHS = {
    "gemm": "{ y = Gemm<transB=1, alpha=0.5, beta=2.0>(x, w0, b) }",
    "gemm, not transposed": "{ y = Gemm(x, w0, b) }",
    "product and bias": "{ a = MatMul(x, w0)  c = Add(b, a)  y = Relu(c) }",
    "two biases": "{ a = Gemm(x, w0, b)  y = Add(a, b) }",
    "branches and a skip": """{
        a = MatMul(x, w0)  c = MatMul(x, w1)  d = Add(a, c)  e = Add(d, x)  f = Add(e, b)
        y = Relu(f) }""",
    "a bias on a product that is read twice": """{
        a = MatMul(x, w0)  c = Add(a, b)  y = Add(a, c) }""",
    "a transposed constant": "{ t = Transpose(w0)  a = MatMul(x, t)  y = Tanh(a) }",
    "silu": "{ a = MatMul(x, w0)  s = Sigmoid(a)  y = Mul(a, s) }",
    "clip": "{ a = MatMul(x, w0)  y = Clip(a, low, high) }",
}


def save(path: Path, body: str) -> onnx.ModelProto:
    text = f"agraph (float[n,8] x) => (float[n,8] y) {body}"
    constants = {"w0": W0, "w1": W1, "b": B, "low": np.float32(0), "high": np.float32(0.5)}
    proto = model_proto(text, **{k: v for k, v in constants.items() if k in body})
    onnx.save(proto, path)
    return proto


@pytest.mark.parametrize("engine", [ScipyEngine(), TorchEngine(), TorchEngine("csr")])
@pytest.mark.parametrize("body", GRAPHS.values(), ids=GRAPHS)
def test_engines_compute_what_the_graph_says(
    engine: ScipyEngine | TorchEngine, body: str, tmp_path: Path
) -> None:
    proto = save(tmp_path / "m.onnx", body)
    x = RNG.standard_normal((3, 8)).astype(np.float32)
    before = x.copy()
    runner = engine.load(tmp_path / "m.onnx", 1)
    (expected,) = evaluate(proto, x=x)
    np.testing.assert_allclose(runner.run({"x": x})["y"], expected, rtol=1e-5, atol=1e-6)
    assert runner.timed({"x": x})() > 0
    np.testing.assert_array_equal(x, before)


def test_a_weight_by_its_non_zeros_stays_so(tmp_path: Path) -> None:
    write_model(chain([csr_array(W0), csr_array(W1)], clip=(0, 1)), tmp_path / "m.onnx")
    graph = read_linear_graph(tmp_path / "m.onnx")
    products = [step for step in graph.steps if isinstance(step, Multiply)]
    assert [isinstance(step.weight, csr_array) for step in products] == [True, True]
    np.testing.assert_array_equal(products[1].dense(), W1)
    np.testing.assert_array_equal(products[1].csr().toarray(), W1)


def test_gelu_is_one_step_between_tokens(tmp_path: Path) -> None:
    up, down = (unstructured_weight(shape, 0.5, 0) for shape in ((12, 8), (8, 12)))
    model = feed_forward(up, down, tokens=5)
    write_model(model, tmp_path / "m.onnx")
    graph = read_linear_graph(tmp_path / "m.onnx")
    names = [step.name if isinstance(step, Activate) else type(step) for step in graph.steps]
    assert names == [Multiply, "gelu", Multiply]
    x = RNG.standard_normal((2, 5, 8)).astype(np.float32)
    (expected,) = evaluate(model, x=x)
    for engine in (ScipyEngine(), TorchEngine(), TorchEngine("csr")):
        got = engine.load(tmp_path / "m.onnx", 1).run({"x": x})["y"]
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_a_value_is_freed_after_its_last_reader() -> None:
    steps = (Multiply("x", "a", W0), Multiply("a", "b", W0), Sum("a", "b", "c"), Sum("c", B, "y"))
    freed = LinearGraph("x", "y", steps).freed_after()
    assert [set(names) for names in freed] == [set(), set(), {"a", "b"}, {"c"}]


def test_what_is_no_linear_graph_is_told(tmp_path: Path) -> None:
    save(tmp_path / "m.onnx", "{ a = MatMul(x, w0)  y = Softmax(a) }")
    with pytest.raises(UnsupportedModelError, match="Softmax y is no layer, bias, sum"):
        read_linear_graph(tmp_path / "m.onnx")
    text = "agraph (float[n,8] x, float[n,8] z) => (float[n,8] y) { y = Add(x, z) }"
    onnx.save(model_proto(text), tmp_path / "two.onnx")
    with pytest.raises(UnsupportedModelError, match="one input and one output"):
        read_linear_graph(tmp_path / "two.onnx")
