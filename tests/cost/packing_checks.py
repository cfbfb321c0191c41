"""Costs and checks against what the library packs: run by test_gpu_packing.py, in a process of its
own, on the stand-in for a driver."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpu_calibration import _KERNEL
from gpu_numerics import check_all, uncovered
from support import blocky, butterfly_factor, unstructured
from support_cuda import VARIABLE, StandIn

from nfcompile import _native
from nfcompile.cost import gpu
from nfcompile.cost.gpu import kernel_of
from nfcompile.gpu.variants import VARIANTS
from nfcompile.ir.candidates import CUDA_BLOCKSIZES, sparse_candidates
from nfcompile.sparse import CsrTensor, Encoding
from nfcompile.sparse.block_diagonal import strided_indices
from nfcompile.target import Target

RNG = np.random.default_rng(0)
TYPES = (("f32", "f32"), ("f32", "bf16"), ("f16", "f16"), ("bf16", "bf16"))


def two_strides(size: int, rows: int, columns: int) -> np.ndarray:
    """Blocks whose rows are dealt out with one stride, and whose columns with another."""
    blocks = 16
    dense = np.zeros((blocks * size, blocks * size), np.float32)
    to, of = strided_indices(blocks, size, rows), strided_indices(blocks, size, columns)
    dense[to[:, :, None], of[:, None, :]] = RNG.standard_normal((blocks, size, size))
    return dense


WEIGHTS = {
    **{
        f"{size}x{size}, stride {stride}": butterfly_factor(RNG, max(1024, 16 * size), size, stride)
        for size in (2, 4, 8, 16, 32, 64, 128)
        for stride in (1, 2, 4, 8, 16)
    },
    **{
        f"{size}x{size}, strides {rows}, {columns}": two_strides(size, rows, columns)
        for size in (16, 64, 128)
        for rows, columns in ((1, 2), (2, 1), (1, 4), (8, 1), (1, 16))
    },
    "shuffled": butterfly_factor(RNG, 256, 8, 1)[RNG.permutation(256)],
    "blocks": blocky(RNG, (512, 512), 64, 0.3),
    "96x48 in a row": np.kron(np.eye(4), np.ones((96, 48))).astype(np.float32),
    "unstructured": unstructured(RNG, (256, 256), 0.1),
}


@pytest.fixture(scope="module", autouse=True)
def driver() -> StandIn:
    made = StandIn(Path(os.environ[VARIABLE]))
    made["dry"] = 1  # kernels are not interpreted
    return made


def product(encoding: Encoding, types: tuple[str, str]) -> Any:
    cuda, (x_type, precision) = _native.cuda, types
    arrays = dict(encoding.components())
    out_features, in_features = encoding.shape
    if encoding.kind == "block-diagonal":
        return cuda.BlockDiagonalProduct(
            arrays["values"], arrays.get("rows"), arrays.get("cols"), encoding.row_stride,
            encoding.col_stride, in_features, out_features, precision, x_type,
        )  # fmt: skip
    make = cuda.CsrProduct if encoding.kind == "csr" else cuda.BsrProduct
    return make(*arrays.values(), in_features, precision, x_type)


def kernels(encoding: Encoding, types: tuple[str, str]) -> set[tuple[str, int]]:
    """The kernels that run an encoding at any batch size, with the sizes of their blocks."""
    made, found = product(encoding, types), set()
    for batch in (1, 16, 100, 4096):
        match = _KERNEL.match(made.kernel(batch))
        found.add((match[1], int(match[2])) if match else ("csr", 0))
    return found


def target_of(types: tuple[str, str]) -> Target:
    """The target of a layer with activations and values in these types."""
    half = {"f32": "", "f16": "fp16", "bf16": "bf16"}[types[0]]
    return Target("ort-cuda", precision="fp32" if types[1] != "bf16" else "bf16", half=half)


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_cost_is_that_of_the_kernel_that_the_library_picks(name: str) -> None:
    candidates, _ = sparse_candidates(CsrTensor.from_dense(WEIGHTS[name]), 4, CUDA_BLOCKSIZES)
    for candidate in candidates:
        assert candidate.make is not None
        for types in TYPES:
            found = kernels(candidate.make(), types)
            assert found == {kernel_of(candidate, target_of(types))}, (
                candidate.pattern,
                candidate.strides,
                types,
            )


@pytest.mark.parametrize("types", TYPES)
@pytest.mark.parametrize("size", [2, 4, 16, 32, 64, 128])
@pytest.mark.parametrize("multiprocessors", [84, 100, 132])
def test_a_cost_counts_the_programs_that_are_launched(
    driver: StandIn, size: int, types: tuple[str, str], multiprocessors: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    costs = replace(gpu.constants(), multiprocessors=multiprocessors)
    monkeypatch.setattr(gpu, "constants", lambda: costs)
    driver["multiprocessors"] = multiprocessors
    try:
        for weight in (blocky(RNG, (1024, 512), size, 0.3), butterfly_factor(RNG, 2048, size, 16)):
            candidates, _ = sparse_candidates(CsrTensor.from_dense(weight), 4, CUDA_BLOCKSIZES)
            for candidate in candidates:
                assert candidate.make is not None
                kernel, square = kernel_of(candidate, target_of(types))
                fitting = gpu._variants(kernel, square, candidate.strides, target_of(types))
                made = product(candidate.make(), types)
                for batch in (1, 2, 16, 64, 200, 700, 1024, 5000):
                    picked = gpu._picked(fitting, candidate.shape, batch)
                    assert of_any_index(made.kernel(batch)) == of_any_index(picked.symbol)
    finally:
        driver["multiprocessors"] = 1


def of_any_index(symbol: str) -> str:
    return re.sub("_(i32|u16)_", "_", symbol)


def test_checks_run_every_kernel() -> None:
    checks = list(check_all(_native.cuda))
    assert not [item for item in checks if item.reason]
    left = uncovered(checks, [variant.symbol for variant in VARIANTS])
    assert not left
