"""`nfcompile topology list`: which kinds there are, and which members fit a budget."""

import dataclasses
import inspect
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nfcompile.cli.options import InFeatures, Json, OutFeatures, Width, check_counts, width_pair
from nfcompile.cli.output import check_json, guarded, progress, show_table, table, talk, write_json
from nfcompile.cli.topology.spelling import finite, met
from nfcompile.errors import InputError

if TYPE_CHECKING:
    from nfcompile.topology import Topology

__all__ = ["list_command"]


@guarded
def list_command(
    n: Width = None,
    in_features: InFeatures = None,
    out_features: OutFeatures = None,
    edges: Annotated[int | None, typer.Option(help="The most weights of a layer.")] = None,
    per_kind: Annotated[int, typer.Option(help="At most so many members of each kind.")] = 1,
    json: Json = None,
) -> None:
    """List all kinds; with widths and --edges, their members within that budget."""
    check_json(json)
    check_counts(per_kind=per_kind)
    widths = width_pair(n, in_features, out_features)
    if (widths is None) != (edges is None):
        raise InputError("members need widths and edges: give -n (or --in and --out) and --edges")
    if widths is None or edges is None:
        _list_kinds(json)
    else:
        _list_members(widths, edges, per_kind, json)


def _list_kinds(json: str | None) -> None:
    from rich.markup import escape

    from nfcompile.topology import KINDS

    rows = [_describe(kind) for kind in KINDS.values()]
    if json is not None:
        write_json({"kinds": rows}, json)
    made = table(f"{len(rows)} kinds of topologies", "name", "parameters", "what it is", "rule")
    for row in rows:
        cells = row["name"], _spell(row["parameters"]), row["what"], row["rule"]
        made.add_row(*map(escape, cells))
    show_table(made, stderr=json == "-")
    talk("parameters with ? have a default that depends on the widths; n may be in and out instead")


def _describe(kind: "type[Topology]") -> dict[str, Any]:
    module = inspect.getdoc(sys.modules[kind.__module__]) or ""
    rule = inspect.getdoc(kind) or ""
    parameters = [
        {
            "name": field.name,
            "required": field.default is dataclasses.MISSING,
            "default": None if field.default is dataclasses.MISSING else field.default,
        }
        for field in dataclasses.fields(kind)
        if field.name != "out"
    ]
    # The skip is every kind's, so it comes last.
    parameters.sort(key=lambda item: item["name"] == "skip")
    return {
        "name": kind.name,
        "parameters": parameters,
        "what": module.splitlines()[0].replace("`", ""),
        "rule": rule.splitlines()[0].replace("`", ""),
    }


def _spell(parameters: list[dict[str, Any]]) -> str:
    words = []
    for item in parameters:
        default = item["default"]
        suffix = "?" if default is None else f"={str(default).lower()}"
        words.append(item["name"] + ("" if item["required"] else suffix))
    return ", ".join(words)


def _list_members(widths: tuple[int, int], edges: int, per_kind: int, json: str | None) -> None:
    from nfcompile.topology import KINDS
    from nfcompile.topology.fit import fit_all
    from nfcompile.topology.requirements import requirements

    with progress() as step:
        step("looking for members")
        found = fit_all(*widths, edges, per_kind=per_kind)
        judged = []
        for topology in found:
            step(f"judging {topology}")
            judged.append(requirements(topology))
    absent = [name for name in KINDS if name not in {item.name for item in found}]
    if json is not None:
        rows = [
            {
                "topology": str(item),
                "edges": item.edges,
                "density": item.density,
                "factors": item.depth,
                "requirements": [dataclasses.asdict(one) for one in judgement],
            }
            for item, judgement in zip(found, judged, strict=True)
        ]
        write_json(finite({"members": rows, "without": absent}), json)
    made = table(
        f"From {widths[0]} to {widths[1]} within {edges:,} edges",
        "topology", ">edges", ">density", ">factors", "requirements met",
    )  # fmt: skip
    for item, judgement in zip(found, judged, strict=True):
        cells = f"{item.edges:,}", f"{item.density:.2%}", str(item.depth), met(judgement)
        made.add_row(str(item), *cells)
    show_table(made, stderr=json == "-")
    if absent:
        talk(f"no member with {edges:,} edges or up to an eighth fewer: {', '.join(absent)}")
