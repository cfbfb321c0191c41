"""Kernels for CUDA against dense and sparse peers: python benchmarks/gpu.py [--seconds 240].

Needs PyTorch with CUDA, which gives memory and events, and is the peer. Every result is compared
with float64 before anything is timed. Calls are captured in CUDA graphs, which rotate over copies
of weights and inputs that outgrow the second-level cache, and take turns in rounds; figures are
medians with quartiles, and shares of the bandwidth and matrix rate that are measured in the same
run. Cases come in the order of their importance, and what does not fit the seconds is left out.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from gpu_bench import ROUNDS, Bench, Result
from gpu_calibration import calibrated
from gpu_cases import Case, all_cases
from gpu_clock import GpuClock
from gpu_network import Network
from gpu_page import page

__all__ = ["run"]


def run(
    bench: Bench, cases: Sequence[Case], seconds: float, progress: Callable[[str], None] = print
) -> dict[str, Any]:
    """Measures cases one after the other, until the seconds are over.

    Args:
        bench: What to measure with.
        cases: Most important first.
        seconds: No batch is begun after that many.
        progress: Told each result in a line.
    """
    begin = time.monotonic()
    ceilings = bench.ceilings()
    progress(f"{bench.cuda.device()['name']}: " + _told(ceilings))
    results: list[Result] = []
    left_out: list[str] = []
    for case in cases:
        network: Network | None = None
        for batch in case.batches:
            if time.monotonic() - begin > seconds:
                left_out.append(f"{case.name}, {'/'.join(case.types)}, batch {batch}")
                continue
            try:
                network = network or Network(case, bench.torch, bench.cuda, bench.device)
                results.append(bench.measure(case, network, batch, ceilings))
            except Exception as error:  # memory, or the driver
                reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
                results.append(Result(case.name, case.group, case.types, batch,
                                      reasons={"nfcompile": reason}))  # fmt: skip
            progress(_line(results[-1]))
            if bench.device == "cuda":
                bench.torch.cuda.empty_cache()
    return {
        "device": dict(bench.cuda.device()),
        "ceilings": ceilings,
        "date": date.today().isoformat(),
        "seconds": round(time.monotonic() - begin, 1),
        "results": [asdict(item) for item in results],
        "left_out": left_out,
    }


def main() -> None:
    """Measures, and writes a JSON and a Markdown file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=240, help="no case begins after that many")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="samples of each contender")
    parser.add_argument("--cases", default="", help="only cases whose name begins so")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for gpu.json, gpu.md")
    parser.add_argument("--calibrate", action="store_true", help="write the cost model's constants")
    options = parser.parse_args()
    torch, cuda = device_modules()
    clock = GpuClock(torch)
    bench = Bench(torch, cuda, "cuda", clock, cuda.device()["l2_bytes"], options.rounds)
    cases = [case for case in all_cases() if case.name.startswith(options.cases)]
    found = run(bench, cases, options.seconds, lambda text: print(text, flush=True))
    found["nodes"] = nodes()
    write(found, options.out)
    if options.calibrate:
        calibrated(found, f"python benchmarks/gpu.py --seconds {options.seconds:g} --calibrate")


def nodes() -> dict[str, float] | str:
    """What a node costs inside ONNX Runtime, or why nobody knows."""
    from gpu_nodes import node_costs

    try:
        return {name: round(us, 2) for name, us in node_costs().items()}
    except Exception as error:  # onnxruntime has no provider for CUDA, or fails
        return f"{type(error).__name__}: {error}".splitlines()[0]


def device_modules() -> tuple[Any, Any]:
    """PyTorch and our kernels, both of which see a GPU.

    Raises:
        SystemExit: If one of them does not.
    """
    try:
        import torch
    except ImportError:
        raise SystemExit("benchmarks/gpu.py needs PyTorch with CUDA: it is not installed") from None
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks/gpu.py needs PyTorch with CUDA: it sees no GPU")
    from nfcompile import _native

    if reason := _native.cuda.available():
        raise SystemExit(f"benchmarks/gpu.py needs our kernels: {reason}")
    torch.backends.cuda.matmul.allow_tf32 = True
    return torch, _native.cuda


def write(found: dict[str, Any], folder: Path) -> None:
    """Writes gpu.json and gpu.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "gpu.md").write_text(page(found))


def _told(ceilings: dict[str, float]) -> str:
    rates = ", ".join(
        f"{kind} {ceilings[kind] / 1e12:.0f} TFLOP/s" for kind in ("bf16", "f16", "f32")
    )
    return f"memory {ceilings['memory'] / 1e12:.2f} TB/s, {rates}"


def _line(result: Result) -> str:
    times = ", ".join(f"{name} {item.median_us:.1f}" for name, item in result.timings.items())
    reasons = "".join(f"; {name}: {reason}" for name, reason in result.reasons.items())
    where = f"{result.case}, {'/'.join(result.types)}, batch {result.batch}"
    return f"{where}: us {times}; {result.matrix_share:.0%} of the matrix rate, " + (
        f"{result.memory_share:.0%} of bandwidth{reasons}"
    )


if __name__ == "__main__":
    main()
