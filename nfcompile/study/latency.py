"""What a layer of a topology costs once it is compiled: measured, side by side."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nfcompile.api import compile as compile_network
from nfcompile.bench import time_runners
from nfcompile.bench.statistics import Timing, summarize_samples
from nfcompile.nn import SparseCascade
from nfcompile.runtime.ort import OrtEngine
from nfcompile.topology import Topology

__all__ = ["measure_latency"]

_WARMUP_S = 0.1


def measure_latency(
    topologies: Sequence[Topology],
    batches: Sequence[int] = (1, 64),
    *,
    threads: int = 1,
    time_s: float = 0.3,
    progress: Callable[[str], None] = lambda step: None,
) -> list[dict[int, Timing]]:
    """Compiles one layer with a ReLU per topology, verified, and times them in turns.

    Args:
        topologies: All from and to the same widths.
        batches: Batch sizes.
        threads: Threads of one inference.
        time_s: Seconds of timed calls per topology and batch size.
        progress: Called with a few words at each step.

    Returns:
        For each topology its timings by batch size.
    """
    engine = OrtEngine()
    runners = []
    with tempfile.TemporaryDirectory() as folder:
        for index, topology in enumerate(topologies):
            progress(f"compiling {topology}")
            x = torch.randn(max(batches), topology.in_features)
            path = Path(folder) / f"{index}.onnx"
            # Wrapped, so that the input has the same name in all models.
            layer = nn.Sequential(SparseCascade(topology, activation=nn.ReLU())).eval()
            compile_network(layer, x, threads=threads, samples=1).save(path)
            runners.append(engine.load_for_timing(path, threads))
    found: list[dict[int, Timing]] = [{} for _ in topologies]
    for batch in batches:
        progress(f"timing at batch {batch}")
        rng = np.random.default_rng(batch)
        shape = batch, topologies[0].in_features
        name = runners[0].session.get_inputs()[0].name
        inputs = {name: rng.standard_normal(shape, dtype=np.float32)}
        samples = time_runners(runners, inputs, _WARMUP_S, time_s)
        for timings, taken in zip(found, samples, strict=True):
            timings[batch] = summarize_samples(taken)
    return found
