"""Graphs of linear layers as torch modules, written the way a user of torch would."""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nfcompile.errors import UnsupportedModelError
from nfcompile.runtime.linear_graph import Activate, LinearGraph, Multiply, Step, Sum

__all__ = ["CsrModule", "DenseModule"]


class _GraphModule(nn.Module):
    """Holds the weights of a graph."""

    sparse: bool

    def __init__(self, graph: LinearGraph) -> None:
        super().__init__()
        self._graph = graph
        self._freed = graph.freed_after()
        for index, step in enumerate(graph.steps):
            _register(self, index, step, sparse=self.sparse)


class DenseModule(_GraphModule):
    """Dense layers on row-major activations, shape (..., features)."""

    sparse = False

    def forward(self, x: Tensor) -> Tensor:
        """Maps the graph's input to its output."""
        values = {self._graph.input: x}
        for index, (step, freed) in enumerate(zip(self._graph.steps, self._freed, strict=True)):
            operand = values[step.x]
            if isinstance(step, Multiply):
                weight, bias = getattr(self, f"w{index}"), getattr(self, f"b{index}")
                values[step.y] = functional.linear(operand, weight, bias)
            elif isinstance(step, Sum):
                other = getattr(self, f"b{index}")
                values[step.y] = operand + (values[str(step.other)] if other is None else other)
            else:
                values[step.y] = _activate(operand, step)
            for name in freed:
                del values[name]
        return values[self._graph.output]


class CsrModule(_GraphModule):
    """`torch.sparse_csr` weights on feature-major activations: transposed once in, once out."""

    sparse = True

    def forward(self, x: Tensor) -> Tensor:
        """Maps the graph's input to its output."""
        lead = x.shape[:-1]
        values = {self._graph.input: x.reshape(-1, x.shape[-1]).t().contiguous()}
        for index, (step, freed) in enumerate(zip(self._graph.steps, self._freed, strict=True)):
            operand = values[step.x]
            if isinstance(step, Multiply):
                weight, bias = getattr(self, f"w{index}"), getattr(self, f"b{index}")
                values[step.y] = (
                    weight @ operand if bias is None else torch.addmm(bias, weight, operand)
                )
            elif isinstance(step, Sum):
                other = getattr(self, f"b{index}")
                values[step.y] = operand + (values[str(step.other)] if other is None else other)
            else:
                values[step.y] = _activate(operand, step)
            for name in freed:
                del values[name]
        y = values[self._graph.output].t().contiguous()
        return y.reshape(*lead, y.shape[-1])


def _register(module: nn.Module, index: int, step: Step, *, sparse: bool) -> None:
    """Gives the module the constants of a step: `w<index>` and `b<index>`."""
    if isinstance(step, Multiply):
        module.register_buffer(f"w{index}", _csr(step) if sparse else _tensor(step.dense()))
        row = step.bias
    elif isinstance(step, Sum):
        row = step.other if isinstance(step.other, np.ndarray) else None
    else:
        return
    bias = None if row is None else _tensor(row)
    module.register_buffer(f"b{index}", bias[:, None] if sparse and bias is not None else bias)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, order="C"))  # a copy: the file's bytes are read-only


def _csr(step: Multiply) -> Tensor:
    csr = step.csr()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Ss]parse.*")  # that the layout is in beta
        return torch.sparse_csr_tensor(
            _tensor(csr.indptr), _tensor(csr.indices), _tensor(csr.data), size=csr.shape
        )


def _activate(x: Tensor, step: Activate) -> Tensor:
    if step.name == "clip":
        return x.clamp(step.alpha, step.beta)
    known: dict[str, Callable[[Tensor], Tensor]] = {
        "relu": functional.relu,
        "gelu": functional.gelu,
        "silu": functional.silu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
    }
    if step.name not in known:
        raise UnsupportedModelError(f"the torch engine has no activation {step.name}")
    return known[step.name](x)
