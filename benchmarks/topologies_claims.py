"""The seed paper's claims, each with a rule that decides it from what was measured."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from nfcompile.study.prediction import distinct
from nfcompile.study.recommend import Recommendation
from nfcompile.study.summary import (
    METRICS,
    Outcome,
    RankCorrelation,
    estimate,
    rank_correlation,
)
from nfcompile.topology import parse
from nfcompile.topology.bandwidth import bandwidth
from nfcompile.topology.requirements import requirements

__all__ = ["CLAIMS", "by_budget", "correlations"]

BUDGETS = (768, 1024, 1536, 3072)
SIGNIFICANT = 0.05
MEMBER = "parallel-butterfly(n=64, radix=4, parallel=2)"

Cell = dict[tuple[str, int | None], list[Outcome]]
Claim = Callable[[Sequence[Outcome], Sequence[dict[str, Any]], Recommendation], tuple[str, ...]]


def by_budget(outcomes: Sequence[Outcome]) -> Cell:
    """Trained outcomes by setting and budget; the dense ones have no budget."""
    cells: Cell = defaultdict(list)
    for outcome in outcomes:
        if outcome.accuracy is not None:
            fits = (b for b in BUDGETS if outcome.edges <= b)
            cells[outcome.setting, None if outcome.kind == "dense" else next(fits)].append(outcome)
    return dict(sorted(cells.items(), key=lambda item: (item[0][0], item[0][1] or 0)))


def correlations(
    outcomes: Sequence[Outcome],
) -> Iterator[tuple[str, str, str, RankCorrelation]]:
    """Rank correlation of each metric with accuracy without skip, by budget and over all."""
    settings = sorted({setting for setting, _ in by_budget(outcomes)})
    for setting in settings:
        pooled: dict[str, tuple[list[float], list[float]]] = {m: ([], []) for m in METRICS}
        for (other, budget), found in by_budget(outcomes).items():
            plain = [o for o in distinct(found) if o.heuristic and not o.skip]
            if other != setting or budget is None or len(plain) < 3:
                continue
            accuracy = [o.accuracy.mean for o in plain if o.accuracy]
            for metric in METRICS:
                values = [o.heuristic[metric].mean for o in plain]
                yield setting, str(budget), metric, rank_correlation(values, accuracy)
                pooled[metric][0].extend(_shares(values))
                pooled[metric][1].extend(_shares(accuracy))
        for metric, (values, accuracy) in pooled.items():
            yield setting, "all", metric, rank_correlation(values, accuracy)


def _shares(values: Sequence[float]) -> list[float]:
    """Ranks from 0 to 1."""
    order = np.argsort(np.argsort(values))
    return list(order / max(1, len(values) - 1))


def _bandwidth(*_: Any) -> tuple[str, ...]:
    cells = []
    full = True
    for n in (64, 1024, 16384):
        topology = parse(f"parallel-butterfly(n={n}, radix=4, parallel=2)")
        passed = bandwidth(topology)
        full = full and passed == n
        cells.append(f"n={n}: {topology.edges:,} edges instead of {n * n:,}, {passed} signals pass")
    return (
        "Dense layers grow quadratically with their information bandwidth; sparse ones keep the "
        "bandwidth at lower cost",
        "reproduced" if full else "not reproduced",
        "Bandwidth as maximum flow, parallel butterfly of radix 4: " + "; ".join(cells),
    )


def _clos(outcomes: Sequence[Outcome], *_: Any) -> tuple[str, ...]:
    two = [o for o in outcomes if ", 2 layers" in o.setting]
    dense = max((o for o in two if o.kind == "dense"), key=lambda o: o.accuracy.mean)
    few = [o for o in two if o.kind == "clos" and o.edges * 5 <= dense.edges]
    best = max(few, key=lambda o: o.accuracy.mean)
    close = best.accuracy.high >= dense.accuracy.low
    return (
        "A dense layer is replaced by a cascade, such as Clos with three sparse layers, with 5 to "
        "10 times fewer connections; the rest stays unchanged",
        "reproduced" if close else "not reproduced at this size",
        f"`{best.topology}` with {dense.edges / best.edges:.1f} times fewer edges: "
        f"{best.accuracy.mean:.1%} ({best.accuracy.low:.1%} to {best.accuracy.high:.1%}); dense: "
        f"{dense.accuracy.mean:.1%} ({dense.accuracy.low:.1%} to {dense.accuracy.high:.1%}). "
        "Reproduced means that the intervals meet; digits alone, 64 wide",
    )


def _initialization(_: Any, cascades: Sequence[dict[str, Any]], *__: Any) -> tuple[str, ...]:
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for record in cascades:
        key = record["task"]["topology"], record["task"]["init"]
        found[key].append(record["result"]["accuracy"])
    texts = sorted({topology for topology, _ in found})
    ours = [estimate(found[text, "fan_in"]) for text in texts]
    dense = [estimate(found[text, "dense"]) for text in texts]
    works = all(a.low > b.high for a, b in zip(ours, dense, strict=True))
    cells = [
        f"`{text}`: {a.mean:.1%}, with a dense initialization {b.mean:.1%}"
        for text, a, b in zip(texts, ours, dense, strict=True)
    ]
    return (
        "A sparse initialization lets very deep sparse networks train",
        "reproduced" if works else "not reproduced",
        "64 factors in one cascade, accuracy on digits. " + "; ".join(cells),
    )


def _differ(outcomes: Sequence[Outcome], *_: Any) -> tuple[str, ...]:
    cells, apart = [], 0
    for (setting, budget), found in by_budget(outcomes).items():
        plain = [o for o in found if not o.skip and o.heuristic]
        if budget is None or ", 2 layers" not in setting:
            continue
        best = max(plain, key=lambda o: o.accuracy.mean)
        worst = min(plain, key=lambda o: o.accuracy.mean)
        apart += best.accuracy.low > worst.accuracy.high
        cells.append(
            f"{budget} edges: {worst.accuracy.mean:.1%} (`{worst.topology}`) to "
            f"{best.accuracy.mean:.1%} (`{best.topology}`)"
        )
    return (
        "Topologies that look similar differ a lot in attainable accuracy",
        "reproduced" if apart == len(cells) else f"in {apart} of {len(cells)} budgets",
        "Worst and best at equal edges, without skip; apart if their intervals do not meet. "
        + "; ".join(cells),
    )


def _heuristic(outcomes: Sequence[Outcome], *_: Any) -> tuple[str, ...]:
    pooled = [
        (setting, metric, c)
        for setting, where, metric, c in correlations(outcomes)
        if where == "all"
    ]
    wanted = {"l2": -1, "l1": -1, "l0": 1, "rank": 1}
    good = {m for _, m, c in pooled if c.rho * wanted[m] > 0 and c.p_value < SIGNIFICANT}
    verdict = f"reproduced for {', '.join(sorted(good))}" if good else "not reproduced"
    cells = [f"{m} {c.rho:+.2f} (p {c.p_value:.3f}, {s.split(', ')[1]})" for s, m, c in pooled]
    return (
        "A data-free heuristic judges a topology without a data set",
        verdict + "; ours, as theirs is unknown",
        "Spearman's rho with accuracy, ranked within budgets: " + ", ".join(cells),
    )


def _best(outcomes: Sequence[Outcome], *_: Any) -> tuple[str, ...]:
    first, close, cells = 0, 0, []
    for (setting, budget), found in by_budget(outcomes).items():
        ours = [o for o in found if o.kind == "parallel-butterfly" and o.skip]
        if budget is None or not ours:
            continue
        mine = max(ours, key=lambda o: o.accuracy.mean)
        best = max(found, key=lambda o: o.accuracy.mean)
        first += mine is best
        close += mine.accuracy.high >= best.accuracy.low
        cells.append(
            f"{budget} edges, {setting.split(', ')[1]}: {mine.accuracy.mean:.1%}, the best is "
            f"`{best.topology}` with {best.accuracy.mean:.1%}"
        )
    unmet = [r.name for r in requirements(parse(MEMBER)) if not r.met]
    verdict = "reproduced" if first == len(cells) and not unmet else "not reproduced"
    return (
        "Parallel butterflies with skip connections meet all requirements and achieve the best "
        "accuracy independent of sparsity or depth",
        f"{verdict}: first in {first} of {len(cells)} cases, not clearly behind in {close}",
        f"Requirements below that `{MEMBER}` does not meet: {', '.join(unmet) or 'none'}. "
        + "; ".join(cells)
        + ". Digits only",
    )


def _objectives(_: Any, __: Any, recommendation: Recommendation) -> tuple[str, ...]:
    front = [c for c in recommendation.candidates if c.on_front]
    return (
        "A search over six objectives: accuracy, parameters, throughput, latency, power, area",
        "four measured; power and area are not decidable here",
        f"`topology recommend` at 1024 to 1024: {len(front)} of {len(recommendation.candidates)} "
        "candidates on the Pareto front of accuracy and measured latency; power and area need "
        "hardware that we do not have",
    )


CLAIMS: tuple[Claim, ...] = (
    _bandwidth, _clos, _initialization, _differ, _heuristic, _best, _objectives,
)  # fmt: skip
