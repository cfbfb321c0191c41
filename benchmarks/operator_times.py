"""Where a model spends its time: python benchmarks/operator_times.py MODEL [--batch 16].

Prints milliseconds per call by operator, medians of ONNX Runtime's own profiler, and the slowest
nodes. Inputs are random, as for verification; their open dimensions have the batch's size first,
then --length.
"""

import argparse
import json
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

import nfcompile
from nfcompile.frontend.onnx_file import read_model
from nfcompile.runtime.sampling import sample_inputs

WARM_UP = 2


def profile(path: Path, batch: int, length: int, threads: int, calls: int) -> list[dict[str, Any]]:
    """Each node's operator, name and milliseconds per call."""
    model = read_model(path)
    for value in model.graph.inputs:
        dims = value.shape or ()
        value.shape = ir.Shape(
            size if isinstance(size, int) else (length if axis else batch)
            for axis, size in enumerate(dims)
        )
    inputs = sample_inputs(model, batch, np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as folder:
        session = nfcompile.session(
            path,
            threads=threads,
            enable_profiling=True,
            profile_file_prefix=f"{folder}/profile",
        )
        for _ in range(WARM_UP + calls):
            session.run(None, inputs)
        events = json.loads(Path(session.end_profiling()).read_text())
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            times[event["args"]["op_name"], name].append(event["dur"] / 1e3)
    return [
        {"operator": operator, "name": name, "ms": statistics.median(of[WARM_UP:])}
        for (operator, name), of in times.items()
    ]


def main() -> None:
    """Profiles one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--length", type=int, default=128, help="of other open dimensions")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--calls", type=int, default=7)
    parser.add_argument("--nodes", type=int, default=10, help="how many of the slowest to print")
    options = parser.parse_args()
    nodes = profile(options.model, options.batch, options.length, options.threads, options.calls)
    by_operator: dict[str, list[float]] = defaultdict(list)
    for node in nodes:
        by_operator[node["operator"]].append(node["ms"])
    for operator, times in sorted(by_operator.items(), key=lambda item: -sum(item[1])):
        print(f"{operator:24} x{len(times):3} {sum(times):10.2f} ms")
    print(f"{'all':24}  {len(nodes):3} {sum(node['ms'] for node in nodes):10.2f} ms\n")
    for node in sorted(nodes, key=lambda node: -node["ms"])[: options.nodes]:
        print(f"{node['operator']:24} {node['ms']:10.3f} ms  {node['name']}")


if __name__ == "__main__":
    main()
