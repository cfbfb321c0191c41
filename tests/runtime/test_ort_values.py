"""Types that numpy has no name for go into ONNX Runtime and come back."""

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper
from support import model_proto

from nfcompile.errors import UnsupportedModelError
from nfcompile.runtime.ort import OrtEngine, OrtRunner

NARROW = ["bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz",
          "int4", "uint4"]  # fmt: skip


def loaded(proto: onnx.ModelProto, folder: Path) -> OrtRunner:
    onnx.save(proto, folder / "m.onnx")
    return OrtEngine().load(folder / "m.onnx", threads=1)


@pytest.mark.parametrize("name", NARROW)
def test_narrow_arrays_pass_unchanged(name: str, tmp_path: Path) -> None:
    array = np.array([1, 2, 3, 0, 1], getattr(ml_dtypes, name))  # an odd number of four bits
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    infos = [helper.make_tensor_value_info(item, kind, [5]) for item in "xy"]
    nodes = [
        helper.make_node("Cast", ["x"], ["wide"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Cast", ["wide"], ["y"], to=kind),
    ]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:])
    opsets = [helper.make_opsetid("", 21)]
    runner = loaded(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path)
    y = runner.run({"x": array})["y"]
    assert y.dtype == array.dtype
    np.testing.assert_array_equal(y.astype(np.float32), array.astype(np.float32))


def test_strings_and_floats_go_beside_narrow_outputs(tmp_path: Path) -> None:
    text = (
        "agraph (string[3] s, float[3] x) => (bfloat16[3] y, float[3] z)"
        " { y = Cast<to = 16>(s)\n z = Neg(x) }"
    )
    x = np.arange(3, dtype=np.float32)
    found = loaded(model_proto(text), tmp_path).run(
        {"s": np.array(["1", "2", "3"], object), "x": x}
    )
    np.testing.assert_array_equal(found["y"].astype(np.float32), [1, 2, 3])
    np.testing.assert_array_equal(found["z"], -x)


def test_sequences_are_lists_and_an_optional_without_a_value_is_none(tmp_path: Path) -> None:
    text = (
        "agraph (seq(float[n]) s, optional(float[n]) o) => (seq(float[n]) t, bool b)"
        " { t = Identity(s)\n b = OptionalHasElement(o) }"
    )
    runner = loaded(model_proto(text), tmp_path)
    x = [np.ones(2, np.float32), np.zeros(3, np.float32)]
    found = runner.run({"s": x, "o": None})
    assert [item.shape for item in found["t"]] == [(2,), (3,)]
    assert not found["b"]


def test_inputs_that_do_not_fit_are_described_in_one_line(tmp_path: Path) -> None:
    runner = loaded(model_proto("agraph (seq(float[n]) s) => (float[m] y)"
                                " { y = ConcatFromSequence<axis = 0>(s) }"), tmp_path)  # fmt: skip
    with pytest.raises(UnsupportedModelError, match=r"fails on inputs s of 2 items: [^\n]*$"):
        runner.run({"s": [np.ones(2, np.float32), np.ones((2, 2), np.float32)]})
