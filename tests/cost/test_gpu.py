"""The cost model of a GPU: which kernel runs what, and who wins where."""

import itertools
import json
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from support import blocky, butterfly_factor, unstructured

import nfcompile.cost
from nfcompile.cost import gpu
from nfcompile.cost.choice import Choice
from nfcompile.cost.encoding import best_encoding
from nfcompile.cost.layer_cost import Cost
from nfcompile.cost.linear import CUDA_BATCHES, DEFAULT_BATCHES, batches_of, estimate_us
from nfcompile.cost.products import cost_of_sum
from nfcompile.ir.candidates import BLOCKSIZES, CUDA_BLOCKSIZES, Candidate, sparse_candidates
from nfcompile.sparse import CsrTensor
from nfcompile.target import Target

RNG = np.random.default_rng(0)
CUDA = Target("ort-cuda")
HALF = Target("ort-cuda", half="bf16")
SHAPE = (4096, 4096)


def bsr(size: int, density: float, n: int = 4096) -> Candidate:
    stored = int(density * n * n)
    return Candidate("bsr", f"blocks {size}x{size}", (n, n), stored, 4 * stored, (size, size))


def diagonal(size: int, strides: tuple[int, int], n: int = 4096) -> Candidate:
    stored = n * size
    return Candidate(
        "block-diagonal", "", (n, n), stored, 4 * stored, (size, size), all(strides), strides
    )


def choose(weight: np.ndarray, target: Target = CUDA, *batches: int) -> Choice:
    csr = CsrTensor.from_dense(weight)
    return best_encoding(csr.shape, csr.stored, lambda: csr, batches or CUDA_BATCHES, target)


@pytest.mark.parametrize(
    ("candidate", "kernel"),
    [
        (Candidate("csr", "", SHAPE, 1, 1), ("csr", 0)),
        (Candidate("dense", "", SHAPE, 1, 1), ("dense", 0)),
        (bsr(64, 0.1), ("bsr", 64)),
        (Candidate("bsr", "", SHAPE, 1, 1, (96, 32)), ("bsr", 32)),
        (Candidate("bsr", "", SHAPE, 1, 1, (16, 4)), ("csr", 0)),
        (diagonal(128, (1, 1)), ("bsr", 128)),
        (diagonal(256, (1, 1)), ("bsr", 128)),
        (diagonal(64, (64, 64)), ("block_diagonal", 64)),
        (diagonal(64, (1, 64)), ("block_diagonal", 64)),
        (diagonal(16, (8, 8)), ("block_diagonal", 16)),
        (diagonal(16, (4, 4)), ("csr", 0)),
        (diagonal(4, (2, 2)), ("block_diagonal_small", 4)),
        (diagonal(4, (1, 1)), ("block_diagonal_small", 4)),
        (diagonal(64, (0, 64)), ("csr", 0)),
        (diagonal(256, (16, 16)), ("csr", 0)),
        (diagonal(24, (8, 8)), ("csr", 0)),
        (Candidate("block-diagonal", "", SHAPE, 1, 1, (16, 32), True, (8, 8)), ("csr", 0)),
    ],
    ids=str,
)
def test_a_candidate_has_the_kernel_that_the_library_packs_it_for(
    candidate: Candidate, kernel: tuple[str, int]
) -> None:
    assert gpu.kernel_of(candidate, CUDA) == kernel


def test_every_time_is_positive_and_grows_with_the_batch() -> None:
    for target in (CUDA, HALF, Target("ort-cuda", precision="bf16")):
        for candidate in (
            Candidate("csr", "", SHAPE, 10_000, 60_000),
            Candidate("dense", "", SHAPE, 1 << 24, 1 << 26),
            *(bsr(size, 0.1) for size, _ in CUDA_BLOCKSIZES),
            *(diagonal(size, (16, 16)) for size in (2, 4, 8, 16, 32, 64, 128)),
        ):
            times = [estimate_us(candidate, batch, target) for batch in (1, 16, 256, 4096, 8192)]
            assert times[0] > 3
            # A batch that fills whole tiles of another kernel may take a little less.
            assert all(after > 0.9 * before for before, after in itertools.pairwise(times))


