"""What the end-to-end tests share: a compiled model with all three of our operators."""

from pathlib import Path
from typing import Any

import onnx
import pytest

import nfcompile
from nfcompile.cost.choice import Choice


@pytest.fixture(scope="session")
def compiled_mlp(mlp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`mlp` compiled, each layer with its smallest encoding, whatever that is estimated to cost."""

    def smallest(dense: Any, sparse: Any, batches: Any, *rest: Any) -> Choice:
        best = min((dense, *sparse), key=lambda item: item.nbytes)
        return Choice(best, best.pattern, {}, "smallest", (1.0,) * len(batches))

    path = tmp_path_factory.mktemp("compiled") / "model.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nfcompile.cost.encoding.choose", smallest)
        nfcompile.compile(mlp).save(path)
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert operators == ["CsrMatMul", "BsrMatMul", "BlockDiagonalMatMul", "Gemm"]
    return path
