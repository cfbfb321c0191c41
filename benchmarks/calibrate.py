"""Measures the cost model's constants on this machine and writes them into calibration.json.

    python benchmarks/calibrate.py [--isa scalar] [--seconds 0.3]

Each way of running a layer is timed in ONNX Runtime at three densities, three widths and four batch
sizes, one thread. Time is taken as linear in what is stored and in the activations that move: the
two costs are a non-negative least-squares fit of the relative errors. What a layer costs that has
nearly nothing to do is the difference between a long chain of them and a short one, so that the
session's own part, which every candidate pays once, is charged to no layer.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import onnx_ir as ir
import scipy.optimize

import nfcompile
from nfcompile.bench import Row, compare
from nfcompile.bench.environment import describe
from nfcompile.cost.calibration import BATCHES, SIZES
from nfcompile.ir.protobuf import write_model
from nfcompile.models.chain import chain, weight_of

LAYERS = {16: 4, 64: 8, 256: 4, 2048: 4}
"""Of a chain, by width: more where one takes less than a call does."""
MANY_LAYERS = 36
NOISE_US = 0.02
OVERHEAD_WIDTH = 16
BUTTERFLIES = ("butterfly 4", "butterfly 16", "butterfly 32")
WAYS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    # name: target, encoding to force, patterns that differ in how much is stored
    "csr": ("ort-cpu", "csr", ("unstructured 0.02", "unstructured 0.05", "unstructured 0.2")),
    "bsr": ("ort-cpu", "bsr", ("blocks 16 0.05", "blocks 32 0.1", "blocks 16 0.2")),
    "bsr thin": ("ort-cpu", "bsr", ("strips 16 0.02", "strips 16 0.05", "strips 16 0.2")),
    "bsr narrow": ("ort-cpu", "bsr", ("blocks 4 0.02", "blocks 4 0.05", "blocks 4 0.2")),
    "block-diagonal": ("ort-cpu", "block-diagonal", BUTTERFLIES),
    "block-diagonal permuted": (
        "ort-cpu",
        "block-diagonal",
        ("shuffled 4", "shuffled 16", "shuffled 32"),
    ),
    "portable": ("portable", "block-diagonal", BUTTERFLIES),
}
# Every way of our own operators in bf16, too.
WAYS |= {f"{name} bf16": way for name, way in WAYS.items() if way[0] == "ort-cpu"}
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
        overheads = overheads_of(Path(folder), options.seconds)
        measured = {
            name: measure(name, Path(folder), options.seconds, overheads[WAYS[name][0]])
            for name in WAYS
        }
        measured["dense"] = measure_dense(Path(folder), options.seconds)
        measured["gather"] = measure_gather(Path(folder), options.seconds)
    sets = json.loads(OUT.read_text()) if OUT.exists() else {}
    sets[environment["kernels"]] = {
        "provenance": {
            **environment,
            "date": date.today().isoformat(),
            "command": "python benchmarks/calibrate.py"
            + f" --isa {options.isa}" * bool(options.isa),
            "overheads": {target: asdict(item) for target, item in overheads.items()},
        },
        "constants": measured,
    }
    OUT.write_text(json.dumps(sets, indent=1) + "\n")
    print(json.dumps(sets[environment["kernels"]], indent=1))


@dataclass(frozen=True, order=True)
class Overhead:
    """Microseconds of what has nearly nothing to do: of a layer, and of a call without layers."""

    layer_us: float
    call_us: float

    def rest(self, call_us: np.ndarray, size: int) -> np.ndarray:
        """Microseconds of each layer of this width beyond this, of calls that took `call_us`."""
        rest = (call_us - self.call_us) / LAYERS[size] - self.layer_us
        if (rest < -NOISE_US - self.layer_us / 5).any():
            sys.exit(f"width {size}: calls of {call_us} us take less than {self}: measure again")
        return np.maximum(rest, NOISE_US / 10)


def overheads_of(folder: Path, seconds: float) -> dict[str, Overhead]:
    """By target: of its ways, which share one code path, the least of a layer."""
    found: dict[str, list[Overhead]] = {}
    for target, kind, patterns in WAYS.values():
        own = overhead_of(folder, target, kind, patterns[0], seconds)
        found.setdefault(target, []).append(own)
    return {
        target: Overhead(min(items).layer_us, statistics.median(item.call_us for item in items))
        for target, items in found.items()
    }


def measure(name: str, folder: Path, seconds: float, overhead: Overhead) -> dict[str, object]:
    """Constants of one way of running a layer."""
    target, kind, patterns = WAYS[name]
    per_mac, per_io = [], []
    for size in SIZES:
        times, stored = [], []
        for pattern in patterns:
            path, count = build(folder, size, pattern, target, kind, precision_of(name))
            times.append(overhead.rest(call_times(path, BATCHES, seconds), size))
            stored.append(count)
        fits = [
            fit(stored, size, at / batch * 1e3)
            for at, batch in zip(np.array(times).T, BATCHES, strict=True)
        ]
        per_mac.append([round(mac, 5) for mac, _ in fits])
        per_io.append([round(moved, 4) for _, moved in fits])
    print(name, per_mac, per_io, flush=True)
    least = round(overhead.layer_us, 3)
    return {"ns_per_mac": per_mac, "ns_per_io": per_io, "overhead_us": least}


def precision_of(name: str) -> str:
    """What the weights of a way are stored as."""
    return "bf16" if name.endswith(" bf16") else "fp32"


def fit(stored: list[int], size: int, row_ns: np.ndarray) -> tuple[float, float]:
    """Nanoseconds per stored value and per activation, from those per batch row."""
    row_ns = np.maximum(row_ns, 1e-3)
    features = np.array([[count, 2 * size] for count in stored]) / row_ns[:, None]
    (mac, moved), _ = scipy.optimize.nnls(features, np.ones(len(stored)))
    return max(float(mac), 1e-5), float(moved)


def measure_dense(folder: Path, seconds: float) -> dict[str, object]:
    """Constants of ONNX Runtime's own dense layer."""
    per_mac = []
    overhead = overhead_of(folder, "ort-cpu", "", "dense", seconds)
    for size in SIZES:
        path, _ = build(folder, size, "dense", "ort-cpu", "")
        time = overhead.rest(call_times(path, BATCHES, seconds), size)
        per_mac.append((time / BATCHES * 1e3 / size**2).round(5).tolist())
    zero = [[0.0] * len(BATCHES)] * len(SIZES)
    least = round(overhead.layer_us, 3)
    return {"ns_per_mac": per_mac, "ns_per_io": zero, "overhead_us": least}


