"""The cases of `onnx.backend.test`, and what compiling makes of each.

A case is a small model with inputs: one per operator and variant (`node`), and some whole models.
What ONNX Runtime gives for the model as it came is the reference for the compiled one.
"""

import functools
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.backend.test.loader import load_model_tests

import nfcompile
from nfcompile.compare import Tolerance, compare
from nfcompile.errors import NfcompileError, UnsupportedModelError
from nfcompile.frontend.onnx_file import MIN_OPSET
from nfcompile.passes import default_pipeline
from nfcompile.runtime.ort import OrtEngine

FORCED = default_pipeline("ort-cpu", 1).replace("encode-weights{", "encode-weights{force=csr,")
"""The default pipeline, but every layer runs sparse: those of the cases are too small to gain."""

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator", "real")


@dataclass(frozen=True)
class Case:
    """A model with the inputs that it is run on.

    Attributes:
        name: Its name in `onnx.backend.test`.
        kind: One of `KINDS`.
        model: The model.
        inputs: Values by input name, one mapping per data set.
    """

    name: str
    kind: str
    model: onnx.ModelProto
    inputs: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        name: The case.
        status: `passed`, `excluded` (ONNX Runtime cannot run the original) or `failed`.
        reason: Why it did not pass.
        sparse: Layers that run sparse.
        untouched: Whether it is of an opset that passes do not know, so that nothing was rewritten.
    """

    name: str
    status: str
    reason: str = ""
    sparse: int = 0
    untouched: bool = False


@functools.cache
def cases(kind: str) -> tuple[Case, ...]:
    """All cases of a kind."""
    return tuple(_cases(kind))


def _cases(kind: str) -> Iterator[Case]:
    np.random.seed(0)  # onnx draws inputs from it while it makes the cases
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = load_model_tests(kind=kind)
    for item in found:
        model, sets = _load(item)
        constants = {tensor.name for tensor in model.graph.initializer}
        names = [info.name for info in model.graph.input if info.name not in constants]
        inputs = tuple(dict(zip(names, values, strict=True)) for values in sets)
        yield Case(item.name, kind, model, inputs)


def _load(item: Any) -> tuple[onnx.ModelProto, list[list[Any]]]:
    if item.model is not None:
        return item.model, [[_value(value) for value in values] for values, _ in item.data_sets]
    if item.url is not None:  # weights and inputs are made, as onnx's own runner makes them
        model = onnx.load(Path(onnx.__file__).parent / item.url.removeprefix("onnx/"))
        return model, [_ramps(model)]
    folder = Path(item.model_dir)
    model = onnx.load(folder / "model.onnx")
    sets = []
    for data in sorted(folder.glob("test_data_set_*")):
        count = len(list(data.glob("input_*.pb")))
        files = [(data / f"input_{index}.pb").read_bytes() for index in range(count)]
        sets.append(
            [_read(info, file) for info, file in zip(model.graph.input, files, strict=False)]
        )
    return model, sets


def _ramps(model: onnx.ModelProto) -> list[Any]:
    constants = {item.name for item in model.graph.initializer}
    infos = [info for info in model.graph.input if info.name not in constants]
    shapes = [[dim.dim_value or 1 for dim in i.type.tensor_type.shape.dim] for i in infos]
    return [np.linspace(0, 1, int(np.prod(s)), dtype=np.float32).reshape(s) for s in shapes]


def _read(info: onnx.ValueInfoProto, data: bytes) -> Any:
    kind = info.type.WhichOneof("value")
    if kind == "sequence_type":
        return onnx.numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if kind == "optional_type":
        return onnx.numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return onnx.numpy_helper.to_array(onnx.TensorProto.FromString(data))


def _value(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if isinstance(value, list | tuple):
        return [np.asarray(item) for item in value]
    return value if value is None else np.asarray(value)


def with_constants(case: Case, *, replaceable: bool) -> Case | None:
    """The case with all inputs but the first as initializers; None where there is nothing to move.

    Weights of MatMul, Gemm and Conv lose most of their values first.

    Args:
        case: A case of an opset that passes know.
        replaceable: Keep them as inputs, with other defaults than the values that are fed, so that
            whatever takes a default for a constant computes something else.
    """
    versions = {item.domain: item.version for item in case.model.opset_import}
    if versions.get("", MIN_OPSET) < MIN_OPSET or not case.inputs:
        return None
    values = {
        name: _pruned(case.model, name, value)
        for name, value in list(case.inputs[0].items())[1:]
        if isinstance(value, np.ndarray)
    }
    if not values:
        return None
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    model.ir_version = max(model.ir_version, 4)
    for name, value in values.items():
        tensor = _other(value) if replaceable else value
        model.graph.initializer.append(onnx.numpy_helper.from_array(tensor, name))
    if not replaceable:
        kept = [info for info in case.model.graph.input if info.name not in values]
        del model.graph.input[:]
        model.graph.input.extend(kept)
    fed = {**case.inputs[0], **values}
    if not replaceable:
        fed = {name: value for name, value in fed.items() if name not in values}
    return Case(case.name, case.kind, model, (fed,))


def _other(value: np.ndarray) -> np.ndarray:
    """Something of the same type and shape, but if all of it is the same text."""
    turned = np.asarray(np.flip(value))
    if value.dtype.kind in "OUSV" or not (turned == value).all():
        return turned
    return ~value if value.dtype == np.bool_ else np.asarray(value + 1, value.dtype)


def _pruned(model: onnx.ModelProto, name: str, value: np.ndarray) -> np.ndarray:
    """A weight with 30 % of its values; anything else as it is."""
    weight = any(
        node.op_type in ("MatMul", "Gemm", "Conv") and list(node.input)[1:2] == [name]
        for node in model.graph.node
    )
    if not weight or value.dtype != np.float32:
        return value
    return np.where(np.random.default_rng(0).random(value.shape) < 0.3, value, np.float32(0))


def check(case: Case, **options: Any) -> Outcome:
    """Compiles a case and compares the result with the original, both run by ONNX Runtime."""
    engine = OrtEngine()
    with tempfile.TemporaryDirectory() as name:
        original, compiled = Path(name) / "original.onnx", Path(name) / "compiled.onnx"
        onnx.save(case.model, original)
        excluded = ""
        try:
            expected = _run(engine, original, case)
        except UnsupportedModelError as error:
            excluded = _reason(error)
        try:
            made = nfcompile.compile(
                original, case.inputs[0] if case.inputs else None, threads=1, samples=1, **options
            )
            made.save(compiled)
            if excluded:
                return Outcome(case.name, "excluded", excluded)
            got = _run(engine, compiled, case)
        except NfcompileError as error:
            if excluded and "\n" not in str(error):
                return Outcome(case.name, "excluded", excluded)
            return Outcome(case.name, "failed", f"{type(error).__name__}: {error}")
        except Exception as error:  # a traceback is never what a user should see
            return Outcome(case.name, "failed", f"{type(error).__name__}: {error}")
        report = compare(expected, got, Tolerance())
        if not report.passed:
            return Outcome(case.name, "failed", f"differs: {report.outputs}")
        sparse = sum(item.encoding != "dense" for item in made.decisions)
        untouched = any("left as it is" in item.reason for item in made.remarks)
        return Outcome(case.name, "passed", "", sparse, untouched)


def _run(engine: OrtEngine, path: Path, case: Case) -> list[dict[str, Any]]:
    runner = engine.load(path, threads=1)
    return [runner.run(inputs) for inputs in case.inputs]


def _reason(error: UnsupportedModelError) -> str:
    """What ONNX Runtime says, without where in its sources and in which file."""
    text = str(error)
    if match := re.search(r"(?:implementation|kernel) for (\w+\(\d+\))", text):
        return f"no kernel for {match[1]} of these types"
    if match := re.search(r"([\w.]+:\w+)\(-?\d+\) is not a registered", text):
        return f"no operator {match[1]}"
    return re.split(r"was false\. |Status Message: |<lambda\(\)> |: (?=\[)", text)[-1]
