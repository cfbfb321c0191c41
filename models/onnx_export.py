"""Networks as `.onnx` files, written by torch's own exporters as a user would."""

import warnings
from pathlib import Path

import torch
from torch import Tensor

from nfcompile.models.network import Network

__all__ = ["write_onnx"]

_OPSET = 14
"""Of the older exporter: DeepSparse takes it, and knows more of its operators than of 17's."""


def write_onnx(network: Network, path: Path, *, dynamo: bool) -> None:
    """Exports a network with the dimensions free that may vary.

    Args:
        network: Its arguments are tensors or lists of them.
        path: The file to write.
        dynamo: Whether by way of torch.export, or by tracing with TorchScript.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the older exporter says that it is, and traces warn
        if dynamo:
            _export(network, path)
        else:
            _trace(network, path)


def _export(network: Network, path: Path) -> None:
    module, inputs, shapes = network
    program = torch.onnx.export(
        module, (), kwargs=inputs, dynamo=True, dynamic_shapes=shapes, verbose=False
    )
    assert program is not None
    program.save(path)


def _trace(network: Network, path: Path) -> None:
    module, inputs, shapes = network
    axes: dict[str, dict[int, str]] = {}
    for name, value in inputs.items():
        if isinstance(value, Tensor):
            axes[name] = shapes[name]
        else:
            axes |= {f"{name}_{index}": dims for index, dims in enumerate(shapes[name])}
    torch.onnx.export(
        module,
        tuple(inputs.values()),
        path,
        dynamo=False,
        input_names=list(axes),
        dynamic_axes=axes,
        opset_version=_OPSET,
    )
