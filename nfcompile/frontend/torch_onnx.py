"""From an exported program to an onnx-ir model that reads like the module it came from.

torch.onnx writes the graph; here it is made plain: parameters keep their paths in the module
(`fc1.weight`), nodes are named after the submodule that made them (`fc1/Gemm`), the first
dimension is called `batch`, and stack traces go.
"""

import nfcompile.frontend.require_torch  # noqa: F401  isort: skip

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import onnx_ir as ir
import torch
from onnx_ir.passes.common import CommonSubexpressionEliminationPass
from onnxscript.optimizer import fold_constants
from torch.export.graph_signature import ConstantArgument, OutputKind, TensorArgument

from nfcompile.errors import UnsupportedModelError
from nfcompile.frontend.torch_cleanup import clean
from nfcompile.frontend.torch_dimensions import Dimensions
from nfcompile.nn.onnx_translation import translation_table

__all__ = ["OPSET", "first_cause", "quiet", "to_onnx"]

OPSET = 18
"""What torch.onnx writes without converting versions; onnxruntime 1.17 loads it."""

_FEW = 8  # elements: axes, bounds, sizes


def to_onnx(
    program: torch.export.ExportedProgram, name: str, dimensions: Dimensions = ()
) -> ir.Model:
    """Translates an exported program.

    Args:
        program: What torch.export gave.
        name: What messages and the graph call it.
        dimensions: Names of the inputs' dimensions.

    Returns:
        A model of opset 18 and, where SparseLinear is used, `nfcompile::CsrToDense`. Of torch's
        optimizer only the folding of a few numbers is run, such as axes, bounds and the size of a
        head: it would fold masks into weights under new names.

    Raises:
        UnsupportedModelError: If torch.onnx cannot translate it.
    """
    for spec in program.graph_signature.output_specs:
        if isinstance(spec.arg, ConstantArgument) and spec.arg.value is not None:
            raise UnsupportedModelError(
                f"{name} must return tensors only, got the constant {spec.arg.value!r}"
            )
        returned = spec.kind == OutputKind.USER_OUTPUT
        if returned and not isinstance(spec.arg, TensorArgument | ConstantArgument):
            raise UnsupportedModelError(
                f"{name} must return tensors only, got the number {spec.arg.name}: "
                "return it as a tensor, or leave it out"
            )
    try:
        with quiet():
            translated = torch.onnx.export(
                program,
                (),
                dynamo=True,
                opset_version=OPSET,
                optimize=False,
                verbose=False,
                custom_translation_table=translation_table(),
            )
    except Exception as error:  # torch raises many kinds
        raise UnsupportedModelError(
            f"{name} cannot be written as ONNX: {first_cause(error)}"
        ) from error
    assert translated is not None
    model = translated.model.clone()  # torch's own values overload !=, < and * to add nodes
    # torch reads a shared weight anew for each layer: folded, each would have its own copy.
    CommonSubexpressionEliminationPass()(model)
    fold_constants(model, should_fold=lambda node: None if _few_numbers(node) else False)
    clean(model, name, dimensions)
    return model


def _few_numbers(node: ir.Node) -> bool:
    known = [value.const_value for value in node.inputs if value is not None]
    return all(tensor is None or tensor.size <= _FEW for tensor in known)


def first_cause(error: BaseException) -> str:
    """One line on the innermost cause of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps torch's export from writing warnings, logs and graphs to the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
