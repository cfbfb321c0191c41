"""Checks and measures everything for CUDA on a machine with a GPU: make gpu-check.

Offline, with what is there: builds the native part unless it can be imported; compares every kernel
with float64; runs the operators inside ONNX Runtime, if that has its provider for CUDA; runs
`benchmarks/gpu.py` in the time that is left. Writes gpu.json and gpu.md. Without a GPU it says so,
and that is no failure.
"""

import argparse
import ctypes
import faulthandler
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["build", "check_kernels", "gpu_problem", "main"]

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "nfcompile"

_SECONDS = 450
_BENCHMARK_SECONDS = 240
_LEAST_SECONDS = 30
_GRACE_SECONDS = 20
_NODE_SECONDS = 10
_TARGETS = ("_native", "nfcompile_ops", "nfcompile_ops_cuda")

Progress = Callable[[str], None]


def main(arguments: list[str] | None = None) -> int:
    """Checks, measures and writes; gives 1 if anything was wrong."""
    begin = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="for all of it")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for gpu.json, gpu.md")
    options = parser.parse_args(arguments)
    if problem := gpu_problem():
        say(f"no GPU here: {problem}; nothing to check")
        return 0
    # A kernel that hangs cannot be interrupted: what was written by then stays.
    limit = options.seconds + _GRACE_SECONDS
    faulthandler.dump_traceback_later(limit, exit=True, file=sys.__stderr__)
    try:
        return _check(begin, options.seconds, options.out)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _check(begin: float, seconds: float, out: Path) -> int:
    if missing := build(say):
        say(missing)
        return 1
    from nfcompile import _native

    if reason := _native.cuda.available():
        say(f"the kernels cannot run: {reason}")
        return 1
    found: dict[str, Any] = {"kernels": check_kernels(_native.cuda, say)}
    found["operators"] = {"checks": 0, "failed": [], "not_run": "the check was cut short"}
    found["benchmark"] = "the check was cut short"
    _write(found, begin, out)
    found["operators"] = check_inside_onnxruntime(say)
    _write(found, begin, out)
    left = seconds - (time.monotonic() - begin)
    found["benchmark"] = measure(min(_BENCHMARK_SECONDS, left), say)
    _write(found, begin, out)
    wrong = [
        *found["kernels"]["failed"],
        *found["operators"]["failed"],
        *_wrong_products(found["benchmark"]),
    ]
    say(f"{len(wrong)} checks failed" if wrong else "all checks passed")
    say(f"wrote {out / 'gpu.json'} and gpu.md after {found['seconds']:.0f} s")
    return 1 if wrong else 0


