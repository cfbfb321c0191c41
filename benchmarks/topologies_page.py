"""docs/topologies.md from what was measured; every verdict follows from the numbers by a rule."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from topologies_claims import CLAIMS, by_budget, pooled, same
from topologies_costs import costs, recommendation
from topologies_markdown import interval, table

from nfcompile.study.prediction import predictions
from nfcompile.study.recommend import Recommendation
from nfcompile.study.statistics import Estimate
from nfcompile.study.summary import Outcome
from nfcompile.topology import KINDS, parse
from nfcompile.topology.requirements import requirements

__all__ = ["Measured", "page"]

ALL_KINDS = (
    "dense(n=64)",
    "low-rank(n=64, rank=12)",
    "torus(n=64, dims=2)",
    "hypercube(n=64)",
    "butterfly(n=64, radix=4)",
    "clos(n=64, m=8, q=8)",
    "random(n=64, degree=6)",
    "expander(n=64, degree=6)",
    "radix-net(radices=[2, 8, 4], widths=[1, 2, 1, 1])",
    "monarch(n=64)",
    "pixelfly(n=64, block=4, rank=2)",
    "parallel-butterfly(n=64, radix=4, parallel=2)",
)


@dataclass(frozen=True)
class Measured:
    """Everything that the page is made of."""

    environment: dict[str, Any]
    outcomes: Sequence[Outcome]
    cascades: Sequence[dict[str, Any]]
    masks: Sequence[dict[str, Any]]
    training_step: dict[str, Any]
    recommendation: Recommendation


def page(measured: Measured) -> str:
    """The whole page."""
    parts = [
        _head(measured.environment),
        _claims(measured),
        _kinds(),
        _accuracy(measured.outcomes),
        _heuristic(measured.outcomes),
        _initialization(measured.cascades),
        recommendation(measured.recommendation),
        costs(measured.masks, measured.training_step),
    ]
    return "\n\n".join(parts) + "\n"


def _head(environment: dict[str, Any]) -> str:
    return f"""# Topologies, measured

Made by `make topologies` ({environment["cpu"]}, {environment["cores"]} cores, kernels \
{environment["kernels"]}, onnxruntime {environment["onnxruntime"]}, nfcompile \
{environment["nfcompile"]}). ± is half of a 95 % confidence interval. Which topology to train at
your own widths and budget: `nfcompile topology recommend`."""


def _claims(measured: Measured) -> str:
    found = [
        claim(measured.outcomes, measured.cascades, measured.recommendation) for claim in CLAIMS
    ]
    rows = [(c.source, c.text, f"**{c.verdict}**", c.figures) for c in found]
    return f"""## What the seed papers claim

*NeuroFabric: Identifying Ideal Topologies for Training A Priori Sparse Networks* (Isakov and
Kinsy, arXiv 2002.08339, 2020, and the paper of that name at ICCD 2022). **Only abstracts and a
part of the introduction could be read**: the second column says what those state; their data
sets, sizes and training recipes are unknown to us. Everything else on this page is this project's
own: definitions of the topologies, initialization, heuristic, requirements, rules of the verdicts
and all figures.

{table(("stated in", "the claim", "verdict here", "figures"), rows)}"""


def _kinds() -> str:
    rows = []
    for text in ALL_KINDS:
        topology = parse(text)
        met = {item.name: item for item in requirements(topology)}
        cells = [
            ("yes" if item.met else "**no**") + f" ({_number(item.value)})" for item in met.values()
        ]
        rows.append((f"`{topology}`", topology.edges, topology.depth, *cells))
    names = [item.name for item in requirements(parse(ALL_KINDS[0]))]
    return f"""## The topologies, and which requirements they meet

![Factors and path counts of a parallel butterfly](topologies/parallel-butterfly.png)

Rows of masks are outputs. Reachability is the share of joined pairs; bandwidth the number of
signals that pass every cut (maximum flow); equal paths the deviation of path counts over their
mean; path diversity the fewest paths of any pair, met from 2; depth is met up to log2 of the
width.

{table(("topology", "edges", "factors", *names), rows)}"""


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"


def _accuracy(outcomes: Sequence[Outcome]) -> str:
    parts = [
        """## Accuracy at equal edges

![Accuracy against edges](topologies/accuracy.png)

