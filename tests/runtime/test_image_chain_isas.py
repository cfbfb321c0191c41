"""Chains of convolutions hand on tiles, whose layout depends on the instruction set."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from support import unstructured

import nfcompile

RNG = np.random.default_rng(0)
CHANNELS = 24
SCRIPT = """
import sys
import numpy as np, nfcompile
session = nfcompile.session(sys.argv[1])
np.save(sys.argv[3], session.run(None, {"x": np.load(sys.argv[2])})[0])
"""


def model() -> onnx.ModelProto:
    """Windows, layers of one pixel with a residual around them, which hand on tiles, and windows
    again, which gather out of them."""
    made = onnx.parser.parse_model(f"""<ir_version: 9, opset_import: ["": 18]>
        chain (float[n,4,9,17] x) => (float[n,{CHANNELS},9,17] y) {{
            a = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x, w0)
            r = Relu(a)
            b = Conv(r, w1)
            s = Relu(b)
            c = Conv(s, w2)
            t = Add(c, r)
            u = Relu(t)
            y = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(u, w3)
        }}""")
    wide = CHANNELS + 6
    shapes = (CHANNELS, 4, 3), (wide, CHANNELS, 1), (CHANNELS, wide, 1), (CHANNELS, CHANNELS, 3)
    for i, (out, inside, size) in enumerate(shapes):
        weight = unstructured(RNG, (out, inside * size * size), 0.3)
        shape = out, inside, size, size
        made.graph.initializer.append(onnx.numpy_helper.from_array(weight.reshape(shape), f"w{i}"))
    return made


MODEL = model()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chain") / "chain.nf.onnx"
    text = nfcompile.passes.default_pipeline("ort-cpu", 1)
    forced = text.replace("encode-weights{", "encode-weights{force=csr,")
    nfcompile.compile(MODEL, passes=forced).save(path)
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert operators == ["SparseConvChain"]
    return path


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512", "avx512_bf16"])
@pytest.mark.parametrize("images", [1, 5])
def test_every_instruction_set_gives_the_dense_result(
    compiled: Path, tmp_path: Path, isa: str, images: int
) -> None:
    x = RNG.standard_normal((images, 4, 9, 17)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    subprocess.run(
        [sys.executable, "-c", SCRIPT, compiled, tmp_path / "x.npy", tmp_path / "y.npy"],
        env={**os.environ, "NFCOMPILE_MAX_ISA": isa}, check=True,
    )  # fmt: skip
    dense = onnxruntime.InferenceSession(
        MODEL.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (expected,) = dense.run(None, {"x": x})
    allowed = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=0, atol=allowed)
