"""What a sweep found, as tables and as JSON: per budget, and how well scores predict accuracy."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nfcompile.cli.output import show_table, table, talk
from nfcompile.cli.topology.spelling import finite, interval, percent

if TYPE_CHECKING:
    from nfcompile.study.statistics import RankCorrelation
    from nfcompile.study.summary import Outcome
    from nfcompile.topology import Topology

__all__ = ["as_json", "find", "show_budget", "show_predictions"]

_FEWEST = 3  # pairs that a rank correlation needs
_PARTS = {True: "with skip", False: "no skip"}


def find(
    groups: "Mapping[int, list[Topology]]", outcomes: "Iterable[Outcome]"
) -> "dict[int, list[Outcome]]":
    """The outcomes of each group, most accurate first; those of a score stand for both skips."""
    from nfcompile.study.summary import without_skip

    by_text = {item.topology: item for item in outcomes}
    found: dict[int, list[Outcome]] = {}
    for budget, group in groups.items():
        texts = [text if text in by_text else without_skip(text) for text in map(str, group)]
        listed = [by_text[text] for text in dict.fromkeys(texts)]
        found[budget] = sorted(listed, key=_worse)
    return found


def _worse(item: "Outcome") -> float:
    if item.accuracy:
        return -item.accuracy.mean
    return item.heuristic["l2"].mean


def show_budget(budget: int, group: "list[Outcome]", entries: int, *, stderr: bool) -> None:
    """Shows one budget; `entries` is the number of weights of the dense layer."""
    settings = dict.fromkeys(item.setting for item in group if item.setting)
    made = table(
        f"Budget of {budget:,} edges{''.join(f'; {text}' for text in settings)}; "
        "mean (95 % interval)",
        "topology", ">edges", ">accuracy", ">L2 error", ">L1 error", ">L0 matched", ">rank",
    )  # fmt: skip
    for item in group:
        rank = item.heuristic.get("rank")
        made.add_row(
            item.topology, f"{item.edges:,}", percent(item.accuracy),
            *(interval(item.heuristic.get(name)) for name in ("l2", "l1", "l0")),
            "-" if rank is None else f"{rank.mean / entries:.1%}",
        )  # fmt: skip
    show_table(made, stderr=stderr)


def show_predictions(found: "Mapping[int, list[Outcome]]", *, stderr: bool) -> None:
    """Shows the rank correlation of each metric with accuracy within each budget."""
    from nfcompile.study.prediction import predictions

    made = table(
        "Does the score predict accuracy? Spearman's rho (p) within a budget",
        ">edges", "which", ">topologies", ">L2 (good: -1)", ">L1 (good: -1)", ">L0 (good: +1)",
        ">rank (good: +1)",
    )  # fmt: skip
    for budget, group in found.items():
        for part in predictions(group):
            cells = [_spell(part.correlations[name]) for name in ("l2", "l1", "l0", "rank")]
            count = part.correlations["l2"].count
            if count >= _FEWEST:
                made.add_row(f"{budget:,}", _PARTS[part.skip], str(count), *cells)
    if not made.row_count:
        talk(f"note: a rank correlation needs {_FEWEST} topologies of a budget: none is shown")
        return
    show_table(made, stderr=stderr)
    talk("note: the score knows of no skip; with few topologies, a large rho may be chance")


def _spell(found: "RankCorrelation") -> str:
    return "-" if math.isnan(found.rho) else f"{found.rho:+.2f} ({found.p_value:.2g})"


def as_json(found: "Mapping[int, list[Outcome]]") -> Any:
    """Everything that the tables say, and more."""
    from nfcompile.study.prediction import predictions

    rows = [
        {
            "budget": budget,
            "topologies": [dataclasses.asdict(item) for item in group],
            "predictions": [dataclasses.asdict(part) for part in predictions(group)],
        }
        for budget, group in found.items()
    ]
    return finite({"budgets": rows})
