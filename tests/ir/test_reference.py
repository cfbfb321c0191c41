"""The operators' reference semantics against plain numpy."""

from typing import Any

import numpy as np
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from support import blocky, butterfly_factor, unstructured
from support_operators import operator_model

from nfcompile.ir.reference import REFERENCE_OPS, activate
from nfcompile.ir.schemas import ACTIVATIONS, SCHEMAS
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
    model = operator_model(encoding, [3, 5], **attributes)
    evaluator = ReferenceEvaluator(model, new_ops=list(REFERENCE_OPS))
    return evaluator.run(None, {"X": X, "bias": BIAS, "residual": RESIDUAL})[0]


@pytest.mark.parametrize("encoding", encodings(), ids=lambda item: item.kind)
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_a_product_with_epilogue_is_what_the_schema_says(encoding: Encoding, mode: int) -> None:
    got = run(encoding, activation="relu", residual_mode=mode)
    plain = X @ encoding.numpy().T + BIAS
    expected = np.maximum(plain + RESIDUAL * (mode == 0), 0)
    expected = [expected, expected + RESIDUAL, expected * RESIDUAL][mode]
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
