"""`nfcompile topology recommend`: the topology to train for widths and a budget, and why."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nfcompile.cli.options import (
    DataFolder,
    DataSet,
    InFeatures,
    Json,
    OutFeatures,
    Scheduler,
    Width,
    Workers,
    check_counts,
    width_pair,
)
from nfcompile.cli.output import check_json, guarded, progress, show_table, table, talk, write_json
from nfcompile.cli.topology.spelling import finite, percent
from nfcompile.errors import InputError

if TYPE_CHECKING:
    from nfcompile.study.recommend import Candidate, Recommendation

__all__ = ["recommend_command"]


@guarded
def recommend_command(
    edges: Annotated[int, typer.Option(help="The most weights of the layer.")],
    n: Width = None,
    in_features: InFeatures = None,
    out_features: OutFeatures = None,
    skip: Annotated[
        bool, typer.Option(help="Add the input to the output, where widths are equal.")
    ] = True,
    dataset: DataSet = "digits",
    data: DataFolder = None,
    seeds: Annotated[int, typer.Option(help="Training runs per topology.")] = 3,
    epochs: Annotated[int, typer.Option(help="Passes over the training set.")] = 10,
    batch: Annotated[int, typer.Option(help="Batch size at which latency decides.")] = 64,
    threads: Annotated[int, typer.Option(help="Threads of one inference.")] = 1,
    results: Annotated[
        Path | None, typer.Option(help="File that keeps training results; a rerun goes on.")
    ] = None,
    scheduler: Scheduler = None,
    workers: Workers = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Draw the candidates: .png or .svg.")
    ] = None,
    json: Json = None,
) -> None:
    """Train, compile and time the topologies of a budget, and recommend one."""
    from nfcompile.study.plan import check_dataset
    from nfcompile.study.plots import check_picture, draw_pareto
    from nfcompile.study.recommend import recommend

    check_json(json)
    if output is not None:
        check_picture(output)
    check_counts(edges=edges, seeds=seeds, epochs=epochs, batch=batch, threads=threads)
    widths = width_pair(n, in_features, out_features)
    if widths is None:
        raise InputError("a recommendation needs widths: give -n, or --in and --out")
    check_dataset(dataset, data, widths[0])
    with progress(lines=True) as step:
        found = recommend(
            *widths, edges, skip=skip, dataset=dataset, folder=data, seeds=seeds, epochs=epochs,
            batch=batch, threads=threads, results=results, scheduler=scheduler, workers=workers,
            progress=step,
        )  # fmt: skip
        if output is not None:
            step("drawing")
            draw_pareto(found, output, batch)
    if json is not None:
        write_json(finite(_as_json(found)), json)
    _show(found, batch, stderr=json == "-")
    if output is not None:
        talk(f"wrote {output}")


def _show(found: "Recommendation", batch: int, *, stderr: bool) -> None:
    batches = sorted({1, batch})
    made = table(
        "Candidates; accuracy with 95 % interval, medians of latency",
        "topology", ">accuracy", ">parameters", *(f">us at {size}" for size in batches),
        f">samples/s at {batch}", ">freedom", "not met", "Pareto",
    )  # fmt: skip
    dense = found.dense
    for item in found.candidates:
        if item.topology != dense.topology:
            made.add_row(str(item.topology), *_cells(item, batch))
    made.add_section()
    made.add_row("the dense layer", *_cells(dense, batch))
    show_table(made, stderr=stderr)
    made = table("Recommended", "", "")
    made.add_row("train", str(found.best.topology))
    for reason in found.reasons:
        made.add_row("because", reason)
    show_table(made, stderr=stderr)


def _cells(item: "Candidate", batch: int) -> list[str]:
    return [
        percent(item.accuracy),
        f"{item.parameters:,}",
        *(f"{item.latency[size].median_us:,.1f}" for size in sorted({1, batch})),
        f"{item.throughput(batch):,.0f}",
        f"{'' if item.freedom_exact else 'at most '}{item.freedom:.1%}",
        ", ".join(one.name for one in item.unmet) or "-",
        "front" if item.on_front else "",
    ]


def _as_json(found: "Recommendation") -> dict[str, Any]:
    def row(item: "Candidate") -> dict[str, Any]:
        latency = {str(size): dataclasses.asdict(one) for size, one in item.latency.items()}
        return {
            "topology": str(item.topology),
            "accuracy": dataclasses.asdict(item.accuracy),
            "freedom": item.freedom,
            "freedom_exact": item.freedom_exact,
            "parameters": item.parameters,
            "latency": latency,
            "requirements": [dataclasses.asdict(one) for one in item.requirements],
            "on_front": item.on_front,
        }

    return {
        "best": str(found.best.topology),
        "reasons": list(found.reasons),
        "candidates": [row(item) for item in found.candidates],
        "dense": row(found.dense),
    }
