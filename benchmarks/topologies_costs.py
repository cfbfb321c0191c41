"""The sections of docs/topologies.md on what topologies cost: time, weights, memory."""

from collections.abc import Sequence
from typing import Any

from topologies_markdown import interval, table

from nfcompile.study.recommend import Candidate, Recommendation

__all__ = ["costs", "recommendation"]


def recommendation(found: Recommendation) -> str:
    """The section on what is recommended for one budget."""

    def cells(c: Candidate) -> tuple[object, ...]:
        faster = found.dense.latency[64].median_us / c.latency[64].median_us
        return (
            interval(c.accuracy),
            f"{c.parameters:,}",
            f"{'' if c.freedom_exact else '≤ '}{c.freedom:.1%}",
            f"{c.latency[1].median_us:.0f}",
            f"{c.latency[64].median_us:.0f}",
            f"{c.throughput(64):,.0f}",
            f"{faster:.1f}x",
            ", ".join(item.name for item in c.unmet) or "all met",
            "yes" if c.on_front else "",
        )

    rows = []
    for c in found.candidates:
        text = f"`{c.topology}`"
        best = c.topology == found.best.topology
        rows.append((f"**{text}**" if best else text, *cells(c)))
    if found.dense not in found.candidates:
        rows.append((f"`{found.dense.topology}`", *cells(found.dense)))
    head = (
        "topology", "accuracy", "weights", "freedom", "us at batch 1", "us at batch 64",
        "samples/s at 64", "over dense", "requirements not met", "Pareto front",
    )  # fmt: skip
    reasons = "\n".join(f"- {reason}" for reason in found.reasons)
    return f"""## Recommendation for 1024 to 1024 with 65,536 weights

`nfcompile topology recommend --in 1024 --out 1024 --edges 65536`: latency of the compiled layer on
one thread; accuracy on digits, each pixel repeated 16 times in a fixed random order, 3 seeds;
freedom is the share of entries that can be prescribed at once; the front is that of accuracy,
weights, latency at batch 1 and throughput at batch 64.

![Accuracy against latency](topologies/pareto.png)

{table(head, rows)}

Recommended: **`{found.best.topology}`**

{reasons}"""


def costs(masks: Sequence[dict[str, Any]], training_step: dict[str, Any]) -> str:
    """The section on masks of great width and on a training step."""
    rows = [
        (f"`{m['topology']}`", m["factors"], f"{m['edges']:,}", f"{m['seconds']:.2f}",
         f"{m['bytes'] / 1e6:.0f}")
        for m in masks
    ]  # fmt: skip
    return f"""## What masks and training cost

All masks at width 65,536, never dense, each kind in a process of its own:

{table(("topology", "factors", "edges", "seconds", "peak MB"), rows)}

{_step(training_step)}"""


def _step(data: dict[str, Any]) -> str:
    timed = [row for row in data["rows"] if "ratio" in row]
    rows = [
        (
            row["n"],
            f"1/{row['n'] // row['entries']}",
            row["batch"],
            row["threads"],
            *(
                f"{row[kind]['median_us'] / 1000:.2f} ± {row[kind]['spread']:.0%}"
                for kind in ("dense", "sparse")
            ),
            f"{row['ratio']:.1f}x",
        )
        for row in timed
    ]
    size = next(row for row in data["rows"] if "share" in row)
    head = ("width", "density", "batch", "threads", "Linear, ms", "SparseLinear, ms", "faster")
    return f"""One training step (forward and backward) of `SparseLinear` against `torch.nn.Linear`
of the same weight, torch {data["torch"]}, medians ± interquartile range, the two taking turns,
gradients compared first (`python benchmarks/training_step.py`):

{table(head, rows)}

Peak memory of three steps at width {size["n"]}, batch {size["batch"]}, over what was resident
before: {size["bytes"]["sparse"] / 2**20:.1f} MiB against {size["bytes"]["dense"] / 2**20:.1f} MiB,
{size["share"]:.3f} of it."""
