"""`nfcompile topology sweep`: scores and trains all topologies that fit some budgets."""

from pathlib import Path
from typing import Annotated

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
    integers,
    width_pair,
)
from nfcompile.cli.output import check_json, guarded, progress, talk, write_json
from nfcompile.cli.topology.found import as_json, find, show_budget, show_predictions
from nfcompile.cli.topology.spelling import read_topology
from nfcompile.errors import InputError

__all__ = ["sweep_command"]


@guarded
def sweep_command(
    results: Annotated[Path, typer.Option(help="File that keeps all results; a rerun goes on.")],
    edges: Annotated[
        str | None, typer.Option(help="Budgets of weights per layer, such as 768,1024,1536.")
    ] = None,
    n: Width = None,
    in_features: InFeatures = None,
    out_features: OutFeatures = None,
    topology: Annotated[
        list[str] | None,
        typer.Option("--topology", help="One more to compare, such as dense; may be repeated."),
    ] = None,
    per_kind: Annotated[int, typer.Option(help="At most so many of each kind and budget.")] = 1,
    dataset: DataSet = "digits",
    data: DataFolder = None,
    seeds: Annotated[int, typer.Option(help="Training runs per topology.")] = 5,
    layers: Annotated[
        int | None,
        typer.Option(help="Sparse layers.", show_default="2, or 1 where widths differ"),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training set.")] = 20,
    skip: Annotated[str, typer.Option(help="both: with and without a skip; or as-is.")] = "both",
    score: Annotated[bool, typer.Option(help="Score topologies without data.")] = True,
    train: Annotated[bool, typer.Option(help="Train topologies.")] = True,
    draws: Annotated[int, typer.Option(help="Random targets per score.")] = 5,
    restarts: Annotated[int, typer.Option(help="Starts per target; the best counts.")] = 2,
    steps: Annotated[int, typer.Option(help="Steps of Adam per score.")] = 800,
    scheduler: Scheduler = None,
    workers: Workers = None,
    json: Json = None,
) -> None:
    """Score and train the topologies of each budget, and say how well scores predict."""
    from nfcompile.study.plan import check_dataset, check_scorable, plan
    from nfcompile.study.summary import outcomes
    from nfcompile.study.sweep import run_tasks
    from nfcompile.study.tasks import run_task, score_task, train_tasks

    check_json(json)
    check_counts(
        per_kind=per_kind, seeds=seeds, layers=layers, epochs=epochs, draws=draws,
        restarts=restarts, steps=steps,
    )  # fmt: skip
    if skip not in ("both", "as-is"):
        raise InputError(f"skip must be both or as-is, got {skip!r}")
    if not (score or train):
        raise InputError("--no-score and --no-train leave nothing to do: leave out one")
    if edges is None and not topology:
        raise InputError("a sweep needs --edges, --topology or both")
    budgets = [] if edges is None else integers(edges, "edges")
    widths = width_pair(n, in_features, out_features)
    named = [read_topology(text, widths) for text in topology or ()]
    if widths is None:
        if not named:
            raise InputError("a sweep needs widths: give -n, or --in and --out")
        widths = named[0].in_features, named[0].out_features
        named = [read_topology(text, widths) for text in topology or ()]
    if score:
        check_scorable(*widths)
    if train:
        check_dataset(dataset, data, widths[0])
    layers = _layers(widths, layers) if train else 1
    with progress(lines=True) as step:
        step("looking for topologies")
        groups = plan(*widths, budgets, named, per_kind=per_kind, both_skips=skip == "both")
        listed = dict.fromkeys(item for group in groups.values() for item in group)
        tasks = [
            score_task(item, draws=draws, restarts=restarts, steps=steps)
            for item in listed
            if score
        ]
        for item in listed if train else ():
            tasks += train_tasks(
                item, dataset, range(seeds), folder=data, layers=layers, epochs=epochs
            )
        try:
            records = run_tasks(
                tasks, run_task, results, scheduler=scheduler, workers=workers,
                progress=lambda done, total: step(f"{done} of {total} runs done"),
            )  # fmt: skip
        except KeyboardInterrupt:
            talk(f"nfcompile: finished runs are kept in {results}: the same command goes on")
            raise
    found = find(groups, outcomes(records))
    if json is not None:
        write_json(as_json(found), json)
    for budget, group in found.items():
        show_budget(budget, group, widths[0] * widths[1], stderr=json == "-")
    if score and train:
        show_predictions(found, stderr=json == "-")


def _layers(widths: tuple[int, int], layers: int | None) -> int:
    if widths[0] == widths[1]:
        return layers or 2
    if layers is not None and layers > 1:
        raise InputError(f"layers must be 1 where widths differ, got {layers}")
    return 1
