"""The constants of the GPU's cost model, out of what `benchmarks/gpu.py` measured."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nfcompile

__all__ = ["calibrated", "constants_from"]

OUT = Path(nfcompile.__file__).parent / "cost" / "gpu.json"

_LARGE_BATCH = 4096
_NAMES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}
_KERNEL = re.compile(r"^(bsr|block_diagonal_small|block_diagonal)_.*_[rs](\d+)_")


def calibrated(found: Mapping[str, Any], command: str) -> None:
    """Writes the constants that were measured into the package; the others stay.

    Args:
        found: What `benchmarks/gpu.py` writes as JSON.
        command: That measured it.
    """
    made = constants_from(found, json.loads(OUT.read_text()), command)
    OUT.write_text(json.dumps(made, indent=1) + "\n")


def constants_from(
    found: Mapping[str, Any], former: Mapping[str, Any], command: str
) -> dict[str, Any]:
    """The file's new contents.

    A kernel's rate is the best of its arithmetic on stored values at large batches, among the cases
    that run no other kernel.

    Args:
        found: What `benchmarks/gpu.py` writes as JSON.
        former: The file's contents so far.
        command: That measured it.
    """
    made: dict[str, Any] = json.loads(json.dumps(former))
    device, limits = found["device"], found["ceilings"]
    constants, sources = made["constants"], made["provenance"]["sources"]
    constants["multiprocessors"] = device["multiprocessors"]
    constants["l2_mb"] = round(device["l2_bytes"] / 1e6, 1)
    constants["memory_tbps"] = round(limits["memory"] / 1e12, 2)
    constants["read_tbps"] = round(limits["read"] / 1e12, 2)
    rates = constants["tflops"]
    rates["dense"] = {name: round(limits[kind] / 1e12) for kind, name in _NAMES.items()}
    measured = ["multiprocessors", "l2_mb", "memory_tbps", "read_tbps", "tflops.dense"]
    if not isinstance(told := found.get("nodes", ""), str):
        constants["node_us"] = min(told.values())
        measured.append("node_us")
    same = former["provenance"]["gpu"] == device["name"]
    cache = round(_cache_rate(found, limits) / 1e12, 1)
    if cache > (constants["l2_tbps"] if same else 0):
        constants["l2_tbps"] = cache
        measured.append("l2_tbps")
    for (kernel, size, kind), rate in _rates(found, limits).items():
        rates[kernel][size][kind] = round(rate / 1e12, 1)
        measured.append(f"tflops.{kernel}.{size}.{kind}")
    sources |= dict.fromkeys(measured, "measured by the command")
    made["provenance"] |= {
        "gpu": device["name"],
        "measured": measured,
        "date": found["date"],
        "command": command,
    }
    return made


def _cache_rate(found: Mapping[str, Any], limits: Mapping[str, float]) -> float:
    """The most bytes a second that blocks were seen to read of the second-level cache.

    x is read once per block, row of the batch and program of the block's rows; each block once per
    tile of the batch.
    """
    best = 0.0
    for row in found["results"]:
        tile = re.fullmatch(r"bsr_(b?f16)_\1_r\d+_rs(\d+)_bm(\d+)", "+".join(row["kernels"]))
        if not tile or row["batch"] < _LARGE_BATCH or "nfcompile" not in row["timings"]:
            continue
        size, rows = map(int, tile.groups()[1:])
        seconds = row["timings"]["nfcompile"]["median_us"] / 1e6
        multiplied = row["matrix_share"] * limits[row["types"][1]] * seconds / 2
        nbytes = 2 * multiplied * (1 / size + 1 / rows)
        best = max(best, nbytes / seconds)
    return best


def _rates(
    found: Mapping[str, Any], limits: Mapping[str, float]
) -> dict[tuple[str, str, str], float]:
    best: dict[tuple[str, str, str], float] = {}
    for row in found["results"]:
        if row["batch"] < _LARGE_BATCH or "nfcompile" not in row["timings"]:
            continue
        kernels = {match.groups() for name in row["kernels"] if (match := _KERNEL.match(name))}
        x_type, value_type = row["types"]
        if len(kernels) != 1 or (x_type, value_type) == ("f32", "bf16"):
            continue  # bf16 is told by models that are bf16 throughout
        ((kernel, size),) = kernels
        peak = limits["f32"] / 3 if x_type == "f32" else limits[value_type]
        key = kernel, size, _NAMES[value_type]
        best[key] = max(best.get(key, 0.0), row["matrix_share"] * peak)
    return best
