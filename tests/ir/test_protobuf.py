"""Reading and writing models without holding their weights."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from support import evaluate, model, model_proto, run_passes, unstructured

from nfcompile.errors import UnsupportedModelError
from nfcompile.frontend.onnx_file import read_model
from nfcompile.ir import protobuf

TEXT = "agraph (float[b,512] x) => (float[b,256] y) { h = MatMul(x, w)\n y = Add(h, bias) }"
RNG = np.random.default_rng(0)
W = unstructured(RNG, (512, 256), 0.5)
BIAS = RNG.standard_normal(256).astype(np.float32)
X = RNG.standard_normal((2, 512)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(model_proto(TEXT, w=W, bias=BIAS), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_large_weights_stay_in_the_file_and_read_back_the_same(path: Path) -> None:
    read = read_model(path)
    weight = read.graph.initializers["w"].const_value
    assert isinstance(weight, ir.ExternalTensor)
    np.testing.assert_array_equal(weight.numpy(), W)
    np.testing.assert_array_equal(read.graph.initializers["bias"].const_value.numpy(), BIAS)


def test_a_written_model_is_one_message_that_onnx_reads(tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    protobuf.write_model(model(TEXT, w=W, bias=BIAS), target)
    read = onnx.load(target)
    onnx.checker.check_model(read, full_check=True)
    np.testing.assert_array_equal(
        evaluate(read, x=X)[0], evaluate(model(TEXT, w=W, bias=BIAS), x=X)[0]
    )
    # Some readers take the last of several graph fields instead of merging them.
    assert _top_level_fields(target.read_bytes()).count(7) == 1


def test_a_dense_head_that_is_tied_to_an_embedding_in_the_file_is_written_twice(
    tmp_path: Path,
) -> None:
    text = (
        "agraph (int64[b] i) => (float[b,512] y)"
        " { e = Gather(w, i)\n t = Transpose<perm=[1,0]>(w)\n y = MatMul(e, t) }"
    )
    dense = RNG.standard_normal((512, 256)).astype(np.float32)
    path = tmp_path / "tied.onnx"
    onnx.save(model_proto(text, w=dense), path)
    source = read_model(path)
    run_passes(source, "fold-masks")  # a view of what is mapped from the file
    protobuf.write_model(source, tmp_path / "out.onnx")
    read, i = onnx.load(tmp_path / "out.onnx"), np.array([5, 0])
    assert len(read.graph.initializer) == 2
    np.testing.assert_allclose(evaluate(read, i=i)[0], dense[i] @ dense.T, rtol=1e-4, atol=1e-4)


def test_a_model_read_and_written_again_holds_the_same_tensors(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.onnx"
    protobuf.write_model(read_model(path), target)
    first, second = onnx.load(path), onnx.load(target)
    for one, other in zip(first.graph.node, second.graph.node, strict=True):
        assert (one.op_type, one.input, one.output) == (other.op_type, other.input, other.output)
    assert len(first.graph.initializer) == len(second.graph.initializer)
    for tensor in second.graph.initializer:
        expected = next(item for item in first.graph.initializer if item.name == tensor.name)
        np.testing.assert_array_equal(
            onnx.numpy_helper.to_array(tensor), onnx.numpy_helper.to_array(expected)
        )


def test_models_over_the_limit_get_external_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protobuf, "MAX_PROTOBUF_BYTES", 1000)
    target = tmp_path / "big.onnx"
    protobuf.write_model(model(TEXT, w=W, bias=BIAS), target)
    assert (tmp_path / "big.onnx.data").stat().st_size >= W.nbytes
    weight = read_model(target).graph.initializers["w"].const_value
    np.testing.assert_array_equal(weight.numpy(), W)


def test_weights_stored_as_float_data_are_read(tmp_path: Path) -> None:
    proto = model_proto(TEXT, bias=BIAS)
    proto.graph.initializer.append(
        onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, W.shape, W.reshape(-1))
    )
    onnx.save(proto, tmp_path / "m.onnx")
    read = read_model(tmp_path / "m.onnx")
    np.testing.assert_array_equal(read.graph.initializers["w"].const_value.numpy(), W)


@pytest.mark.parametrize("keep", [0, 1, 7, 100, 5000, -1])
def test_a_truncated_file_is_told_as_such(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UnsupportedModelError, match=r"m\.onnx (is empty|is not an ONNX model)"):
        read_model(path)


@pytest.mark.parametrize("content", [b"hello, this is no model", b"\x00" * 64, b"PK\x03\x04" * 9])
def test_something_else_is_told_as_such(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UnsupportedModelError, match="is not an ONNX model"):
        read_model(path)


def _top_level_fields(data: bytes) -> list[int]:
    fields, at = [], 0

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at

    while at < len(data):
        tag, at = varint(at)
        length, at = varint(at)
        fields.append(tag >> 3)
        if tag & 7 == 2:
            at += length
    return fields
