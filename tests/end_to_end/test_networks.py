"""Networks of transformers, however pruned and however they come, compile and really run sparse."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support_networks import NETWORKS, PRUNINGS, ROUTES, arrays, other_inputs, prune, run_torch
from torch import Tensor, nn

import nfcompile
from nfcompile.compiler import Compiled
from nfcompile.models.pruning import keep_blocks, largest_blocks, prunable

TOLERANCE = {"mobilenet": {"atol": 1e-4}}
"""52 layers of random weights enlarge what ONNX Runtime's own fusions round differently."""

SPARSE = 0.12
"""Density up to which every layer of these networks wins at the costs that tests fix."""


@pytest.mark.parametrize(
    ("route", "how"),
    [*((route, "mixed") for route in ROUTES), *(("torchscript", how) for how in PRUNINGS)],
)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_pruned_network_runs_sparse_at_any_batch_and_length(
    name: str, route: str, how: str, tmp_path: Path
) -> None:
    network = NETWORKS[name]()
    prune(network, how)
    source, example, shapes = ROUTES[route](network, tmp_path)
    compiled = nfcompile.compile(
        source, example, dynamic_shapes=shapes, threads=1, **TOLERANCE.get(name, {})
    )
    compiled.save(tmp_path / "model.onnx")

    session = nfcompile.session(tmp_path / "model.onnx", threads=1)
    names = [value.name for value in session.get_inputs()]
    for inputs in other_inputs(name):
        got = session.run(None, dict(zip(names, arrays(inputs), strict=True)))
        for left, right in zip(got, run_torch(network.module, inputs), strict=True):
            atol = 1e-4 * float(np.abs(right).max())
            np.testing.assert_allclose(left, right, rtol=1e-4, atol=atol)
            assert len(right) == 1 or np.abs(right[0] - right[-1]).max() > 100 * atol

    # Convolutions may run sparse or not: only layers that multiply matrices are counted.
    linears = [item for item in compiled.decisions if "conv" not in item.layer.lower()]
    made = [part for part in network.module.modules() if isinstance(part, nn.Linear)]
    pruned = [part for part in prunable(network.module) if isinstance(part, nn.Linear)]
    assert len(linears) == len(made)
    sparse = [item for item in linears if item.encoding != "dense"]
    densities = [float((part.weight != 0).float().mean()) for part in pruned]
    assert sum(density <= SPARSE for density in densities) <= len(sparse) <= len(pruned)
    assert all(item.reason for item in linears)


def compiled_and_checked(
    module: nn.Module, inputs: dict[str, Any], others: list[dict[str, Any]], path: Path
) -> Compiled:
    """Compiles a module as it is in memory, and compares it on inputs of other sizes."""
    compiled = nfcompile.compile(module, inputs, threads=1)
    compiled.save(path)
    session = nfcompile.session(path, threads=1)
    names = [value.name for value in session.get_inputs()]
    for item in [inputs, *others]:
        (got,) = session.run(None, dict(zip(names, arrays(item), strict=True)))
        (right,) = run_torch(module, item)
        np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-4 * np.abs(right).max())
    return compiled


def test_a_pruned_head_that_is_tied_to_the_embedding_runs_sparse_beside_it(tmp_path: Path) -> None:
    class LastToken(nn.Module):
        """Logits of the last token only: the head's input is a matrix, its product a Gemm."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embedding = nn.Embedding(512, 256)
            self.head = nn.Linear(256, 512)
            self.head.weight = self.embedding.weight
            with torch.no_grad():
                self.head.weight.mul_(largest_blocks(self.head.weight, 0.1, (16, 16)))

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(torch.tanh(self.embedding(ids)[:, -1]))

    ids = torch.randint(512, (2, 5))
    compiled = compiled_and_checked(
        LastToken(), {"ids": ids}, [{"ids": ids[:1, :1]}], tmp_path / "m.onnx"
    )
    assert [item.encoding for item in compiled.decisions] == ["bsr"]
    gathered = [node.inputs[0] for node in compiled.model.graph if node.op_type == "Gather"]
    dense = compiled.model.graph.initializers["head.weight"]
    assert dense in gathered
    assert dense.const_value.nbytes == 4 * 512 * 256


def test_layers_that_share_their_weights_share_one_encoding(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.AlbertConfig(
        num_hidden_layers=3, hidden_size=256, num_attention_heads=4, intermediate_size=512,
        vocab_size=64, embedding_size=32, attn_implementation="eager",
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.AlbertModel(config, add_pooling_layer=False).eval()
    keep_blocks(model, 0.1, (16, 16))
    ids = torch.randint(64, (2, 6))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    other = {"input_ids": ids[:1, :3], "attention_mask": torch.tensor([[1, 1, 0]])}
    compiled = compiled_and_checked(model, inputs, [other], tmp_path / "m.onnx")
    sparse = [item for item in compiled.decisions if item.encoding != "dense"]
    assert len(sparse) == 1 + 3 * 6
    assert len({item.weight for item in sparse}) == 1 + 6


def test_activations_of_four_dimensions_keep_their_rank(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(256, 256), nn.GELU(), nn.Linear(256, 256))
    keep_blocks(module, 0.1, (16, 16))
    x = torch.randn(2, 3, 5, 256)
    compiled = compiled_and_checked(module, {"input": x}, [{"input": x[:1]}], tmp_path / "m.onnx")
    assert {item.encoding for item in compiled.decisions} == {"bsr"}
