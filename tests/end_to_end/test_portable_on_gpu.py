"""Nothing in a portable model is left to the CPU by ONNX Runtime's provider for CUDA.

Here by a list of the operators that compiling brings in, with the types that they have kernels for;
`make gpu-check` loads such models without a provider for the CPU.
"""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from support import butterfly_factor, model_proto, unstructured
from torch import nn

import nfcompile
from nfcompile.ir.shape_inference import infer_shapes
from nfcompile.models.cascade_mlp import cascade_mlp

RNG = np.random.default_rng(0)
N = 64
FLOATS = {ir.DataType.FLOAT}
KERNELS = {
    "Add": FLOATS, "Gather": FLOATS, "Gemm": FLOATS, "MatMul": FLOATS, "Mul": FLOATS,
    "Relu": FLOATS, "Reshape": FLOATS, "Shape": FLOATS, "Sigmoid": FLOATS, "Softmax": FLOATS,
    "Transpose": FLOATS,
}  # fmt: skip
"""Operators that CUDA has kernels for, by the type of their first input. Those on integers are left
out: ONNX Runtime gives them to the CPU where they compute shapes."""


def factors(axes: str, out: int = N) -> onnx.ModelProto:
    """Two layers of blocks with a stride, a bias and an activation between them."""
    return model_proto(
        f"agraph (float[{axes},{N}] x) => (float[{axes},{out}] y)"
        " { a = MatMul(x, w0)\n b = Add(a, c)\n r = Relu(b)\n y = MatMul(r, w1) }",
        w0=butterfly_factor(RNG, N, 4, 4).T.copy(),
        w1=butterfly_factor(RNG, N, 8, 8).T[:, :out].copy(),
        c=RNG.standard_normal(N).astype(np.float32),
    )


def repeated() -> onnx.ModelProto:
    """A last layer with equal rows, which one Gather repeats."""
    few = unstructured(RNG, (8, 2048), 0.3)
    return model_proto(
        "agraph (float[b,2048] x) => (float[b,2048] y) { y = Gemm<transB=1>(x, w) }",
        w=np.repeat(few, 256, axis=0),
    )


def attention() -> tuple[nn.Module, torch.Tensor]:
    """Activations of three dimensions, of which two are open."""
    torch.manual_seed(0)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.value = nn.Linear(N, N), nn.Linear(N, N)
            for layer, stride in ((self.query, 4), (self.value, 1)):
                layer.weight.data = torch.from_numpy(butterfly_factor(RNG, N, 4, stride))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores = torch.softmax(self.query(x) @ x.transpose(1, 2), -1)
            return scores @ self.value(x)

    return Block(), torch.randn(2, 5, N)


MODELS = {
    "matrix": lambda: (factors("b"), None),
    "tokens": lambda: (factors("b,t"), None),
    "tokens, narrower": lambda: (factors("b,t", N // 2), None),
    "fixed tokens": lambda: (factors("b,7", N // 2), None),
    "cascade": lambda: (cascade_mlp(256, 256, 1, "butterfly(n=256, radix=4)", seed=0),
                        torch.randn(3, 256)),
    "repeated": lambda: (repeated(), None),
    "attention": attention,
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_every_operator_has_a_kernel_for_cuda(name: str) -> None:
    source, example = MODELS[name]()
    text = nfcompile.passes.default_pipeline("portable", 1, without=["collapse-products"])
    forced = text.replace("encode-weights{", "encode-weights{force=block-diagonal,")
    compiled = nfcompile.compile(source, example, target="portable", passes=forced)
    kinds = {node.op_type for node in compiled.model.graph}
    assert kinds & {"Gather", "Transpose"}  # the form is there
    infer_shapes(compiled.model)
    for node in ir.traversal.RecursiveGraphIterator(compiled.model.graph):
        assert node.domain == ""
        assert node.inputs[0] is not None
        assert node.inputs[0].dtype in KERNELS.get(node.op_type, set()), node
