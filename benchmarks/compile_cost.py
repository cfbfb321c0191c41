"""Measures what compiling costs: time, memory and size, against loading and saving the same file.

python benchmarks/compile_cost.py [--out out/compile-cost]      (make bench)
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from nfcompile.bench.environment import describe
from nfcompile.ir.protobuf import write_model
from nfcompile.models.chain import chain, weight_of

LAYERS_400_MB = 24
RUNS = 5

LOAD_SAVE = "import onnx_ir, sys; onnx_ir.save(onnx_ir.load(sys.argv[1]), sys.argv[2])"
COMPILE = """
import sys
from nfcompile.cli import app
app(["compile", sys.argv[1], "-o", sys.argv[2]], standalone_mode=False)
"""
HELP = """
from nfcompile.cli import app
app(["--help"], standalone_mode=False)
"""
PEAK = """
import resource, sys
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def main() -> None:
    """Runs all measurements and writes the two files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/compile-cost"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        cost = measure_cost(Path(folder))
    environment = describe()
    data = {"environment": environment, "cost": cost}
    options.out.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")
    page = markdown(environment, cost)
    options.out.with_suffix(".md").write_text(page)
    print(page)


def measure_cost(folder: Path) -> dict[str, Any]:
    """Time, memory and size of compiling a 400 MB model, against loading and saving it."""
    source, copy, compiled = (folder / f"{name}.onnx" for name in ("big", "copy", "compiled"))
    layers = [weight_of("unstructured 0.1", 2048, seed) for seed in range(LAYERS_400_MB)]
    write_model(chain(layers, relu=True), source)
    found: dict[str, list[tuple[float, float]]] = {"load and save": [], "compile": [], "help": []}
    for _ in range(RUNS):  # interleaved
        found["load and save"].append(run(LOAD_SAVE, source, copy))
        found["compile"].append(run(COMPILE, source, compiled))
        found["help"].append(run(HELP))
    return {
        "bytes": {"before": source.stat().st_size, "after": compiled.stat().st_size},
        **{
            name: {
                "seconds": statistics.median(seconds for seconds, _ in runs),
                "peak_bytes": statistics.median(peak for _, peak in runs),
            }
            for name, runs in found.items()
        },
    }


def run(code: str, *args: Path) -> tuple[float, float]:
    """Seconds and peak bytes of a Python process of its own."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code + PEAK, *map(str, args)],
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - start, int(done.stderr.split()[-1]) * 1024


def markdown(environment: dict[str, Any], cost: dict[str, Any]) -> str:
    """The figures as a page."""
    before, after = cost["bytes"]["before"], cost["bytes"]["after"]
    base, ours = cost["load and save"], cost["compile"]
    lines = [
        f"{environment['cpu']}, {environment['cores']} cores; "
        f"nfcompile {environment['nfcompile']}.",
        "",
        f"Compiling a model of {before / 1e6:.0f} MB, 90 % zeros (medians of {RUNS} processes):",
        "",
        "| | seconds | peak memory | file |",
        "|---|---|---|---|",
        f"| onnx_ir load + save | {base['seconds']:.1f} "
        f"| {base['peak_bytes'] / before:.2f}x the file | 1x |",
        f"| nfcompile compile | {ours['seconds']:.1f} ({ours['seconds'] / base['seconds']:.1f}x) "
        f"| {ours['peak_bytes'] / before:.2f}x the file | {after / before:.3f}x |",
        "",
        f"`nfcompile --help`: {cost['help']['seconds']:.2f} s.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
