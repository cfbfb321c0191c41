"""Times a training step of SparseLinear against torch.nn.Linear of the same weight.

    python benchmarks/training_step.py [--out FILE.json] [--rounds N]

A step is: drop the gradients, forward, backward from a given dY, with a gradient of the input as
in the middle of a network. Before timing, outputs and gradients are compared. The two layers take
turns, in an order that alternates, so that a slow spell of the machine hits both.

Memory is measured in processes of their own per layer: the peak of resident memory over three steps
less what was resident before the layer was made. It holds parameters, gradients, buffers, X, Y, dX
and whatever a step needs in between; libraries and dY were there before.
"""

import argparse
import ctypes
import gc
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nfcompile.bench.statistics import Timing, summarize_samples
from nfcompile.nn import SparseLinear
from nfcompile.target import cpu_name, isa


@dataclass(frozen=True)
class Case:
    """A square weight of `n` rows with `entries` non-zeros each, and a batch."""

    n: int
    entries: int
    batch: int


CASES = [Case(4096, 64, 64), Case(4096, 64, 1), Case(4096, 64, 8), Case(1024, 16, 64),
         Case(64, 4, 64)]  # fmt: skip
MIN_SECONDS = 2e-3
"""One sample repeats a step for at least this long."""


def sparse_layer(case: Case) -> SparseLinear:
    rng = np.random.default_rng(0)
    rows = [np.sort(rng.choice(case.n, case.entries, replace=False)) for _ in range(case.n)]
    indptr = np.arange(0, case.n * case.entries + 1, case.entries)
    return SparseLinear(case.n, case.n, (indptr, np.concatenate(rows)))


def dense_twin(layer: SparseLinear) -> nn.Linear:
    twin = nn.Linear(layer.in_features, layer.out_features)
    with torch.no_grad():
        twin.weight.copy_(layer.to_dense())
        twin.bias.copy_(layer.bias)
    return twin


def step_of(layer: nn.Module, x: Tensor, dy: Tensor) -> Callable[[], Tensor]:
    def step() -> Tensor:
        layer.zero_grad()
        x.grad = None
        y: Tensor = layer(x)
        y.backward(dy)
        return y

    return step


def check(sparse: SparseLinear, dense: nn.Linear, x: Tensor, dy: Tensor) -> None:
    """Stops unless the two steps agree."""
    results = []
    for layer in (sparse, dense):
        y = step_of(layer, x, dy)()
        values = layer.values if layer is sparse else layer.weight
        results.append([y.detach(), x.grad, layer.bias.grad, values.grad])
    rows = torch.repeat_interleave(torch.diff(sparse.indptr).long())
    results[1][3] = results[1][3][rows, sparse.indices.long()]
    for name, got, expected in zip(("y", "dx", "dbias", "dvalues"), *results, strict=True):
        error = float((got - expected).abs().max() / expected.abs().max())
        if not error < 1e-5:
            raise SystemExit(f"{name} must agree with the dense layer's, is wrong by {error:.1e}")


def time_case(case: Case, threads: int, rounds: int) -> tuple[Timing, Timing]:
    """Microseconds of a sparse and of a dense step."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    sparse = sparse_layer(case)
    dense = dense_twin(sparse)
    x = torch.randn(case.batch, case.n, requires_grad=True)
    dy = torch.randn(case.batch, case.n)
    check(sparse, dense, x, dy)
    steps = [step_of(layer, x, dy) for layer in (sparse, dense)]
    repeats = [max(1, round(MIN_SECONDS / max(_seconds(step, 3), 1e-7))) for step in steps]
    samples: list[list[float]] = [[], []]
    order = [0, 1]
    for _ in range(rounds):
        for which in order:
            samples[which].append(_seconds(steps[which], repeats[which]) * 1e6)
        order.reverse()
    return summarize_samples(samples[0]), summarize_samples(samples[1])


def _seconds(step: Callable[[], Tensor], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


def memory_of(case: Case, kind: str) -> int:
    """Bytes of a layer and its steps: the median of five fresh processes, as pages vary."""
    arguments = [sys.executable, __file__, "--measure", kind, json.dumps(asdict(case))]
    return statistics.median_low(
        int(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)
        for _ in range(5)
    )


def measure(kind: str, case: Case) -> int:
    """The peak over what was resident before, in this process."""
    torch.set_num_threads(1)
    small = Case(64, 4, 8)
    for layer in (sparse_layer(small), nn.Linear(64, 64)):  # loads what is loaded on first use
        step_of(layer, torch.randn(8, 64, requires_grad=True), torch.randn(8, 64))()
    dy = torch.randn(case.batch, case.n)
    gc.collect()
    trim = ctypes.CDLL(None).malloc_trim
    trim(0)
    before = _status("VmRSS")
    layer = sparse_layer(case) if kind == "sparse" else nn.Linear(case.n, case.n)
    x = torch.randn(case.batch, case.n, requires_grad=True)
    trim(0)  # what making the layer left is no part of a step
    Path("/proc/self/clear_refs").write_text("5")  # from here on the peak counts
    step = step_of(layer, x, dy)
    for _ in range(3):
        step()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(field))
    return int(line.split()[1]) * 1024


def report(rounds: int) -> list[dict[str, object]]:
    """Prints the tables, and gives their rows."""
    rows: list[dict[str, object]] = []
    print(f"{cpu_name()}, {isa()}, torch {torch.__version__}, median +- interquartile range\n")
    print("| n | entries a row | batch | threads | sparse us | dense us | faster |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        for threads in (1, 2):
            sparse, dense = time_case(case, threads, rounds)
            ratio = dense.median_us / sparse.median_us
            cells = [f"{t.median_us:.0f} +- {t.spread:.0%}" for t in (sparse, dense)]
            print(
                f"| {case.n} | {case.entries} | {case.batch} | {threads} "
                f"| {cells[0]} | {cells[1]} | {ratio:.2f}x |",
                flush=True,
            )
            timings = {"sparse": asdict(sparse), "dense": asdict(dense)}
            rows.append({**asdict(case), "threads": threads, **timings, "ratio": ratio})
    print("\n| n | entries a row | batch | sparse MiB | dense MiB | share |")
    print("|---|---|---|---|---|---|")
    for case in CASES[:1]:
        sizes = {kind: memory_of(case, kind) for kind in ("sparse", "dense")}
        share = sizes["sparse"] / sizes["dense"]
        print(
            f"| {case.n} | {case.entries} | {case.batch} | {sizes['sparse'] / 2**20:.1f} "
            f"| {sizes['dense'] / 2**20:.1f} | {share:.3f} |"
        )
        rows.append({**asdict(case), "bytes": sizes, "share": share})
    return rows


def main() -> None:
    """Runs the cases, or measures the memory of one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--rounds", type=int, default=21, help="samples per layer")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        kind, case = options.measure
        print(measure(kind, Case(**json.loads(case))))
        return
    rows = report(options.rounds)
    if options.out:
        machine = {"cpu": cpu_name(), "kernels": isa(), "python": platform.python_version()}
        versions = {"torch": torch.__version__}
        options.out.write_text(json.dumps({**machine, **versions, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
