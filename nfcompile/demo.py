"""Trains, compiles, checks and times: what nfcompile does, in under a minute.

Run it as `python -m nfcompile.demo`. Tables go to stdout, progress to stderr, files to `out/`.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

import nfcompile
from nfcompile import bench
from nfcompile.compiler import Compiled
from nfcompile.demo_picture import Timing, draw
from nfcompile.errors import EngineMissingError, NfcompileError, VerificationError
from nfcompile.frontend.torch_module import from_module
from nfcompile.models.mlp import block_mlp, butterfly_cascade, butterfly_mlp
from nfcompile.nn import SparseCascade
from nfcompile.topology import ParallelButterfly

__all__ = ["Digits", "dense_twin", "main", "read_digits", "train"]

TOPOLOGY = ParallelButterfly(n=256, radix=16, parallel=2, skip=True)
BATCHES = (1, 16, 64, 256)

_log = Console(stderr=True)
_out = Console(width=None if sys.stdout.isatty() else 110)


@dataclass(frozen=True)
class Digits:
    """Images of handwritten digits, [N, 64] in [0, 1], and their labels, split in two."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    def accuracy(self, scores: np.ndarray) -> float:
        """Share of test images whose largest score is that of their label."""
        return float((scores.argmax(1) == self.test_labels.numpy()).mean())


def read_digits() -> Digits:
    """The 1,797 digits of scikit-learn (UCI optdigits), one fifth of them for testing."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise EngineMissingError("the demo needs scikit-learn: pip install scikit-learn") from error
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    parts = train_test_split(images, labels, test_size=0.2, random_state=0, stratify=labels)
    train_images, test_images, train_labels, test_labels = map(torch.from_numpy, parts)
    return Digits(train_images, train_labels, test_images, test_labels)


def train(digits: Digits, epochs: int = 30) -> nn.Module:
    """A classifier out of two cascades of parallel butterflies, trained with Adam."""
    module = butterfly_mlp(64, 10, depth=2, topology=TOPOLOGY, seed=0)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(module.parameters())
    steps = epochs * -(-len(digits.train_labels) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    with _one_thread():
        for _ in track(range(epochs), "training on digits", console=_log):
            order = torch.randperm(len(digits.train_labels), generator=generator)
            for rows in order.split(64):  # type: ignore[no-untyped-call]
                scores = module(digits.train_images[rows])
                loss = nn.functional.cross_entropy(scores, digits.train_labels[rows])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    return module.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Layers of 64 are too small to share between threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def dense_twin(module: nn.Module) -> nn.Sequential:
    """The same function with each cascade multiplied out into one dense layer."""
    layers: list[nn.Module] = []
    for layer in module.children():
        if not isinstance(layer, SparseCascade):
            layers.append(layer)
            continue
        identity = torch.eye(layer.topology.n)
        linear = nn.Linear(layer.topology.n, layer.topology.n, bias=layer.bias is not None)
        with torch.no_grad():
            columns = sum((branch(identity) for branch in layer.branches), identity * 0)
            linear.weight.copy_((columns + identity if layer.topology.skip else columns).T)
            if layer.bias is not None:
                linear.bias.copy_(layer.bias)
        layers.append(linear)
        if isinstance(layer.activation, nn.Module):
            layers.append(layer.activation)
    return nn.Sequential(*layers)


def _classify(digits: Digits, folder: Path, epochs: int) -> None:
    module = train(digits, epochs)
    with torch.no_grad():
        before = digits.accuracy(module(digits.test_images).numpy())
    path = folder / "digits.onnx"
    compiled = nfcompile.compile(module, digits.test_images)
    compiled.save(path)
    session = nfcompile.session(path)
    (scores,) = session.run(None, {session.get_inputs()[0].name: digits.test_images.numpy()})
    _out.print(f"\n[bold]Digits[/bold], two layers of {TOPOLOGY}")
    after = digits.accuracy(scores)
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
    parser.add_argument("--epochs", type=int, default=30, help="passes over the digits")
    parser.add_argument("--digits-only", action="store_true", help="skip the wide networks")
    options = parser.parse_args(arguments)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        _classify(read_digits(), options.out, options.epochs)
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
