"""Files that are not what they should be: one clear line each."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support import evaluate, model_proto, unstructured

import nfcompile
from nfcompile.errors import InputError, UnsupportedModelError
from nfcompile.frontend.onnx_file import read_model

RNG = np.random.default_rng(0)
W = unstructured(RNG, (256, 256), 0.05)
BIAS = RNG.standard_normal(256).astype(np.float32)
TEXT = "agraph (float[b,256] x) => (float[b,256] y) { h = MatMul(x, w)\n y = Add(h, bias) }"


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """A model with all its tensors in external data."""
    path = tmp_path / "m.onnx"
    onnx.save(
        model_proto(TEXT, w=W, bias=BIAS),
        path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    return path


def relocate(path: Path, location: str) -> None:
    proto = onnx.load(path, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(proto.SerializeToString())


def test_external_data_is_read_and_the_compiled_file_stands_alone(
    external: Path, tmp_path: Path
) -> None:
    nfcompile.compile(external).save(tmp_path / "out.onnx")
    assert nfcompile.verify(external, tmp_path / "out.onnx").passed
    (tmp_path / "weights.bin").unlink()
    x = np.ones((1, 256), np.float32)
    got = nfcompile.session(tmp_path / "out.onnx").run(None, {"x": x})[0]
    expected = evaluate(model_proto(TEXT, w=W, bias=BIAS), x=x)[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: (p.parent / "weights.bin").unlink(), "external data of w is missing: no file"),
        (
            lambda p: relocate(p, "../weights.bin"),
            "external data of w must lie in the model's folder",
        ),
        (lambda p: relocate(p, "/etc/passwd"), "external data of w must lie in the model's folder"),
        (
            lambda p: (p.parent / "weights.bin").write_bytes(b"short"),
            "external data of w is truncated",
        ),
    ],
    ids=["missing", "outside", "absolute", "truncated"],
)
def test_bad_external_data_is_told(external: Path, spoil: object, words: str) -> None:
    spoil(external)  # type: ignore[operator]
    with pytest.raises(UnsupportedModelError, match=words):
        read_model(external)


def test_a_link_that_leads_outside_is_refused(
    external: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "weights.bin"
    data = external.parent / "weights.bin"
    data.rename(elsewhere)
    data.symlink_to(elsewhere)
    with pytest.raises(UnsupportedModelError, match="must lie in the model's folder"):
        read_model(external)


def test_missing_files_and_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_model(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="not a file"):
        read_model(tmp_path)


def test_a_model_without_graph_is_told(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx.ModelProto(ir_version=9).SerializeToString())
    with pytest.raises(UnsupportedModelError, match="is not an ONNX model: it has no graph"):
        read_model(path)


def test_a_sparse_initializer_is_refused_by_name_instead_of_lost(tmp_path: Path) -> None:
    proto = model_proto(TEXT, w=W, bias=BIAS)
    values = onnx.helper.make_tensor("sparse_w", onnx.TensorProto.FLOAT, [1], [1.0])
    indices = onnx.helper.make_tensor("i", onnx.TensorProto.INT64, [1], [0])
    proto.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, indices, [4]))
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError, match="sparse_initializer sparse_w"):
        read_model(tmp_path / "m.onnx")
