"""Every topology goes through the compiler, on both targets, and rules stay rules."""

import numpy as np
import pytest
import torch

import nfcompile
from nfcompile.nn import SparseCascade
from nfcompile.passes import default_pipeline
from nfcompile.sparse import CsrTensor
from nfcompile.sparse.block_diagonal import BlockDiagonalTensor, stride_of
from nfcompile.sparse.components import find_block_diagonal
from nfcompile.topology import KINDS, Butterfly, Clos, Monarch, ParallelButterfly, parse

MEMBERS = [
    "dense(n=32)",
    "low-rank(in=64, out=32, rank=4)",
    "torus(n=16, dims=2)",
    "hypercube(n=32)",
    "butterfly(n=64, radix=[4, 16])",
    "butterfly(in=64, out=48, radix=4)",
    "clos(n=64, m=6, q=8)",
    "random(n=64, degree=5, seed=1)",
    "expander(n=64, degree=5, seed=1)",
    "radix-net(radices=[4, 4], widths=[1, 3, 2])",
    "monarch(n=64)",
    "pixelfly(n=64, block=8, rank=3)",
    "parallel-butterfly(n=64, radix=4, parallel=3, skip=true)",
]


def test_every_kind_is_among_the_members():
    assert {text.partition("(")[0] for text in MEMBERS} == set(KINDS)


@pytest.mark.parametrize("text", MEMBERS)
def test_a_cascade_of_any_topology_compiles_and_agrees_with_torch(text, tmp_path):
    torch.manual_seed(0)
    topology = parse(text)
    cascade = SparseCascade(topology, activation=torch.nn.ReLU()).eval()
    torch.nn.init.normal_(cascade.bias)
    x = torch.randn(5, topology.in_features)
    exported = torch.export.export(cascade, (x,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    for target, force in (("ort-cpu", "csr"), ("portable", "block-diagonal")):
        # Layers this small stay dense unless told otherwise.
        passes = default_pipeline(target, 1).replace(
            "encode-weights{", f"encode-weights{{force={force},"
        )
        path = tmp_path / f"{target}.onnx"
        nfcompile.compile(exported, target=target, passes=passes, samples=1).save(path)
        session = nfcompile.session(path)
        (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(y, cascade(x).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "topology",
    [
        Butterfly(256, 4),
        Butterfly(512, (2, 16, 16)),
        Butterfly(256, 4, out=64),
        Monarch(256),
        Monarch(1024, out=256),
        Clos(256, 8, 32),
        Clos(256, 8, 32, out=64),
        ParallelButterfly(256, 4, 3),
    ],
    ids=str,
)
def test_factors_that_mix_digits_need_no_index_lists(topology):
    for branch in topology.branches():
        for mask in branch:
            found = find_block_diagonal(CsrTensor.from_dense(mask.toarray().astype(np.float32)))
            assert isinstance(found, BlockDiagonalTensor)
            assert found.values.all()
            assert stride_of(found.rows) > 0
            assert stride_of(found.cols) > 0
