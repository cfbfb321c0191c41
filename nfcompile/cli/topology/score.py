"""`nfcompile topology score`: compares topologies without any data."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nfcompile.cli.options import (
    InFeatures,
    Json,
    OutFeatures,
    Scheduler,
    Seed,
    Width,
    Workers,
    check_counts,
    width_pair,
)
from nfcompile.cli.output import check_json, guarded, progress, show_table, table, talk, write_json
from nfcompile.cli.topology.spelling import finite, interval, read_topology

if TYPE_CHECKING:
    from nfcompile.topology import Topology

__all__ = ["score_command"]


@guarded
def score_command(
    texts: Annotated[list[str], typer.Argument(help="Topologies, of equal edges.")],
    n: Width = None,
    in_features: InFeatures = None,
    out_features: OutFeatures = None,
    draws: Annotated[int, typer.Option(help="Random targets.")] = 5,
    restarts: Annotated[int, typer.Option(help="Starts per target; the best counts.")] = 2,
    steps: Annotated[int, typer.Option(help="Steps of Adam for L2, and again for L1.")] = 800,
    seed: Seed = 0,
    workers: Workers = None,
    scheduler: Scheduler = None,
    results: Annotated[
        Path | None, typer.Option(help="File that keeps scores; a rerun goes on.")
    ] = None,
    json: Json = None,
) -> None:
    """Score topologies by how well they reproduce random dense matrices; needs no data."""
    from nfcompile.study.plan import check_scorable
    from nfcompile.study.summary import outcomes
    from nfcompile.study.sweep import run_tasks
    from nfcompile.study.tasks import run_task, score_task

    check_json(json)
    check_counts(draws=draws, restarts=restarts, steps=steps)
    widths = width_pair(n, in_features, out_features)
    topologies = [read_topology(text, widths) for text in texts]
    for topology in topologies:
        check_scorable(topology.in_features, topology.out_features)
    tasks = [
        score_task(item, draws=draws, restarts=restarts, steps=steps, seed=seed)
        for item in topologies
    ]
    with progress(lines=True) as step:
        records = run_tasks(
            tasks, run_task, results, scheduler=scheduler, workers=workers,
            progress=lambda done, total: step(f"scoring: {done} of {total} done"),
        )  # fmt: skip
    found = [outcomes([record])[0] for record in records]
    if json is not None:
        write_json(finite({"scores": [dataclasses.asdict(item) for item in found]}), json)
    made = table(
        "Reconstruction of random matrices, mean (95 % interval)",
        "topology", ">edges", ">L2 error", ">L1 error", ">L0 matched", ">rank", ">of entries",
    )  # fmt: skip
    for topology, item in zip(topologies, found, strict=True):
        scores, rank = item.heuristic, item.heuristic.get("rank")
        entries = topology.in_features * topology.out_features
        made.add_row(
            item.topology, f"{item.edges:,}",
            *(interval(scores.get(name)) for name in ("l2", "l1", "l0")),
            "-" if rank is None else f"{rank.mean:,.0f}",
            "-" if rank is None else f"{rank.mean / entries:.1%}",
        )  # fmt: skip
    show_table(made, stderr=json == "-")
    _warn(topologies)


def _warn(topologies: "list[Topology]") -> None:
    from nfcompile.topology.fit import TOLERANCE

    fewest, most = (pick(item.edges for item in topologies) for pick in (min, max))
    if fewest < (1 - TOLERANCE) * most:
        talk(
            f"warning: numbers compare only at equal edges, these have {fewest:,} to {most:,}: "
            "more edges always look better"
        )
    if len({(item.in_features, item.out_features) for item in topologies}) > 1:
        talk("warning: numbers compare only at equal widths, these differ")
