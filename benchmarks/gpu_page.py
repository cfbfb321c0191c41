"""The results of `benchmarks/gpu.py` as a Markdown page."""

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["goals", "page"]

_HEADLINE = "8192 blocks 64 density 0.10"
_GROUPS = {
    "square": "Square layers of random blocks",
    "cascade": "Cascades of strided blocks, against their dense product",
    "ffn": "Feed-forward network of BERT base, a tenth of its blocks kept",
    "graph challenge": "Graph Challenge",
}
_NAMES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}

Row = Mapping[str, Any]


def page(found: Mapping[str, Any]) -> str:
    """The page.

    Args:
        found: What `benchmarks/gpu.py` writes as JSON.
    """
    parts = ["# GPU", *_conditions(found), "## Goals", *goals(found["results"])]
    for group, title in _GROUPS.items():
        rows = [row for row in found["results"] if row["group"] == group]
        if rows:
            parts += [f"## {title}", *_table(rows)]
    if found["left_out"]:
        count = len(found["left_out"])
        parts.append(f"Left out for want of time, {count} in all: {found['left_out'][0]}, ...")
    return "\n\n".join(parts) + "\n"


def goals(rows: Iterable[Row]) -> list[str]:
    """What each goal asks, and what was measured."""
    by_key = {(row["case"], row["types"][0], row["types"][1], row["batch"]): row for row in rows}
    large = by_key.get((_HEADLINE, "bf16", "bf16", 4096))
    single = by_key.get((_HEADLINE, "bf16", "bf16", 1))
    cascades = [
        row
        for key, row in by_key.items()
        if key[0].startswith("cascade 16384") and key[-1] == 4096 and _speedup(row) is not None
    ]
    best = max(cascades, key=lambda row: _speedup(row) or 0, default=None)
    challenge = [row for row in by_key.values() if row["edges_per_s"]]
    lines = [
        _goal("64x64 blocks, density 0.10, n = 8192, batch 4096, bf16: dense over ours", 4,
              _speedup(large), "x"),
        _goal("the same as a share of the matrix rate", 0.6, _value(large, "matrix_share"), ""),
        _goal("the best cascade at 16384, batch 4096: dense over ours", 10, _speedup(best), "x"),
        _goal("batch 1, 64x64 blocks, density 0.10, n = 8192: share of the bandwidth", 0.7,
              _value(single, "memory_share"), ""),
    ]  # fmt: skip
    lines += [
        _goal(f"{row['case']}: edges per second", 15, row["edges_per_s"] / 1e12, " TE/s")
        for row in challenge
    ]
    return ["\n".join(["| goal | asked | measured | |", "|---|---|---|---|", *lines])]


def _goal(what: str, asked: float, measured: float | None, unit: str) -> str:
    told = "not measured" if measured is None else f"{measured:.2f}{unit}"
    mark = "" if measured is None else "reached" if measured >= asked else "missed"
    return f"| {what} | {asked:g}{unit} | {told} | {mark} |"


def _conditions(found: Mapping[str, Any]) -> Iterable[str]:
    device, limits = found["device"], found["ceilings"]
    rates = ", ".join(
        f"{name} {limits[kind] / 1e12:.0f} TFLOP/s"
        for kind, name in (("bf16", "bf16"), ("f16", "fp16"), ("f32", "TF32"))
    )
    yield (
        f"{device['name']} ({device['multiprocessors']} multiprocessors, "
        f"{device['l2_bytes'] / 1e6:.0f} MB of L2), {found['date']}, {found['seconds']:.0f} s. "
        f"Measured in the same run: copy {limits['memory'] / 1e12:.2f} TB/s read and written, "
        f"{limits['read'] / 1e12:.2f} read; "
        f"dense products of 8192x8192x8192 {rates}{_told_nodes(found)}."
    )
    yield (
        "Median microseconds ± half the interquartile range. Results are compared with float64 "
        "first; calls rotate over copies beyond the L2 cache, inside CUDA graphs; contenders take "
        "turns. `dense` is cuBLAS in the type of the activations (TF32 for fp32), `ort` ONNX "
        "Runtime's dense node from the host. `matrix` is our arithmetic on stored values over the "
        "measured rate (a third of TF32's for fp32 weights), `memory` the bytes that must move "
        "over the measured bandwidth; ᶜ marks weights that stay in the cache."
    )


def _told_nodes(found: Mapping[str, Any]) -> str:
    nodes = found.get("nodes", "nobody asked")
    if isinstance(nodes, str):
        return f"; nodes of ONNX Runtime were not timed: {nodes}"
    return (
        f"; a node of ONNX Runtime at batch 1 takes {nodes['dense']:.1f} us dense, "
        f"{nodes['nfcompile']:.1f} us ours (host)"
    )


def _table(rows: list[Row]) -> Iterable[str]:
    peers = list(dict.fromkeys(name for row in rows for name in row["timings"]))
    peers = [name for name in peers if name != "nfcompile"]
    edges = any(row["edges_per_s"] for row in rows)
    titles = ["case", "types", "batch", "nfcompile", *peers, "best peer ×", "matrix", "memory"]
    titles += ["TE/s"] * edges
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    reasons: dict[str, None] = {}
    for row in rows:
        times = row["timings"]
        ratio = _speedup(row, peers)
        cells = [
            row["case"],
            _types(row["types"]),
            str(row["batch"]),
            *(_timing(times.get(name)) for name in ("nfcompile", *peers)),
            "" if ratio is None else f"{ratio:.2f}{' ✗' * (ratio < 1)}",
            f"{row['matrix_share']:.0%}",
            f"{row['memory_share']:.0%}{'' if row['cold'] else ' ᶜ'}",
        ]
        cells += [f"{row['edges_per_s'] / 1e12:.2f}"] * edges
        lines.append(f"| {' | '.join(cells)} |")
        for name, reason in row["reasons"].items():
            reasons[f"- {name}, {_types(row['types'])}: {reason}"] = None
    yield "\n".join(lines)
    errors = [
        f"{name} {max(row['errors'][name] for row in rows if name in row['errors']):.1e}"
        for name in ("nfcompile", *peers)
        if any(name in row["errors"] for row in rows)
    ]
    yield f"Largest relative error (norms, against float64): {', '.join(errors)}."
    if reasons:
        yield "\n".join(["Without a time:", "", *reasons])


def _types(types: Iterable[str]) -> str:
    x_type, value_type = (_NAMES[item] for item in types)
    return x_type if x_type == value_type else f"{x_type}, weights {value_type}"


def _timing(timing: Mapping[str, float] | None) -> str:
    if timing is None:
        return ""
    median = timing["median_us"]
    half = (timing["high_us"] - timing["low_us"]) / 2
    return f"{median:.{0 if median >= 100 else 1}f} ±{half / median:.0%}"


def _speedup(row: Row | None, peers: Iterable[str] = ("dense",)) -> float | None:
    if row is None or "nfcompile" not in row["timings"]:
        return None
    times = [row["timings"][name]["median_us"] for name in peers if name in row["timings"]]
    return min(times) / row["timings"]["nfcompile"]["median_us"] if times else None


def _value(row: Row | None, name: str) -> float | None:
    return None if row is None or "nfcompile" not in row["timings"] else float(row[name])
