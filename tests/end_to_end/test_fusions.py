"""What ONNX Runtime fuses in transformers, it fuses in what we compile them to as well."""

from collections import Counter
from pathlib import Path

import onnx
import pytest

import nfcompile
from tests.support_networks import NETWORKS, ROUTES, prune

# By what they become in ours: a residual before a norm, an activation or a bias is taken into the
# product before ONNX Runtime sees it.
SAME = {
    "LayerNormalization": "norm",
    "SkipLayerNormalization": "norm",
    "SimplifiedLayerNormalization": "norm",
    "FusedMatMul": "FusedMatMul",
    "Softmax": "Softmax",
}
OURS = ("BiasGelu", "Gelu", "QuickGelu")


def fused(path: Path, folder: Path) -> Counter[str]:
    """Operators of a model once ONNX Runtime has optimized it."""
    optimized = folder / "optimized.onnx"
    nfcompile.session(path, optimized_model_filepath=str(optimized))
    return Counter(node.op_type for node in onnx.load(optimized).graph.node)


@pytest.mark.parametrize("route", ["dynamo", "torchscript"])
@pytest.mark.parametrize("name", ["bert", "llama", "vit"])
def test_fusions_of_onnx_runtime_still_fire(name: str, route: str, tmp_path: Path) -> None:
    network = NETWORKS[name]()
    prune(network, "90 %")
    dense, examples, _ = ROUTES[route](network, tmp_path)
    nfcompile.compile(dense, examples).save(tmp_path / "compiled.onnx")
    before, after = fused(dense, tmp_path), fused(tmp_path / "compiled.onnx", tmp_path)
    for kind in set(SAME.values()):
        counts = [
            sum(count[op] for op, of in SAME.items() if of == kind) for count in (before, after)
        ]
        assert counts[0] == counts[1], f"{kind}: {counts}"
    assert before["FusedMatMul"]
    assert any(before[op] for op in OURS)
    assert not any(after[op] for op in OURS)