def test_large_blocks_win_where_they_are_few_and_dense_where_they_are_many() -> None:
    assert choose(blocky(RNG, (2048, 2048), 64, 0.05)).candidate.kind == "bsr"
    full = choose(blocky(RNG, (2048, 2048), 64, 0.6))
    assert full.candidate.kind == "dense"
    assert "blocks 64x64 is estimated at up to" in full.reason
    assert "x the time of dense at batch 1, 16, 256, 4096" in full.reason


def test_a_larger_block_is_faster_at_large_batches() -> None:
    times = [estimate_us(bsr(size, 0.1), 4096, HALF) for size in (16, 32, 64, 128)]
    assert times == sorted(times, reverse=True)


def test_unstructured_weights_win_at_single_rows_only() -> None:
    weight = unstructured(RNG, (4096, 4096), 0.01)
    assert choose(weight, CUDA, 1).candidate.kind == "csr"
    for batch in (256, 4096):
        assert choose(weight, CUDA, batch).candidate.kind == "dense"
    assert "unstructured is estimated at up to" in choose(weight).reason


def test_a_butterfly_factor_wins_by_far() -> None:
    for stride in (1, 64):
        choice = choose(butterfly_factor(RNG, 4096, 64, stride))
        assert choice.candidate.kind == "block-diagonal"
    assert choice.candidate.strides == (64, 64)


def test_only_blocks_of_tensor_cores_are_looked_for() -> None:
    csr = CsrTensor.from_dense(blocky(RNG, (256, 256), 128, 0.5))
    found, _ = sparse_candidates(csr, 4, CUDA_BLOCKSIZES)
    assert [item.blocksize for item in found if item.kind == "bsr"] == [
        (128, 128), (64, 64), (32, 32), (16, 16),
    ]  # fmt: skip
    assert BLOCKSIZES[-1] == (32, 32)


@pytest.mark.parametrize("stride", [1, 2, 16, 64])
def test_no_pattern_costs_less_than_the_most_favourable_guess(stride: int) -> None:
    factor = CsrTensor.from_dense(butterfly_factor(RNG, 1024, 16, stride)).to_scipy()
    times = choose(factor.toarray()).times_us
    # A product is ruled out before it is made if even the guess is slower than what it replaces.
    found = cost_of_sum(
        [[factor]], (1024, 1024), factor.nnz, times, lambda: Cost(times), CUDA_BATCHES, CUDA
    )
    assert not isinstance(found, str), found


def test_batches_that_count_are_those_of_a_gpu() -> None:
    x = ir.Value(name="x", shape=ir.Shape(["b", 8]))
    assert batches_of(x, CUDA) == CUDA_BATCHES == (1, 16, 256, 4096)
    assert batches_of(x, Target()) == DEFAULT_BATCHES
    assert batches_of(ir.Value(name="x", shape=ir.Shape([3, 5, 8])), CUDA) == (15,)


def test_every_constant_has_a_source_and_no_rate_is_missing() -> None:
    stored = json.loads((Path(nfcompile.cost.__path__[0]) / "gpu.json").read_text())
    given = gpu.GpuConstants(**stored["constants"])
    told = gpu.provenance()
    assert told["gpu"] and told["date"] and told["command"]
    assert set(given.tflops) == {"dense", "bsr", "block_diagonal", "block_diagonal_small"}
    for kind in ("fp32", "fp16", "bf16"):
        assert given.rate("dense", 0, kind) > 0
        for kernel in ("bsr", "block_diagonal"):
            rates = [given.rate(kernel, size, kind) for size in (16, 32, 64, 128)]
            assert rates == sorted(rates)
        assert all(given.rate("block_diagonal_small", size, kind) > 0 for size in (2, 4, 8))
    named = {".".join(name.split(".")[:2]) for name in told["sources"]}
    kernels = {f"tflops.{kernel}" for kernel in given.tflops}
    assert named == {*stored["constants"], *kernels} - {"tflops"}


def test_of_layers_that_the_host_bounds_the_one_with_less_work_wins() -> None:
    weight = blocky(RNG, (2048, 2048), 64, 0.1)
    assert choose(weight, CUDA, 1).candidate.kind == "bsr"
    full = unstructured(RNG, (256, 256), 0.65)
    assert choose(full, CUDA, 1, 16, 256).candidate.kind == "dense"
