"""Kernels for CUDA against dense and sparse peers: python benchmarks/gpu.py [--seconds 240].

Needs PyTorch with CUDA, which gives memory and events, and is the peer. Every result is compared
with float64 before anything is timed. Calls are captured in CUDA graphs, which rotate over copies
of weights and inputs that outgrow the second-level cache, and take turns in rounds; figures are
medians with quartiles, and shares of the bandwidth and matrix rate that are measured in the same
run. Cases come in the order of their importance, and what does not fit the seconds is left out.
"""

import argparse
import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from gpu_calibration import calibrated
from gpu_cases import Case, all_cases
from gpu_clock import Clock, GpuClock, HostClock, Sample, Timing, copies_beyond_cache, take_turns
from gpu_network import BYTES, Network, torch_type
from gpu_ort import ort_dense
from gpu_page import page

__all__ = ["Bench", "Result", "run"]

_ROUNDS = 9
_CHECKED_ROWS = 16
_LIMITS = {"f32": 3e-5, "tf32": 3e-3, "f16": 3e-3, "bf16": 2e-2}
"""Of the norm of the error over that of the exact result."""
_CEILING_WIDTH = 8192
_COPIED_BYTES = 1 << 30


@dataclass
class Result:
    """One case at one batch size.

    Attributes:
        case: Its name.
        group: Its group.
        types: Of activations and of stored values.
        batch: Rows.
        kernels: Symbols that ran.
        timings: By contender; ours is `nfcompile`.
        errors: Norm of the error over that of the exact result, by contender.
        reasons: Why a contender has no timing.
        matrix_share: Our arithmetic on stored values, as a share of the measured matrix rate.
        memory_share: The bytes that we must move, as a share of the measured bandwidth.
        cold: Whether copies outgrow the second-level cache, so that bytes come from memory.
        edges_per_s: Of the network that the case stands for; 0 if it is not told so.
    """

    case: str
    group: str
    types: tuple[str, str]
    batch: int
    kernels: list[str] = field(default_factory=list)
    timings: dict[str, Timing] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    matrix_share: float = 0.0
    memory_share: float = 0.0
    cold: bool = True
    edges_per_s: float = 0.0


