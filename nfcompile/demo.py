"""Trains, compiles, checks and times: what nfcompile does, in under a minute.

Run it as `python -m nfcompile.demo`. Tables go to stdout, progress to stderr, files to `out/`.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor, nn

import nfcompile
from nfcompile import bench
from nfcompile.compiler import Compiled
from nfcompile.data import Dataset, load
from nfcompile.demo_picture import Timing, draw
from nfcompile.errors import NfcompileError, VerificationError
from nfcompile.frontend.torch_module import from_module
from nfcompile.models.cascade_mlp import butterfly_cascade, cascade_mlp, dense_twin
from nfcompile.models.mlp import block_mlp
from nfcompile.study.training import standardize, train
from nfcompile.topology import ParallelButterfly

__all__ = ["accuracy", "main", "train_digits"]

TOPOLOGY = ParallelButterfly(n=256, radix=16, parallel=2, skip=True)
BATCHES = (1, 16, 64, 256)

_log = Console(stderr=True)
_out = Console(width=None if sys.stdout.isatty() else 110)


def train_digits(digits: Dataset, epochs: int = 20) -> nn.Module:
    """A classifier out of two cascades of parallel butterflies, for standardized images."""
    module = cascade_mlp(digits.features, digits.classes, 2, TOPOLOGY, seed=0)
    with Progress(console=_log) as bar:
        shown = bar.add_task("training on digits", total=epochs)
        train(
            module, digits, epochs=epochs, progress=lambda epoch: bar.update(shown, completed=epoch)
        )
    return module


def accuracy(digits: Dataset, scores: np.ndarray) -> float:
    """Share of test images whose largest score is that of their label."""
    return float((scores.argmax(1) == digits.test_y).mean())


def _classify(digits: Dataset, folder: Path, epochs: int) -> None:
    module = train_digits(digits, epochs)
    test = standardize(digits)[1]
    with torch.no_grad():
        before = accuracy(digits, module(test).numpy())
    path = folder / "digits.onnx"
    compiled = nfcompile.compile(module, test)
    compiled.save(path)
    session = nfcompile.session(path)
    (scores,) = session.run(None, {session.get_inputs()[0].name: test.numpy()})
    _out.print(f"\n[bold]Digits[/bold], two layers of {TOPOLOGY}")
    after = accuracy(digits, scores)
    text = f"test accuracy in torch {before:.1%}, of {path} in ONNX Runtime {after:.1%}"
    _out.print(text, soft_wrap=True)
    _print_decisions(compiled)


def _print_decisions(compiled: Compiled) -> None:
    """One row for all layers that look the same and run the same."""
    layers: dict[tuple[str, ...], list[str]] = {}
    for d in compiled.decisions:
        shape = "x".join(map(str, d.shape))
        row: tuple[str, ...] = (shape, f"{d.density:.1%}", d.pattern, d.encoding, d.reason)
        layers.setdefault(row, []).append(d.layer)
    table = Table("layers", "weight", "density", "pattern", "runs as", "why")
    for cells, names in layers.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        table.add_row(names[0] + more, *cells)
    _out.print(table)
    _out.print("verified: what ONNX Runtime computes agrees with the original")


def _time(name: str, sparse: nn.Module, dense: nn.Module, x: Tensor, folder: Path) -> list[Timing]:
    """Compiles `sparse`, and times it against `dense` as torch exports it."""
    stem = name.replace(" ", "-")
    paths = [folder / f"{stem}-dense.onnx", folder / f"{stem}.onnx"]
    ir.save(from_module(dense, x).model, paths[0])
    compiled = nfcompile.compile(sparse, x)
    compiled.save(paths[1])
    if not nfcompile.verify(*paths, samples=1).passed:
        raise VerificationError(f"{paths[0]} and {paths[1]} give different results")
    _out.print(f"\n[bold]{name}[/bold]")
    _print_decisions(compiled)
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    rows = bench.compare(paths, BATCHES, threads=threads or 1, warmup_s=0.1, time_s=0.4)
    medians = {(Path(row.model).stem, row.batch): row.median_us for row in rows}
    return [
        Timing(name, batch, medians[paths[0].stem, batch], medians[paths[1].stem, batch])
        for batch in BATCHES
    ]


def _print_timings(timings: Sequence[Timing]) -> None:
    table = Table("network", "batch", "dense, us", "compiled, us", "dense / compiled")
    for t in timings:
        ratio = f"{t.dense_us / t.compiled_us:.2f}x"
        table.add_row(t.network, str(t.batch), f"{t.dense_us:.0f}", f"{t.compiled_us:.0f}", ratio)
    _out.print("\n[bold]Median time of one inference[/bold], same ONNX Runtime, same threads")
    _out.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m nfcompile.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the files")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the digits")
    parser.add_argument("--digits-only", action="store_true", help="skip the wide networks")
    options = parser.parse_args(arguments)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        _classify(load("digits"), options.out, options.epochs)
        if options.digits_only:
            return 0
        blocks, x = block_mlp()
        cascade, wide = butterfly_cascade()
        timings: list[Timing] = []
        with _log.status("multiplying the factors out, compiling and timing"):
            timings += _time("cascade 3x4096", cascade, dense_twin(cascade), wide, options.out)
            timings += _time("mlp 4x2048 blocks", blocks, blocks, x, options.out)
        _print_timings(timings)
        picture = draw(TOPOLOGY, timings, options.out / "demo.png")
        _out.print(f"wrote {options.out / 'digits.onnx'} and {picture}")
    except NfcompileError as error:
        _log.print(f"[red]error:[/red] {error}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