Digits of scikit-learn (1,437 to train on, 360 to test on, 64 inputs), networks of cascades with
ReLU and a dense head, Adam, 15 epochs, 5 seeds, one recipe for all. Budgets are edges per cascade;
a member counts if it uses at least 7/8 of its budget. Up to 3,072 edges the cascades are 64 wide,
above 256. Intervals are over seeds, on one split: one test image is 0.28 points."""
    ]
    for (setting, budget), found in by_budget(outcomes).items():
        twins: dict[str, dict[bool, Outcome]] = defaultdict(dict)
        for o in found:
            twins[same(o.topology)][o.skip] = o
        ordered = sorted(twins.items(), key=lambda item: -item[1][True].accuracy.mean)
        rows = [
            (f"`{text}`", pair[False].edges, *(interval(pair[s].accuracy) for s in (False, True)))
            for text, pair in ordered
        ]
        missing = sorted(set(KINDS) - {o.kind for o in found} - {"dense"})
        name = "For comparison" if budget is None else f"Budget {budget:,}"
        note = "" if budget is None else f"\n\nNo member here: {', '.join(missing) or 'none'}."
        parts.append(
            f"**{name}**, {setting}:\n\n"
            + table(("topology", "edges", "without skip", "with skip"), rows)
            + note
        )
    return "\n\n".join(parts)


def _heuristic(outcomes: Sequence[Outcome]) -> str:
    rows = []
    seen: set[str] = set()
    for (_, budget), found in by_budget(outcomes).items():
        for o in sorted(found, key=lambda o: o.heuristic["l2"].mean if o.heuristic else 9.0):
            if o.heuristic and not o.skip and o.topology not in seen:
                seen.add(o.topology)
                values = [interval(o.heuristic[m], False) for m in ("l2", "l1", "l0")]
                rank = f"{o.heuristic['rank'].mean:.0f}"
                rows.append((budget, f"`{same(o.topology)}`", *values, rank))
    head = ("budget", "topology", "L2", "L1", "L0", "rank")
    found_rows = [
        (setting, budget, metric, f"{c.rho:+.2f}", f"{c.p_value:.3f}", c.count)
        for (setting, budget), group in by_budget(outcomes).items()
        if budget is not None
        for prediction in predictions(group)
        if prediction.skip is False
        for metric, c in prediction.correlations.items()
        if c.count > 2
    ]
    found_rows += [
        (setting, "all", metric, f"{rho:+.2f}", f"{p:.3f}", count)
        for (setting, metric), (rho, p, count) in pooled(outcomes).items()
    ]
    head_rho = ("setting", "budget", "metric", "Spearman's rho", "p", "topologies")
    return f"""## The data-free heuristic

Random 64x64 matrices are reconstructed with the cascade, 5 draws, the best of 2 restarts each: L2
is the squared error over the squared norm, L1 the mean error over the entries' deviation, L0 the
share of entries matched to 1e-3 of it; rank is the exact generic rank of the Jacobian from
weights to product: how many entries can be prescribed at once. Numbers compare only within a
budget.

{table(head, rows)}

Does it predict accuracy? Rank correlation with the accuracy without skip, within each budget, and
over all budgets after ranking within each. A good heuristic has rho near -1 for errors (L2, L1)
and near +1 for L0 and rank. p is by permutation; with so few topologies per budget only strong
correlations show.

![Heuristic against accuracy](topologies/heuristic.png)

{table(head_rho, found_rows)}"""


def _initialization(cascades: Sequence[dict[str, Any]]) -> str:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for record in cascades:
        groups[record["task"]["topology"], record["task"]["init"]].append(record["result"])
    rows = [
        (f"`{topology}`", init, interval(Estimate(tuple(r["accuracy"] for r in results))),
         f"{results[0]['losses'][0]:.3f}", f"{results[0]['losses'][-1]:.3f}")
        for (topology, init), results in groups.items()
    ]  # fmt: skip
    return f"""## Initialization

Weights by true fan-in, `Var w = 1 / k_in`, give each entry of the effective matrix variance
exactly 1/n where path counts are equal (tested to 12 digits), and a signal and gradient of unit
variance through hundreds of factors, in the mean over draws (tested). A dense initialization scales
the variance by the density at every factor: after 64 factors of degree 7 at width 64 by (7/64)^64 =
3e-62. One cascade of 64 factors, trained on digits:

![Loss of cascades of 64 factors](topologies/initialization.png)

{table(("cascade", "initialization", "accuracy", "first loss", "last loss"), rows)}"""
