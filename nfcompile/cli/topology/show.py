"""`nfcompile topology show`: all that is known of a topology before any training."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nfcompile.cli.options import InFeatures, Json, OutFeatures, Width, width_pair
from nfcompile.cli.output import check_json, guarded, progress, show_table, table, write_json
from nfcompile.cli.topology.spelling import finite, read_topology

if TYPE_CHECKING:
    from nfcompile.topology import Topology

__all__ = ["show_command"]

_INPUTS = 1024


@guarded
def show_command(
    text: Annotated[str, typer.Argument(help="Such as 'butterfly(n=1024, radix=32)'.")],
    n: Width = None,
    in_features: InFeatures = None,
    out_features: OutFeatures = None,
    json: Json = None,
) -> None:
    """Show edges, factors, requirements, paths, rank and variances of a topology."""
    check_json(json)
    topology = read_topology(text, width_pair(n, in_features, out_features))
    with progress() as step:
        step("counting paths, judging requirements")
        facts = _facts(topology)
    if json is not None:
        write_json(finite(facts), json)
    made = table(facts["topology"], "", "")
    rank = facts["rank"]
    bound = "" if rank["exact"] else "at most "
    made.add_row("edges", f"{facts['edges']:,}, {facts['density']:.3%} of the dense layer's")
    made.add_row("neurons", " -> ".join(f"{width:,}" for width in facts["widths"]))
    made.add_row("skip", "the input is added to the output" if facts["skip"] else "none")
    made.add_row("paths per pair", _range(facts["paths"], ",.6g") + _sampled(topology))
    made.add_row(
        "freedom",
        f"{bound}{rank['value']:,} of {rank['entries']:,} entries can be prescribed at once",
    )
    for init, found in facts["variance"].items():
        words = f"{_range(found, '.3g')} times 1 / inputs{_sampled(topology)}"
        made.add_row(f"variance, init {init}", words)
    show_table(made, stderr=json == "-")
    made = table("Factors", ">branch", ">factor", ">out x in", ">edges", ">fan-in")
    for row in facts["factors"]:
        shape = f"{row['shape'][0]}x{row['shape'][1]}"
        made.add_row(
            str(row["branch"]), str(row["factor"]), shape, f"{row['edges']:,}",
            _range(row["fan_in"], "d"),
        )  # fmt: skip
    show_table(made, stderr=json == "-")
    made = table("Requirements", "requirement", "met", "why")
    for item in facts["requirements"]:
        made.add_row(item["name"], "yes" if item["met"] else "no", item["text"])
    show_table(made, stderr=json == "-")


def _facts(topology: "Topology") -> dict[str, Any]:
    from nfcompile.topology.jacobian import freedom
    from nfcompile.topology.paths import path_counts
    from nfcompile.topology.requirements import requirements
    from nfcompile.topology.variance import effective_variance

    width, inputs = topology.in_features, _sample(topology)
    paths = path_counts(topology, inputs)
    free = freedom(topology)
    variances = {
        "fan_in": effective_variance(topology, inputs) * width,
        "dense": effective_variance(topology, inputs, dense=True) * width,
    }
    return {
        "topology": str(topology),
        "edges": topology.edges,
        "density": topology.density,
        "widths": topology.layer_widths,
        "skip": topology.skip,
        "factors": _factors(topology),
        "paths": [float(paths.min()), float(paths.max())],
        "rank": {
            "value": free.entries,
            "entries": width * topology.out_features,
            "exact": free.exact,
        },
        "variance": {
            name: [float(found.min()), float(found.max())] for name, found in variances.items()
        },
        "requirements": [dataclasses.asdict(item) for item in requirements(topology)],
    }


def _sample(topology: "Topology") -> Any:
    """The inputs from which `requirements` counts paths: else the two could contradict."""
    import numpy as np

    if topology.in_features <= _INPUTS:
        return None
    return np.random.default_rng(0).choice(topology.in_features, _INPUTS, replace=False)


def _factors(topology: "Topology") -> list[dict[str, Any]]:
    import numpy as np

    rows = []
    for branch, masks in enumerate(topology.branches(), 1):
        for factor, mask in enumerate(masks, 1):
            fan_in = np.diff(mask.indptr)
            rows.append(
                {
                    "branch": branch,
                    "factor": factor,
                    "shape": list(mask.shape),
                    "edges": int(mask.nnz),
                    "fan_in": [int(fan_in.min()), int(fan_in.max())],
                }
            )
    return rows


def _range(ends: list[Any], form: str) -> str:
    low, high = (format(end, form) for end in ends)
    return low if low == high else f"{low} to {high}"


def _sampled(topology: "Topology") -> str:
    if topology.in_features <= _INPUTS:
        return ""
    return f" (from {_INPUTS:,} of {topology.in_features:,} inputs)"
