"""Times every kernel on this machine, one thread: python benchmarks/kernels.py [family ...].

Prints GFLOP/s of stored entries (median, +- half the interquartile range, and the best sample,
which is the one to read on a busy machine) and the share of the roofline that the median and the
best reach. The roofline is measured in the same run: the least time is that of the arithmetic in
registers, or of reading weights and activations once from the nearest level that holds them.
Cases take turns, so that a slow spell of the machine hits all of them.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from nfcompile import _native
from nfcompile.bench.environment import describe
from nfcompile.bench.roofline import Roofline, measure_roofline

BATCHES = (1, 7, 16, 64, 256, 2048)
ROUNDS = 15
MIN_SECONDS = 2e-3
"""One sample repeats a product for at least this long."""
TOLERANCE = 1e-5
INDEX_BYTES = 2


@dataclass
class Case:
    """One weight at one batch size, and its samples in seconds per product.

    Attributes:
        flops: Two per stored entry and row of the batch.
        nbytes: Of weights, their indices at two bytes each, and activations in and out.
    """

    family: str
    name: str
    batch: int
    flops: float
    nbytes: float
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

    def result(self, roofline: Roofline) -> dict[str, Any]:
        """The figures of the case."""
        low, middle, high = statistics.quantiles(self.seconds, n=4)
        best = min(self.seconds)
        return {
            "family": self.family,
            "name": self.name,
            "batch": self.batch,
            "median_us": middle * 1e6,
            "best_us": best * 1e6,
            "gflops": self.flops / middle / 1e9,
            "gflops_spread": (self.flops / low - self.flops / high) / 2e9,
            "gflops_best": self.flops / best / 1e9,
            "level": roofline.level(self.nbytes).name,
            "share": roofline.share(self.flops, self.nbytes, middle),
            "share_best": roofline.share(self.flops, self.nbytes, best),
        }


def cases(
    family: str,
    name: str,
    dense: sp.csr_matrix,
    product: _native.Product,
    stored: int,
    indices: int,
) -> list[Case]:
    """The product at every batch size.

    Args:
        family: Of kernels.
        name: Of the weight.
        dense: The weight, for the reference.
        product: The weight, packed.
        stored: Multiply-adds per row of x.
        indices: Number of integers that say where they are.
    """
    found = []
    widths = product.in_features + product.out_features
    for batch in BATCHES:
        x = np.random.default_rng(batch).standard_normal((batch, product.in_features))
        x = x.astype(np.float32)
        y = np.empty((batch, product.out_features), np.float32)

        def run(x: np.ndarray = x, y: np.ndarray = y) -> None:
            product.run(x, y, activation="relu")

        def error(x: np.ndarray = x, y: np.ndarray = y) -> float:
            expected = np.maximum((dense @ x.T.astype(np.float64)).T, 0)
            return float(np.abs(y - expected).max() / np.abs(expected).max())

        nbytes = 4 * stored + INDEX_BYTES * indices + 4 * batch * widths
        found.append(Case(family, name, batch, 2.0 * stored * batch, nbytes, error, run))
    return found


def csr(density: float, n: int = 2048, generate: bool = True) -> list[Case]:
    w = sp.random(n, n, density, format="csr", dtype=np.float32, random_state=1)
    product = _native.pack_csr(w.data, w.indices, w.indptr, n, generate=generate)
    how = " generated" if product.generated else ""
    return cases("csr", f"{n}x{n} density {density:.2f}{how}", w, product, w.nnz, w.nnz)


def bsr(density: float, n: int = 2048, block: int = 16) -> list[Case]:
    rng = np.random.default_rng(2)
    blocks = n // block
    mask = rng.random((blocks, blocks)) < density
    starts = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
    indices = np.nonzero(mask)[1].astype(np.int32)
    values = rng.standard_normal((len(indices), block, block)).astype(np.float32)
    dense = sp.bsr_matrix((values, indices, starts), shape=(n, n)).tocsr()
    product = _native.pack_bsr(values, indices, starts, n)
    name = f"{n}x{n} {block}x{block} density {density:.2f}"
    return cases("bsr", name, dense, product, values.size, len(indices))


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
    name = f"n {n} radix {radix} stride {stride}"
    return cases("block_diagonal", name, dense, product, values.size, 0)


def all_cases() -> list[Case]:
    todo = [*csr(0.05)]
    for n in (256, 768, 2048):
        todo += [*csr(0.10, n), *csr(0.10, n, generate=False)]
    for block in (16, 32):
        todo += [*bsr(0.10, block=block), *bsr(0.05, block=block)]
    for n in (1024, 4096):
        for radix in (2, 4, 16, 32):
            for stride in sorted({1, 4, n // radix}):
                todo += block_diagonal(n, radix, stride)
    return todo


def measure(todo: list[Case], rounds: int) -> None:
    """Checks every case, and fills in its samples."""
    for case in todo:
        case.repeats = max(1, round(MIN_SECONDS / max(case.sample(), 1e-7)))
        if not (error := case.reference()) < TOLERANCE:
            raise SystemExit(f"{case.family} {case.name}: wrong by {error:.1e}")
    for _ in range(rounds):
        for case in todo:
            case.seconds.append(case.sample())


def show(results: list[dict[str, Any]], roofline: Roofline) -> None:
    reads = ", ".join(f"{level.name} {level.bandwidth / 1e9:.0f}" for level in roofline.levels)
    peak = roofline.peak() / 1e9
    print(f"{_native.selected_isa()}, one thread, peak {peak:.0f} GFLOP/s; reads {reads} GB/s")
    titles = (
        f"{'batch':>5} {'us':>9} {'GFLOP/s':>14} {'best':>7} {'from':>5} {'share':>6} {'best':>5}"
    )
    print(f"{'family':15} {'weight':28} {titles}")
    for item in results:
        print(
            f"{item['family']:15} {item['name']:28} {item['batch']:5} {item['median_us']:9.1f} "
            f"{item['gflops']:7.1f} +-{item['gflops_spread']:5.1f} {item['gflops_best']:7.1f} "
            f"{item['level']:>5} {item['share']:6.0%} {item['share_best']:5.0%}"
        )


def main() -> None:
    """Runs the cases of these families, or of all, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", help="csr, bsr, block_diagonal; all by default")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="samples of each case")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    todo = [c for c in all_cases() if not options.families or c.family in options.families]
    roofline = measure_roofline()
    measure(todo, max(2, options.rounds))
    results = [case.result(roofline) for case in todo]
    show(results, roofline)
    if options.json is not None:
        data = {"environment": describe(1), "roofline": roofline.to_json(), "kernels": results}
        options.json.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
