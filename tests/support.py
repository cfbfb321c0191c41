"""What tests share: models from text, weights with patterns, running a model by reference."""

from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes.common import CheckerPass

from nfcompile.ir.pipeline import parse_pipeline
from nfcompile.ir.reference import REFERENCE_OPS
from nfcompile.ir.remarks import remarks
from nfcompile.ir.schemas import register_schemas
from nfcompile.passes import PASSES
from nfcompile.sparse.block_diagonal import strided_indices

__all__ = [
    "blocky",
    "butterfly_factor",
    "evaluate",
    "model",
    "model_proto",
    "op_types",
    "run_passes",
    "said",
    "unstructured",
]

HEADER = '<ir_version: 9, opset_import: ["": {opset}]>\n'


def model_proto(text: str, *, opset: int = 18, **constants: Any) -> onnx.ModelProto:
    """A model from ONNX text `agraph (...) => (...) {...}` with these initializers."""
    proto = onnx.parser.parse_model(HEADER.format(opset=opset) + text)
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return proto


def model(text: str, *, opset: int = 18, **constants: Any) -> ir.Model:
    """The same as an `onnx_ir.Model`."""
    register_schemas()
    return ir.from_proto(model_proto(text, opset=opset, **constants))


def evaluate(source: ir.Model | onnx.ModelProto, **inputs: np.ndarray) -> list[np.ndarray]:
    """Outputs by ONNX's reference evaluator, our operators included."""
    proto = ir.to_proto(source) if isinstance(source, ir.Model) else source
    return ReferenceEvaluator(proto, new_ops=list(REFERENCE_OPS)).run(None, inputs)


def op_types(source: ir.Model) -> list[str]:
    """Operators of the main graph, in order."""
    return [node.op_type for node in source.graph]


def unstructured(rng: np.random.Generator, shape: tuple[int, int], density: float) -> np.ndarray:
    """Random float32 weights, most of them zero."""
    return (rng.standard_normal(shape) * (rng.random(shape) < density)).astype(np.float32)


def blocky(
    rng: np.random.Generator, shape: tuple[int, int], block: int, density: float
) -> np.ndarray:
    """Random float32 weights in square blocks."""
    mask = rng.random((shape[0] // block, shape[1] // block)) < density
    mask[0, 0] = True
    return (rng.standard_normal(shape) * np.kron(mask, np.ones((block, block)))).astype(np.float32)


def butterfly_factor(rng: np.random.Generator, n: int, radix: int, stride: int) -> np.ndarray:
    """One factor of a butterfly: dense blocks over indices that differ in one digit."""
    weight = np.zeros((n, n), np.float32)
    for members in strided_indices(n // radix, radix, stride):
        weight[np.ix_(members, members)] = rng.standard_normal((radix, radix))
    return weight


def run_passes(source: ir.Model, text: str) -> int:
    """Runs a pipeline, checks the model, and says how many passes changed something."""
    changes = sum(bool(step(source).modified) for _, step in parse_pipeline(text, PASSES))
    CheckerPass()(source)
    return changes


def said(source: ir.Model, kind: str) -> list[str]:
    """Remarks of a kind as text."""
    return [str(remark) for remark in remarks(source) if remark.kind == kind]
