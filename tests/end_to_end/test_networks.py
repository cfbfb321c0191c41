"""Networks of transformers, however pruned and however they come, compile and really run sparse."""

from pathlib import Path

import numpy as np
import pytest
from support_networks import NETWORKS, PRUNINGS, ROUTES, arrays, other_inputs, prune, run_torch
from torch import nn

import nfcompile
from nfcompile.models.pruning import prunable

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

    # Convolutions may run sparse or not: only layers that multiply matrices are counted.
    linears = [item for item in compiled.decisions if "conv" not in item.layer.lower()]
    made = [part for part in network.module.modules() if isinstance(part, nn.Linear)]
    pruned = [part for part in prunable(network.module) if isinstance(part, nn.Linear)]
    assert len(linears) == len(made)
    sparse = [item for item in linears if item.encoding != "dense"]
    densities = [float((part.weight != 0).float().mean()) for part in pruned]
    assert sum(density <= SPARSE for density in densities) <= len(sparse) <= len(pruned)
    assert all(item.reason for item in linears)
