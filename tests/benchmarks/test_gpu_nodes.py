"""The cost of a node is the slope of chains; where nobody can tell it, the page says why."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gpu
import gpu_nodes
import onnx
import pytest
from gpu_page import _told_nodes

import nfcompile
from nfcompile.errors import EngineMissingError


class Engine:
    """Takes 20 us, and 9 for each MatMul, 4 for each BsrMatMul."""

    def load_for_timing(self, path: Path, threads: int) -> Any:
        model = onnx.load(path)
        us = 20.0 + sum({"MatMul": 9, "BsrMatMul": 4}[node.op_type] for node in model.graph.node)
        return SimpleNamespace(timed=lambda inputs: lambda: us)


def compiled(model: Any, **options: Any) -> Any:
    """Compiled for another machine's GPU: this one may have none."""
    return REAL(model, **options, cross=True)


REAL = nfcompile.compile


def test_a_node_costs_what_one_more_layer_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nfcompile.runtime.cuda.require_cuda", lambda subject: None)
    monkeypatch.setattr("nfcompile.runtime.ort_cuda.OrtCudaEngine", Engine)
    monkeypatch.setattr(nfcompile, "compile", compiled)
    monkeypatch.setattr(gpu_nodes, "_LONG", 7)
    assert gpu.nodes() == {"dense": 9.0, "nfcompile": 4.0}


def test_without_a_provider_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(subject: str) -> None:
        raise EngineMissingError(f"{subject} needs CUDA: no driver")

    monkeypatch.setattr("nfcompile.runtime.cuda.require_cuda", refuse)
    told = gpu.nodes()
    assert told == "EngineMissingError: the cost of nodes needs CUDA: no driver"
    assert told in _told_nodes({"nodes": told})
    assert "takes 10.0 us dense, 6.5 us ours" in _told_nodes(
        {"nodes": {"dense": 10.0, "nfcompile": 6.5}}
    )
