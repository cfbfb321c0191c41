"""What a sum of products of weights would cost as one layer, without making it in vain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from nfcompile.cost.encoding import MAX_DENSITY, best_encoding, dense_times
from nfcompile.cost.layer_cost import Cost, slower_nowhere, worst
from nfcompile.cost.linear import estimate_us
from nfcompile.cost.measured import LayerTimer, Measurements
from nfcompile.cost.segments import Times, never_slower
from nfcompile.gpu.variants import VARIANTS
from nfcompile.ir.candidates import Candidate, dense_candidate
from nfcompile.sparse import CsrTensor
from nfcompile.sparse.product import Matrix, Terms, multiply
from nfcompile.target import Target

__all__ = ["MergedCost", "bound", "cost_of_matrix", "cost_of_sum"]

_MOST_NONZEROS = 1 << 25
"""A product with more non-zeros than this (600 MB while it is made) is not made."""

_MOST_DENSE = 1 << 26
"""Nor is a dense one with more values than this."""

_INDEX_BYTES = 4
"""The most that one takes."""

_CUDA_BLOCKS = sorted({item.size for item in VARIANTS if "block_diagonal" in item.kernel})
"""Sizes of strided blocks that kernels for CUDA have."""


@dataclass(frozen=True)
class MergedCost:
    """A sum of products as one layer.

    Attributes:
        cost: Its times.
        kind: Its encoding.
    """

    cost: Cost
    kind: str


def cost_of_sum(
    terms: Terms,
    shape: tuple[int, int],
    nonzeros: int,
    at_most: Times,
    kept: Callable[[], Cost],
    batches: Sequence[int],
    target: Target,
    timer: LayerTimer | None = None,
) -> MergedCost | str:
    """The sum's cost as one layer, or why it cannot win against what it would replace.

    Args:
        terms: Factors of each term.
        shape: (out, in) of the sum.
        nonzeros: Its non-zeros, estimated.
        at_most: Bounds on the times of what it would replace, see `bound`.
        kept: Gives those times; called only if the sum may win.
        batches: Batch sizes that count.
        target: Where the model will run.
        timer: Measures what estimates do not rule out; None leaves it to them.
    """
    size = f"{shape[0]}x{shape[1]} with about {nonzeros:,} non-zeros"
    full = nonzeros > MAX_DENSITY * shape[0] * shape[1]
    least = (
        dense_times(shape, batches, target) if full else _least(shape, nonzeros, batches, target)
    )
    if not never_slower(least, at_most):
        return f"one layer of {size} is {worst(Cost(least), Cost(at_most), batches)} or more"
    if (shape[0] * shape[1] if full else nonzeros) > (_MOST_DENSE if full else _MOST_NONZEROS):
        return f"one layer of {size} would take too much memory to make"
    if full:
        cost, kind = Cost(least, _measured_dense(shape, batches, target, timer)), "dense"
    else:
        cost, kind = cost_of_matrix(multiply(terms, shape), batches, target, timer)
    if slower_nowhere(cost, kept()):
        return MergedCost(cost, kind)
    return f"one layer of {size} is {worst(cost, kept(), batches)}"


def bound(matrix: scipy.sparse.csr_array, batches: Sequence[int], target: Target) -> Times:
    """Times that a layer does not exceed, without a look at the pattern of its zeros."""
    dense = dense_times(matrix.shape, batches, target)
    if target.name == "portable":
        return dense
    nbytes = (target.value_bytes + _INDEX_BYTES) * matrix.nnz
    csr = Candidate("csr", "", matrix.shape, matrix.nnz, nbytes)
    times = tuple(estimate_us(csr, batch, target) for batch in batches)
    return times if never_slower(times, dense) else dense


def cost_of_matrix(
    matrix: Matrix, batches: Sequence[int], target: Target, timer: LayerTimer | None = None
) -> tuple[Cost, str]:
    """Times and kind of the encoding that `matrix` (out, in) will get."""
    narrow = matrix.astype(np.float32)
    sparse = (
        CsrTensor.from_dense(narrow)
        if isinstance(narrow, np.ndarray)
        else (CsrTensor.from_scipy(scipy.sparse.csr_array(narrow)))
    )
    choice = best_encoding(
        sparse.shape, sparse.stored, lambda: sparse, batches, target, timer=timer
    )
    measured, kind = choice.measured, choice.candidate.kind
    if not measured and kind == "dense":  # no other encoding was worth a look
        measured = _measured_dense(sparse.shape, batches, target, timer)
    return Cost(choice.times_us, measured), kind


def _measured_dense(
    shape: tuple[int, int], batches: Sequence[int], target: Target, timer: LayerTimer | None
) -> Measurements:
    """Times of a dense layer, which do not depend on its values; empty if not measured."""
    dense = dense_candidate(shape)
    rows, columns = shape
    nothing = np.empty(0, np.float32), np.empty(0, np.uint8)
    zeros = CsrTensor(*nothing, indptr=np.zeros(rows + 1, np.int32), in_features=columns)
    found = timer and timer(dense, (), lambda: zeros, batches, target)
    return found[dense] if found else ()


def _least(shape: tuple[int, int], nonzeros: int, batches: Sequence[int], target: Target) -> Times:
    """What the layer would take if its pattern were the best there is for this many non-zeros."""
    if target.name == "ort-cuda":
        return _least_on_cuda(shape, nonzeros, batches, target)
    ways = [
        Candidate("block-diagonal", "", shape, nonzeros, 0, (32, 32), regular=True),
        Candidate("block-diagonal", "", shape, nonzeros, 0, (32, 32)),
        Candidate("dense", "", shape, shape[0] * shape[1], 0),
    ]
    if target.name != "portable":
        ways += [
            Candidate("csr", "", shape, nonzeros, 0),
            Candidate("bsr", "", shape, nonzeros, 0, (32, 32)),
            Candidate("bsr", "", shape, nonzeros, 0, (8, 1)),
        ]
    return tuple(min(estimate_us(way, batch, target) for way in ways) for batch in batches)


def _least_on_cuda(
    shape: tuple[int, int], nonzeros: int, batches: Sequence[int], target: Target
) -> Times:
    """The same on a GPU, where no blocks beat those of a block-diagonal weight."""
    ways = [
        Candidate("block-diagonal", "", shape, nonzeros, 0, (size, size), True, (stride, stride))
        for size in _CUDA_BLOCKS
        for stride in (1, size)
    ]
    ways += [Candidate("csr", "", shape, nonzeros, 0), dense_candidate(shape)]
    return tuple(min(estimate_us(way, batch, target) for way in ways) for batch in batches)
