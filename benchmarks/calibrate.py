"""Measures the cost model's constants on this machine and writes them into calibration.json.

    python benchmarks/calibrate.py [--isa scalar] [--seconds 0.3]

Each way of running a layer is timed in ONNX Runtime at two densities, two widths and four batch
sizes, one thread, against the dense layer in the same run. Time is linear in what is stored, so two
densities give the cost per value and the cost per activation.
"""

import argparse
import json
import os
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
from networks import chain, weight_of

import nfcompile
from nfcompile.bench import compare
from nfcompile.bench.environment import describe
from nfcompile.cost.calibration import BATCHES, SIZES

LAYERS = 4
OVERHEAD_WIDTH = 16
WAYS: dict[str, tuple[str, str, tuple[str, str]]] = {
    # name: target, encoding to force, two patterns that differ in how much is stored
    "csr": ("ort-cpu", "csr", ("unstructured 0.05", "unstructured 0.2")),
    "bsr": ("ort-cpu", "bsr", ("blocks 16 0.05", "blocks 16 0.2")),
    "bsr narrow": ("ort-cpu", "bsr", ("blocks 4 0.05", "blocks 4 0.2")),
    "block-diagonal": ("ort-cpu", "block-diagonal", ("butterfly 4", "butterfly 16")),
    "block-diagonal permuted": ("ort-cpu", "block-diagonal", ("shuffled 4", "shuffled 16")),
    "portable": ("portable", "block-diagonal", ("butterfly 4", "butterfly 16")),
}
OUT = Path(nfcompile.__file__).parent / "cost" / "calibration.json"


def main() -> None:
    """Measures one set and replaces it in the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--isa", default="", help="hold the kernels to this instruction set")
    parser.add_argument("--seconds", type=float, default=0.3, help="per model and batch size")
    options = parser.parse_args()
    if options.isa:
        os.environ["NFCOMPILE_MAX_ISA"] = options.isa
    environment = describe(1)
    with tempfile.TemporaryDirectory() as folder:
        measured = {name: measure(name, Path(folder), options.seconds) for name in WAYS}
        measured["dense"] = measure_dense(Path(folder), options.seconds)
    sets = json.loads(OUT.read_text()) if OUT.exists() else {}
    sets[environment["kernels"]] = {
        "provenance": {
            **environment,
            "date": date.today().isoformat(),
            "command": "python benchmarks/calibrate.py"
            + f" --isa {options.isa}" * bool(options.isa),
        },
        "constants": measured,
    }
    OUT.write_text(json.dumps(sets, indent=1) + "\n")
    print(json.dumps(sets[environment["kernels"]], indent=1))


def measure(name: str, folder: Path, seconds: float) -> dict[str, object]:
    """Constants of one way of running a layer."""
    target, kind, patterns = WAYS[name]
    per_mac, per_io = [], []
    for size in SIZES:
        times, stored = [], []
        for pattern in patterns:
            path, count = build(folder, size, pattern, target, kind)
            times.append(np.array(layer_times(path, seconds)))
            stored.append(count)
        overhead = overhead_us(folder, target, kind, patterns[0], seconds)
        per_row = [(time - overhead) / BATCHES * 1e3 for time in times]  # nanoseconds
        mac = np.maximum((per_row[1] - per_row[0]) / (stored[1] - stored[0]), 1e-4)
        moved = np.maximum((per_row[1] - mac * stored[1]) / (2 * size), 0)
        per_mac.append(mac.round(5).tolist())
        per_io.append(moved.round(4).tolist())
    print(name, per_mac, per_io, flush=True)
    return {"ns_per_mac": per_mac, "ns_per_io": per_io, "overhead_us": round(overhead, 2)}


def measure_dense(folder: Path, seconds: float) -> dict[str, object]:
    """Constants of ONNX Runtime's own dense layer."""
    per_mac = []
    path, _ = build(folder, OVERHEAD_WIDTH, "dense", "ort-cpu", "")
    overhead = float(np.min(layer_times(path, seconds)))
    for size in SIZES:
        path, _ = build(folder, size, "dense", "ort-cpu", "")
        time = np.array(layer_times(path, seconds))
        per_mac.append(((time - overhead) / BATCHES * 1e3 / size**2).round(5).tolist())
    zero = [[0.0] * len(BATCHES)] * len(SIZES)
    return {"ns_per_mac": per_mac, "ns_per_io": zero, "overhead_us": round(overhead, 2)}


def build(folder: Path, size: int, pattern: str, target: str, kind: str) -> tuple[Path, int]:
    """A compiled chain of layers, and the values that one layer stores."""
    path = folder / f"{size} {pattern} {target} {kind}.onnx"
    model = chain([weight_of(pattern, size, seed) for seed in range(LAYERS)])
    force = f"force={kind}," if kind else "max_density=0,"
    text = (
        f"infer-shapes,encode-weights{{target=ort-cpu,{force}threads=1}},legalize-{target},"
        "remove-unused"
    )
    compiled = nfcompile.compile(model, target=target, passes=text, samples=1)
    compiled.save(path)
    return path, compiled.after.macs // LAYERS


def layer_times(path: Path, seconds: float) -> list[float]:
    """Median microseconds of one layer at each batch size."""
    rows = compare([path], BATCHES, threads=1, warmup_s=0.1, time_s=seconds)
    return [row.median_us / LAYERS for row in rows]


def overhead_us(folder: Path, target: str, kind: str, pattern: str, seconds: float) -> float:
    """Microseconds of a layer that has nearly nothing to do."""
    path, _ = build(folder, OVERHEAD_WIDTH, pattern, target, kind)
    return float(np.min(layer_times(path, seconds)))


if __name__ == "__main__":
    main()
