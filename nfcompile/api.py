"""The two functions that do the work, with every option as a keyword."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nfcompile.compare import Tolerance, VerifyReport
from nfcompile.compiler import Compiled, Options, compile_model
from nfcompile.runtime.real_samples import read_arrays
from nfcompile.runtime.trials import Sampling
from nfcompile.verifier import verify_files

__all__ = ["compile", "verify"]

Data = str | os.PathLike[str] | Mapping[str, np.ndarray]


def compile(  # noqa: A001
    src: Any,
    example_inputs: Any = None,
    target: str = "ort-cpu",
    *,
    threads: int | None = None,
    precision: str = "fp32",
    passes: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    input_shapes: Sequence[tuple[int, ...] | str] | None = None,
    dynamic_shapes: Any = None,
    rtol: float | None = None,
    atol: float | None = None,
    samples: int = 3,
    seed: int = 0,
    data: Data | None = None,
    batch: int | None = None,
    min_agreement: float = 0.0,
    op_libraries: Sequence[str] = (),
    tune: bool = False,
    tune_seconds: float | None = None,
    cross: bool = False,
) -> Compiled:
    """Compiles a model so that its sparse layers run sparse, and verifies the result.

    Args:
        src: A torch module, an ExportedProgram, an ONNX model in memory, or a path or text: a
            `.onnx` or `.pt2` file, or a reference `package.module:callable`, `path.py:callable`.
        example_inputs: For a module what it is called with; for ONNX arrays by input name.
        target: `ort-cpu` or `ort-cuda` (our operators in ONNX Runtime on a CPU or a GPU), or
            `portable` (standard operators only).
        threads: Threads per inference that costs are estimated for; all cores if None.
        precision: `fp32`, or `bf16`: sparse weights are stored as bfloat16, and their products
            computed from bfloat16 activations with fp32 sums, or from fp32 ones at small batches.
        passes: Pipeline text; the target's default if None.
        weights: State for a referenced module: `.safetensors` or a state_dict, the `.index.json` of
            several files, or a folder with one of these.
        input_shapes: Shapes of random example inputs for a referenced module: tuples, or texts
            such as `batch=2,tokens=128:int64`, where named dimensions may vary.
        dynamic_shapes: The dimensions of a module's inputs that may vary, with their names, as
            torch's exporters take them: `{"input_ids": {0: "batch", 1: "tokens"}}`. By default the
            first of every input, and the second of integer matrices.
        rtol: Relative tolerance; by default 1e-4, and 2e-2 for 16-bit floats or precision bf16.
        atol: Absolute tolerance; by default 1e-5 of the output's largest element, or 2e-2 of it.
        samples: Number of inputs to verify on.
        seed: Seed of random inputs.
        data: Real samples to verify on instead, as for `verify`.
        batch: Samples of `data` per call, as for `verify`.
        min_agreement: Least share of answers that must stay the same, as for `verify`.
        op_libraries: Libraries of the user's own operators, needed to run the model.
        tune: Measures the layers' candidates on this machine instead of estimating them. What is
            measured is kept in `~/.cache/nfcompile`, or where NFCOMPILE_CACHE_DIR says.
        tune_seconds: Seconds that measuring may take in all; 60 if None. What is not measured by
            then is estimated, and a remark says so.
        cross: For target `ort-cuda`, that it is another machine's: nothing has to run on CUDA here,
            and the result is verified on this CPU by its kernels of the same operators.

    Returns:
        The compiled model: `.save(path)`, `.decisions`, `.remarks`, `.report`, `.model`.

    Raises:
        InputError: If an argument breaks its rule.
        UnsupportedModelError: If the model cannot be taken.
        VerificationError: If the compiled model gives other results; that is our bug.
        EngineMissingError: If a package that is needed is not installed, or for target `ort-cuda`
            a GPU is missing.
    """
    options = Options(
        target=target,
        threads=threads,
        precision=precision,
        passes=passes,
        weights=None if weights is None else Path(weights),
        input_shapes=input_shapes,
        dynamic_shapes=dynamic_shapes,
        tolerance=Tolerance(rtol, atol, min_agreement=min_agreement),
        sampling=Sampling(samples, seed, _arrays(data), batch),
        op_libraries=op_libraries,
        tune=tune,
        tune_seconds=tune_seconds,
        cross=cross,
    )
    return compile_model(src, example_inputs, options)


def verify(
    reference: Any,
    compiled: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    input_shapes: Sequence[tuple[int, ...] | str] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    samples: int = 3,
    seed: int = 0,
    inputs: Mapping[str, np.ndarray] | None = None,
    data: Data | None = None,
    batch: int | None = None,
    min_agreement: float = 0.0,
    op_libraries: Sequence[str] = (),
    cross: bool = False,
) -> VerifyReport:
    """Runs a model and its original on the same inputs and compares every output.

    Args:
        reference: The model that is right: a path or text as for `compile`, or a model in memory
            that has example inputs of its own or needs none.
        compiled: Path of the `.onnx` file to check.
        weights: State for a reference to code, as for `compile`.
        input_shapes: Shapes of random example inputs for one, as `compile` takes them.
        rtol: Relative tolerance; by default 1e-4, and 2e-2 for 16-bit floats.
        atol: Absolute tolerance; by default 1e-5 of the output's largest element.
        samples: Number of random inputs.
        seed: Their seed.
        inputs: Inputs by name, for one call, to use instead.
        data: Real samples to use instead: an `.npz` file or its arrays, named like the inputs, all
            samples along the first axis; an array with a dimension more than its input has a whole
            one per entry. With `labels`, right classes, the accuracy of both models is reported.
        batch: Samples of `data` per call; by default what the model fixes, or 1 and then 16.
        min_agreement: Least share of answers (the largest element along the last axis) that must be
            the same, in each output.
        op_libraries: Libraries of the user's own operators, needed to run the models.
        cross: Whether a model that is compiled for `ort-cuda` runs on this CPU instead, by its
            kernels of the same operators.

    Returns:
        A report that is true if all outputs passed.

    Raises:
        InputError: If an argument breaks its rule or there is no such file.
        UnsupportedModelError: If one is no model, or does not run.
        VerificationError: If the two have different inputs or outputs.
        EngineMissingError: If there is no GPU for a model that is compiled for `ort-cuda`.
    """
    return verify_files(
        reference,
        Path(compiled),
        weights=None if weights is None else Path(weights),
        input_shapes=input_shapes,
        tolerance=Tolerance(rtol, atol, min_agreement=min_agreement),
        sampling=Sampling(samples, seed, _arrays(data), batch),
        inputs=inputs,
        op_libraries=op_libraries,
        cross=cross,
    )


def _arrays(data: Data | None) -> Mapping[str, np.ndarray] | None:
    if isinstance(data, (str, os.PathLike)):
        return read_arrays(Path(data))
    return data
