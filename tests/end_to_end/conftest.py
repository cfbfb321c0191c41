"""What the end-to-end tests share: a compiled model with all three of our encodings."""

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
    nodes = onnx.load(path).graph.node
    assert [node.op_type for node in nodes] == ["SparseChain", "Gemm"]
    encodings = next(item for item in nodes[0].attribute if item.name == "encodings")
    assert encodings.s == b"csr,bsr,block-diagonal"
    return path
