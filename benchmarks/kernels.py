"""Times every kernel on this machine, one thread: python benchmarks/kernels.py [family ...].

Prints GFLOP/s of stored entries (median, +- half the interquartile range, and the best sample,
which is the one to read on a busy machine) and the share of the peak that the best reaches. The
peak is what blocks in the first-level cache reach here. Cases take turns, so that a slow spell of
the machine hits all of them.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from nfcompile import _native

BATCHES = (1, 7, 16, 64, 256)
ROUNDS = 15
MIN_SECONDS = 2e-3
"""One sample repeats a product for at least this long."""


@dataclass
class Case:
    """One weight at one batch size, and its samples in seconds per product."""

    family: str
    name: str
    batch: int
    flops: float
    reference: Callable[[], float]
    run: Callable[[], None]
    repeats: int = 1
    seconds: list[float] = field(default_factory=list)

    def sample(self) -> float:
        """Seconds per product, once."""
        start = time.perf_counter()
        for _ in range(self.repeats):
            self.run()
        return (time.perf_counter() - start) / self.repeats


def cases(
    family: str, name: str, dense: sp.csr_matrix, product: _native.Product, stored: int
) -> list[Case]:
    """The product at every batch size; `stored` counts multiply-adds per row of x."""
    found = []
    for batch in BATCHES:
        x = np.random.default_rng(batch).standard_normal((batch, product.in_features))
        x = x.astype(np.float32)
        y = np.empty((batch, product.out_features), np.float32)

        def run(x: np.ndarray = x, y: np.ndarray = y) -> None:
            product.run(x, y, activation="relu")

        def error(x: np.ndarray = x, y: np.ndarray = y) -> float:
            expected = np.maximum((dense @ x.T.astype(np.float64)).T, 0)
            return float(np.abs(y - expected).max() / np.abs(expected).max())

        found.append(Case(family, name, batch, 2.0 * stored * batch, error, run))
    return found


def csr(density: float, n: int = 2048) -> list[Case]:
    w = sp.random(n, n, density, format="csr", dtype=np.float32, random_state=1)
    product = _native.pack_csr(w.data, w.indices, w.indptr, n)
    return cases("csr", f"{n}x{n} density {density:.2f}", w, product, w.nnz)


def bsr(density: float, n: int = 2048, block: int = 16) -> list[Case]:
    rng = np.random.default_rng(2)
    blocks = n // block
    mask = rng.random((blocks, blocks)) < density
    starts = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
    indices = np.nonzero(mask)[1].astype(np.int32)
    values = rng.standard_normal((len(indices), block, block)).astype(np.float32)
    dense = sp.bsr_matrix((values, indices, starts), shape=(n, n)).tocsr()
    product = _native.pack_bsr(values, indices, starts, n)
    return cases("bsr", f"{n}x{n} density {density:.2f}", dense, product, values.size)


def block_diagonal(n: int, radix: int, stride: int) -> list[Case]:
    blocks = n // radix
    values = np.random.default_rng(3).standard_normal((blocks, radix, radix)).astype(np.float32)
    b, e = np.arange(blocks)[:, None], np.arange(radix)
    index = b // stride * (radix * stride) + e * stride + b % stride
    rows = np.repeat(index, radix, axis=1).ravel()
    cols = np.tile(index, (1, radix)).ravel()
    dense = sp.csr_matrix((values.ravel(), (rows, cols)), shape=(n, n))
    product = _native.pack_block_diagonal(
        values, None, None, n, n, row_stride=stride, col_stride=stride
    )
    return cases(
        "block_diagonal", f"n {n} radix {radix} stride {stride}", dense, product, values.size
    )


def peak() -> float:
    """GFLOP/s that the register tile reaches with everything in the first-level cache."""
    values = np.ones((8, 64, 64), np.float32)
    indices, starts = np.arange(8, dtype=np.int32) % 4, np.array([0, 4, 8], np.int32)
    product = _native.pack_bsr(values, indices, starts, 256)
    x, y = np.ones((24, 256), np.float32), np.empty((24, 128), np.float32)
    case = Case("", "", 24, 2.0 * values.size * 24, lambda: 0.0, lambda: product.run(x, y))
    case.repeats = 20
    return case.flops / min(case.sample() for _ in range(200)) / 1e9


def main(families: list[str]) -> None:
    """Runs the cases of these families, or of all, and prints a table."""
    todo = [*csr(0.10), *csr(0.05), *bsr(0.10), *bsr(0.05)]
    for n in (1024, 4096):
        for radix in (2, 4, 16, 32):
            for stride in sorted({1, 4, n // radix}):
                todo += block_diagonal(n, radix, stride)
    todo = [case for case in todo if not families or case.family in families]
    for case in todo:
        case.repeats = max(1, round(MIN_SECONDS / max(case.sample(), 1e-7)))
        if not (error := case.reference()) < 1e-5:
            raise SystemExit(f"{case.family} {case.name}: wrong by {error:.1e}")
    for _ in range(ROUNDS):
        for case in todo:
            case.seconds.append(case.sample())
    limit = peak()
    print(f"{_native.selected_isa()}, one thread, peak {limit:.0f} GFLOP/s")
    titles = f"{'batch':>5} {'us':>9} {'GFLOP/s':>14} {'best':>7} {'peak':>5}"
    print(f"{'family':15} {'weight':28} {titles}")
    for case in todo:
        low, middle, high = statistics.quantiles(case.seconds, n=4)
        speed = case.flops / middle / 1e9
        best = case.flops / min(case.seconds) / 1e9
        spread = (case.flops / low - case.flops / high) / 2e9
        print(
            f"{case.family:15} {case.name:28} {case.batch:5} {middle * 1e6:9.1f} "
            f"{speed:7.1f} +-{spread:5.1f} {best:7.1f} {best / limit:5.0%}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
