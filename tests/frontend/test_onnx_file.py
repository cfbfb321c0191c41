"""Files that are not what they should be: one clear line each."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from support import evaluate, model_proto, unstructured

import nfcompile
from nfcompile.errors import InputError, UnsupportedModelError
from nfcompile.frontend.onnx_file import from_onnx_model, read_model

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


def in_a_branch() -> onnx.ModelProto:
    branch = onnx.parser.parse_graph("b () => (float[b,256] p) { p = MatMul(x, v) }")
    branch.initializer.append(onnx.numpy_helper.from_array(W, "v"))
    proto = model_proto(
        "agraph (float[b,256] x, bool c) => (float[b,256] y) {"
        " y = If(c) <then_branch = t () => (float[b,256] q) { q = Neg(x) }> }"
    )
    attribute = onnx.helper.make_attribute("else_branch", branch)
    proto.graph.node[0].attribute.append(attribute)
    return proto


def in_a_constant() -> onnx.ModelProto:
    proto = model_proto("agraph (float[b,256] x) => (float[b,256] y) { y = MatMul(x, k) }")
    constant = onnx.numpy_helper.from_array(W, "k")
    proto.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["k"], value=constant))
    return proto


def in_a_function() -> onnx.ModelProto:
    proto = model_proto("agraph (float[b,256] x) => (float[b,256] y) { y = local.Layer(x) }")
    constant = onnx.helper.make_node(
        "Constant", [], ["k"], value=onnx.numpy_helper.from_array(W, "k")
    )
    product = onnx.helper.make_node("MatMul", ["a", "k"], ["b"])
    imports = [onnx.helper.make_opsetid("", 18)]
    proto.functions.append(
        onnx.helper.make_function("local", "Layer", ["a"], ["b"], [constant, product], imports)
    )
    proto.opset_import.append(onnx.helper.make_opsetid("local", 1))
    return proto


def tensors_of(proto: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Its tensors outside the main graph's initializers."""
    nodes = [*proto.graph.node, *(node for item in proto.functions for node in item.node)]
    attributes = [attribute for node in nodes for attribute in node.attribute]
    constants = [item.t for item in attributes if item.type == onnx.AttributeProto.TENSOR]
    return [*constants, *(tensor for item in attributes for tensor in item.g.initializer)]


def stored_outside(proto: onnx.ModelProto, folder: Path, location: str) -> Path:
    """Saves a model with its one tensor, wherever it is, at `location`."""
    (tensor,) = tensors_of(proto)
    (folder / "weights.bin").write_bytes(tensor.raw_data)
    length = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", 0), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    path = folder / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


ELSEWHERE = pytest.mark.parametrize("make", [in_a_branch, in_a_constant, in_a_function])


@ELSEWHERE
def test_external_data_outside_the_main_graph_is_read_and_compiled(
    make: Callable[[], onnx.ModelProto], tmp_path: Path
) -> None:
    path = stored_outside(make(), tmp_path, "weights.bin")
    nfcompile.compile(path).save(tmp_path / "out.onnx")
    (tmp_path / "weights.bin").unlink()
    inputs = {"x": np.ones((2, 256), np.float32), "c": np.array(False)}
    session = nfcompile.session(tmp_path / "out.onnx")
    taken = {item.name: inputs[item.name] for item in session.get_inputs()}
    np.testing.assert_allclose(session.run(None, taken)[0], inputs["x"] @ W, rtol=1e-4, atol=1e-4)


@ELSEWHERE
@pytest.mark.parametrize("location", ["/etc/passwd", "../weights.bin"])
def test_external_data_outside_the_folder_is_refused_wherever_it_is_used(
    make: Callable[[], onnx.ModelProto], location: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedModelError, match="must lie in the model's folder"):
        read_model(stored_outside(make(), tmp_path, location))


def test_a_model_in_memory_whose_external_data_is_not_there_is_told(tmp_path: Path) -> None:
    stored_outside(in_a_constant(), tmp_path, "nowhere-to-be-found.bin")
    proto = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    with pytest.raises(UnsupportedModelError, match="external data of k is missing: no file"):
        from_onnx_model(proto)