@dataclass(frozen=True)
class Bench:
    """What cases are measured with.

    Attributes:
        torch: The module.
        cuda: The module `nfcompile._native.cuda`, or one like it.
        device: `cuda`, or `cpu` in tests.
        clock: Times calls of kernels.
        l2_bytes: Size of the second-level cache.
        rounds: Samples per contender.
    """

    torch: Any
    cuda: Any
    device: str
    clock: Clock
    l2_bytes: int
    rounds: int = _ROUNDS

    def ceilings(
        self, width: int = _CEILING_WIDTH, nbytes: int = _COPIED_BYTES
    ) -> dict[str, float]:
        """Measured limits: `memory` in bytes a second, and rates of dense products by type."""
        torch = self.torch
        source = torch.randn(nbytes // 4, device=self.device)
        target = torch.empty_like(source)
        samples = {
            "memory": self.clock([lambda: target.copy_(source)]),
            "read": self.clock([lambda: torch.sum(source)]),
        }
        for kind in ("bf16", "f16", "f32"):
            a, b = (
                torch.randn((width, width), device=self.device).to(torch_type(torch, kind))
                for _ in range(2)
            )
            samples[kind] = self.clock([lambda a=a, b=b: torch.matmul(a, b)])
        timings = take_turns(samples, self.rounds)
        flops = 2.0 * width**3
        found = {kind: flops / timings[kind].median_us * 1e6 for kind in ("bf16", "f16", "f32")}
        bytes_per_us = {name: nbytes / timings[name].median_us for name in ("memory", "read")}
        return {"memory": 2e6 * bytes_per_us["memory"], "read": 1e6 * bytes_per_us["read"], **found}

    def measure(
        self, case: Case, network: Network, batch: int, ceilings: dict[str, float]
    ) -> Result:
        """Checks all contenders, then times those that are right."""
        result = Result(case.name, case.group, case.types, batch)
        samples: dict[str, Sample] = {}
        inputs: list[Any] = []
        moved = batch * network.moved * BYTES[case.types[0]]
        stored = {"nfcompile": network.stored_bytes}
        for name in ("nfcompile", *case.peers):
            nbytes = stored.get(name, network.dense_bytes) + moved
            copies, cold = copies_beyond_cache(nbytes, self.l2_bytes)
            inputs += network.inputs(batch, copies)[len(inputs) :]
            try:
                calls, right = self._contender(name, case, network, batch, copies, result)
                limit = _LIMITS[_arithmetic(name, case.types)]
                result.errors[name] = self._error(calls[0], inputs[0], right)
                if not result.errors[name] <= limit:
                    raise ValueError(f"wrong: relative error {result.errors[name]:.2g}")
                clock = HostClock() if name == "ort" else self.clock
                pairs = zip(calls, itertools.cycle(inputs[:copies]))
                samples[name] = clock([lambda f=f, x=x: f(x) for f, x in pairs])
                result.cold = cold if name == "nfcompile" else result.cold
            except Exception as error:  # a peer's own code raises anything
                result.reasons[name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        result.timings = take_turns(samples, self.rounds)
        if "nfcompile" in result.timings:
            seconds = result.timings["nfcompile"].median_us / 1e6
            peak = _peak(ceilings, case.types)
            result.matrix_share = 2.0 * network.nonzeros * batch / peak / seconds
            nbytes = network.stored_bytes + moved
            result.memory_share = nbytes / ceilings["memory"] / seconds
            result.edges_per_s = case.edges * batch / seconds
        return result

    def _contender(
        self, name: str, case: Case, network: Network, batch: int, copies: int, result: Result
    ) -> tuple[list[Callable[[Any], Any]], Callable[[Any], Any]]:
        """Calls, one per copy of the weights, and what they are compared with."""
        if name == "nfcompile":
            made = [network.ours(batch, copy) for copy in range(copies)]
            result.kernels = made[0][1]
            return [call for call, _ in made], network.exact
        if name == "torch 2:4":
            packed = [network.torch_two_to_four() for _ in range(copies)]
            weight = packed[0][1].double()
            return [call for call, _ in packed], lambda x: x.double() @ weight.T
        if name == "ort":
            return [ort_dense(self.torch, network.dense_array(), case.types[0])], network.exact
        make = {"dense": network.dense, "torch bsr": network.torch_bsr}[name]
        return [make() for _ in range(copies)], network.exact

    def _error(self, call: Callable[[Any], Any], x: Any, right: Callable[[Any], Any]) -> float:
        """The relative error of some rows, and infinite if anything is not finite."""
        torch = self.torch
        y = call(x)
        if not bool(torch.isfinite(y).all()):
            return math.inf
        count = min(len(x), _CHECKED_ROWS)
        rows = torch.linspace(0, len(x) - 1, count, device=self.device).long()
        exact = right(x[rows])
        return float((y[rows].double() - exact).norm() / exact.norm())


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
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="samples of each contender")
    parser.add_argument("--cases", default="", help="only cases whose name begins so")
    parser.add_argument("--skip", type=int, default=0, help="leave out that many cases first")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for gpu.json, gpu.md")
    parser.add_argument("--calibrate", action="store_true", help="write the cost model's constants")
    options = parser.parse_args()
    torch, cuda = device_modules()
    clock = GpuClock(torch)
    bench = Bench(torch, cuda, "cuda", clock, cuda.device()["l2_bytes"], options.rounds)
    cases = [case for case in all_cases() if case.name.startswith(options.cases)][options.skip :]
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


def _arithmetic(name: str, types: tuple[str, str]) -> str:
    """In what a contender multiplies."""
    if name == "nfcompile":
        return types[1]
    return "tf32" if types[0] == "f32" else types[0]


def _peak(ceilings: dict[str, float], types: tuple[str, str]) -> float:
    """The rate of the matrix units: three products in TF32 make one in fp32."""
    return ceilings["f32"] / 3 if types == ("f32", "f32") else ceilings[types[1]]


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
