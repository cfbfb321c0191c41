"""Two builds of the operators on one file: python benchmarks/builds.py OLD.so NEW.so --cases tall.

Prints a Markdown row per case and batch: medians in microseconds, old and new, interquartile range
over the median. Calls take turns, on one thread, since threads of two sessions disturb each other;
outputs are compared before.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from nfcompile.bench.contenders import CONTENDERS
from nfcompile.bench.statistics import summarize_samples
from nfcompile.bench.suites import SUITES
from nfcompile.runtime.engine import TimedCall, stopwatch
from nfcompile.runtime.timing import time_calls

WARMUP_S = 0.05
TURN_S = 0.02
LARGEST_ERROR = {"fp32": 1e-5, "bf16": 1e-2}
"""Of the difference of two builds, over the largest output: sums may be in another order."""


def calls_of(
    model: Path, builds: Sequence[Path], inputs: Mapping[str, np.ndarray], precision: str
) -> list[TimedCall]:
    """A call of `model` with each build; exits if their outputs differ."""
    sessions = []
    for build in builds:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.register_custom_ops_library(str(build.resolve()))
        sessions.append(
            onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        )
    first, *others = ([np.asarray(y) for y in s.run(None, dict(inputs))] for s in sessions)
    for outputs in others:
        for old, new in zip(first, outputs, strict=True):
            error = np.abs(new - old).max(initial=0) / (np.abs(old).max(initial=0) or 1)
            if not error <= LARGEST_ERROR[precision]:
                raise SystemExit(f"the builds' outputs differ by {error:.2g} of the largest")
    return [stopwatch(lambda s=s: s.run(None, dict(inputs))) for s in sessions]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--cases", required=True, help="what names begin with, by commas")
    parser.add_argument("--batch", default="16,64,256")
    parser.add_argument("--precision", choices=LARGEST_ERROR, default="fp32")
    parser.add_argument("--time", type=float, default=0.5, help="seconds per build and batch")
    args = parser.parse_args()
    ours = "nfcompile" if args.precision == "fp32" else "nfcompile-bf16"
    contender = next(item for item in CONTENDERS if item.name == ours)
    wanted = tuple(args.cases.split(","))
    cases = {case.name: case for suite in SUITES.values() for case in suite.cases}
    print("| case | precision | batch | old | new |\n|---|---|---|---|---|", flush=True)
    for case in (case for name, case in cases.items() if name.startswith(wanted)):
        with tempfile.TemporaryDirectory() as folder:
            model = contender.file(case.build(Path(folder)), Path(folder), 1)
            for batch in map(int, args.batch.split(",")):
                inputs = next(iter(case.inputs.values()))(batch)
                calls = calls_of(model, [args.old, args.new], inputs, args.precision)
                found = time_calls(calls, WARMUP_S, args.time, turn_s=TURN_S)
                times = [summarize_samples(samples) for samples in found]
                cells = " | ".join(f"{t.median_us:.0f} ±{t.spread:.0%}" for t in times)
                print(f"| {case.name} | {args.precision} | {batch} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
