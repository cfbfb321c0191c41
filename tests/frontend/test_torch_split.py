"""Networks that split activations, as every fused attention projection does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import nfcompile


class Parts(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.project = nn.Linear(256, 768)
        with torch.no_grad():
            self.project.weight *= torch.rand_like(self.project.weight) < 0.05
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.project(x)
        if self.how == "chunk":
            q, k, v = y.chunk(3, dim=-1)
        elif self.how == "split":
            q, k, v = y.split(256, dim=-1)
        else:
            q, k, v = y.split([512, 128, 128], dim=-1)
            return torch.cat([torch.relu(q), k * v], dim=-1)
        return q * k + v


@pytest.mark.parametrize("how", ["chunk", "split", "split by sizes"])
def test_parts_of_a_sparse_projection_are_those_of_torch(how: str, tmp_path: Path) -> None:
    module = Parts(how).eval()
    compiled = nfcompile.compile(module, torch.randn(2, 5, 256))
    assert compiled.decisions[0].encoding == "csr"
    assert "Split" in compiled.after.op_types
    assert "SplitToSequence" not in compiled.after.op_types
    compiled.save(tmp_path / "m.onnx")
    session = nfcompile.session(tmp_path / "m.onnx")
    x = torch.randn(3, 5, 256)
    (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(got, module(x).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_as_torch_writes_it_is_fused(approximate: str) -> None:
    linear = nn.Linear(256, 256)
    with torch.no_grad():
        linear.weight *= torch.rand_like(linear.weight) < 0.05
    compiled = nfcompile.compile(
        nn.Sequential(linear, nn.GELU(approximate=approximate)), torch.randn(2, 256)
    )
    assert compiled.after.op_types == {"nfcompile.CsrMatMul": 1}


def test_relu6_as_torch_writes_it_is_fused() -> None:
    linear = nn.Linear(256, 256)
    with torch.no_grad():
        linear.weight *= torch.rand_like(linear.weight) < 0.05
    compiled = nfcompile.compile(nn.Sequential(linear, nn.ReLU6()), torch.randn(2, 256))
    assert compiled.after.op_types == {"nfcompile.CsrMatMul": 1}
