"""What a network of the `transformers` package is made with, and what the compiler takes."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from nfcompile.errors import EngineMissingError

__all__ = ["Network", "seeded", "transformers"]


class Network(NamedTuple):
    """A module with what `nfcompile.compile` and torch's exporters need besides it.

    Attributes:
        module: In evaluation mode, with random weights.
        inputs: Example arguments by name.
        dynamic_shapes: By argument the dimensions that may vary, with their names, as
            `torch.onnx.export` takes them.
    """

    module: nn.Module
    inputs: dict[str, Any]
    dynamic_shapes: dict[str, Any]


def transformers() -> Any:
    """The package of that name.

    Raises:
        EngineMissingError: If it is not installed.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise EngineMissingError(
            "this network needs transformers, which is not installed: pip install transformers"
        ) from error


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """The module that `make` gives with random weights of this seed, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().eval()
