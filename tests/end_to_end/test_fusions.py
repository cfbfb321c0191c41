"""What ONNX Runtime fuses in transformers is fused in what we compile them to as well."""

from collections import Counter
from pathlib import Path

import onnx
import pytest

import nfcompile
from nfcompile.models.network import Network
from tests.support_networks import NETWORKS, ROUTES, prune

# A residual before a norm is taken into the product before ONNX Runtime sees it.
NORMS = ("LayerNormalization", "SkipLayerNormalization", "SimplifiedLayerNormalization")
OUR_NORMS = ("layer-norm", "rms-norm")
ACTIVATIONS = ("BiasGelu", "Gelu", "QuickGelu")
LAYERS = 2


def fused(path: Path, folder: Path) -> Counter[str]:
    """Operators of a model once ONNX Runtime has optimized it, and layers of our chains."""
    optimized = folder / "optimized.onnx"
    nfcompile.session(path, optimized_model_filepath=str(optimized))
    count: Counter[str] = Counter()
    for node in onnx.load(optimized).graph.node:
        count[node.op_type] += 1
        for attribute in node.attribute:
            if node.op_type == "SparseChain" and attribute.name == "encodings":
                count.update(attribute.s.decode().split(","))
    return count


def compiled(network: Network, route: str, folder: Path) -> Counter[str]:
    """The same of a network that is pruned and compiled, dimensions open."""
    prune(network, "90 %")
    source, examples, shapes = ROUTES[route](network, folder)
    given = {} if route == "dynamo" else {"dynamic_shapes": shapes}
    nfcompile.compile(source, examples, **given).save(folder / "compiled.onnx")
    return fused(folder / "compiled.onnx", folder)


@pytest.mark.parametrize("route", ["torch.export", "dynamo"])
@pytest.mark.parametrize("name", ["bert", "vit"])
def test_attention_of_torch_itself_becomes_one_operator(
    name: str, route: str, tmp_path: Path
) -> None:
    """`scaled_dot_product_attention`, which transformers run by default."""
    network = NETWORKS[name]()
    network.module.model.set_attn_implementation("sdpa")
    after = compiled(network, route, tmp_path)
    assert after["MultiHeadAttention"] == LAYERS
    assert not after["Softmax"] and not after["IsNaN"]


@pytest.mark.parametrize("route", ["torch.export", "dynamo"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_decoder_with_its_cache_becomes_two_operators_a_layer(
    attention: str, route: str, tmp_path: Path
) -> None:
    network = NETWORKS["llama"]()
    network.module.model.set_attn_implementation(attention)
    after = compiled(network, route, tmp_path)
    assert after["MultiHeadAttention"] == LAYERS
    assert after["SparseChain"] == LAYERS + 1
    assert not after["CsrMatMul"] and not after["Softmax"]
    assert after["rms-norm"] == 2 * LAYERS + 1


@pytest.mark.parametrize("route", ["dynamo", "torchscript"])
@pytest.mark.parametrize("name", ["bert", "llama", "vit"])
def test_fusions_of_onnx_runtime_still_fire_or_are_ours(
    name: str, route: str, tmp_path: Path
) -> None:
    network = NETWORKS[name]()
    norms = sum("Norm" in type(part).__name__ for part in network.module.modules())
    prune(network, "90 %")
    dense, examples, _ = ROUTES[route](network, tmp_path)
    nfcompile.compile(dense, examples).save(tmp_path / "compiled.onnx")
    before, after = fused(dense, tmp_path), fused(tmp_path / "compiled.onnx", tmp_path)

    # ONNX Runtime fuses all or, as dynamo spells those of llama, none.
    assert sum(before[op] for op in NORMS) in (0, norms)
    assert sum(after[op] for op in (*NORMS, *OUR_NORMS)) == norms
    # Scores with their scale, and their softmax: ours stands for both.
    for op in ("FusedMatMul", "Softmax"):
        assert before[op] == after[op] + after["MultiHeadAttention"] == LAYERS, op
    assert any(before[op] for op in ACTIVATIONS)
    assert not any(after[op] for op in ACTIVATIONS)