def _write(found: dict[str, Any], begin: float, out: Path) -> None:
    found["seconds"] = round(time.monotonic() - begin, 1)
    out.mkdir(parents=True, exist_ok=True)
    (out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")
    (out / "gpu.md").write_text(_page(found))


def _wrong_products(benchmark: dict[str, Any] | str) -> list[str]:
    """What the benchmark found wrong with our own products; nothing where it could not run."""
    results = [] if isinstance(benchmark, str) else benchmark["results"]
    reasons = (result["reasons"].get("nfcompile") for result in results)
    return [reason for reason in reasons if reason]


def say(text: str) -> None:
    """Prints a line at once."""
    print(f"gpu-check: {text}", flush=True)


def gpu_problem() -> str:
    """Why CUDA sees no device here; empty if it does."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "libcuda.so.1 is not installed"
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "CUDA sees no device"
    return ""


def build(progress: Progress) -> str:
    """Makes the native part importable, from this checkout; why that failed, or nothing.

    An installed one that is newer than the sources is taken as it is. What is built lies in
    build/gpu, and is copied into the package, which is where the sources are imported from.
    """
    if _is_built():
        return ""
    folder = ROOT / "build" / "gpu"
    progress(f"building into {folder}")
    configure = ["cmake", "-S", str(PACKAGE / "csrc"), "-B", str(folder)]
    configure += [f"-DPython_EXECUTABLE={sys.executable}", "-DCMAKE_BUILD_TYPE=Release"]
    configure += ["-G", "Ninja"] if shutil.which("ninja") else []
    make = ["cmake", "--build", str(folder), "--target", *_TARGETS]
    make += ["--parallel", str(len(os.sched_getaffinity(0)))]
    for command in (configure, make):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            return f"cannot build: {error}"
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
            return f"cannot build: {' '.join(command)}\n{tail}"
    for path in (*folder.glob("_native*.so"), *folder.glob("libnfcompile_ops*.so")):
        shutil.copy2(path, PACKAGE / path.name)
    importlib.invalidate_caches()
    return "" if _is_built() else "cannot build: the kernels need Triton, which is not installed"


def _is_built() -> bool:
    spec = importlib.util.find_spec("nfcompile._native")
    if spec is None or spec.origin is None:
        return False
    library = Path(spec.origin).with_name("libnfcompile_ops_cuda.so")
    sources = [*(PACKAGE / "csrc").rglob("*"), *(PACKAGE / "gpu").glob("*.py")]
    newest = max(path.stat().st_mtime for path in sources if path.is_file())
    return library.is_file() and library.stat().st_mtime >= newest


def check_kernels(cuda: Any, progress: Progress) -> dict[str, Any]:
    """Compares every kernel with float64."""
    from gpu_numerics import check_all, uncovered

    from nfcompile.gpu.variants import VARIANTS

    checks = list(check_all(cuda))
    failed = [f"{item.kernel or 'no kernel'}: {item.what}: {_wrong(item)}" for item in checks
              if not item.passed]  # fmt: skip
    symbols = [item.symbol for item in VARIANTS]
    left = uncovered(checks, symbols)
    worst = max((item.error for item in checks if item.passed), default=0.0)
    progress(
        f"{len(checks)} checks of {len(symbols) - len(left)} of {len(symbols)} kernels against "
        f"float64: {len(failed)} failed, largest error {worst:.2f} of what is allowed"
    )
    for line in failed[:20]:
        progress(line)
    for symbol in left:
        progress(f"not run by any check: {symbol}")
    return {"checks": len(checks), "failed": failed, "not_run": left, "largest_error": worst}


def _wrong(check: Any) -> str:
    return str(check.reason or f"off by {check.error:.2g} times what is allowed")


def check_inside_onnxruntime(progress: Progress) -> dict[str, Any]:
    """Runs compiled models on ONNX Runtime's provider for CUDA, if there is one."""
    try:
        from nfcompile.runtime.cuda import cuda_problem

        problem = cuda_problem()
    except Exception as error:  # an older package
        problem = f"{type(error).__name__}: {error}"
    if problem:
        progress(f"operators are not run inside ONNX Runtime: {problem}")
        return {"checks": 0, "failed": [], "not_run": problem}
    from gpu_operators import check_operators

    done = list(check_operators(lambda text: None))
    failed = [f"{name}: {wrong}" for name, wrong in done if wrong]
    progress(f"{len(done)} models inside ONNX Runtime: {len(failed)} failed")
    for line in failed:
        progress(line)
    return {"checks": len(done), "failed": failed, "not_run": ""}


def measure(seconds: float, progress: Progress) -> dict[str, Any] | str:
    """Runs the benchmark; what it found, or why there is nothing."""
    if seconds < _LEAST_SECONDS:
        return "no time was left"
    import gpu
    from gpu_bench import Bench
    from gpu_cases import all_cases
    from gpu_clock import GpuClock

    try:
        torch, cuda = gpu.device_modules()
        bench = Bench(torch, cuda, "cuda", GpuClock(torch), cuda.device()["l2_bytes"])
        found = gpu.run(bench, list(all_cases()), seconds - _NODE_SECONDS, progress)
        return {**found, "nodes": gpu.nodes()}
    except (SystemExit, Exception) as error:  # whatever the device says
        progress(f"not measured: {error}")
        return f"{error}"


def _page(found: dict[str, Any]) -> str:
    from gpu_page import page

    kernels, operators, benchmark = found["kernels"], found["operators"], found["benchmark"]
    failed = [*kernels["failed"], *operators["failed"]]
    lines = [
        f"{kernels['checks']} checks of kernels against float64, {len(kernels['failed'])} failed, "
        f"largest error {kernels['largest_error']:.2f} of what is allowed; "
        f"{len(kernels['not_run'])} kernels were not run.",
        f"Inside ONNX Runtime: {operators['not_run'] or str(operators['checks']) + ' models'}"
        f", {len(operators['failed'])} failed.",
    ]
    checks = "\n\n".join(["## Checks", *lines, *(f"- {item}" for item in failed)]) + "\n"
    if isinstance(benchmark, str):
        return f"# GPU\n\n{checks}\nNot measured: {benchmark}.\n"
    return page(benchmark) + "\n" + checks


if __name__ == "__main__":
    sys.exit(main())
