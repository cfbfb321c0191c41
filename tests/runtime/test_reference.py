"""Running the original: on which inputs, and what happens where it does not run."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from support import model_proto, unstructured

import nfcompile
from nfcompile.errors import UnsupportedModelError
from nfcompile.frontend.onnx_file import from_onnx_model
from nfcompile.runtime.reference import Reference

RNG = np.random.default_rng(0)
N = 256
SPARSE = unstructured(RNG, (N, N), 0.05)
WORDS = np.array(["a", "b"], dtype=object)
ENCODER = (
    "agraph (string[n] s, float[n,256] x) => (int64[n] k, float[n,256] y) {"
    " k = ai.onnx.ml.LabelEncoder<keys_strings=['a','b'], values_int64s=[1,2]>(s)\n"
    " y = MatMul(x, w) }"
)


class Module(torch.nn.Module):
    def __init__(self, forward: Any) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(16, 16)
        self.body = forward

    def forward(self, *args: torch.Tensor) -> Any:
        return self.body(self.layer, *args)


def encoder() -> onnx.ModelProto:
    text = ENCODER.replace("'", '"')
    proto = model_proto(text, w=SPARSE)
    proto.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    return proto


def test_a_model_with_string_inputs_is_verified_on_the_example_alone() -> None:
    example = {"s": WORDS, "x": np.ones((2, N), np.float32)}
    assert nfcompile.compile(encoder(), example).report.samples == 1


def test_a_model_with_string_inputs_and_no_example_asks_for_one() -> None:
    with pytest.raises(UnsupportedModelError, match="input s holds strings: give example inputs"):
        nfcompile.compile(encoder())


def test_an_input_of_unknown_rank_needs_only_an_example() -> None:
    proto = model_proto(
        "agraph (float[b,256] x) => (float[b,256] y) { y = MatMul(x, w) }", w=SPARSE
    )
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    x = RNG.standard_normal((3, N)).astype(np.float32)
    assert nfcompile.compile(proto, {"x": x}).report.samples == 1
    with pytest.raises(UnsupportedModelError, match=r"input x .* give example inputs"):
        nfcompile.compile(proto)


def test_random_numbers_join_an_example_of_floats_but_not_one_of_token_ids() -> None:
    text = "agraph (int64[b] i) => (float[b,256] y) { h = Gather(table, i)\n y = MatMul(h, w) }"
    table = RNG.standard_normal((40, N)).astype(np.float32)
    tokens = model_proto(text, w=SPARSE, table=table)
    assert nfcompile.compile(tokens, {"i": np.array([39, 3])}).report.samples == 1
    assert nfcompile.compile(tokens).report.samples == 3
    floats = model_proto(
        "agraph (float[b,256] x) => (float[b,256] y) { y = MatMul(x, w) }", w=SPARSE
    )
    assert nfcompile.compile(floats, {"x": np.ones((2, N), np.float32)}).report.samples == 3


def test_examples_are_used_for_models_that_are_cut() -> None:
    proto = model_proto(
        "agraph (int64[b] i) => (float[b,256] y) { h = Gather(table, i)\n k = MatMul(h, w)\n"
        " u = my.domain.Mystery(k)\n y = Add(u, k) }",
        w=SPARSE,
        table=RNG.standard_normal((40, N)).astype(np.float32),
    )
    proto.opset_import.append(onnx.helper.make_opsetid("my.domain", 1))
    report = nfcompile.compile(proto, {"i": np.array([39, 3, 5, 8])}).report
    assert (report.samples, {item.name for item in report.outputs}) == (1, {"y", "cut.u.operand0"})
    assert report.outputs[0].size == 4 * N


def test_sizes_that_a_module_refuses_are_left_out() -> None:
    def pairs(layer: Any, x: torch.Tensor) -> torch.Tensor:
        return layer(x).view(x.shape[0] // 2, 2, 16).sum(1)

    report = nfcompile.compile(Module(pairs), torch.randn(4, 16), samples=5).report
    assert report.passed
    assert report.samples == 3  # the example, and random ones of sizes 16 and 2 but not 3 and 1


def test_inputs_whose_batches_depend_on_each_other_are_verified_on_the_example() -> None:
    def double(layer: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return layer(x).repeat(2, 1) + y

    report = nfcompile.compile(Module(double), (torch.randn(3, 16), torch.randn(6, 16))).report
    assert report.passed


def test_a_reference_that_does_not_run_gives_its_error_and_not_a_traceback(
    tmp_path: Path,
) -> None:
    text = "agraph (float[b,256] x) => (float[b,256] y) { y = MatMul(x, w) }"
    reference = Reference(from_onnx_model(model_proto(text, w=SPARSE)), tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"fails on inputs x \[2, 3\]"):
        reference.run({"x": np.ones((2, 3), np.float32)})
    assert not reference.narrow()
