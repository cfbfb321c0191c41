"""Sparse constants of ONNX are read as ONNX Runtime reads them, and weights stay sparse."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import model_proto, unstructured

import nfcompile
from nfcompile.compiler import Compiled
from nfcompile.errors import UnsupportedModelError
from nfcompile.frontend.onnx_file import from_onnx_model, read_model
from nfcompile.ir.encoded_tensor import EncodedTensor

RNG = np.random.default_rng(0)
N = 256
W = unstructured(RNG, (N, N), 0.05)
X = RNG.standard_normal((3, N)).astype(np.float32)
MATMUL = f"agraph (float[b,{N}] x) => (float[b,{N}] y) {{ y = MatMul(x, w) }}"


def sparse(name: str, array: np.ndarray, *, tuples: bool = False) -> onnx.SparseTensorProto:
    at = np.flatnonzero(array.reshape(-1))
    indices = np.stack(np.unravel_index(at, array.shape), axis=1) if tuples else at
    return helper.make_sparse_tensor(
        numpy_helper.from_array(array.reshape(-1)[at], name),
        numpy_helper.from_array(indices.astype(np.int64), f"{name}.indices"),
        array.shape,
    )


def with_initializer(text: str, array: np.ndarray = W, **options: Any) -> onnx.ModelProto:
    proto = model_proto(text)
    proto.graph.sparse_initializer.append(sparse("w", array, **options))
    return proto


def with_constant() -> onnx.ModelProto:
    proto = model_proto(MATMUL)
    node = helper.make_node("Constant", [], ["w"], sparse_value=sparse("", W))
    proto.graph.node.insert(0, node)
    return proto


def in_a_branch() -> onnx.ModelProto:
    text = f"b () => (float[b,{N}] p) {{ p = MatMul(x, w) }}"
    branch = onnx.parser.parse_graph(text)
    branch.sparse_initializer.append(sparse("w", W))
    proto = model_proto(
        f"agraph (float[b,{N}] x, bool c) => (float[b,{N}] y) {{"
        f" y = If(c) <then_branch = t () => (float[b,{N}] q) {{ q = Neg(x) }}> }}"
    )
    proto.graph.node[0].attribute.append(helper.make_attribute("else_branch", branch))
    return proto


def in_a_function() -> onnx.ModelProto:
    proto = model_proto(f"agraph (float[b,{N}] x) => (float[b,{N}] y) {{ y = local.Layer(x) }}")
    constant = helper.make_node("Constant", [], ["k"], sparse_value=sparse("", W))
    product = helper.make_node("MatMul", ["a", "k"], ["b"])
    imports = [helper.make_opsetid("", 18)]
    proto.functions.append(
        helper.make_function("local", "Layer", ["a"], ["b"], [constant, product], imports)
    )
    proto.opset_import.append(helper.make_opsetid("local", 1))
    return proto


def compile_file(proto: onnx.ModelProto, folder: Path) -> Compiled:
    """Compiles a file and checks the result against ONNX Runtime on the file itself."""
    path, out = folder / "m.onnx", folder / "out.onnx"
    path.write_bytes(proto.SerializeToString())
    compiled = nfcompile.compile(path)
    compiled.save(out)
    inputs = {"x": X, "c": np.array(False)}
    sessions = [nfcompile.session(item) for item in (path, out)]
    taken = {item.name: inputs[item.name] for item in sessions[0].get_inputs()}
    expected, got = (session.run(None, taken)[0] for session in sessions)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    return compiled


@pytest.mark.parametrize(
    "proto",
    [
        with_initializer(MATMUL),
        with_initializer(MATMUL, tuples=True),
        with_initializer(MATMUL.replace("MatMul", "Gemm<transB=1>")),
        with_initializer(MATMUL.replace("y =", "v = Transpose(w)\n y =").replace("x, w", "x, v")),
        with_constant(),
        in_a_branch(),
    ],
    ids=["linear", "tuples", "gemm", "transpose", "constant", "branch"],
)
def test_the_weight_of_a_layer_runs_sparse(proto: onnx.ModelProto, tmp_path: Path) -> None:
    compiled = compile_file(proto, tmp_path)
    assert [item.encoding for item in compiled.decisions] == ["csr"]
    assert compiled.decisions[0].density == pytest.approx(0.05, rel=0.1)


def test_a_weight_is_read_as_its_non_zeros(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(with_initializer(MATMUL).SerializeToString())
    read = read_model(tmp_path / "m.onnx")
    weight = read.graph.initializers["w"].const_value
    assert isinstance(weight, EncodedTensor) and weight.encoding.stored == np.count_nonzero(W)
    np.testing.assert_array_equal(weight.numpy(), W)


def test_a_function_with_a_sparse_constant_gives_the_same(tmp_path: Path) -> None:
    compile_file(in_a_function(), tmp_path)


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.float16, np.float64, np.bool_])
def test_other_types_are_what_onnx_runtime_makes_of_them(dtype: type, tmp_path: Path) -> None:
    text = f"agraph (float[b,{N}] x) => (float[b,{N}] y) {{ z = Cast<to=1>(w)\n y = Mul(x, z) }}"
    compile_file(with_initializer(text, (W[:1] * 10).astype(dtype)), tmp_path)


def test_three_dimensions_are_read_in_both_forms() -> None:
    array = RNG.integers(0, 2, (3, 4, 5)).astype(np.float32)
    for tuples in (False, True):
        proto = with_initializer(MATMUL, array, tuples=tuples)
        read = from_onnx_model(proto).model.graph.initializers["w"].const_value
        assert read is not None
        np.testing.assert_array_equal(read.numpy(), array)


@pytest.mark.parametrize(
    "body",
    [
        "h = MatMul(x, w)\n y = Gemm<transB=1>(h, w)",
        "h = MatMul(x, w)\n y = Add(h, w)",
    ],
    ids=["both ways around", "added"],
)
def test_a_constant_that_is_no_mere_weight_becomes_dense(body: str, tmp_path: Path) -> None:
    text = f"agraph (float[{N},{N}] x) => (float[{N},{N}] y) {{ {body} }}"
    proto = with_initializer(text)
    read = from_onnx_model(proto).model.graph.initializers["w"].const_value
    assert isinstance(read, ir.Tensor)
    assert nfcompile.compile(proto).report.passed


def test_an_initializer_that_is_also_an_input_is_no_constant() -> None:
    text = MATMUL.replace("x)", f"x, float[{N},{N}] w)", 1)
    value = from_onnx_model(with_initializer(text)).model.graph.initializers["w"]
    assert value.is_graph_input() and isinstance(value.const_value, ir.Tensor)


def test_the_model_of_the_caller_is_not_changed() -> None:
    proto = with_constant()
    before = proto.SerializeToString()
    assert nfcompile.compile(proto).decisions[0].encoding == "csr"
    assert proto.SerializeToString() == before


def test_values_in_external_data_are_read_from_the_folder_only(tmp_path: Path) -> None:
    proto = with_initializer(MATMUL)
    values = proto.graph.sparse_initializer[0].values
    (tmp_path / "w.bin").write_bytes(values.raw_data)
    values.ClearField("raw_data")
    values.data_location = TensorProto.EXTERNAL
    entry = values.external_data.add(key="location", value="w.bin")
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    weight = read_model(tmp_path / "m.onnx").graph.initializers["w"].const_value
    assert weight is not None
    np.testing.assert_array_equal(weight.numpy(), W)
    entry.value = "/etc/passwd"
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(UnsupportedModelError, match="must lie in the model's folder"):
        read_model(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("indices", "values", "dims", "words"),
    [
        ([N * N], [1.0], [N, N], r"indices must be within the dimensions \[256, 256\]"),
        ([-1], [1.0], [N, N], "indices must be within"),
        ([[0, N]], [1.0], [N, N], "indices must be within"),
        ([3, 3], [1.0, 2.0], [N, N], "indices must be distinct"),
        ([[1, 2], [1, 2]], [1.0, 2.0], [N, N], "indices must be distinct"),
        ([1, 2, 3], [1.0], [N, N], r"of shape \[1\] or \[1, 2\], got int64 \[3\]"),
        ([0], [[1.0]], [N, N], "values must have 1 dimension, got 2"),
        ([0], [1.0], [N, -N], "dimensions must be at least 0"),
        ([0], [1.0], [1 << 40, 1 << 40], "of a size below"),
        ([0], [1], [1 << 20, 1 << 20], "w would take 8192 GiB dense"),
    ],
)
def test_malformed_constants_are_refused_in_one_line(
    indices: Any, values: Any, dims: list[int], words: str
) -> None:
    dtype = np.float32 if isinstance(np.ravel(values)[0], float) else np.int64
    item = onnx.SparseTensorProto(dims=dims)
    item.values.CopyFrom(numpy_helper.from_array(np.array(values, dtype), "w"))
    item.indices.CopyFrom(numpy_helper.from_array(np.array(indices, np.int64)))
    proto = model_proto(MATMUL)
    proto.graph.sparse_initializer.append(item)
    with pytest.raises(UnsupportedModelError, match=words) as caught:
        from_onnx_model(proto)
    assert "sparse constant w" in str(caught.value) and "\n" not in str(caught.value)


def test_truncated_values_are_refused_in_one_line() -> None:
    proto = with_initializer(MATMUL)
    values = proto.graph.sparse_initializer[0].values
    values.raw_data = values.raw_data[:-2]
    with pytest.raises(UnsupportedModelError, match="sparse constant w cannot be read"):
        from_onnx_model(proto)


def test_a_sparse_attribute_elsewhere_is_refused_by_name() -> None:
    proto = model_proto(MATMUL, w=W)
    proto.graph.node[0].attribute.append(helper.make_attribute("extra", sparse("", W)))
    with pytest.raises(UnsupportedModelError, match="attribute extra of MatMul is a sparse tensor"):
        from_onnx_model(proto)


@pytest.mark.parametrize("operator", ["MatMul", "Gemm<transB=1>"])
def test_a_weight_lies_the_way_its_layer_takes_it(operator: str) -> None:
    proto = with_initializer(MATMUL.replace("MatMul", operator))
    compiled = nfcompile.compile(proto, passes="legalize-ort-cpu")
    assert compiled.report.passed
    assert compiled.after.op_types == {"nfcompile.CsrMatMul": 1}


@pytest.mark.parametrize("tuples", [False, True])
def test_sparse_results_of_branches_become_dense(tuples: bool) -> None:
    # From a file ONNX Runtime does not run it.
    branches = {}
    for name, array in {"then_branch": W, "else_branch": W.T}.items():
        node = helper.make_node(
            "Constant", [], [name], sparse_value=sparse("", array, tuples=tuples)
        )
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, W.shape)
        branches[name] = helper.make_graph([node], name, [], [output])
    proto = model_proto(
        f"agraph (float[b,{N}] x, bool c) => (float[b,{N}] y) {{ k = If(c)\n y = MatMul(x, k) }}"
    )
    for name, branch in branches.items():
        proto.graph.node[0].attribute.append(helper.make_attribute(name, branch))
    before = proto.SerializeToString()
    assert nfcompile.compile(proto).report.passed
    read = from_onnx_model(proto).model.graph[0].attributes
    for name, array in {"then_branch": W, "else_branch": W.T}.items():
        constant = read[name].as_graph()[0].attributes["value"].as_tensor()
        np.testing.assert_array_equal(constant.numpy(), array)
    assert proto.SerializeToString() == before


def test_a_sparse_initializer_in_a_body_in_a_function_is_read() -> None:
    # From a file ONNX Runtime refuses it, so that nothing could be compared.
    inner = in_a_branch()
    body = helper.make_function(
        "local", "Layer", ["x", "c"], ["y"], list(inner.graph.node), [helper.make_opsetid("", 18)]
    )
    proto = model_proto(
        f"agraph (float[b,{N}] x, bool c) => (float[b,{N}] z) {{ z = local.Layer(x, c) }}"
    )
    proto.functions.append(body)
    proto.opset_import.append(helper.make_opsetid("local", 1))
    compiled = nfcompile.compile(proto)
    assert compiled.report.passed
    assert [item.encoding for item in compiled.decisions] == ["csr"]