def measure_gather(folder: Path, seconds: float) -> dict[str, object]:
    """Constants of ONNX Runtime's Gather along the features: per element, as if stored."""
    per_element = []
    empty = overhead_of(folder, "ort-cpu", "", "dense", seconds).call_us
    for size in SIZES:
        path = folder / f"gather {size}.onnx"
        write_model(gather(size), path)
        time = call_times(path, BATCHES, seconds) - empty
        per_element.append((time / BATCHES * 1e3 / size).round(3).tolist())
    zero = [[0.0] * len(BATCHES)] * len(SIZES)
    return {"ns_per_mac": per_element, "ns_per_io": zero, "overhead_us": 0.0}


def gather(size: int) -> ir.Model:
    """One that puts `size` features in another order."""
    order = ir.tensor(np.random.default_rng(0).permutation(size), name="order")
    x = ir.val("x", ir.DataType.FLOAT, ["batch", size])
    index = ir.val("order", ir.DataType.INT64, [size], const_value=order)
    node = ir.node("Gather", [x, index], {"axis": -1})
    node.outputs[0].name = "y"
    node.outputs[0].dtype = ir.DataType.FLOAT
    graph = ir.Graph([x], node.outputs, nodes=[node], initializers=[index], opset_imports={"": 18})
    return ir.Model(graph, ir_version=10)


def build(
    folder: Path, size: int, pattern: str, target: str, kind: str, precision: str = "fp32",
    layers: int = 0,
) -> tuple[Path, int]:  # fmt: skip
    """A compiled chain of layers, and the values that one layer stores."""
    layers = layers or LAYERS[size]
    path = folder / f"{layers} {size} {pattern} {target} {kind} {precision}.onnx"
    model = chain([weight_of(pattern, size, seed) for seed in range(layers)])
    force = f"force={kind}," if kind else "max_density=0,"
    legalize = "legalize-portable"
    if target == "ort-cpu":
        legalize = "legalize-ort-cpu,fuse-epilogue,fuse-chains"
    text = (
        f"infer-shapes,encode-weights{{target=ort-cpu,{force}threads=1,precision={precision}}},"
        f"{legalize},remove-unused"
    )
    compiled = nfcompile.compile(model, target=target, precision=precision, passes=text, samples=1)
    compiled.save(path)
    return path, compiled.after.macs // layers


def call_times(path: Path, batches: Sequence[int], seconds: float) -> np.ndarray:
    """Microseconds at each batch size, of a call that little disturbed."""
    rows = compare([path], batches, threads=1, warmup_s=0.1, time_s=seconds)
    return np.array([undisturbed_us(row) for row in rows])


def overhead_of(folder: Path, target: str, kind: str, pattern: str, seconds: float) -> Overhead:
    """Of two chains of narrow layers."""
    few, many = (
        float(call_times(path, [1], seconds)[0])
        for layers in (LAYERS[OVERHEAD_WIDTH], MANY_LAYERS)
        for path, _ in [build(folder, OVERHEAD_WIDTH, pattern, target, kind, layers=layers)]
    )
    layer = (many - few) / (MANY_LAYERS - LAYERS[OVERHEAD_WIDTH])
    return Overhead(layer, few - LAYERS[OVERHEAD_WIDTH] * layer)


def undisturbed_us(row: Row) -> float:
    """The lowest fifth of the samples: on a shared machine the rest is others' work."""
    return float(np.quantile(row.samples_us, 0.2))


if __name__ == "__main__":
    main()
