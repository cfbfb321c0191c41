"""What we have no opinion about stays as it is, and the layers around and inside it run sparse."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from backend_cases import FORCED
from onnx import TensorProto, helper, numpy_helper
from support import model_proto, said, unstructured

import nfcompile
from nfcompile.compare import Tolerance, compare
from nfcompile.compiler import Compiled
from nfcompile.errors import UnsupportedModelError
from nfcompile.runtime.ort import OrtEngine

N = 64
RNG = np.random.default_rng(0)
W, V = (unstructured(RNG, (N, N), 0.1) for _ in range(2))
X = RNG.standard_normal((3, N)).astype(np.float32)
ROWS = f"float[b,{N}]"


def body(text: str, **constants: np.ndarray) -> onnx.GraphProto:
    graph = onnx.parser.parse_graph(text)
    graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    return graph


def with_bodies(proto: onnx.ModelProto, **bodies: onnx.GraphProto) -> onnx.ModelProto:
    """`proto` with these bodies in its last node."""
    attributes = [helper.make_attribute(name, graph) for name, graph in bodies.items()]
    proto.graph.node[-1].attribute.extend(attributes)
    return proto


def operators(graph: onnx.GraphProto) -> Iterator[str]:
    """Operators of a graph and its bodies."""
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            yield from operators(attribute.g)


def compile_and_compare(
    proto: onnx.ModelProto, folder: Path, *feeds: dict[str, Any], passes: str = FORCED
) -> tuple[Compiled, list[str]]:
    """Compiles, compares with the original on each of `feeds`, and gives the operators."""
    original, made = folder / "original.onnx", folder / "compiled.onnx"
    onnx.save(proto, original)
    compiled = nfcompile.compile(original, feeds[0], threads=1, passes=passes)
    compiled.save(made)
    runs = [
        [OrtEngine().load(path, threads=1).run(feed) for feed in feeds] for path in (original, made)
    ]
    assert compare(*runs, Tolerance()).passed
    return compiled, list(operators(onnx.load(made).graph))


@pytest.fixture
def branches() -> onnx.ModelProto:
    """One branch reads a weight from around it, the other has one of its own too."""
    proto = model_proto(
        f"agraph ({ROWS} x, bool c) => ({ROWS} y) {{ h = Relu(x)\n y = If(c) }}", w=W
    )
    return with_bodies(
        proto,
        then_branch=body(f"t () => ({ROWS} q) {{ k = MatMul(h, w)\n q = Relu(k) }}"),
        else_branch=body(
            f"e () => ({ROWS} r) {{ m = MatMul(h, v)\n n = Tanh(m)\n r = MatMul(n, w) }}", v=V
        ),
    )


def test_layers_in_branches_run_sparse(branches: onnx.ModelProto, tmp_path: Path) -> None:
    feeds = [{"x": X, "c": np.array(taken)} for taken in (True, False)]
    _, found = compile_and_compare(branches, tmp_path, *feeds)
    assert sorted(found) == ["CsrMatMul", "If", "Relu", "SparseChain"]


def test_a_loop_carries_through_a_sparse_layer(tmp_path: Path) -> None:
    proto = model_proto(
        f"agraph ({ROWS} x, int64 n, bool c) => ({ROWS} y, float[k,b,{N}] s)"
        " { y, s = Loop(n, c, x) }",
        w=W,
    )
    step = body(
        f"b (int64 i, bool ci, {ROWS} a) => (bool co, {ROWS} o, {ROWS} sc)"
        " { co = Identity(ci)\n t = MatMul(a, w)\n o = Tanh(t)\n sc = Identity(o) }"
    )
    feeds = {"x": X, "n": np.array(3), "c": np.array(True)}
    _, found = compile_and_compare(with_bodies(proto, body=step), tmp_path, feeds)
    assert found.count("CsrMatMul") == 1 and "MatMul" not in found


def test_a_scan_with_a_weight_of_its_own_runs_sparse(tmp_path: Path) -> None:
    proto = model_proto(
        f"agraph (float[l,{N}] x, float[{N}] s) => (float[{N}] y, float[l,{N}] t)"
        " { y, t = Scan<num_scan_inputs = 1>(s, x) }"
    )
    step = body(
        f"b (float[{N}] a, float[{N}] i) => (float[{N}] o, float[{N}] sc) {{ u = Unsqueeze(i, ax)\n"
        " t = Gemm<transB = 1>(u, v)\n r = Squeeze(t, ax)\n o = Add(a, r)\n sc = Identity(o) }",
        v=W,
        ax=np.array([0]),
    )
    _, found = compile_and_compare(
        with_bodies(proto, body=step), tmp_path, {"x": X, "s": np.zeros(N, np.float32)}
    )
    assert found.count("CsrMatMul") == 1


def test_a_branch_in_a_loop_reads_weights_from_two_levels_out(tmp_path: Path) -> None:
    proto = model_proto(
        f"agraph ({ROWS} x, int64 n, bool c) => ({ROWS} y) {{ y = Loop(n, c, x) }}", w=W
    )
    step = body(
        f"b (int64 i, bool ci, {ROWS} a) => (bool co, {ROWS} o) {{ co = Identity(ci)\n o = If(c) }}"
    )
    inner = {
        "then_branch": body(f"t () => ({ROWS} q) {{ q = MatMul(a, w) }}"),
        "else_branch": body(f"e () => ({ROWS} r) {{ r = MatMul(a, v) }}", v=V),
    }
    step.node[-1].attribute.extend(helper.make_attribute(k, g) for k, g in inner.items())
    feeds = [{"x": X, "n": np.array(2), "c": np.array(c)} for c in (True, False)]
    _, found = compile_and_compare(with_bodies(proto, body=step), tmp_path, *feeds)
    assert found.count("CsrMatMul") == 2


def test_a_branch_that_gives_an_outer_value_keeps_its_identity(tmp_path: Path) -> None:
    proto = model_proto(
        f"agraph ({ROWS} x, bool c) => ({ROWS} y) {{ h = MatMul(x, w)\n y = If(c) }}", w=W
    )
    with_bodies(
        proto,
        then_branch=body(f"t () => ({ROWS} q) {{ q = Identity(h) }}"),
        else_branch=body(f"e () => ({ROWS} r) {{ r = Neg(h) }}"),
    )
    feeds = [{"x": X, "c": np.array(taken)} for taken in (True, False)]
    _, found = compile_and_compare(proto, tmp_path, *feeds)
    assert found == ["CsrMatMul", "If", "Identity", "Neg"]


def test_sequences_go_in_through_and_out(tmp_path: Path) -> None:
    text = (
        f"agraph (seq(float[m,{N}]) s) => ({ROWS} y, seq(float[k,{N}]) t)"
        " { c = ConcatFromSequence<axis = 0>(s)\n h = MatMul(c, w)\n"
        " t = SplitToSequence<axis = 0>(h)\n d = ConcatFromSequence<axis = 0>(t)\n"
        " y = MatMul(d, v) }"
    )
    _, found = compile_and_compare(model_proto(text, w=W, v=V), tmp_path, {"s": [X, X[:1]]})
    assert found.count("CsrMatMul") == 2


def test_strings_go_in_and_out(tmp_path: Path) -> None:
    text = (
        f"agraph (string[b] s) => ({ROWS} y, string[b] u) {{ i = ai.onnx.ml.LabelEncoder"
        '<keys_strings = ["a", "b"], values_int64s = [0, 1]>(s)\n u = Identity(s)\n'
        " e = Gather(table, i)\n y = MatMul(e, w) }"
    )
    proto = model_proto(text, w=W, table=X)
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    words = np.array(["a", "b", "a"], object)
    _, found = compile_and_compare(proto, tmp_path, {"s": words})
    assert "CsrMatMul" in found


def test_maps_go_out_with_their_type(tmp_path: Path) -> None:
    proto = model_proto(f"agraph ({ROWS} x) => (float z) {{ h = MatMul(x, w) }}", w=W)
    node = helper.make_node(
        "ZipMap", ["h"], ["z"], domain="ai.onnx.ml", classlabels_int64s=list(range(N))
    )
    proto.graph.node.append(node)
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    number = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.INT64, number))
    proto.graph.output[0].type.CopyFrom(maps)
    _, found = compile_and_compare(proto, tmp_path, {"x": X})
    assert found == ["CsrMatMul", "ZipMap"]
    assert onnx.load(tmp_path / "compiled.onnx").graph.output[0].type == maps


def test_a_sparse_constant_is_a_weight_like_any_other(tmp_path: Path) -> None:
    proto = model_proto(f"agraph ({ROWS} x) => ({ROWS} y) {{ y = MatMul(x, k) }}")
    values = numpy_helper.from_array(W[W != 0], "values")
    for indices in (np.flatnonzero(W), np.argwhere(W)):
        sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(indices), [N, N])
        one = onnx.ModelProto.FromString(proto.SerializeToString())
        one.graph.node.insert(0, helper.make_node("Constant", [], ["k"], sparse_value=sparse))
        before = one.SerializeToString()
        compiled = nfcompile.compile(one, {"x": X}, passes=FORCED)
        assert [item.encoding for item in compiled.decisions] == ["csr"]
        assert one.SerializeToString() == before


def test_quantized_layers_stay_quantized_and_others_run_sparse(tmp_path: Path) -> None:
    text = (
        f"agraph ({ROWS} x) => ({ROWS} y) {{ xq = QuantizeLinear(x, s, z)\n"
        " xd = DequantizeLinear(xq, s, z)\n wd = DequantizeLinear(wq, t, z)\n"
        " h = MatMul(xd, wd)\n hq = QuantizeLinear(h, t, z)\n hd = DequantizeLinear(hq, t, z)\n"
        " y = MatMul(hd, w) }"
    )
    constants = {"s": np.float32(0.03), "t": np.float32(0.05), "z": np.int8(0)}
    proto = model_proto(text, w=W, wq=np.round(V * 20).astype(np.int8), **constants)
    compiled, found = compile_and_compare(proto, tmp_path, {"x": X})
    assert found.count("CsrMatMul") == 1 and found.count("DequantizeLinear") == 3
    assert any("keeps it quantized" in line for line in said(compiled.model, "missed"))


def test_steps_that_onnx_runtimes_own_optimizations_move_are_told(tmp_path: Path) -> None:
    text = (
        f"agraph ({ROWS} x) => ({ROWS} y) {{ xq = QuantizeLinear(x, s, z)\n"
        " xd = DequantizeLinear(xq, s, z)\n wd = DequantizeLinear(wq, t, u)\n"
        " h = MatMul(xd, wd)\n hq = QuantizeLinear(h, t, z)\n y = DequantizeLinear(hq, t, z) }"
    )
    weight = np.round(unstructured(np.random.default_rng(0), (N, N), 0.5) * 20).astype(np.int8)
    scales = {"s": np.float32(0.031), "t": np.float32(0.05)}
    proto = model_proto(text, wq=weight, z=np.uint8(128), u=np.int8(0), **scales)
    x = np.random.default_rng(0).standard_normal((500, N)).astype(np.float32)
    compiled, _ = compile_and_compare(proto, tmp_path, {"x": x})
    told = "agrees with the original as ONNX Runtime optimizes it; those optimizations alone move"
    assert told in compiled.report.notes[-1]
    paths = tmp_path / "original.onnx", tmp_path / "compiled.onnx"
    report = nfcompile.verify(*paths, inputs={"x": x})
    assert report.passed
    assert told in report.notes[-1]
    proto.graph.initializer[0].raw_data = bytes(N * N)
    onnx.save(proto, paths[1])
    assert not nfcompile.verify(*paths, inputs={"x": x}).passed


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_layers_of_other_floats_stay_dense_and_say_why(dtype: Any, tmp_path: Path) -> None:
    name = "float16" if dtype == np.float16 else "double"
    rows = f"{name}[b,{N}]"
    text = (
        f"agraph ({rows} x) => ({rows} y) {{ h = MatMul(x, w)\n r = Relu(h)\n y = MatMul(r, v) }}"
    )
    proto = model_proto(text, w=W.astype(dtype), v=V.astype(dtype))
    compiled, found = compile_and_compare(proto, tmp_path, {"x": X.astype(dtype)})
    assert found == ["MatMul", "Relu", "MatMul"]
    kind = {"float16": "FLOAT16", "double": "DOUBLE"}[name]
    told = [f"weight {w} is {kind}, kernels take FLOAT" for w in "wv"]
    assert all(any(a in b for b in said(compiled.model, "missed")) for a in told)


def test_a_model_in_bfloat16_is_refused_in_our_words() -> None:
    rows = f"bfloat16[b,{N}]"
    proto = model_proto(f"agraph ({rows} x) => ({rows} y) {{ y = MatMul(x, w) }}")
    weight = helper.make_tensor("w", TensorProto.BFLOAT16, [N, N], W.flatten())
    proto.graph.initializer.append(weight)
    with pytest.raises(UnsupportedModelError, match="no MatMul for BFLOAT16 on the CPU: convert"):
        nfcompile.compile(proto)


@pytest.mark.parametrize("opset", [11, 12, 13, 17, 21, 23, onnx.defs.onnx_opset_version()])
def test_layers_run_sparse_in_every_opset(opset: int, tmp_path: Path) -> None:
    text = (
        f"agraph ({ROWS} x) => ({ROWS} y) {{ a = Gemm<transB = 1>(x, w, bias)\n r = Relu(a)\n"
        " m = MatMul(r, v)\n d = Add(m, bias)\n y = Sigmoid(d) }"
    )
    proto = model_proto(text, opset=opset, w=W, v=V, bias=X[0])
    _, found = compile_and_compare(proto, tmp_path, {"x": X})
    assert found == ["SparseChain"]


@pytest.mark.parametrize("opset", [7, 10])
def test_an_older_opset_is_left_as_it_is_with_a_note(opset: int, tmp_path: Path) -> None:
    text = f"agraph ({ROWS} x) => ({ROWS} y) {{ h = MatMul(x, w)\n y = Relu(h) }}"
    proto = model_proto(text, opset=opset, w=W)
    compiled, found = compile_and_compare(proto, tmp_path, {"x": X})
    assert found == ["MatMul", "Relu"]
    note = f"it uses opset {opset}, the oldest that passes know is 11"
    assert any(note in line for line in said(compiled.model, "note"))


def test_before_ir_version_4_initializers_are_constants(tmp_path: Path) -> None:
    text = f"agraph ({ROWS} x, float[{N},{N}] w) => ({ROWS} y) {{ y = MatMul(x, w) }}"
    proto = model_proto(text, opset=11, w=W)
    proto.ir_version = 3
    compiled, found = compile_and_compare(proto, tmp_path, {"x": X})
    assert found == ["CsrMatMul"]
    assert any("initializers are constants" in line for line in said(compiled.model, "note"))


def test_an_initializer_that_is_an_input_is_never_taken_for_a_constant(tmp_path: Path) -> None:
    text = (
        f"agraph ({ROWS} x, float[{N},{N}] w, float[{N}] bias, int64[2] shape) => ({ROWS} y)"
        " { t = Transpose<perm = [1, 0]>(w)\n h = MatMul(x, t)\n a = Add(h, bias)\n"
        " k = Reshape(a, shape)\n l = MatMul(k, v)\n y = Relu(l) }"
    )
    defaults = {"w": W, "bias": X[0], "shape": np.array([-1, N])}
    proto = model_proto(text, v=V, **defaults)
    others = {"w": V, "bias": X[1], "shape": np.array([3, N])}
    _, found = compile_and_compare(proto, tmp_path, {"x": X}, {"x": X, **others})
    assert found == ["Transpose", "MatMul", "Add", "Reshape", "CsrMatMul"]
    made = onnx.load(tmp_path / "compiled.onnx").graph
    assert [info.name for info in made.input] == ["x", *defaults]


def test_a_default_of_a_shape_does_not_tell_a_shape(tmp_path: Path) -> None:
    # The residual has the product's shape by default only.
    text = (
        f"agraph (float[3,{N}] x, float[{N}] r, int64[2] s) => (float[3,{N}] y)"
        " { h = MatMul(x, w)\n e = Expand(r, s)\n y = Add(h, e) }"
    )
    proto = model_proto(text, w=W, s=np.array([3, N]))
    feeds = {"x": X, "r": X[0]}
    _, found = compile_and_compare(proto, tmp_path, feeds, {**feeds, "s": np.array([1, N])})
    assert found == ["CsrMatMul", "Expand", "Add"]


def test_shared_and_equal_weights_give_what_they_gave(tmp_path: Path) -> None:
    text = (
        f"agraph ({ROWS} x) => ({ROWS} y, {ROWS} z) {{ a = MatMul(x, w)\n r = Relu(a)\n"
        " y = MatMul(r, w)\n t = MatMul(r, copy)\n u = Gemm<transB = 1>(t, w)\n z = Add(u, y) }"
    )
    compiled, found = compile_and_compare(model_proto(text, w=W, copy=W), tmp_path, {"x": X})
    assert [item.encoding for item in compiled.decisions] == ["csr"] * 4
    assert not {"MatMul", "Gemm"} & set(found)


def test_random_numbers_are_no_difference(tmp_path: Path) -> None:
    # Compiling takes nodes away, and ONNX Runtime seeds each by its place among them.
    text = (
        f"agraph ({ROWS} x) => ({ROWS} y) {{ h = MatMul(x, w)\n r = Relu(h)\n"
        " n = RandomNormalLike(r)\n s = Add(r, n)\n y = MatMul(s, v) }"
    )
    compiled = nfcompile.compile(model_proto(text, w=W, v=V), {"x": X}, passes=FORCED)
    assert compiled.report.passed
    assert {item.name for item in compiled.report.outputs} == {"y", "cut.n.operand0"}
