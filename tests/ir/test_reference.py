"""The operators' reference semantics against plain numpy."""

from typing import Any

import numpy as np
import onnx
import onnx.helper
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from support import blocky, butterfly_factor, unstructured

from nfcompile.ir.reference import REFERENCE_OPS, activate
from nfcompile.ir.schemas import ACTIVATIONS, DOMAIN, MATMULS, SCHEMAS, register_schemas
from nfcompile.sparse import BsrTensor, CsrTensor, Encoding, find_block_diagonal

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 5, 64)).astype(np.float32)
BIAS = RNG.standard_normal(64).astype(np.float32)
RESIDUAL = RNG.standard_normal((3, 5, 64)).astype(np.float32)


def encodings() -> list[Encoding]:
    made: list[Encoding] = [
        CsrTensor.from_dense(unstructured(RNG, (64, 64), 0.1)),
        BsrTensor.from_dense(blocky(RNG, (64, 64), 16, 0.3), (16, 16)),
    ]
    for weight in (butterfly_factor(RNG, 64, 4, 4), butterfly_factor(RNG, 64, 4, 4)[::-1]):
        found = find_block_diagonal(CsrTensor.from_dense(weight))
        assert not isinstance(found, str)
        made.append(found)
    return made


def run(encoding: Encoding, **attributes: Any) -> np.ndarray:
    register_schemas()
    components = encoding.components()
    schema = MATMULS[encoding.kind]
    names = [f.name if f.name in components else "" for f in list(schema.inputs)[1:-2]]
    attributes["in_features"] = encoding.shape[1]
    if encoding.kind == "block-diagonal":
        attributes["out_features"] = encoding.shape[0]
        attributes["row_stride"] = encoding.row_stride  # type: ignore[attr-defined]
        attributes["col_stride"] = encoding.col_stride  # type: ignore[attr-defined]
    node = onnx.helper.make_node(
        schema.name, ["X", *names, "bias", "residual"], ["Y"], domain=DOMAIN, **attributes
    )
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("X", [3, 5, 64]), ("bias", [64]), ("residual", [3, 5, 64]))
    ]
    output = onnx.helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, [3, 5, 64])
    constants = [onnx.numpy_helper.from_array(a, name) for name, a in components.items()]
    graph = onnx.helper.make_graph([node], "g", infos, [output], constants)
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid(DOMAIN, 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    evaluator = ReferenceEvaluator(model, new_ops=list(REFERENCE_OPS))
    return evaluator.run(None, {"X": X, "bias": BIAS, "residual": RESIDUAL})[0]


@pytest.mark.parametrize("encoding", encodings(), ids=lambda item: item.kind)
@pytest.mark.parametrize("after", [0, 1])
def test_a_product_with_epilogue_is_what_the_schema_says(encoding: Encoding, after: int) -> None:
    got = run(encoding, activation="relu", residual_after_activation=after)
    plain = X @ encoding.numpy().T + BIAS
    expected = np.maximum(plain, 0) + RESIDUAL if after else np.maximum(plain + RESIDUAL, 0)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("relu", torch.nn.functional.relu),
        ("leaky_relu", lambda t: torch.nn.functional.leaky_relu(t, 0.3)),
        ("clip", lambda t: torch.clamp(t, 0.3, 2.0)),
        ("gelu", torch.nn.functional.gelu),
        ("gelu_tanh", lambda t: torch.nn.functional.gelu(t, approximate="tanh")),
        ("silu", torch.nn.functional.silu),
        ("sigmoid", torch.sigmoid),
        ("tanh", torch.tanh),
        ("hard_swish", torch.nn.functional.hardswish),
        ("elu", lambda t: torch.nn.functional.elu(t, 0.3)),
        ("none", lambda t: t),
    ],
)
def test_activations_are_those_of_torch(name: str, function: Any) -> None:
    t = np.linspace(-12, 12, 1001)
    expected = function(torch.from_numpy(t)).numpy()
    np.testing.assert_allclose(activate(t, name, 0.3, 2.0), expected, rtol=1e-9, atol=1e-12)


def test_every_schema_has_a_reference_of_its_name() -> None:
    assert {item.__name__ for item in REFERENCE_OPS} == {schema.name for schema in SCHEMAS}
    assert len(set(ACTIVATIONS)) == len(ACTIVATIONS)
