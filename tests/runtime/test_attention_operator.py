"""MultiHeadAttention in the library against its reference semantics."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnxruntime as ort
import pytest
from onnx.reference import ReferenceEvaluator

from nfcompile import _native
from nfcompile.errors import UnsupportedModelError
from nfcompile.ir.reference import REFERENCE_OPS
from nfcompile.ir.schemas import DOMAIN, VERSION, register_schemas
from nfcompile.runtime.ort import OrtEngine

RNG = np.random.default_rng(0)
NAMES = ("Q", "K", "V", "bias")
SYMBOLIC: dict[str, list[Any]] = {
    "Q": ["b", "s", 36],
    "K": ["b", "t", 36],
    "V": ["b", "t", 60],
    "bias": ["b", 1, "s", "t"],
}


def attention_model(shapes: dict[str, list[Any]] = SYMBOLIC, **attributes: Any) -> onnx.ModelProto:
    names = [name for name in NAMES if name in shapes]
    attributes = {"heads": 3, **attributes}
    attributes = {name: value for name, value in attributes.items() if value is not None}
    node = onnx.helper.make_node(
        "MultiHeadAttention", names, ["Y"], name="mixer", domain=DOMAIN, **attributes
    )
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shapes[name])
        for name in names
    ]
    output = onnx.helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, None)
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid(DOMAIN, VERSION)]
    graph = onnx.helper.make_graph([node], "attention", infos, [output])
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)


def feeds(
    batch: int, queries: int, keys: int, bias: tuple[int, ...] | None
) -> dict[str, np.ndarray]:
    shapes = {"Q": (batch, queries, 36), "K": (batch, keys, 36), "V": (batch, keys, 60)}
    if bias is not None:
        shapes["bias"] = bias
    return {name: RNG.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("scale", [None, 0.5])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_it_is_the_same_in_the_library(
    scale: float | None, masked: bool, threads: int, tmp_path: Path
) -> None:
    shapes = SYMBOLIC if masked else {name: SYMBOLIC[name] for name in NAMES[:3]}
    model = attention_model(shapes, scale=scale)
    register_schemas()
    output = onnx.helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, ["b", "s", 60])
    model.graph.output[0].CopyFrom(output)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, tmp_path / "m.onnx")
    runner = OrtEngine().load(tmp_path / "m.onnx", threads=threads)
    reference = ReferenceEvaluator(model, new_ops=list(REFERENCE_OPS))
    for batch, queries, keys in (
        (1, 1, 5),
        (2, 9, 21),
        (8, 70, 90),
        (0, 3, 4),
        (2, 0, 3),
        (2, 3, 0),
    ):
        given = feeds(batch, queries, keys, (batch, 1, queries, keys) if masked else None)
        expected = reference.run(None, given)[0]
        got = runner.run(given)["Y"]
        assert got.shape == expected.shape == (batch, queries, 60)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "bias", [(1, 1, 1, 1), (1, 3, 9, 1), (2, 1, 1, 21), (1, 3, 9, 21)], ids=str
)
def test_a_bias_is_broadcast(bias: tuple[int, ...], tmp_path: Path) -> None:
    model = attention_model({**SYMBOLIC, "bias": list("wxyz")})
    onnx.save(model, tmp_path / "m.onnx")
    given = feeds(2, 9, 21, bias)
    expected = ReferenceEvaluator(model, new_ops=list(REFERENCE_OPS)).run(None, given)[0]
    got = OrtEngine().load(tmp_path / "m.onnx", threads=1).run(given)["Y"]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_query_that_sees_no_key_gives_zero_where_nan_is(precision: str, tmp_path: Path) -> None:
    model = attention_model(nan_is_zero=1, precision=precision)
    onnx.save(model, tmp_path / "m.onnx")
    given = feeds(2, 9, 21, (2, 1, 9, 21))
    given["bias"][1, :, 4] = -np.inf
    expected = ReferenceEvaluator(model, new_ops=list(REFERENCE_OPS)).run(None, given)[0]
    got = OrtEngine().load(tmp_path / "m.onnx", threads=1).run(given)["Y"]
    assert (got[1, 4] == 0).all()
    np.testing.assert_allclose(got, expected, atol=1e-5 if precision == "fp32" else 2e-2)


@pytest.mark.parametrize("masked", [False, True])
def test_the_library_infers_the_shape_of_the_output(masked: bool, tmp_path: Path) -> None:
    shapes = SYMBOLIC if masked else {name: SYMBOLIC[name] for name in NAMES[:3]}
    onnx.save(attention_model(shapes), tmp_path / "m.onnx")
    session = OrtEngine().load(tmp_path / "m.onnx", threads=1).session
    assert session.get_outputs()[0].shape == ["b", "s", 60]
    fixed = {name: [4, 7, *dims[2:]] for name, dims in SYMBOLIC.items() if name != "bias"}
    onnx.save(attention_model(fixed), tmp_path / "m.onnx")
    session = OrtEngine().load(tmp_path / "m.onnx", threads=1).session
    assert session.get_outputs()[0].shape == [4, 7, 60]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("apart", ["", "Q", "KV", "QKV"])
def test_heads_that_share_keys_lie_side_by_side_or_apart(
    apart: str, threads: int, tmp_path: Path
) -> None:
    tokens = {"Q": ["b", "s"], "K": ["b", "t"], "V": ["b", "t"]}
    heads, sizes = {"Q": 6, "K": 2, "V": 2}, {"Q": 12, "K": 12, "V": 20}
    shapes: dict[str, list[Any]] = {
        name: [dims[0], heads[name], dims[1], sizes[name]]
        if name in apart
        else [*dims, heads[name] * sizes[name]]
        for name, dims in tokens.items()
    }
    model = attention_model(shapes, heads=6)
    onnx.save(model, tmp_path / "m.onnx")
    known = {"b": 2, "s": 9, "t": 21}
    given = {
        name: RNG.standard_normal([known.get(dim, dim) for dim in dims]).astype(np.float32)
        for name, dims in shapes.items()
    }
    expected = ReferenceEvaluator(model, new_ops=list(REFERENCE_OPS)).run(None, given)[0]
    runner = OrtEngine().load(tmp_path / "m.onnx", threads=threads)
    assert runner.session.get_outputs()[0].shape == ["b", "s", 120]
    assert expected.shape == (2, 9, 120)
    np.testing.assert_allclose(runner.run(given)["Y"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 0}, "attribute heads must be at least 1, got 0"),
        ({"heads": None}, "attribute heads must be given"),
        ({"precision": "fp64"}, "attribute precision must be fp32 or bf16, got fp64"),
    ],
)
def test_a_malformed_node_is_refused_by_name(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    onnx.save(attention_model(**change), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError, match=f"MultiHeadAttention node 'mixer': {message}"):
        OrtEngine().load(tmp_path / "m.onnx", threads=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Q": (2, 9, 35)}, r"Q must have shape \[batch, tokens, heads \* size\] .* with 3 heads"),
        ({"Q": (9, 36)}, r"Q must have shape .*, got \[9, 36\]"),
        ({"K": (2, 20, 36)}, r"V must have .* K's tokens, 2 and 20, got shape \[2, 21, 60\]"),
        ({"V": (3, 21, 60)}, r"V must have Q's batch .* 2 and 21, got shape \[3, 21, 60\]"),
        ({"bias": (2, 1, 9, 20)}, r"bias must have shape \[2, 3, 9, 21\], .* \[2, 1, 9, 20\]"),
        ({"bias": (9, 21)}, r"bias must have shape .*, got \[9, 21\]"),
        ({"bias": ()}, r"bias must have shape .*, got \[\]"),
    ],
)
def test_operands_that_do_not_fit_are_refused_at_run_time(
    change: dict[str, tuple[int, ...]], message: str, tmp_path: Path
) -> None:
    given = feeds(2, 9, 21, (2, 1, 9, 21))
    for name, shape in change.items():
        given[name] = np.zeros(shape, np.float32)
    shapes: dict[str, list[Any]] = {
        name: [f"{name}{axis}" for axis in range(array.ndim)] for name, array in given.items()
    }
    onnx.save(attention_model(shapes), tmp_path / "m.onnx")
    runner = OrtEngine().load(tmp_path / "m.onnx", threads=1)
    with pytest.raises(UnsupportedModelError, match=f"'mixer': {message}") as error:
        runner.run(given)
    assert "\n" not in str(error.value)


def test_the_library_for_cuda_has_it_for_the_cpu() -> None:
    library = Path(_native.__file__).with_name("libnfcompile_ops_cuda.so")
    if not library.exists():
        pytest.skip("built without Triton")
    options = ort.SessionOptions()
    options.register_custom_ops_library(str(library))
    session = ort.InferenceSession(
        attention_model().SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = feeds(1, 2, 3, (1, 1, 2, 3))
    given["V"][:] = 2
    np.testing.assert_allclose(session.run(None, given)[0], np.full((1, 2, 60), 2), rtol=1e-6)
